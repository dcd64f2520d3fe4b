"""Comparisons as token ids: which are taken, and what is said of the others."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.errors import DataError
from rlhf_engine.contract.events import Alert
from rlhf_engine.data.chat import render
from rlhf_engine.data.datasets import freeze, resolve
from rlhf_engine.data.records import Comparison, split_of
from rlhf_engine.preferences.pairs import read_pairs


def of_split(split, count):
    prompts = (f"Word {i}?" for i in range(10_000))
    return [p for p, _ in zip((p for p in prompts if split_of(p) == split), range(count), strict=False)]


def read(small, inside, backbone, rows, **changed):
    ref = freeze(small.root, "comparisons", rows, "mine", "test", {}).ref
    hand = inside(small.dpo(dataset=ref, **changed))
    pairs = read_pairs(backbone, resolve(small.root, ref, "comparisons"), small.dpo(dataset=ref, **changed), hand.run)
    return pairs, [e.event.text for e in hand.said if isinstance(e.event, Alert)]


def test_both_answers_stand_behind_the_same_prompt(small, inside, backbone):
    (prompt,) = of_split("train", 1)
    ((pair,), heldout), said = read(small, inside, backbone, [Comparison(prompt, "Yes.", "No, never.")])
    assert pair.chosen.ids == render(backbone.base.tokenizer, prompt, "Yes.").ids
    asked = len(pair.chosen.ids) - pair.chosen.tokens
    assert pair.chosen.ids[:asked] == pair.rejected.ids[: pair.rejected.mask.index(True)]
    assert pair.longest == len(pair.rejected.ids) and not heldout and not said


def test_ties_are_left_out_and_counted(small, inside, backbone):
    rows = [Comparison(p, "Yes.", "No.", strength=i % 2) for i, p in enumerate(of_split("train", 6))]
    (pairs, _), said = read(small, inside, backbone, rows)
    assert len(pairs) == 3
    (text,) = said
    assert text.startswith("3 of 6 comparisons (train) are ties and were left out")


def test_a_pair_is_left_out_when_either_side_is_too_long(small, inside, backbone):
    a, b, c, *rest = of_split("train", 8)
    rows = [Comparison(a, "Yes. " * 300, "No."), Comparison(b, "Yes.", "No. " * 300)]
    rows += [Comparison(p, "Yes.", "No.") for p in (c, *rest)]
    (pairs, _), said = read(small, inside, backbone, rows)
    assert len(pairs) == 6 and any("2 of 8 comparisons (train) are longer than" in text for text in said)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([Comparison(p, "Yes.", "No.") for p in of_split("heldout", 4)], "has no comparisons to train on."),
        ([Comparison(p, "Yes.", "No.", strength=0) for p in of_split("train", 4)], "has no comparisons to train on."),
        ([Comparison(p, "Yes. " * 300, "No.") for p in of_split("train", 4)], "All 4 comparisons (train) are longer"),
    ],
    ids=["held out", "ties", "too long"],
)
def test_nothing_to_train_on_is_said(small, inside, backbone, rows, message):
    with pytest.raises(DataError) as error:
        read(small, inside, backbone, rows)
    assert message in str(error.value) and error.value.hint
