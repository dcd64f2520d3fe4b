"""How a project is judged: who sits here, how many pairs come back, how many are for everyone, and the rubric.

Kept as judging.json in the project's folder, so that it travels with the labels.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.store.database import store_errors

FILE = "judging.json"
RUBRIC = ("helpful", "honest", "harmless")
MOST_REPEATS = 0.25  # more would be work for nothing
MOST_ATTRIBUTES = 8


@dataclass(frozen=True, slots=True)
class JudgingSettings:
    """`repeats` is the share of pairs that come back unannounced, at least `apart` judgements later; 0 is none.

    `overlap` is the share of pairs that every annotator judges. `attributes` are judged beside the overall choice where
    `rubric` is on. `annotator` is "" until somebody has been asked.
    """

    annotator: str = ""
    repeats: float = 0.08
    apart: int = 20
    overlap: float = 0.1
    attributes: tuple[str, ...] = RUBRIC
    rubric: bool = False


def read_judging(root: Path) -> JudgingSettings:
    """The project's settings; what is missing, or cannot be, is as it comes.

    Raises:
        StoreError: the file is there and is no JSON object, or cannot be read.
    """
    file = root / FILE
    if not file.is_file():
        return JudgingSettings()
    with store_errors(file):
        text = file.read_bytes()
    try:
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise StoreError(f"{file} cannot be understood: {error}.", "Correct it, or delete it to begin anew.") from error
    known = {field.name for field in fields(JudgingSettings)}
    return _sound({name: value for name, value in told.items() if name in known})


def write_judging(root: Path, settings: JudgingSettings) -> JudgingSettings:
    """Keep them, and give back what is kept."""
    made = _sound(asdict(settings))
    unfinished = root / f".{FILE}.new"
    with store_errors(root / FILE):
        with unfinished.open("w", encoding="utf-8") as file:
            json.dump(asdict(made), file, ensure_ascii=False, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(root / FILE)
    return made


def _sound(told: dict[str, Any]) -> JudgingSettings:
    made = JudgingSettings()
    name = told.get("annotator")
    if isinstance(name, str):
        made = replace(made, annotator=_line(name, 60))
    made = replace(made, repeats=_share(told.get("repeats"), MOST_REPEATS, made.repeats))
    made = replace(made, overlap=_share(told.get("overlap"), 1.0, made.overlap))
    apart = told.get("apart")
    if isinstance(apart, int) and not isinstance(apart, bool):
        made = replace(made, apart=min(1000, max(1, apart)))
    names = told.get("attributes")
    if isinstance(names, list | tuple):
        words = [_line(word, 40) for word in names if isinstance(word, str)]
        made = replace(made, attributes=tuple(dict.fromkeys(word for word in words if word))[:MOST_ATTRIBUTES])
    return replace(made, rubric=told.get("rubric") is True)


def _share(value: Any, most: float, otherwise: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return otherwise
    return min(most, max(0.0, float(value)))


def _line(text: str, most: int) -> str:
    """One line of printable text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:most]
