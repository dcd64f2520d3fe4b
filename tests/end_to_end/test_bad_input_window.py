"""What goes wrong under a person's hands, met in the window: a sentence where they look, and nothing lost."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog

from rlhf_engine.contract.errors import DiskFull, EngineError, NotFinite
from rlhf_engine.contract.events import CheckpointSaved, Event, Metrics, RunFinished, RunStarted
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from studio.widgets import ErrorCard
from tests.end_to_end.person import SHORT, Person
from tests.studio.conftest import QuietEngine
from tests.studio.panels.run_stage import store

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from rlhf_engine.store.project import Project

held = Project.open(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def quiet_window(open_window: Callable[..., Person], project: Path) -> tuple[Person, Any]:
    """The window on a starter project, and its engine, which says only what a test tells it to."""
    made: list[QuietEngine] = []

    def factory(root: Path, publish: Any, on_state: Any) -> QuietEngine:
        made.append(QuietEngine(root, publish, on_state))
        return made[-1]

    person = open_window(project, factory)
    person.wait(lambda: made, "the engine is made")
    return person, made[0]


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the system's dialogs answer: the file or folder that is last in the list."""
    paths: list[Path] = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(paths[-1]))
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(paths[-1])], ""))
    return paths


def notes(person: Person) -> list[str]:
    """What the notes in the corner say, the newest last."""
    return [toast.label.text() for toast in person.window.toasts._shown]


# Projects -----------------------------------------------------------------------------------------------------------


@contextmanager
def held_by_another_process(root: Path) -> Iterator[int]:
    """The process id of a program that has the project open."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other.pid
    finally:
        other.communicate("")


def test_a_project_that_is_open_elsewhere_is_told_with_the_process_and_the_open_one_stays(
    quiet_window: tuple[Person, Any], tmp_path: Path, chosen: list[Path]
) -> None:
    person, _ = quiet_window
    taken = tmp_path / "taken"
    Project.create(taken, "Taken").close()
    here, title = person.session.root, person.window.windowTitle()
    chosen.append(taken)
    with held_by_another_process(taken) as pid:
        QTest.keyClick(person.window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
        person.wait(lambda: notes(person), "it is said", SHORT)
        assert f"The project {taken} is already open: process {pid} on" in notes(person)[-1]
        assert "Close the other window, or open another project." in notes(person)[-1]
        assert person.session.root == here and person.window.windowTitle() == title
        panel = person.go("compare")
        assert panel.queue is not None and person.session.labels.count("pairs") > 0, "the open project can be used"
        assert str(taken) not in person.session.settings.recent
    QTest.keyClick(person.window, Qt.Key.Key_O, Qt.KeyboardModifier.ControlModifier)
    person.wait(lambda: person.session.root == taken, "once it is free it opens", SHORT)
    assert person.window.windowTitle().startswith("Taken")


# Runs that end badly ------------------------------------------------------------------------------------------------

NAN = NotFinite("The loss is no longer a finite number: its gradient is NaN or infinite.")
FULL = DiskFull("The checkpoint of step 4 could not be written: 0 MB are free.")


@pytest.mark.parametrize(
    ("error", "begun", "steps", "hint"),
    [
        (NAN, {"train/loss": float("nan")}, 3, "Resume from the last checkpoint with a lower learning rate."),
        (FULL, {"train/loss": 1.25}, 4, "Free some space, then resume the run: everything up to the last checkpoint"),
    ],
    ids=["not finite", "disk full"],
)
def test_a_run_that_fails_says_why_where_it_is_watched_and_can_be_resumed_or_cloned(
    quiet_window: tuple[Person, Any], error: EngineError, begun: dict[str, float], steps: int, hint: str
) -> None:
    person, engine = quiet_window
    panel = person.go("train")
    person.choose_method(panel.setup, "sft")
    person.set_number(panel.setup.form, "learning_rate", "0.02")
    person.wait(panel.setup.start_button.isEnabled, lambda: f"{panel.setup.blockers()}")
    person.click(panel.setup.start_button)
    person.wait(lambda: engine.submitted and panel.watching, "it starts")
    run_id, spec, name = engine.submitted[0]
    before = [Metrics(step, {"train/loss": 2.0 - 0.1 * step}) for step in range(1, steps)]
    story: list[Event] = [
        RunStarted("sft", 8),
        *before[:2],
        CheckpointSaved(2, f"runs/{run_id}/checkpoints/2"),
        *before[2:],
    ]
    story += [Metrics(steps, begun), RunFinished("failed", str(error), error.hint)]
    store(person.session, run_id, spec, story, name)  # a worker writes down what it says
    for event in story:
        engine.say(run_id, event)
    view = panel.view
    person.wait(lambda: view._ending is not None and view._ending.isVisible(), "it says how it ended", SHORT)
    card = view._ending
    assert isinstance(card, ErrorCard)
    assert card.title.text() == f"{name} failed at step {steps} of 8"
    assert card.cause.text() == str(error) and card.hint.text().startswith(hint)
    assert card.hint.isVisible() and view.header.pill.text() == "Failed"
    person.wait(lambda: any(str(error) in note for note in notes(person)), "it is told in the corner too", SHORT)

    person.click(person.button("Clone", card))
    person.wait(lambda: not panel.watching, "the form is shown", SHORT)
    assert panel.setup.form.values()["learning_rate"] == 0.02
    assert panel.setup.form.values()["dataset"] == spec.dataset, "the same records, as they were"
    person.click(panel.watch)
    person.wait(lambda: panel.watching, "back at the run", SHORT)
    person.click(person.button("Resume", view))
    person.wait(lambda: engine.resumed == [run_id], "it is resumed", SHORT)
    engine.say(run_id, RunStarted("sft", 8, 2))
    engine.say(run_id, Metrics(3, {"train/loss": 1.5}))
    person.wait(lambda: view.story.going and view._ending is None, "it goes on, and the card is gone", SHORT)
    person.wait(lambda: list(view.charts.series()["", "train/loss"][0]) == [1, 2, 3], "the curve goes on", SHORT)
    engine.say(run_id, RunFinished("completed"))
    person.wait(lambda: view.story.state == "completed", "it ends", SHORT)


# Labels -------------------------------------------------------------------------------------------------------------


def verdicts(project: Path) -> dict[str, tuple[str, str]]:
    """What people said, as another program reads it: pair -> (winner, comment)."""
    labels = Labels(project / "labels.db", write=False)
    try:
        rows = labels.page("comparisons", limit=60, sort="created", descending=True)
        return {row["pair_id"]: (row["winner"], row["comment"]) for row in rows if row["source"] == "human"}
    finally:
        labels.close()


def test_a_verdict_for_which_the_database_has_no_room_stays_on_the_screen_with_its_note(
    quiet_window: tuple[Person, Any], project: Path
) -> None:
    person, _ = quiet_window
    panel = person.go("compare")
    person.click(person.button("Judge these yourself", panel))
    person.press(panel, "1")
    shown, before = panel.queue.current.id, verdicts(project)
    assert len(before) == 1
    database = person.session.labels._db.conn
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then fails as it does on a full disk
    note = "reason " * 4000  # more than fits into the pages there are
    person.press(panel, "N")
    QApplication.clipboard().setText(note)
    person.press(panel.pairs.note, "Ctrl+V", "Return")
    person.press(panel, "Shift+2")
    assert panel.pairs.failure.isVisible() and panel.pairs.failure.property("card") == "bad"
    told = panel.pairs.failure.cause.text()
    assert told.startswith(f"Your verdict is not saved yet: There is no space left for {project / 'labels.db'}.")
    assert told.endswith("What you see stays until it is. As soon as there is space it is saved by itself.")
    assert panel.queue.current.id == shown and panel.pairs.bar.verdicts["right", 3].isChecked()
    assert panel.pairs.note.text() == note.strip() and verdicts(project) == before
    person.press(panel, "Shift+2")  # trying again by key changes nothing as long as there is no room
    assert panel.queue.current.id == shown and panel.pairs.failure.isVisible() and verdicts(project) == before

    database.execute("PRAGMA max_page_count = 1073741823")
    person.click(panel.pairs.failure.retry)
    person.wait(lambda: panel.queue.current.id != shown, "the next pair", SHORT)
    assert not panel.pairs.failure.isVisible() and panel.pairs.note.text() == ""
    assert verdicts(project)[shown][1] == note.strip() and len(verdicts(project)) == 2
    journal = [json.loads(line) for line in (project / "labels.journal.jsonl").read_text().splitlines()]
    assert sum(shown in json.dumps(line) and note.strip() in json.dumps(line) for line in journal) == 1
    assert person.session.labels.check().healthy


# Files --------------------------------------------------------------------------------------------------------------


def open_in_import(person: Person, panel: Any, path: Path, chosen: list[Path]) -> Any:
    """Choose a file by the dialog; the import page, once it has looked at it."""
    page = panel.importing
    chosen.append(path)
    person.click(person.button("Choose a file" if page.path is None else "Another file", page))
    person.wait(lambda: page.path == path and page.steps.currentWidget() is not page._wait_step, f"{path} is looked at")
    person.wait(lambda: page.steps.currentWidget() is not page.looking or page.looking.look is not None, "its rows")
    return page


@pytest.mark.timeout(300)
def test_files_that_cannot_be_imported_are_told_and_a_good_one_is_taken_after_them(
    open_window: Callable[..., Person], project: Path, tmp_path: Path, chosen: list[Path]
) -> None:
    other, cut, good = tmp_path / "other.jsonl", tmp_path / "cut.jsonl.gz", tmp_path / "good.jsonl"
    other.write_text('{"colour": "red", "weight": 3}\n' * 5)
    rows = [json.dumps({"prompt": f"What is {n}?", "completion": os.urandom(40).hex()}) for n in range(8000)]
    whole = "".join(row + "\n" for row in rows)
    cut.write_bytes(gzip.compress(whole.encode())[:-2000])  # what is looked at first is whole
    good.write_text("".join(row + "\n" for row in rows[:50]))
    person = open_window(project)
    panel = person.go("data")
    datasets = {choice.ref for choice in person.session.datasets()}
    person.click(panel.import_button)

    page = open_in_import(person, panel, other, chosen)
    said = page.looking.verdict.text()
    assert "colour" in said and "weight" in said, said
    assert not page.looking.import_button.isEnabled()

    page = open_in_import(person, panel, cut, chosen)
    person.wait(page.looking.import_button.isEnabled, lambda: page.looking.verdict.text())
    person.click(page.looking.import_button)
    person.wait(lambda: page.steps.currentWidget() is page._failed_step, "the import fails")
    (card,) = [card for card in page._failed_step.findChildren(ErrorCard) if card.isVisible()]
    assert card.title.text() == "The import failed"
    assert "cut.jsonl.gz is damaged" in card.cause.text() and "after line" in card.cause.text()
    assert {choice.ref for choice in person.session.datasets()} == datasets

    page = open_in_import(person, panel, good, chosen)
    person.wait(page.looking.import_button.isEnabled, lambda: page.looking.verdict.text())
    person.click(page.looking.import_button)
    person.wait(lambda: page.steps.currentWidget() is page.report, "the import ends")
    assert page.report.summary.text() == "50 demonstrations were imported from good.jsonl."
    person.close()
