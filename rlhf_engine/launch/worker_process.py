"""A worker process seen from outside: how it is started, written to, heard, let go and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import rlhf_engine
from rlhf_engine.launch.worker_streams import LOG, rotate


class WorkerProcess:
    """Starts at once. `hear(line)` and `gone(exit code)` are handed to `call`, so that they happen on its thread."""

    def __init__(
        self,
        project_root: Path,
        call: Callable[[Callable[[], None]], None],
        hear: Callable[[str], None],
        gone: Callable[[int], None],
        command: Sequence[str] = (),
    ) -> None:
        self.log = project_root / LOG
        self.gone = False
        self._call, self._hear, self._tell_gone = call, hear, gone
        project_root.mkdir(parents=True, exist_ok=True)
        rotate(self.log)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*(command or worker_command()), "--project", str(project_root)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                start_new_session=True,  # neither Ctrl-C in a terminal nor the window's end reaches it
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        self.pid = self._process.pid
        self._thread = threading.Thread(target=self._listen, name="rlhf-engine-pipe", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """One line to its stdin. A dead worker does not hear it; `gone` is on its way."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(line.encode("utf-8", "replace") + b"\n")
            self._process.stdin.flush()

    def let_go(self) -> None:
        """Close its stdin: it finishes the kept run that it is doing, and ends. What it says is no longer heard."""
        self._call = lambda _news: None
        self.close_stdin()

    def close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def kill(self) -> None:
        """End it and what it has started. Only for a worker that did not end when asked."""
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)  # its own group, since it leads its own session
        else:
            self._process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace")
            self._call(lambda line=line: self._hear(line))  # type: ignore[misc]
        code = self._process.wait()
        self._process.stdout.close()
        self.close_stdin()
        self.gone = True
        self._call(lambda: self._tell_gone(code))


def worker_command() -> list[str]:
    """How to start a worker: with this Python, or, in a bundled application, with the application itself."""
    if getattr(sys, "frozen", False):
        return [sys.executable, "--rlhf-worker"]
    return [sys.executable, "-m", "rlhf_engine.launch.worker"]


def ending_in_words(code: int) -> str:
    """What became of a process with this exit code; negative is minus the number of the signal that ended it."""
    if code >= 0:
        return f"The engine process ended with exit code {code}."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    memory = " The system does that when memory runs out." if name == "SIGKILL" else ""
    return f"The engine process was ended by {name}.{memory}"


def _environment() -> dict[str, str]:
    """Ours, with this very package first in line, wherever it was imported from."""
    home = str(Path(rlhf_engine.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
