"""The Data panel and the Hub: a dataset is found by its name, looked at split by split, fetched and imported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.data.datasets import open_dataset
from studio.panels.data import DataPanel
from studio.panels.data.hub_step import dataset_in
from studio.widgets import ErrorCard
from tests.engine.models.hub_of_data import CONVERTED, HubOfData, parquet

TRAIN = [{"prompt": f"p{n}", "chosen": "good", "rejected": "bad"} for n in range(30)]


@pytest.fixture
def session(studio_home: Path, qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine that carries runs out, and a Hub on this machine with one dataset: owner/words."""
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings

    server = HubOfData()
    server.branches[CONVERTED] = {
        "default/train/0000.parquet": parquet(TRAIN[:20], tmp_path),
        "default/train/0001.parquet": parquet(TRAIN[20:], tmp_path),
        "default/partial-test/0000.parquet": parquet(TRAIN[:4], tmp_path),
    }
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    made: Any = Session(Settings.load(), lambda root, publish, _: ThreadEngine(root, publish))
    made.create_project(tmp_path / "project", "Hub")
    made.served = server
    yield made
    made.close()
    made.deleteLater()
    server.close()


@pytest.fixture
def panel(session: Any, qtbot: Any) -> DataPanel:
    made = DataPanel(session)
    qtbot.addWidget(made)
    made.resize(1180, 780)
    made.show()
    return made


def wait(qtbot: Any, done: Callable[[], bool]) -> None:
    qtbot.waitUntil(done, timeout=60_000)


def test_a_dataset_is_looked_at_fetched_and_imported_with_where_it_came_from(session, panel, qtbot) -> None:
    panel.import_hub("https://huggingface.co/datasets/owner/words/viewer/default/train")
    step = panel.importing.hub_step
    assert step.busy and step.bar.isVisible() and not step.fetch_button.isEnabled()
    wait(qtbot, lambda: not step.busy)
    rows = [step.parts.model.row(at) for at in range(2)]
    assert [(row["config"], row["split"], bool(row["note"])) for row in rows] == [
        ("default", "train", False),
        ("default", "test", True),
    ]
    assert "as the Hub has converted them" in step.said.text() and step.fetch_button.isEnabled()
    step.fetch_button.click()
    page = panel.importing
    wait(qtbot, lambda: page.looking.look is not None and page.steps.currentWidget() is page.looking)
    assert page.looking.look.total == 30 and len(page.more) == 1
    assert page.looking.verdict.text().startswith("All 30 rows: 30 comparisons")
    spec = page.looking.choices.spec()
    assert (spec.path, spec.config, spec.split, spec.more) == ("hub:owner/words", "default", "train", [])
    assert spec.revision == session.served.commit(CONVERTED)
    page.start()
    wait(qtbot, lambda: page.steps.currentWidget() is page.report)
    assert page.report.summary.text() == "30 comparisons were imported from owner/words train."
    info = open_dataset(session.root, page.report._ref).info
    assert (info.origin, info.facts["revision"]) == ("Hub owner/words", spec.revision)


def test_the_columns_as_recognised_still_come_from_the_hub(session, panel, qtbot) -> None:
    panel.import_hub("owner/words")
    step, page = panel.importing.hub_step, panel.importing
    wait(qtbot, lambda: not step.busy)
    step.parts.select(1)
    step.fetch()
    wait(qtbot, lambda: page.looking.look is not None)
    page.looking.choices._as_recognised()
    assert page.looking.choices.spec().split == "test"


def test_a_dataset_that_is_not_there_is_one_sentence_with_a_way_on(panel, qtbot) -> None:
    panel.import_hub("owner/nothing")
    step = panel.importing.hub_step
    wait(qtbot, lambda: not step.busy)
    (card,) = step.findChildren(ErrorCard)
    assert card.cause.text() == "The Hub has no public dataset owner/nothing."
    assert step.look_button.isEnabled() and not step.parts.isVisible()


def test_a_fetch_can_be_stopped_and_looked_for_again(session, panel, qtbot, monkeypatch) -> None:
    monkeypatch.setattr(session.served, "answer", lambda _: time.sleep(20))
    panel.import_hub("owner/words")
    step = panel.importing.hub_step
    wait(qtbot, lambda: "Asking the Hub" in step.bar.label.text())
    step.stop()
    wait(qtbot, lambda: not step.busy)
    assert step.findChildren(ErrorCard) == [] and step.look_button.isEnabled()


def test_what_is_no_name_is_refused_without_asking_anyone(session, panel) -> None:
    panel.import_hub("not a name")
    step = panel.importing.hub_step
    assert "is not a name of a repository" in step.error.text() and step.error.isVisible() and not step.busy


@pytest.mark.parametrize(
    ("typed", "repo"),
    [
        ("owner/words", "owner/words"),
        (" hub:owner/words ", "owner/words"),
        ("https://huggingface.co/datasets/owner/words/tree/main", "owner/words"),
        ("hf.co/datasets/owner/words?x=1", "owner/words"),
        ("datasets/owner/words", "owner/words"),
        ("words", "words"),
    ],
)
def test_a_name_is_found_in_what_was_pasted(typed: str, repo: str) -> None:
    assert dataset_in(typed) == repo
