"""Any spec as a form, from what its fields say about themselves. No task is named here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QSpacerItem, QToolButton, QVBoxLayout, QWidget

from rlhf_engine.contract.entries import plain_entries
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import Param, about, inputs, reading_order, value_type
from studio.background import Failed
from studio.engine_words import word
from studio.forms.editors import Editor, LongTextEditor, editor_for, mark_wrong
from studio.forms.entries import EntriesEditor, inner_editors
from studio.forms.pickers import LABELS, DatasetPicker, picker_for
from studio.theme import set_icon
from studio.theme.tokens import S1, S2, S3, S4
from studio.widgets.buttons import icon_button
from studio.widgets.labels import PlainLabel, set_tooltip
from studio.widgets.surfaces import Card

if TYPE_CHECKING:
    from studio.session import Session

LABEL_WIDTH = 176
RESET = 30  # width of the button that leads back to a default


class FieldRow(QWidget):
    """One field: label, editor, a dot with a way back while it differs from its default, help and error below.

    A form has up to a hundred of them, so what most never show is made when it is first wanted.
    """

    def __init__(self, name: str, default: Any, said: Param, editor: Editor, caption: bool) -> None:
        super().__init__()
        self.name, self.default, self.said, self.editor = name, default, said, editor
        self.label = PlainLabel(word(said.label))
        if not editor.tall:
            self.label.setFixedWidth(LABEL_WIDTH)
        self.label.setWordWrap(not editor.tall)
        self.label.setBuddy(editor.inner)
        editor.inner.setAccessibleName(word(said.label))
        editor.inner.setAccessibleDescription(word(said.help))
        tip = "\n".join(filter(None, (word(said.help), self._range(), said.source)))
        set_tooltip(self.label, tip)
        set_tooltip(editor.inner, tip)
        self.dot = PlainLabel("●", tone="warn")
        self.dot.setFixedWidth(12)
        set_tooltip(self.dot, self.tr("Changed from the default"))
        self.wrong = False
        line = self._line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.label)
        line.addWidget(self.dot)
        self._below = QVBoxLayout(self)
        self._below.setContentsMargins(0, 0, 0, 0)
        self._below.setSpacing(2)
        self._below.addLayout(line)
        told = PlainLabel(word(said.help), tone="muted", wrap=True, size=0.92) if caption else None
        if editor.tall:
            line.addWidget(told, 1) if told else line.addStretch()
            self._below.addWidget(editor)
        else:
            line.addWidget(editor, 1)
            if told:
                self._add_below(told)
        self._room = QSpacerItem(RESET, 0)  # where the way back will be
        line.addSpacerItem(self._room)
        editor.changed.connect(self.show_changed)
        self.show_changed()

    def changed_from_default(self) -> bool:
        """Inputs have no default to speak of: what is chosen among them is no change."""
        return self.default is not MISSING and not self.said.picks and self.editor.value() != self.default

    def show_changed(self) -> None:
        changed = self.changed_from_default()
        self.dot.setText("●" if changed else "")
        if changed or "reset" in self.__dict__:
            self.reset.setVisible(changed)

    def mark(self, text: str) -> None:
        """Show what is wrong under the field; empty text takes the mark away."""
        self.wrong = bool(text)
        self.error.setText(text)
        self.error.setVisible(self.wrong)
        mark_wrong(self.editor.inner, bool(text))

    @cached_property
    def reset(self) -> QToolButton:
        """The way back to the default; hidden while there is nothing to go back from."""
        made = icon_button("backup-restore", self.tr("Back to the default"), self._to_default)
        policy = made.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        made.setSizePolicy(policy)
        made.setFixedWidth(RESET)
        made.hide()
        self._line.removeItem(self._room)
        self._line.addWidget(made)
        return made

    @cached_property
    def error(self) -> PlainLabel:
        """What is wrong, under the field."""
        made = PlainLabel(tone="bad", wrap=True)
        made.hide()
        self._add_below(made)
        return made

    def _add_below(self, label: PlainLabel) -> None:
        indent = QHBoxLayout()
        indent.setContentsMargins(0 if self.editor.tall else LABEL_WIDTH + 12 + 2 * S2, 0, S4, 0)
        indent.addWidget(label)
        self._below.addLayout(indent)

    def _to_default(self) -> None:
        self.editor.set_value(self.default)

    def _range(self) -> str:
        low, high = self.said.between
        if low is None or self.said.picks:
            return ""
        return self.tr("From {0} to {1}.").format(f"{low:g}", f"{high:g}")


class Fold(QWidget):
    """A heading that shows or hides what is below it."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title
        self.heading = QToolButton()
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.inside = QWidget()
        self.inside.hide()
        self.body = QVBoxLayout(self.inside)
        self.body.setContentsMargins(0, S2, 0, 0)
        self.body.setSpacing(S3)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.heading, 0, Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self.inside)
        self.heading.clicked.connect(lambda: self.open(self.inside.isHidden()))
        self.open(False)
        self.count(0, 0)

    def open(self, yes: bool = True) -> None:
        self.inside.setVisible(yes)
        set_icon(self.heading, "chevron-down" if yes else "chevron-right")

    def count(self, of: int, changed: int) -> None:
        text = f"{self._title} ({of})"
        self.heading.setText(text + (self.tr(" · {0} changed").format(changed) if changed else ""))


class SpecForm(QWidget):
    """Draws `spec_type`, and reads it back as a spec.

    `hide` leaves fields out: they keep their default, or what `set_values` gave them. `captions` writes the help of
    ordinary fields under them; that of advanced ones is always in the tooltip.
    """

    changed = Signal()

    def __init__(
        self,
        spec_type: type[Any],
        session: Session,
        parent: QWidget | None = None,
        *,
        hide: Sequence[str] = (),
        captions: bool = True,
    ) -> None:
        super().__init__(parent)
        self.spec_type = spec_type
        self._session = session
        self._rows: dict[str, FieldRow] = {}
        self._hidden: dict[str, Any] = {}
        self._unread = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        self._groups: dict[str, QVBoxLayout] = {}
        self.fold = Fold(self.tr("Advanced"))
        folded = Card()
        folded.add(self.fold)
        for f in reading_order(spec_type):
            said = about(f)
            if said is None or f.name in hide:
                continue
            row = self._row(f, said, captions and not said.advanced)
            self._group(layout, said).addWidget(row)
        layout.addWidget(folded)
        folded.setVisible(self.fold.body.count() > 0)
        layout.addStretch()
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._say_changed)
        device = session.settings.device
        if "device" in self._rows and device in self._rows["device"].said.choices:
            self.set_value("device", device)
        self._count_changed()

    # --- values --------------------------------------------------------------------------------------------------

    def read(self) -> Any:
        """The spec as it stands. Raises SpecError, which names the field to mark, when it does not hold together.

        A dataset field may hold "labels": `prepare()` turns that into a dataset.
        """
        return self.spec_type(**self.values())

    def values(self) -> dict[str, Any]:
        return {**self._hidden, **{name: row.editor.value() for name, row in self._rows.items()}}

    def set_values(self, values: dict[str, Any]) -> None:
        """Take over settings, such as those of a preset or an earlier run; unknown ones are left aside."""
        known = {f.name for f in fields(self.spec_type)}
        for name, value in values.items():
            if name in self._rows:
                self._rows[name].editor.set_value(value)
            elif name in known:
                self._hidden[name] = value

    def set_value(self, name: str, value: Any) -> None:
        self.set_values({name: value})

    def reset(self) -> None:
        """Everything back to its default; what was chosen as input stays, and so do lists that hold inputs."""
        for row in self._rows.values():
            chosen = row.said.picks or any(inputs(kind.type) for kind in row.said.entries)
            if row.default is not MISSING and not chosen:
                row.editor.set_value(row.default)

    def editor(self, name: str) -> Editor:
        return self._rows[name].editor

    def editors(self) -> list[Editor]:
        """Every editor, also those inside entries."""
        return inner_editors(self.own_editors())

    def own_editors(self) -> list[Editor]:
        """The editors of the spec's own fields, in the order shown."""
        return [row.editor for row in self._rows.values()]

    def names(self, field: str, editor: Editor) -> bool:
        """Whether a field of the spec is edited by this editor."""
        return field in self._rows and self._rows[field].editor is editor

    def changed_fields(self) -> dict[str, Any]:
        """The settings that differ from their defaults. Lists of entries are plain JSON values."""
        return {name: row.editor.value() for name, row in self._rows.items() if row.changed_from_default()}

    def prepare(self, then: Callable[[Any], None], failed: Failed | None = None) -> None:
        """Read the form, freeze the labels it uses into datasets in the background, and give the complete spec.

        Raises SpecError at once when the form does not hold together.
        """
        self.read()
        values = self.values()
        waiting = [(p, name, (editor.labelled, editor.ai_share)) for p, name, editor in self._labels_in(values)]
        frozen: dict[tuple[str, float], str] = {}

        def go_on(ref: str = "") -> None:
            if ref:
                frozen[waiting[0][2]] = ref
            while waiting and waiting[0][2] in frozen:
                place, name, what = waiting.pop(0)
                place[name] = frozen[what]
            if waiting:
                kind, share = waiting[0][2]
                self._session.freeze(kind, "", go_on, failed, share)
            else:
                then(self.spec_type(**values))

        go_on()

    def _labels_in(self, values: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, DatasetPicker]]:
        """Where the project's labels stand for a dataset: what to write into, under which name, and the picker."""
        places = [(values, name, row.editor) for name, row in self._rows.items()]
        for name, row in self._rows.items():
            if isinstance(row.editor, EntriesEditor):
                for entry, card in zip(values[name], row.editor.cards, strict=True):
                    places += [(entry, inner, editor) for inner, editor in card.editors.items()]
        for place, name, editor in places:
            if isinstance(editor, DatasetPicker) and place[name] == LABELS:
                yield place, name, editor

    # --- what is wrong -------------------------------------------------------------------------------------------

    def mark(self, error: SpecError) -> None:
        """Show an error under the field it names, unfolding what hides it."""
        self.clear_marks()
        row = self._rows.get(error.field)
        if row is None:
            return
        if row.said.advanced:
            self.fold.open()
        if isinstance(row.editor, EntriesEditor) and not row.editor.check():
            return  # said at the entry itself
        row.mark(" ".join(filter(None, (str(error), error.hint))))
        row.editor.inner.setFocus()

    def clear_marks(self) -> None:
        for row in self._rows.values():
            if row.wrong:
                row.mark("")

    def blockers(self) -> list[str]:
        """Why a run cannot start yet, in sentences; empty when it can."""
        missing = [row.said.label for row in self._rows.values() if row.default is MISSING and row.editor.missing()]
        if missing:
            return [self.tr("{0}: nothing has been chosen.").format(word(label)) for label in missing]
        wrong = self.contradiction()
        return [str(wrong)] if wrong is not None else []

    def contradiction(self) -> SpecError | None:
        """What does not hold, None when all does."""
        try:
            self.read()
        except SpecError as error:
            return error
        return None

    # --- drawing -------------------------------------------------------------------------------------------------

    def _row(self, f: Field[Any], said: Param, caption: bool) -> FieldRow:
        default = f.default
        if default is MISSING and f.default_factory is not MISSING:
            default = f.default_factory()
        if said.entries and default is not MISSING:
            default = plain_entries(said, default)
        editor = self._editor_of(self.spec_type, f, said)
        if isinstance(editor, LongTextEditor) and said.picks == "" and default is MISSING:
            editor.box.setPlaceholderText(self.tr("One a line"))
        if default is not MISSING:
            editor.set_value(default)
        row = FieldRow(f.name, default, said, editor, caption)
        editor.changed.connect(self._edited)
        self._rows[f.name] = row
        return row

    def _editor_of(self, owner: type[Any], f: Field[Any], said: Param) -> Editor:
        if said.entries:
            return EntriesEditor(said, self._editor_of)
        kind, optional = value_type(owner, f.name)
        has_default = f.default is not MISSING or f.default_factory is not MISSING
        return picker_for(self._session, said, kind is tuple, has_default) or editor_for(kind, optional, said)

    def _group(self, layout: QVBoxLayout, said: Param) -> QVBoxLayout:
        key = f"advanced:{said.group}" if said.advanced else said.group
        if key not in self._groups:
            if said.advanced:
                box = QVBoxLayout()
                box.setSpacing(S2)
                box.addWidget(PlainLabel(word(said.group), tone="muted", bold=True))
                box.setContentsMargins(0, 0, 0, S1)
                self.fold.body.addLayout(box)
                self._groups[key] = box
            else:
                card = Card(word(said.group))
                card.body.setSpacing(S3)
                layout.addWidget(card)
                self._groups[key] = card.body
        return self._groups[key]

    def _edited(self) -> None:
        row = next((row for row in self._rows.values() if row.editor is self.sender()), None)
        if row is not None and row.wrong:
            row.mark("")
        if not self._soon.isActive():
            self._soon.start()

    def _say_changed(self) -> None:
        self._count_changed()
        self.changed.emit()

    def _count_changed(self) -> None:
        advanced = [row for row in self._rows.values() if row.said.advanced]
        self.fold.count(len(advanced), sum(row.changed_from_default() for row in advanced))
