"""One place to say what a hyperparameter is: its default, its range, its unit, its meaning and where it comes from.

The same declaration feeds the spec's own validation, the form in the studio, the command line and the help pages,
so none of them can disagree.
"""

from __future__ import annotations

import inspect
import math
import types
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from rlhf_engine.contract.errors import SpecError

Pick = Literal["", "model", "reward_model", "dataset", "run", "file", "folder", "code"]


@dataclass(frozen=True, slots=True)
class EntryKind:
    """One kind of entry that a list may hold. `type` is a frozen dataclass whose field `kind` is `key` by default and
    whose other fields carry a `Param` each; it checks itself."""

    key: str
    title: str
    summary: str
    type: type[Any]


@dataclass(frozen=True, slots=True)
class Param:
    """What a person needs to know to set one field. `between` is inclusive at both ends.

    `picks` is not empty for inputs that are chosen from what the project has, rather than typed; for datasets,
    `kind` says which records it must hold; "code" is a Python file that will be run. `advanced` fields are folded away
    until asked for. A field with `entries` is a list of such entries, each with settings of its own: in JSON, objects
    with a "kind".
    """

    label: str
    help: str
    group: str = "Basics"
    between: tuple[Any, Any] = (None, None)
    unit: str = ""
    log_scale: bool = False
    choices: tuple[str, ...] = ()
    advanced: bool = False
    multiline: bool = False
    picks: Pick = ""
    kind: str = ""
    source: str = ""
    entries: tuple[EntryKind, ...] = ()


def param(default: Any, label: str, help: str, **about: Any) -> Any:
    """A dataclass field that carries its own `Param`."""
    return field(default=default, metadata={"param": Param(label, help, **about)})


def choose(picks: Pick, label: str, help: str, default: Any = MISSING, **about: Any) -> Any:
    """An input: chosen from the project's models, datasets or runs. Without `default` it must be given."""
    metadata = {"param": Param(label, help, group="Inputs", picks=picks, **about)}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def about(f: Field[Any]) -> Param | None:
    """The `Param` of a dataclass field, or None for a field that nobody sets by hand."""
    found: Param | None = f.metadata.get("param")
    return found


def inputs(spec_type: type[Any]) -> list[Param]:
    """All that a spec lets a person choose from what the project has, in its own fields and in its lists of entries."""
    told = [said for said in map(about, fields(spec_type)) if said is not None]
    inner = [one for said in told for kind in said.entries for one in inputs(kind.type)]
    return [said for said in told if said.picks] + inner


def reading_order(spec_type: type[Any]) -> list[Field[Any]]:
    """Inputs, then basics, then the rest; in each, from what a family of specs shares to what the spec adds, and last
    what all of them share: the settings of the root class."""
    kinds = [kind for kind in reversed(spec_type.__mro__) if inspect.get_annotations(kind)]
    kinds = kinds[1:] + kinds[:1] if len(kinds) > 1 else kinds
    declared = {name: (at, n) for at, kind in enumerate(kinds) for n, name in enumerate(inspect.get_annotations(kind))}
    rank = {"Inputs": 0, "Basics": 1}

    def place(f: Field[Any]) -> tuple[int, int, int]:
        said = about(f)
        return (rank.get(said.group, 2) if said is not None else 3, *declared[f.name])

    return sorted(fields(spec_type), key=place)


def value_type(spec_type: type[Any], name: str) -> tuple[type[Any], bool]:
    """The plain type of a field (int, float, bool, str or tuple) and whether None is allowed."""
    hint = _hints(spec_type)[name]  # type: ignore[arg-type]  # a class is hashable, whatever its metaclass
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        optional = len(parts) < len(get_args(hint))
        hint = parts[0]
    return (get_origin(hint) or hint), optional


@cache  # evaluating them anew for each of seventy fields takes longer than drawing a form
def _hints(spec_type: type[Any]) -> dict[str, Any]:
    return get_type_hints(spec_type)


def check(spec: Any) -> None:
    """Raise SpecError for the first field of `spec` that has the wrong type or is outside its declared range, and then
    for fields that contradict each other, where the spec has a `check_together` that says so."""
    for f in fields(spec):
        param_ = about(f)
        if param_ is None:
            continue
        kind, optional = value_type(type(spec), f.name)
        value = getattr(spec, f.name)
        if value is None and optional:
            continue
        value = _typed(spec, f.name, value, kind, param_)
        if param_.picks and f.default is MISSING and isinstance(value, str) and not value.strip():
            raise SpecError(f.name, f"{param_.label} has not been chosen.")
        if param_.choices and value not in param_.choices:
            raise SpecError(f.name, f"{param_.label} is {value!r}, but must be one of {', '.join(param_.choices)}.")
        low, high = param_.between
        if low is not None and not low <= value <= high:
            raise SpecError(f.name, f"{param_.label} is {value}, but must be between {low} and {high}.")
    together = getattr(spec, "check_together", None)
    if together is not None:
        together()


def _typed(spec: Any, name: str, value: Any, kind: type[Any], param_: Param) -> Any:
    """`value` as its declared type: JSON knows no tuples and writes 1 for 1.0; anything else is refused."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
        object.__setattr__(spec, name, value)
    if kind is tuple and isinstance(value, list | tuple):
        numbered = enumerate(value, 1)
        value = tuple(_entry(name, param_, n, one) if param_.entries else one for n, one in numbered)
        object.__setattr__(spec, name, value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", tuple: "a list"}
        raise SpecError(name, f"{param_.label} is {value!r}, but must be {words.get(kind, kind.__name__)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(name, f"{param_.label} is {value}, but must be a finite number.")
    return value


def _entry(name: str, param_: Param, number: int, value: Any) -> Any:
    """One entry of a list as its dataclass. Raises SpecError that names the list's field and the entry."""
    types_ = {kind.key: kind.type for kind in param_.entries}
    if type(value) in types_.values():
        return value
    where = f"{param_.label}, entry {number}"
    if not isinstance(value, dict) or value.get("kind") not in types_:
        found = value.get("kind") if isinstance(value, dict) else value
        raise SpecError(name, f"{where}: there is no kind {found!r}.", f"Known are {', '.join(types_)}.")
    made = types_[value["kind"]]
    known = {f.name: f for f in fields(made)}
    if unknown := sorted(value.keys() - known.keys()):
        raise SpecError(name, f"{where} has no setting named {unknown[0]!r}.", f"It has: {', '.join(known)}.")
    if missing := [f for f in known if f not in value and known[f].default is MISSING]:
        raise SpecError(name, f"{where}: the setting {missing[0]!r} is missing.")
    try:
        return made(**value)
    except SpecError as error:
        raise SpecError(name, f"{where}: {error}", error.hint) from error
