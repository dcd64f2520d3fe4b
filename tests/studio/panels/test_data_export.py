"""A dataset is written from the window in every layout that the command knows, and pushed if asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import HubError
from rlhf_engine.data.datasets import Dataset, freeze
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Comparison, PromptRecord
from rlhf_engine.models import hub
from studio.panels.data import DataPanel
from studio.widgets import Card, ErrorCard, PlainLabel

RECORDS = [Comparison(f"=p{n}", "good", "bad", n % 3 + 1, "human", f"id{n}") for n in range(40)]
TIE = Comparison("t", "a", "b", 0, "human", "tie")


@pytest.fixture
def session(studio_home: Path, qapp: Any, tmp_path: Path) -> Iterator[Any]:
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings

    made = Session(Settings.load(), lambda root, publish, _: ThreadEngine(root, publish))
    made.create_project(tmp_path / "project", "Mine")
    yield made
    made.close()
    made.deleteLater()


@pytest.fixture
def info(session: Any) -> Any:
    return freeze(session.root, "comparisons", [*RECORDS, TIE], "Mine", "test")


@pytest.fixture
def view(session: Any, info: Any, qtbot: Any) -> Any:
    panel = DataPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1180, 780)
    panel.show()
    panel.receive({"dataset": info.ref})
    qtbot.waitUntil(lambda: panel.datasets._shown is not None, timeout=10_000)
    panel.datasets.export()
    assert panel.datasets.exporting.isVisible()
    panel.datasets.exporting.panel = panel  # kept for as long as the view
    return panel.datasets.exporting


def choose(view: Any, **values: Any) -> None:
    for name, value in values.items():
        view.form.editor(name).set_value(value)


def exported(qtbot: Any, view: Any) -> list[str]:
    view.export()
    qtbot.waitUntil(lambda: not view.busy, timeout=30_000)
    return [label.text() for card in view.findChildren(Card) for label in card.findChildren(PlainLabel)]


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_what_is_exported_natively_is_read_back_the_same(view, info, session, qtbot, format) -> None:
    choose(view, format=format)
    said = exported(qtbot, view)
    assert any(text.startswith("41 rows, 3 files") for text in said)
    (folder,) = (session.root / "exports").iterdir()
    for ours, theirs in (("train", "train"), ("heldout", "test")):
        assert read(folder / f"{theirs}.{format}").records == Dataset(info).records(ours, ties=True)
    assert (folder / "README.md").is_file()


@pytest.mark.parametrize(("layout", "left_out"), [("trl", 1), ("hh", 1), ("argilla", 0)])
def test_other_layouts_say_what_was_left_out(view, qtbot, session, layout, left_out) -> None:
    choose(view, layout=layout)
    said = exported(qtbot, view)
    assert any(text.startswith(f"{41 - left_out} rows") for text in said)
    assert any("ties" in text for text in said) == bool(left_out)
    assert [path.name.startswith(f"Mine-{layout}") for path in (session.root / "exports").iterdir()] == [True]


def test_choices_that_do_not_hold_together_are_marked_and_nothing_is_written(view, session, qtbot) -> None:
    choose(view, layout="trl", format="csv")
    view.export()
    assert not view.busy and not list((session.root / "exports").glob("*"))
    marked = [label.text() for label in view.form.findChildren(PlainLabel) if "CSV cannot hold" in label.text()]
    assert marked


def test_a_push_is_private_unless_chosen_and_a_failed_one_keeps_the_folder(view, session, qtbot, monkeypatch) -> None:
    seen: list[tuple[str, bool, str]] = []

    def push(_folder: Path, repo: str, private: bool, *_: Any, kind: str) -> str:
        seen.append((repo, private, kind))
        return f"https://huggingface.co/datasets/{repo}"

    monkeypatch.setattr(hub, "push", push)
    choose(view, repo="https://huggingface.co/datasets/me/mine")
    said = exported(qtbot, view)
    assert seen == [("me/mine", True, "dataset")] and "https://huggingface.co/datasets/me/mine" in said

    def fails(*_: Any, **__: Any) -> str:
        raise HubError("The Hub cannot be reached.", "Check the network.")

    monkeypatch.setattr(hub, "push", fails)
    exported(qtbot, view)
    (card,) = view.findChildren(ErrorCard)
    assert "The export itself is complete: exports/" in card.cause.text()
    assert len(list((session.root / "exports").iterdir())) == 2


def test_the_records_of_a_table_are_made_a_dataset_and_its_export_opens(session, qtbot) -> None:
    session.labels.add_many("prompts", [PromptRecord(f"Question {n}") for n in range(30)])
    panel = DataPanel(session)
    qtbot.addWidget(panel)
    panel.resize(1180, 780)
    panel.show()
    session.panel_requested.connect(lambda _, hints: panel.receive(hints))
    panel.show_kind("prompts")
    assert panel.pages["prompts"].outward_button.isVisible()
    panel.pages["prompts"].export_outward()
    view = panel.datasets.exporting
    qtbot.waitUntil(view.isVisible, timeout=20_000)
    assert view.ref == panel.datasets._shown.ref and panel.datasets._shown.rows == 30
    assert any(text.startswith("30 rows") for text in exported(qtbot, view))
