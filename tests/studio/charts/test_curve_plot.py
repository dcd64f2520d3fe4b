"""A curve over something other than steps: what is in its columns is what is drawn, told and written."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any

import pyqtgraph as pg
import pytest

from studio.charts import ChartGrid, CurveLook, CurvePlot
from studio.theme import theme

LOOK = CurveLook("Reliability", "How sure.", {"said": "Said", "agreed": "Agreed", "count": "pairs"}, diagonal=True)
POINTS = {"said": (0.5, 0.7, 0.9), "agreed": (0.5, math.nan, 0.8), "count": (10.0, 20.0, 30.0)}
FRONTIER = {"kl": (0.0, 2.0), "ppo": (0.5, 0.8), "ppo_low": (0.4, 0.7), "ppo_high": (0.6, 0.9), "dpo": (0.5, 0.6)}


@pytest.fixture
def grid(qtbot: Any) -> ChartGrid:
    made = ChartGrid()
    qtbot.addWidget(made)
    made.resize(800, 500)
    made.show()
    qtbot.waitExposed(made)
    return made


def lines(plot: CurvePlot) -> dict[str, list[tuple[float, float]]]:
    return {item.name(): [*zip(*map(list, item.getData()), strict=True)] for item in plot.plot.listDataItems()}


def test_the_first_column_is_x_and_the_others_are_curves(grid: ChartGrid, qtbot: Any) -> None:
    grid.show_curve("heldout/reliability", 40, POINTS, LOOK)
    plot = grid.curve("heldout/reliability")
    qtbot.waitUntil(lambda: bool(lines(plot)), timeout=3000)
    assert lines(plot) == {"Agreed": [(0.5, 0.5), (0.9, 0.8)]}, "a point that is no number is left out"
    assert plot.title.text() == "Reliability" and plot.reading.text() == "step 40"
    assert any(isinstance(item, pg.InfiniteLine) and item.angle == 45 for item in plot.plot.items)
    assert plot.plot.getAxis("bottom").labelText == "Said"
    plot.point_at(0.86)
    assert plot.reading.text() == "Said 0.9 · Agreed 0.8 · pairs 30"
    plot.point_at(0.7)
    assert plot.reading.text() == "Said 0.7 · pairs 20"


def test_intervals_are_bars_and_no_curves(grid: ChartGrid, qtbot: Any) -> None:
    grid.show_curve("shootout/frontier", 1, FRONTIER, CurveLook("Frontier"))
    plot = grid.curve("shootout/frontier")
    qtbot.waitUntil(lambda: bool(lines(plot)), timeout=3000)
    assert list(lines(plot)) == ["ppo", "dpo"] and plot.plot.legend is not None
    (bar,) = [item for item in plot.plot.items if isinstance(item, pg.ErrorBarItem)]
    assert bar.opts["y"].tolist() == pytest.approx([0.5, 0.8])
    assert bar.opts["height"].tolist() == pytest.approx([0.2, 0.2])


def test_a_newer_curve_takes_the_place_of_the_one_before(grid: ChartGrid, qtbot: Any) -> None:
    for step in (1, 2, 3):
        grid.show_curve("a/b", step, {"x": (0.0, 1.0), "y": (0.0, float(step))}, CurveLook("B"))
    plot = grid.curve("a/b")
    qtbot.waitUntil(lambda: lines(plot) == {"y": [(0.0, 0.0), (1.0, 3.0)]}, timeout=3000)
    assert plot.reading.text() == "step 3"
    grid.drop_curve("a/b")
    assert grid.metrics() == []


def test_curves_stand_in_the_grid_with_the_metrics_and_are_written_with_them(grid: ChartGrid, tmp_path: Path) -> None:
    grid.add("train/loss", 1, 0.5)
    grid.set_primary(("heldout/reliability", "train/loss"))
    grid.show_curve("heldout/reliability", 40, POINTS, LOOK)
    assert grid.metrics() == ["heldout/reliability", "train/loss"]
    rows = list(csv.reader(io.StringIO(grid.csv())))
    assert rows[0] == ["run", "metric", "step", "value", "x"]
    assert rows[1] == ["", "train/loss", "1", "0.5", ""]
    assert ["", "heldout/reliability/agreed", "40", "0.8", "0.9"] in rows
    grid.save_png(str(tmp_path / "curves.png"))
    assert (tmp_path / "curves.png").stat().st_size > 1000


def test_every_plot_can_be_asked_about(grid: ChartGrid, qtbot: Any) -> None:
    from PySide6.QtWidgets import QToolButton

    asked: list[str] = []
    grid.asked.connect(asked.append)
    grid.add("train/loss", 1, 0.5)
    grid.show_curve("a/b", 1, {"x": (0.0,), "y": (0.0,)}, CurveLook("B"))
    for card in grid._cards.values():
        (about,) = card.findChildren(QToolButton)
        about.click()
    assert asked == ["train/loss", "a/b"]


def test_a_curve_follows_the_theme(grid: ChartGrid, qtbot: Any) -> None:
    grid.show_curve("a/b", 1, {"x": (0.0, 1.0), "y": (0.0, 1.0)}, CurveLook("B"))
    plot = grid.curve("a/b")
    qtbot.waitUntil(lambda: bool(lines(plot)), timeout=3000)
    before = plot.plot.listDataItems()[0].opts["pen"].color().name()
    theme().apply("dark", 1.0)
    qtbot.waitUntil(lambda: plot.plot.listDataItems()[0].opts["pen"].color().name() != before, timeout=3000)
    theme().apply("light", 1.0)


def test_the_words_of_a_curve_are_shown_as_they_are(grid: ChartGrid, qtbot: Any) -> None:
    grid.show_curve("a/<b>", 1, {"<i>x</i>": (0.0, 1.0), "y": (0.0, 1.0)}, CurveLook("<b>B</b>"))
    plot = grid.curve("a/<b>")
    qtbot.waitUntil(lambda: bool(lines(plot)), timeout=3000)
    assert plot.plot.getAxis("bottom").labelText == "&lt;i&gt;x&lt;/i&gt;"
