"""Weights and data that other people published, in the window, as a person would take them through all of RLHF.

The folder is given by RLHF_REAL_DATA; none of it belongs to this repository.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QFileDialog

from rlhf_engine.store.project import Project
from tests.end_to_end.person import Person
from tests.end_to_end.test_window import train

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[3] / "shared" / "real")).absolute()
STORIES, OTHER = REAL / "weights" / "stories260K", REAL / "weights" / "TinyStories-656K"
HH = REAL / "data" / "hh-rlhf" / "test.jsonl.gz"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real weights and data at {REAL}; set RLHF_REAL_DATA"),
]
EMPTY, TORN = (87, 517, 926, 1104), (1255, 1689, 1951, 1953, 2037)  # lines of HH that are no comparisons
SMALL = {"batch_size": "4", "micro_batch_size": "4", "max_tokens": "256", "sample_every": "1"}
SFT = {**SMALL, "epochs": "0.01", "learning_rate": "2e-3", "evaluate_every": "0"}
REWARD = {**SFT, "learning_rate": "1e-3", "normalise_on": "8", "response_tokens": "8"}
PPO = {**SMALL, "updates": "2", "minibatch_size": "4", "response_tokens": "8", "epochs": "1"}


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What the system's dialogs answer: the file or folder that is last in the list."""
    paths: list[Path] = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(paths[-1]))
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *_: ([str(paths[-1])], ""))
    return paths


@pytest.mark.timeout(600)
def test_published_weights_and_comparisons_go_through_all_of_rlhf_in_the_window(
    open_window: Callable[..., Person], tmp_path: Path, chosen: list[Path]
) -> None:
    root = tmp_path / "real"
    Project.create(root, "Real").close()
    person = open_window(root)
    pairs = import_hh(person, chosen)
    add_models(person, chosen)
    ask_for_a_story(person)
    sft = train(person, "sft", SFT, {"model": str(STORIES), "dataset": pairs})
    reward = train(person, "reward", REWARD, {"model": f"run:{sft}", "dataset": pairs})
    inputs = {"policy": f"run:{sft}", "reward_model": f"run:{reward}", "dataset": pairs}
    ppo = train(person, "ppo", PPO, inputs)
    for run in (sft, reward, ppo):
        curves = person.session.runs.metrics(run)
        assert all(math.isfinite(value) for curve in curves.values() for _, value in curve), run
    first = {name: curve[0][1] for name, curve in person.session.runs.metrics(ppo).items()}
    assert first["objective/kl_sequence"] == 0.0, "the policy is its own reference before the first update"
    assert first["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-6)
    person.close()


def import_hh(person: Person, chosen: list[Path]) -> str:
    """2,312 rows, of which nine are left out and shown by line and reason; the dataset's reference."""
    panel = person.go("data")
    person.click(panel.import_button)
    page = panel.importing
    chosen.append(HH)
    person.click(person.button("Choose a file", page))
    person.wait(lambda: page.looking.look is not None, "it is looked at")
    person.wait(page.looking.import_button.isEnabled, lambda: page.looking.verdict.text())
    assert page.looking.import_button.text() == "Import the comparisons"
    person.click(page.looking.import_button)
    person.wait(lambda: page.steps.currentWidget() in (page.report, page._failed_step), "the import ends")
    report = page.report
    assert page.steps.currentWidget() is report
    assert report.summary.text() == "2,303 comparisons were imported from test.jsonl.gz."
    assert (report.kept.text(), report.left_out.text()) == ("2,303 kept", "9 of 2,312 left out")
    assert report.about.text().startswith("2,084 to train on, 219 held out by prompt.")
    person.wait(lambda: report.table.isVisible() and report.table.model.rowCount() == 9, "the rows left out")
    rows: list[Any] = [report.table.model.row(number) for number in range(9)]
    assert [(row["line"], row["field"]) for row in rows] == [
        *((line, "chosen") for line in EMPTY),
        *((line, "rejected") for line in TORN),
    ]
    reasons = [row["reason"] for row in rows]
    assert reasons == ["ends with an empty answer"] * 4 + ["answers another conversation than chosen does"] * 5
    (dataset,) = person.session.datasets("comparisons")
    assert dataset.rows == 2303
    return str(dataset.ref)


def add_models(person: Person, chosen: list[Path]) -> None:
    panel = person.go("models")
    for folder, parameters in ((STORIES, 260_000), (OTHER, 656_000)):
        chosen.append(folder)
        person.click(person.button("Add a folder", panel))
        person.wait(lambda: panel.tree.current() == str(chosen[-1]) or panel.trouble.count(), f"{folder} is added")
        assert panel.trouble.count() == 0
        counted = int(dict(panel.detail.facts.rows)["Parameters"].replace(",", ""))
        assert counted == pytest.approx(parameters, rel=0.05)
    assert {row["ref"] for row in person.session.labels.models()} == {str(STORIES), str(OTHER)}


def ask_for_a_story(person: Person) -> None:
    """Word for word the story that these weights tell without chance."""
    panel = person.go("playground")
    panel.side.setCurrentIndex(1)
    sampling = panel.side.sampling.editors
    for name, text in (("samples", "1"), ("max_new_tokens", "40"), ("temperature", "0")):
        person.fill(sampling[name].spin, text)
    person.choose(panel.talk.all[0].model, str(STORIES))
    person.type(panel.composer, "Once upon a time")
    person.press(panel.composer, "Return")
    person.wait(lambda: panel.talk.talked and panel.asking is None, "it answers")
    (card,) = panel.talk.all[0].turns[0].cards
    assert card.text().startswith(", there was a little girl named Lily. She loved to play"), card.text()
