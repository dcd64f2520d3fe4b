"""Looking a dataset over before a model learns from it, and saying what was found and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from rlhf_engine.contract.events import Produced
from rlhf_engine.data.checks import check
from rlhf_engine.data.datasets import Dataset, from_file, open_dataset
from rlhf_engine.data.records import Record, texts_of
from rlhf_engine.models.load import folder_of, load_tokenizer, resolve
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.check_data.spec import CheckSpec

REPORT = "check.json"


def check_data(spec: CheckSpec, run: RunContext) -> None:
    """Write what was found as `check.json` into the run's folder, and tell it.

    Raises:
        DataError: no such dataset, or a file that cannot be read. ModelError: no tokenizer where one was named.
    """
    dataset = _opened(spec.dataset, run)
    length, control = _lengths(spec, run)
    rows = dataset.rows(ties=True)
    title = f"Looking at {dataset.info.name}"

    def told(done: int) -> None:
        run.safe_point()
        run.stage(title if done < len(rows) else f"{title}: comparing prompts", done, len(rows))

    findings = [finding.to_json() for finding in check(rows, spec.max_tokens, length, control, told)]
    facts = {
        "dataset": dataset.info.ref,
        "name": dataset.info.name,
        "kind": dataset.info.kind,
        "rows": dataset.info.rows,
        "estimated": not spec.model,
        "findings": findings,
    }
    run.folder.mkdir(parents=True, exist_ok=True)
    report = run.folder / REPORT
    report.write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    run.emit(Produced("check", report.relative_to(run.project_root).as_posix(), facts))


def _opened(ref: str, run: RunContext) -> Dataset:
    """The dataset; or a file, which is read and frozen as whatever it holds."""
    if ref.startswith("dataset:"):
        return open_dataset(run.project_root, ref)
    path = Path(ref).expanduser()
    run.stage(f"Reading {path.name}")
    return from_file(run.project_root, path)


def _lengths(spec: CheckSpec, run: RunContext) -> tuple[Callable[[Record], int], list[str]]:
    """How long a row is in tokens, all its texts together, and the texts that are control tokens of the model."""
    if not spec.model:
        return lambda record: sum(map(len, texts_of(record))) // 4, []
    source = resolve(spec.model, run.project_root)
    tokenizer = load_tokenizer(folder_of(source.base, run.stage), source.base)

    def length(record: Record) -> int:
        return sum(len(tokenizer(text, add_special_tokens=False).input_ids) for text in texts_of(record))

    return length, list(tokenizer.all_special_tokens)
