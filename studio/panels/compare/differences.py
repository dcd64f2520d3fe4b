"""Where two texts differ, word by word. No Qt in this file."""

from __future__ import annotations

import re

from rapidfuzz.distance import Indel

Span = tuple[int, int]  # from, to: characters
_WORD = re.compile(r"\w+|\s+|[^\w\s]")


def differences(left: str, right: str) -> tuple[list[Span], list[Span]]:
    """The stretches of `left` that are not in `right`, and those of `right` that are not in `left`.

    Words that follow each other make one stretch, the space between them included; the texts are not touched.
    """
    ours, theirs = _words(left), _words(right)
    only_left: list[Span] = []
    only_right: list[Span] = []
    for step in Indel.opcodes([word for word, _, _ in ours], [word for word, _, _ in theirs]):
        if step.tag == "delete":
            _add(left, only_left, ours[step.src_start][1], ours[step.src_end - 1][2])
        elif step.tag == "insert":
            _add(right, only_right, theirs[step.dest_start][1], theirs[step.dest_end - 1][2])
    return only_left, only_right


def _words(text: str) -> list[tuple[str, int, int]]:
    return [(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


def _add(text: str, spans: list[Span], start: int, end: int) -> None:
    if spans and not text[spans[-1][1] : start].strip():
        spans[-1] = (spans[-1][0], end)
    else:
        spans.append((start, end))
