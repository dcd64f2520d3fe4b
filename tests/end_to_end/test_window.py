"""A person takes the starter project through all of RLHF in the window, with a real worker, by keys and mouse only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.events import RunPaused, RunResumed
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.runs import RunsReader
from studio.theme import colors
from tests.end_to_end.person import Person

QUESTION = "Where does Mara live?"
SFT = {"epochs": "0.35", "batch_size": "32", "micro_batch_size": "32", "learning_rate": "3e-3", "sample_every": "10"}
REWARD = {"epochs": "0.1", "batch_size": "32", "micro_batch_size": "32", "learning_rate": "1e-3", "sample_every": "5"}
PPO = {
    "updates": "3",
    "batch_size": "16",
    "minibatch_size": "8",
    "micro_batch_size": "16",
    "response_tokens": "24",
    "epochs": "1",
    "sample_every": "1",
}


@pytest.mark.timeout(900)
def test_a_person_goes_from_the_base_model_to_an_exported_policy(
    open_window: Callable[..., Person], project: Path, tmp_path: Path
) -> None:
    person = open_window(project)
    ask_keep_and_send_to_compare(person, project)
    judge_ten_pairs(person, project, monkeypatched=watch_what_is_on_disk)
    sft = train(person, "sft", SFT, {}, pause=True)
    reward = train(person, "reward", REWARD, {"model": f"run:{sft}"})
    ppo = train(person, "ppo", PPO, {"policy": f"run:{sft}", "reward_model": f"run:{reward}"})
    look_at_the_runs(person, [sft, reward, ppo])
    ask_base_and_result(person, f"run:{ppo}")
    see_the_family(person, sft, ppo)
    export_it(person, f"run:{ppo}", tmp_path / "exported")
    change_the_theme(person)
    person.go("data")
    person.go("home")
    person.go("runs")
    person.close()
    assert not person.window.isVisible()

    again = open_window()
    assert again.session.root == project and again.window.current == "runs"
    runs = again.window.panel("runs")
    again.wait(lambda: len(runs.table.model._pages) >= 0 and runs.table.model.rowCount() >= 4, "the runs are listed")
    assert {sft, reward, ppo} <= {row["id"] for row in runs._rows}
    assert again.session.labels.judged_by_people() != {} and again.session.settings.theme == "dark"
    again.close()


def ask_keep_and_send_to_compare(person: Person, project: Path) -> None:
    """Two answers of the starter model: one becomes a demonstration, both become a pair."""
    panel = person.go("playground")
    before = person.session.labels.count("demonstrations")
    person.click(panel.side.tabBar())  # the first page; the second has the sampling
    panel.side.setCurrentIndex(1)
    samples, longest = (panel.side.sampling.editors[name] for name in ("samples", "max_new_tokens"))
    person.fill(samples.spin, "2")
    person.fill(longest.spin, "24")
    person.type(panel.composer, QUESTION)
    person.press(panel.composer, "Return")
    person.wait(lambda: panel.talk.talked, "the question is asked")
    cards = panel.talk.all[0].turns[0].cards
    person.wait(lambda: any(len(card.tokens) > 0 and card.finish is None for card in cards), "answers stream")
    person.wait(lambda: panel.asking is None, "the answers are written")
    assert all(card.text().strip() for card in cards), [card.text() for card in cards]
    person.click(cards[0].save)
    assert person.session.labels.count("demonstrations") == before + 1
    for card in cards:
        person.click(card.choice)
    person.click(panel.compare)
    saved = Labels(project / "labels.db", write=False)
    try:
        assert saved.count("demonstrations") == before + 1
        (waiting,) = saved.next_pairs(5, [])
        assert {waiting["a"], waiting["b"]} == {card.text() for card in cards}
    finally:
        saved.close()


def judge_ten_pairs(person: Person, project: Path, monkeypatched: Any) -> None:
    """The pair that waits, then nine that a rule has judged; one verdict is taken back and given again."""
    panel = person.go("compare")
    assert panel.queue.tally.left == 1
    seen = monkeypatched(panel, project)
    person.press(panel, "1")
    assert len(seen) == 0 and panel.queue.current is None  # nothing waits: an empty state follows, not a pair
    assert judged(project) == 1
    person.click(person.button("Judge these yourself", panel))
    keys = ["1", "2", "Shift+1", "Shift+2", "3", "Right", "Left", "4", "1"]
    for number, key in enumerate(keys, 1):
        here = panel.queue.current.id
        person.press(panel, key)
        assert panel.queue.current.id != here
        assert seen[-1] == (here, True), f"the verdict {key} was not on the disk when the next pair was shown"
        assert judged(project) == 1 + number
    shown = panel.queue.current.id
    person.press(panel, "Backspace")
    assert panel.queue.current.id == here and judged(project) == 9
    person.press(panel, "2")
    assert panel.queue.current.id == shown and judged(project) == 10


def watch_what_is_on_disk(panel: Any, project: Path) -> list[tuple[str, bool]]:
    """At the moment a pair is shown: the pair before it, and whether another connection reads its verdict."""
    seen: list[tuple[str, bool]] = []
    show = panel.pairs.view.show_pair

    def look_and_show(shown: Any) -> None:
        said = panel.queue.said
        if said and said[-1].shown.id != shown.id:
            before = said[-1].shown.id
            seen.append((before, before in judged_pairs(project)))
        show(shown)

    panel.pairs.view.show_pair = look_and_show
    return seen


def judged_pairs(project: Path) -> set[str]:
    labels = Labels(project / "labels.db", write=False)
    try:
        rows = labels.page("comparisons", limit=60, filter_text="", sort="created", descending=True)
        return {row["pair_id"] for row in rows if row["source"] == "human"}
    finally:
        labels.close()


def judged(project: Path) -> int:
    """Pairs with a verdict of a person."""
    labels = Labels(project / "labels.db", write=False)
    try:
        counts = labels.judged_by_people()
        return sum(counts.values()) - counts[""]
    finally:
        labels.close()


def train(person: Person, task: str, numbers: dict[str, str], inputs: dict[str, str], pause: bool = False) -> str:
    """Fill in the form of a method, start it, watch it to its end."""
    panel = person.go("train")
    if panel.watching:
        person.click(panel.to_form)
    person.choose_method(panel.setup, task)
    form = panel.setup.form
    for name, ref in inputs.items():
        person.choose(form.editor(name).combo, ref)
    for name, text in numbers.items():
        person.set_number(form, name, text)
    person.wait(panel.setup.start_button.isEnabled, f"{task} can start: {panel.setup.blockers()}")
    person.click(panel.setup.start_button)
    person.wait(lambda: panel.watching and panel.view.run_id, f"{task} is watched")
    view = panel.view
    if pause:
        person.wait(lambda: view.story.step >= 2, "the first steps")
        person.click(view.header.pause)
        person.wait(lambda: view.story.state == "paused" and view.header.pause.text() == "Go on", "it pauses")
        person.click(view.header.pause)
        person.wait(lambda: view.story.state != "paused", "it goes on")
    so_far = lambda: f"{task}: {view.story.state}, {view.charts.series().keys()}, {list(view.story.log)}"  # noqa: E731
    grown = lambda: any(len(steps) >= 2 for steps, _ in view.charts.series().values())  # noqa: E731
    person.wait(lambda: grown() or view.story.ended, so_far)
    person.wait(lambda: view.story.ended, so_far)
    person.wait(grown, so_far)
    assert view.story.state == "completed", (view.story.end, view.story.log)
    assert view.story.samples and view.samples.current() is not None
    assert {"train/loss", "objective/score"} & {metric for _, metric in view.charts.series()}
    events = [type(envelope.event) for envelope in story(person, view.run_id)]
    assert events.count(RunPaused) == events.count(RunResumed) == int(pause)
    person.wait(lambda: view._ending is not None and view._ending.isVisible(), "it says how it ended")
    return str(view.run_id)


def story(person: Person, run_id: str) -> list[Any]:
    reader = RunsReader(person.session.root)
    try:
        return list(reader.story(run_id))
    finally:
        reader.close()


def look_at_the_runs(person: Person, runs: list[str]) -> None:
    panel = person.go("runs")
    person.wait(lambda: {row["id"] for row in panel._rows} >= set(runs), "all runs are listed")
    person.pick(panel.table, runs[0])
    person.press(panel.table.view, "Return")
    person.wait(lambda: panel.view.story.state == "completed" and panel.view.charts.metrics(), "a past run is shown")
    assert panel.view.run_id == runs[0] and panel.view.story.samples
    person.click(panel.back)
    person.wait(lambda: panel.table.isVisible() and panel.table.model.rowCount() >= len(runs))
    person.pick(panel.table, runs[0])
    person.pick(panel.table, runs[1], also=True)
    person.click(panel.compare_button)
    shown = lambda: {run for run, _ in panel.comparing.charts.series()}  # noqa: E731
    person.wait(lambda: shown() == {runs[0], runs[1]}, "two runs are compared")
    person.click(panel.back)


def ask_base_and_result(person: Person, result: str) -> None:
    panel = person.go("playground")
    person.click(panel.fresh)
    person.fill(panel.side.sampling.editors["samples"].spin, "1")
    person.click(panel.add)
    person.choose(panel.talk.all[0].model, "starter")
    person.choose(panel.talk.all[1].model, result)
    person.type(panel.composer, QUESTION)
    person.press(panel.composer, "Return")
    person.wait(lambda: panel.talk.talked and panel.asking is None, "both answer")
    base, tuned = (column.turns[0].cards[0] for column in panel.talk.all)
    assert base.text().strip() and tuned.text().strip() and base.text() != tuned.text()


def see_the_family(person: Person, sft: str, ppo: str) -> None:
    panel = person.go("models")
    person.wait(lambda: f"run:{ppo}" in panel.family.members, "the models are read")
    person.wait(lambda: panel.tree.select(f"run:{ppo}"))
    names = {ref: member.title for ref, member in panel.family.members.items()}
    line = panel.detail.lineage.text()
    places = [line.index(names[ref]) for ref in ("starter", f"run:{sft}", f"run:{ppo}")]
    assert places == sorted(places), line


def export_it(person: Person, ref: str, folder: Path) -> None:
    panel = person.go("export")
    person.choose(panel.choices.model, ref)
    form = panel.choices.form.editor("form").combo
    form.setFocus()
    person.press(form, "Home")
    while form.currentText() != "merged":
        person.press(form, "Down")
    person.fill(panel.choices.folder, str(folder))
    person.click(panel.export_button)
    person.wait(lambda: not panel.result.isHidden() or panel.trouble.count(), "the export ends")
    assert panel.trouble.count() == 0
    assert panel.result.compared.text().startswith("Reloaded from disk and compared")
    (written,) = folder.iterdir()
    assert json.loads((written / "config.json").read_text())["model_type"] == "llama"
    assert list(written.glob("*.safetensors"))


def change_the_theme(person: Person) -> None:
    panel = person.go("settings")
    person.choose(panel.theme_, "light")
    assert not colors().dark
    person.choose(panel.theme_, "dark")
    assert colors().dark and person.session.settings.theme == "dark"
