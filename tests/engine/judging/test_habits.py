"""Meters speak only when there is enough to go by, and find a habit that was planted."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.judging.habits import (
    drift_meter,
    habits,
    length_meter,
    longer_won,
    position_meter,
    repeats_meter,
    time_meter,
)
from rlhf_engine.judging.judgement import Judgement, sittings


def made(n, seed=0, left=0.5, longer=0.5, tie=0.0, seconds=20.0, session="s", start=0.0, lengths=(200, 300)):
    """Judgements of someone who decides by lot, with these leanings."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        side = draw.choice("ab")
        if draw.random() < tie:
            winner = "tie"
        elif left != 0.5:
            winner = side if draw.random() < left else ("b" if side == "a" else "a")
        else:
            winner = "b" if draw.random() < longer else "a"  # b is the longer one
        took = seconds * draw.uniform(0.5, 1.5)
        rows.append(
            Judgement(f"{session}{i}", f"{session}{i}", "ann", winner, 2, side, took, start + 60 * i, session,
                      lengths=lengths)
        )  # fmt: skip
    return rows


def test_without_data_all_meters_are_silent_and_say_how_much_they_need():
    for meter in habits([]):
        assert meter.state == "silent" and meter.advice == ""
        assert meter.reading == f"0 of the {meter.needed} judgements it takes"


@pytest.mark.parametrize(("meter", "fewest"), [(position_meter, 30), (length_meter, 30), (time_meter, 20)])
def test_a_meter_speaks_from_its_fewest_on(meter, fewest):
    assert meter(made(fewest - 1)).state == "silent"
    assert meter(made(fewest)).state != "silent"


def test_a_leaning_to_one_side_is_found_and_a_fair_hand_is_not_accused():
    leaning = position_meter(made(120, left=0.7))
    assert leaning.state == "look" and leaning.p < 0.01 and "left answer wins" in leaning.advice
    assert leaning.interval[0] < leaning.value < leaning.interval[1]
    assert "right answer wins" in position_meter(made(120, left=0.3)).advice
    accused = sum(position_meter(made(120, seed)).state == "look" for seed in range(200))
    assert accused <= 6  # one in a hundred is expected


def test_a_leaning_to_length_is_found_beyond_what_may_be_quality():
    assert length_meter(made(200, longer=0.8)).state == "look"
    assert "shorter" in length_meter(made(200, longer=0.2)).advice
    assert length_meter(made(200, longer=0.55)).state == "fine"
    assert length_meter(made(200, lengths=(200, 210))).count == 0  # about equally long


def test_which_answer_is_the_longer_one():
    said = Judgement("1", "p", "ann", "a", lengths=(110, 100))
    assert longer_won(said) is True
    assert longer_won(Judgement("1", "p", "ann", "b", lengths=(110, 100))) is False
    assert longer_won(Judgement("1", "p", "ann", "a", lengths=(109, 100))) is None
    assert longer_won(Judgement("1", "p", "ann", "tie", lengths=(200, 100))) is None


def test_verdicts_that_come_faster_than_one_can_read_are_found():
    # 2,000 characters take 80 s to read and 20 s to skim
    hasty = time_meter(made(50, seconds=5.0, lengths=(1000, 1000)))
    assert hasty.state == "look" and "100 %" in hasty.advice and hasty.unit == "s"
    calm = time_meter(made(50, seconds=60.0, lengths=(1000, 1000)))
    assert calm.state == "fine" and 40 < calm.value < 80
    assert calm.reading.endswith("s (95 %: {:.1f} to {:.1f})".format(*calm.interval))


def test_a_change_between_sittings_is_found_and_named():
    rows = made(60, 1, session="mon") + made(60, 2, tie=0.4, session="tue", start=90_000)
    meter = drift_meter(rows)
    assert meter.state == "look" and meter.p < 0.05 and "undecided" in meter.advice
    slower = made(60, 1, session="mon") + made(60, 2, seconds=60.0, session="tue", start=90_000)
    assert "how long you take" in drift_meter(slower).advice
    accused = 0
    for seed in range(100):
        rows = made(60, seed, session="mon") + made(60, 1000 + seed, session="tue", start=90_000)
        accused += drift_meter(rows).state == "look"
    assert accused <= 10  # five in a hundred are expected
    assert drift_meter(made(60)).state == "silent"  # one sitting
    assert drift_meter(made(60, session="mon") + made(9, session="tue", start=9e4)).state == "silent"


def test_sittings_end_with_the_session_or_a_pause():
    rows = made(4, session="") + made(3, session="", start=10_000) + made(2, session="x", start=11_000)
    assert [len(sat) for sat in sittings(rows)] == [4, 3, 2]
    far = made(2, session="x") + made(2, session="x", start=50_000)
    assert [len(sat) for sat in sittings(far)] == [4]


def test_repeats_that_fail_are_told_with_the_ceiling():
    rows = made(20)
    wrong = {"a": "b", "b": "a"}
    again = [
        Judgement(f"r{i}", said.pair, "ann", wrong[said.winner] if i % 2 else said.winner, 2, "a", 9.0, 1e6,
                  repeat_of=said.id)
        for i, said in enumerate(rows)
    ]  # fmt: skip
    meter = repeats_meter(rows + again)
    assert meter.state == "look" and meter.value == 0.5 and "measured at 50 %" in meter.advice
    steady = [Judgement(f"r{s.id}", s.pair, "ann", s.winner, 2, "a", 9.0, 1e6, repeat_of=s.id) for s in rows]
    assert repeats_meter(rows + steady).state == "fine" and "measured" not in repeats_meter(rows + steady).advice
    assert repeats_meter(rows + steady[:9]).reading == "9 of the 10 judgements it takes"


def test_imported_judgements_tell_nothing_of_sides_or_time():
    seen_elsewhere = made(100, left=1.0, seconds=0.0)
    assert [meter.state for meter in habits(seen_elsewhere)] == ["silent"] * 5
