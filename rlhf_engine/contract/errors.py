"""Every error the engine raises on purpose, sorted by who can mend it. Anything else that escapes is a bug."""

from __future__ import annotations


class EngineError(Exception):
    """Something a person can act on. `str(error)` says what happened; `hint` says what to try."""

    hint: str = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.hint


class SpecError(EngineError):
    """A setting is outside its range, or two settings contradict each other. `field` is the one to mark."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.field = field


class DataError(EngineError):
    """A file or dataset cannot be used as it is. The message names the file and, where there is one, the line."""


class ModelError(EngineError):
    """A model folder, adapter or tokenizer cannot be used as it is."""


class HubError(EngineError):
    """The Hugging Face Hub refused, or could not be reached."""


class CheckpointError(EngineError):
    """A checkpoint is missing, damaged, or belongs to other inputs than the run's."""


class StoreError(EngineError):
    """The project folder or one of its databases cannot be opened or written."""


class StoreDamaged(StoreError):
    """A database can no longer be read as it was written. `folder` is where it lies."""

    def __init__(self, message: str, hint: str = "", folder: str = "") -> None:
        super().__init__(message, hint)
        self.folder = folder


class ProjectLocked(StoreError):
    """Another process holds the project (or its runs)."""

    hint = "Close the other window, or open another project."


class DiskFull(EngineError):
    """There is no space left for something that must be written."""

    hint = "Free some space, then resume the run: everything up to the last checkpoint is safe."


class OutOfMemory(EngineError):
    """The device ran out of memory; the run is over but the process is healthy."""

    hint = "Lower the micro-batch size or the response length."


class NotFinite(EngineError):
    """A loss, gradient or logit became NaN or infinite."""

    hint = "Resume from the last checkpoint with a lower learning rate."


class DeviceLost(EngineError):
    """The driver reported an error it cannot recover from; only a fresh process can use the device again."""

    hint = "Restart the engine and resume the run. Everything recorded so far is safe."


class RunCancelled(Exception):
    """Raised at a safe point after someone asked the run to stop. Not an error."""


class RunSuspended(Exception):
    """Raised after a checkpoint, when someone asked the run to lie down and go on later. Not an error."""
