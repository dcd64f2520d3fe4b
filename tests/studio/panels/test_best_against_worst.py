"""Pairs made of several answers to each prompt: the best against the worst, or the two least alike."""

from __future__ import annotations

import json
from typing import Any

from rlhf_engine.contract.events import Produced, RunFinished, RunStarted, Text
from studio.panels.compare.generate_form import GenerateForm
from studio.panels.compare.generating import PROJECT, PairMaker, Wish


def made(session: Any, qtbot: Any, wish: Wish) -> tuple[PairMaker, str, Any]:
    session.labels.add_prompt("Prompt")
    maker = PairMaker(session, wish, session)
    qtbot.waitUntil(lambda: bool(session.quiet.submitted), timeout=5000)
    run, spec, _ = session.quiet.submitted[0]
    session.quiet.say(run, RunStarted("generate", 4))
    return maker, run, spec


def test_the_best_of_four_stands_against_the_worst(session: Any, qtbot: Any) -> None:
    wish = Wish("starter", "", PROJECT, 1, 1.0, 8, 0, answers=4, judge="run:rm")
    maker, run, spec = made(session, qtbot, wish)
    assert (spec.samples, spec.reward_model) == (4, "run:rm")
    texts = ["good enough", "the worst", "fine", "the very best"]
    for number, text in enumerate(texts):
        session.quiet.say(run, Text(number, text, (), "eos"))
    rows = [{"answer": n, "score": score} for n, score in enumerate((0.2, -3.0, 0.1, 2.5))]
    session.quiet.say(run, Produced("answers", "", {"answers": rows}))
    qtbot.waitUntil(lambda: session.labels.count("pairs") == 1, timeout=5000)
    (pair,) = session.labels.next_pairs(2)
    assert (pair["a"], pair["b"]) == ("the worst", "the very best")
    meta = json.loads(pair["meta"])
    assert meta["settings"]["chosen"] == "best and worst" and (meta["a"]["score"], meta["b"]["score"]) == (-3.0, 2.5)
    with qtbot.waitSignal(maker.ended):
        session.quiet.say(run, RunFinished("completed"))


def test_without_a_reward_model_the_two_least_alike_are_shown(session: Any, qtbot: Any) -> None:
    maker, run, spec = made(session, qtbot, Wish("starter", "", PROJECT, 1, 1.0, 8, 0, answers=3))
    assert (spec.samples, spec.reward_model) == (3, "")
    for number, text in enumerate(["It lies by the sea", "It lies by the sea.", "Nobody has told me"]):
        session.quiet.say(run, Text(number, text, (), "eos"))
    qtbot.waitUntil(lambda: session.labels.count("pairs") == 1, timeout=5000)
    (pair,) = session.labels.next_pairs(2)
    assert {pair["a"], pair["b"]} == {"It lies by the sea", "Nobody has told me"}
    with qtbot.waitSignal(maker.ended):
        session.quiet.say(run, RunFinished("completed"))


def test_the_form_wishes_for_several_answers_of_one_model_only(session: Any, qtbot: Any) -> None:
    session.labels.add_prompt("Prompt")
    session.labels.add_model("owner/other", "Other")
    form = GenerateForm(session)
    qtbot.addWidget(form)
    form.refresh()
    form.answers.set_value(6)
    assert form.wish().answers == 6 and form.answers.isEnabled()
    form.second.setCurrentIndex(form.second.findData("owner/other"))
    assert form.wish().answers == 2 and not form.answers.isEnabled()
