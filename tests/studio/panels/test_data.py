"""The Data panel on real projects and real files: tables, writing, and the three steps of an import."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QApplication

from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating
from studio.panels.data import DataPanel
from studio.panels.data import files as data_files
from studio.panels.data.adding import AddToProject, as_row
from studio.panels.data.check_view import CheckView
from studio.panels.data.datasets_page import DatasetRows
from studio.panels.data.import_report import save_report
from studio.panels.data.slices import Slices
from studio.panels.data.words import verdict, when
from studio.widgets import Pill, PlainLabel, Query

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real")) / "data"


@pytest.fixture
def real_session(studio_home: Path, qapp: Any, tmp_path: Path) -> Iterator[Any]:
    """The starter project and an engine that carries runs out."""
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings

    session = Session(Settings.load(), lambda root, publish, _: ThreadEngine(root, publish))
    session.create_project(tmp_path / "starter", "Starter", starter=True)
    yield session
    session.close()
    session.deleteLater()


@pytest.fixture
def show(qtbot: Any) -> Callable[[Any], DataPanel]:
    def made(session: Any) -> DataPanel:
        panel = DataPanel(session)
        qtbot.addWidget(panel)
        panel.resize(1180, 780)
        panel.show()
        return panel

    return made


def settle(qtbot: Any, panel: DataPanel, seconds: float = 30) -> None:
    """Wait until the import page knows what it thinks of a file."""
    page = panel.importing
    qtbot.waitUntil(
        lambda: page.looking.look is not None and page.steps.currentIndex() == 2, timeout=int(seconds * 1000)
    )


def pills(detail: Any) -> list[str]:
    """The words in the rounded frames above a record."""
    return [pill.text() for pill in detail.findChildren(Pill) if pill.isVisible()]


def import_now(qtbot: Any, panel: DataPanel, path: Path) -> None:
    panel.show_import()
    panel.importing.open(path)
    settle(qtbot, panel)
    panel.importing.start()
    ends = (panel.importing.report, panel.importing._failed_step)
    qtbot.waitUntil(lambda: panel.importing.steps.currentWidget() in ends, timeout=90_000)


# Records


def test_the_tables_show_what_the_project_holds(real_session, show) -> None:
    panel = show(real_session)
    counts = {kind: real_session.labels.count(kind) for kind in panel.pages}
    assert counts["prompts"] > 1000
    for kind, page in panel.pages.items():
        assert page.table.model.rowCount() == counts[kind]
        ends = f"{counts[kind]:,}" if counts[kind] else kind[1:]
        assert panel.tabs.tabText(list(panel.pages).index(kind)).endswith(ends)


def test_a_selected_record_is_shown_whole_and_as_plain_text(session, show, qtbot) -> None:
    text = "<b>no markup</b> " + "word " * 200
    session.labels.add_demonstration(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}], text
    )
    panel = show(session)
    panel.show_kind("demonstrations")
    page = panel.pages["demonstrations"]
    page.table.view.selectRow(0)
    assert [view.text() for view in page.detail.texts] == ["Be brief.", "Hi", text]
    assert "characters" in page.detail.facts.text()


def test_a_filter_and_a_sort_are_answered_by_the_labels(session, show, qtbot) -> None:
    for name in ("pear", "apple", "fig"):
        session.labels.add_prompt(f"What is a {name}?")
    panel = show(session)
    table = panel.pages["prompts"].table
    assert [table.model.row(n)["prompt"][10:] for n in range(3)] == ["fig?", "apple?", "pear?"]  # the newest first
    table.model.sort(0, Qt.SortOrder.AscendingOrder)
    assert [table.model.row(n)["prompt"][10:] for n in range(3)] == ["apple?", "fig?", "pear?"]
    table.filter.setText("fig")
    qtbot.waitUntil(lambda: table.model.rowCount() == 1, timeout=2000)


def test_a_large_table_is_searched_on_another_thread(session, show, qtbot, monkeypatch) -> None:
    from studio.panels.data import record_rows

    monkeypatch.setattr(record_rows, "DIRECT", 10)
    session.labels.add_many("prompts", [PromptRecord(f"Question {n}") for n in range(250)])
    panel = show(session)
    table = panel.pages["prompts"].table
    assert table.model.rowCount() == 250  # in order of time it needs no other thread
    table.filter.setText("Question 24")
    qtbot.waitUntil(lambda: table.model.rowCount() == 11, timeout=5000)  # 24 and 240 to 249
    qtbot.waitUntil(lambda: table.model.row(0) is not None, timeout=5000)
    assert table.model.row(0)["prompt"] == "Question 249"


def test_a_record_is_added_edited_retired_and_each_step_taken_back(session, show, qtbot) -> None:
    panel = show(session)
    page = panel.pages["prompts"]
    page.add()
    page.editor.prompt.turns[0].box.setPlainText("What is a lamp?")
    page.editor.saved.emit()
    assert [row["prompt"] for row in session.labels.page("prompts")] == ["What is a lamp?"]
    assert page.table.current()["source"] == "human"

    page.edit()
    page.editor.prompt.turns[0].box.setPlainText("What is a lantern?")
    page.editor.saved.emit()
    assert [row["prompt"] for row in session.labels.page("prompts")] == ["What is a lantern?"]
    assert page.side.currentIndex() == 1

    page.retire()
    qtbot.waitUntil(lambda: page._slices is None, timeout=3000)
    assert session.labels.count("prompts") == 0
    page.retired.setChecked(True)
    assert page.table.model.rowCount() == 1

    panel.undo()
    assert session.labels.count("prompts") == 1
    panel.undo()
    assert [row["prompt"] for row in session.labels.page("prompts")] == ["What is a lamp?"]
    panel.undo()
    assert session.labels.count("prompts") == 0 and not panel.undo_button.isEnabled()


def test_a_comparison_is_written_and_judged_again(session, show) -> None:
    panel = show(session)
    panel.show_kind("comparisons")
    page = panel.pages["comparisons"]
    page.add()
    page.editor.prompt.turns[0].box.setPlainText("2 + 2?")
    page.editor.a.setPlainText("4")
    page.editor.b.setPlainText("5")
    page.editor.saved.emit()
    (record,) = session.labels.records("comparisons")
    assert (record.chosen, record.rejected, record.strength) == ("4", "5", 2)

    page.table.view.selectRow(0)
    page.edit()
    page.editor.winner.setCurrentIndex(page.editor.winner.findData("b"))
    page.editor.strength.setCurrentIndex(page.editor.strength.findData(3))
    page.editor.saved.emit()
    (record,) = session.labels.records("comparisons")
    assert (record.chosen, record.strength) == ("5", 3)
    panel.undo()
    (record,) = session.labels.records("comparisons")
    assert (record.chosen, record.strength) == ("4", 2)


def test_a_rating_is_written_changed_and_taken_back(session, show) -> None:
    panel = show(session)
    panel.show_kind("ratings")
    page = panel.pages["ratings"]
    page.add()
    assert page.editor.liked.isVisible() and not page.editor.winner.isVisible()
    page.editor.prompt.turns[0].box.setPlainText("2 + 2?")
    page.editor.completion.setPlainText("5")
    page.editor.liked.setCurrentIndex(page.editor.liked.findData(False))
    page.editor.saved.emit()
    (record,) = session.labels.records("ratings")
    assert (record.prompt, record.completion, record.liked, record.source) == ("2 + 2?", "5", False, "human")

    page.table.view.selectRow(0)
    assert "Not liked" in pills(page.detail)
    page.edit()
    page.editor.completion.setPlainText("4")
    page.editor.liked.setCurrentIndex(page.editor.liked.findData(True))
    page.editor.saved.emit()
    (record,) = session.labels.records("ratings")
    assert (record.completion, record.liked) == ("4", True)
    assert "Liked" in pills(page.detail)
    panel.undo()
    (record,) = session.labels.records("ratings")
    assert (record.completion, record.liked) == ("5", False)
    panel.undo()
    assert session.labels.count("ratings") == 0  # although its row is not the one that was added first
    assert not panel.undo_button.isEnabled()


def test_ratings_are_shown_sorted_filtered_and_exported(session, show, qtbot, tmp_path, monkeypatch) -> None:
    session.labels.add_many("ratings", [Rating(f"Q{n}", f"A{n}", n % 3 == 0, "rule") for n in range(9)])
    panel = show(session)
    panel.show_kind("ratings")
    page = panel.pages["ratings"]
    model = page.table.model
    assert panel.tabs.tabText(3) == "Ratings  9"
    assert [model.headerData(n, Qt.Orientation.Horizontal) for n in range(3)] == ["Prompt", "Answer", "Verdict"]
    assert [model.data(model.index(n, 2)) for n in range(3)] == ["Not liked", "Not liked", "Liked"]  # the newest first
    model.sort(2, Qt.SortOrder.DescendingOrder)
    assert [model.data(model.index(n, 2)) for n in range(4)] == ["Liked", "Liked", "Liked", "Not liked"]
    page.table.filter.setText("a7")
    qtbot.waitUntil(lambda: model.rowCount() == 1, timeout=2000)
    for ending in ("csv", "jsonl"):
        path = tmp_path / f"out.{ending}"
        monkeypatch.setattr(data_files.QFileDialog, "getSaveFileName", lambda *_, path=path: (str(path), ""))
        page.export()
        qtbot.waitUntil(path.exists, timeout=10_000)
        back = read(path)
        assert (back.kind, [record.liked for record in back.records]) == ("ratings", [n % 3 == 0 for n in range(9)])


def test_a_tie_is_called_a_tie_in_the_table_and_in_a_dataset(session, show, qtbot) -> None:
    pairs = [Comparison("Why?", "Because.", "Hm."), Comparison("How?", "So.", "Thus.", 0)]
    session.labels.add_many("comparisons", [as_row(pair) for pair in pairs])
    panel = show(session)
    panel.show_kind("comparisons")
    page = panel.pages["comparisons"]
    assert page.table.model.row(0)["verdict"] == "Tie"  # the newest first
    page.freeze()
    qtbot.waitUntil(lambda: panel.datasets.table.model.rowCount() == 1, timeout=10_000)
    panel.show_kind("datasets")
    panel.datasets.table.view.selectRow(0)
    assert "Ties: 1" in panel.datasets.facts.text()
    viewer = panel.datasets.viewer
    qtbot.waitUntil(lambda: viewer.model.rowCount() == 2 and viewer.model.row(1) is not None, timeout=10_000)
    assert [viewer.model.row(n)["verdict"] for n in range(2)] == ["better", "Tie"]
    viewer.view.selectRow(1)
    qtbot.waitUntil(lambda: "Tie" in pills(panel.datasets.detail), timeout=2000)


def test_an_empty_record_is_refused_in_a_sentence(session, show) -> None:
    panel = show(session)
    page = panel.pages["prompts"]
    page.add()
    page.editor.saved.emit()
    assert page.editor.error.isVisible() and "prompt" in page.editor.error.text()
    assert session.labels.count("prompts") == 0


def test_a_conversation_can_be_written_turn_by_turn(session, show) -> None:
    page = show(session).pages["prompts"]
    page.add()
    turns = page.editor.prompt
    turns.turns[0].box.setPlainText("Hello")
    turns.add.click()
    turns.turns[1].box.setPlainText("Hello, who is there?")
    turns.add.click()
    turns.turns[2].box.setPlainText("Me.")
    assert [turn["role"] for turn in turns.value()] == ["user", "assistant", "user"]
    page.editor.saved.emit()
    assert session.labels.count("prompts") == 1


def test_records_are_exported_and_come_back_the_same(session, show, qtbot, tmp_path, monkeypatch) -> None:
    session.labels.add_many("demonstrations", [Demonstration(f"Q{n}", f"=A{n}") for n in range(5)])
    page = show(session).pages["demonstrations"]
    toasts: list[str] = []
    session.toasted.connect(lambda *said: toasts.append(said[1]))
    for ending in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"out.{ending}"
        monkeypatch.setattr(data_files.QFileDialog, "getSaveFileName", lambda *_, path=path: (str(path), ""))
        page.export()
        qtbot.waitUntil(path.exists, timeout=10_000)
        back = read(path)
        assert [(record.prompt, record.completion) for record in back.records] == [
            (f"Q{n}", f"=A{n}") for n in range(5)
        ]
    qtbot.waitUntil(lambda: len(toasts) == 3, timeout=5000)
    assert toasts[0] == "5 records were written to out.jsonl."


def test_an_empty_table_says_what_belongs_there(session, show) -> None:
    panel = show(session)
    for kind in panel.pages:
        panel.show_kind(kind)
        empty = panel.pages[kind].table._empty
        assert empty.isVisible() and empty.sentence.text().endswith("belong here.")
    panel.show_kind("datasets")
    assert panel.datasets.table._empty.isVisible()


def test_without_a_project_nothing_is_asked(empty_session, show) -> None:
    panel = show(empty_session)
    assert panel.pages["prompts"].table.model.rowCount() == 0


def test_a_dataset_made_of_the_records_is_not_offered_to_be_added_to_them(session, show, qtbot) -> None:
    session.labels.add_prompt("What is a lamp?")
    panel = show(session)
    panel.pages["prompts"].freeze()
    qtbot.waitUntil(lambda: panel.datasets.table.model.rowCount() == 1, timeout=10_000)
    panel.show_kind("datasets")
    panel.datasets.table.view.selectRow(0)
    assert panel.datasets.facts.isVisible() and not panel.datasets.adding.isVisible()


# Files


@pytest.fixture
def comparisons_file(tmp_path: Path) -> Path:
    rows = [{"prompt": f"Q{n}", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(30)]
    rows[4]["rejected"] = rows[4]["chosen"]
    rows[7]["chosen"] = ""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_is_understood_before_anything_is_kept(session, show, qtbot, comparisons_file) -> None:
    panel = show(session)
    panel.show_import()
    panel.importing.open(comparisons_file)
    settle(qtbot, panel)
    page = panel.importing
    assert (page.looking.look.kind, page.looking.look.good, page.looking.look.total) == ("comparisons", 28, 30)
    assert page.looking.verdict.text().startswith("All 30 rows: 28 comparisons, 2 left out.")
    assert [page.looking.issues.model.row(n)["line"] for n in range(2)] == [5, 8]
    assert page.looking.tabs.widget(0).model.rowCount() == 30
    assert page.looking.records.model.rowCount() == 28
    assert page.looking.import_button.isEnabled()
    assert session.datasets() == []
    page.start()
    ((_, spec, _),) = session.quiet.submitted
    assert (spec.kind, spec.layout, spec.columns, spec.name) == ("auto", "auto", {}, "pairs.jsonl")
    page.stop()
    assert session.quiet.controls[page.run_id].thrown == ["cancel"]
    page.begin()


def test_columns_with_names_of_their_own_are_mapped_by_hand(session, show, qtbot, tmp_path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("frage,gut,schlecht\n" + "".join(f"Was ist {n}?,Es ist {n},Keine Ahnung {n}\n" for n in range(9)))
    panel = show(session)
    panel.show_import()
    page = panel.importing
    page.open(path)
    settle(qtbot, panel)
    assert page.looking.look.error is not None and not page.looking.import_button.isEnabled()
    assert "is in no layout that is known" in page.looking.verdict.text()
    assert page.looking.choices.unknown.isVisible()
    for field, column in {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}.items():
        combo = page.looking.choices.columns[field]
        combo.setCurrentIndex(combo.findData(column))
    qtbot.waitUntil(lambda: page.looking.import_button.isEnabled(), timeout=5000)
    assert (page.looking.look.kind, page.looking.look.good) == ("comparisons", 9)
    assert page.looking.choices.spec().columns == {"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}


def test_the_kind_can_be_another_than_recognised(session, show, qtbot, comparisons_file) -> None:
    panel = show(session)
    panel.show_import()
    page = panel.importing
    page.open(comparisons_file)
    settle(qtbot, panel)
    page.looking.choices.kind.setCurrentIndex(page.looking.choices.kind.findData("demonstrations"))
    qtbot.waitUntil(lambda: page.looking.look is not None and page.looking.look.kind == "demonstrations", timeout=5000)
    assert page.looking.import_button.text() == "Import the demonstrations"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("cut.jsonl.gz", gzip.compress(b'{"prompt": "a"}\n' * 9000, mtime=0)[:60], "cannot be unpacked"),
        ("empty.jsonl", b"", "empty"),
        ("list.json", b'{"no": "rows"}', "holds no list of rows"),
    ],
    ids=["cut off", "empty", "no rows"],
)
def test_a_file_that_cannot_be_read_is_an_error_in_the_panel(
    session, show, qtbot, tmp_path, name, content, sentence
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    panel = show(session)
    panel.show_import()
    page = panel.importing
    page.open(path)
    said: list[str] = []

    def found() -> bool:
        from studio.widgets import ErrorCard

        cards = page._failed_step.findChildren(ErrorCard)
        said[:] = [card.cause.text() for card in cards]
        return page.steps.currentWidget() is page._failed_step or (
            page.looking.look is not None and page.looking.look.error is not None
        )

    qtbot.waitUntil(found, timeout=5000)
    told = " ".join(said) + (str(page.looking.look.error) if page.looking.look and page.looking.look.error else "")
    assert sentence in told
    assert not page.looking.import_button.isEnabled()


def test_a_dropped_file_opens_the_import(session, show, qtbot, comparisons_file) -> None:
    panel = show(session)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(comparisons_file))])
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    panel.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, mime, left, none))
    settle(qtbot, panel)
    assert panel.importing.title.text() == "pairs.jsonl"


def test_an_import_is_carried_out_reported_and_added(real_session, show, qtbot, comparisons_file, tmp_path) -> None:
    panel = show(real_session)
    before = real_session.labels.count("comparisons")
    import_now(qtbot, panel, comparisons_file)
    report = panel.importing.report
    assert report.summary.text() == "28 comparisons were imported from pairs.jsonl."
    qtbot.waitUntil(lambda: report.table.model.rowCount() == 2, timeout=5000)
    rows = [report.table.model.row(n) for n in range(2)]
    assert [(row["line"], row["field"]) for row in rows] == [(5, "rejected"), (8, "chosen")]
    assert [choice.rows for choice in real_session.datasets("comparisons")] == [28]

    save_report(report._report, tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text().splitlines()[0] == '"line","field","reason"'

    report.adding.add()
    qtbot.waitUntil(lambda: not report.adding.busy and report.adding.said.isVisible(), timeout=20_000)
    assert real_session.labels.count("comparisons") == before + 28
    newest = real_session.labels.page("comparisons", limit=28, descending=True)
    assert {row["source"] for row in newest} == {"import"}
    assert not report.adding.button.isEnabled()  # nothing is added twice

    panel.receive({"dataset": report._ref})
    qtbot.waitUntil(lambda: panel.datasets.viewer is not None, timeout=5000)
    viewer = panel.datasets.viewer
    qtbot.waitUntil(lambda: viewer.model.rowCount() == 28 and viewer.model.row(0) is not None, timeout=10_000)
    viewer.view.selectRow(0)
    assert [view.text() for view in panel.datasets.detail.texts] == ["Q0", "good 0", "bad 0"]


def test_ratings_are_imported_reported_and_added(real_session, show, qtbot, tmp_path) -> None:
    path = tmp_path / "rated.csv"
    path.write_text("prompt,completion,rating\n" + "".join(f"Q{n},A{n},{1 + n % 5}\n" for n in range(10)))
    panel = show(real_session)
    panel.show_import()
    panel.importing.open(path)
    settle(qtbot, panel)
    looking = panel.importing.looking
    assert looking.verdict.text().startswith("All 10 rows: 8 ratings, 2 left out.")
    assert looking.choices.columns["rating"].currentData() == "rating"
    assert looking.import_button.text() == "Import the ratings"
    panel.importing.start()
    report = panel.importing.report
    qtbot.waitUntil(lambda: panel.importing.steps.currentWidget() is report, timeout=90_000)
    assert report.summary.text() == "8 ratings were imported from rated.csv."
    assert "4 are liked, 4 are not." in report.about.text()
    qtbot.waitUntil(lambda: report.table.model.rowCount() == 2, timeout=5000)
    assert report.table.model.row(0)["reason"] == "is 3 of 5, which is undecided"
    report.adding.add()
    qtbot.waitUntil(lambda: not report.adding.busy and report.adding.said.isVisible(), timeout=20_000)
    assert [record.liked for record in real_session.labels.records("ratings")] == [False, False, True, True] * 2
    panel.show_kind("ratings")
    assert panel.pages["ratings"].table.model.rowCount() == 8


def test_tasks_of_a_folder_show_their_examples_and_become_one_dataset(session, show, qtbot, tmp_path) -> None:
    folder = tmp_path / "tasks"
    folder.mkdir()
    for name in ("task1_sums", "task2_more"):
        solved = [{"input": f"{n} + {n}", "output": str(2 * n)} for n in range(3)]
        body = {"Definition": ["Add."], "Positive Examples": solved, "Instances": [{"input": "3 + 4", "output": ["7"]}]}
        (folder / f"{name}.json").write_text(json.dumps(body))
    (folder / "task2_more.json").write_text(json.dumps({**body, "Instances": [*body["Instances"], {"input": "1"}]}))
    panel = show(session)
    panel.show_import()
    page = panel.importing
    page.open(folder)
    settle(qtbot, panel)
    looking = page.looking
    assert (looking.look.kind, looking.look.layout, looking.look.good) == ("demonstrations", "task", 2)
    assert looking.choices.examples.isVisible() and looking.look.records[0].prompt.count("Example") == 2
    issue = looking.issues.model.row(0)
    assert (issue["line"], issue["reason"]) == (2, "In task2_more.json: is missing")
    looking.choices.examples.setCurrentIndex(looking.choices.examples.findData(3))
    qtbot.waitUntil(lambda: looking.look.records[0].prompt.count("Example") == 3, timeout=5000)
    page.start()
    ((_, spec, _),) = session.quiet.submitted
    assert (spec.path, spec.more, spec.examples) == (str(folder), [], 3)
    page.stop()
    page.begin()


def test_several_chosen_files_are_imported_together(session, show, qtbot, tmp_path, monkeypatch) -> None:
    paths = [tmp_path / f"{name}.jsonl" for name in "ab"]
    for path in paths:
        path.write_text(json.dumps({"prompt": path.stem, "completion": "x"}) + "\n")
    panel = show(session)
    panel.show_import()
    page = panel.importing
    monkeypatch.setattr("PySide6.QtWidgets.QFileDialog.getOpenFileNames", lambda *_: (list(map(str, paths)), ""))
    page.choose()
    settle(qtbot, panel)
    assert page.title.text() == "a.jsonl and 1 more"
    assert [record.prompt for record in page.looking.look.records] == ["a", "b"]
    assert not page.looking.choices.examples.isVisible()
    assert page.looking.choices.spec().more == [str(paths[1])]


def test_an_import_that_keeps_nothing_says_why(real_session, show, qtbot, tmp_path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "", "completion": "x"}\n' * 3)
    panel = show(real_session)
    panel.show_import()
    panel.importing.open(path)
    settle(qtbot, panel)
    assert not panel.importing.looking.import_button.isEnabled()
    panel.importing.start()
    qtbot.waitUntil(lambda: panel.importing.steps.currentWidget() is panel.importing._failed_step, timeout=60_000)


# Parts


def test_slices_write_everything_in_order_and_stay_short(qtbot) -> None:
    written: list[int] = []

    def write(some: list[int]) -> None:
        written.extend(some)
        time.sleep(0.0005 * len(some))

    slices = Slices(list(range(400)), write)
    with qtbot.waitSignal(slices.finished, timeout=10_000) as ended:
        pass
    assert written == list(range(400))
    assert ended.args == [400]
    assert slices.longest < 0.1
    slices.deleteLater()


def test_slices_stop_where_they_are(qtbot) -> None:
    written: list[int] = []
    slices = Slices(list(range(10_000)), lambda some: (written.extend(some), time.sleep(0.002)))
    qtbot.waitUntil(lambda: len(written) > 3, timeout=5000)
    slices.stop()
    QApplication.processEvents()
    assert slices.done == len(written) < 10_000
    slices.deleteLater()


def test_the_better_answer_is_not_always_a() -> None:
    rows = [as_row(Comparison(f"Question {n}", "good", "bad")) for n in range(200)]
    first = sum(row["winner"] == "a" for row in rows)
    assert 60 < first < 140
    assert all(row[row["winner"]] == "good" for row in rows)
    assert as_row(Comparison("Question 0", "good", "bad", 0))["winner"] == "tie"
    assert rows[0] == as_row(Comparison("Question 0", "good", "bad"))


def test_dataset_rows_are_paged_filtered_and_sorted(tmp_path) -> None:
    from rlhf_engine.data.datasets import freeze

    info = freeze(
        tmp_path, "prompts", [PromptRecord(f"Prompt {n} {'odd' if n % 2 else 'even'}") for n in range(50)], "p", "test"
    )
    rows = DatasetRows(info)
    assert [row["id"] for row in rows.page(Query(offset=10, limit=3))] == [11, 12, 13]
    assert rows.count(Query(text="PROMPT odd")) == 25
    assert rows.page(Query(text="odd", sort="id", descending=True))[0]["id"] == 50


def test_a_large_dataset_is_searched_and_added_without_reading_it_whole(session, qtbot, monkeypatch) -> None:
    from rlhf_engine.data import datasets, indexed

    monkeypatch.setattr(indexed, "FROM", 10)
    info = freeze(session.root, "prompts", [PromptRecord(f"Question {n}") for n in range(300)], "big", "file big")
    monkeypatch.setattr(datasets.Dataset, "records", lambda *_, **__: pytest.fail("all records were read"))
    rows = DatasetRows(info)
    assert rows.count(Query(text="question 29")) == 13  # 29, 129, 229 and 290 to 299
    assert [row["prompt"] for row in rows.page(Query(text="29", sort="prompt", descending=True, limit=2))] == [
        "Question 299",
        "Question 298",
    ]
    assert [row["id"] for row in rows.page(Query(sort="id", descending=True, limit=2))] == [300, 299]
    adding = AddToProject(session)
    qtbot.addWidget(adding)
    adding.offer(info.ref, "prompts", 300)
    adding.add()
    qtbot.waitUntil(lambda: session.labels.count("prompts") == 300 and not adding.busy, timeout=30_000)


def test_words_of_a_verdict_and_a_time() -> None:
    assert [verdict("a", 3), verdict("b", 1), verdict("tie")] == ["A is much better", "B is slightly better", "Tie"]
    assert when("no time") == "no time"
    assert when(0.0).endswith("1970")


# Files that nobody here wrote


@pytest.mark.real
def test_real_transcripts_are_imported_row_by_row(real_session, show, qtbot) -> None:
    path = REAL / "hh-rlhf" / "test.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    panel = show(real_session)
    import_now(qtbot, panel, path)
    report = panel.importing.report
    assert report.summary.text() == "2,303 comparisons were imported from test.jsonl.gz."  # 2,312 less 4 and 5
    qtbot.waitUntil(lambda: report.table.model.rowCount() == 9, timeout=5000)
    reasons = [report.table.model.row(n)["reason"] for n in range(9)]
    assert sum("empty" in reason for reason in reasons) == 4


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "kind", "good"),
    [
        ("llama-factory-demo/dpo_en_demo.json", "comparisons", 300),
        ("llama-factory-demo/dpo_zh_demo.json", "comparisons", 300),
        ("llama-factory-demo/alpaca_en_demo.json", "demonstrations", 999),
        ("llama-factory-demo/kto_en_demo.json", "ratings", 300),
        ("natural-instructions/tasks", "demonstrations", 1000),
        ("bigbench/snarks/task.json", "demonstrations", 181),
        ("gsm8k/test.jsonl", "demonstrations", 1000),
        ("tinystories/tinystories_val.txt", "prompts", 1000),
        ("truthfulqa/TruthfulQA.csv", "demonstrations", 790),
    ],
)
def test_real_files_are_recognised(session, show, qtbot, file, kind, good) -> None:
    path = REAL / file
    if not path.exists():
        pytest.skip(f"{path} is not here")
    panel = show(session)
    panel.show_import()
    panel.importing.open(path)
    settle(qtbot, panel)
    look = panel.importing.looking.look
    assert (look.kind, look.error) == (kind, None)
    assert look.good >= min(good, look.total) * 0.9


@pytest.mark.parametrize("begun", [False, True], ids=["while it is read", "while it is added"])
def test_what_is_being_added_to_a_project_does_not_go_into_the_next_one(
    begun: bool, session: Any, qtbot: Any, tmp_path: Path
) -> None:
    records = [Demonstration(f"Question {n}?", f"Answer {n}.") for n in range(3000)]
    info = freeze(session.root, "demonstrations", records, "Many", "test")
    first = session.root
    adding = AddToProject(session)
    qtbot.addWidget(adding)
    adding.offer(info.ref, "demonstrations", 3000)
    adding.add()
    if begun:
        qtbot.waitUntil(lambda: adding.slices is not None and adding.slices.done > 0)
    said: list[object] = []
    session.failed.connect(said.append)
    session.create_project(tmp_path / "other", "Other")
    qtbot.wait(300)
    assert session.labels.count("demonstrations") == 0 and said == []
    session.open_project(first)
    adding.offer(info.ref, "demonstrations", 3000)
    there = session.labels.count("demonstrations")
    assert (there > 0) == begun and adding._done_before() == there


def test_a_look_at_a_dataset_shows_each_finding_with_rows_and_what_to_do(real_session, show, qtbot) -> None:
    root = real_session.project.root
    pairs = [
        Comparison("p", "a good answer", "a bad one"),
        Comparison("q", "Yes.", "<b>yes"),
        Comparison("q", "x", "y"),
    ]
    pairs.append(Comparison("q", "<b>yes", "Yes."))
    freeze(root, "comparisons", pairs, "Pairs", "test")
    panel = show(real_session)
    panel.show_kind("datasets")
    panel.datasets.reload()
    qtbot.waitUntil(lambda: panel.datasets.table.model.rowCount() == 1, timeout=10_000)
    panel.datasets.table.view.selectRow(0)
    qtbot.waitUntil(lambda: panel.datasets.viewer is not None, timeout=5000)
    panel.datasets._check()
    view = panel.datasets.checking
    assert view.isVisible() and view.busy
    qtbot.waitUntil(lambda: not view.busy, timeout=60_000)
    assert [finding["key"] for finding in view.findings] == ["contradictions"]
    words = [label.text() for label in view.findChildren(PlainLabel)]
    assert "The same two answers, judged both ways" in words and "1 / 4" in words
    assert "Rows 4 and 2: <b>yes / Yes." in words  # as text, never as markup
    view.closed.emit()
    assert panel.datasets.viewer.isVisible() and not view.isVisible()


def test_a_dataset_without_findings_says_so(session, qtbot) -> None:
    view = CheckView(session)
    qtbot.addWidget(view)
    view.show_findings({"rows": 1200, "name": "Mine", "findings": [], "estimated": True})
    assert view.title.text() == "Nothing odd was found in 1,200 rows."
