"""Records to a file of the person's choice, written on another thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QWidget

from rlhf_engine.data.records import Record
from studio.session import Session

FILTERS = {"jsonl": "JSONL (*.jsonl)", "parquet": "Parquet (*.parquet)", "csv": "CSV (*.csv)"}


def ask_where(parent: QWidget, title: str, stem: str, formats: tuple[str, ...] = tuple(FILTERS)) -> Path | None:
    """The file that a person chose to write, with the ending of the chosen format; None if they chose none."""
    safe = "".join(letter if letter.isalnum() or letter in " -_." else "-" for letter in stem).strip() or "records"
    start = str(Path.home() / f"{safe}.{formats[0]}")
    chosen, chosen_filter = QFileDialog.getSaveFileName(
        parent, title, start, ";;".join(FILTERS[format_] for format_ in formats)
    )
    if not chosen:
        return None
    path = Path(chosen)
    if path.suffix.lower().lstrip(".") not in formats:
        format_ = next((name for name in formats if FILTERS[name] == chosen_filter), formats[0])
        path = path.with_name(f"{path.name}.{format_}")
    return path


def export_records(session: Session, path: Path, records: Callable[[], Iterable[Record]]) -> None:
    """Write what `records` gives, called on another thread; a note says how it went."""
    session.in_background(partial(_write, path, records), partial(_written, session, path))


def export_labels(session: Session, kind: str, path: Path) -> None:
    """Write the project's standing records of a kind."""
    assert session.project is not None
    export_records(session, path, partial(labelled, session.project.root / "labels.db", kind))


def labelled(database: Path, kind: str) -> Iterator[Record]:
    """The standing records of a kind, one by one, over a connection of its own."""
    from rlhf_engine.store.labels import Labels

    labels = Labels(database, write=False)
    try:
        yield from labels.records(kind)
    finally:
        labels.close()


def open_folder(path: Path) -> None:
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _write(path: Path, records: Callable[[], Iterable[Record]]) -> int:
    from rlhf_engine.data.writing import write

    return write(records(), path)


def _written(session: Session, path: Path, count: Any) -> None:
    text = QCoreApplication.translate("Data", "{0} records were written to {1}.").format(f"{count:,}", path.name)
    show = QCoreApplication.translate("Data", "Show folder")
    session.toast(text, "good", show, lambda: open_folder(path.parent))
