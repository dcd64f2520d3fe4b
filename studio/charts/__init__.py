"""Curves. Importing this imports pyqtgraph, which takes a second: only panels do it, after the first paint."""

from __future__ import annotations

from studio.charts.chart_grid import ChartGrid
from studio.charts.curve_plot import CurveLook, CurvePlot
from studio.charts.live_plot import LivePlot
from studio.charts.smoothing import Series, smooth

__all__ = ["ChartGrid", "CurveLook", "CurvePlot", "LivePlot", "Series", "smooth"]
