"""How far the judging is, and what the last verdict was, in words. Sources are told only here: after judging."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.choosing.win_rates import is_of_run
from studio.panels.compare.queue import PairQueue, Said, Shown
from studio.panels.compare.sitting import in_a_row, spent
from studio.widgets import duration


def _tr(text: str) -> str:
    return QCoreApplication.translate("Compare", text)


def progress_line(queue: PairQueue) -> str:
    """137 of 500 judged · 5.2 a minute · 1 h 10 min left"""
    tally = queue.tally
    parts = [_tr("{0} of {1} judged").format(f"{tally.judged:,}", f"{tally.total:,}")]
    if tally.skipped:
        parts.append(_tr("{0} skipped").format(f"{tally.skipped:,}"))
    left = queue.seconds_left
    if left is not None and tally.left:
        parts.append(_tr("{0} a minute").format(f"{queue.per_minute:.1f}"))
        parts.append(_tr("{0} left").format(duration(left)))
    row = in_a_row(queue.said)
    if row >= 10:
        parts.append(_tr("{0} in a row").format(row))
    return " · ".join(parts)


def sitting_lines(queue: PairQueue, days: int) -> str:
    """What else there is to tell of a sitting, a line each."""
    lines = [
        _tr("This sitting: {0} verdicts in {1}").format(len(queue.said), duration(spent(queue.said))),
        _tr("{0} in a row without a pause").format(in_a_row(queue.said)),
    ]
    if days > 1:
        lines.append(_tr("{0} days in a row").format(days))
    return "\n".join(lines)


def verdict_line(said: Said, agreement: tuple[int, int], reveal: bool = True) -> str:
    """What was said, where the answers came from (with `reveal`), and whether a rule had said the same.

    Of a run that is judged blind the sources stay hidden afterwards too: the model it began with answers a prompt with
    the same words at every step, so that once told it would be known ever after.
    """
    parts = [_verdict(said.winner, said.strength, said.shown.left)]
    names = source_names(said.shown.pair)
    if names and reveal and not is_of_run(said.shown.pair.get("meta")):
        order = ("a", "b") if said.shown.left == "a" else ("b", "a")
        parts.append(_tr("1: {0}, 2: {1}").format(*(names[side] for side in order)))
    before, source = said.shown.pair.get("said"), said.shown.pair.get("said_source")
    if before in ("a", "b", "tie") and said.winner in ("a", "b", "tie"):
        who = {"rule": _tr("The rule"), "import": _tr("The import"), "model": _tr("A model")}.get(
            str(source), _tr("It")
        )
        told = _tr("{0} says the same") if before == said.winner else _tr("{0} says otherwise")
        agreed, of = agreement
        parts.append(told.format(who) + (f" ({agreed / of:.0%} · {agreed}/{of})" if of else ""))
    return " · ".join(parts)


def words_of_others(shown: Shown, words: Sequence[Mapping[str, Any]]) -> str:
    """What annotators who differ had said (`Labels.words_on`), a line each with their notes, for whoever settles it."""
    lines = []
    for row in words:
        told = _tr("{0}: {1}").format(row["author"] or "-", _verdict(row["winner"], row["strength"], shown.left))
        note = " ".join(str(row["comment"]).split())
        lines.append(told + (f" · {note[:200]}" if note else ""))
    return "\n".join(lines)


def _verdict(winner: str, strength: int, left: str) -> str:
    if winner in ("a", "b"):
        side = "1" if winner == left else "2"
        words = {
            1: _tr("Answer {0} is slightly better"),
            2: _tr("Answer {0} is better"),
            3: _tr("Answer {0} is much better"),
        }
        return words[strength].format(side)
    return {"tie": _tr("Tie"), "both_bad": _tr("Both bad"), "skip": _tr("Skipped")}[winner]


def source_names(pair: dict[str, Any]) -> dict[str, str]:
    """Who wrote answer a and answer b, where the pair says so; empty otherwise."""
    try:
        meta = json.loads(pair.get("meta") or "{}")
        found = {side: str(meta[side].get("title") or meta[side]["model"]) for side in ("a", "b")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
    return found
