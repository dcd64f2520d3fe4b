"""What happens when we were wrong: one readable report with a copy button, instead of a window that vanishes."""

from __future__ import annotations

import faulthandler
import logging
import logging.handlers
import platform
import sys
import threading
import traceback
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import IO

from PySide6.QtCore import QMessageLogContext, QObject, Qt, QtMsgType, Signal, Slot, qInstallMessageHandler, qVersion
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QDialog, QHBoxLayout, QVBoxLayout, QWidget

from studio.settings import user_folder
from studio.theme.tokens import S3, S4
from studio.widgets.buttons import button, primary_button
from studio.widgets.labels import PlainLabel
from studio.widgets.plain_text import PlainText
from studio.widgets.surfaces import redacted

log = logging.getLogger("studio")
_QUIET = ("propagateSizeHints",)  # what Qt's offscreen platform repeats


class Recent(logging.Handler):
    """The last lines of the log, for the report."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.lines: deque[str] = deque(maxlen=40)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class CrashReports(QObject):
    """Catches what nobody caught, on any thread, and shows it on the window's. There is never a second dialog: what
    follows is added to the first.
    """

    _caught = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.recent = Recent()
        self.dialog: ReportDialog | None = None
        self._file: IO[str] | None = None
        self._before = (sys.excepthook, threading.excepthook)
        self._caught.connect(self._show, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Hook into Python, its threads, Qt's messages and fatal signals; the log goes to a file too."""
        logging.getLogger().addHandler(self.recent)
        sys.excepthook = self._python
        threading.excepthook = self._thread
        qInstallMessageHandler(_qt_message)
        folder = user_folder("log")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / "fatal.txt").open("a", encoding="utf-8")
            faulthandler.enable(self._file)
        except OSError as error:
            log.warning("Fatal errors cannot be written to %s: %s", folder, error)

    def remove(self) -> None:
        sys.excepthook, threading.excepthook = self._before
        qInstallMessageHandler(None)
        logging.getLogger().removeHandler(self.recent)
        if self._file is not None:
            faulthandler.disable()
            self._file.close()
            self._file = None
        if self.dialog is not None:
            self.dialog.close()

    def report(self, error: BaseException) -> None:
        """Show a report of an error that was caught; call it on any thread."""
        self._python(type(error), error, error.__traceback__)

    def _python(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        text = "".join(traceback.format_exception(kind, error, trace))
        log.error("An error that nobody caught:\n%s", text)
        self._caught.emit(text)

    def _thread(self, args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and args.exc_type is not SystemExit:
            self._python(args.exc_type, args.exc_value, args.exc_traceback)

    @Slot(str)
    def _show(self, text: str) -> None:
        if self.dialog is not None and self.dialog.isVisible():
            self.dialog.add(text)
            return
        self.dialog = ReportDialog(report_text(text, list(self.recent.lines)), QApplication.activeWindow())
        self.dialog.show()


class ReportDialog(QDialog):
    """Not modal: labels can still be saved and runs still be stopped behind it."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Error report"))
        self.resize(720, 480)
        self._more = 0
        self.text = PlainText(text, mono=True)
        self.count = PlainLabel(tone="muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S4, S4, S4, S4)
        layout.setSpacing(S3)
        layout.addWidget(PlainLabel(self.tr("Something went wrong in the studio"), bold=True, size=1.2))
        said = self.tr("This is a bug. Your labels and runs are safe. The report below holds no prompts and no tokens.")
        layout.addWidget(PlainLabel(said, wrap=True))
        layout.addWidget(self.text, 1)
        row = QHBoxLayout()
        row.addWidget(self.count, 1)
        row.addWidget(primary_button(self.tr("Copy report"), self.copy, icon="content-copy"))
        row.addWidget(button(self.tr("Close"), self.close))
        layout.addLayout(row)

    def add(self, text: str) -> None:
        self._more += 1
        self.count.setText(self.tr("and {0} more").format(self._more))
        if self._more <= 20:
            self.text.set_text(f"{self.text.text()}\n\n{redacted(text)}")

    def copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text.text())


def report_text(trace: str, recent: list[str]) -> str:
    """Everything that helps to find a bug, without tokens and without the name of the home folder."""
    from rlhf_engine.machine import package_version

    names = ("rlhf-studio", "PySide6_Essentials", "pyqtgraph", "torch", "transformers", "peft")
    versions = ", ".join(f"{name} {package_version(name) or '-'}" for name in names)
    head = f"{platform.platform()}, Python {platform.python_version()}, Qt {qVersion()}\n{versions}"
    tail = "\n".join(recent)
    return redacted(f"{trace.strip()}\n\n{head}\n\nLast lines of the log:\n{tail}")


def log_to_file(folder: Path) -> logging.Handler:
    """The window's own log, at most three files of one megabyte."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(
        folder / "studio.log", maxBytes=1_000_000, backupCount=2, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    return handler


def _qt_message(kind: QtMsgType, context: QMessageLogContext, text: str) -> None:  # noqa: ARG001
    if any(word in text for word in _QUIET):
        return
    levels = {
        QtMsgType.QtDebugMsg: logging.DEBUG,
        QtMsgType.QtInfoMsg: logging.INFO,
        QtMsgType.QtWarningMsg: logging.WARNING,
    }
    logging.getLogger("qt").log(levels.get(kind, logging.ERROR), "%s", text)
