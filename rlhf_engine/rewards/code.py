"""A reward function from a file that a person wrote, run only when exactly its content has been agreed to."""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from rlhf_engine.consent import agreed, not_agreed, read
from rlhf_engine.contract.errors import DataError, SpecError

Function = Callable[[str, str, str | None], float]


def load_function(path: str, name: str) -> Function:
    """The function `name` of a Python file, checked to give a finite number whenever it is called.

    Raises:
        SpecError: nobody has agreed to run this content, the file does not run, or has no such function.
        DataError: the file cannot be read; or, when called, the function failed or gave no finite number.
    """
    file = Path(path).expanduser()
    source, digest = read(file)
    if not agreed(digest):
        raise not_agreed(file, digest)
    module = _run(file, source)
    found = getattr(module, name, None)
    if not callable(found):
        known = ", ".join(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        raise SpecError("rewards", f"{file} has no function {name!r}.", f"It has: {known or 'none'}.")
    return _checked(found, file, name)


class _Agreed(SourceLoader):
    """Loads exactly the bytes it was given: what is hashed is what is run, and nothing is cached on disk."""

    def __init__(self, file: Path, source: bytes) -> None:
        self._file, self._source = file, source

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002
        return str(self._file)

    def get_data(self, path: str | bytes) -> bytes:  # noqa: ARG002
        return self._source


def _run(file: Path, source: bytes) -> ModuleType:
    module = ModuleType("reward_file")
    module.__file__ = str(file)
    try:
        _Agreed(file, source).exec_module(module)
    except Exception as error:  # a person's own code can fail in any way; the sentence says where
        raise SpecError("rewards", f"{file} cannot be run: {_told(error, file)}", "Mend the file.") from error
    return module


def _checked(function: Callable[..., Any], file: Path, name: str) -> Function:
    def call(prompt: str, answer: str, reference: str | None) -> float:
        try:
            value = function(prompt, answer, reference)
        except Exception as error:  # as above
            raise DataError(
                f"{name} in {file} failed on the answer {answer[:80]!r}: {_told(error, file)}", "Mend the function."
            ) from error
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise DataError(
                f"{name} in {file} returned {value!r} for the answer {answer[:80]!r}, not a finite number.",
                "Return a float.",
            )
        return float(value)

    return call


def _told(error: BaseException, file: Path) -> str:
    """The error with the line of the file that raised it."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    number = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else (lines[-1] if lines else None)
    return f"{type(error).__name__}: {error}" + (f" (line {number})" if number else "")
