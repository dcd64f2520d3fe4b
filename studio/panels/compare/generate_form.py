"""What pairs to make: whose answers, to which prompts, how many, how wild."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from rlhf_engine.contract.fields import Param
from studio.forms import Combo, editor_for
from studio.panels.compare.generating import PROJECT, Wish
from studio.panels.playground.sampling_form import SamplingForm
from studio.theme.tokens import S2, S3
from studio.widgets import Card, PlainLabel, button, primary_button, tooltip

if TYPE_CHECKING:
    from studio.session import Session


class GenerateForm(Card):
    """`wished(Wish)` and `closed()`."""

    wished = Signal(object)
    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Generate pairs to judge"), parent)
        self._session = session
        self.first, self.second, self.prompts = Combo(), Combo(), Combo()
        self.number = editor_for(int, False, Param("", "", between=(1, 2000)))
        self.number.set_value(20)
        self._sampling = SamplingForm(session, self, ("temperature", "max_new_tokens", "seed"))
        self._sampling.hide()  # only its editors are used
        editors = self._sampling.editors
        editors["max_new_tokens"].set_value(64)
        self.answers = editor_for(int, False, Param("", "", between=(2, 16)))
        self.answers.set_value(2)
        self.judge = Combo()
        self.judge.setToolTip(tooltip(self.tr("Of more than two answers, the best and the worst are judged.")))
        for chosen in (self.first, self.second):
            chosen.currentIndexChanged.connect(lambda _: self._show_choosing())
        self.problem = PlainLabel(tone="bad", wrap=True)
        self.go = primary_button(self.tr("Generate"), self._wish, icon="auto-fix")
        grid = QGridLayout()
        grid.setHorizontalSpacing(S3)
        grid.setVerticalSpacing(S2)
        places: list[tuple[str, QWidget]] = [
            (self.tr("First answer by"), self.first),
            (self.tr("Second answer by"), self.second),
            (self.tr("Prompts"), self.prompts),
            (self.tr("How many pairs"), self.number),
            (self.tr("Temperature"), editors["temperature"]),
            (self.tr("Longest answer"), editors["max_new_tokens"]),
            (self.tr("Seed"), editors["seed"]),
            (self.tr("Answers per prompt"), self.answers),
            (self.tr("Judge which two"), self.judge),
        ]
        for place, (text, widget) in enumerate(places):
            label = PlainLabel(text, tone="muted")
            label.setBuddy(widget)
            inner = getattr(widget, "inner", widget)
            inner.setAccessibleName(text)
            row, column, width = (0, 4 * place, 4) if place < 3 else (2, 3 * (place - 3), 3)
            if place > 6:
                row, column, width = (4, 0, 4) if place == 7 else (4, 4, 8)
            grid.addWidget(label, row, column, 1, width)
            grid.addWidget(widget, row + 1, column, 1, width)
        for column in range(12):
            grid.setColumnStretch(column, 1)
        self.body.addLayout(grid)
        row_ = QHBoxLayout()
        row_.setSpacing(S2)
        row_.addWidget(self.problem, 1)
        row_.addWidget(button(self.tr("Close   Esc"), self.closed.emit))
        row_.addWidget(self.go)
        self.body.addLayout(row_)

    def refresh(self) -> None:
        """Read again which models and prompts there are; what is chosen stays chosen."""
        models = [choice for choice in self._session.models() if not choice.scores]
        rows = [(choice.title, choice.ref, choice.detail) for choice in models]
        _fill(self.first, rows)
        _fill(self.second, [(self.tr("The same model again"), "", ""), *rows])
        sets = []
        if self._session.project is not None:
            count = self._session.labels.count("prompts")
            if count:
                sets.append((self.tr("This project's prompts ({0})").format(f"{count:,}"), PROJECT, ""))
            sets += [(choice.title, choice.ref, choice.detail) for choice in self._session.datasets()]
        _fill(self.prompts, sets)
        judges = [choice for choice in self._session.models() if choice.scores]
        best = self.tr("Best against worst by {0}")
        rows = [(best.format(choice.title), choice.ref, choice.detail) for choice in judges]
        _fill(self.judge, [(self.tr("The two least alike"), "", ""), *rows])
        self._show_choosing()
        self.prompts.setPlaceholderText(self.tr("No prompts yet: add some in Data"))
        self.say("")

    def say(self, problem: str) -> None:
        self.problem.setText(problem)
        self.go.setEnabled(bool(self.first.currentData()) and bool(self.prompts.currentData()))

    def wish(self) -> Wish:
        sampling = self._sampling.values()
        first, second = str(self.first.currentData() or ""), str(self.second.currentData() or "")
        return Wish(
            first,
            "" if second == first else second,
            str(self.prompts.currentData() or ""),
            int(self.number.value()),
            float(sampling["temperature"]),
            int(sampling["max_new_tokens"]),
            int(sampling["seed"]),
            2 if second and second != first else int(self.answers.value()),
            "" if second and second != first else str(self.judge.currentData() or ""),
        )

    def _show_choosing(self) -> None:
        """Several answers are those of one model; two models give one each."""
        one = not self.second.currentData() or self.second.currentData() == self.first.currentData()
        for widget in (self.answers, self.judge):
            widget.setEnabled(one)

    def next_seed(self) -> None:
        """So that asking again gives other answers."""
        seed = self._sampling.editors["seed"]
        seed.set_value((int(seed.value()) + 1) % 2**31)

    def _wish(self) -> None:
        wish = self.wish()
        if wish.temperature == 0 and not wish.second:
            self.say(self.tr("At temperature 0 a model says the same thing twice: raise it, or choose a second model."))
            return
        self.wished.emit(wish)


def _fill(combo: Combo, rows: list[tuple[str, str, str]]) -> None:
    chosen = combo.currentData()
    combo.clear()
    for title, ref, detail in rows:
        combo.addItem(title, ref)
        combo.setItemData(combo.count() - 1, tooltip(detail), Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(max(0, combo.findData(chosen)) if rows else -1)
