"""The pairs of a queue as one looks through it: those that wait, were begun, judged, skipped or flagged, and searches.

No question here walks through a table unless a text is searched for: ask those on another thread.

Nobody is told what was said of a pair before they have judged it themselves: see `_KNOWN`.
"""

from __future__ import annotations

import json
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.store.label_pages import LabelReader, like_pattern

VIEWS = ("waiting", "drafts", "judged", "skipped", "flagged")
# Whether :author may know what stands: it is their own, or they have said something else of the pair.
_KNOWN = (
    "((c.source = 'human' AND c.author = :author) OR EXISTS (SELECT 1 FROM comparisons AS d "
    "LEFT JOIN standings AS h ON h.kind = 'comparisons' AND h.record = d.row WHERE d.pair_id = p.id "
    "AND d.source = 'human' AND d.author = :author AND d.winner IN ('a', 'b', 'tie', 'both_bad') "
    "AND coalesce(h.hidden, '') NOT IN ('undone', 'undo', 'lost')))"
)
_ROW = "p.row, p.id, substr(p.prompt, 1, 300) AS prompt, coalesce(s.flagged, 0) AS flagged, " + ", ".join(
    f"CASE WHEN {_KNOWN} THEN {column} END AS {name}"
    for column, name in (
        ("v.winner", "winner"),
        ("v.source", "source"),
        ("c.strength", "strength"),
        ("c.left_side", "left_side"),
        ("c.comment", "comment"),
    )
)
_PAIR = "CROSS JOIN pairs AS p ON p.row = v.pair "
_REST = (
    "LEFT JOIN comparisons AS c ON c.row = v.judgement "
    "LEFT JOIN standings AS s ON s.kind = 'pairs' AND s.record = p.row "
)
_FROM: dict[str, tuple[str, str, str]] = {  # tables, condition, order
    "waiting": (f"verdicts AS v INDEXED BY verdicts_pending {_PAIR}{_REST}", "v.judgement IS NULL", "v.pair"),
    "judged": (
        f"verdicts AS v INDEXED BY verdicts_judged {_PAIR}{_REST}",
        "v.judgement IS NOT NULL AND v.winner <> 'skip'",
        "v.judgement DESC",
    ),
    "skipped": (f"verdicts AS v INDEXED BY verdicts_skipped {_PAIR}{_REST}", "v.winner = 'skip'", "v.judgement DESC"),
    "flagged": (
        "standings AS s INDEXED BY standings_flagged CROSS JOIN verdicts AS v ON v.pair = s.record "
        f"{_PAIR}LEFT JOIN comparisons AS c ON c.row = v.judgement",
        "s.kind = 'pairs' AND s.flagged = 1",
        "v.pair",
    ),
    "drafts": (
        "drafts AS d CROSS JOIN pairs AS p ON p.id = d.record_id CROSS JOIN verdicts AS v ON v.pair = p.row " + _REST,
        "d.author = :author",
        "d.changed DESC",
    ),
}
_SEARCHED = ("p.prompt", "p.a", "p.b", f"(CASE WHEN {_KNOWN} THEN coalesce(c.comment, '') ELSE '' END)")


class JudgingReader(LabelReader):
    """What a queue of pairs shows of itself."""

    def queue(
        self,
        view: str,
        limit: int = 100,
        offset: int = 0,
        text: str = "",
        winner: str = "",
        source: str = "",
        author: str = "",
    ) -> list[dict[str, Any]]:
        """Pairs of one of VIEWS: row, id, the beginning of the prompt, and the standing judgement where there is one.

        Those that wait come in the order they are asked, all others latest first. `text` is searched for in prompt,
        answers and note; `winner` and `source` keep those that stand so. `author` is who asks: the drafts are theirs,
        and of pairs that they have not judged no verdict or note is told, searched or filtered by.

        Raises:
            DataError: there is no such view.
        """
        if view not in _FROM:
            raise DataError(f"There is no queue {view!r}.", f"There are {', '.join(VIEWS)}.")
        tables, condition, order = _FROM[view]
        more = ""
        if text:
            more += " AND (" + " OR ".join(f"{column} LIKE :like ESCAPE '\\'" for column in _SEARCHED) + ")"
        if winner:
            more += f" AND v.winner = :winner AND {_KNOWN}"
        if source:
            more += " AND v.source = :source"
        return self._rows(
            f"SELECT {_ROW} FROM {tables} WHERE v.hidden = 0 AND {condition}{more} ORDER BY {order} "
            "LIMIT :limit OFFSET :offset",
            **{"like": like_pattern(text), "winner": winner, "source": source, "author": author},
            limit=limit,
            offset=offset,
        )

    def queue_counts(self, author: str = "") -> dict[str, int]:
        """How many pairs each of VIEWS holds."""
        tally = self.tally()
        flagged = (
            "SELECT count(*) FROM standings AS s INDEXED BY standings_flagged WHERE s.kind = 'pairs' AND s.flagged = 1"
        )
        drafts = "SELECT count(*) FROM drafts JOIN pairs AS p ON p.id = record_id WHERE drafts.author = :author"
        return {
            "waiting": tally[""],
            "drafts": int(self._one(drafts, author=author)),
            "judged": sum(tally.values()) - tally[""] - tally["skip"],
            "skipped": tally["skip"],
            "flagged": int(self._one(flagged)),
        }

    def pair_as_judged(self, pair_id: str, author: str = "") -> dict[str, Any] | None:
        """A pair with its standing judgement (winner, strength, left_side, comment), if it has one; None if hidden.

        `known` is whether `author` may be told of it, having judged the pair.
        """
        found = self._rows(
            "SELECT p.*, coalesce(s.flagged, 0) AS flagged, v.winner, v.source AS judged_by, c.strength, c.left_side, "
            f"c.comment, {_KNOWN} AS known FROM pairs AS p JOIN verdicts AS v ON v.pair = p.row {_REST} "
            "WHERE p.id = :id AND v.hidden = 0",
            id=pair_id,
            author=author,
        )
        return found[0] if found else None

    def waiting_of(self, prompt: str, turns: str, limit: int = 36) -> list[dict[str, Any]]:
        """The pairs of one prompt (as `pack_prompt` writes it) that wait, oldest first."""
        # The + keeps SQLite from putting the parameter for the column, which would pass the index over.
        return self._rows(
            "SELECT p.* FROM pairs AS p INDEXED BY pairs_prompt CROSS JOIN verdicts AS v ON v.pair = p.row "
            "WHERE length(p.prompt) = length(:prompt) AND substr(p.prompt, 1, 40) = substr(:prompt, 1, 40) "
            "AND +p.prompt = :prompt AND p.turns = :turns AND v.judgement IS NULL AND v.hidden = 0 "
            "ORDER BY p.row LIMIT :limit",
            prompt=prompt,
            turns=turns,
            limit=limit,
        )

    def judgements_of_ranking(self, author: str, ranking: str, last: int) -> list[dict[str, Any]]:
        """Those of a ranking that were not undone, the latest first; `last` is the row number of its last."""
        return self._rows(
            "SELECT t.id, t.pair_id FROM comparisons AS t LEFT JOIN standings AS s "
            "ON s.kind = 'comparisons' AND s.record = t.row WHERE t.row BETWEEN :first AND :last "
            "AND t.source = 'human' AND t.author = :author AND instr(t.meta, :ranking) > 0 "
            "AND coalesce(s.hidden, '') NOT IN ('undone', 'undo', 'lost') ORDER BY t.row DESC",
            first=last - 1000,
            last=last,
            author=author,
            ranking=f'"ranking":"{ranking}"',
        )

    def answers_to_rate(self, after: int = 0, limit: int = 20) -> list[dict[str, Any]]:
        """Pairs beyond row `after` with an answer that was not rated; `rated_a` and `rated_b` tell which was."""
        rated = (
            "EXISTS (SELECT 1 FROM ratings AS r INDEXED BY ratings_answer LEFT JOIN standings AS h "
            "ON h.kind = 'ratings' AND h.record = r.row "
            "WHERE r.answer <> '' AND r.answer = p.id || '/{0}' AND coalesce(h.hidden, '') = '')"
        )
        return self._rows(
            f"SELECT p.*, {rated.format('a')} AS rated_a, {rated.format('b')} AS rated_b "
            "FROM verdicts AS v CROSS JOIN pairs AS p ON p.row = v.pair "
            "WHERE v.pair > :after AND v.hidden = 0 AND NOT (rated_a AND rated_b) ORDER BY v.pair LIMIT :limit",
            after=after,
            limit=limit,
        )

    def last_rating(self, author: str = "") -> dict[str, Any] | None:
        """The last rating that this author gave to an answer of a pair, and did not take back."""
        found = self._rows(
            "SELECT t.* FROM ratings AS t LEFT JOIN standings AS s ON s.kind = 'ratings' AND s.record = t.row "
            "WHERE t.source = 'human' AND t.author = :author AND t.answer <> '' "
            "AND coalesce(s.hidden, '') IN ('', 'repeat') "
            "ORDER BY t.row DESC LIMIT 1",
            author=author,
        )
        return found[0] if found else None

    def draft(self, record_id: str, author: str = "") -> dict[str, Any]:
        """What was begun and not finished; empty if nothing was."""
        found = self._rows(
            "SELECT body FROM drafts WHERE record_id = :record AND author = :author", record=record_id, author=author
        )
        try:
            body = json.loads(found[0]["body"]) if found else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}
