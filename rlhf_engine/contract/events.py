"""What a run says while it works. The studio, the command line and the store all read exactly these.

An event is a plain, frozen, JSON-able value: it can cross a thread, a pipe or a restart and mean the same. Loops emit
bodies; a `Reporter` wraps each in an `Envelope` that says which run, in what order and when.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, get_args


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The first event of a run, and again when it is resumed: everything said after `from_step` is then forgotten."""

    task: str
    total_steps: int
    from_step: int = 0
    hardware: str = ""
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """What is going on between metrics: loading, rolling out, evaluating. `total` 0 means that nobody knows."""

    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Scalars measured at optimiser step (or update) `step`, already averaged over processes."""

    step: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt with what the model now answers, what it is scored, and per-token numbers by name."""

    step: int
    prompt: str
    completion: str
    score: float | None = None
    reference: str = ""
    tokens: tuple[str, ...] = ()
    per_token: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Curve:
    """Points that belong together at one step, such as a reliability curve: equally long columns, the first is x."""

    step: int
    name: str
    columns: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Text:
    """The next piece of answer number `answer` while it is being written.

    `tokens` holds one entry per token: {"text", "logprob", "top": [[text, logprob], ...]}. `finish` is empty until
    the answer has ended, then "eos", "length" or "stop".
    """

    answer: int
    piece: str
    tokens: tuple[dict[str, Any], ...] = ()
    finish: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    step: int
    path: str


@dataclass(frozen=True, slots=True)
class KnobChanged:
    """A setting was changed while the run was going."""

    step: int
    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Alert:
    """Something a person should look at. `level` is info, warning or danger."""

    level: str
    text: str
    hint: str = ""
    step: int = 0


@dataclass(frozen=True, slots=True)
class Produced:
    """The run made something that outlives it.

    `what` is adapter, reward_model, dataset, check, export, model or answers.
    `path` is relative to the project where it lies inside it; `facts` are JSON values worth showing beside it.
    """

    what: str
    path: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPaused:
    pass


@dataclass(frozen=True, slots=True)
class RunResumed:
    pass


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The last event, whatever happened. `outcome` is completed, cancelled, suspended or failed."""

    outcome: str
    message: str = ""
    hint: str = ""
    traceback: str = field(default="", repr=False)


Event = (
    RunStarted
    | Stage
    | Metrics
    | Sample
    | Curve
    | Text
    | CheckpointSaved
    | KnobChanged
    | Alert
    | Produced
    | RunPaused
    | RunResumed
    | RunFinished
)
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(Event)}


@dataclass(frozen=True, slots=True)
class Envelope:
    """`seq` counts from 0 within a run with no gaps, so a reader can tell that it has missed nothing."""

    run_id: str
    seq: int
    time: float
    event: Event

    def to_json(self) -> str:
        """One line of JSON. NaN and infinities travel as {"float": "nan"}, since JSON has no word for them."""
        head = {"run": self.run_id, "seq": self.seq, "time": self.time, "kind": type(self.event).__name__}
        return json.dumps(_plain({**head, **asdict(self.event)}), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Envelope:
        body = json.loads(line, object_hook=_revive)
        run, seq, time, kind = (body.pop(key) for key in ("run", "seq", "time", "kind"))
        return cls(run, seq, time, _tuples(KINDS[kind](**body)))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def _revive(body: dict[str, Any]) -> Any:
    return float(body["float"]) if body.keys() == {"float"} else body


def _tuples(event: Any) -> Any:
    """JSON gives lists back; the events say tuples."""
    if isinstance(event, Sample):
        per_token = {name: tuple(values) for name, values in event.per_token.items()}
        return Sample(
            event.step, event.prompt, event.completion, event.score, event.reference, tuple(event.tokens), per_token
        )
    if isinstance(event, Curve):
        return Curve(event.step, event.name, {name: tuple(values) for name, values in event.columns.items()})
    return Text(event.answer, event.piece, tuple(event.tokens), event.finish) if isinstance(event, Text) else event
