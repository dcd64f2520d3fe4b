"""Editors for inputs chosen from what the project has: models, reward models, datasets, runs, files and folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QInputDialog, QListWidget, QListWidgetItem, QSlider, QWidget

from rlhf_engine.contract.fields import Param
from rlhf_engine.data.datasets import SERVES
from studio.forms.editors import Combo, Editor, TextEditor
from studio.widgets.buttons import button
from studio.widgets.labels import PlainLabel, set_tooltip, tooltip

if TYPE_CHECKING:
    from studio.session import Session

LABELS = "labels"  # stands for "what people said in this project", and is frozen into a dataset when the run starts


class RefPicker(Editor):
    """A list of references with their titles. What is chosen stays chosen while the list is refreshed."""

    def __init__(self, session: Session, optional: bool) -> None:
        super().__init__()
        self._session = session
        self.optional = optional
        self._own: list[tuple[str, str, str]] = []  # folders and names that a person gave
        self.combo = Combo()
        self.combo.setMinimumContentsLength(24)
        self.combo.setMinimumWidth(96)  # long titles must not make a narrow window scroll sideways
        self.combo.setSizeAdjustPolicy(Combo.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._hold(self.combo)
        self.combo.currentIndexChanged.connect(lambda _: self.changed.emit())

    def entries(self) -> list[tuple[str, str, str]]:
        """(reference, title, detail) of everything that can be chosen."""
        raise NotImplementedError

    def refresh(self) -> None:
        chosen = self.value()
        self.combo.blockSignals(True)
        self.combo.clear()
        if self.optional:
            self.combo.addItem(self.tr("None"), "")
        for ref, title, detail in [*self.entries(), *self._own]:
            self.combo.addItem(title, ref)
            self.combo.setItemData(self.combo.count() - 1, tooltip(detail), Qt.ItemDataRole.ToolTipRole)
        self.combo.setPlaceholderText(self.nothing())
        index = self.combo.findData(chosen) if chosen is not None else -1
        self.combo.setCurrentIndex(index if index >= 0 else (0 if self.combo.count() and self._takes_first() else -1))
        self.combo.blockSignals(False)
        if self.value() != chosen:
            self.changed.emit()

    def _labels_changed(self, _: object) -> None:  # a bound method: the connection goes when the editor does
        self.refresh()

    def nothing(self) -> str:
        """What to say while there is nothing to choose from."""
        return self.tr("Choose…")

    def _takes_first(self) -> bool:
        return True

    def value(self) -> Any:
        return self.combo.currentData() or ""

    def set_value(self, value: Any) -> None:
        index = self.combo.findData(value)
        if index < 0 and value:
            self._own.append((str(value), str(value), str(value)))
            self.combo.addItem(str(value), value)
            index = self.combo.count() - 1
        self.combo.setCurrentIndex(index)

    def missing(self) -> bool:
        return not self.value()


class ModelPicker(RefPicker):
    """Bases and results of this project; a folder or a Hub name can be given by the button beside it."""

    def __init__(self, session: Session, optional: bool) -> None:
        super().__init__(session, optional)
        self.browse = button(self.tr("Folder…"), self._folder)
        self.name = button(self.tr("Hub…"), self._hub)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.browse)
        layout.addWidget(self.name)
        session.runs_changed.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        session.labels_changed.connect(self._labels_changed)
        self.refresh()

    def entries(self) -> list[tuple[str, str, str]]:
        models = (choice for choice in self._session.models() if not choice.scores)
        return [(choice.ref, f"{choice.title}  ·  {choice.detail}", choice.ref) for choice in models]

    def _folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("A folder with a model"))
        if chosen:
            self.set_value(chosen)

    def _hub(self) -> None:
        name, ok = QInputDialog.getText(self, self.tr("A model of the Hub"), self.tr("owner/name"))
        if ok and name.strip():
            self.set_value(name.strip().removeprefix("https://huggingface.co/"))


class RewardModelPicker(RefPicker):
    def __init__(self, session: Session, optional: bool) -> None:
        super().__init__(session, optional)
        session.runs_changed.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def entries(self) -> list[tuple[str, str, str]]:
        models = [choice for choice in self._session.models() if choice.scores]
        return [(choice.ref, f"{choice.title}  ·  {choice.detail}", choice.ref) for choice in models]

    def nothing(self) -> str:
        return self.tr("No reward model yet: train one first")


class DatasetPicker(RefPicker):
    """The labels of the project, its datasets of the kind needed or of a richer one, and any file."""

    def __init__(self, session: Session, optional: bool, kind: str) -> None:
        super().__init__(session, optional)
        self.kind = kind
        self.browse = button(self.tr("File…"), self._file)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.browse)
        self.mix = MixSlider() if kind == "comparisons" else None
        if self.mix is not None:
            layout.addWidget(self.mix)
            self.combo.currentIndexChanged.connect(self._show_mix)
        session.datasets_changed.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        session.labels_changed.connect(self._labels_changed)
        self.refresh()

    def refresh(self) -> None:
        super().refresh()
        self._show_mix()

    def _show_mix(self, _index: int = 0) -> None:
        """The slider is there only where a model has judged, and the project's own comparisons are chosen."""
        if self.mix is not None:
            there = self.value() == LABELS and self.labelled == "comparisons"
            self.mix.setVisible(there and self._session.labels.count_by_models() > 0)

    @property
    def ai_share(self) -> float:
        """Which share of the comparisons is to be by models, 0 to 1."""
        return self.mix.share if self.mix is not None and not self.mix.isHidden() else 0.0

    def entries(self) -> list[tuple[str, str, str]]:
        found = []
        if self._session.project is not None and self.kind:
            kind = self.labelled
            count = self._session.labels.count(kind)
            if count:
                title = self.tr("This project's {0} ({1})").format(kind, f"{count:,}")
                found.append((LABELS, title, self.tr("Frozen into a dataset when the run starts")))
        able = [choice for choice in self._session.datasets() if not self.kind or self.kind in SERVES[choice.kind]]
        for choice in sorted(able, key=lambda choice: choice.kind != self.kind):  # what was made for it comes first
            found.append((choice.ref, f"{choice.title}  ·  {choice.detail}", choice.ref))
        return found

    @property
    def labelled(self) -> str:
        """Which of the project's records it would freeze: the kind needed, or where there are none a richer one."""
        richer = (kind for kind, serves in SERVES.items() if self.kind in serves and kind != self.kind)
        return next((kind for kind in (self.kind, *richer) if self._session.labels.count(kind)), self.kind)

    def nothing(self) -> str:
        return self.tr("No {0} yet: add some in Data, or choose a file").format(self.kind or self.tr("records"))

    def _file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, self.tr("A file of {0}").format(self.kind))
        if chosen:
            self.set_value(chosen)


class MixSlider(QWidget):
    """Which share of the labels is to be by models: none at the left, all at the right."""

    def __init__(self) -> None:
        super().__init__()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 20)
        self.slider.setPageStep(5)
        self.slider.setFixedWidth(96)
        self.slider.setAccessibleName(self.tr("Share of AI labels"))
        self.said = PlainLabel()
        self.said.setMinimumWidth(self.said.fontMetrics().horizontalAdvance(self.tr("{0} % AI labels").format("100")))
        tip = self.tr("How much of the comparisons is to be judged by models rather than people; all is kept on record")
        set_tooltip(self.slider, tip)
        set_tooltip(self.said, tip)
        self.slider.valueChanged.connect(self._show)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.slider)
        layout.addWidget(self.said)
        self._show()

    @property
    def share(self) -> float:
        return self.slider.value() / 20

    def _show(self, _value: int = 0) -> None:
        self.said.setText(self.tr("{0} % AI labels").format(f"{100 * self.share:.0f}"))


class RunPicker(RefPicker):
    def __init__(self, session: Session, optional: bool) -> None:
        super().__init__(session, optional)
        session.runs_changed.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        self.refresh()

    def entries(self) -> list[tuple[str, str, str]]:
        if self._session.project is None:
            return []
        return [(run.id, f"{run.name or run.task}  ·  {run.id[:6]}", run.state) for run in self._session.runs.runs()]


class PathPicker(TextEditor):
    """A path, typed, dropped or chosen."""

    def __init__(self, folder: bool) -> None:
        super().__init__()
        self._folder = folder
        self.browse = button(self.tr("Browse…"), self._browse)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.browse)

    def _browse(self) -> None:
        start = str(Path(self.line.text()).parent) if self.line.text() else ""
        if self._folder:
            chosen = QFileDialog.getExistingDirectory(self, self.tr("Choose a folder"), start)
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, self.tr("Choose a file"), start)
        if chosen:
            self.line.setText(chosen)


class ModelsPicker(Editor):
    """Several models, by ticking them: those that write answers, or those that score them."""

    def __init__(self, session: Session, scoring: bool = False) -> None:
        super().__init__()
        self._session, self._scoring = session, scoring
        self.list = QListWidget()
        self.list.setFixedHeight(112)
        self._hold(self.list)
        session.runs_changed.connect(self.refresh)
        session.project_changed.connect(self.refresh)
        self.refresh()
        self.list.itemChanged.connect(lambda _: self.changed.emit())

    def refresh(self) -> None:
        chosen = self.value()
        self.list.blockSignals(True)
        self.list.clear()
        for choice in self._session.models():
            if choice.scores == self._scoring:
                self._add(choice.ref, f"{choice.title}  ·  {choice.detail}", choice.ref in chosen)
        self.list.blockSignals(False)

    def _add(self, ref: str, title: str, ticked: bool) -> None:
        entry = QListWidgetItem(title, self.list)
        entry.setData(Qt.ItemDataRole.UserRole, ref)
        entry.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def value(self) -> tuple[str, ...]:
        entries = (self.list.item(row) for row in range(self.list.count()))
        ticked = Qt.CheckState.Checked
        return tuple(entry.data(Qt.ItemDataRole.UserRole) for entry in entries if entry.checkState() == ticked)

    def set_value(self, value: Any) -> None:
        known = {
            self.list.item(row).data(Qt.ItemDataRole.UserRole): self.list.item(row) for row in range(self.list.count())
        }
        for ref, entry in known.items():
            entry.setCheckState(Qt.CheckState.Checked if ref in value else Qt.CheckState.Unchecked)
        for ref in value:
            if ref not in known:
                self._add(ref, ref, True)

    def missing(self) -> bool:
        return not self.value()


def picker_for(session: Session, about: Param, several: bool, optional: bool) -> Editor | None:
    """The picker for an input, or None where it is typed."""
    match about.picks:
        case "model":
            return ModelsPicker(session) if several else ModelPicker(session, optional)
        case "reward_model":
            return ModelsPicker(session, scoring=True) if several else RewardModelPicker(session, optional)
        case "dataset":
            return DatasetPicker(session, optional, about.kind)
        case "run":
            return RunPicker(session, optional)
        case "file" | "code":
            return PathPicker(folder=False)
        case "folder":
            return PathPicker(folder=True)
    return None
