"""One small table drawn as it stands: a curve over something other than steps, such as a reliability curve."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from studio.charts.smoothing import Floats
from studio.theme import colors
from studio.theme.tokens import S1
from studio.widgets.labels import PlainLabel, set_tooltip

Columns = Mapping[str, Sequence[float]]
LOW, HIGH = "_low", "_high"  # columns with these endings are the ends of an interval around the one without
SIZES = ("count", "n")  # how much stands behind each point: told beside it, and not drawn as a curve
SHAPES = ("o", "s", "t", "d", "+", "x")


@dataclass(frozen=True, slots=True)
class CurveLook:
    """How a curve is called and drawn. `names` are its columns in words; `diagonal` is where x and y are the same."""

    title: str
    tip: str = ""
    names: dict[str, str] = field(default_factory=dict)
    diagonal: bool = False

    def name(self, column: str) -> str:
        return self.names.get(column) or column.replace("_", " ")


class CurvePlot(QWidget):
    """`show_columns(step, columns)`; the first column is x. Drawn at the next `redraw()` while visible."""

    enlarged = Signal(str)

    def __init__(self, name: str, look: CurveLook, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name, self.look = name, look
        self.step = 0
        self.columns: dict[str, Floats] = {}
        self._stale = False
        self.title = PlainLabel(look.title, bold=True, elide=Qt.TextElideMode.ElideRight)
        set_tooltip(self.title, look.tip)
        self.reading = PlainLabel(tone="muted", elide=Qt.TextElideMode.ElideRight)
        self.widget = pg.PlotWidget()
        self.plot = self.widget.getPlotItem()
        self.widget.setFrameShape(self.widget.Shape.NoFrame)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        for side in ("left", "bottom"):
            self.plot.getAxis(side).enableAutoSIPrefix(False)
        self.plot.getAxis("left").setWidth(48)
        self.plot.layout.setContentsMargins(0, 8, 6, 0)
        self._proxy = pg.SignalProxy(self.widget.scene().sigMouseMoved, rateLimit=30, slot=self._moved)
        self.head = QHBoxLayout()
        self.head.addWidget(self.title, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S1, S1, S1, S1)
        layout.setSpacing(0)
        layout.addLayout(self.head)
        layout.addWidget(self.reading)
        layout.addWidget(self.widget, 1)
        self.setMinimumSize(200, 140)
        self._dye_axes()

    @property
    def drawn(self) -> list[str]:
        """The columns drawn as curves: all but x, the ends of intervals and the sizes."""
        names = [*self.columns][1:]
        ends = {name for name in names if name.endswith((LOW, HIGH)) and name.rpartition("_")[0] in names}
        return [name for name in names if name not in SIZES and name not in ends]

    def show_columns(self, step: int, columns: Columns) -> None:
        self.step = step
        self.columns = {name: np.asarray(values, dtype=float) for name, values in columns.items()}
        self._stale = True

    def redraw(self) -> None:
        if self._stale and self.isVisible():
            self._stale = False
            self._draw()

    def point_at(self, x: float) -> None:
        """Say the values of the point nearest to x; NaN says which step they are from."""
        xs = self._x()
        if not np.isfinite(x) or not np.isfinite(xs).any():
            self.reading.setText(self.tr("step {0}").format(self.step) if self.step else "")
            return
        at = int(np.nanargmin(np.abs(xs - x)))
        said = [f"{self.look.name(name)} {self.columns[name][at]:.4g}" for name in [*self.columns][:1] + self.drawn]
        said += [f"{self.look.name(name)} {self.columns[name][at]:g}" for name in SIZES if name in self.columns]
        self.reading.setText(" · ".join(part for part in said if not part.endswith(" nan")))

    # --- drawing -------------------------------------------------------------------------------------------------

    def _x(self) -> Floats:
        return next(iter(self.columns.values()), np.empty(0))

    def _draw(self) -> None:
        c, x = colors(), self._x()
        self.plot.clear()
        old = self.plot.legend
        if old is not None:
            old.scene().removeItem(old)
            self.plot.legend = None
        if len(self.drawn) > 1:
            legend = self.plot.addLegend(offset=(8, 4), labelTextColor=c.text, pen=None, brush=None)
            legend.setZValue(10)
        if self.look.diagonal:
            pen = pg.mkPen(c.muted, width=1, style=Qt.PenStyle.DashLine)
            self.plot.addItem(pg.InfiniteLine(pos=(0, 0), angle=45, pen=pen), ignoreBounds=True)
        for number, name in enumerate(self.drawn):
            color = c.series[number % len(c.series)]
            known = np.isfinite(x) & np.isfinite(self.columns[name])
            xs, ys = x[known], self.columns[name][known]
            self._draw_interval(name, xs, known, color)
            self.plot.plot(
                xs,
                ys,
                pen=pg.mkPen(color, width=2),
                symbol=SHAPES[number % len(SHAPES)],
                symbolSize=8,
                symbolPen=pg.mkPen(color),
                symbolBrush=pg.mkBrush(color),
                name=html.escape(self.look.name(name)),
            )
        first = next(iter(self.columns), "")
        self.plot.setLabel("bottom", html.escape(self.look.name(first)), color=c.muted)
        self.plot.enableAutoRange()
        self.point_at(float("nan"))

    def _draw_interval(self, name: str, xs: Floats, known: NDArray[np.bool_], color: str) -> None:
        low, high = self.columns.get(name + LOW), self.columns.get(name + HIGH)
        if low is None or high is None or not len(xs):
            return
        middle = (low[known] + high[known]) / 2
        beam = float(np.ptp(xs)) * 0.02 if len(xs) > 1 else 0.0
        bar = pg.ErrorBarItem(x=xs, y=middle, height=high[known] - low[known], beam=beam, pen=pg.mkPen(color, width=1))
        self.plot.addItem(bar)

    def _dye_axes(self) -> None:
        c = colors()
        self.widget.setBackground(c.surface)
        for side in ("left", "bottom"):
            self.plot.getAxis(side).setPen(c.border)
            self.plot.getAxis(side).setTextPen(c.muted)

    # --- mouse and theme -----------------------------------------------------------------------------------------

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "head"):
            self._dye_axes()
            self._stale = True
        super().changeEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self.point_at(float("nan"))
        super().leaveEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        self.enlarged.emit(self.name)
        super().mouseDoubleClickEvent(event)

    def _moved(self, moved: tuple[QPointF]) -> None:
        if self.plot.sceneBoundingRect().contains(moved[0]):
            self.point_at(float(self.plot.getViewBox().mapSceneToView(moved[0]).x()))
