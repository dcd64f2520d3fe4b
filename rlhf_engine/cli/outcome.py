"""What a command's end is called: exit codes by blame, and one sentence with what to try, on stderr."""

from __future__ import annotations

import json
import sys
import traceback

import typer

from rlhf_engine.contract.errors import (
    DataError,
    EngineError,
    ModelError,
    RunCancelled,
    RunSuspended,
    SpecError,
    StoreError,
)

DONE, FAILED, BAD_INPUT, NOT_FOUND, STOPPED, BUG, INTERRUPTED = 0, 1, 2, 3, 4, 70, 130
BUG_SENTENCE = "This is a bug in the engine."


def code_of(error: BaseException | None) -> int:
    """The exit code of a command, or of a run, that ended with `error`; None is a good end."""
    match error:
        case None:
            return DONE
        case RunCancelled() | RunSuspended():
            return STOPPED
        case KeyboardInterrupt() | typer.Abort():
            return INTERRUPTED
        case SpecError() | DataError() | ModelError():
            return BAD_INPUT
        case StoreError():
            return NOT_FOUND
        case EngineError():
            return FAILED
        case BrokenPipeError():
            return DONE  # `rlhf list | head` has seen enough
    if _is_usage(error):
        return BAD_INPUT
    from rlhf_engine.launch.execute import as_engine_error

    return FAILED if as_engine_error(error) is not None or isinstance(error, MemoryError) else BUG


def tell_error(error: BaseException, as_json: bool = False) -> None:
    if isinstance(error, KeyboardInterrupt | typer.Abort | BrokenPipeError):
        return
    if _is_usage(error) and not as_json:
        error.show()  # type: ignore[attr-defined]
        return
    sentence, hint, field = _words(error), getattr(error, "hint", ""), getattr(error, "field", "")
    bug = code_of(error) == BUG
    if as_json:
        body = {"error": sentence, "hint": BUG_SENTENCE if bug else hint, "field": field, "code": code_of(error)}
        if bug:
            body["traceback"] = "".join(traceback.format_exception(error))
        sys.stderr.write(json.dumps(body, ensure_ascii=False) + "\n")
        return
    if bug:
        sys.stderr.write("".join(traceback.format_exception(error)))
        hint = BUG_SENTENCE
    sys.stderr.write(f"{sentence}\n" + (f"{hint}\n" if hint else ""))


def _words(error: BaseException) -> str:
    if isinstance(error, EngineError):
        return str(error)
    if _is_usage(error):
        return str(error.format_message())  # type: ignore[attr-defined]
    return f"{type(error).__name__}: {error}"


def _is_usage(error: BaseException) -> bool:
    """A wrong option or argument, as the library that reads them says it; newer ones carry their own copy of click."""
    return hasattr(error, "format_message") and hasattr(error, "show")
