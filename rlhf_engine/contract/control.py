"""How the outside talks to a run: switches thrown from any thread, felt by the loop at its next safe point."""

from __future__ import annotations

import threading

COMMANDS = ("pause", "resume", "cancel", "suspend", "learning_rate")


class RunControl:
    """One run's switches. A fresh one for every run; those of a run that has ended are connected to nothing."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._suspended = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._lock = threading.Lock()
        self._knobs: dict[str, float] = {}

    def cancel(self) -> None:
        self._cancelled.set()
        self._going.set()  # a paused run must wake up to be cancelled

    def suspend(self) -> None:
        """Ask the run to save a checkpoint at its next update boundary, and end as `suspended`."""
        self._suspended.set()
        self._going.set()

    def pause(self) -> None:
        self._going.clear()

    def resume(self) -> None:
        self._going.set()

    def turn(self, knob: str, value: float) -> None:
        """Change a live setting at the next safe point; the run says so with a KnobChanged."""
        with self._lock:
            self._knobs[knob] = value

    def turned(self) -> dict[str, float]:
        """The knobs turned since the last call."""
        with self._lock:
            knobs, self._knobs = self._knobs, {}
        return knobs

    def obey(self, command: str, value: float = 0.0) -> None:
        """Throw the switch named by a word that came over a pipe or from a file; unknown words are refused."""
        match command:
            case "pause":
                self.pause()
            case "resume":
                self.resume()
            case "cancel":
                self.cancel()
            case "suspend":
                self.suspend()
            case "learning_rate":
                self.turn("learning_rate", value)
            case _:
                raise ValueError(f"{command!r} is not one of {', '.join(COMMANDS)}")

    @property
    def paused(self) -> bool:
        return not self._going.is_set()

    def wait_until_going(self) -> None:
        self._going.wait()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    @property
    def suspended(self) -> bool:
        return self._suspended.is_set()
