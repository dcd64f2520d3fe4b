"""The tables of labels.db: facts, which are only ever added to, and standings, which can be worked out from the facts.

A fact's `hash` covers all its other columns but the row number, so that a row that has rotted is found.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from rlhf_engine.store.judgement_meta import unpack_meta

SPLIT = "split"  # the winner of a pair on which people disagree evenly
_PROMPT = "prompt TEXT NOT NULL, turns TEXT NOT NULL"
_WHO = "source TEXT NOT NULL, author TEXT NOT NULL, created REAL NOT NULL, hash TEXT NOT NULL"

# Row numbers are given out without gaps and never change: nothing is deleted, so pages are found by number.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE prompts (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {_PROMPT},
            same TEXT NOT NULL, replaces TEXT NOT NULL, {_WHO}) STRICT""",
        "CREATE INDEX prompts_same ON prompts (same)",
        f"""CREATE TABLE demonstrations (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {_PROMPT},
            completion TEXT NOT NULL, replaces TEXT NOT NULL, {_WHO}) STRICT""",
        f"""CREATE TABLE pairs (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {_PROMPT},
            a TEXT NOT NULL, b TEXT NOT NULL, meta TEXT NOT NULL, replaces TEXT NOT NULL, {_WHO}) STRICT""",
        f"""CREATE TABLE comparisons (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, pair_id TEXT NOT NULL,
            winner TEXT NOT NULL, strength INTEGER NOT NULL, left_side TEXT NOT NULL, seconds REAL NOT NULL,
            comment TEXT NOT NULL, undoes TEXT NOT NULL, {_WHO}) STRICT""",
        "CREATE INDEX comparisons_pair ON comparisons (pair_id)",
        "CREATE INDEX comparisons_author ON comparisons (source, author)",
        """CREATE TABLE marks (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
            record_id TEXT NOT NULL, mark TEXT NOT NULL, author TEXT NOT NULL, created REAL NOT NULL,
            hash TEXT NOT NULL) STRICT""",
        "CREATE INDEX marks_record ON marks (record_id)",
        """CREATE TABLE models (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ref TEXT NOT NULL,
            title TEXT NOT NULL, created REAL NOT NULL, hash TEXT NOT NULL) STRICT""",
        # Below are standings. `hidden` is why a record is not shown: retired, replaced, undone, undo, removed, lost;
        # of judgements by several people or of repeats also: repeat, seconded, outvoted, split.
        """CREATE TABLE standings (kind TEXT NOT NULL, record INTEGER NOT NULL, hidden TEXT NOT NULL,
            flagged INTEGER NOT NULL, PRIMARY KEY (kind, record)) STRICT, WITHOUT ROWID""",
        "CREATE INDEX standings_hidden ON standings (kind, record) WHERE hidden <> ''",
        """CREATE TABLE verdicts (pair INTEGER PRIMARY KEY, judgement INTEGER, winner TEXT NOT NULL,
            hidden INTEGER NOT NULL) STRICT""",
        "CREATE INDEX verdicts_pending ON verdicts (pair) WHERE judgement IS NULL AND hidden = 0",
        # How many pairs stand at each winner, "" for those that wait: counting a million takes a tenth of a second.
        "CREATE TABLE tallies (winner TEXT PRIMARY KEY, pairs INTEGER NOT NULL) STRICT",
    ),
    (
        f"""CREATE TABLE ratings (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, {_PROMPT},
            completion TEXT NOT NULL, liked INTEGER NOT NULL, replaces TEXT NOT NULL, {_WHO}) STRICT""",
    ),
    (
        # Whose judgement stands, so that pairs no person has judged are found, and counted, without walking.
        "ALTER TABLE verdicts ADD COLUMN source TEXT NOT NULL DEFAULT ''",
        "UPDATE verdicts SET source = coalesce((SELECT c.source FROM comparisons AS c WHERE c.row = judgement), '')",
        "CREATE INDEX verdicts_unheard ON verdicts (pair) WHERE source <> 'human' AND hidden = 0",
        "CREATE INDEX verdicts_judged ON verdicts (judgement) WHERE judgement IS NOT NULL AND hidden = 0",
        "CREATE INDEX verdicts_skipped ON verdicts (judgement) WHERE winner = 'skip' AND hidden = 0",
        "CREATE INDEX standings_flagged ON standings (kind, record) WHERE flagged = 1",
        "CREATE TABLE people_tallies (winner TEXT PRIMARY KEY, pairs INTEGER NOT NULL) STRICT",
        "INSERT INTO people_tallies SELECT CASE WHEN source = 'human' THEN winner ELSE '' END, count(*) "
        "FROM verdicts WHERE hidden = 0 GROUP BY 1",
        # What somebody has begun to write about a record, as JSON: no fact yet, so it is written over and deleted.
        """CREATE TABLE drafts (record_id TEXT NOT NULL, author TEXT NOT NULL, body TEXT NOT NULL,
            changed REAL NOT NULL, PRIMARY KEY (record_id, author)) STRICT, WITHOUT ROWID""",
    ),
    ("ALTER TABLE comparisons ADD COLUMN meta TEXT NOT NULL DEFAULT ''",),  # see judgement_meta.py
    (
        # Which answer of which pair a rating is of ("<pair id>/a"), and as JSON its score and the seconds it took.
        "ALTER TABLE ratings ADD COLUMN answer TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE ratings ADD COLUMN meta TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX ratings_answer ON ratings (answer) WHERE answer <> ''",
        # Pairs of one prompt, for rankings; whole prompts would double the file.
        "CREATE INDEX pairs_prompt ON pairs (length(prompt), substr(prompt, 1, 40))",
    ),
)

VOTES = 4  # the step since which several people's verdicts are counted; before, the last one stood

TEXT = ("prompt", "turns")
WHO = ("source", "author", "created", "hash")
FACTS: dict[str, tuple[str, ...]] = {
    "prompts": ("id", *TEXT, "same", "replaces", *WHO),
    "demonstrations": ("id", *TEXT, "completion", "replaces", *WHO),
    "pairs": ("id", *TEXT, "a", "b", "meta", "replaces", *WHO),
    "comparisons": ("id", "pair_id", "winner", "strength", "left_side", "seconds", "comment", "undoes", "meta", *WHO),
    "ratings": ("id", *TEXT, "completion", "liked", "answer", "meta", "replaces", *WHO),
    "marks": ("id", "kind", "record_id", "mark", "author", "created", "hash"),
    "models": ("id", "ref", "title", "created", "hash"),
}
# Columns that came later, with what they are in rows from before; such rows keep the hash that they were written with.
ADDED: dict[str, dict[str, str]] = {"comparisons": {"meta": ""}, "ratings": {"answer": "", "meta": ""}}
# What a search looks through.
SEARCHED: dict[str, tuple[str, ...]] = {
    "prompts": ("t.prompt", "t.source"),
    "demonstrations": ("t.prompt", "t.completion", "t.source"),
    "pairs": ("t.prompt", "t.a", "t.b", "t.source"),
    "comparisons": ("t.comment", "t.source"),
    "ratings": ("t.prompt", "t.completion", "t.source"),
}
SEARCHED_PAIR = ("q.prompt", "q.a", "q.b")


def row_hash(table: str, row: dict[str, Any]) -> str:
    """What the `hash` of a fact should be. A later column that says nothing is left out, as it was before."""
    old = ADDED.get(table, {})
    columns = [column for column in FACTS[table] if column != "hash"]
    told = [row[column] for column in columns if column not in old or row.get(column, old[column]) != old[column]]
    line = json.dumps([table, *told], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def insert_sql(table: str) -> str:
    """Adds a fact under the row number given, or the next; a fact that is already there is left alone."""
    columns = ("row", *FACTS[table])
    values = ", ".join(f":{column}" for column in columns)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) ON CONFLICT DO NOTHING"


def stored_row(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """What `insert_sql` takes, of a row from the journal or a snapshot."""
    whole = {**ADDED.get(table, {}), **row}
    return {column: whole[column] for column in ("row", *FACTS[table])}


def standing_judgement(judgements: Iterable[dict[str, Any]]) -> tuple[dict[str, Any] | None, dict[int, str]]:
    """Of one pair's judgements, oldest first: the one that counts now, and why each of the others does not.

    What was undone never counts, nor does a repeat, which only shows how consistent a person is. Then:

    1. People count before rules and imports, and those before models; among those of one rank the latest counts.
    2. The latest adjudication counts, whoever speaks after it.
    3. Of each person the latest word counts. Where all of them say the same, or there is one person, it stands.
    4. Otherwise the winner with the most votes, by the latest of those who gave it. Skips do not vote.
    5. Where the most votes are even nobody has won: the latest word comes back with the winner "split", and the pair
       waits for an adjudicator, not for training.
    """
    rows = list(judgements)
    undone = {row["undoes"] for row in rows if row["winner"] == "undo"}
    hidden = {row["row"]: "undo" if row["winner"] == "undo" else "undone" for row in rows}
    metas = {row["row"]: unpack_meta(row.get("meta")) for row in rows}
    left = [row for row in rows if row["winner"] != "undo" and row["id"] not in undone]
    hidden |= {row["row"]: "repeat" if metas[row["row"]].get("repeat_of") else "replaced" for row in left}
    left = [row for row in left if not metas[row["row"]].get("repeat_of")]
    if not left:
        return None, hidden
    people = [row for row in left if row["source"] == "human"]
    settled = [row for row in people if metas[row["row"]].get("adjudicates") is True]
    if settled or not people:
        others = [row for row in left if row["source"] != "model"]
        standing = (settled or others or left)[-1]
    else:
        latest = {row["author"]: row for row in people}  # in the order of their first words
        words = sorted(latest.values(), key=lambda row: row["row"])
        standing, even = _by_votes(words)
        hidden |= {row["row"]: "seconded" if row["winner"] == standing["winner"] else "outvoted" for row in words}
        if even:
            hidden |= {row["row"]: "split" for row in words}
            return {**standing, "winner": SPLIT}, hidden
    del hidden[standing["row"]]
    return standing, hidden


def _by_votes(words: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """The latest of the words with the most votes, and whether others have as many. Skips only vote among skips."""
    voters = [row for row in words if row["winner"] != "skip"] or words
    votes = Counter(row["winner"] for row in voters)
    most = max(votes.values())
    ahead = [row for row in voters if votes[row["winner"]] == most]
    return ahead[-1], len({row["winner"] for row in ahead}) > 1
