"""How another process talks to a run: it appends a line to `runs/<id>/control.json`, which the run's process reads."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from types import TracebackType

from rlhf_engine.contract.control import COMMANDS, RunControl
from rlhf_engine.contract.errors import StoreError

NAME = "control.json"
log = logging.getLogger(__name__)


def throw(folder: Path, command: str, value: float = 0.0) -> None:
    """Ask the run whose folder this is, in whatever process, to pause, resume, cancel, suspend or change its rate.

    Raises:
        StoreError: the run has no folder, or it cannot be written.
    """
    if command not in COMMANDS:
        raise ValueError(f"{command!r} is not one of {', '.join(COMMANDS)}")
    try:
        with (folder / NAME).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"command": command, "value": value}) + "\n")
    except OSError as error:
        raise StoreError(f"{folder / NAME} cannot be written: {error.strerror}.") from error


class ControlFile:
    """Within `with`, obeys what others write into a run's control file, at most `every` seconds later."""

    def __init__(self, folder: Path, control: RunControl, every: float = 0.1) -> None:
        self._path = folder / NAME
        self._control = control
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="rlhf-control-file", daemon=True)

    def __enter__(self) -> ControlFile:
        self._path.unlink(missing_ok=True)  # what was meant for an earlier life of the run
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _listen(self) -> None:
        read = 0
        while not self._over.wait(self._every):
            try:
                text = self._path.read_bytes()[read:]
            except OSError:
                continue  # nobody has written yet
            whole = text[: text.rfind(b"\n") + 1]  # the last line may still be being written
            read += len(whole)
            for line in whole.splitlines():
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            body = json.loads(line)
            self._control.obey(str(body["command"]), float(body.get("value", 0.0)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("%s: %r is no command (%s).", self._path, line[:200], error)
