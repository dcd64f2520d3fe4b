"""The way in: says in the terminal why there can be no window, or opens it. Only Qt is imported before it is drawn."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

    from studio.crash import CrashReports
    from studio.main_window import MainWindow


def main(arguments: Sequence[str] | None = None) -> int:
    asked = parse(sys.argv[1:] if arguments is None else arguments)
    problem = obstacle()
    if problem:
        _say(problem)
        return 2
    choose_input_method()
    app, window, reports = open_window(asked)
    code = int(app.exec())
    reports.remove()
    del window
    return code


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "rlhf-studio", description="RLHF on one machine: prompts, demonstrations, comparisons, reward models, PPO."
    )
    parser.add_argument("--project", type=Path, metavar="DIR", help="open this project; it is created if there is none")
    parser.add_argument("--starter", action="store_true", help="open the sample project in the user's data folder")
    parser.add_argument("--version", action="version", version=_version())
    return parser.parse_args(list(arguments))


def obstacle() -> str:
    """Why no window can be opened here, with what to do about it; empty when one can."""
    from rlhf_engine import qt_libraries

    chosen = os.environ.get("QT_QPA_PLATFORM", "")  # tests and screenshots choose offscreen on purpose
    if not chosen and not qt_libraries.has_display(os.environ, sys.platform):
        return (
            "There is no display here: neither DISPLAY nor WAYLAND_DISPLAY is set.\n"
            "Work in the terminal with `rlhf --help`, or log in with a desktop (ssh -X, a remote desktop)."
        )
    if sys.platform.startswith("linux"):
        missing = qt_libraries.missing_libraries(qt_libraries.plugins_in_use(os.environ))
        if missing:
            names = ", ".join(library.soname for library in missing)
            command = qt_libraries.install_command(missing)
            fix = f"Install them:\n  sudo {' '.join(command)}" if command else "Install the packages that hold them."
            return f"Qt cannot start: these system libraries are missing: {names}.\n{fix}"
    try:
        from PySide6 import QtWidgets  # noqa: F401
    except ImportError as error:
        return f"Qt cannot be loaded: {error}.\nInstall it: {sys.executable} -m pip install PySide6-Essentials"
    return (
        ""
        if not loses_references()
        else (
            "This PySide6 loses references and would end the program without a word after a while.\n"
            f"Install another one: {sys.executable} -m pip install 'PySide6-Essentials>=6.10,<6.12'"
        )
    )


def loses_references() -> bool:
    """PySide6 6.12 on Python below 3.12 drops a reference to None at every call that returns nothing."""
    from PySide6.QtGui import QPen

    pen, before = QPen(), sys.getrefcount(None)
    for _ in range(200):
        pen.setWidth(1)
    return before - sys.getrefcount(None) > 100


def choose_input_method() -> None:
    """The wheel of PySide6 has no plugin for fcitx, but fcitx answers to the name of IBus as well."""
    wanted = os.environ.get("QT_IM_MODULE", "") or os.environ.get("XMODIFIERS", "").removeprefix("@im=")
    if not wanted.startswith("fcitx"):
        return
    import PySide6

    plugins = Path(PySide6.__file__).parent / "Qt" / "plugins" / "platforminputcontexts"
    if not any("fcitx" in plugin.name for plugin in plugins.glob("*")):
        os.environ["QT_IM_MODULE"] = "ibus"


def open_window(asked: argparse.Namespace) -> tuple[QApplication, MainWindow, CrashReports]:
    """Show the window; what it shows is opened after it has been painted."""
    from PySide6.QtGui import QIcon
    from PySide6.QtWidgets import QApplication

    from studio.settings import Settings, user_folder

    running = QApplication.instance()
    app = running if isinstance(running, QApplication) else QApplication(["rlhf-studio"])
    app.setApplicationName("RLHF Studio")
    app.setDesktopFileName("rlhf-studio")
    settings = Settings.load()
    translate(app, settings.language)

    import logging

    from studio.crash import CrashReports, log_to_file
    from studio.frame.drawer import LogLines
    from studio.garbage import GarbageCollector
    from studio.main_window import MainWindow
    from studio.session import Session
    from studio.theme import theme

    theme().apply(settings.theme, settings.font_scale)
    reports = CrashReports(app)
    reports.install()
    lines = LogLines()
    logging.getLogger().addHandler(lines)
    try:
        log_to_file(user_folder("log"))
    except OSError as error:
        _say(f"The log cannot be written: {error}")
    session = Session(settings)
    window = MainWindow(session, lines)
    window.report = reports.report
    window.setWindowIcon(QIcon(str(Path(__file__).parent.parent / "resources" / "icons" / "rlhf-studio.svg")))
    window.closed.connect(app.quit)
    window.painted.connect(lambda: window.start(lambda: open_first(session, asked)))
    window.show()
    garbage = GarbageCollector(window)  # its timer also lets Ctrl-C in the terminal be heard
    window.closed.connect(garbage.stop)
    return app, window, reports


def open_first(session: object, asked: argparse.Namespace) -> None:
    """The project asked for; else the last one; else, on the first start, the sample. Raises StoreError."""
    from PySide6.QtCore import QCoreApplication

    from rlhf_engine.contract.errors import StoreError
    from rlhf_engine.store.project import is_project
    from studio.main_window import open_sample
    from studio.session import Session

    assert isinstance(session, Session)
    if asked.project is not None:
        root = asked.project.expanduser().absolute()
        session.open_project(root) if is_project(root) else session.create_project(root, root.name)
        return
    last = session.settings.last_project
    if asked.starter or not last:
        open_sample(session)
    elif is_project(Path(last)):
        session.open_project(Path(last))
    else:
        translate_ = QCoreApplication.translate
        raise StoreError(
            translate_("MainWindow", "The project of last time is no longer at {0}.").format(last),
            translate_("MainWindow", "If it was moved, open it where it is now."),
        )


def translate(app: QApplication, language: str) -> None:
    """Load the words of a language, where there is a translation of ours, and Qt's own for its dialogs."""
    from PySide6.QtCore import QLibraryInfo, QLocale, QTranslator

    locale = QLocale(language) if language else QLocale.system()
    folder = Path(__file__).parent.parent / "resources" / "i18n"
    qt_folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    ours = QTranslator(app)
    if folder.is_dir() and ours.load(locale, "studio", "_", str(folder)):
        app.installTranslator(ours)
        theirs = QTranslator(app)
        if theirs.load(locale, "qtbase", "_", qt_folder):
            app.installTranslator(theirs)


def _version() -> str:
    from importlib import metadata

    try:
        return f"RLHF Studio {metadata.version('rlhf-studio')}"
    except metadata.PackageNotFoundError:
        return "RLHF Studio, not installed"


def _say(text: str) -> None:
    if sys.stderr is not None:  # a window started from a menu has no terminal
        sys.stderr.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
