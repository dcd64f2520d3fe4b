"""One plot of one metric, for any number of runs: raw and smoothed curves that keep up with training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from studio.charts.smoothing import Floats, Series, Smoothed, needs_range, nice_end, thin, value_range
from studio.theme import colors
from studio.theme.tokens import S1
from studio.widgets.labels import PlainLabel

pg.setConfigOptions(segmentedLineMode="on", antialias=False)  # wide antialiased lines are 10 times faster so
MOST = 800  # points of a smoothed curve


class _Curves:
    """What one run draws in one plot."""

    def __init__(self, plot: Any, color: int) -> None:
        self.series = Series()
        self.smoothed = Smoothed()
        self.rewritten = 0
        self.color = color
        self.raw = pg.PlotCurveItem()
        self.smooth = pg.PlotCurveItem(antialias=True)
        self.lost = pg.ScatterPlotItem(symbol="t", size=9)
        self.smooth.setZValue(2)
        self.lost.setZValue(3)
        for item in (self.raw, self.smooth, self.lost):
            plot.addItem(item)
        self.stale = True

    def items(self) -> tuple[Any, Any, Any]:
        return self.raw, self.smooth, self.lost


class LivePlot(QWidget):
    """Call `add()` as often as you like and `redraw()` five times a second; nothing is drawn in between.

    Signals: pointed(step) while the mouse is over the plot (NaN when it leaves), enlarged() on a click on the title.
    """

    pointed = Signal(float)
    enlarged = Signal(str)
    followed = Signal(bool)

    def __init__(self, metric: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = metric
        self.follow = True
        self.log_y = False
        self._weight = 0.6
        self._curves: dict[str, _Curves] = {}
        self._hidden: set[str] = set()
        self._marks: list[tuple[float, str, Any]] = []
        self.last_step = 0  # where the curves will end; 0 while nobody knows
        self._span = (0.0, 10.0)
        self._range = (0.0, 1.0)
        self.title = PlainLabel(metric, bold=True, elide=Qt.TextElideMode.ElideRight)
        self.head = QHBoxLayout()
        self.head.addWidget(self.title, 1)
        self.reading = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.widget = pg.PlotWidget()
        self.plot = self.widget.getPlotItem()
        self._set_up()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S1, S1, S1, S1)
        layout.setSpacing(0)
        layout.addLayout(self.head)
        layout.addWidget(self.reading)
        layout.addWidget(self.widget, 1)
        self.setMinimumSize(200, 140)
        self.dye()

    def _set_up(self) -> None:
        self.widget.setFrameShape(self.widget.Shape.NoFrame)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.disableAutoRange()
        self.plot.getAxis("left").enableAutoSIPrefix(False)
        self.plot.getAxis("bottom").enableAutoSIPrefix(False)
        self.plot.getAxis("left").setWidth(48)
        self.plot.layout.setContentsMargins(0, 8, 6, 0)  # the outermost labels stick out by half their size
        self._line = pg.InfiniteLine(angle=90, movable=False)
        self._line.hide()
        self.plot.addItem(self._line, ignoreBounds=True)
        self.plot.getViewBox().sigXRangeChanged.connect(self._stale_all)
        self.plot.getViewBox().sigRangeChangedManually.connect(lambda *_: self.set_follow(False))
        self._proxy = pg.SignalProxy(self.widget.scene().sigMouseMoved, rateLimit=30, slot=self._moved)
        self._apply_range()

    # --- data ----------------------------------------------------------------------------------------------------

    def add(self, step: float, value: float, run: str = "") -> None:
        curves = self._curves_of(run)
        curves.series.add(step, value)
        curves.stale = True

    def truncate(self, after_step: float, run: str = "") -> None:
        if run in self._curves:
            self._curves[run].series.truncate(after_step)
            self._curves[run].stale = True

    def remove(self, run: str) -> None:
        curves = self._curves.pop(run, None)
        if curves is not None:
            for item in curves.items():
                self.plot.removeItem(item)

    def series(self) -> dict[str, Series]:
        return {run: curves.series for run, curves in self._curves.items()}

    def set_color(self, run: str, number: int) -> None:
        curves = self._curves_of(run)
        if curves.color != number:
            curves.color = number
            self.dye()

    def show_run(self, run: str, yes: bool) -> None:
        (self._hidden.discard if yes else self._hidden.add)(run)
        if run in self._curves:
            for item in self._curves[run].items():
                item.setVisible(yes)
        self._stale_all()

    def mark(self, step: float, text: str) -> None:
        """A thin line at a checkpoint or where a setting was changed."""
        line = pg.InfiniteLine(pos=step, angle=90, movable=False)
        line.setToolTip("")
        self.plot.addItem(line, ignoreBounds=True)
        self._marks.append((step, text, line))
        self._dye_marks()

    def clear_marks(self) -> None:
        for _, _, line in self._marks:
            self.plot.removeItem(line)
        self._marks.clear()

    def _curves_of(self, run: str) -> _Curves:
        if run not in self._curves:
            self._curves[run] = _Curves(self.plot, len(self._curves))
            self.dye()
            for item in self._curves[run].items():
                item.setVisible(run not in self._hidden)
        return self._curves[run]

    # --- how it is shown -----------------------------------------------------------------------------------------

    def set_smoothing(self, weight: float) -> None:
        self._weight = min(0.99, max(0.0, weight))
        self._stale_all()

    def set_log(self, yes: bool) -> None:
        if self.log_y != yes:
            self.log_y = yes
            self.plot.getAxis("left").setLogMode(yes)
            self._range = (0.0, 0.0)
            self._stale_all()

    def set_follow(self, yes: bool) -> None:
        if self.follow != yes:
            self.follow = yes
            self.followed.emit(yes)
        if yes:
            self._range = (0.0, 0.0)
            self._stale_all()

    def point_at(self, step: float) -> None:
        """Show the crosshair at a step; NaN hides it."""
        self._line.setVisible(bool(np.isfinite(step)))
        if not np.isfinite(step):
            self._say_last()
            return
        self._line.setPos(step)
        parts = []
        for run, curves in self._curves.items():
            found = curves.series.at(step) if run not in self._hidden else None
            if found is not None:
                parts.append(f"{found[1]:.4g}")
                step = found[0]
        marks = [text for at, text, _ in self._marks if abs(at - step) < 0.5]
        self.reading.setText(" · ".join([self.tr("step {0}").format(f"{step:g}"), *parts[:6], *marks[:2]]))

    # --- drawing -------------------------------------------------------------------------------------------------

    def redraw(self) -> None:
        """Bring what has changed up to date. Does nothing while hidden: the next one after showing catches up."""
        if not self.isVisible():
            return
        stale = [(run, curves) for run, curves in self._curves.items() if curves.stale]
        if not stale:
            return
        for run, curves in stale:
            curves.stale = False
            if run not in self._hidden:
                self._draw(curves)
        if self.follow:
            self._fit()
        if not self._line.isVisible():
            self._say_last()

    def _draw(self, curves: _Curves) -> None:
        """Only what is in view, and of that no more than the lowest and the highest of every pixel."""
        if curves.rewritten != curves.series.rewritten:
            curves.rewritten = curves.series.rewritten
            curves.smoothed.reset()
        smoothed = curves.smoothed.of(curves.series.values, self._weight)
        begin, end = self._in_view(curves.series)
        steps, values, smoothed = curves.series.steps[begin:end], curves.series.values[begin:end], smoothed[begin:end]
        finite = np.isfinite(values)
        most = max(400, 2 * int(self.plot.getViewBox().width()))
        x, y = thin(steps, self._scaled(values), most)
        whole = bool(np.isfinite(y).all())
        curves.raw.setData(x.copy(), y.copy(), connect="all" if whole else "finite", skipFiniteCheck=whole)
        x, y = thin(steps[finite], self._scaled(smoothed[finite]), min(MOST, most))
        whole = bool(np.isfinite(y).all())
        curves.smooth.setData(x.copy(), y.copy(), connect="all" if whole else "finite", skipFiniteCheck=whole)
        lost = steps[~finite][-500:]
        curves.lost.setVisible(bool(len(lost)))
        curves.lost.setData(lost, np.full(len(lost), self._range[0]))

    def _in_view(self, series: Series) -> tuple[int, int]:
        """The first and the end of the points between the edges of the plot, and one beyond each."""
        if self.follow:
            return 0, series.size
        (left, right), _ = self.plot.getViewBox().viewRange()
        begin, end = np.searchsorted(series.steps, (left, right))
        return max(0, int(begin) - 1), min(series.size, int(end) + 1)

    def _scaled(self, values: Floats) -> Floats:
        if not self.log_y:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(values > 0, np.log10(np.maximum(values, 1e-300)), np.nan)

    def _fit(self) -> None:
        """Grow the ranges in steps of a quarter: relabelling the axes costs more than drawing the curves."""
        shown = [curves for run, curves in self._curves.items() if run not in self._hidden and curves.series.size]
        if not shown:
            return
        largest = max(float(curves.series.steps[-1]) for curves in shown)
        end = nice_end(largest)
        if largest <= self.last_step:
            end = min(end, float(self.last_step))
        moved = False
        if self._span != (0.0, end):
            self._span, moved = (0.0, end), True
        # every so many points are enough to know the range of very many; the newest ones are all looked at
        looked = [curves.series.values[:: max(1, curves.series.size // 5000)] for curves in shown]
        looked += [curves.series.values[-100:] for curves in shown if curves.series.size > 5000]
        wanted = value_range(self._scaled(np.concatenate(looked)))
        if wanted is not None and needs_range(self._range, wanted):
            room = (wanted[1] - wanted[0]) * 0.05
            self._range, moved = (wanted[0] - room, wanted[1] + room), True
        if moved:
            self._apply_range()
            for curves in shown:
                lost = curves.lost.getData()[0]
                if lost is not None and len(lost):
                    curves.lost.setData(lost, np.full(len(lost), self._range[0]))

    def _apply_range(self) -> None:
        box = self.plot.getViewBox()
        box.setRange(xRange=self._span, yRange=self._range, padding=0)

    def _say_last(self) -> None:
        parts = []
        for run, curves in self._curves.items():
            if curves.series.size and run not in self._hidden:
                parts.append(f"{curves.series.values[-1]:.4g}")
        self.reading.setText(" · ".join(parts[:8]))

    def _stale_all(self, *_: object) -> None:
        for curves in self._curves.values():
            curves.stale = True

    # --- colours and mouse ---------------------------------------------------------------------------------------

    def dye(self) -> None:
        """Take the colours of the palette: pyqtgraph does not follow it by itself."""
        c = colors()
        self.widget.setBackground(c.surface)
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(c.border)
            axis.setTextPen(c.muted)
        self._line.setPen(pg.mkPen(c.muted, width=1, style=Qt.PenStyle.DashLine))
        styles = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
        for curves in self._curves.values():
            color = c.series[curves.color % len(c.series)]
            style = styles[curves.color // len(c.series) % len(styles)]  # more runs than colours: told apart by dashes
            curves.raw.setPen(pg.mkPen(blend(color, c.surface, 0.35), width=1))
            curves.smooth.setPen(pg.mkPen(color, width=2, style=style))
            curves.lost.setPen(pg.mkPen(c.bad))
            curves.lost.setBrush(pg.mkBrush(c.bad))
        self._dye_marks()

    def _dye_marks(self) -> None:
        for _, _, line in self._marks:
            line.setPen(pg.mkPen(colors().border, width=1))

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_line"):
            self.dye()
        super().changeEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.pointed.emit(float("nan"))
        super().leaveEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.enlarged.emit(self.name)
        super().mouseDoubleClickEvent(event)

    def _moved(self, moved: tuple[QPointF]) -> None:
        if self.plot.sceneBoundingRect().contains(moved[0]):
            self.pointed.emit(float(self.plot.getViewBox().mapSceneToView(moved[0]).x()))


def blend(front: str, back: str, share: float) -> QColor:
    """`front` over `back` as an opaque colour: pens with alpha leave Qt's fast path."""
    a, b = QColor(front), QColor(back)
    pairs = ((a.red(), b.red()), (a.green(), b.green()), (a.blue(), b.blue()))
    return QColor(*(round(x * share + y * (1 - share)) for x, y in pairs))
