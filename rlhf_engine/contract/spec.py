"""What every spec promises, whatever its task, and how specs become JSON and come back."""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields
from typing import Any, ClassVar, Protocol

from rlhf_engine.contract.errors import SpecError


class Spec(Protocol):
    """A frozen dataclass, checked on construction and complete: the same JSON gives the same run anywhere."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seed(self) -> int: ...

    @property
    def total_steps(self) -> int:
        """How far the progress bar runs; 0 when that is only known once the data is read."""
        ...


def spec_body(spec: Spec) -> dict[str, Any]:
    """The fields of a spec as plain JSON values."""
    body: dict[str, Any] = json.loads(json.dumps(asdict(spec)))
    return body


def build_spec(spec_type: type[Any], body: dict[str, Any]) -> Any:
    """A spec from its JSON fields.

    Raises:
        SpecError: an unknown or missing field, a wrong type, or a value out of range. It names the field.
    """
    known = {f.name: f for f in fields(spec_type)}
    for name in body:
        if name not in known:
            close = ", ".join(sorted(known))
            raise SpecError(name, f"{spec_type.__name__} has no setting named {name!r}.", f"It has: {close}.")
    for name, f in known.items():
        if name not in body and f.default is MISSING and f.default_factory is MISSING:
            raise SpecError(name, f"The setting {name!r} is missing.")
    return spec_type(**body)
