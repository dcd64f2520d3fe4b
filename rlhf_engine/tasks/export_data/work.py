"""Writing a dataset for others: a file for each split, and a card that says what it is and what was left out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rlhf_engine.contract.errors import DataError, HubError
from rlhf_engine.contract.events import Produced
from rlhf_engine.data.datasets import DatasetInfo, open_dataset
from rlhf_engine.data.outward import rows_in, write_rows
from rlhf_engine.data.records import Record
from rlhf_engine.data.writing import write
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.runtime.destination import parent_of_exports, publish, safe_name, written_aside
from rlhf_engine.tasks.export_data.spec import ExportDataSpec

_SPLITS = {"train": "train", "heldout": "test"}  # ours, and what the Hub calls it
_EVERY = 1000


def export_data(spec: ExportDataSpec, run: RunContext) -> None:
    """Write `spec.dataset` into a folder of its own, and push that if asked.

    Raises:
        DataError: no such dataset, or the layout has a place for none of its records. DiskFull, StoreError: it cannot
            be written. HubError: the push failed. The export on this machine is complete, and the message says where.
    """
    dataset = open_dataset(run.project_root, spec.dataset)
    parent = parent_of_exports(run.project_root, spec.folder)
    left_out: dict[str, int] = {}
    counts: dict[str, int] = {}
    ending = "json" if spec.layout == "argilla" else spec.format
    with written_aside(parent, run.run_id) as aside:
        for ours, theirs in _SPLITS.items():
            records = _watched(dataset.rows(ours, ties=True), f"Writing {theirs}", run)
            file = aside / f"{theirs}.{ending}"
            if spec.layout == "native":
                count = write(records, file) if getattr(dataset.info, ours) else 0
            else:
                count = write_rows(rows_in(spec.layout, records, left_out), file, ending)
            if count:
                counts[theirs] = count
            else:
                file.unlink(missing_ok=True)
        if not counts:
            why = ", ".join(left_out) or "it is empty"
            raise DataError(f"The layout {spec.layout} has a place for none of its records: {why}.")
        (aside / "README.md").write_text(card(spec, dataset.info, counts, left_out, ending), encoding="utf-8")
        run.safe_point()
        name = safe_name("-".join((dataset.info.name, spec.layout, spec.format)), "dataset")
        folder = publish(aside, parent, name)
    there = folder.relative_to(run.project_root).as_posix() if folder.is_relative_to(run.project_root) else str(folder)
    files = [{"name": path.name, "size": path.stat().st_size} for path in sorted(folder.iterdir())]
    told: dict[str, Any] = {"layout": spec.layout, "rows": sum(counts.values()), "left_out": left_out, "files": files}
    try:
        if spec.repo:
            from rlhf_engine.models.hub import push

            told["url"] = push(folder, spec.repo, spec.private, run.stage, kind="dataset")
    except HubError as error:
        raise HubError(f"{error} The export itself is complete: {there}.", error.hint) from None
    finally:
        run.emit(Produced("export", there, told))


def _watched(records: Sequence[Record], text: str, run: RunContext) -> Iterator[Record]:
    for number, record in enumerate(records):
        if number % _EVERY == 0:
            run.safe_point()
            run.stage(text, number, len(records))
        yield record


def card(spec: ExportDataSpec, info: DatasetInfo, counts: dict[str, int], left_out: dict[str, int], ending: str) -> str:
    """The dataset card: what the Hub reads between the dashes, and what people read below."""
    title = " ".join(info.name.split())
    head = [f"pretty_name: {json.dumps(title)}"]
    head += [f"license: {json.dumps(spec.licence)}"] if spec.licence else []
    files = [f"  - split: {split}\n    path: {split}.{ending}" for split in counts]
    head += ["configs:", "- config_name: default", "  data_files:", *files]
    rows = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    body = [f"# {title}", f"{info.kind.capitalize()}, layout {spec.layout}: {rows}. Prompts are in one split only."]
    body += [f"Content hash of the dataset it was made of: `{info.hash}`."]
    if hub := info.facts.get("hub"):
        part, revision = f"{info.facts.get('config')}/{info.facts.get('split')}", info.facts.get("revision")
        body.append(f"Its rows come from `{part}` of the Hub's dataset `{hub}` at `{revision}`; its licence applies.")
    if ties := info.facts.get("ties"):
        body.append(f"{ties:,} comparisons of the dataset are ties (`strength` 0).")
    body += [f"Left out: {count:,} {why}." for why, count in left_out.items()]
    if spec.format == "csv":
        body.append(
            "For spreadsheets: a cell that begins like a formula has one apostrophe in front. Take exactly one away "
            "from such cells to read it by program; RLHF Studio does."
        )
    if not spec.licence:
        body.append("No licence was named. Ask before you use it.")
    return "---\n" + "\n".join(head) + "\n---\n\n" + "\n\n".join(body) + "\n"
