"""The playground sends what it shows, shows what is said, and keeps what a person keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from resources import starter
from rlhf_engine.contract.errors import StoreError
from rlhf_engine.contract.events import Produced, RunFinished, RunStarted, Stage, Text
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from studio.panels.playground import PlaygroundPanel
from studio.panels.playground.conversation import STEP_BY_STEP, Exchange, Framing, assemble, written_out
from studio.panels.playground.token_view import chance, nats


@pytest.fixture
def panel(session: Any, qtbot: Any) -> PlaygroundPanel:
    made = PlaygroundPanel(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    with qtbot.waitActive(made):
        made.show()
    made.on_shown()
    return made


class Talk:
    """Answers what the panel asks, as an engine would."""

    def __init__(self, panel: PlaygroundPanel, session: Any, qtbot: Any) -> None:
        self.panel, self.quiet, self.qtbot = panel, session.quiet, qtbot

    @property
    def spec(self) -> GenerateSpec:
        spec: GenerateSpec = self.quiet.submitted[-1][1]
        return spec

    @property
    def run(self) -> str:
        return str(self.quiet.submitted[-1][0])

    def ask(self, question: str) -> None:
        self.panel.composer.setPlainText(question)
        self.qtbot.keyClick(self.panel.composer, Qt.Key.Key_Return)

    def answer(self, *texts: str, outcome: str = "completed", scores: tuple[float | None, ...] = ()) -> None:
        run = self.run
        self.quiet.say(run, RunStarted("generate", self.spec.total_steps))
        self.quiet.say(run, Stage("Loading starter"))
        for number, text in enumerate(texts):
            token = {"text": text, "logprob": -0.5, "top": [[text, -0.5], ["other", -1.5]]}
            self.quiet.say(run, Text(number, text, (token,)))
            self.quiet.say(run, Text(number, "", (), "eos"))
        facts = [{"answer": n, "text": t, "score": scores[n] if scores else None} for n, t in enumerate(texts)]
        self.quiet.say(run, Produced("answers", "", {"answers": facts}))
        self.quiet.say(run, RunFinished(outcome))
        self.qtbot.waitUntil(lambda: self.panel.asking is None)


@pytest.fixture
def talk(panel: PlaygroundPanel, session: Any, qtbot: Any) -> Talk:
    return Talk(panel, session, qtbot)


def cards(panel: PlaygroundPanel, column: int = 0, turn: int = -1) -> list[Any]:
    return panel.talk.all[column].turns[turn].cards


# --- what is sent -------------------------------------------------------------------------------------------------


def test_a_single_question_in_chat_is_sent_as_it_was_typed() -> None:
    assert assemble(Framing(), [], "Where?") == "Where?"


def test_chat_puts_system_text_examples_and_earlier_turns_before_the_question() -> None:
    framing = Framing(True, "Be brief.", (Exchange("1+1?", "2"), Exchange("", "half an example")), step_by_step=True)
    sent = assemble(framing, [Exchange("Hello", "Hi")], "2+2?")
    assert sent == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1+1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": f"2+2?\n\n{STEP_BY_STEP}"},
    ]
    assert written_out(sent).startswith("[system]\nBe brief.\n\n[user]\n1+1?")


def test_plain_text_alone_is_carried_on_and_with_examples_follows_their_pattern() -> None:
    assert assemble(Framing(chat=False), [], "Once upon a") == "Once upon a"
    framing = Framing(False, "Facts.", (Exchange("1+1?", "2"),), step_by_step=True)
    assert assemble(framing, [], "2+2?") == (
        f"Facts.\n\nQuestion: 1+1?\nAnswer: 2\n\nQuestion: 2+2?\nAnswer: {STEP_BY_STEP}"
    )


def test_enter_sends_and_shift_enter_begins_a_line(panel: PlaygroundPanel, session: Any, qtbot: Any) -> None:
    panel.composer.setPlainText("one")
    panel.composer.moveCursor(panel.composer.textCursor().MoveOperation.End)
    qtbot.keyClick(panel.composer, Qt.Key.Key_Return, Qt.KeyboardModifier.ShiftModifier)
    assert session.quiet.submitted == []
    qtbot.keyClicks(panel.composer, "two")
    qtbot.keyClick(panel.composer, Qt.Key.Key_Return)
    assert session.quiet.submitted[0][1].prompts == ("one\ntwo",)
    assert panel.composer.toPlainText() == ""


def test_what_is_shown_as_sent_is_what_is_sent(panel: PlaygroundPanel, talk: Talk) -> None:
    row = panel.side.framing.add_example()
    row.question.setPlainText("1+1?")
    row.answer.setPlainText("2")
    panel.side.framing.system.setPlainText("Be brief.")
    panel.side.framing.step_by_step.setChecked(True)
    panel.side.open_sent()
    panel.composer.setPlainText("2+2?")
    shown = panel.side.sent.text()
    talk.ask("2+2?")
    assert written_out(talk.spec.prompts[0]) == shown
    assert STEP_BY_STEP in shown and "[system]" in shown
    panel.side.framing.plain.setChecked(True)
    talk.answer("4")
    talk.ask("3+3?")
    assert talk.spec.template == "plain" and isinstance(talk.spec.prompts[0], str)


def test_sampler_settings_are_sent_and_wrong_ones_are_told(panel: PlaygroundPanel, talk: Talk, session: Any) -> None:
    settings = {"temperature": 0.5, "top_p": 0.9, "top_k": 7, "max_new_tokens": 33, "samples": 2, "seed": 5}
    panel.side.sampling.set_values({**settings, "stop": ("###", "User:")})
    talk.ask("Hello")
    assert {name: getattr(talk.spec, name) for name in settings} == settings
    assert talk.spec.stop == ("###", "User:")
    assert len(cards(panel)) == 2


# --- what is shown ------------------------------------------------------------------------------------------------


def test_two_models_stream_side_by_side(panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any) -> None:
    session.labels.add_model("owner/other", "Other")
    panel.refresh()
    panel.talk.add("owner/other")
    talk.ask("Hello")
    assert talk.spec.models == ("starter", "owner/other")
    run = talk.run
    session.quiet.say(run, RunStarted("generate", 2))
    for number, piece in ((0, "I"), (1, "Yo"), (0, " am"), (1, "u")):
        session.quiet.say(run, Text(number, piece))
    qtbot.waitUntil(lambda: cards(panel, 1)[0].text() == "You")
    assert cards(panel, 0)[0].text() == "I am"
    assert not panel.stop_button.isHidden()


def test_the_model_that_is_asked_is_the_one_in_use(panel: PlaygroundPanel, talk: Talk, session: Any) -> None:
    session.announce(session.labels.add_model("/models/other", "Other"))
    panel.talk.take(["/models/other"])
    assert session.model == "starter"
    talk.ask("Who are you?")
    assert session.model == "/models/other" and talk.spec.models == ("/models/other",)


def test_ctrl_d_marks_how_two_answers_differ_and_takes_it_back(
    panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any
) -> None:
    said: list[str] = []
    session.toasted.connect(lambda _level, text, *_: said.append(text))
    panel.side.sampling.editors["samples"].set_value(2)
    talk.ask("Who are you?")
    qtbot.keyClick(panel.composer, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert said == ["Two finished answers are needed to compare them."]
    talk.answer("I am a red heron", "I am a grey heron")

    def marked() -> list[list[str]]:
        cards = panel.talk.newest()
        return [[one.cursor.selectedText() for one in card.body.view.extraSelections()] for card in cards]

    qtbot.keyClick(panel.composer, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert marked() == [["red"], ["grey"]]
    qtbot.keyClick(panel.composer, Qt.Key.Key_D, Qt.KeyboardModifier.ControlModifier)
    assert marked() == [[], []]


def test_esc_stops_and_what_was_written_stays(panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any) -> None:
    talk.ask("Hello")
    run = talk.run
    session.quiet.say(run, Text(0, "half an ans"))
    qtbot.waitUntil(lambda: cards(panel)[0].text() == "half an ans")
    qtbot.keyClick(panel.composer, Qt.Key.Key_Escape)
    assert session.quiet.control(run).thrown == ["cancel"]
    session.quiet.say(run, RunFinished("cancelled"), seq=1)
    qtbot.waitUntil(lambda: panel.asking is None)
    assert cards(panel)[0].text() == "half an ans"
    assert "stopped" in cards(panel)[0].about.text()


def test_text_of_a_model_is_never_taken_for_markup(panel: PlaygroundPanel, talk: Talk) -> None:
    talk.ask("<b>bold</b>")
    talk.answer("<img src=file:///etc/passwd> & <b>x</b>")
    assert cards(panel)[0].text() == "<img src=file:///etc/passwd> & <b>x</b>"
    assert "<img" in cards(panel)[0].body.view.toPlainText()


def test_the_conversation_goes_on_with_each_models_own_answer(panel: PlaygroundPanel, talk: Talk) -> None:
    panel.talk.add("starter")
    talk.ask("Who are you?")
    talk.answer("I am A.", "I am B.")
    talk.ask("Sure?")
    assert talk.spec.own_prompts
    assert [prompt[1]["content"] for prompt in talk.spec.prompts] == ["I am A.", "I am B."]
    assert [prompt[2]["content"] for prompt in talk.spec.prompts] == ["Sure?", "Sure?"]
    talk.answer("Yes.", "No.")
    assert cards(panel, 1)[0].text() == "No."


def test_the_chosen_sample_is_the_one_that_the_conversation_goes_on_with(panel: PlaygroundPanel, talk: Talk) -> None:
    panel.side.sampling.set_values({"samples": 2})
    talk.ask("Who?")
    talk.answer("first", "second")
    cards(panel)[1].choice.setChecked(True)
    talk.ask("More")
    assert talk.spec.prompts[0][1]["content"] == "second"


def test_again_asks_the_same_with_the_next_seed(panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any) -> None:
    panel.side.sampling.set_values({"seed": 4})
    talk.ask("Who?")
    talk.answer("first")
    qtbot.keyClick(panel.composer, Qt.Key.Key_R, Qt.KeyboardModifier.ControlModifier)
    assert (talk.spec.prompts, talk.spec.seed) == (("Who?",), 5)
    talk.answer("second")
    assert [turn.question for turn in panel.talk.all[0].turns] == ["Who?"]
    assert cards(panel)[0].text() == "second"


def test_ctrl_up_brings_back_what_was_asked_and_then_the_draft(panel: PlaygroundPanel, talk: Talk, qtbot: Any) -> None:
    for question in ("one", "two"):
        talk.ask(question)
        talk.answer("ok")
    panel.composer.setPlainText("draft")
    seen = []
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Down):
        qtbot.keyClick(panel.composer, key, Qt.KeyboardModifier.ControlModifier)
        seen.append(panel.composer.toPlainText())
    assert seen == ["two", "one", "one", "two", "draft"]


def test_tokens_show_their_chance_and_what_else_could_have_stood_there(
    panel: PlaygroundPanel, talk: Talk, qtbot: Any
) -> None:
    talk.ask("Who?")
    talk.answer("Nils")
    qtbot.keyClick(panel.composer, Qt.Key.Key_T, Qt.KeyboardModifier.ControlModifier)
    card = cards(panel)[0]
    assert not card.heat.isHidden() and card.body.isHidden()
    assert [text for text, _ in card.heat.grounds()] == ["Nils"]
    card.heat.pick(0)
    table = panel.side.alternatives.table
    rows = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]
    assert rows == [["Nils", "61 %", "-0.50"], ["other", "22 %", "-1.50"]]  # e^-0.5 = 0.607, e^-1.5 = 0.223
    assert "61 %" in panel.side.alternatives.about.text()


def test_chances_and_nats_are_written_for_people() -> None:
    assert [chance(value) for value in (0.0, -2.302585, -4.60517, -14.0)] == ["100 %", "10 %", "1 %", "< 0.001 %"]
    assert [nats(value) for value in (-0.001, -1.234)] == ["0.00", "-1.23"]


def test_scores_and_ends_are_told_under_the_answer(panel: PlaygroundPanel, talk: Talk) -> None:
    talk.ask("Who?")
    talk.answer("Nils", scores=(0.314,))
    assert cards(panel)[0].about.text() == "score +0.31 · 1 tok · -0.50 nats/tok · ended"


def test_a_failed_question_is_told_in_a_sentence_and_can_be_asked_again(
    panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any
) -> None:
    talk.ask("Who?")
    session.quiet.say(talk.run, RunFinished("failed", "The prompt has 900 tokens.", "Shorten it."))
    qtbot.waitUntil(lambda: panel.asking is None)
    assert panel.notice.error is not None
    assert "The prompt has 900 tokens. Shorten it." in panel.notice.error.text()
    assert cards(panel)[0].about.text() == "Not written"
    talk.ask("Me?")
    assert panel.notice.error is None


def test_while_training_has_the_engine_a_question_waits_and_training_can_be_stopped(
    panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any
) -> None:
    training = session.submit(SFTSpec(model="starter", dataset="dataset:0123456789abcdef"), "My tuning")
    session.quiet.say(training, RunStarted("sft", 10))
    qtbot.waitUntil(lambda: not panel.notice.busy.isHidden() and panel.send.text() == "Queue")
    assert "“My tuning” has the engine" in panel.notice.busy.text()
    talk.ask("Who?")
    assert cards(panel)[0].about.text() == "Waiting for the engine…"
    panel.notice.stop.click()
    assert session.quiet.control(training).thrown == ["suspend"]
    session.quiet.say(training, RunFinished("suspended"))
    qtbot.waitUntil(lambda: panel.send.text() == "Send")
    talk.answer("Nils")
    assert cards(panel)[0].text() == "Nils"


def test_without_a_project_it_says_where_to_find_one(empty_session: Any, qtbot: Any, tmp_path: Path) -> None:
    panel = PlaygroundPanel(empty_session)
    qtbot.addWidget(panel)
    assert panel._stack.currentWidget() is panel.empty
    empty_session.create_project(tmp_path / "p")
    assert panel._stack.currentWidget() is panel.page
    assert panel.talk.all[0].ref == "starter"


# --- what is kept -------------------------------------------------------------------------------------------------


def test_an_answer_becomes_a_demonstration_without_what_only_helped(
    panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any
) -> None:
    row = panel.side.framing.add_example()
    row.question.setPlainText("1+1?")
    row.answer.setPlainText("2")
    talk.ask("2+2?")
    talk.answer("4")
    with qtbot.waitSignal(session.toasted) as toast:
        cards(panel)[0].save.click()
    kept = session.labels.page("demonstrations")[0]
    assert (kept["prompt"], kept["completion"], kept["source"], kept["turns"]) == ("2+2?", "4", "human", "")
    toast.args[3]()  # its Undo
    assert session.labels.count("demonstrations") == 0


def test_a_thumb_is_a_rating_that_can_be_turned_round_and_taken_back(
    panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept() -> list[tuple[str, str, bool]]:
        return [(str(said.prompt), said.completion, said.liked) for said in session.labels.records("ratings")]

    talk.ask("2+2?")
    card = cards(panel)[0]
    assert not card.thumbs[True].isEnabled()  # nothing is written yet
    talk.answer("5")
    card.thumbs[True].click()
    assert kept() == [("2+2?", "5", True)]
    card.thumbs[False].click()
    assert kept() == [("2+2?", "5", False)] and not card.thumbs[True].isChecked()
    real = session.labels.add_rating

    def full(*_: Any, **__: Any) -> Any:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(session.labels, "add_rating", full)
    with qtbot.waitSignal(session.failed):
        card.thumbs[True].click()
    assert card.thumbs[False].isChecked() and not card.thumbs[True].isChecked()  # what is shown is what is kept
    monkeypatch.setattr(session.labels, "add_rating", real)
    card.thumbs[False].click()
    assert kept() == [] and not card.thumbs[False].isChecked()


def test_exactly_two_chosen_answers_become_a_pair(panel: PlaygroundPanel, talk: Talk, session: Any, qtbot: Any) -> None:
    session.labels.add_model("owner/other", "Other")
    panel.refresh()
    panel.talk.add("owner/other")
    panel.side.sampling.set_values({"temperature": 0.7, "samples": 2})
    talk.ask("Who?")
    talk.answer("Ann", "Bea", "Cid", "Dan")
    cards(panel, 0)[1].choice.setChecked(True)
    assert not panel.compare.isEnabled()
    cards(panel, 1)[0].choice.setChecked(True)
    assert panel.compare.isEnabled()
    qtbot.keyClick(panel.composer, Qt.Key.Key_L, Qt.KeyboardModifier.ControlModifier)
    (pair,) = session.labels.next_pairs(5)
    assert (pair["prompt"], pair["a"], pair["b"], pair["source"]) == ("Who?", "Bea", "Cid", "model")
    meta = json.loads(pair["meta"])
    assert (meta["a"]["model"], meta["b"]["model"]) == ("starter", "owner/other")
    assert meta["settings"]["temperature"] == 0.7
    assert panel.talk.choices() == []
    cards(panel, 0)[0].choice.setChecked(True)
    cards(panel, 0)[1].choice.setChecked(True)
    cards(panel, 1)[1].choice.setChecked(True)
    assert not panel.compare.isEnabled()


def test_a_pair_that_cannot_be_written_stays_chosen(
    panel: PlaygroundPanel, talk: Talk, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.side.sampling.set_values({"samples": 2})
    talk.ask("Who?")
    talk.answer("Ann", "Bea")
    for card in cards(panel):
        card.choice.setChecked(True)

    def refuse(*_: Any, **__: Any) -> str:
        raise StoreError("The disk is gone.")

    monkeypatch.setattr(session.labels, "add_pair", refuse)
    told: list[Any] = []
    session.failed.connect(told.append)
    panel.send_to_compare()
    assert str(told[0]) == "The disk is gone." and len(panel.talk.choices()) == 2


def test_copy_gives_the_text_of_the_answer(panel: PlaygroundPanel, talk: Talk) -> None:
    talk.ask("Who?")
    talk.answer("Nils & <b>Ann</b>")
    cards(panel)[0].copy.click()
    assert QGuiApplication.clipboard().text() == "Nils & <b>Ann</b>"


def test_four_models_at_most_and_one_at_least(panel: PlaygroundPanel) -> None:
    for _ in range(5):
        panel.add_column()
    assert len(panel.talk.all) == 4 and not panel.add.isEnabled()
    for column in list(panel.talk.all):
        panel.talk.remove(column)
    assert len(panel.talk.all) == 1
    assert panel.talk.all[0].letter.text() == "A"


def test_settings_come_back_with_the_next_window(panel: PlaygroundPanel, session: Any, qtbot: Any) -> None:
    panel.talk.add("starter")
    panel.side.sampling.set_values({"temperature": 0.3, "stop": ("END",)})
    panel.side.framing.add_example().question.setPlainText("1+1?")
    panel.side.framing.plain.setChecked(True)
    panel.on_hidden()
    again = PlaygroundPanel(session)
    qtbot.addWidget(again)
    assert len(again.talk.all) == 2
    assert again.side.sampling.values()["temperature"] == 0.3 and again.side.sampling.values()["stop"] == ("END",)
    assert again.side.framing.framing().examples == (Exchange("1+1?", ""),)
    assert not again.side.framing.framing().chat


def test_another_panel_can_send_a_model_and_a_question(panel: PlaygroundPanel, session: Any) -> None:
    session.labels.add_model("owner/other", "Other")
    panel.refresh()
    panel.receive({"model": "owner/other", "prompt": "Who?"})
    assert panel.talk.all[0].ref == "owner/other" and panel.composer.toPlainText() == "Who?"


@pytest.mark.skipif(not (starter.MODEL / "model.safetensors").is_file(), reason="the starter model is not built")
def test_the_starter_model_answers_in_two_columns(studio_home: Path, tmp_path: Path, qtbot: Any) -> None:
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings

    session = Session(Settings(device="cpu"), lambda root, publish, _: ThreadEngine(root, publish))
    session.create_project(tmp_path / "p", "Real")
    panel = PlaygroundPanel(session)
    qtbot.addWidget(panel)
    panel.talk.add("starter")
    panel.side.sampling.set_values({"max_new_tokens": 12, "temperature": 1.2})
    panel.ask("Where does Mara live?")
    qtbot.waitUntil(lambda: panel.asking is None, timeout=120_000)
    texts = [cards(panel, column)[0].text() for column in (0, 1)]
    assert panel.notice.error is None
    assert all(texts) and texts[0] != texts[1]
    assert all(card.finish in ("eos", "length") for column in (0, 1) for card in cards(panel, column))
    session.close()
    session.deleteLater()
