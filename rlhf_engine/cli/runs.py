"""`rlhf run`, `resume`, `list`, `show`, and the switches of a run that any process is doing."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rlhf_engine.cli.allow import ask_about_code
from rlhf_engine.cli.here import do_run, take_labels_in
from rlhf_engine.cli.place import AsJson, InProject, find_run, project_root, settled
from rlhf_engine.contract.errors import SpecError, StoreError
from rlhf_engine.contract.events import Alert, Envelope, Event, Metrics
from rlhf_engine.contract.fields import value_type
from rlhf_engine.launch.control_file import throw
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.launch.recorded import require_resumable
from rlhf_engine.models.folders import adapter_facts
from rlhf_engine.store.runs import RunRow, RunsReader
from rlhf_engine.tasks import TASKS, spec_from_json

SWITCHES = {
    "cancel": "Stop a run at its next safe point, whichever process is doing it.",
    "suspend": "Save a checkpoint and end the run, to be resumed later.",
    "pause": "Hold a run where it is.",
    "unpause": "Let a paused run go on.",
}
RunId = Annotated[str, typer.Argument(help="The run's id, the beginning of it, or its name.")]
_STATE_STYLES = {"running": "green", "paused": "yellow", "failed": "red", "interrupted": "red", "completed": "bold"}


def run(
    spec_file: Annotated[Path, typer.Argument(metavar="SPEC.json", help="The spec; - reads it from stdin.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="Change a setting.")
    ] = None,
    name: Annotated[str, typer.Option(help="What to call the run.")] = "",
    samples: Annotated[bool, typer.Option(help="Print the answers that the model writes on the way.")] = False,
    project: InProject = None,
    as_json: AsJson = False,
) -> int:
    """Do a run here and now, and keep it in the project."""
    root = project_root(project)
    spec = settled(root, read_spec(spec_file, settings or []))
    ask_about_code(spec, as_json)
    code = do_run(root, new_run_id(), spec, name, as_json=as_json, samples=samples)
    take_labels_in(root, as_json)
    return code


def read_spec(spec_file: Path, settings: list[str]) -> Any:
    """The spec in a file with some settings changed. Raises SpecError that names the file and the field."""
    try:
        return spec_from_json(with_settings(_text_of(spec_file), settings))
    except SpecError as error:
        where = f"{spec_file}, {error.field}" if error.field else str(spec_file)
        raise SpecError(error.field, f"{where}: {error}", error.hint) from error


def resume(run_id: RunId, project: InProject = None, as_json: AsJson = False) -> int:
    """Go on with a run from its last checkpoint."""
    root = project_root(project)
    reader = RunsReader(root)
    try:
        found = find_run(reader, run_id).id
    finally:
        reader.close()
    spec = require_resumable(root, found)
    ask_about_code(spec, as_json)
    code = do_run(root, found, spec, resume=True, as_json=as_json)
    take_labels_in(root, as_json)
    return code


def list_runs(project: InProject = None, as_json: AsJson = False) -> int:
    """The project's runs, newest first."""
    reader = RunsReader(project_root(project))
    rows = reader.runs()
    reader.close()
    console = Console(highlight=False)
    if as_json:
        for row in rows:
            console.out(json.dumps(_row_body(row), ensure_ascii=False), highlight=False)
        return 0
    if not rows:
        console.print("There are no runs yet.")
        return 0
    if not console.is_terminal:
        console.width = 160  # a file or a pipe has no width of its own
    console.print(_table(rows, console.width))
    return 0


def show(run_id: RunId, project: InProject = None, as_json: AsJson = False) -> int:
    """One run: its settings, where it stands, its curves in brief, and what it made."""
    root = project_root(project)
    reader = RunsReader(root)
    try:
        row = find_run(reader, run_id)
        curves, produced = reader.metrics(row.id), reader.produced(row.id)
        drawn = {curve.name: curve for curve in reader.curves(row.id)}  # the newest of each name
        alerts = [e.event for e in reader.story(row.id) if isinstance(e.event, Alert)]
    finally:
        reader.close()
    console = Console(highlight=False)
    if as_json:
        made = [asdict(thing) for thing in produced]
        said = [asdict(alert) for alert in alerts]
        body = {**_row_body(row), "curves": [_as_said(one) for one in drawn.values()], "alerts": said, "produced": made}
        console.out(json.dumps(body, ensure_ascii=False), highlight=False)
        return 0
    title = " ".join(filter(None, (row.task, row.id, row.name)))
    console.print(Text(title, "bold"))
    where = f", step {row.step}{f' of {row.total}' if row.total else ''}" if row.step else ""
    console.print(Text(" ".join(filter(None, (f"{row.state}{where}.", row.message, row.hint)))), soft_wrap=True)
    for name, value in json.loads(row.spec_json).items():
        if name != "task":
            console.print(Text(f"  {name} = {json.dumps(value, ensure_ascii=False)}", "dim"), soft_wrap=True)
    for name in [*_charts(row), *sorted(set(curves) - set(_charts(row)))]:
        if name in curves:
            values = [value for _, value in curves[name]]
            console.print(Text(f"  {name:32.32} {sparkline(values):40} {values[-1]:.4g}"), soft_wrap=True)
    for one in drawn.values():
        (x, _), *others = one.columns.items()
        for column, points in others:
            name = f"{one.name}: {column} by {x}"
            console.print(Text(f"  {name:32} {sparkline(points):40} step {one.step}", "dim"), soft_wrap=True)
    for text in dict.fromkeys(" ".join(filter(None, (alert.text, alert.hint))) for alert in alerts):
        console.print(Text(text, "yellow"), soft_wrap=True)
    for thing in produced:
        console.print(
            Text(f"{thing.what.replace('_', ' ')}: {thing.path}{_trained(root / thing.path)}"), soft_wrap=True
        )
        for name, value in thing.facts.items():
            if isinstance(value, float):
                console.print(Text(f"  {name} {value:.4g}"), soft_wrap=True)
    return 0


def _trained(folder: Path) -> str:
    """How much of a model a result holds, for the line that names it; "" for an export or a file."""
    facts = adapter_facts(folder)
    if not facts.about or not facts.parameters:
        return ""
    what = f"rank {facts.rank} in {', '.join(facts.targets)}" if facts.rank else "all weights"
    return f" ({facts.parameters:,} trained parameters: {what})"


def switch(word: str) -> Callable[..., int]:
    def throw_switch(run_id: RunId, project: InProject = None, as_json: AsJson = False) -> int:
        root = project_root(project)
        reader = RunsReader(root)
        try:
            row = find_run(reader, run_id)
        finally:
            reader.close()
        if not row.alive:
            raise StoreError(f"Run {row.id} is not going: it is {row.state}.")
        throw(root / "runs" / row.id, "resume" if word == "unpause" else word)
        said = json.dumps({"run": row.id, "asked": word}) if as_json else f"Run {row.id} has been asked to {word}."
        Console(highlight=False).out(said, highlight=False)
        return 0

    return throw_switch


def with_settings(text: str, settings: Sequence[str]) -> str:
    """A spec's JSON with `field=value` settings put in; a value is read as the type that the field has.

    Raises:
        SpecError: a setting that is not of that form, names no field, or has a value that cannot be read.
    """
    if not settings:
        return text
    try:
        body = json.loads(text)
    except json.JSONDecodeError:
        return text  # `spec_from_json` says what is wrong, and where
    task = TASKS.get(body.get("task", "")) if isinstance(body, dict) else None
    for setting in settings if task is not None else ():
        field, equals, value = setting.partition("=")
        if not equals:
            raise SpecError(field, f"{setting!r} is not of the form field=value.")
        if field not in {f.name for f in fields(task.spec)}:  # type: ignore[union-attr]
            names = ", ".join(sorted(f.name for f in fields(task.spec)))  # type: ignore[union-attr]
            raise SpecError(field, f"{task.spec.__name__} has no setting named {field!r}.", f"It has: {names}.")  # type: ignore[union-attr]
        body[field] = _read_value(task.spec, field, value)  # type: ignore[union-attr]
    return json.dumps(body, ensure_ascii=False)


def _read_value(spec_type: type[Any], field: str, text: str) -> Any:
    kind, optional = value_type(spec_type, field)
    if optional and text in ("", "null", "none"):
        return None
    if kind is str:
        return text
    if kind is tuple and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text.lower() if kind is bool else text)
    except json.JSONDecodeError as error:
        raise SpecError(field, f"{field} is {text!r}, which is not {kind.__name__}.") from error


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve in one line of text: at most `width` bars, each the mean of its share of the finite values."""
    bars = "▁▂▃▄▅▆▇█"
    size = max(1, math.ceil(len(values) / width))
    shares = [[v for v in values[i : i + size] if math.isfinite(v)] for i in range(0, len(values), size)]
    means = [sum(share) / len(share) if share else math.nan for share in shares]
    finite = [mean for mean in means if math.isfinite(mean)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    span = (high - low) or 1.0
    return "".join(bars[int((mean - low) / span * 7)] if math.isfinite(mean) else "·" for mean in means)


def _text_of(spec_file: Path) -> str:
    try:
        return sys.stdin.read() if str(spec_file) == "-" else spec_file.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError("", f"{spec_file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise SpecError("", f"{spec_file} is not UTF-8 text.") from error


def _table(rows: Sequence[RunRow], width: int) -> Table:
    """The list in so many characters. Where they are few, names and last values lose their ends; ids never do."""
    cells: dict[str, Callable[[RunRow], str]] = {
        "run": lambda row: row.id,
        "task": lambda row: row.task,
        "name": lambda row: row.name,
        "state": lambda row: row.state,
        "step": _step,
        "last": _headline,
        "begun": _begun,
    }
    widest = {title: max(len(title), *(len(cell(row)) for row in rows)) for title, cell in cells.items()}
    room = max(12, width - sum(widest[title] for title in cells if title not in ("name", "last")) - len(cells))
    widest["name"] = min(widest["name"], max(room // 2, room - widest["last"]))
    widest["last"] = min(widest["last"], room - widest["name"])
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for title in cells:
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=widest[title])
    for row in rows:
        style = _STATE_STYLES.get(row.state, "")
        table.add_row(*(Text(cell(row), style if title == "state" else "") for title, cell in cells.items()))
    return table


def _step(row: RunRow) -> str:
    return f"{row.step}/{row.total}" if row.total else str(row.step or "")


def _begun(row: RunRow) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(row.created))


def _charts(row: RunRow) -> tuple[str, ...]:
    return TASKS[row.task].charts if row.task in TASKS else ()


def _headline(row: RunRow) -> str:
    if row.state == "failed":
        return row.message
    name = next((name for name in _charts(row) if name in row.metrics), "")
    return f"{name} {row.metrics[name]:.4g}" if name else ""


def _row_body(row: RunRow) -> dict[str, Any]:
    body = {key: value for key, value in asdict(row).items() if key not in ("spec_json", "metrics")}
    metrics = _as_said(Metrics(row.step, row.metrics))["values"]
    return {**body, "spec": json.loads(row.spec_json), "metrics": metrics}


def _as_said(event: Event) -> dict[str, Any]:
    """An event's own fields as its line has them: {"float": "nan"} for what JSON has no word for."""
    body: dict[str, Any] = json.loads(Envelope("", 0, 0.0, event).to_json())
    return {name: value for name, value in body.items() if name not in ("run", "seq", "time", "kind")}
