"""From tokens to text while they come: no half characters, nothing of a stop text, and numbers for every token.

No torch in this file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from rlhf_engine.data.chat import control_ids

UNKNOWN = "\ufffd"  # what a tokenizer writes for bytes that are no whole character (yet)
HALF = 3  # at most so many of them can still become a character: UTF-8 takes four bytes
WINDOW = 64  # ids decoded again at most; only endless bytes that are no text come near
_SPACE = " \t\r\n"


class Decoder:
    """Text of one answer, id by id. All pieces together are `answer_text` of all ids."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = self._told = 0  # of the ids decoded together, and of those not told completely
        self._shown = 0  # characters of that window told so far
        self._lead: str | None = ""  # what came first, until it is clear whether its space is only a separator

    def push(self, token: int) -> str:
        self._ids.append(token)
        return self._open(self._fresh(final=False), final=False)

    def finish(self) -> str:
        """What was held back: bytes that became no character."""
        return self._open(self._fresh(final=True), final=True)

    def _fresh(self, final: bool) -> str:
        whole = self._decode(self._start)
        final = final or len(self._ids) - self._start > WINDOW
        stable = whole if final else _without_half(whole)
        fresh = stable[self._shown :]
        self._shown = max(self._shown, len(stable))
        if (
            stable == whole
        ):  # a new window; one part of the old stays, since tokenizers decode a first token differently
            self._start, self._told = self._told, len(self._ids)
            self._shown = len(self._decode(self._start))
        return fresh

    def _open(self, fresh: str, final: bool) -> str:
        """Takes away the one space that separates an answer from its prompt."""
        if self._lead is None:
            return fresh
        lead = self._lead + fresh
        if len(lead) < 2 and not final:
            self._lead = lead if lead == " " else ("" if not lead else None)
            return "" if lead == " " else lead
        self._lead = None
        return lead[1:] if lead[:1] == " " and lead[1:2] not in ("", *_SPACE) else lead

    def _decode(self, start: int) -> str:
        text: str = self._tokenizer.decode(self._ids[start:], clean_up_tokenization_spaces=False)
        return text


def _without_half(text: str) -> str:
    end = len(text)
    while end > max(0, len(text) - HALF) and text[end - 1] == UNKNOWN:
        end -= 1
    return text[:end]


class Vocabulary:
    """The text of single tokens, as shown beside their log-probabilities; control tokens go by their names."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.control = control_ids(tokenizer)
        self._texts: dict[int, str] = {}

    def text(self, token: int) -> str:
        if token not in self._texts:
            name = str(self._tokenizer.convert_ids_to_tokens(token))
            if token in self.control:
                self._texts[token] = name
            else:
                text = self._tokenizer.decode([token], clean_up_tokenization_spaces=False)
                self._texts[token] = f" {text}" if name.startswith("▁") and not text.startswith(" ") else text
        return self._texts[token]


class Writing:
    """One answer while it is being written.

    `text` is what may be shown so far, `finish` is "" until the end. `take()` gives what is new since the last time.
    """

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary, stop: Sequence[str], eos_ids: Collection[int]) -> None:
        self.text = ""
        self.tokens = 0
        self.logprob_sum = 0.0
        self.finish = ""
        self.ended = False
        self.told = False  # that it has ended; this and the next one are for whoever tells
        self.last_told = float("-inf")
        self._decoder = Decoder(tokenizer)
        self._vocabulary = vocabulary
        self._stop = [text for text in stop if text]
        self._eos = frozenset(eos_ids)
        self._held = ""  # text that may be the beginning of a stop text
        self._waiting: list[tuple[dict[str, Any], int, float]] = []  # tokens, length of their text, log-probability
        self._gone = 0  # characters of the first waiting token that are let go
        self._piece = ""
        self._ready: list[dict[str, Any]] = []

    def push(self, token: int, logprob: float, top: Sequence[tuple[int, float]]) -> None:
        control = token in self._vocabulary.control
        fresh = "" if control else self._decoder.push(token)
        told = {
            "text": self._vocabulary.text(token) if control else fresh,
            "logprob": round(logprob, 4),
            "top": [[self._vocabulary.text(other), round(value, 4)] for other, value in top],
        }
        self._waiting.append((told, len(fresh), logprob))
        self._held += fresh
        self._release()
        if token in self._eos and not self.ended:
            self.end("eos")

    def end(self, finish: str) -> None:
        """No more tokens will come: "eos", "length", or "" when somebody interrupted."""
        if self.ended:
            return
        rest = self._decoder.finish()
        if rest and self._waiting:
            told, length, logprob = self._waiting[-1]
            self._waiting[-1] = ({**told, "text": told["text"] + rest}, length + len(rest), logprob)
        self._held += rest
        self._release()
        if not self.ended:
            self.finish, self.ended = finish, True
            self._let_go(len(self._held), last=True)

    def take(self) -> tuple[str, tuple[dict[str, Any], ...]]:
        """The new piece and its tokens."""
        piece, tokens = self._piece, tuple(self._ready)
        self._piece, self._ready = "", []
        return piece, tokens

    def _release(self) -> None:
        """Let go of what is certainly no part of a stop text; end the answer where one is complete."""
        found = [at for at in (self._held.find(stop) for stop in self._stop) if at >= 0]
        if not found:
            self._let_go(len(self._held) - max((_overlap(self._held, stop) for stop in self._stop), default=0))
            return
        self._let_go(min(found))
        if self._gone:  # a token that ends in the stop text
            told, _, logprob = self._waiting[0]
            self._add({**told, "text": told["text"][: self._gone]}, logprob)
        self._waiting.clear()
        self._held, self.finish, self.ended = "", "stop", True

    def _let_go(self, characters: int, last: bool = False) -> None:
        piece, self._held = self._held[:characters], self._held[characters:]
        self.text += piece
        self._piece += piece
        self._gone += len(piece)
        # a token without text yet (part of a character) waits for the next one, which completes it
        while self._waiting and self._waiting[0][1] <= self._gone:
            told, length, logprob = self._waiting[0]
            if not length and len(self._waiting) == 1 and not last:
                return
            self._waiting.pop(0)
            self._gone -= length
            self._add(told, logprob)

    def _add(self, told: dict[str, Any], logprob: float) -> None:
        self._ready.append(told)
        self.tokens += 1
        self.logprob_sum += logprob


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0
