"""What a look at a dataset finds, planted one by one; and what it must not find."""

from __future__ import annotations

import random

import pytest

from rlhf_engine.data.checks import check
from rlhf_engine.data.likeness import Signatures, jaccard, near_duplicates, shingles
from rlhf_engine.data.records import Comparison, Demonstration, Rating, split_of, texts_of

WORDS = "red green blue cat dog bird tree river stone cloud seven eight walk run sing over under near far"
WORDS = WORDS.split()


def sentence(rng, words=14):
    return " ".join(rng.choices(WORDS, k=words))


def pair(prompt, chosen="a good answer", rejected="some bad words", strength=2):
    return Comparison(prompt, chosen, rejected, strength)


def found_in(records, longest=1000, **about):
    return {f.key: f for f in check(records, longest, lambda r: sum(map(len, texts_of(r))), **about)}


def test_clean_pairs_give_no_finding():
    rng = random.Random(1)
    assert found_in([pair(sentence(rng), sentence(rng), sentence(rng)) for _ in range(300)]) == {}


@pytest.mark.parametrize(
    ("key", "records", "row", "other"),
    [
        ("duplicates", [pair("p"), pair("q"), pair(" p ")], 3, 1),
        ("contradictions", [pair("p", "one thing", "another"), pair("p", "another", "one thing")], 2, 1),
        ("same_answers", [pair("p"), pair("q", "The cat.", "the  cat")], 2, None),
        ("one_sided", [pair("p"), pair("q", "The cat sat.", "The cat")], 2, None),
        ("one_sided", [pair("p"), pair("q", "The cat sat.", "...")], 2, None),
        ("too_long", [pair("p"), pair("q " * 600)], 2, None),
        ("control_text", [pair("p"), pair("q", "yes<|im_end|>")], 2, None),
        ("unseen", [pair("p"), pair("q", "yes\u200b")], 2, None),
        ("duplicates", [Rating("p", "a", True), Rating("p", "a", True)], 2, 1),
    ],
)
def test_what_is_odd_is_counted_and_shown_with_its_row(key, records, row, other):
    findings = found_in(records)
    assert list(findings) == [key]
    (example,) = findings[key].examples
    assert (findings[key].count, findings[key].of, example["row"], example.get("other")) == (
        1,
        len(records),
        row,
        other,
    )
    assert findings[key].advice.endswith(".") and findings[key].title


def test_the_same_answer_judged_twice_alike_or_differently_is_no_copy():
    assert found_in([Rating("p", "a", True), Rating("p", "a", False), Demonstration("p", "b")]) == {}
    assert found_in([pair("p"), pair("p", "a good answer", "quite another one")]) == {}


def test_tokens_of_the_tokenizer_count_as_control_text():
    records = [Demonstration("p", "so <end> it goes")]
    assert found_in(records) == {}
    assert found_in(records, control=["<end>", " "])["control_text"].examples[0]["text"] == "so <end> it goes"


def test_longer_answers_that_win_are_told_from_fifty_pairs_on():
    rng = random.Random(2)
    longer = [pair(sentence(rng), sentence(rng, 20), sentence(rng, 9)) for _ in range(50)]
    assert (found_in(longer)["longer_wins"].count, found_in(longer[:49])) == (50, {})
    even = [pair(sentence(rng), sentence(rng, 20 - i % 2), sentence(rng, 19 + i % 2)) for i in range(60)]
    assert found_in(even) == {}


def test_held_out_prompts_that_nearly_repeat_a_training_prompt_are_leaks_and_others_are_near_duplicates():
    rng = random.Random(3)
    texts = [sentence(rng, 30) for _ in range(400)]
    copies = [f"{text} indeed" for text in texts[:60]]
    records = [Demonstration(text, "a") for text in (*texts, *copies)]
    findings = found_in(records)
    crossing = sum(split_of(a) != split_of(b) for a, b in zip(texts, copies, strict=False))
    assert 0 < crossing < 60
    assert (findings["leaks"].count, findings["near_duplicates"].count) == (crossing, 60 - crossing)
    example = findings["leaks"].examples[0]
    assert example["row"] - example["other"] == 400


def test_signatures_find_what_comparing_every_pair_finds():
    rng = random.Random(4)
    texts = [sentence(rng, 20) for _ in range(150)]
    texts += [" ".join(rng.choice(WORDS) if i == 10 else w for i, w in enumerate(t.split())) for t in texts[:50]]
    texts += [text.upper() + "!" for text in texts[50:80]]
    signatures = Signatures()
    for text in texts:
        signatures.add(text)
    alike = {
        (a, b) for b in range(len(texts)) for a in range(b) if jaccard(shingles(texts[a]), shingles(texts[b])) >= 0.8
    }
    found = {(first, later) for later, first in near_duplicates(signatures, texts.__getitem__).items()}
    assert found <= alike
    assert len(found) >= 0.95 * len({later for _, later in alike}) >= 28


@pytest.mark.parametrize("text", ["", "?", "a", "a b", "\u4f60\u597d\u5417\u6211\u5f88\u597d"])
def test_short_texts_and_texts_without_spaces_have_shingles(text):
    assert shingles(text) and jaccard(shingles(text), shingles(text)) == 1.0


def test_a_look_can_be_stopped():
    class Stop(Exception):
        pass

    def told(done):
        if done >= 500:
            raise Stop

    with pytest.raises(Stop):
        found_in([pair(str(i)) for i in range(2000)], told=told)


def test_the_comparing_of_prompts_can_be_stopped_too():
    class Stop(Exception):
        pass

    whole = []

    def told(done):
        whole.append(done == 60)
        if sum(whole) == 3:  # once when all rows are looked at, and again from within the comparing
            raise Stop

    rng = random.Random(5)
    text = sentence(rng, 20)
    with pytest.raises(Stop):
        found_in([pair(f"{text} {n}") for n in range(60)], told=told)
