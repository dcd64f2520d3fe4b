"""What to export, as what, and where to: the settings of an ExportSpec."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFileDialog, QFormLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.tasks.export.spec import ExportSpec
from studio.forms import Combo, SpecForm
from studio.forms.form import LABEL_WIDTH
from studio.panels.models.words import kind_word
from studio.session import Session
from studio.theme.tokens import CONTROL, S2, S3
from studio.widgets import Card, PlainLabel, button, ghost_button, tooltip

_OWN = ("model", "folder", "card", "dry_run", "seed")  # drawn here, or on the page with the card


class ExportChoices(QWidget):
    """`spec(card, dry_run)` reads it. `changed` when anything is another; `marked` errors stand under their field."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.model = Combo()
        self.model.setMinimumContentsLength(16)
        self.model.setSizeAdjustPolicy(Combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setAccessibleName(self.tr("Model"))
        self.model.currentIndexChanged.connect(lambda _: self._say_changed())
        self.folder = QLineEdit()
        self.folder.setPlaceholderText(self.tr("exports of the project"))
        self.folder.setAccessibleName(self.tr("Folder"))
        self.folder.textChanged.connect(lambda _: self._say_changed())
        self.form = SpecForm(ExportSpec, session, hide=_OWN)
        self.form.changed.connect(self._say_changed)
        self.error = PlainLabel(tone="bad", wrap=True)
        self.error.hide()
        self.account = PlainLabel(self.tr("Looking for an account of the Hub…"), tone="muted", wrap=True)
        self._lay_out()
        self._show_precision()

    def refresh(self) -> None:
        """Fetch the list of results again; what is chosen stays chosen."""
        chosen = self.model.currentData()
        self.model.blockSignals(True)
        self.model.clear()
        for choice in self._session.models():
            if choice.kind != "base":
                self.model.addItem(f"{choice.title}  ·  {kind_word(choice.kind)}  ·  {choice.ref[4:10]}", choice.ref)
                self.model.setItemData(self.model.count() - 1, tooltip(choice.detail), Qt.ItemDataRole.ToolTipRole)
        self.model.setCurrentIndex(max(0, self.model.findData(chosen)))
        self.model.blockSignals(False)
        if self.model.currentData() != chosen:
            self._say_changed()

    def select(self, ref: str) -> bool:
        place = self.model.findData(ref)
        if place >= 0:
            self.model.setCurrentIndex(place)
        return place >= 0

    def spec(self, card: str = "", dry_run: bool = False) -> ExportSpec:
        """Raises SpecError for choices that do not hold together."""
        values = {**self.form.values(), "repo": self.repo()}
        folder = self.folder.text().strip()
        return ExportSpec(**values | {"model": self.ref(), "folder": folder, "card": card, "dry_run": dry_run})

    def ref(self) -> str:
        return str(self.model.currentData() or "")

    def repo(self) -> str:
        return str(self.form.values()["repo"]).strip().removeprefix("https://huggingface.co/").strip("/")

    def mark(self, error: SpecError) -> None:
        """Show what is wrong, under its field where that is one of the form's."""
        self.form.mark(error)
        self.error.setText(" ".join(filter(None, (str(error), error.hint))))
        self.error.setVisible(error.field in _OWN or not error.field)

    def show_account(self, signed_in: bool) -> None:
        self.account.set_tone("good" if signed_in else "muted")
        self.account.setText(
            self.tr("Hub: a token is saved on this machine.")
            if signed_in
            else self.tr("Hub: nobody is signed in. Exports stay on this machine.")
        )

    def _say_changed(self) -> None:
        self.error.hide()
        self._show_precision()
        self.changed.emit()

    def _show_precision(self) -> None:
        """An adapter is written in the numbers it was trained in."""
        self.form.editor("dtype").setEnabled(self.form.values()["form"] == "merged")

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, self.tr("Where to write"), self.folder.text() or str(Path.home())
        )
        if chosen:
            self.folder.setText(chosen)

    def _lay_out(self) -> None:
        what = Card(self.tr("What and where"))
        rows = QFormLayout()
        rows.setHorizontalSpacing(S2)
        rows.setVerticalSpacing(S2)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.folder, 1)
        line.addWidget(button(self.tr("Choose…"), self._browse))
        for words, field in ((self.tr("Model"), self.model), (self.tr("Folder"), line)):
            label = PlainLabel(words)
            label.setMinimumHeight(CONTROL)
            label.setFixedWidth(LABEL_WIDTH + 12 + S2)
            rows.addRow(label, field)
        what.body.addLayout(rows)
        what.add(self.error)
        account = QHBoxLayout()
        account.setSpacing(S2)
        account.addWidget(self.account, 1)
        account.addWidget(ghost_button(self.tr("Account…"), lambda: self._session.go("settings")))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, S2, 0)
        layout.setSpacing(S3)
        layout.addWidget(what)
        layout.addWidget(self.form)
        layout.addLayout(account)
        layout.addStretch()
