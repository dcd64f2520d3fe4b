"""Pairs that come back, pairs for everyone and pairs to settle are mixed in so that nobody can tell which is which."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.judging.consistency import consistency
from rlhf_engine.judging.judgement import judgement_of
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.judging_settings import JudgingSettings
from rlhf_engine.store.labels import Labels
from studio.panels.compare.mixing import Mixing
from studio.panels.compare.queue import PairQueue


@pytest.fixture
def labels(tmp_path):
    opened = Labels(tmp_path / "labels.db")
    yield opened
    assert opened.check().healthy
    opened.close()


def fill(labels, n):
    labels.add_many("pairs", [{"prompt": f"p{i}", "a": f"x{i}", "b": f"y{i}"} for i in range(n)], source="model")


def queue_of(labels, author="ann", seed=1, **settings):
    draw = random.Random(seed).random
    ticks = iter(range(10**9))
    mixing = Mixing(labels, JudgingSettings(**settings), author, draw=draw, clock=lambda: 1000.0)
    made = PairQueue(labels, author, draw=draw, clock=lambda: float(next(ticks)), mixing=mixing)
    made.start()
    return made


def test_about_the_chosen_share_comes_back_late_enough_and_half_of_it_turned(labels):
    fill(labels, 400)
    queue = queue_of(labels, repeats=0.1, apart=20)
    order, turned = [], []
    while queue.current is not None:
        shown = queue.current
        if shown.why == "repeat":
            first = next(place for place, (id, _) in enumerate(order) if id == shown.id)
            assert len(order) - first > 20
            turned.append(order[first][1] != shown.left)
        order.append((shown.id, shown.left))
        queue.judge("left", 2)
        queue.refill()
    assert 400 * 0.1 / 0.9 * 0.5 < len(turned) < 400 * 0.1 / 0.9 * 1.6
    assert 0.25 < sum(turned) / len(turned) < 0.75
    assert len({id for id, _ in order}) == 400
    found = consistency([judgement_of(row) for row in labels.judgements()])
    assert found.repeats == len(turned) and found.unturned[0] == found.unturned[1]  # left again is the same again
    assert found.turned[0] == 0
    assert labels.progress() == (400, 400, 0)  # a repeat is no more than a repeat


def test_the_count_on_the_screen_does_not_tell_which_pairs_come_back(labels):
    fill(labels, 120)
    queue = queue_of(labels, repeats=0.2, apart=1)
    repeats = 0
    while queue.current is not None:
        before, total = queue.tally.judged, queue.tally.total
        repeats += queue.current.why == "repeat"
        queue.judge("right", 2)
        assert queue.tally.judged == before + 1
        if queue.current is not None:
            assert queue.tally.total == total  # it grows when pairs are read ahead, whatever is on the screen
        queue.refill()
        judged, total = queue.tally.judged, queue.tally.total
        queue.recount()
        assert (queue.tally.judged, queue.tally.total) == (judged, total)
    assert repeats > 5 and queue.tally.left == 0


def test_an_undone_repeat_is_asked_again_as_a_repeat_also_after_a_restart(labels):
    fill(labels, 60)
    queue = queue_of(labels, repeats=0.25, apart=1)
    while queue.current.why != "repeat":
        queue.judge("left", 2)
        queue.refill()
    shown = queue.current
    queue.judge("left", 2)
    assert queue.undo().shown == shown and queue.current == shown
    queue.judge("right", 2)
    again = queue_of(labels, repeats=0.0)
    again.undo()
    assert (again.current.id, again.current.why, again.current.repeat_of) == (shown.id, "repeat", shown.repeat_of)


def test_without_repeats_nothing_comes_back(labels):
    fill(labels, 50)
    queue = queue_of(labels, repeats=0.0)
    count = 0
    while queue.current is not None:
        queue.judge("left", 2)
        queue.refill()
        count += 1
    assert count == 50


def test_a_second_annotator_gets_the_pairs_for_everyone_and_no_others(labels):
    fill(labels, 200)
    ann = queue_of(labels, repeats=0.0)
    while ann.current is not None:
        ann.judge("left", 2)
        ann.refill()
    bob = queue_of(labels, "bob", repeats=0.0, overlap=0.2)
    seen = []
    while bob.current is not None:
        assert bob.current.why == "shared"
        seen.append(bob.current.id)
        bob.judge("right", 2)
        bob.refill()
    assert len(seen) == len(set(seen)) and 20 <= len(seen) <= 65
    assert queue_of(labels, "cy", overlap=0.0).current is None


def test_what_another_person_judged_can_be_asked_for(labels):
    fill(labels, 30)
    for author in ("ann", "bob"):
        queue = queue_of(labels, author, repeats=0.0, overlap=0.0)
        for _ in range(10):
            queue.judge("left", 2)
            queue.refill()
    mixing = Mixing(labels, JudgingSettings(), "cy", by="bob")
    queue = PairQueue(labels, "cy", mixing=mixing)
    queue.start()
    theirs = {row["pair_id"] for row in labels.judgements() if row["author"] == "bob"}
    assert {queue.current.id, *(shown.id for shown in queue._ahead)} == theirs


def test_pairs_to_settle_come_first_and_count_as_adjudicated(labels):
    fill(labels, 5)
    pairs = [pair["id"] for pair in labels.next_pairs(5)]
    labels.judge(pairs[0], "a", author="ann", seconds=2.0)
    labels.judge(pairs[0], "b", author="bob", seconds=2.0)
    queue = queue_of(labels, "cy", repeats=0.0, overlap=0.0)
    waits = queue.current
    assert queue.settle([pairs[0], "gone"]) == 1 and queue.current.id == pairs[0]
    queue.judge("left", 2)
    assert queue.current == waits
    row = list(labels.judgements())[-1]
    assert unpack_meta(row["judgement_meta"])["adjudicates"] is True
    assert labels.pair_as_judged(pairs[0])["winner"] == row["winner"] == row["left_side"]


def test_a_sitting_has_a_name_until_half_an_hour_of_rest(labels):
    now = [1_000_000.0]
    mixing = Mixing(labels, JudgingSettings(), "ann", clock=lambda: now[0])
    first = mixing.session()
    now[0] += 1700
    assert mixing.session() == first
    now[0] += 1700
    assert mixing.session() == first
    now[0] += 1801
    assert mixing.session() != first
