"""Scoring the pairs of a project: which, in which units, and what is said where it cannot be done."""

from __future__ import annotations

import pytest

from rlhf_engine.choosing.scores import read_scores
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Produced
from rlhf_engine.store.labels import Labels
from rlhf_engine.tasks.score.spec import ScoreSpec
from tests.engine.small_project import ended_well


@pytest.fixture
def pairs(small):
    """Two pairs that wait and one that is judged, whose ids come back."""
    labels = Labels(small.root / "labels.db")
    ids = [labels.add_pair(f"What is {n}?", f"It is {n}.", f"No idea about {n}") for n in range(3)]
    labels.judge(ids[2], "a")
    labels.close()
    yield ids
    for file in small.root.glob("labels.*"):
        file.unlink()


def scores_of(small, name, **changed):
    said = small.run(name, ScoreSpec(reward_model="run:rm", device="cpu", **changed))
    assert ended_well(said)
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    found = read_scores(small.root / made.path)
    assert made.what == "scores" and made.facts == {"reward_model": "run:rm", "pairs": len(found)}
    return found


def test_pairs_have_the_scores_that_their_answers_get_one_by_one(small, pairs):
    found = scores_of(small, "scored")
    assert set(found) == set(pairs)
    again = scores_of(small, "scored-one-by-one", batch_size=1)
    for id in pairs:
        assert (again[id].a, again[id].b) == pytest.approx((found[id].a, found[id].b), abs=1e-5)
        assert found[id].spread == 0.0
    apart = {id: found[id].margin for id in pairs}
    assert all(margin > 0 for margin in apart.values())  # it learned that knowing is better


def test_waiting_and_judged_pairs_can_be_scored_alone(small, pairs):
    assert set(scores_of(small, "waiting", pairs="waiting")) == set(pairs[:2])
    assert set(scores_of(small, "judged", pairs="judged")) == {pairs[2]}
    assert set(scores_of(small, "one", pairs="waiting", limit=1)) == {pairs[0]}


def test_of_judged_pairs_the_latest_by_people_come_first_then_the_oldest_by_others(small, pairs):
    labels = Labels(small.root / "labels.db")
    ids = [labels.add_pair(f"Who is {n}?", f"It is {n}.", f"Nobody is {n}") for n in range(6)]
    for n, id in enumerate(ids):
        labels.judge(id, "b", source="human" if n % 2 else "rule")
    labels.close()
    # people: pairs[2] and then ids 1, 3 and 5; a rule: ids 0, 2 and 4
    assert set(scores_of(small, "two", pairs="judged", limit=2)) == {ids[3], ids[5]}
    assert set(scores_of(small, "five", pairs="judged", limit=5)) == {pairs[2], ids[1], ids[3], ids[5], ids[0]}
    assert set(scores_of(small, "all", pairs="both", limit=9)) == {*pairs, *ids}


def test_what_cannot_be_scored_is_said(small, pairs):
    with pytest.raises(SpecError, match="Score with has not been chosen"):
        ScoreSpec(reward_model="")
    end = small.run("no-judge", ScoreSpec(reward_model="run:sft", device="cpu"))[-1].event
    assert end.outcome == "failed" and "is not a reward model" in end.message
    labels = Labels(small.root / "labels.db")
    for id in pairs:
        labels.judge(id, "skip")
    labels.close()
    end = small.run("none", ScoreSpec(reward_model="run:rm", device="cpu"))[-1].event
    assert end.outcome == "failed" and "no pairs to score" in end.message
