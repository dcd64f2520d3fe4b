"""Where a form's settings come from: a published recipe, one of one's own, or an earlier run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QInputDialog, QWidget

from rlhf_engine.contract.changes import Change
from rlhf_engine.contract.presets import Preset
from rlhf_engine.tasks import TASKS
from studio.engine_words import word
from studio.forms import Combo, SpecForm
from studio.panels.train.own_presets import OWN, all_presets, changed_by, changed_since, remove_preset, save_preset
from studio.panels.train.preset_about import PresetAbout, lines
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, button, icon_button, tooltip

if TYPE_CHECKING:
    from studio.session import Session


class PresetBar(QWidget):
    """Sets the form that `show_form` gave it. `about` says what method and preset are for and what the preset changes;
    it is the panel's to place.
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._task = ""
        self._form: SpecForm | None = None
        self._origin = ""
        self.presets = Combo()
        self.presets.setMinimumWidth(180)
        self.presets.setAccessibleName(self.tr("Preset"))
        self.presets.activated.connect(lambda _: self.use())
        self.remove = icon_button("trash-can-outline", self.tr("Remove this preset"), self.drop)
        self.about = PresetAbout()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(S2)
        row.addWidget(PlainLabel(self.tr("Preset"), tone="muted"))
        row.addWidget(self.presets)
        row.addWidget(self.remove)
        row.addWidget(button(self.tr("Save preset…"), self.keep))

    def show_form(self, task: str, form: SpecForm) -> None:
        """Offer the presets of a method; those of another one stay as they were."""
        if task != self._task:
            self._task, self._form = task, form
            only_starter = {model.ref for model in self._session.models(("base",))} <= {"starter"}
            self._offer("starter" if only_starter else "")
            if only_starter and not form.changed_fields():  # a draft that was begun earlier stays as it is
                self.use()

    def show_origin(self, words: str) -> None:
        """The settings are those of no preset but of something else, such as a run."""
        self._origin = words
        self.presets.setPlaceholderText(words)
        self.presets.setCurrentIndex(-1)
        self.refresh()

    def preset(self) -> Preset | None:
        key = self.presets.currentData()
        return next((found for found in all_presets(self._session, self._task) if found.key == key), None)

    def use(self) -> None:
        """Set the form to the chosen preset; model and data stay."""
        found = self.preset()
        if found is not None and self._form is not None:
            self._form.reset()
            self._form.set_values(found.values)
        self.refresh()

    def keep(self, title: str = "") -> None:
        """Save the settings as they stand, without model and data."""
        if not title:
            title, ok = QInputDialog.getText(self, self.tr("Save preset"), self.tr("What to call these settings"))
            if not ok:
                return
        if title.strip() and self._form is not None:
            made = save_preset(self._session, self._task, title.strip(), self._form.changed_fields())
            self._offer(made.key)
            self._session.toast(self.tr("Saved as “{0}”").format(made.title), "good")

    def drop(self) -> None:
        """Remove the chosen preset, if it is one's own."""
        found = self.preset()
        if found is not None and found.key.startswith(OWN):
            remove_preset(self._session, self._task, found.title)
            self._offer()

    def refresh(self) -> None:
        """Say what the preset is for, and whether the form still agrees with it."""
        if self._form is None:
            return
        found = self.preset()
        words = [word(TASKS[self._task].summary)]
        sets: list[Change] = []
        since: list[Change] = []
        if found is None:
            words.append(self._origin)
        else:
            words += [word(found.summary), found.source]
            sets = changed_by(self._task, found)
            since = changed_since(self._task, found, self._form.changed_fields())
        self.about.tell("  ".join(word for word in words if word), sets, since)
        self.remove.setVisible(found is not None and found.key.startswith(OWN))

    def _offer(self, key: str = "") -> None:
        self.presets.clear()
        for found in all_presets(self._session, self._task):
            self.presets.addItem(word(found.title), found.key)
            told = [word(found.summary), found.source, *lines(changed_by(self._task, found))]
            tip = tooltip("\n".join(filter(None, told)))
            self.presets.setItemData(self.presets.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)
        self.presets.setCurrentIndex(max(0, self.presets.findData(key)))
        self.refresh()
