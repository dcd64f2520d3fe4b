"""Asking for pairs and seeing them come: the form, then a bar, then a word about what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from studio.panels.compare.generate_form import GenerateForm
from studio.panels.compare.generating import PairMaker, Wish
from studio.session import sentence
from studio.theme.tokens import S3
from studio.widgets import StageBar

if TYPE_CHECKING:
    from studio.session import Session


class Making(QWidget):
    """Signals: added(pair id); changed() when making begins or ends; closed() when the form is put away."""

    added = Signal(str)
    changed = Signal()
    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.maker: PairMaker | None = None
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.form = GenerateForm(session)
        self.form.wished.connect(self.make)
        self.form.closed.connect(self.close_form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.bar)
        layout.addWidget(self.form)
        self.bar.hide()
        self.form.hide()
        self.hide()
        session.runs_changed.connect(self._models_changed)

    def open(self) -> None:
        if self.maker is None:
            self.form.refresh()
            self.form.show()
            self.show()
            self.form.first.setFocus()

    def close_form(self) -> None:
        if not self.form.isHidden():
            self.form.hide()
            self.setVisible(self.maker is not None)
            self.closed.emit()

    def make(self, wish: Wish) -> None:
        """Begin, unless pairs are being made already."""
        if self.maker is not None or self._session.project is None:
            return
        self.maker = PairMaker(self._session, wish, self)
        self.maker.stage.connect(self._show_stage)
        self.maker.added.connect(self.added)
        self.maker.ended.connect(self._made)
        self._show_stage(self.tr("Reading the prompts"), 0, 0)
        self.show()
        self.close_form()
        self.changed.emit()

    def stop(self) -> None:
        if self.maker is not None:
            self.maker.stop()

    def drop(self) -> None:
        """Another project is open: what was going on is not ours any more."""
        if self.maker is not None:
            self.maker.deleteLater()
            self.maker = None
        self.bar.hide()
        self.form.hide()
        self.hide()

    def _show_stage(self, text: str, done: int, total: int) -> None:
        training = next(iter(self._session.activity.kept()), None)
        if training is not None:
            text = self.tr("Waits until “{0}” has ended").format(training.title)
        made = self.maker.made if self.maker else 0
        self.bar.show_stage(self.tr("{0} · {1} pairs so far").format(text, made), done, total)
        self.bar.show()

    def _made(self, error: BaseException | None) -> None:
        maker, self.maker = self.maker, None
        self.bar.hide()
        self.hide()
        self.form.next_seed()
        if maker is not None:
            maker.deleteLater()
        if error is not None:
            self.open()
            self.form.say(sentence(error))
        elif maker is not None:
            told = self.tr("{0} pairs to judge.").format(maker.made)
            if maker.same:
                told += " " + self.tr("{0} left out: the same answer twice.").format(maker.same)
            self._session.toast(told, "good" if maker.made else "warn")
        self.changed.emit()

    def _models_changed(self) -> None:
        if self.form.isVisible():
            self.form.refresh()
