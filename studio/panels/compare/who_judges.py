"""Who judges here, and what is asked beside the pairs that wait: repeats, pairs for everyone, another's pairs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QFormLayout, QFrame, QHBoxLayout, QLineEdit, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.store.judging_settings import JudgingSettings, read_judging, write_judging
from studio.annotator import account
from studio.forms import Combo
from studio.theme.tokens import CONTROL, S2, S3
from studio.widgets import PlainLabel, button, set_tooltip

if TYPE_CHECKING:
    from studio.session import Session

REPEATS = (0.0, 0.05, 0.08, 0.1, 0.15)
OVERLAPS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class WhoJudges(QWidget):
    """The project's settings of judging, as controls. `changed` when a setting or the name is another."""

    changed = Signal()
    left = Signal()  # the keys are free for judging again

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.settings = JudgingSettings()
        self.name = QLineEdit()
        self.name.setMaxLength(60)
        self.name.setAccessibleName(self.tr("Your name"))
        self.name.editingFinished.connect(self._rename)
        self.name.returnPressed.connect(self.left)
        self.repeats = _shares(REPEATS, self.tr("None"))
        self.repeats.setAccessibleName(self.tr("Hidden repeats"))
        self.overlap = _shares(OVERLAPS, self.tr("None"), self.tr("All pairs"))
        self.overlap.setAccessibleName(self.tr("For everyone"))
        self.by = Combo()
        self.by.setAccessibleName(self.tr("Pairs to judge"))
        for made, tip in (
            (self.name, self.tr("Kept with every verdict. Another name is another annotator.")),
            (self.repeats, self.tr("Share of pairs that come back unannounced, to see how consistent you are")),
            (self.overlap, self.tr("Share of pairs that every annotator of the project judges")),
            (self.by, self.tr("Pairs that wait, or those that another annotator judged; their verdicts stay hidden")),
        ):
            set_tooltip(made, tip)
        for combo in (self.repeats, self.overlap):
            combo.activated.connect(lambda _: self._keep_shares())
        self.by.activated.connect(lambda _: self.changed.emit())
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(S2)
        for words, field in (
            (self.tr("Name"), self.name),
            (self.tr("Repeats"), self.repeats),
            (self.tr("For everyone"), self.overlap),
            (self.tr("Judge"), self.by),
        ):
            label = PlainLabel(words)
            label.setMinimumHeight(CONTROL)  # on one line with what is in the field
            form.addRow(label, field)
        self._form = form
        self.read()

    @property
    def author(self) -> str:
        """The name that verdicts are kept under; that of the account until somebody has said another."""
        return self.settings.annotator or account()

    @property
    def other(self) -> str:
        """Whose pairs are to be judged; "" where those that wait are."""
        return str(self.by.currentData() or "")

    def read(self) -> None:
        """Read the project's settings anew."""
        self.settings = JudgingSettings()
        if self._session.root is not None:
            try:
                self.settings = read_judging(self._session.root)
            except EngineError as error:
                self._session.say(error)
        self.name.setText(self.author)
        _choose(self.repeats, self.settings.repeats)
        _choose(self.overlap, self.settings.overlap)
        self.show_others([])
        self.setEnabled(self._session.root is not None)

    def show_others(self, names: list[str]) -> None:
        """Offer the pairs of these annotators; with none there is nothing to choose."""
        here = self.other
        self.by.clear()
        self.by.addItem(self.tr("Pairs that wait"), "")
        for name in names:
            self.by.addItem(self.tr("What {0} judged").format(name), name)
        self.by.setCurrentIndex(max(0, self.by.findData(here)))
        self._form.setRowVisible(self.by, bool(names))

    def keep(self, settings: JudgingSettings) -> bool:
        """Write settings down; whether they were kept."""
        if self._session.root is None or settings == self.settings:
            return False
        try:
            self.settings = write_judging(self._session.root, settings)
        except EngineError as error:
            self._session.say(error)
            return False
        return True

    def call(self, name: str) -> None:
        """Take a name."""
        self.name.setText(name)
        self._rename()

    def _rename(self) -> None:
        if self.keep(replace(self.settings, annotator=self.name.text())):
            self.by.setCurrentIndex(0)
            self.changed.emit()
        self.name.setText(self.author)

    def _keep_shares(self) -> None:
        told = replace(self.settings, repeats=self.repeats.currentData(), overlap=self.overlap.currentData())
        if self.keep(told):
            self.changed.emit()


class NameQuestion(QFrame):
    """Asks once, before the first verdict of a project, under which name verdicts are kept. `said(name)`."""

    said = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        self.field = QLineEdit(account())
        self.field.setMaxLength(60)
        self.field.setMaximumWidth(220)
        self.field.setAccessibleName(self.tr("Your name"))
        self.field.returnPressed.connect(self._say)
        self.take = button(self.tr("Use this name"), self._say)
        row = QHBoxLayout(self)
        row.setContentsMargins(S3, S2, S3, S2)
        words = self.tr("Your name is kept with every verdict, so that several people can judge here.")
        row.addWidget(PlainLabel(words, wrap=True), 1)
        row.addWidget(self.field)
        row.addWidget(self.take)

    def _say(self) -> None:
        if self.field.text().strip():
            self.said.emit(self.field.text())


def _shares(values: tuple[float, ...], none: str, every: str = "") -> Combo:
    made = Combo()
    for value in values:
        made.addItem(none if not value else every if value == 1.0 else f"{value:.0%}".replace("%", " %"), value)
    return made


def _choose(combo: Combo, value: float) -> None:
    """Show a share; one that is not in the list is added to it."""
    if combo.findData(value) < 0:
        combo.addItem(f"{value:.1%}".replace("%", " %"), value)
    combo.setCurrentIndex(combo.findData(value))
