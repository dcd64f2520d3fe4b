"""Reading judgements as acts of people: all of them for the statistics, and the pairs to be judged once more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.judging_pages import JudgingReader

_SAID = "('a', 'b', 'tie', 'both_bad')"
_NOT_TAKEN_BACK = "coalesce(s.hidden, '') NOT IN ('undone', 'undo', 'lost', 'retired')"
_STANDS = "LEFT JOIN standings AS s ON s.kind = 'comparisons' AND s.record = c.row"


class AnnotatorReader(JudgingReader):
    """Who judged what, for whoever compares annotators with themselves and with each other."""

    def judgements(self, source: str = "human") -> Iterator[dict[str, Any]]:
        """Every judgement from a source that was not taken back, whether or not it stands, oldest first.

        Each with `judgement_meta`, the lengths of both answers in characters, and the beginning of the prompt. Walks
        through all of them: ask on another thread.
        """
        yield from self._each(
            "SELECT c.id, c.pair_id, c.winner, c.strength, c.left_side, c.seconds, c.source, c.author, c.created, "
            "c.meta AS judgement_meta, length(p.a) AS length_a, length(p.b) AS length_b, "
            f"substr(p.prompt, 1, 300) AS prompt FROM comparisons AS c INDEXED BY comparisons_author {_STANDS} "
            "CROSS JOIN pairs AS p ON p.id = c.pair_id JOIN verdicts AS v ON v.pair = p.row "
            f"WHERE c.source = :source AND v.hidden = 0 AND {_NOT_TAKEN_BACK} ORDER BY c.row",
            source=source,
        )

    def repeatable(self, author: str, apart: int, limit: int = 100) -> list[dict[str, Any]]:
        """Pairs that a person judged at least `apart` judgements ago and only once, the latest of them first.

        `judged` is the id of that judgement, `judged_left` the answer that was on the left.
        """
        return self._rows(
            "SELECT p.*, c.id AS judged, c.left_side AS judged_left, c.meta AS judgement_meta FROM "
            "(SELECT row, id, pair_id, left_side, winner, seconds, meta FROM comparisons INDEXED BY comparisons_author "
            " WHERE source = 'human' AND author = :author AND undoes = '' "
            " ORDER BY row DESC LIMIT :reach OFFSET :apart) "
            f"AS c {_STANDS} CROSS JOIN pairs AS p ON p.id = c.pair_id JOIN verdicts AS v ON v.pair = p.row "
            f"WHERE c.winner IN {_SAID} AND c.seconds > 0 AND v.hidden = 0 AND {_NOT_TAKEN_BACK} "
            "AND (SELECT count(*) FROM comparisons AS d WHERE d.pair_id = c.pair_id AND d.undoes = '' "
            "AND d.source = 'human' AND d.author = :author) = 1 "
            "ORDER BY c.row DESC LIMIT :limit",
            author=author,
            apart=apart,
            reach=10 * limit,
            limit=limit,
        )

    def repeatable_rankings(self, author: str, apart: int, limit: int = 100) -> list[list[dict[str, Any]]]:
        """Rankings that a person gave at least `apart` judgements ago and only once: of each all its pairs.

        The pairs are those of `repeatable`. A ranking of which a pair was judged since, or is gone, is left out.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for row in self.repeatable(author, apart, limit):
            if ranking := str(unpack_meta(row["judgement_meta"]).get("ranking", "")):
                found.setdefault(ranking, []).append(row)
        whole = []
        for rows in found.values():
            answers = len({row[side].strip() for row in rows for side in ("a", "b")})
            if len(rows) == answers * (answers - 1) // 2:
                whole.append(rows)
        return whole

    def repeatable_ratings(self, author: str, apart: int, limit: int = 100) -> list[dict[str, Any]]:
        """Pairs with an answer that a person rated at least `apart` ratings ago and only once, the latest first.

        `judged` is the id of that rating, `answer` what it is of ("<pair id>/a").
        """
        return self._rows(
            "SELECT p.*, t.id AS judged, t.answer FROM (SELECT row, id, answer FROM ratings WHERE source = 'human' "
            " AND author = :author AND answer <> '' ORDER BY row DESC LIMIT :limit OFFSET :apart) AS t "
            "LEFT JOIN standings AS s ON s.kind = 'ratings' AND s.record = t.row "
            "CROSS JOIN pairs AS p ON p.id = substr(t.answer, 1, length(t.answer) - 2) "
            "JOIN verdicts AS v ON v.pair = p.row WHERE v.hidden = 0 AND coalesce(s.hidden, '') = '' "
            "AND (SELECT count(*) FROM ratings AS d INDEXED BY ratings_answer "
            "WHERE d.answer <> '' AND d.answer = t.answer AND d.author = :author) = 1 ORDER BY t.row DESC",
            author=author,
            apart=apart,
            limit=limit,
        )

    def answers_rated(self) -> Iterator[dict[str, Any]]:
        """Every rating that a person gave an answer of a pair and that still counts, repeats among them, oldest first.

        With the length of the answer in characters and the beginning of the prompt.
        """
        yield from self._each(
            "SELECT t.id, t.answer, t.liked, t.author, t.created, t.meta, length(t.completion) AS length, "
            "substr(t.prompt, 1, 300) AS prompt FROM ratings AS t "
            "LEFT JOIN standings AS s ON s.kind = 'ratings' AND s.record = t.row "
            "WHERE t.source = 'human' AND t.answer <> '' AND coalesce(s.hidden, '') IN ('', 'repeat') ORDER BY t.row"
        )

    def judged_by_others(
        self, author: str, share: float = 1.0, by: str | None = None, limit: int = 100, skip_ids: tuple[str, ...] = ()
    ) -> list[dict[str, Any]]:
        """Pairs that another person has judged (`by` is whose; None is anyone) and this one has not.

        `share` of all pairs is meant for everyone; which ones goes by their ids, so that it is the same for all.
        """
        if share <= 0:
            return []
        found = self._rows(
            "SELECT DISTINCT p.* FROM comparisons AS c INDEXED BY comparisons_author "
            "CROSS JOIN pairs AS p ON p.id = c.pair_id JOIN verdicts AS v ON v.pair = p.row "
            f"WHERE c.source = 'human' AND c.author <> :author AND (:by IS NULL OR c.author = :by) "
            f"AND c.winner IN {_SAID} AND (:all OR substr(c.pair_id, 1, 3) < :edge) "
            "AND v.hidden = 0 AND v.judgement IS NOT NULL AND NOT EXISTS (SELECT 1 FROM comparisons AS d "
            "WHERE d.pair_id = c.pair_id AND d.source = 'human' AND d.author = :author) LIMIT :limit",
            author=author,
            by=by,
            all=int(share >= 1),
            edge=f"{int(share * 4096):03x}",
            limit=limit + len(skip_ids),
        )
        return [pair for pair in found if pair["id"] not in set(skip_ids)][:limit]

    def judged_by_anyone(self, limit: int = 100) -> list[dict[str, Any]]:
        """Pairs that stand as a person judged them, skips left out, in the order of the judgements."""
        return self._rows(
            "SELECT p.* FROM verdicts AS v INDEXED BY verdicts_judged CROSS JOIN pairs AS p ON p.row = v.pair "
            f"WHERE v.judgement IS NOT NULL AND v.hidden = 0 AND v.source = 'human' AND v.winner IN {_SAID} "
            "ORDER BY v.judgement LIMIT :limit",
            limit=limit,
        )

    def words_on(self, pair_id: str) -> list[dict[str, Any]]:
        """What each person last said of a pair: author, winner, strength and comment; skips and repeats left out."""
        found = self._rows(
            "SELECT c.author, c.winner, c.strength, c.comment "
            f"FROM comparisons AS c INDEXED BY comparisons_pair {_STANDS} "
            f"WHERE c.pair_id = :pair AND c.source = 'human' AND c.winner IN {_SAID} AND {_NOT_TAKEN_BACK} "
            "AND instr(c.meta, '\"repeat_of\"') = 0 ORDER BY c.row",
            pair=pair_id,
        )
        return list({row["author"]: row for row in found}.values())

    def has_others(self, author: str) -> bool:
        """Whether anybody else has judged here."""
        sql = "SELECT 1 FROM comparisons WHERE source = 'human' AND author {} :author LIMIT 1"
        return any(self._rows(sql.format(side), author=author) for side in ("<", ">"))  # each is found in the index

    def annotators(self) -> dict[str, int]:
        """How many judgements each person has given, who gave most first."""
        found = self._rows(
            "SELECT author, count(*) AS n FROM comparisons INDEXED BY comparisons_author "
            "WHERE source = 'human' AND undoes = '' GROUP BY author ORDER BY n DESC"
        )
        return {row["author"]: row["n"] for row in found}
