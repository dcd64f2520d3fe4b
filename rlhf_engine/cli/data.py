"""`rlhf import`, `rlhf export` and `rlhf data`: what comes into a project, is looked over there, and leaves it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from rlhf_engine.cli.here import do_run
from rlhf_engine.cli.place import AsJson, InProject, project_root, settled
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Envelope, Produced
from rlhf_engine.data.files import format_of_name
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.tasks.check_data.spec import CheckSpec
from rlhf_engine.tasks.download.spec import DownloadSpec
from rlhf_engine.tasks.export.spec import ExportSpec
from rlhf_engine.tasks.export_data.spec import ExportDataSpec
from rlhf_engine.tasks.import_data.spec import HUB, ImportSpec

app = typer.Typer(help="Look datasets over, and write them for others.", no_args_is_help=True)
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SHOWN = 10  # rejected rows; the rest is in the run's rejected.jsonl


def import_file(
    files: Annotated[
        list[str],
        typer.Argument(
            help="JSONL, JSON, CSV, TSV, Parquet or text, also gzipped; a folder of them; or owner/name on the Hub."
        ),
    ],
    kind: Annotated[str, typer.Option(help="auto, prompts, demonstrations, comparisons or ratings.")] = "auto",
    layout: Annotated[str, typer.Option(help="How the rows are written, such as hh, trl or alpaca.")] = "auto",
    column: Annotated[list[str] | None, typer.Option(metavar="OURS=THEIRS", help="Where a field is.")] = None,
    name: Annotated[str, typer.Option(help="What to call the dataset.")] = "",
    examples: Annotated[int, typer.Option(help="Solved examples in the prompts of a task file, 0 to 4.")] = 2,
    pairs: Annotated[str, typer.Option(help="Of ranked or scored answers: 'best and worst', or all that differ.")] = (
        "best and worst"
    ),
    config: Annotated[str, typer.Option(help="Of a dataset of the Hub: which configuration.")] = "",
    split: Annotated[str, typer.Option(help="Of a dataset of the Hub: which split.")] = "",
    revision: Annotated[str, typer.Option(help="Of a dataset of the Hub: a branch or a commit.")] = "",
    list_only: Annotated[
        bool, typer.Option("--list", help="Only list the configurations and splits of a dataset of the Hub.")
    ] = False,
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Read files, or a dataset of the Hub, into one dataset, and say which rows were left out and why."""
    first, *more = map(_meant, files)
    columns = _columns(column or [])
    root = project_root(project)
    made: list[Produced] = []
    spec = ImportSpec(
        path=first,
        more=more,
        kind=kind,
        layout=layout,
        columns=columns,
        name=name,
        examples=examples,
        pairs=pairs,
        config=config,
        split=split,
        revision=revision,
    )
    if list_only:
        if not spec.repo:
            raise SpecError("path", f"{first} is no dataset of the Hub, so there is nothing to list.")
        listing = DownloadSpec(repo=spec.repo, kind="dataset", revision=revision, list_only=True)
        code = do_run(root, new_run_id(), listing, f"List {spec.repo}", as_json=as_json, also=_collect(made))
        if not as_json:
            for found in made:
                _show_parts(Console(highlight=False), found.facts)
        return code
    called = name or spec.repo or Path(first).name
    code = do_run(root, new_run_id(), spec, called, as_json=as_json, also=_collect(made))
    if not as_json:
        for dataset in made:
            _show_dataset(Console(highlight=False), dataset)
    return code


def export(
    model: Annotated[str, typer.Argument(help="starter, a folder, owner/name, or run:ID.")],
    form: Annotated[str, typer.Option(help="merged: one complete model. adapter: only what was trained.")] = "merged",
    dtype: Annotated[str, typer.Option(help="Precision of merged weights: fp32, bf16 or fp16.")] = "fp32",
    folder: Annotated[str, typer.Option(help="Where to write. Default: the project's exports folder.")] = "",
    repo: Annotated[str, typer.Option(help="owner/name to push to on the Hub.")] = "",
    public: Annotated[bool, typer.Option(help="Let everyone see the repository.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be written and pushed.")] = False,
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Write a model for others to load, checked by loading it again; push it to the Hub if asked."""
    spec = ExportSpec(
        model=model,
        form=form,
        dtype=dtype,
        folder=str(Path(folder).expanduser().absolute()) if folder else "",
        repo=repo,
        private=not public,
        dry_run=dry_run,
    )
    made: list[Produced] = []
    root = project_root(project)
    code = do_run(root, new_run_id(), settled(root, spec), as_json=as_json, also=_collect(made))
    if not as_json:
        for thing in made:
            _show_facts(Console(highlight=False), thing.facts)
    return code


@app.command("check")
def check(
    dataset: Annotated[str, typer.Argument(help="dataset:HASH, or a file.")],
    max_tokens: Annotated[int, typer.Option(help="Rows with more tokens are named.")] = 1024,
    model: Annotated[str, typer.Option(help="Whose tokens are counted. Default: four characters a token.")] = "",
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Look for duplicates, leaks between the splits, pairs that say nothing and rows that are too long."""
    ref = dataset if dataset.startswith("dataset:") else str(Path(dataset).expanduser().absolute())
    made: list[Produced] = []
    root = project_root(project)
    spec = CheckSpec(dataset=ref, max_tokens=max_tokens, model=model)
    code = do_run(root, new_run_id(), spec, "Check data", as_json=as_json, also=_collect(made))
    if not as_json:
        for report in made:
            _show_findings(Console(highlight=False), report)
    return code


@app.command("export")
def export_dataset(
    dataset: Annotated[str, typer.Argument(help="dataset:HASH.")],
    layout: Annotated[str, typer.Option(help="native, trl, hh or argilla.")] = "native",
    format: Annotated[str, typer.Option(help="jsonl, parquet or csv.")] = "jsonl",
    folder: Annotated[str, typer.Option(help="Where to write. Default: the project's exports folder.")] = "",
    repo: Annotated[str, typer.Option(help="owner/name to push to on the Hub.")] = "",
    public: Annotated[bool, typer.Option(help="Let everyone see the repository.")] = False,
    licence: Annotated[str, typer.Option(help="Licence named in the card.")] = "",
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Write a dataset for others to load, with a card; push it to the Hub if asked."""
    where = str(Path(folder).expanduser().absolute()) if folder else ""
    made: list[Produced] = []
    spec = ExportDataSpec(
        dataset=dataset, layout=layout, format=format, folder=where, repo=repo, private=not public, licence=licence
    )
    code = do_run(project_root(project), new_run_id(), spec, "Export data", as_json=as_json, also=_collect(made))
    if not as_json:
        for thing in made:
            Console(highlight=False).print(Text(thing.path, "bold"), soft_wrap=True)
            _show_facts(Console(highlight=False), {**thing.facts, **thing.facts.get("left_out", {})})
    return code


def _collect(made: list[Produced]) -> Any:
    def listen(envelope: Envelope) -> None:
        if isinstance(envelope.event, Produced):
            made.append(envelope.event)

    return listen


def _meant(named: str) -> str:
    """A file or folder by its whole path, or a dataset of the Hub: "hub:owner/name", and owner/name where no file of
    this machine is called so and it does not end like one.
    """
    there = Path(named).expanduser()
    if named.startswith(HUB):
        return named
    if _HUB_ID.fullmatch(named) and not there.exists() and not format_of_name(named):
        return f"{HUB}{named}"
    return str(there.absolute())


def _columns(pairs: list[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not ours or not theirs:
            raise SpecError("columns", f"{pair!r} is not of the form ours=theirs.", "For example prompt=question.")
        columns[ours] = theirs
    return columns


def _show_dataset(console: Console, dataset: Produced) -> None:
    """What was imported, by what name to use it, and the first rows that were left out."""
    facts = dataset.facts
    rows, total, name = facts.get("rows", 0), facts.get("total", 0), facts.get("name", "")
    split = f"{facts.get('train', 0):,} to train on, {facts.get('heldout', 0):,} held out"
    used = ", ".join(f"{ours} from {theirs!r}" for ours, theirs in facts.get("columns", {}).items())
    told = "".join(f" {what.capitalize()}: {facts[what]:,}." for what in ("ties", "liked") if what in facts)
    what = facts.get("kind", "records")
    console.print(Text(f"{rows:,} of {total:,} rows are {what}: {split}.{told}"), soft_wrap=True)
    read = "The first file was read as" if "files" in facts else "Read as"
    console.print(Text(f"{read} {facts.get('layout')}{f': {used}' if used else ''}."), soft_wrap=True)
    if facts.get("known"):
        console.print(Text(f"The project already had exactly these records, as {name!r}."), soft_wrap=True)
    rejected = facts.get("rejected_rows", [])
    if rejected:
        count = facts.get("rejected", len(rejected))
        console.print(Text("1 row was left out:" if count == 1 else f"{count:,} rows were left out:"))
    for row in rejected[:SHOWN]:
        line, field, reason = (row.get(key, "") for key in ("line", "field", "reason"))
        file = f"{row['file']}, " if "file" in row else ""
        column = f" (column {row['column']!r})" if "column" in row else ""
        console.print(Text(f"  {file}line {line}{f', {field}{column}:' if field else ''} {reason}"), soft_wrap=True)
    if (more := facts.get("rejected", len(rejected)) - SHOWN) > 0:
        console.print(Text(f"  and {more:,} more, all in {facts.get('report', '')}"), soft_wrap=True)
    console.print(Text(f"Use it as dataset:{Path(dataset.path).name}", "bold"), soft_wrap=True)


def _show_parts(console: Console, facts: dict[str, Any]) -> None:
    """The configurations and splits of a dataset of the Hub, with the size of their files."""
    kept = "as the Hub has converted them to Parquet" if facts["converted"] else "as their owner wrote them"
    console.print(Text(f"{facts['repo']} at {facts['revision'][:12]}, {kept}:"), soft_wrap=True)
    for part in facts["parts"]:
        beginning = ", only the beginning" if part["partial"] else ""
        console.print(
            Text(f"  --config {part['config']} --split {part['split']}  {part['size']:,} bytes{beginning}"),
            soft_wrap=True,
        )


def _show_findings(console: Console, report: Produced) -> None:
    """Every kind of oddity with its number, a few examples and what to do."""
    facts = report.facts
    findings = facts.get("findings", [])
    rows = f"{facts.get('rows', 0):,} {facts.get('kind', 'rows')} of {facts.get('name', '')}"
    console.print(Text(f"{rows}: " + ("these were found." if findings else "nothing odd was found.")), soft_wrap=True)
    for finding in findings:
        share = f"{finding['count']:,} of {finding['of']:,}"
        guess = " (estimated from characters)" if finding["key"] == "too_long" and facts.get("estimated") else ""
        style = "bold yellow" if finding["level"] == "warning" else "bold"
        console.print(Text(f"{finding['title']}{guess}: {share}", style), soft_wrap=True)
        for example in finding["examples"]:
            of = f" and row {example['other']:,}" if "other" in example else ""
            text = " ".join(example["text"].split())[:100]
            console.print(Text(f"  row {example['row']:,}{of}: {text}"), soft_wrap=True)
        console.print(Text(f"  {finding['advice']}", "dim"), soft_wrap=True)
    console.print(Text(f"All of it is in {report.path}"), soft_wrap=True)


def _show_facts(console: Console, facts: dict[str, Any]) -> None:
    """The facts that fit on a line, and what a list of files holds."""
    for key, value in facts.items():
        if isinstance(value, str | int | float | bool) and value != "" and key != "ref":
            console.print(Text(f"  {key.replace('_', ' ')}: {_readable(value)}"), soft_wrap=True)
        elif key == "files" and isinstance(value, list):
            for file in value:
                console.print(Text(f"  {file.get('name', '')}  {file.get('size', 0):,} bytes"), soft_wrap=True)


def _readable(value: str | int | float | bool) -> str:
    match value:
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
    return f"{value:.4g}"
