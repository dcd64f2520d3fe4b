"""A run's answers judged blind against those it began with, and the win rate that comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rlhf_engine.contract.events import RunStarted, Sample
from studio.panels.compare.queue import Said, Shown
from studio.panels.compare.telling import verdict_line
from studio.panels.run_view import RunView
from studio.panels.run_view.blind import CURVE, pairs_of
from tests.studio.panels.run_stage import Feed, told


def said(step: int, n: int, policy: str = "", start: str = "before") -> Sample:
    return Sample(step, f"Question {n}", policy or f"after {step}", 0.5, start)


@pytest.fixture
def view(session: Any, qtbot: Any) -> Any:
    made = RunView(session)
    qtbot.addWidget(made)
    made.resize(1100, 760)
    made.show()
    feed = Feed()
    made.show_run(feed, "My run")
    samples = [said(step, n) for step in (10, 20) for n in range(3)]
    feed.tell(told(RunStarted("ppo", 30), *samples, said(20, 9, "before")), True)
    made.redraw()
    yield made
    made.close_run()


def test_samples_become_pairs_once_and_those_that_say_the_same_none(view: Any, session: Any) -> None:
    asked: list[str] = []
    session.panel_requested.connect(lambda name, _: asked.append(name))
    assert view.blind.isVisible() and "not been judged" in view.blind.said.text()
    view.blind.judge.click()
    assert session.labels.count("pairs") == 6 and asked == ["compare"]
    view.blind.judge.click()
    assert session.labels.count("pairs") == 6
    meta = [pair["meta"] for pair in session.labels.next_pairs(9)]
    assert all('"policy": "a"' in told and '"run": "a1"' in told for told in meta)


def test_verdicts_draw_the_win_rate_by_step(view: Any, session: Any, qtbot: Any) -> None:
    view.blind.judge.click()
    winners = {"10": ("a", "b", "b"), "20": ("a", "a", "tie")}
    given: dict[str, int] = {"10": 0, "20": 0}
    for pair in session.labels.next_pairs(9):
        step = "10" if '"step": 10' in pair["meta"] else "20"
        session.labels.judge(pair["id"], winners[step][given[step]])
        given[step] += 1
    with qtbot.waitSignal(view.blind.drawn, timeout=5000) as drawn:
        session.announce(session.labels.last_change)
    step, columns = drawn.args
    assert [*columns] == ["step", "share", "share_low", "share_high", "count"]  # the first one is x
    assert step == 20 and columns["share"] == (pytest.approx(1 / 3), pytest.approx(2.5 / 3))
    assert columns["count"] == (3.0, 3.0) and columns["share_low"][1] < 2.5 / 3 < columns["share_high"][1]
    assert view.blind.said.text().startswith("Preferred to its start at step 20: 83%")
    view.curves.finish()
    assert CURVE in view.curves._drawn
    assert view.curves._primary[:2] == ("objective/score", CURVE)  # beside what the answers are trained for


def test_it_is_never_told_whose_an_answer_was(view: Any, session: Any) -> None:
    asked: list[dict[str, Any]] = []
    session.panel_requested.connect(lambda _, hints: asked.append(hints))
    view.blind.judge.click()
    (hints,) = asked
    waiting = session.labels.next_pairs(9)
    assert hints["first"] == [pair["id"] for pair in waiting]
    steps = [json.loads(pair["meta"])["step"] for pair in waiting]
    assert steps != sorted(steps)  # not step by step
    said_of = Said(Shown({**waiting[0], "said": None, "said_source": None}, "a"), "a", 2, 1.0)
    assert verdict_line(said_of, (0, 0)) == "Answer 1 is better"


def test_a_run_without_a_model_to_compare_with_has_no_such_row(session: Any, qtbot: Any) -> None:
    made = RunView(session)
    qtbot.addWidget(made)
    made.show()
    feed = Feed()
    made.show_run(feed, "SFT")
    feed.tell(told(RunStarted("sft", 30), said(10, 1)), True)
    made.redraw()
    assert made.blind.isHidden()
    made.close_run()


def test_hostile_text_becomes_a_pair_as_it_is() -> None:
    (pair,) = pairs_of("r", "R", {3: [Sample(3, "<b>\u202e", "\x00x", None, "<img src=x>")]})
    assert pair["a"] == "\x00x" and pair["b"] == "<img src=x>" and len(pair["id"]) == 32
