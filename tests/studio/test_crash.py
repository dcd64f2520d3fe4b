"""When we were wrong: one report, readable, and without anybody's secrets."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from PySide6.QtCore import qWarning
from PySide6.QtGui import QGuiApplication

from studio.crash import CrashReports, report_text


@pytest.fixture
def reports(studio_home: Any, qapp: Any) -> Iterator[CrashReports]:
    made = CrashReports()
    made.install()
    yield made
    made.remove()


def raised(text: str) -> tuple[Any, Any, Any]:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_a_second_error_is_added_to_the_first_report(reports: CrashReports, qtbot: Any) -> None:
    sys.excepthook(*raised("first with hf_abcdef123456"))
    qtbot.waitUntil(lambda: reports.dialog is not None)
    dialog = reports.dialog
    assert dialog is not None
    sys.excepthook(*raised("second"))
    qtbot.waitUntil(lambda: "second" in dialog.text.text())
    assert reports.dialog is dialog and not dialog.isModal()
    dialog.copy()
    copied = QGuiApplication.clipboard().text()
    assert "hf_…" in copied and "abcdef123456" not in copied and "PySide6" in copied
    dialog.close()


def test_an_error_on_another_thread_is_reported_on_this_one(reports: CrashReports, qtbot: Any) -> None:
    def fails() -> None:
        raise RuntimeError("from a thread")

    thread = threading.Thread(target=fails)
    thread.start()
    thread.join()
    qtbot.waitUntil(lambda: reports.dialog is not None)
    assert reports.dialog is not None and "from a thread" in reports.dialog.text.text()
    reports.dialog.close()


def test_what_qt_says_reaches_the_log_and_its_chatter_does_not(reports: CrashReports) -> None:
    qWarning("something odd")
    qWarning("This plugin does not support propagateSizeHints()")
    lines = "\n".join(reports.recent.lines)
    assert "something odd" in lines and "propagateSizeHints" not in lines


def test_a_fatal_error_would_be_written_to_a_file(reports: CrashReports, studio_home: Any) -> None:
    import faulthandler

    assert faulthandler.is_enabled() and (studio_home / "log" / "fatal.txt").exists()


def test_the_home_folder_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    text = report_text('File "/home/jane/x.py"', ["opened /home/jane/project"])
    assert "jane" not in text and "~/x.py" in text
