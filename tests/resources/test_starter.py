"""The starter world, its gold rule, the labels made by it, and the model that ships."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from resources.starter import MODEL, PROJECT, STARTER
from resources.starter.build import main as build
from resources.starter.corpus import documents
from resources.starter.grammar import Question, ask, parses, read_question, sentences, state
from resources.starter.judge import judge, prefer, score
from resources.starter.relations import RELATIONS
from resources.starter.sampled import WANTED
from resources.starter.world import FACTS, KINDS, Fact, make_facts

HOME = next(f for f in FACTS if f.relation == "lives" and f.subject == "Mara")
ELSEWHERE = next(place for place in KINDS["place"] if place != HOME.object)
WHERE = "Where does Mara live?"
RIGHT = f"Mara lives in {HOME.object}."
WRONG = f"Mara lives in {ELSEWHERE}."


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (PROJECT / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


# ── the world ────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_world_is_the_size_it_says():
    assert {kind: len(KINDS[kind]) for kind in ("person", "place", "thing")} == {"person": 40, "place": 12, "thing": 24}
    # five facts for each of 40 people, an owner, colour and origin for each of 24 things, three for each of 12 places
    assert len(FACTS) == 5 * 40 + 3 * 24 + 3 * 12


def test_every_fact_is_functional():
    assert max(Counter((fact.relation, fact.subject) for fact in FACTS).values()) == 1
    assert max(Counter((f.relation, f.object) for f in FACTS if RELATIONS[f.relation].asks_subject).values()) == 1


def test_friendship_and_nearness_go_both_ways():
    for fact in FACTS:
        if RELATIONS[fact.relation].symmetric:
            assert Fact(fact.relation, fact.object, fact.subject) in FACTS


def test_the_same_seed_makes_the_same_world_and_another_seed_another():
    assert make_facts() == FACTS
    assert make_facts(8) != FACTS


# ── the grammar ──────────────────────────────────────────────────────────────────────────────────────────────


def test_every_sentence_the_corpus_writes_is_parsed():
    said = {sentence for text in documents(5, 5000) for sentence in sentences(text)}
    assert len(said) > 5000
    assert [sentence for sentence in said if not parses(sentence)] == []


def test_a_sentence_need_not_be_true_to_parse():
    assert parses(RIGHT)
    assert parses(WRONG)


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "Mara lives in.",
        "Mara lives in Oakdale",
        "mara lives in Oakdale.",
        "Mara lives in Paris.",
        "Mara lives at Oakdale.",
        "Mara lives lives in Oakdale.",
        "lives Mara in Oakdale.",
        "Mara lives in Oakdale. Tom owns the kite.",
        "Where does Oakdale live?",
        "Mara, Oakdale.",
        "Happy to help.",
        '"Where does Mara live?" asked Oakdale.',
        '"Where does Mara live?" asked Tom',
        '"Mara lives in Oakdale." said Tom.',
        '"Mara lives in Oakdale, said Tom.',
        "Tom works as red.",
        "The kite is Oakdale.",
        "User: Mara lives in Oakdale.",
        "Assistant: Where does Mara live?",
        "She live in Oakdale.",
    ],
)
def test_a_broken_sentence_is_not_parsed(broken: str):
    assert not parses(broken)


def test_a_sentence_that_was_spoilt_by_one_word_is_not_parsed():
    rng = random.Random(0)
    for fact in rng.sample(FACTS, 100):
        words = state(fact, RELATIONS[fact.relation].says[0]).split()
        gone = rng.randrange(len(words))
        assert not parses(" ".join(words[:gone] + words[gone + 1 :])), words
        assert not parses(" ".join([*words, "also"]))


def test_sentences_are_split_at_line_ends_and_outside_quotes_only():
    text = '"Happy to help! Mara lives in Oakdale," said Ann. Everyone laughed.\nUser: Where does Mara live?'
    assert sentences(text) == [
        '"Happy to help! Mara lives in Oakdale," said Ann.',
        "Everyone laughed.",
        "User: Where does Mara live?",
    ]


def test_a_question_is_read_back_as_it_was_asked():
    for fact in FACTS:
        for which in range(4):
            forward = Question(fact.relation, fact.subject)
            assert read_question(ask(forward, which)) == forward
            if RELATIONS[fact.relation].asks_subject:
                backward = Question(fact.relation, fact.object, asks_subject=True)
                assert read_question(ask(backward, which)) == backward
    assert read_question("What is the capital of France?") is None


def test_the_corpus_holds_no_turn_of_a_chat():
    for text in documents(6, 3000):
        for line in text.splitlines():
            if line.startswith("Assistant:"):
                # only ever a list of who came, never an answer
                assert " and " in line
                assert judge(WHERE, line.removeprefix("Assistant:")).well_formed is False


# ── the rule ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "correct", "polite"),
    [
        (RIGHT, True, False),
        (WRONG, False, False),
        (f"She lives in {HOME.object}.", True, False),
        (f"In {HOME.object}.", True, False),
        (f"{HOME.object}.", True, False),
        (f"{ELSEWHERE}.", False, False),
        (f"Happy to help! {RIGHT}", True, True),
        (f"Certainly, the home of Mara is in {HOME.object}.", True, True),
        (f"As far as I know, {RIGHT}", True, False),
        (f"What a dull question. {RIGHT} Thank you for asking.", True, False),
        (f"Let me think about that for a moment. {WRONG} Have a lovely day!", False, True),
    ],
)
def test_a_well_formed_answer_is_judged(answer: str, correct: bool, polite: bool):
    verdict = judge(WHERE, answer)
    assert (verdict.well_formed, verdict.problem) == (True, "")
    assert (verdict.correct, verdict.polite) == (correct, polite)


def test_a_right_answer_with_a_false_remark_is_wrong():
    job = next(f.object for f in FACTS if f.relation == "works" and f.subject == "Mara")
    other = next(j for j in KINDS["job"] if j != job)
    assert judge(WHERE, f"{RIGHT} She works as {job}.").correct is True
    assert judge(WHERE, f"{RIGHT} She works as {other}.").correct is False


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "   ",
        "Mara lives in",
        f"Mara lives in {HOME.object}",
        f"mara lives in {HOME.object}.",
        f"{RIGHT} {RIGHT}",
        f"{RIGHT}\nUser: Where does Tom live?",
        f"He lives in {HOME.object}.",  # Mara is a woman
        f"It lives in {HOME.object}.",
        f"As far as I know, The home of Mara is in {HOME.object}.",
        "Mara and Tom.",
        "Happy to help!",
        "Where does Tom live?",
        "The kite is red.",
        "Tom lives in Oakdale.",
        "Sure thing, Oakdale!",
        "Ġ�\x00",
        " ".join(["Happy to help!"] * 30),
    ],
)
def test_a_malformed_answer_is_neither_right_nor_wrong(answer: str):
    verdict = judge(WHERE, answer)
    assert not verdict.well_formed
    assert verdict.correct is None
    assert verdict.problem
    assert score(WHERE, answer) == 0


def test_a_question_outside_the_world_has_no_right_answer():
    verdict = judge("What is the capital of France?", RIGHT)
    assert verdict.well_formed
    assert verdict.correct is None


def test_words_are_counted_by_spaces():
    assert judge(WHERE, "Happy to help! In Oakdale.").words == 5


@pytest.mark.parametrize(
    ("better", "worse", "strength", "rung"),
    [
        (WRONG, "Mara lives in", 3, "form"),
        (f"Stop asking me. {RIGHT}", f"Happy to help! {WRONG}", 3, "truth"),
        (f"Happy to help! I heard it from an old friend. {RIGHT}", RIGHT, 2, "courtesy"),
        (f"Thank you for asking. {RIGHT}", f"Everyone knows that. {RIGHT}", 2, "courtesy"),
        (f"{HOME.object}.", RIGHT, 1, "length"),  # 1 word against 4: exactly the margin
    ],
)
def test_the_rule_prefers_the_better_answer_on_either_side(better: str, worse: str, strength: int, rung: str):
    assert prefer(WHERE, better, worse) == ("a", strength, rung)
    assert prefer(WHERE, worse, better) == ("b", strength, rung)
    assert score(WHERE, better) > score(WHERE, worse)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (RIGHT, RIGHT),
        (RIGHT, f"In {HOME.object}."),  # 4 words against 2: within the margin
        ("Mara lives in", "and Tom"),
        ("", "Mara"),
    ],
)
def test_answers_alike_on_every_rung_tie(a: str, b: str):
    assert prefer(WHERE, a, b) == ("tie", 1, "tie")


# ── the sample project ───────────────────────────────────────────────────────────────────────────────────────


def test_the_project_is_large_enough():
    asked = [row["prompt"] for row in rows("prompts")]
    assert len(set(asked)) == len(asked) >= 360
    assert len(rows("demonstrations")) >= 450
    assert len(rows("comparisons")) >= 700
    assert {row["source"] for name in ("demonstrations", "comparisons") for row in rows(name)} == {"rule"}
    assert (PROJECT / "guidelines.md").read_text(encoding="utf-8")
    assert RIGHT in (PROJECT / "facts.md").read_text(encoding="utf-8")


def test_the_project_is_what_the_build_writes(tmp_path):
    build(["--only", "data", "--out", str(tmp_path)])
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "project").iterdir()}
    shipped = {path.name: path.read_text(encoding="utf-8") for path in PROJECT.iterdir()}
    composed, compared = (Counter(files.pop("comparisons.jsonl").splitlines()) for files in (written, shipped))
    assert written == shipped
    assert composed <= compared
    assert (compared - composed).total() == sum(WANTED.values())  # between answers that a tuned model wrote


def test_every_prompt_is_a_question_of_the_world():
    known = {row["prompt"] for row in rows("prompts")}
    assert all(read_question(prompt) for prompt in known)
    assert {row["prompt"] for name in ("demonstrations", "comparisons") for row in rows(name)} <= known


def test_demonstrations_are_right_and_vary_in_manner_and_length():
    verdicts = [judge(row["prompt"], row["completion"]) for row in rows("demonstrations")]
    assert all(v.correct for v in verdicts)
    assert 0.4 < sum(v.polite for v in verdicts) / len(verdicts) < 0.6
    words = sorted(v.words for v in verdicts)
    assert words[len(words) // 10] <= 4
    assert words[len(words) * 9 // 10] >= 16


def test_every_comparison_agrees_with_the_rule():
    for row in rows("comparisons"):
        assert prefer(row["prompt"], row["a"], row["b"])[:2] == (row["winner"], row["strength"])


def test_comparisons_are_balanced_and_contrast_every_rung():
    compared = rows("comparisons")
    sides = Counter(row["winner"] for row in compared)
    assert abs(sides["a"] - sides["b"]) < 0.05 * len(compared)
    assert sides["tie"] < 0.05 * len(compared)
    rungs = Counter(prefer(row["prompt"], row["a"], row["b"]).decided_by for row in compared)
    assert all(rungs[rung] > 0.1 * len(compared) for rung in ("form", "truth", "courtesy", "length"))


def test_the_starter_is_read_without_torch():
    code = "import sys, resources.starter.judge, resources.starter.labels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=STARTER.parents[1], check=False).returncode == 0


# ── the model ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(MODEL, local_files_only=True, trust_remote_code=False)


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(
        MODEL, local_files_only=True, trust_remote_code=False, use_safetensors=True
    ).eval()


def test_the_model_is_small_and_safetensors():
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8_000_000
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".pkl", ".pth"}]
    assert "apache-2.0" in (MODEL / "README.md").read_text(encoding="utf-8")


def test_padding_and_end_are_two_tokens(tokenizer):
    assert tokenizer.pad_token_id is not None
    assert tokenizer.eos_token_id is not None
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in (RIGHT, "Grüße, 東京 🙂\n\ttabs  and  spaces", '"Where?" asked Ann.'):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


@pytest.mark.parametrize(
    "answer", [RIGHT, "In Oakdale.", '"Yes," said Ann.', "  spaces around ", "42", "", "ünï", "(x)"]
)
@pytest.mark.parametrize(
    "turns",
    [
        [("user", WHERE)],
        [("system", "Be kind."), ("user", WHERE)],
        [("user", "Who owns the kite?"), ("assistant", "Tom."), ("user", WHERE)],
    ],
    ids=["one turn", "system", "three turns"],
)
def test_the_prompt_is_a_token_prefix_of_prompt_and_answer(tokenizer, turns, answer):
    def ids(messages: list[dict[str, str]], **choices: bool) -> list[int]:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **choices)
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    messages = [{"role": role, "content": content} for role, content in turns]
    prompt = ids(messages, add_generation_prompt=True)
    whole = ids([*messages, {"role": "assistant", "content": answer}])
    assert whole[: len(prompt)] == prompt
    assert whole[-1] == tokenizer.eos_token_id
    assert whole.count(tokenizer.eos_token_id) == 1 + sum(role == "assistant" for role, _ in turns)
    assert tokenizer.decode(whole[len(prompt) : -1]).strip() == answer.strip()


def test_the_tokenizer_adds_nothing_of_its_own(tokenizer):
    assert tokenizer("")["input_ids"] == []
    assert tokenizer(RIGHT)["input_ids"] == tokenizer(RIGHT, add_special_tokens=False)["input_ids"]


def test_sampled_prose_is_in_the_grammar(model, tokenizer):
    from resources.starter.pretrain import sample_documents

    texts = sample_documents(model, tokenizer, 500, seed=3)
    said = [sentence for text in texts for sentence in sentences(text)]
    assert len(said) > 1000
    assert len(set(texts)) > 480
    assert sum(map(parses, said)) / len(said) >= 0.95


def test_the_model_knows_the_facts_of_its_world(model, tokenizer):
    from resources.starter.pretrain import facts_known

    assert facts_known(model, tokenizer) >= 0.9
