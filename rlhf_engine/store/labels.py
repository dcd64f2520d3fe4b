"""Writing down what people say: nothing is changed or deleted, and nothing counts as said before it is on the disk.

An edit, an undo or a retirement is a later row. Every write is committed to the database and the journal, or to
neither, and is read back on a second connection. Ids are made by the caller or here, so that saying the same thing
twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from enum import Flag, auto
from itertools import combinations
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

from rlhf_engine.contract.errors import DataError, StoreError
from rlhf_engine.data.records import Prompt, PromptRecord, fault_in, unpack_prompt
from rlhf_engine.store.database import open_database, transaction
from rlhf_engine.store.drafts import DraftKeeper
from rlhf_engine.store.facts import (
    Fact,
    demonstration_fact,
    facts_of,
    judgement_fact,
    mark_fact,
    model_fact,
    new_id,
    pair_fact,
    prompt_fact,
    rating_fact,
    same_key,
)
from rlhf_engine.store.journal import Journal
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.label_pages import TABLES
from rlhf_engine.store.level import bring_level
from rlhf_engine.store.schema import insert_sql
from rlhf_engine.store.standings import (
    await_verdict,
    bring_up_to_date,
    hide_repeat,
    hide_replaced,
    restate_mark,
    restate_pair,
)

if TYPE_CHECKING:
    from rlhf_engine.store.repair import Check

SOURCES = ("human", "rule", "import", "model")


class Changed(Flag):
    """What a write touched. `Changed(0)` is nothing: it had been said before."""

    PROMPTS = auto()
    DEMONSTRATIONS = auto()
    PAIRS = auto()
    COMPARISONS = auto()
    MODELS = auto()
    RATINGS = auto()


class Labels(DraftKeeper):
    """labels.db and its journal. Opened to write by whoever holds the project's lock; to read by any thread for itself.

    One that writes may be used by several threads, which take turns.

    Raises:
        StoreError: not there (reading), damaged, or written by a newer version.
    """

    def __init__(self, path: Path, write: bool = True) -> None:
        self.path = Path(path)
        self._turn = RLock()
        self.last_change = Changed(0)
        self.put_back = 0  # rows that only the journal had when this was opened
        self.written = 0  # facts, since this was opened
        if not write:
            self._db = self._open_reader(self.path)
            return
        self._db = open_database(self.path, write=True)
        try:
            bring_up_to_date(self._db, self.path)
            self._witness = self._open_reader(self.path)
            self._journal = Journal(self.journal_path)
            self.put_back = bring_level(self._db, self.path, self._journal, self.journal_path, self._restate)
        except BaseException:
            self._db.close()
            raise
        self._writable = True

    _writable = False

    @property
    def journal_path(self) -> Path:
        return self.path.with_name(f"{self.path.stem}.journal.jsonl")

    def check(self) -> Check:
        """Whether all rows are as they were written: see `store.repair`."""
        from rlhf_engine.store.repair import check_labels

        return check_labels(self.path)

    def snapshot(self, folder: Path) -> Path:
        """Copy the database as it is now into `folder` and return the copy."""
        from rlhf_engine.store.snapshots import take_snapshot

        return take_snapshot(self.path, Path(folder))

    def close(self) -> None:
        with self._turn:  # what another thread is writing down is written first
            if self._writable:
                self._witness.close()  # before the writer, which folds the log into labels.db when it closes last
                self._journal.close()
                self._writable = False
            self._db.close()

    def add_prompt(self, prompt: Prompt, source: str = "human", author: str = "", id: str = "") -> tuple[str, Changed]:
        """Returns its id; for a prompt that is there already (whatever its spacing), that one's id and no change."""
        if known := self._known_prompt(prompt):
            return known, self._note(Changed(0))
        fact = prompt_fact(prompt, source, author, id)
        return str(fact[1]["id"]), self._write([fact], Changed.PROMPTS)

    def add_demonstration(
        self,
        prompt: Prompt,
        completion: str,
        source: str = "human",
        author: str = "",
        replaces: str | None = None,
        id: str = "",
    ) -> tuple[str, Changed]:
        fact = demonstration_fact(prompt, completion, source, author, replaces or "", id)
        return str(fact[1]["id"]), self._write([fact], Changed.DEMONSTRATIONS)

    def add_rating(
        self,
        prompt: Prompt,
        completion: str,
        liked: bool,
        source: str = "human",
        author: str = "",
        replaces: str | None = None,
        id: str = "",
        answer: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> tuple[str, Changed]:
        """Say whether an answer is liked. Who changes their mind about one edits it, or gives its id as `replaces`.

        `answer` is "<pair id>/a" or "/b" for an answer of a pair. The keys of `meta` are those of
        `store.judgement_meta`; with `repeat_of` the rating is counted, but never stands.
        """
        fact = rating_fact(prompt, completion, liked, source, author, replaces or "", id, answer, meta)
        return str(fact[1]["id"]), self._write([fact], Changed.RATINGS)

    def add_pair(
        self,
        prompt: Prompt,
        a: str,
        b: str,
        meta: Mapping[str, Any] | None = None,
        source: str = "model",
        author: str = "",
        id: str = "",
    ) -> str:
        """Two answers to be judged; `meta` says where each came from. Raises DataError for two that are the same."""
        fact = pair_fact(prompt, a, b, meta or {}, source, author, "", id)
        self._write([fact], Changed.PAIRS)
        return str(fact[1]["id"])

    def judge(
        self,
        pair_id: str,
        winner: str,
        strength: int = 2,
        left: str = "a",
        seconds: float = 0.0,
        author: str = "",
        source: str = "human",
        comment: str = "",
        id: str = "",
        meta: Mapping[str, Any] | None = None,
    ) -> str:
        """Say which answer of a pair is better; `left` is the one that was shown on the left. Returns an id.

        A later judgement of the same pair takes the earlier one's place. The keys of `meta` are those of
        `store.judgement_meta`.
        """
        if not self._rows("SELECT 1 FROM pairs WHERE id = :id", id=pair_id):
            raise StoreError(f"There is no pair {pair_id!r} to judge.")
        fact = judgement_fact(pair_id, winner, strength, left, seconds, author, source, comment, id, "", meta)
        self._write([fact], Changed.COMPARISONS)
        return str(fact[1]["id"])

    def undo_last(self, author: str = "") -> dict[str, Any] | None:
        """Take back this author's last judgement and return it; its pair stands as before. None if there is none."""
        found = self._rows(
            "SELECT t.id, t.pair_id FROM comparisons AS t LEFT JOIN standings AS s "
            "ON s.kind = 'comparisons' AND s.record = t.row "
            "WHERE t.source = 'human' AND t.author = :author "
            "AND coalesce(s.hidden, '') NOT IN ('undone', 'undo', 'lost') ORDER BY t.row DESC LIMIT 1",
            author=author,
        )
        if not found:
            return None
        undone = self.get("comparisons", found[0]["id"])
        together = [found[0]]
        if undone is not None and (ranking := unpack_meta(undone["judgement_meta"]).get("ranking")):
            together = self.judgements_of_ranking(author, str(ranking), undone["row"])
        facts = [
            judgement_fact(row["pair_id"], "undo", 2, "a", 0.0, author, "human", "", "", row["id"]) for row in together
        ]
        self._write(facts, Changed.COMPARISONS)
        return undone

    def undo_last_rating(self, author: str = "") -> dict[str, Any] | None:
        """Take back this author's last rating of a pair's answer and return it; None if there is none."""
        last = self.last_rating(author)
        if last is not None:
            self.retire("ratings", last["id"], author)
        return last

    def rank(
        self,
        prompt: Prompt,
        answers: Sequence[str],
        places: Sequence[int],
        known: Mapping[tuple[int, int], str] | None = None,
        sources: Sequence[Mapping[str, Any]] = (),
        seconds: float = 0.0,
        author: str = "",
        meta: Mapping[str, Any] | None = None,
        comment: str = "",
        best: Mapping[str, int] | None = None,
        repeats: Mapping[tuple[int, int], str] | None = None,
    ) -> str:
        """Say the order of several answers, as a judgement of every two of them; all are written or none.

        Args:
            answers: as they were shown, the first on the left of all others.
            places: of each answer, 1 for the best; answers in one place tie.
            known: pairs that are there already, by the numbers of their answers (a first); others are made.
            sources: of each answer, what the meta of a pair says of a side.
            comment: kept with every one of the judgements.
            best: of attributes of the rubric, the number of the answer that has most of it. That is kept with the
                judgements of this answer; nothing was said of the others.
            repeats: by pairs as in `known`, the judgements that are repeated; such a ranking is counted, but never
                stands.

        Returns the id that the judgements share (`ranking`).

        Raises:
            DataError: fewer than two answers, or two that are the same.
        """
        if len(answers) < 2 or len(places) != len(answers):
            raise DataError("A ranking needs at least two answers, and a place for each.")
        ranking = new_id()
        told = {**(meta or {}), "layout": "ranking", "ranking": ranking}
        facts: list[Fact] = []
        for first, second in combinations(range(len(answers)), 2):
            swapped = (second, first) in (known or {})
            a, b = (second, first) if swapped else (first, second)
            pair = (known or {}).get((a, b), "")
            if not pair:
                origin = {"from": "ranking", **{side: dict(sources[n]) for side, n in (("a", a), ("b", b)) if sources}}
                facts.append(pair_fact(prompt, answers[a], answers[b], origin, "human", author, "", ""))
                pair = str(facts[-1][1]["id"])
            winner = "tie" if places[a] == places[b] else "a" if places[a] < places[b] else "b"
            left = "b" if swapped else "a"
            about = {
                **told,
                "attributes": {name: "a" if n == a else "b" for name, n in (best or {}).items() if n in (a, b)},
                "repeat_of": (repeats or {}).get((a, b), ""),
            }
            facts.append(judgement_fact(pair, winner, 2, left, seconds, author, "human", comment, "", "", about))
        self._write(facts, Changed.COMPARISONS | Changed.PAIRS)
        return ranking

    def edit(self, kind: str, id: str, author: str = "", **fields: Any) -> str:
        """Say a record again with other `fields`; the new row takes the old one's place. Returns the new id.

        Editing a comparison judges its pair again, and another person's is then overruled (an adjudication); an edited
        pair waits to be judged.
        """
        old = self._visible(kind, id)
        editable = {
            "prompts": ("prompt",),
            "demonstrations": ("prompt", "completion"),
            "ratings": ("prompt", "completion", "liked"),
            "pairs": ("prompt", "a", "b", "meta"),
            "comparisons": ("winner", "strength", "comment"),
        }[kind]
        if unknown := sorted(set(fields) - set(editable)):
            raise DataError(f"{unknown[0]!r} of the {kind} cannot be edited.", f"Editable are {', '.join(editable)}.")
        if kind == "comparisons":
            said = {name: fields.get(name, old[name]) for name in editable}
            kept = {key: unpack_meta(old["judgement_meta"]).get(key) for key in ("attributes", "adjudicates")}
            kept["adjudicates"] = kept["adjudicates"] or (old["source"] == "human" and old["author"] != author)
            return self.judge(old["pair_id"], left=old["left_side"], author=author, meta=kept, **said)
        prompt = fields.get("prompt", unpack_prompt(old["prompt"], old["turns"]))
        if kind == "prompts":
            fact = prompt_fact(prompt, old["source"], author, "", replaces=id)
        elif kind == "demonstrations":
            completion = fields.get("completion", old["completion"])
            fact = demonstration_fact(prompt, completion, old["source"], author, id, "")
        elif kind == "ratings":
            completion, liked = fields.get("completion", old["completion"]), fields.get("liked", bool(old["liked"]))
            known = unpack_meta(old["meta"])
            told: dict[str, Any] = {key: known[key] for key in ("attributes", "comment", "score") if key in known}
            if bool(liked) != bool(old["liked"]):
                told.pop("score", None)  # it said the opposite
            fact = rating_fact(prompt, completion, liked, old["source"], author, id, "", old["answer"], told)
        else:
            meta = fields.get("meta", json.loads(old["meta"]))
            fact = pair_fact(
                prompt, fields.get("a", old["a"]), fields.get("b", old["b"]), meta, old["source"], author, id, ""
            )
        self._write([fact], _touched(kind))
        return str(fact[1]["id"])

    def retire(self, kind: str, id: str, author: str = "") -> Changed:
        """Leave a record out of tables and training from now on."""
        return self._mark(kind, id, "retired", author)

    def restore(self, kind: str, id: str, author: str = "") -> Changed:
        """Take a retirement back."""
        return self._mark(kind, id, "restored", author)

    def flag(self, kind: str, id: str, on: bool = True, author: str = "") -> Changed:
        """Put a mark on a record for a second look; it is used like any other."""
        return self._mark(kind, id, "flagged" if on else "unflagged", author)

    def add_many(
        self, kind: str, rows: Iterable[Mapping[str, Any] | object], source: str = "import", author: str = ""
    ) -> tuple[int, Changed]:
        """Add records (dicts, or the dataclasses of `data.records`), all or none. Returns how many are new.

        Comparisons are {"prompt", "a", "b", "winner", "strength"}, or have "chosen" and "rejected", where strength 0 is
        a tie; each makes a pair and its judgement. A row's own "source" wins over `source`. Prompts that are there
        already are passed over.

        Raises:
            DataError: a row cannot be used; the message gives its number, and nothing was added.
        """
        facts: list[Fact] = []
        fresh: set[str] = set()
        count = 0
        for number, given in enumerate(rows, 1):
            body = asdict(given) if is_dataclass(given) and not isinstance(given, type) else dict(given)  # type: ignore[call-overload]
            try:
                made = facts_of(kind, body, body.get("source") or source, author)
            except KeyError as error:
                raise DataError(f"Record {number} has no {error.args[0]!r}.") from error
            except DataError as error:
                raise DataError(f"Record {number}: {error}", error.hint) from error
            if kind == "prompts":
                same = made[0][1]["same"]
                if same in fresh or self._known_prompt(body["prompt"]):
                    continue
                fresh.add(same)
            facts += made
            count += 1
        return count, self._write(facts, _touched(kind) if facts else Changed(0))

    def take(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Add pairs and judgements that a run has written down (`store.taking`), all or none. Returns how many are new.

        Raises:
            DataError: a row cannot be used, or judges a pair that there is not.
        """
        facts: list[Fact] = []
        pairs = {str(row["id"]) for row in rows if row["kind"] == "pairs"}
        for row in rows:
            try:
                if row["kind"] == "pairs":
                    about = (row["meta"], row["source"], row["author"], "", row["id"])
                    facts.append(pair_fact(row["prompt"], row["a"], row["b"], *about))
                    continue
                pair = row["pair_id"]
                if pair not in pairs and not self._rows("SELECT 1 FROM pairs WHERE id = :id", id=pair):
                    raise DataError(f"There is no pair {pair!r} to judge.")
                said = (pair, row["winner"], row["strength"], "a", 0.0, row["author"], row["source"], "", row["id"])
                facts.append(judgement_fact(*said, meta=row["meta"]))
            except KeyError as error:
                raise DataError(f"The label {row['id']!r} has no {error.args[0]!r}.") from error
        before = self.written
        self._write(facts, Changed.COMPARISONS | Changed.PAIRS)
        return self.written - before

    def add_model(self, ref: str, title: str = "") -> Changed:
        """Remember a folder or Hub id, so that it can be chosen."""
        if any(model["ref"] == ref for model in self.models()):
            return self._note(Changed(0))
        return self._write([model_fact(ref, title or ref)], Changed.MODELS)

    def remove_model(self, ref: str) -> Changed:
        """Forget a model; runs that used it are not touched."""
        marks = [mark_fact("models", model["id"], "removed", "") for model in self.models() if model["ref"] == ref]
        return self._write(marks, Changed.MODELS if marks else Changed(0))

    def _mark(self, kind: str, id: str, mark: str, author: str) -> Changed:
        if kind not in TABLES or self.get(kind, id) is None:
            raise StoreError(f"There is no record {id!r} among the {kind}.")
        return self._write([mark_fact(kind, id, mark, author)], _touched(kind))

    def _visible(self, kind: str, id: str) -> dict[str, Any]:
        record = self.get(kind, id)
        if record is None or record["hidden"]:
            raise StoreError(f"There is no record {id!r} among the {kind} to edit.", "It may have been edited already.")
        return record

    def _known_prompt(self, prompt: Prompt) -> str:
        if fault_in(PromptRecord(prompt)):
            return ""
        found = self._rows(
            "SELECT t.id FROM prompts AS t LEFT JOIN standings AS s ON s.kind = 'prompts' AND s.record = t.row "
            "WHERE t.same = :same AND coalesce(s.hidden, '') = '' LIMIT 1",
            same=same_key(prompt),
        )
        return str(found[0]["id"]) if found else ""

    def _write(self, facts: list[Fact], changed: Changed) -> Changed:
        """Commit facts and what follows from them, here and in the journal; then make sure that others see them."""
        if not self._writable:
            raise StoreError(f"{self.path} is open for reading only.", "Close the other window that has it open.")
        added: list[Fact] = []
        with self._turn:
            try:
                with transaction(self._db, self.path):
                    for table, row in facts:
                        cursor = self._db.execute(insert_sql(table), {"row": None, **row})
                        if cursor.rowcount == 1:
                            added.append((table, {"row": cursor.lastrowid, **row}))
                            self._restate(table, added[-1][1])
                    self._journal.write(added)  # before the commit: a full disk refuses both or neither
            except BaseException:
                self._journal.take_back()
                raise
            self._journal.sync()
            self._prove(added)
            self.written += len(added)
            return self._note(changed if added else Changed(0))

    def _restate(self, table: str, row: dict[str, Any]) -> None:
        """Bring the standings up to date with one new fact."""
        if row.get("replaces"):
            hide_replaced(self._db, table, row["replaces"])
        if table == "pairs":
            await_verdict(self._db, row["row"])
        elif table == "comparisons":
            restate_pair(self._db, row["pair_id"])
        elif table == "ratings":
            hide_repeat(self._db, row)
        elif table == "marks":
            restate_mark(self._db, row["kind"], row["record_id"])

    def _prove(self, added: list[Fact]) -> None:
        """Nothing is acknowledged that a second connection cannot read."""
        if self._db.conn.in_transaction:
            raise StoreError(
                f"{self.path} kept a transaction open: the last label is not safe.", "Restart the program."
            )
        for table, row in added[:1] + added[-1:]:
            seen = list(self._witness.query(f"SELECT hash FROM {table} WHERE id = ?", [row["id"]]))
            if not seen or seen[0]["hash"] != row["hash"]:
                raise StoreError(f"{self.path} did not keep the last label.", "Check the disk, and repair the project.")

    def _note(self, changed: Changed) -> Changed:
        self.last_change = changed
        return changed


def _touched(kind: str) -> Changed:
    return Changed.COMPARISONS | Changed.PAIRS if kind in ("pairs", "comparisons") else Changed[kind.upper()]
