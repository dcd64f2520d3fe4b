"""What people said and what runs said: the only package that speaks SQL, and it speaks it through sqlite-utils."""

from __future__ import annotations

import importlib
import sys


def _load_sqlite_utils() -> None:
    """sqlite-utils imports pandas where it finds it, which would keep the window waiting for nothing we use."""
    if "pandas" in sys.modules or "sqlite_utils" in sys.modules:
        importlib.import_module("sqlite_utils")
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # None makes the import fail as if it were not installed
    try:
        importlib.import_module("sqlite_utils")
    finally:
        del sys.modules["pandas"]


_load_sqlite_utils()
