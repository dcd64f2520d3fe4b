"""The dialog for a new project: its name, its folder, and whether it begins with the sample data."""

from __future__ import annotations

import re
from pathlib import Path

from PySide6.QtWidgets import QCheckBox, QDialog, QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from studio.theme.tokens import CONTROL, S3, S6
from studio.widgets.buttons import button, primary_button
from studio.widgets.labels import PlainLabel


class NewProject(QDialog):
    def __init__(self, projects: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._projects = projects
        self.setWindowTitle(self.tr("New project"))
        self.setMinimumWidth(520)
        self.line = QLineEdit()
        self.line.setPlaceholderText(self.tr("Helpful assistant"))
        self.place = QLineEdit(str(projects))
        self.samples = QCheckBox(self.tr("Begin with the sample prompts and comparisons"))
        self.said = PlainLabel(tone="muted", wrap=True)
        form = QFormLayout()
        form.setSpacing(S3)
        form.addRow(_label(self.tr("Name")), self.line)
        where = QHBoxLayout()
        where.addWidget(self.place, 1)
        where.addWidget(button(self.tr("Browse…"), self._browse))
        form.addRow(_label(self.tr("In folder")), where)
        form.addRow("", self.samples)
        form.addRow("", self.said)
        self.create_ = primary_button(self.tr("Create project"), self.accept)
        self.create_.setDefault(True)
        row = QHBoxLayout()
        row.addStretch()
        row.addWidget(button(self.tr("Cancel"), self.reject))
        row.addWidget(self.create_)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S6, S6, S6, S3)
        layout.setSpacing(S3)
        layout.addLayout(form)
        layout.addLayout(row)
        self.line.textChanged.connect(lambda: self._check())
        self.place.textChanged.connect(lambda: self._check())
        self._check()

    def name(self) -> str:
        return self.line.text().strip()

    def folder(self) -> Path:
        return Path(self.place.text()).expanduser() / folder_name(self.name())

    def with_samples(self) -> bool:
        return self.samples.isChecked()

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Where to put the project"), self.place.text())
        if chosen:
            self.place.setText(chosen)

    def _check(self) -> None:
        fine = bool(self.name()) and bool(self.place.text().strip())
        text = self.tr("A project is a folder: {0}").format(self.folder()) if fine else self.tr("Give it a name.")
        if fine and self.folder().exists():
            fine, text = False, self.tr("{0} exists already.").format(self.folder())
        self.said.setText(text)
        self.create_.setEnabled(fine)


def _label(text: str) -> PlainLabel:
    made = PlainLabel(text)
    made.setMinimumHeight(CONTROL)
    return made


def folder_name(name: str) -> str:
    """A name as a folder's: every system takes it, and it can be read."""
    plain = re.sub(r"[^\w .-]", "-", name).strip(" .-")
    return plain or "project"
