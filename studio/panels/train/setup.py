"""Choosing what to train and how: method, preset, settings, and what can be said before it starts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.errors import EngineError, SpecError
from rlhf_engine.tasks import REWARD, TASKS
from studio.background import Errand
from studio.code_question import agree_then
from studio.forms import LABELS, DatasetPicker, EntriesEditor, ModelPicker, RewardModelPicker, SpecForm
from studio.panels.run_view.naming import method_of, model_of, title_of, values_of
from studio.panels.train.command import command, save_spec
from studio.panels.train.forecast import (
    Size,
    memory_sentences,
    planned,
    size_as,
    steps,
    time_sentence,
    trained_sentence,
)
from studio.panels.train.method_menu import MethodMenu
from studio.panels.train.methods import METHODS, fitting
from studio.panels.train.own_presets import settings_only
from studio.panels.train.preset_bar import PresetBar
from studio.session import sentence
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Card, PlainLabel, ghost_button, icon_button, primary_button

if TYPE_CHECKING:
    from rlhf_engine.data.datasets import DatasetInfo
    from studio.session import Session

SIDE, NARROW_SIDE = 316, 236  # widths of the column at the right
WIDE = 960  # from here on there is room for the wide one


class SetupView(QWidget):
    """Signal: started(run_id, name) once a run has been handed to the engine."""

    started = Signal(str, str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._forms: dict[str, SpecForm] = {}
        self._datasets: dict[str, DatasetInfo] = {}
        self._busy = ""
        self._foreseen: tuple[Any, list[tuple[str, str]]] = (None, [])  # for which settings, and what of their memory
        self._asked: Any = None
        self._foreseeing: Errand | None = None
        self._ahead = ""  # the run that the page says one would have to wait for
        self.task = METHODS[0]
        self._soon = QTimer(self, singleShot=True, interval=60)
        self._soon.timeout.connect(self.redraw)
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        inside = QWidget()
        inside.setObjectName("plain")
        self._form_place = QVBoxLayout(inside)
        self._form_place.setContentsMargins(0, 0, 0, 0)
        self._area.setWidget(inside)
        content = QHBoxLayout()
        content.setSpacing(S4)
        content.addWidget(self._area, 1)
        content.addWidget(self._side(), 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(self._top())
        layout.addWidget(self.bar.about)
        layout.addLayout(content, 1)
        session.project_changed.connect(self._refresh)
        session.datasets_changed.connect(self._refresh)
        session.runs_changed.connect(self._soon.start)
        session.activity.changed.connect(self._queue_moved)
        session.engine_changed.connect(lambda _: self._soon.start())
        self.choose(str(session.recall("train.task", METHODS[0])))
        self._refresh()

    # --- what is chosen ------------------------------------------------------------------------------------------

    @property
    def form(self) -> SpecForm:
        if self.task not in self._forms:
            form = SpecForm(TASKS[self.task].spec, self._session)
            form.hide()
            self._form_place.addWidget(form)
            form.changed.connect(self._soon.start)
            form.set_values(dict(self._session.recall(_draft(self.task), {})))
            self._forms[self.task] = form
        return self._forms[self.task]

    def choose(self, task: str) -> None:
        """Show the form of a method."""
        self.task = task if task in METHODS else METHODS[0]
        self.methods.show_task(self.task)
        self._show_form(self.form)
        self._suggest_reward()
        self._session.remember("train.task", self.task)
        self.bar.show_form(self.task, self.form)
        self.redraw()

    def _suggest_reward(self) -> None:
        """The newest reward model, where nothing else rewards yet."""
        own = self.form.own_editors()
        picker = next((editor for editor in own if isinstance(editor, RewardModelPicker)), None)
        rewarded = any(isinstance(editor, EntriesEditor) and editor.cards for editor in own)
        if picker is not None and picker.missing() and not rewarded and picker.entries():
            picker.set_value(picker.entries()[0][0])

    def _show_form(self, form: SpecForm) -> None:
        """All forms are in the scroll area and one is shown: in a stack, the longest would stretch the others."""
        if form.isHidden():
            for made in self._forms.values():
                made.setVisible(made is form)
            self._area.verticalScrollBar().setValue(0)

    def clone(self, run_id: str) -> None:
        """Take over all that was chosen for an earlier run."""
        row = self._session.runs.run(run_id)
        if row is None or row.task not in METHODS:
            return
        self.choose(row.task)
        self.form.reset()
        self.form.set_values(values_of(row.spec_json))
        self.bar.show_origin(self.tr("Settings of {0}").format(title_of(row)))
        self.redraw()

    def choose_for(self, **wanted: str) -> None:
        """Show a method of a family, one that learns from a kind of records, or one that takes such an input; the one
        shown stays where it fits. See `methods.fitting`.
        """
        if found := fitting(self.task, **wanted):
            self.choose(found)

    def take(self, **inputs: str) -> None:
        """Choose inputs by what they are: model, reward or dataset references; others are left aside."""
        pickers = (("model", ModelPicker), ("reward", RewardModelPicker), ("dataset", DatasetPicker))
        for key, picker in pickers:
            if ref := inputs.get(key, ""):
                own = next((editor for editor in self.form.own_editors() if isinstance(editor, picker)), None)
                if own is not None:
                    own.set_value(ref)
                else:
                    self._take_into_list(key, ref)

    def _take_into_list(self, key: str, ref: str) -> None:
        """Choose an input in a list of entries that can hold it."""
        for editor in self.form.own_editors():
            if isinstance(editor, EntriesEditor) and editor.take("reward_model" if key == "reward" else key, ref):
                return

    # --- before it starts ----------------------------------------------------------------------------------------

    def blockers(self) -> list[str]:
        """Why it cannot start, in sentences."""
        if self._session.project is None:
            return [self.tr("No project is open.")]
        return [self._busy] if self._busy else self.form.blockers()

    def forecast(self) -> list[tuple[str, str]]:
        """(sentence, tone) of what can be foreseen."""
        if self._session.root is None:
            return []
        values = self.form.values()
        size = self._size(values)
        total = steps(self.task, values, size)
        lines = [(text, "") for text in self._amount(values, size, total)]
        by_examples = planned(self.task, values) == 0
        if size is not None and size.train and not size.heldout and by_examples:
            lines.append((self.tr("No prompt is held out: there will be nothing to measure progress on."), "warn"))
        if 0 < total < 20 and by_examples:
            lines.append((self.tr("Fewer than 20 steps teach little: raise the epochs or lower the batch."), "warn"))
        lines.append((time_sentence(self.task, values, total, self._session.runs.runs()), "muted"))
        device = self._session.engine.device if self._session.engine else {}
        said, wrong = trained_sentence(self._session.root, model_of(values), values)
        lines += [(said, "warn" if wrong else "muted")] if said else []
        return lines + self._memory(self._session.root, values, device)

    def _memory(self, root: Path, values: dict[str, Any], device: dict[str, Any]) -> list[tuple[str, str]]:
        """What is known of the memory now. Files are read on another thread, and the column is drawn again then."""
        now = (self.task, repr(sorted(values.items(), key=str)), str(device), len(self._session.runs.runs()))
        if self._foreseen[0] != now and self._asked != now:
            self._asked, task = now, self.task

            def done(lines: list[tuple[str, str]]) -> None:
                self._foreseen = now, lines
                self._soon.start()

            def failed(error: BaseException) -> None:
                done([(sentence(error), "warn")])

            if self._foreseeing is not None:
                self._foreseeing.forget()
            self._foreseeing = self._session.background.run(
                lambda: memory_sentences(root, task, values, device), done, failed
            )
        return self._foreseen[1] if self._foreseen[1] else [(self.tr("Memory: being worked out…"), "muted")]

    def redraw(self) -> None:
        """Bring the column at the right up to date with the form."""
        self._soon.stop()
        blockers = self.blockers()
        going = self._session.activity.kept()
        self._ahead = going[0].title if going else ""
        self._say(self.forecast() if self._session.project else [], blockers)
        self.start_button.setEnabled(not blockers)
        self.start_button.setText(self.tr("Start after it") if going else self.tr("Start"))
        self.start_button.setToolTip("")
        self.copy.setEnabled(not blockers)
        self.queued.setVisible(bool(going))
        if going:
            text = self.tr("{0} is running. Yours starts when it has ended.")
            self.queued.setText(text.format(going[0].title))
        self.name.setPlaceholderText(self.suggested_name())
        self.bar.refresh()
        self._session.remember(_draft(self.task), settings_only(self.task, self.form.changed_fields()))

    def _queue_moved(self) -> None:
        """A run says something ten times a second; only which one it is makes a difference here."""
        going = self._session.activity.kept()
        if (going[0].title if going else "") != self._ahead:
            self._soon.start()

    def suggested_name(self) -> str:
        if self._session.project is None:
            return method_of(self.task)
        return f"{method_of(self.task)} {1 + sum(row.task == self.task for row in self._session.runs.runs())}"

    def start(self) -> None:
        """Freeze what must be frozen and hand the run to the engine."""
        if not self.blockers():
            self._prepare(self._agree)

    def _explain(self) -> None:
        self._session.go("help", topic=self.task)

    def copy_command(self) -> None:
        """Write the spec into the project and the command to the clipboard."""
        if not self.blockers():
            self._prepare(self._copy)

    def _prepare(self, then: Callable[[Any], None]) -> None:
        try:
            self._busy = self.tr("Freezing the labels into a dataset…")
            self.redraw()
            self.form.prepare(lambda spec: self._prepared(then, spec), self._unprepared)
        except SpecError as error:
            self._busy = ""
            self.form.mark(error)
            self.redraw()

    def _prepared(self, then: Callable[[Any], None], spec: Any) -> None:
        self._busy = ""
        then(spec)
        self.redraw()

    def _unprepared(self, error: BaseException) -> None:
        self._busy = ""
        self.redraw()
        self._session.toast(sentence(error), "bad")

    def _agree(self, spec: Any) -> None:
        agree_then(self._session, spec, self, partial(self._submit, spec))

    def _submit(self, spec: Any) -> None:
        name = self.name.text().strip() or self.suggested_name()
        going = self._session.activity.kept()
        run_id = self._session.submit(spec, name)
        self.name.clear()
        if going:
            self._session.toast(self.tr("{0} starts when {1} has ended.").format(name, going[0].title))
        self.started.emit(run_id, name)

    def _copy(self, spec: Any) -> None:
        root = self._session.root
        if root is not None:
            try:
                file = save_spec(root, spec)
            except OSError as error:
                text = self.tr("The settings of the run cannot be written into the project: {0}.")
                told = EngineError(text.format(error.strerror), self.tr("Is there room, and may it be written to?"))
                self._session.say(told)
                return
            QGuiApplication.clipboard().setText(command(root, file, self.name.text().strip()))
            self._session.toast(self.tr("The command is in the clipboard; its spec is in the project's specs folder."))

    # --- sizes ---------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Ask again how large the datasets are."""
        self._datasets = {}
        if self._session.root is not None:
            from rlhf_engine.data.datasets import list_datasets

            self._datasets = {info.ref: info for info in list_datasets(self._session.root)}
        self._soon.start()

    def _size(self, values: dict[str, Any]) -> Size | None:
        ref = str(values.get("dataset") or "")
        editor = self.form.editor("dataset") if ref else None
        if ref == LABELS:
            count = self._session.labels.count(editor.labelled) if isinstance(editor, DatasetPicker) else 0
            return Size(round(count * 0.9), round(count * 0.1), exact=False)
        kind = editor.kind if isinstance(editor, DatasetPicker) else ""
        return size_as(self._datasets[ref], kind) if ref in self._datasets else None

    def _amount(self, values: dict[str, Any], size: Size | None, total: int) -> list[str]:
        if updates := planned(self.task, values):
            written = updates * int(values.get("batch_size") or 0)
            lines = [self.tr("{0} updates, {1} answers written and scored.").format(f"{updates:,}", f"{written:,}")]
            return lines + ([self.tr("{0} prompts to practise on.").format(_count(size))] if size else [])
        if size is None:
            if not values.get("dataset"):
                return []
            return [self.tr("How many examples there are is known once the file has been read.")]
        text = self.tr("{0} steps: {1} examples, {2}; {3} held out for measuring.")
        times = self.tr("{0} times over").format(f"{values['epochs']:g}") if values["epochs"] != 1 else self.tr("once")
        count = f"{total:,}" if size.exact else f"≈ {total:,}"
        return [text.format(count, f"{size.train:,}", times, f"{size.heldout:,}")]

    # --- drawing -------------------------------------------------------------------------------------------------

    def _top(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(S2)
        self.methods = MethodMenu()
        self.methods.chosen.connect(self.choose)
        row.addWidget(self.methods)
        row.addWidget(icon_button("help-circle-outline", self.tr("What this method does (F1)"), self._explain))
        self.bar = PresetBar(self._session)
        row.addStretch()
        row.addWidget(self.bar)
        return row

    def _side(self) -> QWidget:
        card = Card(self.tr("Before you start"))
        self._side_card = card
        self._lines = QVBoxLayout()
        self._lines.setSpacing(S2)
        card.body.addLayout(self._lines)
        card.body.addSpacing(S2)
        self.name = QLineEdit()
        self.name.setAccessibleName(self.tr("Name of the run"))
        card.add(PlainLabel(self.tr("Name"), tone="muted"))
        card.add(self.name)
        self.start_button = primary_button(self.tr("Start"), self.start, icon="play")
        card.add(self.start_button)
        self.queued = PlainLabel(tone="muted", wrap=True)
        card.add(self.queued)
        card.add(PlainLabel(self.tr("Ctrl+Enter"), tone="muted", size=0.9))
        self.copy = ghost_button(self.tr("Copy as command"), self.copy_command, icon="console")
        card.body.addWidget(self.copy, 0, Qt.AlignmentFlag.AlignLeft)
        return card

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._side_card.setFixedWidth(SIDE if self.width() >= WIDE else NARROW_SIDE)
        super().resizeEvent(event)

    def _say(self, lines: list[tuple[str, str]], blockers: list[str]) -> None:
        while (place := self._lines.takeAt(0)) is not None:
            old = place.widget()
            if old is not None:
                old.hide()
                old.deleteLater()
        for text, tone in lines:
            self._lines.addWidget(PlainLabel(text, wrap=True, tone=tone))
        for text in blockers:
            self._lines.addWidget(PlainLabel(text, wrap=True, tone="muted" if self._busy else "bad"))
        for made in self._ways_out() if blockers and not self._busy else ():
            self._lines.addWidget(made, 0, Qt.AlignmentFlag.AlignLeft)

    def _ways_out(self) -> list[QPushButton]:
        """Links to where what is missing can be made."""
        if self._session.project is None:
            return []
        ways: dict[str, Callable[[], object]] = {}
        wrong = self.form.contradiction()
        for editor in self.form.editors():
            named = wrong is not None and self.form.names(wrong.field, editor)
            wanted = named or not getattr(editor, "optional", True)
            if isinstance(editor, RewardModelPicker) and editor.missing() and wanted:
                ways[self.tr("Train a reward model")] = partial(self.choose_for, family=REWARD)
            if isinstance(editor, DatasetPicker) and editor.missing() and wanted:
                ways[self.tr("Add {0} in Data").format(editor.kind)] = partial(
                    self._session.go, "data", kind=editor.kind
                )
        return [ghost_button(text, do, icon="arrow-right") for text, do in ways.items()]


def _draft(task: str) -> str:
    """Under which name the settings of an unfinished form are remembered."""
    return f"train.draft.{task}"


def _count(size: Size) -> str:
    return f"{size.train:,}" if size.exact else f"≈ {size.train:,}"
