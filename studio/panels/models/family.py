"""Who descends from whom: base models and the results of runs, with what their files say. No Qt in this file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhf_engine.models.folders import AdapterFacts, FolderFacts, adapter_facts, folder_facts, folder_on_disk
from rlhf_engine.store.runs import RunRow
from rlhf_engine.tasks import TASKS
from studio.engine_words import task_title

BASE = "base"


@dataclass(frozen=True, slots=True)
class Member:
    """One model. `kind` is base, or the task of the run that made it; `parent` is another's ref, "" for a root.

    `listed` is False for a base that nobody added but that a result stands on. `folder` is None for a Hub id that has
    not been downloaded.
    """

    ref: str
    title: str
    kind: str
    parent: str = ""
    folder: Path | None = None
    base: FolderFacts | None = None
    adapter: AdapterFacts | None = None
    run: RunRow | None = None
    listed: bool = True

    @property
    def fault(self) -> str:
        facts = self.base or self.adapter
        return facts.fault if facts is not None else ""

    @property
    def hint(self) -> str:
        return self.base.hint if self.base is not None else ""

    @property
    def scores(self) -> bool:
        """Whether it gives answers a score instead of writing them."""
        return self.kind in TASKS and TASKS[self.kind].scores

    @property
    def reward_model(self) -> str:
        """The reward model that a policy was trained against."""
        return str(self.adapter.about.get("reward_model") or "") if self.adapter else ""


@dataclass(frozen=True, slots=True)
class Family:
    members: dict[str, Member] = field(default_factory=dict)

    def children(self, ref: str) -> list[Member]:
        """What was made of a model; of "", the bases."""
        return [member for member in self.members.values() if member.parent == ref]

    def lineage(self, ref: str) -> list[Member]:
        """From the base to this model."""
        line: list[Member] = []
        while (member := self.members.get(ref)) is not None and member not in line:
            line.insert(0, member)
            ref = member.parent
        return line

    def base_of(self, ref: str) -> Member | None:
        line = self.lineage(ref)
        return line[0] if line and line[0].kind == BASE else None


def read_family(root: Path, added: Sequence[dict[str, Any]], starter: str) -> Family:
    """Look at every model of a project; called on another thread. `added` are rows of `Labels.models()`."""
    bases = {"starter": starter} | {str(row["ref"]): _title(row) for row in added}
    members: dict[str, Member] = {}
    for ref, title in bases.items():
        members[ref] = _base(ref, title, listed=True)
    results = list(_results(root))
    refs = {member.ref for member in results}
    for member in results:
        assert member.adapter is not None
        base = str(member.adapter.about.get("base") or "")
        parent = member.parent if member.parent in refs | members.keys() else base
        if parent not in refs and parent not in members and parent:
            members[parent] = _base(parent, parent, listed=False)
        members[member.ref] = _under(member, parent)
    return Family(members)


def _results(root: Path) -> Iterator[Member]:
    from rlhf_engine.store.runs import RunsReader

    reader = RunsReader(root)
    try:
        rows = reader.runs()
    finally:
        reader.close()
    for row in sorted(rows, key=lambda row: row.created):
        folder = root / "runs" / row.id / "adapter"
        if row.task in TASKS and TASKS[row.task].trains and folder.is_dir():
            facts = adapter_facts(folder)
            title = row.name or task_title(row.task)
            parent = str(facts.about.get("parent") or facts.about.get("base") or "")
            yield Member(f"run:{row.id}", title, row.task, parent, folder, adapter=facts, run=row)


def _under(member: Member, parent: str) -> Member:
    own = parent if parent != member.ref else ""  # a file that says so must not make a circle
    return Member(
        member.ref, member.title, member.kind, own, member.folder, adapter=member.adapter, run=member.run, listed=True
    )


def _base(ref: str, title: str, listed: bool) -> Member:
    folder = folder_on_disk(ref)
    facts = folder_facts(folder, title) if folder is not None else None
    if folder is None and looks_like_path(ref):
        facts = FolderFacts(Path(ref), fault=f"The folder {ref} is gone.", hint="Put it back, or remove it from here.")
    return Member(ref, title, BASE, "", folder, base=facts, listed=listed)


def looks_like_path(ref: str) -> bool:
    """Whether a reference names a folder rather than a model of the Hub."""
    return ref.startswith(("/", "~", ".")) or ref.count("/") != 1 or Path(ref).is_absolute()


def _title(row: dict[str, Any]) -> str:
    ref = str(row["ref"])
    given = str(row["title"] or "")
    return given if given and given != ref else Path(ref).name if looks_like_path(ref) else ref
