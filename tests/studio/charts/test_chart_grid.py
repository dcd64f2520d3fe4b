"""The grid of curves: what is added is what is shown, written and drawn."""

from __future__ import annotations

import csv
import io
import math
import time
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt

from studio.charts import ChartGrid
from studio.theme import theme


@pytest.fixture
def grid(qtbot: Any) -> ChartGrid:
    made = ChartGrid(primary=("b/second", "a/first"))
    qtbot.addWidget(made)
    made.resize(800, 500)
    made.show()
    qtbot.waitExposed(made)
    return made


def drawn(grid: ChartGrid, metric: str, run: str = "") -> list[float]:
    return grid._plots[metric]._curves[run].raw.getData()[1].tolist()


def test_primary_metrics_come_first_then_the_rest_by_group(grid: ChartGrid) -> None:
    for name in ("z/x", "a/first", "c/y", "b/second", "a/other"):
        grid.add(name, 0, 1.0)
    assert grid.metrics() == ["b/second", "a/first", "a/other", "c/y", "z/x"]


def test_points_are_drawn_at_the_next_tick(grid: ChartGrid, qtbot: Any) -> None:
    for step in range(100):
        grid.add("a/first", step, float(step))
    qtbot.waitUntil(lambda: "a/first" in grid._plots and len(drawn(grid, "a/first") or []) == 100, timeout=2000)
    assert drawn(grid, "a/first")[-1] == 99.0
    assert "99" in grid._plots["a/first"].reading.text()


def test_a_resumed_run_draws_on_from_where_it_was(grid: ChartGrid) -> None:
    for step in range(10):
        grid.add("a/first", step, 1.0)
    grid.truncate(5)
    grid.add("a/first", 6, 9.0)
    steps, values = grid.series()["", "a/first"]
    assert steps.tolist() == [0, 1, 2, 3, 4, 5, 6] and values[-1] == 9.0


def test_a_nan_is_marked_and_leaves_a_gap(grid: ChartGrid, qtbot: Any) -> None:
    for step in range(20):
        grid.add("a/first", step, math.nan if step == 7 else 1.0)
    qtbot.waitUntil(lambda: len(drawn(grid, "a/first") or []) == 20)
    curves = grid._plots["a/first"]._curves[""]
    assert curves.lost.getData()[0].tolist() == [7.0]
    assert curves.lost.isVisible()


def test_runs_are_laid_over_each_other_and_can_be_hidden(grid: ChartGrid) -> None:
    for run in ("r1", "r2"):
        grid.add("a/first", 0, 1.0, run)
    grid.show_run("r2", False)
    curves = grid._plots["a/first"]._curves
    assert curves["r1"].raw.isVisible() and not curves["r2"].raw.isVisible()
    assert curves["r1"].color != curves["r2"].color


def test_panning_stops_following_and_a_goes_back(grid: ChartGrid, qtbot: Any) -> None:
    grid.add("a/first", 0, 1.0)
    plot = grid._plots["a/first"]
    plot.plot.getViewBox().sigRangeChangedManually.emit([True, True])
    assert not plot.follow and not grid.follow.isChecked()
    grid.setFocus()
    qtbot.keyClick(grid, Qt.Key.Key_A)
    assert plot.follow and grid.follow.isChecked()


def test_the_log_axis_leaves_out_what_has_no_logarithm(grid: ChartGrid, qtbot: Any) -> None:
    for step, value in enumerate((100.0, -1.0, 0.01)):
        grid.add("a/first", step, value)
    grid.log.click()
    qtbot.waitUntil(lambda: len(drawn(grid, "a/first") or []) == 3)
    got = drawn(grid, "a/first")
    assert got[0] == pytest.approx(2.0) and math.isnan(got[1]) and got[2] == pytest.approx(-2.0)


def test_the_csv_holds_every_number_as_it_was(grid: ChartGrid, tmp_path: Path) -> None:
    grid.add("a/first", 1, 0.1 + 0.2, "r1")
    grid.add("a/first", 2, math.nan, "r1")
    grid.name_run("r1", 'my "best", run')
    grid.save_csv(str(tmp_path / "x.csv"))
    rows = list(csv.reader(io.StringIO((tmp_path / "x.csv").read_text(encoding="utf-8"))))
    assert rows[1] == ['my "best", run', "a/first", "1", "0.30000000000000004"]
    assert rows[2][3] == "nan"


def test_the_picture_is_written(grid: ChartGrid, tmp_path: Path, qtbot: Any) -> None:
    grid.add("a/first", 1, 1.0)
    qtbot.wait(50)
    grid.save_png(str(tmp_path / "x.png"))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_colours_follow_the_palette(grid: ChartGrid) -> None:
    grid.add("a/first", 0, 1.0)
    plot = grid._plots["a/first"]
    theme().apply("light")
    light = plot.widget.backgroundBrush().color().name()
    theme().apply("dark")
    assert plot.widget.backgroundBrush().color().name() != light
    theme().apply("light")


def test_layouts_enlarging_and_leaving_out(grid: ChartGrid, qtbot: Any) -> None:
    for name in ("a", "b", "c", "d", "e"):
        grid.add(name, 0, 1.0)
    grid.set_layout("3x3")
    assert all(card.isVisible() for card in grid._cards.values())
    grid.enlarge("c")
    assert [name for name, card in grid._cards.items() if card.isVisible()] == ["c"]
    grid.enlarge("c")
    grid.show_metric("d", False)
    assert not grid._cards["d"].isVisible() and grid._cards["c"].isVisible()


def test_a_hidden_grid_does_not_tick(grid: ChartGrid) -> None:
    grid.hide()
    assert not grid._tick.isActive()
    grid.show()
    assert grid._tick.isActive()


def test_clearing_forgets_everything(grid: ChartGrid) -> None:
    grid.add("a/first", 0, 1.0)
    grid.mark(0, "checkpoint")
    grid.clear()
    assert grid.series() == {} and grid.metrics() == []
    grid.add("a/first", 0, 2.0)
    assert list(grid.series()) == [("", "a/first")]


def test_zooming_in_draws_what_was_thinned_out(grid: ChartGrid, qtbot: Any) -> None:
    for step in range(20_000):
        grid.add("a/first", step, float(step % 7))
    qtbot.waitUntil(lambda: len(drawn(grid, "a/first") or []) > 100, timeout=3000)
    assert len(drawn(grid, "a/first")) < 3000  # all of it, thinned to two points a pixel
    plot = grid._plots["a/first"]
    plot.set_follow(False)
    plot.plot.getViewBox().setXRange(1000, 1010, padding=0)
    qtbot.waitUntil(lambda: len(drawn(grid, "a/first")) < 20, timeout=3000)
    assert drawn(grid, "a/first") == [float(step % 7) for step in range(999, 1011)]


def test_a_redraw_leaves_most_of_its_fifth_of_a_second_to_others(grid: ChartGrid, qapp: Any) -> None:
    for step in range(2000):
        for name in ("a", "b", "c", "d"):
            grid.add(name, step, float(step % 13))
    qapp.processEvents()
    began = time.process_time()
    for step in range(2000, 2010):
        for name in ("a", "b", "c", "d"):
            grid.add(name, step, 1.0)
        grid.redraw()
        qapp.processEvents()
    assert (time.process_time() - began) / 10 < 0.1  # 14 ms where this was written
