"""One run, going on or long over: its progress, curves, samples, words and settings, from nothing but its events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Curve, Envelope, KnobChanged, Metrics, RunFinished, RunStarted
from rlhf_engine.tasks import TASKS
from studio.charts import ChartGrid
from studio.code_question import resume_then
from studio.panels.run_view.blind import CURVE, BlindRow
from studio.panels.run_view.curves import CurveFeed
from studio.panels.run_view.ending import ending
from studio.panels.run_view.header import RunHeader
from studio.panels.run_view.log_view import LOOKS, LogView
from studio.panels.run_view.naming import model_of, title_of, titles, values_of
from studio.panels.run_view.samples import SamplesView
from studio.panels.run_view.settings_view import SettingsView
from studio.panels.run_view.story import GOING, RunStory
from studio.theme.tokens import S2, S3
from studio.widgets import EmptyState, Icon, PlainLabel

if TYPE_CHECKING:
    from studio.session import Session


class RunView(QWidget):
    """`open(run_id)` shows a run of the session, `show_run(feed)` any feed of envelopes.

    A feed has the signals event(Envelope) and caught_up(), a `run_id` and `stop()`: RunFeed is one.
    Signals: began(run_id) when a run that waited starts; ended(run_id); changed() when title or state is another.
    """

    changed = Signal()
    FRAME_MS = 100  # labels and lists follow the events this often

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._feed: Any = None
        self._name = ""
        self._caught_up = False
        self._ending_for: tuple[Any, ...] = ()
        self._ending: QWidget | None = None
        self._waits_for = ""
        self._before = ""  # the state of a run that waits to be resumed
        self.story = RunStory()
        self.header = RunHeader()
        self.header.pause_asked.connect(lambda: self._switch("pause"))
        self.header.resume_asked.connect(lambda: self._switch("resume"))
        self.header.stop_asked.connect(lambda: self._switch("cancel"))
        self.header.suspend_asked.connect(lambda: self._switch("suspend"))
        self.header.learning_rate_turned.connect(self._turn)
        self.health_icon = Icon("check-circle-outline", 18, "good")
        self.health = PlainLabel(elide=Qt.TextElideMode.ElideRight)
        self.health_row = QWidget()
        health = QHBoxLayout(self.health_row)
        health.setContentsMargins(0, 0, 0, 0)
        health.setSpacing(S2)
        health.addWidget(self.health_icon)
        health.addWidget(self.health, 1)
        self.charts = ChartGrid(remote=session.settings.is_remote)
        self.charts.asked.connect(self._explain)
        self.curves = CurveFeed(self.charts, self)
        self.blind = BlindRow(session)
        self.blind.drawn.connect(self._draw_win_rate)
        self._curves_or_why = QStackedWidget()
        self._curves_or_why.addWidget(EmptyState("chart-line", self.tr("Curves begin with the first step")))
        self._curves_or_why.addWidget(self.charts)
        self.samples = SamplesView()
        self.log = LogView()
        self.settings = SettingsView()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setDrawBase(False)
        for widget, title in (
            (_padded(self._curves_or_why), self.tr("Curves")),
            (self.samples, self.tr("Samples")),
            (self.log, self.tr("Log")),
            (_padded(self.settings), self.tr("Settings")),
        ):
            self.tabs.addTab(widget, title)
        self._ending_place = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addWidget(self.header)
        layout.addWidget(self.health_row)
        layout.addWidget(self.blind)
        layout.addLayout(self._ending_place)
        layout.addWidget(self.tabs, 1)
        self._soon = QTimer(self, singleShot=True, interval=self.FRAME_MS)
        self._soon.timeout.connect(self.redraw)
        session.activity.changed.connect(self._queue_moved)

    # --- which run -----------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        return self.story.run_id

    @property
    def title(self) -> str:
        return self._name

    def open(self, run_id: str, name: str = "") -> None:
        """Show a run of this session from its first event on, and follow it."""
        self.show_run(self._session.run_feed(run_id, self), name)

    def show_run(self, feed: Any, name: str = "") -> None:
        """Forget the previous run and show what this feed tells."""
        self.close_run()
        self._feed = feed
        self.story = RunStory(feed.run_id)
        self._name, self._before = name, ""
        self._ending_for, self._caught_up = (), False
        feed.event.connect(self.on_event)
        feed.caught_up.connect(self._told_all)
        self._take_row()
        self.redraw()

    def close_run(self) -> None:
        """Listen no more and forget what was shown."""
        if self._feed is not None:
            self._feed.event.disconnect(self.on_event)
            self._feed.caught_up.disconnect(self._told_all)
            self._feed.stop()
            self._feed = None
        self._soon.stop()
        self.curves.clear()
        self.blind.forget()
        self.story = RunStory()
        self._drop_ending()

    @Slot(object)
    def on_event(self, envelope: Envelope) -> None:
        self.story.hear(envelope)
        match envelope.event:
            case RunStarted(from_step=step, total_steps=total):
                self._before = ""
                self.curves.truncate(step)
                newest = {name: found[-1] for name, found in self.story.curves.items()}
                self.curves.keep_tables({name: (curve.step, curve.columns) for name, curve in newest.items()})
                self.charts.expect(total)
                self._order_charts()
                self._take_row()
            case Metrics(step=step, values=values):
                self.curves.add(step, values)
            case Curve(step=step, name=name, columns=columns):
                self.curves.add_table(name, step, columns)
            case KnobChanged(step=step, name=name, value=value):
                self.charts.mark(step, f"{name.replace('_', ' ')} \u00d7 {value:g}")
            case RunFinished(outcome="failed", message=message, hint=hint):
                self._take_row()
                self._see_interruption(message, hint)
            case RunFinished():
                self._take_row()
        if not self._soon.isActive():
            self._soon.start()

    def redraw(self) -> None:
        """Bring everything but the curves up to date; they have a beat of their own."""
        self._soon.stop()
        story = self.story
        self.header.show_story(story, self._name or story.run_id[:6], self._waits_for)
        self._show_health()
        self.samples.show_samples(story.samples, story.task)
        self.blind.show_run(story.run_id, self._name or story.run_id[:6], story.task, story.samples)
        self.log.show_story(story)
        warnings = sum(line.level in ("warning", "danger") for line in story.alerts)
        count = self.tr("Samples ({0})").format(len(story.samples)) if story.samples else self.tr("Samples")
        self.tabs.setTabText(1, count)
        words = self.tr("Log ({0} warnings)").format(warnings) if warnings > 1 else self.tr("Log (1 warning)")
        self.tabs.setTabText(2, words if warnings else self.tr("Log"))
        self._curves_or_why.setCurrentIndex(1 if story.metrics or story.curves else 0)
        self._show_ending()
        self.changed.emit()

    # --- what can be done ----------------------------------------------------------------------------------------

    def next_steps(self) -> list[tuple[str, Callable[[], object]]]:
        """What makes sense after this ending, the likeliest first."""
        story, run_id = self.story, self.run_id
        ref = f"run:{run_id}"
        found: list[tuple[str, Callable[[], object]]] = []
        resume = (self.tr("Resume") if story.checkpoints else self.tr("Start again"), self.resume_run)
        if story.state in ("suspended", "interrupted", "cancelled"):
            found.append(resume)
        if self._has_adapter():
            if TASKS[story.task].scores:
                found.append((self.tr("Train a policy with it"), lambda: self._session.go("train", reward=ref)))
            elif parent := model_of(self._values()):
                found.append((self.tr("Use in Playground"), lambda: self._session.go("playground", model=ref)))
                both = [parent, ref]
                text = self.tr("Compare with its parent")
                found.append((text, lambda: self._session.go("playground", models=both)))
            found.append((self.tr("Export"), lambda: self._session.go("export", model=ref)))
        if story.task in TASKS and TASKS[story.task].trains:
            clone = self.tr("Clone with changes")
            found.append((clone, lambda: self._session.go("train", clone=run_id)))
        if story.state == "failed":
            found.insert(0, resume)
        return found

    def resume_run(self) -> None:
        resume_then(self._session, self.run_id, self, self._resume_now)

    def _resume_now(self) -> None:
        try:
            self._session.resume(self.run_id)
        except EngineError as error:
            self._session.say(error)
            return
        self._before = self.story.state
        self.story.state = "waiting"
        self._queue_moved()
        self.redraw()

    def _explain(self, metric: str) -> None:
        self._session.go("help", metric=metric, task=self.story.task)

    def _switch(self, name: str) -> None:
        getattr(self._session.control(self.run_id), name)()
        if self.story.state == "waiting" and self._before:  # it leaves the queue without a word, and is what it was
            self.story.state, self._before = self._before, ""
            self.redraw()

    def _turn(self, factor: float) -> None:
        self._session.control(self.run_id).turn("learning_rate", factor)

    # --- drawing -------------------------------------------------------------------------------------------------

    def _told_all(self) -> None:
        """What is stored has been told: a story without an end is that of a process that died."""
        self._caught_up = True
        self._see_interruption()
        self._queue_moved()
        self.redraw()

    def _see_interruption(self, message: str = "", hint: str = "") -> None:
        """A run whose process died has not failed: say the same as the list of runs does."""
        row = self._row()
        if row is not None and row.state == "interrupted" and self.story.state in ("waiting", *GOING, "failed"):
            self.story.interrupt(message or row.message, hint or row.hint)

    def _queue_moved(self) -> None:
        """While this run waits, say for which."""
        if self.story.state != "waiting" or not self.run_id:
            return
        others = [going for going in self._session.activity.kept() if going.run_id != self.run_id]
        waits_for = others[0].title if others else ""
        if waits_for != self._waits_for:
            self._waits_for = waits_for
            self._soon.start()

    def _row(self) -> Any:
        return self._session.runs.run(self.run_id) if self._session.project is not None else None

    def _take_row(self) -> None:
        """Name and settings, as far as the run has been stored."""
        row = self._row()
        if row is None:
            return
        self._name = title_of(row)
        self.settings.show_spec(row.task, row.spec_json, titles(self._session))

    def _values(self) -> dict[str, Any]:
        row = self._row()
        return values_of(row.spec_json) if row is not None else {}

    def _has_adapter(self) -> bool:
        root = self._session.root
        return root is not None and self.story.task in TASKS and (root / "runs" / self.run_id / "adapter").is_dir()

    def _draw_win_rate(self, step: int, columns: dict[str, tuple[float, ...]]) -> None:
        self.curves.add_table(CURVE, step, columns)
        self._order_charts()

    def _order_charts(self) -> None:
        """The task's own first; what people say of the answers stands beside what they are trained for."""
        if self.story.task in TASKS:
            charts = TASKS[self.story.task].charts
            judged = (CURVE,) if self.blind.judged else ()
            self.curves.set_primary((*charts[:1], *judged, *charts[1:]))

    def _show_health(self) -> None:
        story = self.story
        recent = [line for line in story.alerts if line.level != "info"][-2:] or story.alerts[-1:]
        self.health_row.setVisible(bool(recent) or (story.going and bool(story.metrics)))
        if not recent:
            self.health_icon.set_icon("check-circle-outline", "good")
            self.health.setText(self.tr("Nothing unusual so far"))
            return
        worst = max(recent, key=lambda line: ("info", "warning", "danger").index(line.level))
        self.health_icon.set_icon(*LOOKS[worst.level])
        newest_first = reversed(recent)
        said = (f"{self._step(line.step)}{line.text} {line.hint}".strip() for line in newest_first)
        self.health.setText("   ·   ".join(said))
        self.health.setToolTip("")

    def _step(self, step: int) -> str:
        return self.tr("Step {0}: ").format(step) if step else ""

    def _show_ending(self) -> None:
        story = self.story
        if not (story.ended and self._caught_up):
            self._drop_ending()
            return
        about = (story.run_id, story.state, story.step, self._name, len(story.produced))
        if about == self._ending_for:
            return
        self._drop_ending()
        self._ending = ending(story, self._name, self.next_steps())
        self._ending_place.addWidget(self._ending)
        self._ending_for = about

    def _drop_ending(self) -> None:
        self._ending_for = ()
        if self._ending is not None:
            self._ending_place.removeWidget(self._ending)
            self._ending.hide()
            self._ending.deleteLater()
            self._ending = None

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self.redraw()


def _padded(widget: QWidget) -> QWidget:
    page = QWidget()
    layout = QVBoxLayout(page)
    layout.setContentsMargins(0, S2, 0, 0)
    layout.addWidget(widget)
    return page
