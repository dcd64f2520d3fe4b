"""Where two texts differ, word by word. No Qt in this file."""

from __future__ import annotations

import re

from rapidfuzz.distance import Indel

Span = tuple[int, int]  # from, to: characters
_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
MOST = 2e8  # words of one text times words of the other: beyond, whole lines are compared, then nothing is


def differences(left: str, right: str) -> tuple[list[Span], list[Span]]:
    """The stretches of `left` that are not in `right`, and those of `right` that are not in `left`.

    Words that follow each other make one stretch, the space between them included; the texts are not touched. Of texts
    too long for that, lines are compared instead, and of even longer ones nothing.
    """
    for what in (_WORD, _LINE):
        ours, theirs = _parts(what, left), _parts(what, right)
        if len(ours) * len(theirs) <= MOST:
            return _compared(left, right, ours, theirs)
    return [], []


def _compared(
    left: str, right: str, ours: list[tuple[str, int, int]], theirs: list[tuple[str, int, int]]
) -> tuple[list[Span], list[Span]]:
    only_left: list[Span] = []
    only_right: list[Span] = []
    for step in Indel.opcodes([word for word, _, _ in ours], [word for word, _, _ in theirs]):
        if step.tag == "delete":
            _add(left, only_left, ours[step.src_start][1], ours[step.src_end - 1][2])
        elif step.tag == "insert":
            _add(right, only_right, theirs[step.dest_start][1], theirs[step.dest_end - 1][2])
    return only_left, only_right


def _parts(what: re.Pattern[str], text: str) -> list[tuple[str, int, int]]:
    return [(found.group(), found.start(), found.end()) for found in what.finditer(text)]


def _add(text: str, spans: list[Span], start: int, end: int) -> None:
    if spans and not text[spans[-1][1] : start].strip():
        spans[-1] = (spans[-1][0], end)
    else:
        spans.append((start, end))
