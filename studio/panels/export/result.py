"""What an export has become: where it is, how exactly it was verified, and how others load it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QWidget

from resources.starter import MODEL
from studio.panels.data.files import open_folder
from studio.panels.models.words import size
from studio.session import Session
from studio.theme.tokens import S2
from studio.widgets import Card, PlainLabel, PlainText, button, ghost_button, primary_button

# The line of the example that names the model: a folder, or what is fetched from the Hub in its place.
_FOLDER = re.compile(r'(^folder(?:, base)? = )(?:snapshot_download\()?"[^"\n]*"\)?', re.MULTILINE)


class ResultCard(Card):
    """`show_export(path, facts)` takes what the run produced."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Exported"), parent, icon="check-circle-outline")
        self._session = session
        self._folder = Path()
        self._url = ""
        self.path = PlainLabel(selectable=True, wrap=True)
        self.compared = PlainLabel(wrap=True, tone="good")
        self.numbers = PlainLabel(tone="muted", wrap=True)
        self.code = PlainText(mono=True, fit=True, most_lines=12)
        self.code.view.setAccessibleName(self.tr("How to load it"))
        self.page = primary_button(self.tr("Open on the Hub"), self._open_page, icon="open-in-new")
        actions = QHBoxLayout()
        actions.setSpacing(S2)
        actions.addWidget(self.page)
        actions.addWidget(button(self.tr("Show folder"), self._open_folder, icon="folder-outline"))
        actions.addWidget(button(self.tr("Copy how to load it"), self._copy, icon="content-copy"))
        actions.addStretch()
        self.add_action(ghost_button(self.tr("Close"), self.hide))
        for widget in (self.path, self.compared, self.numbers, self.code):
            self.add(widget)
        self.body.addLayout(actions)

    def show_export(self, path: str, facts: dict[str, Any]) -> None:
        root = self._session.root or Path()
        self._folder = root / path
        self._url = str(facts.get("url") or "")
        self.page.setVisible(bool(self._url))
        self.path.setText(self._url or str(self._folder))
        self.compared.setText(str(facts.get("compared") or ""))
        files = facts.get("files", [])
        self.numbers.setText(self.tr("{0} files, {1}").format(len(files), size(int(facts.get("bytes", 0)))))
        self.code.hide()
        self._session.in_background(partial(how_to_load, self._folder, bool(self._url)), self._show_code)
        self.show()

    def _show_code(self, code: str) -> None:
        self.code.set_text(code)
        self.code.setVisible(bool(code))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.code.text() or str(self._folder))
        self._session.toast(self.tr("Copied."), "info")

    def _open_folder(self) -> None:
        open_folder(self._folder)

    def _open_page(self) -> None:
        QDesktopServices.openUrl(QUrl(self._url))


def how_to_load(folder: Path, on_hub: bool) -> str:
    """The example of an export's card, with the folder as it is here unless it is on the Hub. Called on any thread."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(r"```python\n(.*?)\n```", text, re.DOTALL)
    if found is None:
        return ""
    code = found.group(1)
    if on_hub:
        return code
    here = json.dumps(str(folder), ensure_ascii=False)
    base = json.dumps(str(MODEL), ensure_ascii=False)  # "starter" is a name that only this program knows
    return _FOLDER.sub(lambda match: match.group(1) + here, code, count=1).replace(', "starter"\n', f", {base}\n")
