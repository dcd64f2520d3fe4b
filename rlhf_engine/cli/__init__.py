"""The `rlhf` command: everything the window's engine does, from a terminal, in the same words and the same store."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rlhf_engine.cli.outcome import code_of, tell_error


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says. Returns the exit code; see `rlhf_engine.cli.outcome`."""
    asked = list(sys.argv[1:] if arguments is None else arguments)
    from rlhf_engine.cli.commands import app  # here, so that an import that fails is told like any other error

    try:
        return int(app(asked, prog_name="rlhf", standalone_mode=False) or 0)
    except (Exception, KeyboardInterrupt) as error:
        tell_error(error, as_json="--json" in asked)
        return code_of(error)
