"""How answers are drawn: the settings of GenerateSpec that a person turns while trying things out."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import about, value_type
from rlhf_engine.tasks.generate.spec import GenerateSpec
from studio.engine_words import word
from studio.forms import Editor, RewardModelPicker, editor_for
from studio.theme.tokens import S2, S3
from studio.widgets import PlainLabel, ghost_button, set_tooltip

if TYPE_CHECKING:
    from studio.session import Session

SHOWN = ("temperature", "top_p", "top_k", "max_new_tokens", "samples", "seed", "stop", "reward_model")
MOST_SAMPLES = 4  # side by side


class SamplingForm(QScrollArea):
    """`values()` are arguments of GenerateSpec; `changed` when one is another."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None, shown: tuple[str, ...] = SHOWN) -> None:
        super().__init__(parent)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.editors: dict[str, Editor] = {}
        self._defaults: dict[str, Any] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(S3)
        grid.setVerticalSpacing(S2)
        grid.setColumnStretch(1, 1)
        by_name = {f.name: f for f in fields(GenerateSpec)}
        for name in shown:
            f = by_name[name]
            said = about(f)
            assert said is not None
            assert f.default is not MISSING
            if name == "samples":
                said = replace(said, between=(1, MOST_SAMPLES))
            kind, optional = value_type(GenerateSpec, name)
            made: Editor = RewardModelPicker(session, optional=True) if said.picks else editor_for(kind, optional, said)
            made.set_value(f.default)
            made.inner.setAccessibleName(word(said.label))
            made.inner.setAccessibleDescription(word(said.help))
            self._fit(made, said.picks or kind is tuple)
            label = PlainLabel(word(said.label))
            label.setBuddy(made.inner)
            for widget in (label, made.inner):
                set_tooltip(widget, word(said.help))
            row = grid.rowCount()
            if said.picks or kind is tuple:
                grid.addWidget(label, row, 0, 1, 2)
                grid.addWidget(made, row + 1, 0, 1, 2)
            else:
                grid.addWidget(label, row, 0)
                grid.addWidget(made, row, 1)
            made.changed.connect(self.changed)
            self.editors[name], self._defaults[name] = made, f.default
        self.error = PlainLabel(tone="bad", wrap=True)
        self.error.hide()
        inside = QWidget()
        layout = QVBoxLayout(inside)
        layout.setContentsMargins(S3, S3, S3, S3)
        layout.setSpacing(S3)
        layout.addLayout(grid)
        layout.addWidget(self.error)
        layout.addWidget(ghost_button(self.tr("Back to the defaults"), self.reset), 0, Qt.AlignmentFlag.AlignLeft)
        layout.addStretch(1)
        self.setWidget(inside)
        self.changed.connect(lambda: self.mark(None))

    def values(self) -> dict[str, Any]:
        return {name: made.value() for name, made in self.editors.items()}

    def set_values(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name in self.editors:
                self.editors[name].set_value(value)

    def reset(self) -> None:
        self.set_values(self._defaults)

    def mark(self, error: SpecError | None) -> None:
        """Say what is wrong with a setting; None takes it back."""
        self.error.setText(str(error) if error else "")
        self.error.setVisible(error is not None)

    def _fit(self, made: Editor, tall: object) -> None:
        box = getattr(made, "box", None)
        if tall and box is not None:
            box.setFixedHeight(56)
            box.setPlaceholderText(self.tr("One a line"))
        spin = getattr(made, "spin", None)
        if spin is not None:
            spin.setFixedWidth(148)
