"""Several runs side by side: their curves over each other, the settings in which they differ, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QHBoxLayout, QScrollArea, QTabWidget, QToolButton, QVBoxLayout, QWidget

from rlhf_engine.contract.changes import written
from rlhf_engine.contract.events import Sample
from rlhf_engine.tasks import TASKS
from studio.charts import ChartGrid
from studio.forms import Combo
from studio.panels.run_view.curves import CurveFeed
from studio.panels.run_view.naming import settings_of, short, state_word, title_of, titles
from studio.theme import colors, set_icon, theme
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Column, EmptyState, PlainLabel, PlainText, RecordTable, icon_button, set_tooltip

if TYPE_CHECKING:
    from rlhf_engine.store.runs import RunRow
    from studio.session import Session

MOST = 8  # runs at a time
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)


@dataclass(frozen=True, slots=True)
class Told:
    """What one run has said so far: its curves, and its last answer to each prompt."""

    row: RunRow
    curves: dict[str, list[tuple[int, float]]]
    samples: dict[str, Sample]


def read_runs(root: Path, run_ids: Sequence[str]) -> list[Told]:
    """Through a connection of its own: call it on any thread."""
    from rlhf_engine.store.runs import RunsReader

    reader = RunsReader(root)
    try:
        found = []
        for run_id in run_ids:
            row = reader.run(run_id)
            if row is not None:
                last = {sample.prompt: sample for sample in reader.samples(run_id)}
                found.append(Told(row, reader.metrics(run_id), last))
        return found
    finally:
        reader.close()


def differences(rows: Sequence[RunRow], known: dict[str, str]) -> list[dict[str, Any]]:
    """One row for each setting that is not the same in all runs: its label, and each run's value under its id."""
    settings = {row.id: {s.name: s for s in settings_of(row.task, row.spec_json)} for row in rows}
    labels = {name: s.label for found in settings.values() for name, s in found.items()}
    made = []
    for name, label in labels.items():
        values = [settings[row.id][name].value if name in settings[row.id] else None for row in rows]
        if any(value != values[0] for value in values):
            shown = [
                "—" if value is None else short(value, known) if isinstance(value, str) else written(value)
                for value in values
            ]
            made.append({"id": name, "label": label, **dict(zip((row.id for row in rows), shown, strict=True))})
    return made


class CompareView(QWidget):
    """`show_runs(run_ids)` reads them in the background. Signal: shown() when they are all there."""

    shown = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.told: list[Told] = []
        self.eyes: dict[str, QToolButton] = {}
        self._legend_place = QHBoxLayout()
        self._legend_place.setSpacing(S3)
        self._legend: QWidget | None = None
        self.charts = ChartGrid(remote=session.settings.is_remote)
        self.charts.asked.connect(lambda metric: session.go("help", metric=metric))
        self.curves = CurveFeed(self.charts, self)
        self.settings: RecordTable | None = None
        self._settings_place = QVBoxLayout()
        self.prompts = Combo()
        self.prompts.setAccessibleName(self.tr("Prompt"))
        self.prompts.currentIndexChanged.connect(lambda _: self._show_answers())
        self._answers_place = QVBoxLayout()
        self._answers: QWidget | None = None
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        samples = QVBoxLayout()
        samples.setSpacing(S2)
        samples.addWidget(self.prompts)
        samples.addLayout(self._answers_place, 1)
        charts = QVBoxLayout()
        charts.addWidget(self.charts)
        for layout, title in (
            (charts, self.tr("Curves")),
            (self._settings_place, self.tr("Settings that differ")),
            (samples, self.tr("Answers")),
        ):
            page = QWidget()
            layout.setContentsMargins(0, S2, 0, 0)
            page.setLayout(layout)
            self.tabs.addTab(page, title)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(self._legend_place)
        layout.addWidget(self.tabs, 1)

    def show_runs(self, run_ids: Sequence[str]) -> None:
        root, wanted = self._session.root, list(run_ids)[:MOST]
        if root is None:
            return
        self.told = []
        self.curves.clear()
        if len(run_ids) > MOST:
            self._session.toast(self.tr("The first {0} are compared.").format(MOST))
        self._session.in_background(lambda: read_runs(root, wanted), self._show)

    def _show(self, told: list[Told]) -> None:
        self.told = told
        self.curves.clear()
        self.curves.set_primary(_charts(told))
        for one in told:
            self.charts.name_run(one.row.id, title_of(one.row))
            self.charts.color_of(one.row.id)  # colours go by the order of the runs, not of what is drawn first
        for one in told:
            for metric, points in one.curves.items():
                self.curves.add_curve(metric, points, one.row.id)
        self._show_legend()
        self._show_settings()
        self._offer_prompts()
        self.shown.emit()

    # --- the runs ------------------------------------------------------------------------------------------------

    def _show_legend(self) -> None:
        if self._legend is not None:
            self._legend_place.removeWidget(self._legend)
            self._legend.deleteLater()
        self._legend = QWidget()
        row = QHBoxLayout(self._legend)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        self.eyes = {}
        for one in self.told:
            title = title_of(one.row)
            eye = icon_button("eye-outline", self.tr("Show or hide {0}").format(title), checkable=True)
            eye.setChecked(True)
            eye.toggled.connect(lambda yes, run=one.row.id: self.show_run(run, yes))
            label = PlainLabel(title if len(title) < 28 else title[:27] + "…")
            set_tooltip(label, f"{title}\n{state_word(one.row.state)}, {one.row.id}")
            row.addWidget(eye)
            row.addWidget(Swatch(self.charts.color_of(one.row.id)))
            row.addWidget(label)
            row.addSpacing(S3)
            self.eyes[one.row.id] = eye
        row.addStretch()
        self._legend_place.addWidget(self._legend)

    def show_run(self, run: str, yes: bool) -> None:
        """Show or hide the curves of one run."""
        self.charts.show_run(run, yes)
        set_icon(self.eyes[run], "eye-outline" if yes else "eye-off-outline")
        self.charts.redraw()

    # --- settings ------------------------------------------------------------------------------------------------

    def _show_settings(self) -> None:
        if self.settings is not None:
            self._settings_place.removeWidget(self.settings)
            self.settings.deleteLater()
        rows = [one.row for one in self.told]
        columns = [Column("label", self.tr("Setting"), 220)]
        columns += [Column(row.id, title_of(row), 180) for row in rows]
        self.settings = RecordTable([*columns, Column("rest", "", sortable=False)], multiple=False)
        empty = self.tr("These runs were started with the same settings.")
        self.settings.set_empty(EmptyState("equal", empty))
        self.settings.set_rows(differences(rows, titles(self._session)))
        self._settings_place.addWidget(self.settings)

    # --- answers -------------------------------------------------------------------------------------------------

    def _offer_prompts(self) -> None:
        """Prompts that most runs have answered come first."""
        counts: dict[str, int] = {}
        for one in self.told:
            for prompt in one.samples:
                counts[prompt] = counts.get(prompt, 0) + 1
        self.prompts.blockSignals(True)
        self.prompts.clear()
        for prompt in sorted(counts, key=lambda prompt: -counts[prompt]):
            self.prompts.addItem(" ".join(prompt.split())[:160], prompt)
        self.prompts.blockSignals(False)
        self.prompts.setVisible(bool(counts))
        self._show_answers()

    def _show_answers(self) -> None:
        if self._answers is not None:
            self._answers_place.removeWidget(self._answers)
            self._answers.deleteLater()
        prompt = self.prompts.currentData()
        if prompt is None:
            self._answers = EmptyState("text-box-search-outline", self.tr("These runs have written no samples."))
            self._answers_place.addWidget(self._answers, 1)
            return
        inside = QWidget()
        row = QHBoxLayout(inside)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S4)
        for one in self.told:
            row.addWidget(self._answer(one, one.samples.get(prompt)), 1)
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(inside)
        self._answers = area
        self._answers_place.addWidget(area, 1)

    def _answer(self, one: Told, sample: Sample | None) -> QWidget:
        column = QWidget()
        column.setMinimumWidth(220)
        layout = QVBoxLayout(column)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        head = QHBoxLayout()
        head.setSpacing(S2)
        head.addWidget(Swatch(self.charts.color_of(one.row.id)))
        head.addWidget(PlainLabel(title_of(one.row), bold=True, elide=Qt.TextElideMode.ElideRight), 1)
        layout.addLayout(head)
        about = self.tr("has not answered this prompt")
        if sample is not None:
            score = self.tr(", score {0}").format(f"{sample.score:+.3f}") if sample.score is not None else ""
            about = self.tr("step {0}{1}").format(sample.step, score)
        layout.addWidget(PlainLabel(about, tone="muted"))
        layout.addWidget(PlainText(sample.completion if sample else ""), 1)
        return column


class Swatch(QWidget):
    """A piece of a run's curve, in its colour and dashes."""

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._number = number
        self.setFixedSize(22, 14)
        theme().changed.connect(self.update)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: ARG002
        series = colors().series
        painter = QPainter(self)
        pen = QPen(QColor(series[self._number % len(series)]), 3)
        pen.setStyle(DASHES[self._number // len(series) % len(DASHES)])
        painter.setPen(pen)
        painter.drawLine(1, 7, 21, 7)


def _charts(told: Sequence[Told]) -> list[str]:
    """The main metrics of all their tasks, each once."""
    found = (name for one in told if one.row.task in TASKS for name in TASKS[one.row.task].charts)
    return list(dict.fromkeys(found))
