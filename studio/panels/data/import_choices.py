"""How a file is to be understood: what it holds, its layout, and which of its columns is which of our fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFormLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.fields import Param
from rlhf_engine.data.reading import Preview
from rlhf_engine.tasks.import_data.spec import HUB, ImportSpec
from studio import engine_words
from studio.forms import Combo
from studio.panels.data.hub_step import HubPart
from studio.panels.data.words import FIELDS, KINDS, LAYOUTS, word
from studio.theme.tokens import CONTROL, S2, S3
from studio.widgets import Card, PlainLabel, ghost_button, set_tooltip

_ASKED = {
    "native": ("prompt", "completion", "chosen", "rejected", "strength", "liked", "rating", "source"),
    "hh": ("chosen", "rejected"),
    "trl": ("prompt", "chosen", "rejected", "strength"),
    "sharegpt": ("conversations", "chosen", "rejected", "system", "tools"),
    "messages": ("messages", "system", "tools", "liked", "rating"),
    "kto": ("messages", "conversations", "prompt", "completion", "label"),
    "task": ("definition", "examples", "input", "output", "scores", "source"),
    "alpaca": ("instruction", "input", "output", "chosen", "rejected", "history", "system"),
    "scored": ("prompt", "instruction", "completions", "answer_scores", "completion", "score"),
    "oasst": ("prompt", "tree", "message", "parent", "role", "rank"),
    "text": ("prompt",),
}
_SEVERAL = {"scored", "oasst"}  # layouts in which a prompt has more than two answers
_NOT_ASKED = {  # by a kind: its records have no such part
    "prompts": {"completion", "output", "scores", "chosen", "rejected", "strength", "liked", "rating", "wrong"},
    "demonstrations": {"rejected", "strength", "wrong"},
    "comparisons": {"completion", "output", "liked", "rating"},
    "ratings": {"chosen", "rejected", "strength", "wrong"},
}
_ALWAYS = {"hh", "sharegpt", "kto", *_SEVERAL}  # whose parts cannot be told apart without the others
_EXAMPLES = next(f for f in fields(ImportSpec) if f.name == "examples")
_ABOUT_EXAMPLES: Param = _EXAMPLES.metadata["param"]
_PAIRS = next(f for f in fields(ImportSpec) if f.name == "pairs")
_ABOUT_PAIRS: Param = _PAIRS.metadata["param"]
_OFTEN_ABSENT = {"liked", "rating", "scores", "conversations"}  # asked where they are, or where the kind needs them
_OFTEN_ABSENT |= {"answer_scores", "message", "parent", "role", "rank", "completions", "score"}


class ImportChoices(QWidget):
    """`begin(path, preview, more, hub)` fills it from what was recognised; `spec()` is what a person made of it."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._path = Path()
        self._preview: Preview | None = None
        self._more: tuple[Path, ...] = ()
        self._hub: HubPart | None = None
        self._filling = False
        self.kind, self.layout_ = Combo(), Combo()
        for combo in (self.kind, self.layout_):
            combo.setMinimumContentsLength(10)
            combo.setSizeAdjustPolicy(Combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.name = QLineEdit()
        self.examples = Combo()
        for number in range(_ABOUT_EXAMPLES.between[1] + 1):
            self.examples.addItem(str(number), number)
        set_tooltip(self.examples, engine_words.word(_ABOUT_EXAMPLES.help))
        self.pairs = Combo()
        for choice in _ABOUT_PAIRS.choices:
            self.pairs.addItem(engine_words.word(choice).capitalize(), choice)
        set_tooltip(self.pairs, engine_words.word(_ABOUT_PAIRS.help))
        self.columns: dict[str, Combo] = {}
        self._form = _Form()
        self._form.add(self.tr("Holds"), self.kind)
        self._form.add(self.tr("Layout"), self.layout_)
        self._form.add(self.tr("Name"), self.name)
        self._form.add(engine_words.word(_ABOUT_EXAMPLES.label), self.examples)
        self._form.add(engine_words.word(_ABOUT_PAIRS.label), self.pairs)
        what = Card(self.tr("What it is"))
        what.body.addLayout(self._form)
        self._columns_card = Card(self.tr("Which column is what"))
        self._columns_form = _Form()
        self._columns_card.body.addLayout(self._columns_form)
        self.recognise = ghost_button(self.tr("As recognised"), self._as_recognised)
        self._columns_card.add_action(self.recognise)
        self.unknown = PlainLabel(
            self.tr("The layout was not recognised. Say which column is what."), tone="warn", wrap=True
        )
        self._columns_card.add(self.unknown)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(what)
        layout.addWidget(self._columns_card)
        layout.addStretch()
        self.kind.currentIndexChanged.connect(lambda _: self._choice_changed())
        self.layout_.currentIndexChanged.connect(lambda _: self._choice_changed())
        self.examples.currentIndexChanged.connect(lambda _: self._say_changed())
        self.pairs.currentIndexChanged.connect(lambda _: self._say_changed())

    def begin(self, path: Path, preview: Preview, more: Sequence[Path] = (), hub: HubPart | None = None) -> None:
        self._path, self._preview, self._more, self._hub = path, preview, tuple(more), hub
        self._filling = True
        self.kind.clear()
        found = word(KINDS[preview.kind]) if preview.kind else self.tr("not recognised")
        self.kind.addItem(
            self.tr("Recognised: {0}").format(found) if preview.kind else self.tr("by the columns below"), "auto"
        )
        for kind in KINDS:
            self.kind.addItem(word(KINDS[kind]), kind)
        self.layout_.clear()
        known = word(LAYOUTS[preview.layout]) if preview.layout else self.tr("by the columns below")
        self.layout_.addItem(self.tr("Recognised: {0}").format(known) if preview.layout else known, "auto")
        for layout, title in LAYOUTS.items():
            self.layout_.addItem(word(title), layout)
        self.name.setText(hub.name if hub is not None else path.name if not more else "")
        self.name.setPlaceholderText(self.tr("The files' names"))
        self.examples.setCurrentIndex(self.examples.findData(_EXAMPLES.default))
        self.pairs.setCurrentIndex(self.pairs.findData(_PAIRS.default))
        self._filling = False
        self._show_columns(dict(preview.mapping))

    def spec(self) -> ImportSpec:
        hub = self._hub
        return ImportSpec(
            path=f"{HUB}{hub.repo}" if hub is not None else str(self._path),
            config=hub.config if hub is not None else "",
            split=hub.split if hub is not None else "",
            revision=hub.revision if hub is not None else "",
            kind=self.kind.currentData() or "auto",
            layout=self.layout_.currentData() or "auto",
            columns=self._mapping(),
            name=self.name.text().strip(),
            more=[] if hub is not None else [str(path) for path in self._more],
            examples=self.examples.currentData(),
            pairs=self.pairs.currentData(),
        )

    def _mapping(self) -> dict[str, str]:
        """Our fields with the file's columns; empty as long as they are as recognised."""
        assert self._preview is not None
        chosen = {field: combo.currentData() for field, combo in self.columns.items()}
        kept = {field: name for field, name in self._preview.mapping.items() if field not in chosen}
        mapping = kept | {field: name for field, name in chosen.items() if name}
        return {} if mapping == self._preview.mapping else mapping

    def _layout(self) -> str:
        assert self._preview is not None
        layout = self.layout_.currentData()
        return (self._preview.layout or "native") if layout in (None, "auto") else str(layout)

    def _asked(self) -> list[str]:
        assert self._preview is not None
        layout = self._layout()
        kind = self.kind.currentData()
        kind = self._preview.kind if kind in (None, "auto") else kind
        asked = list(_ASKED[layout])
        if layout == "native":
            asked += [field for field in self._preview.mapping if field in ("a", "b", "winner") and field in FIELDS]
            asked += ["wrong"] if "wrong" in self._preview.mapping and kind in ("comparisons", "") else []
        needed = {"liked", "rating"} if kind in ("ratings", "") else set()
        left_out = _OFTEN_ABSENT - self._preview.mapping.keys() - needed
        if layout not in _ALWAYS and kind:
            left_out |= _NOT_ASKED[kind]
        return [field for field in asked if field not in left_out]

    def _show_columns(self, mapping: dict[str, str]) -> None:
        assert self._preview is not None
        self._filling = True
        while self._columns_form.rowCount():
            self._columns_form.removeRow(0)
        self.columns = {}
        for field in self._asked():
            combo = Combo()
            combo.addItem(self.tr("None"), "")
            for column in self._preview.columns:
                combo.addItem(column[:80], column)
            combo.setCurrentIndex(max(0, combo.findData(mapping.get(field, ""))))
            combo.setMinimumContentsLength(10)
            combo.setSizeAdjustPolicy(Combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            combo.currentIndexChanged.connect(lambda _: self._say_changed())
            self.columns[field] = combo
            self._columns_form.add(word(FIELDS[field]), combo)
        self.unknown.setVisible(not self._preview.layout)
        self._form.setRowVisible(self.examples, self._layout() == "task")
        self._form.setRowVisible(self.pairs, self._layout() in _SEVERAL or "wrong" in self.columns)
        self._filling = False
        self._say_changed()

    def _choice_changed(self) -> None:
        if not self._filling and self._preview is not None:
            chosen = {field: combo.currentData() for field, combo in self.columns.items() if combo.currentData()}
            self._show_columns(dict(self._preview.mapping) | chosen)

    def _as_recognised(self) -> None:
        if self._preview is not None:
            self.begin(self._path, self._preview, self._more, self._hub)

    def _say_changed(self) -> None:
        if not self._filling:
            self.recognise.setVisible(bool(self._mapping()) and bool(self._preview and self._preview.mapping))
            self.changed.emit()


class _Form(QFormLayout):
    def __init__(self) -> None:
        super().__init__()
        self.setHorizontalSpacing(S2)
        self.setVerticalSpacing(S2)
        self.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)

    def add(self, words: str, field: Any) -> None:
        label = PlainLabel(words)
        label.setMinimumHeight(CONTROL)
        label.setFixedWidth(112)
        label.setBuddy(field)
        field.setAccessibleName(words)
        self.addRow(label, field)
