"""Prompts and answers as token ids, the same ones for training, scoring and generation.

An answer is tokenised apart from its prompt, so that the ids of the prompt are always an exact prefix. Two rules make
the ids of a written answer those that a model would have generated:

* An answer that begins with whitespace is taken as it is. Otherwise the separator goes in front of it: what the chat
  template itself puts between its generation prompt and an answer; one space after "Assistant:"; and after a plain
  text one space, unless that text is empty, ends with whitespace, or the answer is written without spaces (Chinese).
  `answer_text` takes the separator away again.
* The end of an answer is the tokenizer's end token, once, and it is trained.

Text that people or models wrote never becomes a control token: it is tokenised with special tokens split into letters.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from rlhf_engine.contract.errors import DataError, ModelError
from rlhf_engine.data.records import Prompt, Turn, turns_of

TEMPLATES = ("auto", "chat", "plain")
_HUMAN, _ASSISTANT = "\n\nHuman: ", "\n\nAssistant:"
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Token ids of a prompt, or of a prompt and its answer.

    `completion_mask` has one entry per id, True on the answer and its end token. `eos_trained` says whether the last
    id is an end token under the mask.
    """

    ids: list[int]
    completion_mask: list[bool]
    eos_trained: bool

    @property
    def prompt_length(self) -> int:
        return len(self.ids) - sum(self.completion_mask)


def render(tokenizer: Any, prompt: Prompt, completion: str | None = None, template: str = "auto") -> Rendered:
    """The ids with which a model is asked `prompt`, followed by `completion` and the end token where it is given.

    `template` is "chat" (the tokenizer's own), "plain", or "auto": chat where the tokenizer has one.

    Raises:
        ModelError: no end token, no chat template though asked for, or a template that refuses these turns.
        DataError: text that would turn into control tokens whatever is done.
    """
    chat = uses_chat_template(tokenizer, template)
    ids = _chat_ids(tokenizer, turns_of(prompt)) if chat else _plain_ids(tokenizer, prompt)
    if completion is None:
        return Rendered(ids, [False] * len(ids), eos_trained=False)
    separator = "" if completion[:1] in _SPACE else _separator(tokenizer, prompt, completion, chat)
    answer = [*_anchored(tokenizer, separator + completion, split=True), end_id(tokenizer)]
    _refuse_control_ids(tokenizer, answer[:-1], expected=0)
    return Rendered(ids + answer, [False] * len(ids) + [True] * len(answer), eos_trained=True)


def written_ids(tokenizer: Any, turns: list[Turn], template: str = "auto") -> list[int]:
    """The ids of a conversation as it stands once the assistant's turn at its end is written, and nobody is asked yet.

    Raises:
        ModelError, DataError: see `render`.
    """
    if uses_chat_template(tokenizer, template):
        return _chat_ids(tokenizer, turns, asks=False)
    return _plain_ids(tokenizer, turns, asks=False)


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of generated ids: without control tokens, and without the space that separates it from the prompt."""
    control = control_ids(tokenizer)
    text: str = tokenizer.decode([i for i in ids if i not in control], clean_up_tokenization_spaces=False)
    return text[1:] if text[:1] == " " and text[1:2] not in ("", *_SPACE) else text


def uses_chat_template(tokenizer: Any, template: str = "auto") -> bool:
    """Whether prompts go through the tokenizer's chat template. Raises ModelError if asked to and there is none."""
    has_one = bool(getattr(tokenizer, "chat_template", None))
    if template == "chat" and not has_one:
        raise ModelError("The tokenizer of this model has no chat template.", 'Choose the prompt format "plain".')
    if template not in TEMPLATES:
        raise ModelError(f"There is no prompt format {template!r}.", f"Known are {', '.join(TEMPLATES)}.")
    return has_one and template != "plain"


def prompt_format(tokenizer: Any, template: str = "auto") -> str:
    """How prompts are written: "plain", or "chat" with a hash of the tokenizer's template. Equal words, equal ids."""
    if not uses_chat_template(tokenizer, template):
        return "plain"
    return f"chat {hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()[:16]}"


def end_id(tokenizer: Any) -> int:
    """The id that ends an answer. Raises ModelError for a tokenizer without one: a model could never learn to stop."""
    if tokenizer.eos_token_id is None:
        raise ModelError(
            "The tokenizer has no end token, so a model could not learn where an answer stops.",
            'Add an "eos_token" to its tokenizer_config.json, or choose another model.',
        )
    return int(tokenizer.eos_token_id)


def control_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that mean something to the machine rather than to a reader; the unknown token is text that was not known."""
    return frozenset(_control_tokens(tokenizer).values())


def _control_tokens(tokenizer: Any) -> dict[str, int]:
    tokens = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    tokens |= {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {text: i for text, i in tokens.items() if i != tokenizer.unk_token_id}


def _plain_ids(tokenizer: Any, prompt: Prompt, asks: bool = True) -> list[int]:
    ids = _encode(tokenizer, plain_text(prompt, asks), split=True)
    _refuse_control_ids(tokenizer, ids, expected=0)
    probe = tokenizer("a").input_ids
    begins = tokenizer.bos_token_id is not None and probe[:1] == [tokenizer.bos_token_id]
    return [tokenizer.bos_token_id, *ids] if begins else ids


def plain_text(prompt: Prompt, asks: bool = True) -> str:
    """A text as it is; turns as a transcript that ends where the assistant is to go on, unless it `asks` nothing."""
    if isinstance(prompt, str):
        return prompt
    heads = {"system": "", "user": _HUMAN, "assistant": f"{_ASSISTANT} "}
    return "".join(heads[turn["role"]] + turn["content"] for turn in prompt) + (_ASSISTANT if asks else "")


def _chat_ids(tokenizer: Any, turns: list[Turn], asks: bool = True) -> list[int]:
    """The template's ids. Where a turn quotes control tokens, the quotes are tokenised as ordinary letters."""
    control = _control_tokens(tokenizer)
    quoted = re.compile("|".join(re.escape(text) for text in sorted(control, key=len, reverse=True)) or r"(?!)")
    if not any(quoted.search(turn["content"]) for turn in turns):
        text = _template(tokenizer, turns, add_generation_prompt=asks)
        ids = _encode(tokenizer, text, split=False)
        if _controls_in(tokenizer, ids) == len(quoted.findall(text)):
            return ids
        quoted = re.compile(r"(?s).+")  # a tokenizer that rewrites text can make a control token of what was none

    stand_ins: dict[str, str] = {}
    nonce = secrets.token_hex(8)  # nothing written beforehand can look like a stand-in

    def hide(match: re.Match[str]) -> str:
        stand_in = f"\ue000{nonce}{len(stand_ins)}\ue001"
        stand_ins[stand_in] = match.group()
        return stand_in

    hidden = [{**turn, "content": quoted.sub(hide, turn["content"])} for turn in turns]
    pieces = re.split(f"(\ue000{nonce}[0-9]+\ue001)", _template(tokenizer, hidden, add_generation_prompt=asks))
    ids = []
    expected = 0
    own = re.compile("|".join(re.escape(text) for text in sorted(control, key=len, reverse=True)) or r"(?!)")
    for piece in filter(None, pieces):
        split = piece in stand_ins
        text = stand_ins.get(piece, piece)
        expected += 0 if split else len(own.findall(text))
        ids += _anchored(tokenizer, text, split) if ids else _encode(tokenizer, text, split)
    _refuse_control_ids(tokenizer, ids, expected)
    return ids


def _template(tokenizer: Any, turns: list[Turn], add_generation_prompt: bool) -> str:
    """The tokenizer's template in its sandbox, as text."""
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=add_generation_prompt))
    except (TemplateError, TypeError, ValueError, KeyError, OverflowError) as error:
        roles = ", ".join(turn["role"] for turn in turns)
        raise ModelError(
            f"The model's chat template refuses a conversation of {roles}: {error}",
            'Choose the prompt format "plain", or leave such prompts out.',
        ) from error


def _separator(tokenizer: Any, prompt: Prompt, completion: str, chat: bool) -> str:
    if chat:
        return _template_separator(tokenizer, turns_of(prompt))
    if not isinstance(prompt, str):
        return " "
    unspaced = unicodedata.east_asian_width(completion[:1] or " ") in "WF"
    return "" if not prompt or prompt[-1] in _SPACE or unspaced else " "


def _template_separator(tokenizer: Any, turns: list[Turn]) -> str:
    """What the template writes between its generation prompt and an answer, if that is nothing but whitespace."""
    # Contents are replaced, so that the cost does not grow with them and nothing in them can be mistaken.
    turns = [{**turn, "content": "x"} for turn in turns]
    asked = _template(tokenizer, turns, add_generation_prompt=True)
    answered = _template(tokenizer, [*turns, {"role": "assistant", "content": "answer"}], add_generation_prompt=False)
    between, found, _ = answered[len(asked) :].partition("answer")
    return between if found and answered.startswith(asked) and not between.strip() else ""


def _encode(tokenizer: Any, text: str, split: bool) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, split_special_tokens=split, verbose=False).input_ids
    return ids


def _anchored(tokenizer: Any, text: str, split: bool) -> list[int]:
    """The ids of `text` in the middle of other text, where no tokenizer may put a space before it of its own accord."""
    if not text:
        return []
    for anchor in ("\n", "x", "~"):
        head, whole = _encode(tokenizer, anchor, split), _encode(tokenizer, anchor + text, split)
        if whole[: len(head)] == head and len(whole) > len(head):
            return whole[len(head) :]
    return _encode(tokenizer, text, split)


def _controls_in(tokenizer: Any, ids: Sequence[int]) -> int:
    control = control_ids(tokenizer)
    return sum(i in control for i in ids)


def _refuse_control_ids(tokenizer: Any, ids: Sequence[int], expected: int) -> None:
    if (found := _controls_in(tokenizer, ids)) != expected:
        raise DataError(
            f"A text would turn into control tokens of this model ({found} instead of {expected}).",
            "Leave out the prompts and answers that quote the model's special tokens.",
        )
