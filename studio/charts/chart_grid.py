"""The curves of one run, or of several laid over each other: a grid of plots, and what one does with them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeySequence, QMouseEvent, QShortcut
from PySide6.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QMenu,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from studio.charts.curve_plot import Columns, CurveLook, CurvePlot
from studio.charts.live_plot import LivePlot
from studio.charts.smoothing import Floats
from studio.theme.tokens import S1, S2, S3
from studio.widgets.buttons import button, icon_button
from studio.widgets.labels import PlainLabel, set_tooltip

LAYOUTS = {"1": (1, 1), "2x2": (2, 2), "3x3": (3, 3)}
TICK_MS = 200
TICK_REMOTE_MS = 500


class ChartGrid(QWidget):
    """`add(metric, step, value, run)` from any number of events; drawn five times a second while visible.

    Metrics in `primary` are shown first; the rest by the name before the slash, as far as the layout has room, and
    all of them when scrolled to or picked by "Metrics". `show_curve()` adds a curve over something other than steps.
    Signals: layout_changed(name); asked(metric) when somebody wants to know what a plot shows.
    """

    layout_changed = Signal(str)
    asked = Signal(str)

    def __init__(self, parent: QWidget | None = None, *, primary: Sequence[str] = (), remote: bool = False) -> None:
        super().__init__(parent)
        self._primary = tuple(primary)
        self._plots: dict[str, LivePlot] = {}
        self._tables: dict[str, CurvePlot] = {}
        self._cards: dict[str, QFrame] = {}
        self._off: set[str] = set()
        self._colors: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._shown: dict[str, bool] = {}
        self._marks: list[tuple[float, str]] = []
        self._last_step = 0
        self._big = ""
        self._layout = "2x2"
        self._places: tuple[list[str], int] = ([], 0)  # what lies in the grid, and in how many columns
        self._grid_host = QWidget()
        self._grid_host.setObjectName("plain")
        self._grid = QGridLayout(self._grid_host)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(S2)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setWidget(self._grid_host)
        self._area.viewport().installEventFilter(self)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(S2)
        outer.addLayout(self._toolbar())
        outer.addWidget(self._area, 1)
        self._tick = QTimer(self, interval=TICK_REMOTE_MS if remote else TICK_MS)
        self._tick.timeout.connect(self.redraw)
        self._keys()

    # --- data ----------------------------------------------------------------------------------------------------

    def add(self, metric: str, step: float, value: float, run: str = "") -> None:
        if run not in self._colors:
            self._colors[run] = len(self._colors)
        self._plot(metric).add(step, value, run)

    def expect(self, last_step: int) -> None:
        """No curve is awaited beyond this step; 0 while nobody knows. Axes grow up to it, not past it."""
        self._last_step = last_step
        for plot in self._plots.values():
            plot.last_step = last_step

    def truncate(self, after_step: float, run: str = "") -> None:
        """Forget what a run said after a step: it has been resumed from there."""
        for plot in self._plots.values():
            plot.truncate(after_step, run)

    def show_curve(self, name: str, step: int, columns: Columns, look: CurveLook) -> None:
        """A curve of its own, over its first column, in place of the one of that name before."""
        if name not in self._tables:
            made = CurvePlot(name, look)
            made.enlarged.connect(self.enlarge)
            made.title.setCursor(Qt.CursorShape.PointingHandCursor)
            made.title.installEventFilter(self)
            self._add_card(name, made)
            self._tables[name] = made
        self._tables[name].show_columns(step, columns)

    def drop_curve(self, name: str) -> None:
        if self._tables.pop(name, None) is not None:
            self._drop_card(name)
            self._later.start()

    def curve(self, name: str) -> CurvePlot:
        return self._tables[name]

    def clear(self) -> None:
        for name in [*self._cards]:
            self._drop_card(name)
        self._plots.clear()
        self._tables.clear()
        self._colors.clear()
        self._names.clear()
        self._shown.clear()
        self._marks.clear()
        self._last_step = 0
        self._big = ""
        self._arrange()

    def remove_run(self, run: str) -> None:
        for plot in self._plots.values():
            plot.remove(run)
        self._colors.pop(run, None)

    def series(self) -> dict[tuple[str, str], tuple[Floats, Floats]]:
        """{(run, metric): (steps, values)}, copies."""
        return {
            (run, metric): (series.steps.copy(), series.values.copy())
            for metric, plot in self._plots.items()
            for run, series in plot.series().items()
        }

    def plot(self, metric: str) -> LivePlot:
        """The plot of a metric that has been added to."""
        return self._plots[metric]

    def metrics(self) -> list[str]:
        """Every metric and curve, in the order shown."""
        return sorted([*self._plots, *self._tables], key=self._rank)

    def mark(self, step: float, text: str) -> None:
        """A line in every plot: a checkpoint, or a setting that was changed."""
        self._marks.append((step, text))
        for plot in self._plots.values():
            plot.mark(step, text)

    # --- runs ----------------------------------------------------------------------------------------------------

    def name_run(self, run: str, title: str) -> None:
        self._names[run] = title

    def color_of(self, run: str) -> int:
        """The number of a run's colour in `colors().series`."""
        if run not in self._colors:
            self._colors[run] = len(self._colors)
        return self._colors[run]

    def set_color(self, run: str, number: int) -> None:
        self._colors[run] = number
        for plot in self._plots.values():
            if run in plot.series():
                plot.set_color(run, number)

    def show_run(self, run: str, yes: bool = True) -> None:
        self._shown[run] = yes
        for plot in self._plots.values():
            plot.show_run(run, yes)

    # --- layout --------------------------------------------------------------------------------------------------

    def set_primary(self, names: Sequence[str]) -> None:
        self._primary = tuple(names)
        self._arrange()

    def set_layout(self, name: str) -> None:
        """1, 2x2 or 3x3 plots at a time; the others are below."""
        self._layout = name
        for each, made in self._layout_buttons.items():
            made.setChecked(each == name)
        self._big = ""
        self._arrange()
        self.layout_changed.emit(name)

    def show_metric(self, metric: str, yes: bool = True) -> None:
        (self._off.discard if yes else self._off.add)(metric)
        self._arrange()

    def enlarge(self, metric: str) -> None:
        """Show one plot alone, or all again."""
        self._big = "" if self._big == metric else metric
        self._arrange()

    def set_smoothing(self, weight: float) -> None:
        self.slider.setValue(round(weight * 100))

    def redraw(self) -> None:
        """Bring the plots that can be seen up to date."""
        if not self.isVisible() or self.window().isMinimized():
            return
        seen = self._area.viewport().rect()
        for metric, plot in self._all():
            card = self._cards[metric]
            if card.isVisible() and seen.intersects(
                card.rect().translated(card.mapTo(self._area.viewport(), card.rect().topLeft()))
            ):
                plot.redraw()

    def _plot(self, metric: str) -> LivePlot:
        if metric not in self._plots:
            plot = LivePlot(metric)
            plot.set_smoothing(self.slider.value() / 100)
            plot.set_log(self.log.isChecked())
            plot.last_step = self._last_step
            plot.pointed.connect(self._point)
            plot.followed.connect(self._followed)
            plot.title.setCursor(Qt.CursorShape.PointingHandCursor)
            plot.title.installEventFilter(self)
            plot.widget.viewport().installEventFilter(self)
            for step, text in self._marks:
                plot.mark(step, text)
            self._add_card(metric, plot)
            self._plots[metric] = plot
        plot = self._plots[metric]
        for run, number in self._colors.items():
            if run in plot.series():
                plot.set_color(run, number)
        return plot

    def _all(self) -> list[tuple[str, LivePlot | CurvePlot]]:
        return [*self._plots.items(), *self._tables.items()]

    def _add_card(self, name: str, plot: LivePlot | CurvePlot) -> None:
        card = QFrame(self._grid_host)  # without a parent it would flash up as a window
        card.setProperty("card", "true")
        inside = QVBoxLayout(card)
        inside.setContentsMargins(S2, S2, S2, S1)
        inside.addWidget(plot)
        about = icon_button("help-circle-outline", self.tr("What is this?"), lambda: self.asked.emit(name))
        about.setProperty("small", "true")
        plot.head.addWidget(about)
        self._cards[name] = card
        self._later.start()

    def _drop_card(self, name: str) -> None:
        card = self._cards.pop(name)
        self._grid.removeWidget(card)
        card.hide()
        card.deleteLater()

    def _rank(self, metric: str) -> tuple[int, str, str]:
        if metric in self._primary:
            return (self._primary.index(metric), "", "")
        return (len(self._primary), metric.partition("/")[0], metric)

    def _arrange(self) -> None:
        rows, columns = LAYOUTS["1"] if self._big else LAYOUTS[self._layout]
        wanted = [self._big] if self._big else [name for name in self.metrics() if name not in self._off]
        if not self._big and len(wanted) < columns:
            columns = max(1, len(wanted))
        height = max(150, (self._area.viewport().height() - (rows - 1) * S2) // rows)
        for metric in wanted:
            if self._cards[metric].maximumHeight() != height:
                self._cards[metric].setFixedHeight(height)
        if (wanted, columns) != self._places:
            self._places = (wanted, columns)
            while self._grid.count():
                self._grid.takeAt(0)
            for metric, card in self._cards.items():
                card.setVisible(metric in wanted)
            for place, metric in enumerate(wanted):
                self._grid.addWidget(self._cards[metric], place // columns, place % columns)
            for column in range(3):
                self._grid.setColumnStretch(column, 1 if column < columns else 0)
            self._grid.setRowStretch(len(wanted) // columns + 1, 1)
            self._grid.activate()  # a new card would be drawn over the first one until the next turn
        self.redraw()

    # --- the toolbar ---------------------------------------------------------------------------------------------

    def _toolbar(self) -> QHBoxLayout:
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 99)
        self.slider.setValue(60)
        self.slider.setFixedWidth(120)
        self.slider.setAccessibleName(self.tr("Smoothing"))
        self._weight = PlainLabel("0.60", tone="muted")
        self._weight.setFixedWidth(36)
        self.slider.valueChanged.connect(self._smooth)
        self.log = button(self.tr("Log y"), tip=self.tr("Logarithmic y axis (L)"))
        self.log.setCheckable(True)
        self.log.toggled.connect(self._log)
        self.follow = button(self.tr("Follow"), tip=self.tr("Keep the newest in view (F)"))
        self.follow.setCheckable(True)
        self.follow.setChecked(True)
        self.follow.clicked.connect(self._follow)
        self.pick = button(self.tr("Metrics"), self._pick, icon="menu-down")
        bar = QHBoxLayout()
        bar.setSpacing(S2)
        bar.addWidget(PlainLabel(self.tr("Smoothing"), tone="muted"))
        bar.addWidget(self.slider)
        bar.addWidget(self._weight)
        bar.addSpacing(S3)
        bar.addWidget(self.log)
        bar.addWidget(self.follow)
        bar.addWidget(self.pick)
        bar.addStretch()
        group = QButtonGroup(self)
        self._layout_buttons = {}
        for name, icon in (("1", "square-outline"), ("2x2", "view-grid-outline"), ("3x3", "grid")):
            made = icon_button(icon, self.tr("{0} plots at a time").format(name), checkable=True)
            made.setChecked(name == self._layout)
            made.clicked.connect(lambda _=False, name=name: self.set_layout(name))
            group.addButton(made)
            bar.addWidget(made)
            self._layout_buttons[name] = made
        bar.addSpacing(S2)
        bar.addWidget(icon_button("image-outline", self.tr("Save as PNG…"), lambda: self.save_png()))
        bar.addWidget(icon_button("file-delimited-outline", self.tr("Save as CSV…"), lambda: self.save_csv()))
        set_tooltip(self.slider, self.tr("How much the bold curve is smoothed"))
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._arrange)
        return bar

    def _keys(self) -> None:
        for keys, do in (
            ("A", self.fit),
            ("L", self.log.toggle),
            ("F", self.follow.click),
            *((str(number), lambda number=number: self._enlarge_nth(number)) for number in range(1, 7)),
        ):
            shortcut = QShortcut(QKeySequence(keys), self)
            # wherever the cursor is, as long as the curves are seen: after a start no plot has the focus
            shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
            shortcut.activated.connect(do)

    def fit(self) -> None:
        """Show everything again, and follow."""
        for plot in self._plots.values():
            plot.set_follow(True)
        self.follow.setChecked(True)
        self.redraw()

    def _follow(self) -> None:
        for plot in self._plots.values():
            plot.set_follow(self.follow.isChecked())

    def _followed(self, yes: bool) -> None:
        if not yes:
            self.follow.setChecked(False)

    def _smooth(self, value: int) -> None:
        self._weight.setText(f"{value / 100:.2f}")
        for plot in self._plots.values():
            plot.set_smoothing(value / 100)
        self.redraw()

    def _log(self, yes: bool) -> None:
        for plot in self._plots.values():
            plot.set_log(yes)
        self.redraw()

    def _pick(self) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        group = None
        for metric in self.metrics():
            if metric.partition("/")[0] != group:
                group = metric.partition("/")[0]
                menu.addSection(group)
            action = menu.addAction(metric.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(metric not in self._off)
            action.toggled.connect(lambda yes, metric=metric: self.show_metric(metric, yes))
        menu.popup(self.pick.mapToGlobal(self.pick.rect().bottomLeft()))

    def _point(self, step: float) -> None:
        for plot in self._plots.values():
            if plot.isVisible():
                plot.point_at(step)

    def _enlarge_nth(self, number: int) -> None:
        shown = [self._big] if self._big else [name for name in self.metrics() if name not in self._off]
        if self._big:
            self.enlarge(self._big)
        elif number <= len(shown):
            self.enlarge(shown[number - 1])

    # --- keeping -------------------------------------------------------------------------------------------------

    def save_png(self, path: str = "") -> None:
        """What is shown, at twice the size."""
        path = path or QFileDialog.getSaveFileName(self, self.tr("Save plots"), "curves.png", "PNG (*.png)")[0]
        if path:
            from PySide6.QtGui import QPixmap

            picture = QPixmap(self._grid_host.size() * 2)
            picture.setDevicePixelRatio(2)
            self._grid_host.render(picture)
            picture.save(path)

    def save_csv(self, path: str = "") -> None:
        path = path or QFileDialog.getSaveFileName(self, self.tr("Save numbers"), "curves.csv", "CSV (*.csv)")[0]
        if path:
            Path(path).write_text(self.csv(), encoding="utf-8", newline="")

    def csv(self) -> str:
        """run, metric, step, value: one line a point, unsmoothed. Points of curves have their x in a fifth column."""
        text = io.StringIO()
        out = csv.writer(text)
        x_too = ["x"] if self._tables else []
        out.writerow(["run", "metric", "step", "value", *x_too])
        for (run, metric), (steps, values) in self.series().items():
            for step, value in zip(steps.tolist(), values.tolist(), strict=True):
                out.writerow([self._names.get(run, run), metric, f"{step:g}", repr(value), *("" for _ in x_too)])
        for name, plot in self._tables.items():
            (_, xs), *others = plot.columns.items()
            for column, values in others:
                for x, value in zip(xs.tolist(), values.tolist(), strict=True):
                    out.writerow(["", f"{name}/{column}", plot.step, repr(value), repr(x)])
        return text.getvalue()

    # --- Qt ------------------------------------------------------------------------------------------------------

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self._area.viewport():
            self._later.start()
        if event.type() == QEvent.Type.MouseButtonDblClick:
            self.fit()
            return True
        if event.type() == QEvent.Type.MouseButtonRelease and isinstance(event, QMouseEvent):
            for metric, plot in self._all():
                if watched is plot.title:
                    self.enlarge(metric)
        return super().eventFilter(watched, event)

    def showEvent(self, event: object) -> None:
        self._tick.start()
        self._later.start()
        super().showEvent(event)  # type: ignore[arg-type]

    def hideEvent(self, event: object) -> None:
        self._tick.stop()
        super().hideEvent(event)  # type: ignore[arg-type]
