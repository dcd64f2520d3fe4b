"""What one set of settings changes in another: a preset in the defaults, a form in a preset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from rlhf_engine.contract.entries import plain_entries
from rlhf_engine.contract.fields import Param, about, reading_order

SOME, LONG = 3, 60  # members of a list, characters of a text, before they are shortened


@dataclass(frozen=True, slots=True)
class Change:
    """One setting. `before` and `after` are plain JSON values; `text()` is "Learning rate 1e-4 → 3e-5"."""

    name: str
    label: str
    before: Any
    after: Any
    unit: str = ""

    def text(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.label} {brief(self.before)} → {brief(self.after)}{unit}"


def defaults(spec_type: type[Any]) -> dict[str, Any]:
    """The settings of a spec that have a default, as plain values, in its order."""
    found = {}
    for f in fields(spec_type):
        said = about(f)
        value = f.default if f.default_factory is MISSING else f.default_factory()
        if said is not None and value is not MISSING:
            found[f.name] = plain_value(said, value)
    return found


def changes(spec_type: type[Any], after: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> list[Change]:
    """What `after` sets to something else than `before`, or than the defaults where that says nothing.

    Inputs are no settings: models, data, runs and files are left out. Names that the spec does not have too.
    """
    was = defaults(spec_type)
    told = {f.name: said for f in reading_order(spec_type) if (said := about(f)) is not None and not said.picks}
    was |= {name: plain_value(told[name], value) for name, value in (before or {}).items() if name in told}
    now = {name: plain_value(told[name], value) for name, value in after.items() if name in told}
    different = [name for name in told if name in now and name in was and now[name] != was[name]]
    return [Change(name, told[name].label, was[name], now[name], told[name].unit) for name in different]


def plain_value(said: Param, value: Any) -> Any:
    """A setting as the JSON value that it is kept as."""
    if said.entries:
        return list(plain_entries(said, value))
    return list(value) if isinstance(value, tuple) else value


def written(value: Any) -> str:
    """A setting's value as people write it, on one line."""
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return number(value, 1e-3)
        case "" | None | [] | ():
            return "none"
        case dict():  # an entry of a list
            rest = ", ".join(f"{name.replace('_', ' ')} {brief(v)}" for name, v in value.items() if name != "kind")
            return f"{value.get('kind', '')} ({rest})" if rest else str(value.get("kind", ""))
        case list() | tuple():
            return ("; " if any(isinstance(one, dict) for one in value) else ", ").join(map(written, value))
    return str(value)


def brief(value: Any) -> str:
    """`written` in few words: of a list its first members or the kinds of its entries, of a long text the beginning."""
    if isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value):
        return ", ".join(str(one.get("kind", "")) for one in value)
    if isinstance(value, list | tuple) and len(value) > SOME:
        return f"{written(value[:SOME])}, … ({len(value)})"
    text = written(value)
    return text if len(text) <= LONG else text[: LONG - 1] + "…"


def number(value: float, sci_below: float = 1e-4) -> str:
    """0.05, 32, 2e-4, 1.5e-5: as people write hyperparameters."""
    if value and (abs(value) < sci_below or abs(value) >= 1e7):
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.10g}"
