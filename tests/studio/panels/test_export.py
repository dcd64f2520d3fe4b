"""The Export panel: told what an export says, and once with a real one of a model trained here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from rlhf_engine.contract.events import Produced, RunFinished, RunStarted, Stage
from studio.panels.export import ExportPanel
from studio.panels.export.result import how_to_load
from studio.widgets import ErrorCard
from tests.studio.panels.test_models import write_result

LISTED = {
    "dry_run": True,
    "files": [{"name": "model.safetensors", "size": 4_000_000}, {"name": "README.md", "size": 900}],
    "bytes": 4_000_900,
    "repo": "",
    "private": True,
    "card": "# generated",
}
DONE = {
    "form": "merged",
    "compared": "Reloaded from disk and compared: 100.0% of 190 choices agree.",
    "largest_difference": 2e-5,
    "files": [{"name": "README.md", "size": 900}],
    "bytes": 900,
}
README = '# x\n\n```python\nfrom t import A\n\nfolder = "lamp"\nmodel = A(folder)\n```\n'


@pytest.fixture
def show(qtbot) -> Callable[[Any], ExportPanel]:
    def made(session: Any) -> ExportPanel:
        panel = ExportPanel(session)
        qtbot.addWidget(panel)
        panel.resize(1180, 780)
        panel.show()
        return panel

    return made


@pytest.fixture
def panel(session, show) -> ExportPanel:
    write_result(session.root, "a" * 12, "sft", "starter", "starter", "polite")
    write_result(session.root, "b" * 12, "reward", "starter", "run:" + "a" * 12, "judge")
    return show(session)


def say(session: Any, qtbot: Any, panel: ExportPanel, *events: Any) -> None:
    """Let the engine say these of the run in progress, and wait until all are heard."""
    run_id = panel.run_id
    for event in (RunStarted("export", 0), *events):
        session.quiet.say(run_id, event)
    ends = any(isinstance(event, RunFinished) for event in events)
    qtbot.waitUntil(lambda: panel.run_id == "" if ends else bool(panel.bar.label.text()), timeout=5000)


def test_without_a_result_the_panel_says_what_to_do(session, show) -> None:
    panel = show(session)
    assert panel.pages.currentIndex() == 1


def test_every_result_can_be_chosen_reward_models_too(panel) -> None:
    refs = {panel.choices.model.itemData(n) for n in range(panel.choices.model.count())}
    assert refs == {"run:" + "a" * 12, "run:" + "b" * 12}
    panel.receive({"model": "run:" + "b" * 12})
    assert panel.choices.ref() == "run:" + "b" * 12


def test_the_files_and_the_card_are_shown_before_anything_is_written(session, panel, qtbot) -> None:
    panel.list_files()
    ((_, spec, _),) = session.quiet.submitted
    assert spec.dry_run and spec.form == "merged" and spec.private
    say(session, qtbot, panel, Produced("export", "exports/lamp", LISTED), RunFinished("completed"))
    assert panel.files.model.rowCount() == 2
    assert panel.files_said.text() == "4 MB, in exports/lamp."
    assert panel.card.box.toPlainText() == "# generated"
    assert panel.result.isHidden()


def test_a_card_that_a_person_changed_is_kept_and_sent(session, panel, qtbot) -> None:
    panel.list_files()
    say(session, qtbot, panel, Produced("export", "exports/lamp", LISTED), RunFinished("completed"))
    panel.export()
    assert session.quiet.submitted[-1][1].card == ""  # the engine writes it, with what it has measured by then
    say(session, qtbot, panel, RunFinished("cancelled"))
    panel.card.box.setPlainText("# my own")
    panel.choices.form.set_value("form", "adapter")
    QApplication.processEvents()
    assert panel.card.box.toPlainText() == "# my own"
    panel.export()
    spec = session.quiet.submitted[-1][1]
    assert (spec.card, spec.form, spec.dry_run) == ("# my own", "adapter", False)
    panel.card.back.click()
    assert panel.card.own() == ""


def test_a_finished_export_shows_its_place_its_verification_and_how_to_load_it(session, panel, qtbot) -> None:
    folder = session.root / "exports" / "lamp"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(README)
    panel.export()
    say(
        session,
        qtbot,
        panel,
        Stage("Comparing it", 4, 5),
        Produced("export", "exports/lamp", DONE),
        RunFinished("completed"),
    )
    assert panel.result.isVisible()
    assert panel.result.path.text() == str(folder)
    assert panel.result.compared.text() == DONE["compared"]
    qtbot.waitUntil(lambda: bool(panel.result.code.text()), timeout=3000)
    assert f'folder = "{folder}"' in panel.result.code.text()
    panel.result._copy()
    assert "from t import A" in QApplication.clipboard().text()


def test_a_push_that_fails_is_one_sentence_and_the_export_is_shown(session, panel, qtbot) -> None:
    panel.choices.form.set_value("repo", "owner/lamp")
    QApplication.processEvents()
    assert panel.export_button.text() == "Export and push"
    panel.export()
    assert session.quiet.submitted[-1][1].repo == "owner/lamp"
    failed = RunFinished("failed", "Nobody is signed in to the Hub.", "Make a token.")
    say(session, qtbot, panel, Produced("export", "exports/lamp", DONE), failed)
    (card,) = panel.findChildren(ErrorCard)
    assert card.title.text() == "The push failed; the export on this machine is complete"
    assert card.cause.text() == "Nobody is signed in to the Hub."
    assert panel.result.isVisible()


def test_an_export_that_fails_says_why_and_can_be_tried_again(session, panel, qtbot) -> None:
    panel.export()
    say(session, qtbot, panel, RunFinished("failed", "The export needs 9 MB.", "Free some space."))
    (card,) = panel.findChildren(ErrorCard)
    assert (card.title.text(), card.cause.text()) == ("The export failed", "The export needs 9 MB.")
    assert panel.result.isHidden() and panel.export_button.isVisible()


def test_an_export_can_be_stopped_and_choices_wait_meanwhile(session, panel, qtbot) -> None:
    panel.export()
    run_id = panel.run_id
    assert panel.bar.isVisible() and not panel.choices.isEnabled()
    panel.stop()
    assert session.quiet.controls[run_id].thrown == ["cancel"]
    say(session, qtbot, panel, RunFinished("cancelled"))
    assert panel.choices.isEnabled()


def test_an_address_of_the_hub_is_taken_for_its_name(panel) -> None:
    panel.choices.form.set_value("repo", "https://huggingface.co/owner/lamp/")
    assert panel.choices.spec().repo == "owner/lamp"


def test_precision_is_a_matter_of_merged_weights(panel) -> None:
    panel.choices.form.set_value("form", "adapter")
    QApplication.processEvents()
    assert not panel.choices.form.editor("dtype").isEnabled()


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        ('folder = "lamp"', 'folder = "{here}"'),
        ('folder = snapshot_download("owner/lamp")', 'folder = "{here}"'),
        ('folder, base = "lamp", "owner/base"', 'folder, base = "{here}", "owner/base"'),
    ],
)
def test_the_example_names_the_folder_as_it_is_here(tmp_path: Path, line: str, loaded: str) -> None:
    (tmp_path / "README.md").write_text(f"```python\n{line}\nmodel = A(folder)\n```\n")
    assert how_to_load(tmp_path, on_hub=False).splitlines()[0] == loaded.format(here=tmp_path)
    assert how_to_load(tmp_path, on_hub=True).splitlines()[0] == line
    assert how_to_load(tmp_path / "nowhere", on_hub=False) == ""


# For real


@pytest.fixture
def trained(studio_home: Path, qapp: Any, tmp_path: Path) -> Iterator[Any]:
    """A project with an adapter that changes something, and an engine that carries runs out."""
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings
    from tests.engine.tasks.export.conftest import Project
    from tests.engine.tiny import tiny_model

    session: Any = Session(Settings.load(), lambda root, publish, _: ThreadEngine(root, publish))
    session.create_project(tmp_path / "project", "Export")
    Project(session.root, tiny_model(tmp_path / "base")).train("a" * 12)
    from rlhf_engine.store.runs import RunsWriter

    with RunsWriter(session.root) as writer:
        writer.start("a" * 12, "{}", "sft", "polite")
    yield session
    session.close()
    session.deleteLater()


@pytest.mark.slow
def test_a_model_is_listed_and_exported_for_real(trained, show, qtbot) -> None:
    panel = show(trained)
    panel.list_files()
    qtbot.waitUntil(lambda: panel.run_id == "", timeout=90_000)
    assert {panel.files.model.row(n)["name"] for n in range(panel.files.model.rowCount())} >= {
        "README.md",
        "config.json",
        "model.safetensors",
    }
    assert panel.card.box.toPlainText().startswith("---")
    qtbot.waitUntil(lambda: [row.task for row in trained.runs.runs()] == ["sft"], timeout=10_000)  # a list is no run
    panel.export()
    qtbot.waitUntil(lambda: panel.run_id == "", timeout=120_000)
    assert panel.result.isVisible(), [card.text() for card in panel.findChildren(ErrorCard)]
    assert (panel.result._folder / "model.safetensors").is_file()
    assert "agree" in panel.result.compared.text()
