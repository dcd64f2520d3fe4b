"""Ratings as token ids, each with an answer to another prompt."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.datasets import freeze, resolve
from rlhf_engine.data.records import Comparison, Rating, split_of
from rlhf_engine.preferences.ratings import elsewhere, in_parts, read_ratings
from tests.engine.preferences.conftest import given
from tests.engine.preferences.test_pairs import of_split


def read(small, inside, backbone, rows, kind="ratings", **changed):
    spec = small.kto(dataset=freeze(small.root, kind, rows, "mine", "test", {}).ref, **changed)
    hand = inside(spec)
    found = read_ratings(backbone, resolve(small.root, spec.dataset, "ratings"), spec, hand.run)
    return found, [e.event.text for e in hand.said if isinstance(e.event, Alert)]


def test_a_rating_has_its_answer_and_another_prompts_answer_behind_its_own_prompt(small, inside, backbone):
    prompts = of_split("train", 6)
    rows = [Rating(p, f"Answer {i}.", i % 2 == 0) for i, p in enumerate(prompts)]
    (ratings, heldout), said = read(small, inside, backbone, rows)
    assert [r.liked for r in ratings] == [True, False] * 3 and not heldout and not said
    tokenizer = backbone.base.tokenizer
    for i, rated in enumerate(ratings):
        asked = rated.answer.ids[: rated.answer.mask.index(True)]
        assert rated.elsewhere.ids[: len(asked)] == asked and not any(rated.elsewhere.mask[: len(asked)])
        own, other = (tokenizer.decode(a.ids[-a.tokens :]) for a in (rated.answer, rated.elsewhere))
        assert own == f"Answer {i}.<|end|>" != other and other.startswith("Answer ")


def test_comparisons_are_one_like_and_one_dislike_and_ties_neither(small, inside, backbone):
    rows = [Comparison(p, f"Yes {p}", f"No {p}", strength=i % 3) for i, p in enumerate(of_split("train", 6))]
    (ratings, _), said = read(small, inside, backbone, rows, "comparisons")
    assert [r.liked for r in ratings] == [True, False] * 4
    assert any(text.startswith("2 comparisons are ties") for text in said)


def test_the_other_answer_is_never_to_the_same_prompt(backbone):
    """Two answers to a prompt stand side by side in a dataset of comparisons: the next row would be no other prompt."""
    prompts = [f"Question {i // 2}?" for i in range(12)]
    answers = [given(backbone, p, f"Answer {i} to {p}") for i, p in enumerate(prompts)]
    tokenizer = backbone.base.tokenizer
    for seed in range(20):
        for prompt, partner in zip(prompts, elsewhere(answers, prompts, 256, seed), strict=True):
            assert partner is not None and prompt not in tokenizer.decode(partner.ids[-partner.tokens :])
    assert elsewhere(answers, prompts, 256, 3) == elsewhere(answers, prompts, 256, 3)
    assert elsewhere(answers, prompts, 256, 3) != elsewhere(answers, prompts, 256, 4)


def test_the_other_answer_fits_behind_the_prompt(small, inside, backbone):
    long = next(p for p in (f"{i}{' Word' * 28}" for i in range(100)) if split_of(p) == "train")
    rows = [Rating(long, "Yes.", True)] + [Rating(p, "Yes. " * 40, False) for p in of_split("train", 6)]
    (ratings, _), said = read(small, inside, backbone, rows)
    assert len(ratings) == 6 and all(len(r.elsewhere.ids) <= 256 for r in ratings)
    assert any("1 of 7 ratings (train) were left out: behind their prompts" in text for text in said)


def test_parts_are_answers_and_then_what_stands_elsewhere(small, inside, backbone):
    rows = [Rating(p, f"Answer {i}.", True) for i, p in enumerate(of_split("train", 5))]
    (ratings, _), _ = read(small, inside, backbone, rows)
    parts = list(in_parts(ratings, 2))
    assert [len(part) for part in parts] == [2, 2, 1, 2, 2, 1]
    assert parts[0] == [ratings[0].answer, ratings[1].answer] and parts[3][0] == ratings[0].elsewhere


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Rating(p, "Yes.", True) for p in of_split("heldout", 4)], "has no ratings to train on."),
        ([Rating(of_split("train", 1)[0], f"Yes {i}.", True) for i in range(3)], "All 3 ratings (train) are of one"),
        ([Rating(p, "Yes. " * 300, True) for p in of_split("train", 4)], "All 4 ratings (train) are longer"),
    ],
    ids=["held out", "one prompt", "too long"],
)
def test_nothing_to_train_on_is_said(small, inside, backbone, rows, message):
    with pytest.raises(DataError) as error:
        read(small, inside, backbone, rows)
    assert message in str(error.value) and error.value.hint
