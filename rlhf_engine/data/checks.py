"""What is worth knowing of a dataset before a model learns from it: duplicates, leaks, pairs that say nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rlhf_engine.contract.findings import FINDINGS
from rlhf_engine.data.likeness import Signatures, near_duplicates
from rlhf_engine.data.records import (
    Comparison,
    Record,
    canonical,
    split_of,
    text_of,
    texts_of,
)

SHOWN = 5  # examples of a finding
CONTROL_TEXT = re.compile(r"<\|[^|<>\s]{1,40}\|>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>")
_UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LETTERS = re.compile(r"[\W_]+", re.UNICODE)
_BIASED = 0.7  # from which share on the longer answer wins so often that length alone can be learned
_EVERY = 500  # rows between two calls of `told`


@dataclass(slots=True)
class Finding:
    """One kind of oddity: how many of `of` rows have it, a few of them, and what to do.

    `examples` have the number of the row, from 1, and the text that shows it; `other` is the row it is compared with.
    """

    key: str
    title: str
    advice: str
    level: str = "warning"  # or "info"
    count: int = 0
    of: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    def add(self, number: int, text: str, other: int | None = None) -> None:
        self.count += 1
        if len(self.examples) < SHOWN:
            example: dict[str, Any] = {"row": number + 1, "text": text[:300]}
            self.examples.append(example if other is None else {**example, "other": other + 1})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check(
    records: Sequence[Record],
    longest: int,
    length: Callable[[Record], int],
    control: Sequence[str] = (),
    told: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """All that was found, each with its count; kinds of which there is nothing are left out.

    Args:
        records: by number, each may be asked for again; of a large dataset they are read when they are asked for.
        longest: tokens of a row from which it is too long; `length` counts them.
        control: further texts that mean something to a tokenizer.
        told: called now and then with the number of rows looked at; may raise to stop.
    """
    found = {key: Finding(key, *words) for key, words in FINDINGS.items()}
    for key in ("longer_wins", "control_text"):
        found[key].level = "info"
    seen: dict[int, int] = {}
    judged: dict[int, int] = {}  # by both answers: twice the row's number, plus one where the first was chosen
    prompts: set[int] = set()
    firsts: list[int] = []
    signatures = Signatures()
    quoted = re.compile("|".join([CONTROL_TEXT.pattern, *(re.escape(text) for text in control if text.strip())]))
    decided = longer = 0
    for number, record in enumerate(records):
        if number % _EVERY == 0:
            told(number)
        texts = texts_of(record)
        asked = canonical(record.prompt)
        _once(found["duplicates"], seen, number, "\0".join([asked, *texts[1:], _verdict(record)]), texts[-1])
        if (asked_hash := hash(asked)) not in prompts:
            prompts.add(asked_hash)
            firsts.append(number)
            signatures.add(text_of(record.prompt))
        if isinstance(record, Comparison) and not record.tied:
            _look_at_pair(record, asked, number, found, judged)
            sizes = len(record.chosen), len(record.rejected)
            decided += sizes[0] != sizes[1]
            longer += sizes[0] > sizes[1]
        if (tokens_ := length(record)) > longest:
            found["too_long"].add(number, f"{tokens_:,} tokens: {texts[0]}")
        for name, pattern in (("control_text", quoted), ("unseen", _UNSEEN)):
            match = next((match for text in texts if (match := pattern.search(text))), None)
            if match is not None:
                found[name].add(number, _around(match))
    told(len(records))
    _look_for_alike(records, firsts, signatures, found, told)
    if decided >= 50 and longer / decided > _BIASED:
        found["longer_wins"].count = longer
    for finding in found.values():
        finding.of = decided if finding.key == "longer_wins" else len(records)
    return [finding for finding in found.values() if finding.count]


def _once(finding: Finding, seen: dict[int, int], number: int, content: str, shown: str) -> None:
    first = seen.setdefault(hash(content), number)
    if first != number:
        finding.add(number, shown, first)


def _verdict(record: Record) -> str:
    return str(getattr(record, "strength", getattr(record, "liked", "")))


def _look_at_pair(pair: Comparison, asked: str, number: int, found: dict[str, Finding], judged: dict[int, int]) -> None:
    first = pair.chosen < pair.rejected
    sides = (pair.chosen, pair.rejected) if first else (pair.rejected, pair.chosen)
    before, other = divmod(judged.setdefault(hash((asked, *sides)), 2 * number + first), 2)
    if other != first:
        found["contradictions"].add(number, f"{pair.chosen[:140]} / {pair.rejected[:140]}", before)
    chosen, rejected = (_LETTERS.sub("", side).casefold() for side in (pair.chosen, pair.rejected))
    if chosen == rejected and chosen:
        found["same_answers"].add(number, f"{pair.chosen[:140]} / {pair.rejected[:140]}")
    elif not chosen or not rejected or chosen.startswith(rejected) or rejected.startswith(chosen):
        found["one_sided"].add(number, f"{pair.chosen[:140]} / {pair.rejected[:140]}")


def _look_for_alike(
    records: Sequence[Record],
    firsts: list[int],
    signatures: Signatures,
    found: dict[str, Finding],
    told: Callable[[int], None],
) -> None:
    """Prompts alike to an earlier one: a leak where the two are on different sides."""
    alike = near_duplicates(
        signatures, lambda place: text_of(records[firsts[place]].prompt), lambda: told(len(records))
    )
    for later, first in sorted(alike.items()):
        one, other = records[firsts[later]].prompt, records[firsts[first]].prompt
        leaks = split_of(one) != split_of(other)
        found["leaks" if leaks else "near_duplicates"].add(firsts[later], text_of(one), firsts[first])


def _around(match: re.Match[str]) -> str:
    """What was found with a little of the text around it; what cannot be seen is named by its number."""
    start, end = match.span()
    text = match.string[max(0, start - 60) : end + 60]
    return _UNSEEN.sub(lambda one: f"[U+{ord(one.group()):04X}]", text)
