"""Brings the points of runs to a grid of charts in slices, so that opening a long run never stops the window."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from PySide6.QtCore import QObject, QTimer, Signal

from studio.charts import ChartGrid, CurveLook
from studio.engine_words import curve as about_curve
from studio.engine_words import metric as about_metric
from studio.widgets import set_tooltip

Table = tuple[int, dict[str, tuple[float, ...]]]  # a step, and columns of which the first is x
Points = deque[tuple[float, float]]


PLOT_FRAMES = 3  # between plots that are further down the page


class CurveFeed(QObject):
    """Points wait here until a frame has room for them; those of `primary` metrics go first.

    A metric's first point makes its plot, which takes longer than a thousand points: at most one new plot a frame,
    and those further down the page more slowly. Signal: drained() when nothing waits any more.
    """

    drained = Signal()
    FRAME_MS = 16
    BUDGET_S = 0.008

    def __init__(self, grid: ChartGrid, parent: QObject | None = None) -> None:
        super().__init__(parent or grid)
        self._grid = grid
        self._primary: tuple[str, ...] = ()
        self._waiting: dict[tuple[str, str], Points] = {}  # (metric, run)
        self._tables: dict[str, Table] = {}  # those that have not been drawn yet, by name
        self._drawn: set[str] = set()
        self._known: set[str] = set()
        self._rest = 0  # frames until there is time for another plot
        self._frame = QTimer(self, interval=self.FRAME_MS)
        self._frame.timeout.connect(self._bring)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._tables)

    def set_primary(self, names: Sequence[str]) -> None:
        self._primary = tuple(names)
        self._grid.set_primary(names)

    def add(self, step: float, values: dict[str, float], run: str = "") -> None:
        for metric, value in values.items():
            self._points(metric, run).append((step, value))
        self._go()

    def add_curve(self, metric: str, points: Sequence[tuple[float, float]], run: str = "") -> None:
        self._points(metric, run).extend(points)
        self._go()

    def add_table(self, name: str, step: int, columns: dict[str, tuple[float, ...]]) -> None:
        """A curve over its own first column, in place of the one of that name before."""
        if columns:
            self._tables[name] = (step, columns)
            self._go()

    def keep_tables(self, standing: dict[str, Table]) -> None:
        """Show these and no others: a resumed run has taken some back."""
        self._tables = {}
        for name in self._drawn - standing.keys():
            self._grid.drop_curve(name)
        self._drawn &= standing.keys()
        for name, (step, columns) in standing.items():
            self.add_table(name, step, columns)

    def truncate(self, after_step: float, run: str = "") -> None:
        """Forget what a run said after a step, also of what has not been drawn yet."""
        for (metric, of), points in list(self._waiting.items()):
            if of == run:
                kept: Points = deque(point for point in points if point[0] <= after_step)
                if kept:
                    self._waiting[metric, of] = kept
                else:
                    del self._waiting[metric, of]
        self._grid.truncate(after_step, run)

    def clear(self) -> None:
        self._frame.stop()
        self._waiting.clear()
        self._tables.clear()
        self._drawn.clear()
        self._known.clear()
        self._grid.clear()

    def finish(self) -> None:
        """Bring all that waits, at once."""
        while self.busy:
            self._bring(float("inf"))

    def _points(self, metric: str, run: str) -> Points:
        return self._waiting.setdefault((metric, run), deque())

    def _go(self) -> None:
        if self.busy and not self._frame.isActive():
            self._frame.start()

    def _bring(self, budget: float = BUDGET_S) -> None:
        deadline = time.perf_counter() + budget
        hurry = budget == float("inf")
        self._rest = max(0, self._rest - 1)
        for metric, run in sorted(self._waiting, key=self._rank):
            if metric not in self._known:
                if self._rest and not hurry:
                    break
                self._rest = 1 if metric in self._primary else PLOT_FRAMES
            points = self._waiting[metric, run]
            while points:
                step, value = points.popleft()
                self._grid.add(metric, step, value, run)
                if metric not in self._known:
                    self._name(metric)
                if not len(points) % 64 and time.perf_counter() > deadline:
                    break
            if not points:
                del self._waiting[metric, run]
            if time.perf_counter() > deadline:
                break
        self._bring_tables(deadline, hurry)
        if not self.busy:
            self._frame.stop()
            self.drained.emit()

    def _bring_tables(self, deadline: float, hurry: bool) -> None:
        """Curves once all points are drawn: each makes a plot, one a frame."""
        while self._tables and not self._waiting and (hurry or time.perf_counter() < deadline):
            name = next(iter(self._tables))
            step, columns = self._tables.pop(name)
            about = about_curve(name)
            told = "\n".join(filter(None, (about.measures, about.healthy, about.remedy, name)))
            look = CurveLook(about.label, told, about.columns, about.diagonal)
            self._grid.show_curve(name, step, columns, look)
            self._drawn.add(name)

    def _name(self, metric: str) -> None:
        self._known.add(metric)
        about = about_metric(metric)
        plot = self._grid.plot(metric)
        plot.title.setText(about.title)
        set_tooltip(plot.title, "\n".join(filter(None, (about.measures, about.healthy, about.remedy, metric))))

    def _rank(self, key: tuple[str, str]) -> tuple[bool, int]:
        metric = key[0]
        return (metric not in self._known, self._primary.index(metric) if metric in self._primary else 99)
