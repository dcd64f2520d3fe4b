"""The open project, the engine and the current selection: the only thing a panel is given."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from rlhf_engine.contract.errors import EngineError, StoreError
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, RunStarted
from rlhf_engine.launch.engine import Switches
from rlhf_engine.tasks import TASKS, task_of
from studio.activity import Activity
from studio.background import Background, Done, Errand, Failed
from studio.engine_thread import EngineThread, Factory, process_engine
from studio.run_feed import RunFeed
from studio.settings import Settings

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Changed, Labels
    from rlhf_engine.store.project import Project
    from rlhf_engine.store.runs import RunsReader

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One model that can be chosen. `kind` is "base", or the task of the run that made it."""

    ref: str
    title: str
    detail: str
    kind: str

    @property
    def scores(self) -> bool:
        """Whether it gives answers a score instead of writing them."""
        return self.kind in TASKS and TASKS[self.kind].scores


@dataclass(frozen=True, slots=True)
class DatasetChoice:
    """One dataset of the project. `ref` is "dataset:<hash>"."""

    ref: str
    title: str
    detail: str
    kind: str
    rows: int


class Session(QObject):
    """Signals, all on the window's thread:

    project_changed(): another project is open, or none.
    labels_changed(Changed): labels.db was written to; a panel redraws when this touches what it shows.
    runs_changed(): a run began, ended, was renamed or made something; at most five times a second.
    datasets_changed(): a dataset was frozen or imported.
    model_changed(): another model is selected (`session.model`).
    run_selected(str): another run is selected (`session.run_id`).
    received(Envelope): every live event of every run. Panels that show one run use `run_feed()` instead.
    toasted(str, str, str, object): level, text, action's text, action.
    failed(error): an error to show; main window makes a card or a toast of it.
    panel_requested(str, dict): go to a panel, with hints for its `receive`.
    badge_changed(str, int): a count beside a panel's name.
    focus_asked(bool): nothing but the panel is to be seen, or everything again.
    """

    project_changed = Signal()
    labels_changed = Signal(object)
    runs_changed = Signal()
    datasets_changed = Signal()
    model_changed = Signal()
    run_selected = Signal(str)
    received = Signal(object)
    engine_changed = Signal(str)
    toasted = Signal(str, str, str, object)
    failed = Signal(object)
    panel_requested = Signal(str, dict)
    badge_changed = Signal(str, int)
    focus_asked = Signal(bool)

    def __init__(
        self, settings: Settings | None = None, factory: Factory = process_engine, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.settings = settings or Settings.load()
        self.activity = Activity(self)
        self.background = Background(self)
        self.background.unhandled.connect(self.failed)
        self.project: Project | None = None
        self.engine: EngineThread | None = None
        self.model = "starter"
        self.run_id = ""
        self._factory = factory
        self._runs_soon = QTimer(self, singleShot=True, interval=200)
        self._runs_soon.timeout.connect(self.runs_changed)

    # --- the project ---------------------------------------------------------------------------------------------

    @property
    def root(self) -> Path | None:
        return self.project.root if self.project else None

    @property
    def labels(self) -> Labels:
        """The open project's labels. Raises StoreError when no project is open."""
        return self._open_project().labels

    @property
    def runs(self) -> RunsReader:
        """The open project's runs, read only. Raises StoreError when no project is open."""
        return self._open_project().runs

    def open_project(self, root: Path) -> None:
        """Close what is open and open this one. Raises StoreError or ProjectLocked, with nothing changed then."""
        from rlhf_engine.store.project import Project

        if self.project is not None and Path(root).resolve() == self.project.root.resolve():
            return
        self._take(Project.open(root))

    def create_project(self, root: Path, name: str = "", starter: bool = False) -> None:
        """Make a new project folder and open it; with `starter`, filled with the sample prompts and comparisons."""
        from rlhf_engine.store.project import Project

        self._take(Project.create_starter(root, name) if starter else Project.create(root, name))

    def close(self) -> None:
        """Let go of engine and project. A kept run that is going goes on without the window."""
        self.close_project()
        self.background.close()
        try:
            self.settings.save()
        except OSError as error:
            log.warning("The settings could not be kept: %s", error)

    def leave_project(self) -> None:
        """Have none open."""
        self.close_project()
        self.project_changed.emit()

    def close_project(self) -> None:
        if self.engine is not None:
            self.engine.close()
            self.engine.deleteLater()
            self.engine = None
        if self.project is not None:
            self.project.close()
            self.project = None
        self.activity.clear()

    def _take(self, project: Project) -> None:
        self.close_project()
        self.project = project
        self._keeping(lambda: self.settings.opened(project.root))
        if self.settings.threads:
            os.environ["OMP_NUM_THREADS"] = str(self.settings.threads)  # the worker inherits it
        self.model = "starter"
        self.run_id = ""
        self.engine = EngineThread(project.root, self._factory, self)
        self.engine.received.connect(self._hear)
        self.engine.state_changed.connect(self.engine_changed)
        self.engine.noticed.connect(self._notice)
        self.project_changed.emit()

    def _open_project(self) -> Project:
        if self.project is None:
            raise StoreError(self.tr("No project is open."), self.tr("Open or create one in Home."))
        return self.project

    # --- runs ----------------------------------------------------------------------------------------------------

    def submit(self, spec: Any, name: str = "") -> str:
        """Hand a spec to the engine and give back the new run's id; it begins when those before it have ended."""
        run_id = self._engine().submit(spec, name)
        self.activity.name(run_id, name)
        if task_of(spec).kept:
            self._runs_soon.start()
        return run_id

    def resume(self, run_id: str) -> None:
        """Go on with a run that was suspended, interrupted, cancelled or failed, from its last checkpoint."""
        self._engine().resume(run_id)
        self._runs_soon.start()

    def control(self, run_id: str) -> Switches:
        """pause(), resume(), cancel(), suspend() and turn("learning_rate", value) of a run that is going."""
        return self._engine().control(run_id)

    def run_feed(self, run_id: str, parent: QObject | None = None) -> RunFeed:
        """All that a run said, then what it says: connect to its `event` signal. Give the panel as parent."""
        return RunFeed(self, run_id, parent)

    def select_run(self, run_id: str) -> None:
        if run_id != self.run_id:
            self.run_id = run_id
            self.run_selected.emit(run_id)

    def rename_run(self, run_id: str, name: str | None = None, note: str | None = None) -> None:
        """Ask for another name or note; runs_changed follows."""
        self._engine().rename(run_id, name, note)

    def delete_run(self, run_id: str) -> None:
        """Ask to forget a run and delete its folder; runs_changed follows."""
        self._engine().delete(run_id)

    def touch_runs(self) -> None:
        """Say that the list of runs is out of date (after a rename, a deletion)."""
        self._runs_soon.start()

    def _engine(self) -> EngineThread:
        if self.engine is None:
            raise StoreError(self.tr("No project is open."), self.tr("Open or create one in Home."))
        return self.engine

    def _hear(self, envelope: Envelope) -> None:
        self.activity.hear(envelope)
        self.received.emit(envelope)
        event = envelope.event
        if isinstance(event, RunStarted | RunFinished | Produced) and not self._runs_soon.isActive():
            self._runs_soon.start()
        if isinstance(event, Produced) and event.what == "dataset":
            self.datasets_changed.emit()

    def _notice(self, what: str, facts: dict[str, Any]) -> None:
        match what:
            case "refused" | "died":
                self.failed.emit(EngineError(facts.get("message", what), facts.get("hint", "")))
            case "waiting":
                text = self.tr("The run waits: {0} is training in this project.").format(facts.get("holder", ""))
                self.toast(text, "info")
        self._runs_soon.start()

    # --- models and data -----------------------------------------------------------------------------------------

    def models(self, kinds: tuple[str, ...] = ()) -> list[ModelChoice]:
        """Models that can be chosen; `kinds` keeps only those: "base", or the tasks that made them."""
        if self.project is None:
            return []
        starter = self.tr("built in, a tiny language model for trying things out")
        found = [ModelChoice("starter", self.tr("Starter model"), starter, "base")]
        for row in self.labels.models():
            if row["ref"] != "starter":
                found.append(ModelChoice(row["ref"], row["title"] or row["ref"], row["ref"], "base"))
        for run in self.runs.runs():
            if (
                run.task in TASKS
                and TASKS[run.task].trains
                and (self.project.root / "runs" / run.id / "adapter").is_dir()
            ):
                title = run.name or TASKS[run.task].title
                detail = self.tr("{0}, run {1}").format(TASKS[run.task].title, run.id[:6])
                found.append(ModelChoice(f"run:{run.id}", title, detail, run.task))
        return [choice for choice in found if not kinds or choice.kind in kinds]

    def model_title(self, ref: str) -> str:
        """What to call a model on screen."""
        return next((choice.title for choice in self.models() if choice.ref == ref), ref)

    def select_model(self, ref: str) -> None:
        if ref and ref != self.model:
            self.model = ref
            self.model_changed.emit()

    def datasets(self, kind: str = "") -> list[DatasetChoice]:
        """The project's datasets, newest first; with `kind` only those that hold such records."""
        if self.project is None:
            return []
        from rlhf_engine.data.datasets import list_datasets

        found = []
        for info in sorted(list_datasets(self.project.root), key=lambda info: str(info.created), reverse=True):
            if not kind or info.kind == kind:
                detail = self.tr("{0} {1}, {2} held out").format(f"{info.rows:,}", info.kind, f"{info.heldout:,}")
                found.append(
                    DatasetChoice(f"dataset:{info.hash}", info.name or info.hash, detail, info.kind, info.rows)
                )
        return found

    def freeze(
        self,
        kind: str,
        name: str = "",
        then: Callable[[str], None] | None = None,
        failed: Failed | None = None,
        ai_share: float = 0.0,
    ) -> Errand:
        """Make an immutable dataset of the standing labels, in the background; `then` gets its "dataset:<hash>".

        Comparisons judged by models are among them only in the share that is asked for.
        """
        project = self._open_project()
        root, labels_path = project.root, project.root / "labels.db"

        def frozen() -> str:
            from rlhf_engine.data.datasets import freeze
            from rlhf_engine.data.mixing import comparisons_of
            from rlhf_engine.store.labels import Labels

            labels = Labels(labels_path, write=False)
            try:
                facts: dict[str, Any] = {}
                records: list[Any] = []
                if kind == "comparisons" and labels.count_by_models():
                    records, facts = comparisons_of(labels, ai_share)
                else:
                    records = list(labels.records(kind))
                return freeze(root, kind, records, name or kind, "labels", facts).ref
            finally:
                labels.close()

        def told(ref: str) -> None:
            self.datasets_changed.emit()
            if then is not None:
                then(ref)

        return self.in_background(frozen, told, failed)

    def announce(self, changed: Changed) -> None:
        """Say what a write to `labels` changed; whoever writes calls this once per write (or per bulk of them)."""
        if changed:
            self.labels_changed.emit(changed)

    # --- talking to the window -----------------------------------------------------------------------------------

    def in_background(
        self, function: Callable[[], Any], done: Done | None = None, failed: Failed | None = None
    ) -> Errand:
        """Run `function` on another thread; `done(result)` or `failed(error)` follows on this one."""
        return self.background.run(function, done, failed)

    def toast(self, text: str, level: str = "info", action: str = "", do: Callable[[], None] | None = None) -> None:
        """A note in the corner for a few seconds; `level` is info, good, warn or bad."""
        self.toasted.emit(level, text, action, do)

    def say(self, error: BaseException) -> None:
        """Show an error that has no better place."""
        self.failed.emit(error)

    def go(self, panel: str, **hints: Any) -> None:
        """Show a panel; its `receive(hints)` hears what for, such as run="…", kind="comparisons", model="…"."""
        self.panel_requested.emit(panel, hints)

    def set_badge(self, panel: str, count: int) -> None:
        self.badge_changed.emit(panel, count)

    def remember(self, key: str, value: Any) -> None:
        """Keep a JSON value across restarts."""
        if self.settings.memory.get(key) != value:
            json.dumps(value)
            self.settings.memory[key] = value

    def keep_settings(self) -> None:
        """Write the settings down now. Where that fails they are lost, with a note; the work is not."""
        self._keeping(self.settings.save)

    def _keeping(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self.toast(self.tr("The settings cannot be kept: {0}").format(error), "bad")

    def recall(self, key: str, default: Any = None) -> Any:
        return self.settings.memory.get(key, default)


def sentence(error: BaseException) -> str:
    """An error as one line for a person: an EngineError's own words, or the kind of bug it is."""
    if isinstance(error, EngineError):
        return " ".join(filter(None, (str(error), error.hint)))
    return f"{type(error).__name__}: {error}"
