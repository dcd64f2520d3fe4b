"""What people give, as plain values: what is the same, what is held out, what cannot be used."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_engine.data.records import (
    Comparison,
    Demonstration,
    PromptRecord,
    Rating,
    canonical,
    content_of,
    fault_in,
    pack_prompt,
    split_of,
    text_of,
    unpack_prompt,
)

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
]


def test_a_text_and_one_user_turn_with_other_spacing_are_the_same_prompt():
    assert canonical("Who  owns\nit? ") == canonical([{"role": "user", "content": "Who owns it?"}])
    assert canonical("cafe\u0301") == canonical("caf\u00e9")
    assert canonical("who owns it?") != canonical("Who owns it?")
    assert canonical(TURNS) != canonical("Be brief. Hi")


def test_the_side_of_a_prompt_follows_from_its_hash_alone_and_never_changes():
    # The first 64 bits of sha256('[["user","prompt 1"]]') and so on, modulo 100: 9, 9, 10, 10. Below 10 is held out.
    sides = [split_of(f"prompt {i}") for i in (1, 155, 14, 111)]

    assert sides == ["heldout", "heldout", "train", "train"]
    assert split_of([{"role": "user", "content": " prompt  1"}]) == "heldout"
    assert split_of("prompt 14", heldout=11) == "heldout"


def test_about_a_tenth_of_all_prompts_is_held_out():
    held = sum(split_of(f"prompt {i}") == "heldout" for i in range(5000))
    assert 420 < held < 580  # 500, and four standard deviations of 21


def test_the_content_of_a_record_leaves_out_its_id_but_nothing_else():
    a = Comparison("p", "good", "bad", 3, "human", "1")
    assert content_of(a) == content_of(Comparison("p", "good", "bad", 3, "human", "2"))
    assert content_of(a) != content_of(Comparison("p", "good", "bad", 2, "human", "1"))
    assert content_of(PromptRecord("p")) != content_of(PromptRecord([{"role": "user", "content": "p"}]))


@pytest.mark.parametrize("prompt", ["one text", TURNS])
def test_a_prompt_survives_two_columns_of_a_table(prompt):
    assert unpack_prompt(*pack_prompt(prompt)) == prompt


def test_turns_are_shown_under_their_roles():
    assert text_of(TURNS) == "System: Be brief.\n\nUser: Hi"


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        (PromptRecord("  "), "prompt", "is empty"),
        (PromptRecord(7), "prompt", "is a number, neither text nor a list of turns"),
        (PromptRecord([]), "prompt", "has no turns"),
        (PromptRecord([{"role": "robot", "content": "x"}]), "prompt", "turn 1 has the role 'robot'"),
        (PromptRecord([{"role": "user", "content": ""}]), "prompt", "turn 1 is empty"),
        (PromptRecord([*TURNS, {"role": "assistant", "content": "x"}]), "prompt", "does not end with the user's turn"),
        (Demonstration("p", "a\0b"), "completion", "contains a NUL character"),
        (Demonstration("p", "a\ud800"), "completion", "half of a surrogate pair"),
        (Demonstration("p", "x" * 1_000_001), "completion", "1,000,001 characters long"),
        (Comparison("p", "same", " same "), "rejected", "both answers are the same"),
        (Comparison("p", "a", "b", 4), "strength", "4 is not 1, 2 or 3, nor 0 for a tie"),
        (Comparison("p", "a", "b", False), "strength", "False is not 1, 2 or 3, nor 0 for a tie"),
        (Comparison("p", "same", "same", 0), "rejected", "both answers are the same"),
        (Rating("p", " ", True), "completion", "is empty"),
        (Rating("p", "a", 1), "liked", "is a number, neither true nor false"),
        (Rating("p", "a", "yes"), "liked", "is text, neither true nor false"),
        (Comparison("p", "a", None), "rejected", "is missing, not text"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_field_and_the_reason(record, field, reason):
    fault = fault_in(record)
    assert fault is not None
    assert fault[0] == field and reason in fault[1]


def test_good_records_have_no_fault():
    assert fault_in(PromptRecord(TURNS)) is None
    assert fault_in(Demonstration("p", "a")) is None
    assert fault_in(Comparison("p", "a", "b", 1)) is None
    assert fault_in(Comparison("p", "a", "b", 0)) is None
    assert fault_in(Rating("p", "a", False)) is None


def test_a_comparison_without_strength_is_a_tie():
    assert [Comparison("p", "a", "b", strength).tied for strength in (0, 1, 2, 3)] == [True, False, False, False]


ODD = st.text(st.sampled_from('a"\\/\n\t\x01\x7f\u2028é灯\U0001f600'), max_size=6)


@given(
    prompt=ODD | st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": ODD}), max_size=2),
    texts=st.tuples(ODD, ODD, ODD, ODD),
    strength=st.sampled_from([0, 1, 3]),
    liked=st.booleans(),
)
def test_the_line_of_a_record_is_what_the_json_encoder_writes(prompt, texts, strength, liked):
    """Names of datasets are made from these lines, so that not one byte of them may change."""
    a, b, source, who = texts
    given_ = {
        "prompts": (PromptRecord(prompt, source, "x"), {}),
        "demonstrations": (Demonstration(prompt, a, source, "x"), {"completion": a}),
        "ratings": (Rating(prompt, a, liked, source, "x"), {"completion": a, "liked": liked}),
        "comparisons": (
            Comparison(prompt, a, b, strength, source, "x", annotator=who),
            {"chosen": a, "rejected": b, "strength": strength, **({"annotator": who} if who else {})},
        ),
    }
    for kind, (record, said) in given_.items():
        body = {"kind": kind, "prompt": prompt, "source": source, **said}
        assert content_of(record) == json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
