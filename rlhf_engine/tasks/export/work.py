"""Export: write a model aside, load it again, compare it with the trained one, and only then give it its name.

Nothing is pushed that is not already whole on this machine, and a push that fails takes nothing away.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rlhf_engine.contract.errors import HubError, ModelError, SpecError
from rlhf_engine.contract.events import Produced
from rlhf_engine.models.adapters import head_of, load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.hub import push
from rlhf_engine.models.load import ModelSource, folder_of, load_base, resolve
from rlhf_engine.runtime import destination
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.export import history, weights
from rlhf_engine.tasks.export.card import CardFacts, summary_of, write_card
from rlhf_engine.tasks.export.compare import (
    Agreement,
    compare,
    measure,
    require_agreement,
    sequences_for,
    texts_for,
)
from rlhf_engine.tasks.export.spec import ExportSpec

CARD = "README.md"
_STEPS = 5


def export(spec: ExportSpec, run: RunContext) -> None:
    """Write `spec.model` for others to load; with `dry_run`, only say what would be written.

    Raises:
        SpecError: a base model "as an adapter", or a folder or repository name that cannot be.
        ModelError: an adapter that is damaged or empty, or an export that is not the trained model.
        HubError: the push failed. The export on this machine is complete, and the message says where.
    """
    source = resolve(spec.model, run.project_root)
    _require_possible(spec, source)
    parent = destination.parent_of_exports(run.project_root, spec.folder)
    run.stage("Looking at the model", 0, _STEPS)
    base_folder = folder_of(source.base, run.stage)
    base = history.public_base(source.base, base_folder)
    if spec.form == "merged":
        base = history.public_origin(source, run.project_root) or base
    facts = _card_facts(spec, run, source, base)
    expected = weights.expected_files(source, base_folder, spec.form, spec.dtype)
    if spec.dry_run:
        _tell_dry_run(spec, run, destination.free_folder(parent, facts.title), expected, write_card(facts, spec.card))
        return
    destination.require_space(parent, int(1.02 * sum(expected.values())) + 1_000_000)
    with destination.written_aside(parent, run.run_id) as aside:
        agreement = _write_and_compare(spec, run, source, base, aside)
        (aside / CARD).write_text(write_card(replace(facts, agreement=agreement), spec.card), encoding="utf-8")
        weights.require_clean(aside, _private_words(run.project_root, source, base_folder))
        run.safe_point()
        final = destination.publish(aside, parent, facts.title)
    files = {path.name: path.stat().st_size for path in sorted(final.iterdir())}
    told: dict[str, Any] = {
        "form": spec.form,
        "dtype": spec.dtype,
        "base": base,
        "agreement": agreement.share,
        "largest_difference": agreement.largest,
        "compared": agreement.sentence(),
        "files": [{"name": name, "size": size} for name, size in files.items()],
        "bytes": sum(files.values()),
    }
    try:
        if spec.repo:
            told["url"] = _push(spec, run, final)
    finally:
        run.emit(Produced("export", _shown(final, run.project_root), told))


def _require_possible(spec: ExportSpec, source: ModelSource) -> None:
    if spec.repo and not history.HUB_ID.fullmatch(spec.repo):
        raise SpecError("repo", f"{spec.repo!r} is not a name of a repository.", "Names look like owner/name.")
    if source.adapter is None and spec.form == "adapter":
        why = f"{spec.model} is a base model" if source.folder is None else f"all weights of {spec.model} were trained"
        raise SpecError("form", f"There is no adapter: {why}.", "Choose the merged form.")
    weights.require_whole_result(source)


def _card_facts(spec: ExportSpec, run: RunContext, source: ModelSource, base: str) -> CardFacts:
    runs = history.history_of(source, run.project_root)
    title = destination.safe_name(_title(spec, source, base, summary_of(runs)))
    template = str(source.about.get("template", "auto"))
    folder = spec.repo or title
    facts = CardFacts(title, folder, base, spec.form, spec.dtype, spec.licence, template, None, runs)
    head = head_of(source)
    return facts if head is None else replace(facts, formula=weights.read_head(head.parent).formula)


def _title(spec: ExportSpec, source: ModelSource, base: str, tasks: str) -> str:
    if spec.repo:
        return spec.repo.split("/")[1]
    stem = "model" if base.startswith("local") else base.rpartition("/")[2]
    run_id = spec.model[4:10] if spec.model.startswith("run:") else ""
    precision = spec.dtype if spec.form == "merged" else ""
    task = tasks if source.folder is not None else ""
    return "-".join(part for part in (stem, task, run_id, spec.form, precision) if part)


def _write_and_compare(spec: ExportSpec, run: RunContext, source: ModelSource, base: str, aside: Path) -> Agreement:
    """Fill the folder, and measure what it holds against the trained model.

    One model is in memory at a time: the trained one answers, is let go, and the written one answers the same.
    """
    run.stage("Answering as the trained model", 1, _STEPS)
    template = str(source.about.get("template", "auto"))
    texts, origin = texts_for(history.heldout_records(source, run.project_root), run.rng)
    sequences, before = _trained(run, source, texts, template)
    run.safe_point()

    run.stage("Writing the files", 2, _STEPS)
    head_file = head_of(source)
    if spec.form == "adapter":
        weights.write_adapter(source, base, aside)
    else:
        weights.write_merged(source, spec.dtype, aside)
    if head_file is not None:
        weights.write_head(source, head_file, aside)
    _free()
    run.safe_point()

    run.stage("Loading what was written", 3, _STEPS)
    if spec.form == "adapter":
        dtype = "fp32"
        backbone = Backbone(load_base(source.base, run.device, torch.float32, run.stage))
        load_adapter(backbone, "exported", ModelSource("the export", source.base, aside, source.about))
        role = "exported"
    else:
        dtype = spec.dtype
        backbone = Backbone(load_base(str(aside), run.device, weights.DTYPES[spec.dtype]))
        role = PLAIN
    if sequences_for(backbone, texts, template, head_file is not None) != sequences:
        raise ModelError("The exported tokenizer reads texts differently.", "Export the adapter instead.")
    head = weights.read_head(aside).to(run.device) if head_file is not None else None
    run.stage("Comparing it with the trained model", 4, _STEPS)
    agreement = compare(before, measure(backbone, role, sequences, head), origin)
    agreement = replace(agreement, cancels=weights.cancelling(source))
    require_agreement(agreement, dtype, spec.form)
    del backbone
    _free()
    run.stage("Compared", _STEPS, _STEPS)
    return agreement


def _trained(
    run: RunContext, source: ModelSource, texts: list[Any], template: str
) -> tuple[list[list[int]], list[Tensor]]:
    """Token ids of the texts, and what the trained model says to them in fp32."""
    backbone = Backbone(load_base(source.base, run.device, torch.float32, run.stage))
    role = PLAIN
    if source.folder is not None:
        role = "trained"
        load_adapter(backbone, role, source)
    head: Any = dict(backbone.heads.items()).get(role)
    sequences = sequences_for(backbone, texts, template, head is not None)
    return sequences, measure(backbone, role, sequences, head)


def _push(spec: ExportSpec, run: RunContext, folder: Path) -> str:
    try:
        return push(folder, spec.repo, spec.private, run.stage)
    except HubError as error:
        here = _shown(folder, run.project_root)
        raise HubError(f"{error} The export itself is complete: {here}.", error.hint) from None


def _tell_dry_run(spec: ExportSpec, run: RunContext, folder: Path, files: dict[str, int], card: str) -> None:
    files = files | {CARD: len(card.encode())}
    told = {
        "dry_run": True,
        "card": card,
        "files": [{"name": name, "size": size} for name, size in sorted(files.items())],
        "bytes": sum(files.values()),
        "repo": spec.repo,
        "private": spec.private,
    }
    run.emit(Produced("export", _shown(folder, run.project_root), told))


def _private_words(project_root: Path, source: ModelSource, base_folder: Path) -> list[str]:
    """Paths that must not be in any file that leaves this machine."""
    folders = [Path.home(), project_root, project_root.resolve(), base_folder.resolve()]
    base = Path(source.base).expanduser()
    if base.is_absolute():
        folders.append(base)
    return [str(folder) for folder in folders if len(folder.parts) > 1 and len(str(folder)) > 4]


def _shown(path: Path, project_root: Path) -> str:
    return path.relative_to(project_root).as_posix() if path.is_relative_to(project_root) else str(path)


def _free() -> None:
    """Give the memory of a model that is no longer needed back before the next one is loaded."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
