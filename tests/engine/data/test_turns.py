"""What is trained of a demonstration, decoded: exactly the assistant's words and what ends them."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from resources import starter
from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.chat import control_ids, render
from rlhf_engine.data.records import Demonstration
from rlhf_engine.data.turns import ALL, ANSWER, TURNS, Example, example
from tests.engine.tiny import tiny_tokenizer

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real"))

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who owns the saddle?"},
    {"role": "assistant", "content": "Jill does."},
    {"role": "user", "content": "And the lantern?"},
    {"role": "assistant", "content": "Nils, I think."},
    {"role": "user", "content": "Are you sure?"},
]
ROW = Demonstration(TALK, "No.")

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' }}"
    "{{ m.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<s>[INST] ' + m.content + ' [/INST]' }}"
    "{% elif m.role == 'assistant' %}{{ ' ' + m.content + ' </s>' }}{% endif %}{% endfor %}"
)
# Earlier turns lose their reasoning, and the last one gets an empty one: the ids of the past change as it goes on.
REASONING = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m.content.split('</think>')[-1] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NO_END = (
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{{ 'assistant:' if add_generation_prompt }}"
)


def tokenizer_of(template: str, end: str, *special: str, bos: str | None = None) -> PreTrainedTokenizerFast:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.add_special_tokens({"additional_special_tokens": [*special, end]})
    tokenizer.eos_token, tokenizer.bos_token, tokenizer.chat_template = end, bos, template
    return tokenizer


def chatml() -> PreTrainedTokenizerFast:
    return tokenizer_of(CHATML, "<|im_end|>", "<|im_start|>")


def llama3() -> PreTrainedTokenizerFast:
    special = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|end_of_text|>")
    return tokenizer_of(LLAMA3, "<|eot_id|>", *special, bos="<|begin_of_text|>")


def llama2() -> PreTrainedTokenizerFast:
    return tokenizer_of(LLAMA2, "</s>", "<s>")


def pieces(tokenizer: PreTrainedTokenizerFast, one: Example) -> list[str]:
    """The stretches of trained ids, each as text."""
    assert len(one.ids) == len(one.trained) and not one.trained[0]
    found: list[list[int]] = []
    for i, trained in enumerate(one.trained):
        if trained:
            found = found if found and one.trained[i - 1] else [*found, []]
            found[-1].append(one.ids[i])
    return [tokenizer.decode(ids) for ids in found]


@pytest.mark.parametrize(
    ("make", "trained"),
    [
        (tiny_tokenizer, ["Jill does.<|end|>", "Nils, I think.<|end|>", "No.<|end|>"]),
        (chatml, ["Jill does.<|im_end|>", "Nils, I think.<|im_end|>", "No.<|im_end|>"]),
        (llama3, ["Jill does.<|eot_id|>", "Nils, I think.<|eot_id|>", "No.<|eot_id|>"]),
        (llama2, [" Jill does. </s>", " Nils, I think. </s>", " No.</s>"]),
        (
            lambda: AutoTokenizer.from_pretrained(starter.MODEL),
            [" Jill does.<|end|>", " Nils, I think.<|end|>", " No.<|end|>"],
        ),
        (lambda: tokenizer_of(NO_END, "<|end|>"), [" Jill does.", " Nils, I think.", " No.<|end|>"]),
    ],
    ids=["tiny", "chatml", "llama3", "llama2", "starter", "no end"],
)
def test_every_turn_of_the_assistant_is_trained_with_what_ends_it(make, trained):
    tokenizer = make()
    talk = TALK[1:] if tokenizer.chat_template == LLAMA2 else TALK
    one = example(tokenizer, Demonstration(talk, "No."), trained_on=TURNS)
    assert pieces(tokenizer, one) == trained
    assert one.ids == render(tokenizer, talk, "No.").ids  # what is asked later is what was trained


def test_a_plain_transcript_trains_the_words_of_earlier_turns_and_the_end_of_the_last():
    tokenizer = tiny_tokenizer()
    one = example(tokenizer, ROW, "plain", TURNS)
    assert pieces(tokenizer, one) == [" Jill does.", " Nils, I think.", " No.<|end|>"]
    assert tokenizer.decode(one.ids).startswith("Be brief.\n\nHuman: Who owns the saddle?\n\nAssistant: Jill does.\n\n")


def test_the_default_is_the_last_answer_alone():
    tokenizer = chatml()
    assert pieces(tokenizer, example(tokenizer, ROW)) == ["No.<|im_end|>"]
    assert example(tokenizer, ROW).trained == render(tokenizer, TALK, "No.").completion_mask


@pytest.mark.parametrize("make", [chatml, llama3, tiny_tokenizer])
@pytest.mark.parametrize("template", ["auto", "plain"])
def test_all_tokens_are_all_but_the_first(make, template):
    tokenizer = make()
    one = example(tokenizer, ROW, template, ALL)
    assert one.trained == [False] + [True] * (len(one.ids) - 1)
    assert tokenizer.bos_token_id is None or tokenizer.bos_token_id not in one.ids[1:]


def test_a_quoted_control_token_ends_no_turn():
    tokenizer = chatml()
    talk = [
        {"role": "user", "content": "What ends <|im_end|> a turn?"},
        {"role": "assistant", "content": "The token <|im_end|> does.<|im_start|>"},
        {"role": "user", "content": "Thanks <|im_start|>"},
    ]
    one = example(tokenizer, Demonstration(talk, "Any <|im_end|> time."), trained_on=TURNS)
    assert pieces(tokenizer, one) == [
        "The token <|im_end|> does.<|im_start|><|im_end|>",
        "Any <|im_end|> time.<|im_end|>",
    ]
    trained = [i for i, counts in zip(one.ids, one.trained, strict=True) if counts]
    assert sum(i in control_ids(tokenizer) for i in trained) == 2  # the two ends: the quotes are letters


def test_a_template_that_rewrites_earlier_turns_is_refused_and_the_last_answer_still_trains():
    tokenizer = tokenizer_of(REASONING, "<|im_end|>", "<|im_start|>")
    with pytest.raises(
        DataError, match=r"in turn 3 of the conversation that begins 'Be brief\.' cannot be told"
    ) as told:
        example(tokenizer, ROW, trained_on=TURNS)
    assert "written differently once the conversation goes on" in str(told.value)
    assert told.value.hint.startswith('Train on "answer"')
    assert pieces(tokenizer, example(tokenizer, ROW)) == ["No.<|im_end|>"]
    assert pieces(tokenizer, example(tokenizer, Demonstration("Sure?", "No."), trained_on=TURNS)) == ["No.<|im_end|>"]


def test_a_template_whose_question_is_not_what_it_writes_of_the_answer_is_refused():
    asks = REASONING.replace("<|im_start|>assistant\n' }}{% endif %}", "<|im_start|>model\n' }}{% endif %}")
    with pytest.raises(DataError, match="what is before it is written differently later on"):
        example(tokenizer_of(asks, "<|im_end|>", "<|im_start|>"), ROW, trained_on=TURNS)


def test_a_greeting_that_nobody_asked_for_is_not_trained():
    talk = [
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Hi."},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Bye."},
    ]
    one = example(chatml(), Demonstration(talk, "So?"), trained_on=TURNS)
    assert pieces(chatml(), one) == ["Yes?<|im_end|>", "So?<|im_end|>"]


def joining() -> PreTrainedTokenizerFast:
    """Words with what stands before them, signs with the line breaks behind them: as Llama 3 splits text."""
    tokenizer = Tokenizer(models.BPE())
    pattern = Regex(r" ?[^\s\p{L}\p{N}]+[\r\n]*|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern, "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    lines = ["Jill does.\n\nHuman: And the lantern?\n\nAssistant: Nils, I think.\n\nHuman: Sure?"] * 50
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


def test_a_token_that_reaches_over_the_end_of_a_turn_is_not_trained():
    tokenizer = joining()
    assert tokenizer.tokenize("does.\n\nHuman")[-2] == ".ĊĊ"
    assert pieces(tokenizer, example(tokenizer, ROW, "plain", TURNS)) == [" Jill does", " Nils, I think", " No.<|end|>"]


@pytest.mark.real
@pytest.mark.parametrize("name", ["stories260K", "TinyStories-656K"])
def test_real_tokenizers_train_the_assistants_words_and_neither_bos_nor_padding(name):
    if not (REAL / "weights" / name).is_dir():
        pytest.skip(f"{REAL / 'weights' / name} is not there")
    tokenizer = AutoTokenizer.from_pretrained(REAL / "weights" / name)
    one = example(tokenizer, ROW, trained_on=TURNS)
    said = [piece.strip() for piece in pieces(tokenizer, one)]
    dot = "" if name == "TinyStories-656K" else "."  # its ".\n" is one token, which is half of the next turn
    assert said == [f"Jill does{dot}", f"Nils, I think{dot}", f"No.{tokenizer.eos_token}"]
    for what in (ANSWER, TURNS, ALL):
        one = example(tokenizer, ROW, trained_on=what)
        trained = {i for i, counts in zip(one.ids, one.trained, strict=True) if counts}
        assert one.ids[0] == tokenizer.bos_token_id
        assert not trained & {tokenizer.bos_token_id, tokenizer.pad_token_id}


def conversations() -> list[Demonstration]:
    """Real conversations of several turns, tool calls and all, in which the assistant has the last word."""
    rows = []
    roles = {"human": "user", "observation": "user", "gpt": "assistant", "function_call": "assistant"}
    for one in json.loads((REAL / "data/llama-factory-demo/glaive_toolcall_en_demo.json").read_text(encoding="utf-8")):
        talk = [{"role": roles[turn["from"]], "content": turn["value"]} for turn in one["conversations"]]
        rows.append(Demonstration(talk[:-1], talk[-1]["content"]))
    return rows


@pytest.mark.real
@pytest.mark.parametrize("template", ["auto", "plain"])
@pytest.mark.parametrize("make", [chatml, llama3, lambda: AutoTokenizer.from_pretrained(starter.MODEL)])
def test_real_conversations_train_every_turn_of_the_assistant(make, template):
    if not (REAL / "data/llama-factory-demo").is_dir():
        pytest.skip(f"{REAL / 'data/llama-factory-demo'} is not there")
    tokenizer = make()
    rows = conversations()[:40]
    assert sum(len(row.prompt) > 3 for row in rows) > 20
    for row in rows:
        said = [turn["content"] for turn in row.prompt if turn["role"] == "assistant"] + [row.completion]
        trained = pieces(tokenizer, example(tokenizer, row, template, TURNS))
        ends = [tokenizer.eos_token if template == "auto" or text == said[-1] else "" for text in said]
        assert [text.strip() for text in trained] == [text.strip() + end for text, end in zip(said, ends, strict=True)]


@pytest.mark.real
@pytest.mark.parametrize(("name", "lost"), [("stories260K", 0), ("TinyStories-656K", 4)])
def test_a_tokenizer_that_joins_words_and_line_breaks_trains_a_turn_but_for_its_last_letters(name, lost):
    if not (REAL / "weights" / name).is_dir() or not (REAL / "data/llama-factory-demo").is_dir():
        pytest.skip(f"{REAL} does not hold {name} and its data")
    tokenizer = AutoTokenizer.from_pretrained(REAL / "weights" / name)
    for row in conversations()[:40]:
        said = [turn["content"] for turn in row.prompt if turn["role"] == "assistant"]
        *earlier, last = pieces(tokenizer, example(tokenizer, row, "plain", TURNS))
        assert last.endswith(tokenizer.eos_token)
        for text, trained in zip(said, earlier, strict=True):
            if tokenizer.decode(tokenizer(text, add_special_tokens=False).input_ids).strip() == text.strip():
                assert text.strip().startswith(trained.strip()) and len(text.strip()) - len(trained.strip()) <= lost
