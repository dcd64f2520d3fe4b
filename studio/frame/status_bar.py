"""The bar at the foot: device and memory, the engine's state, the chosen model, what is running and how to stop it."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QSizePolicy, QStatusBar, QWidget

from studio.frame.gauges import GB, Gauges, Reading
from studio.session import Session
from studio.theme.tokens import S2, S3
from studio.widgets.buttons import icon_button
from studio.widgets.labels import PlainLabel, set_tooltip
from studio.widgets.stage_bar import StageBar
from studio.widgets.surfaces import Icon


class Meter(QWidget):
    """A name, a small bar and an amount."""

    def __init__(self, icon: str) -> None:
        super().__init__()
        self.name = PlainLabel()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(56)
        self.bar.setRange(0, 1000)
        self.amount = PlainLabel(tone="muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        for widget in (Icon(icon, 16), self.name, self.bar, self.amount):
            layout.addWidget(widget)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)

    def show_bytes(self, name: str, used: int, total: int, more: str = "") -> None:
        self.name.setText(name)
        self.bar.setValue(round(1000 * used / total) if total else 0)
        self.amount.setText(f"{used / GB:.1f} / {total / GB:.1f} GB{more}")


class StatusBar(QStatusBar):
    """Signals: run_opened(run_id) on a click on what is running; stop_asked(run_id)."""

    run_opened = Signal(str)
    stop_asked = Signal(str)

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._gauges = Gauges()
        self._asking = False
        self.setSizeGripEnabled(False)
        self.memory = Meter("memory")
        self.gpu = Meter("expansion-card-variant")
        self.engine = PlainLabel(tone="muted")
        self.model = PlainLabel(tone="muted")
        self.stage = StageBar(cancel=None)
        self.stage.progress.setFixedWidth(120)
        self.stage.label.setMaximumWidth(320)
        self.stage.label.setCursor(Qt.CursorShape.PointingHandCursor)
        self.stage.label.installEventFilter(self)
        self.stop = icon_button("stop-circle-outline", self.tr("Stop this run"), self._stop)
        self.gpu.hide()
        left = QWidget()
        row = QHBoxLayout(left)
        row.setContentsMargins(S3, 0, 0, 0)
        row.setSpacing(S3 + S2)
        for widget in (self.gpu, self.memory, self.engine, self.model):
            row.addWidget(widget)
        row.addStretch()
        self.addWidget(left, 1)
        right = QWidget()
        row = QHBoxLayout(right)
        row.setContentsMargins(0, 0, S3, 0)
        row.addWidget(self.stage)
        row.addWidget(self.stop)
        self.addPermanentWidget(right)
        self.setFixedHeight(max(32, self.fontMetrics().height() + 14))
        self._second = QTimer(self, interval=1000)
        self._second.timeout.connect(self._ask)
        session.activity.changed.connect(self.show_activity)
        session.engine_changed.connect(lambda _: self.show_engine())
        session.project_changed.connect(self.show_engine)
        session.project_changed.connect(self._show_model)
        session.model_changed.connect(self._show_model)
        self.show_activity()
        self.show_engine()

    def start(self) -> None:
        """Begin to ask the machine; after the first paint."""
        self._second.start()
        self._ask()

    def finish(self) -> None:
        self._second.stop()
        self._gauges.close()

    def _ask(self) -> None:
        # nobody looks: ask less often
        self._second.setInterval(1000 if self.isVisible() and not self.window().isMinimized() else 5000)
        if not self._asking:
            self._asking = True
            self._session.in_background(self._gauges.read, self.show_reading, self._unread)

    def _unread(self, error: BaseException) -> None:
        self._second.stop()
        self.memory.name.setText(str(error))

    def show_reading(self, reading: Reading) -> None:
        self._asking = False
        self.memory.show_bytes(self.tr("Memory"), reading.memory, reading.memory_total)
        set_tooltip(self.memory, self.tr("Memory in use. Processors {0} % busy.").format(f"{reading.busy:.0f}"))
        self.gpu.setVisible(bool(reading.gpu))
        if reading.gpu:
            more = "".join(
                f"  {value}{unit}" for value, unit in ((reading.degrees, "°C"), (reading.watts, " W")) if value
            )
            short = reading.gpu.removeprefix("NVIDIA ").removeprefix("GeForce ")
            self.gpu.show_bytes(short[:24], reading.gpu_memory, reading.gpu_total, more)
            set_tooltip(self.gpu, self.tr("{0}: {1} % busy").format(reading.gpu, reading.load))

    def show_engine(self) -> None:
        engine = self._session.engine
        state = engine.state if engine else ""
        words = {
            "": self.tr("No project"),
            "starting": self.tr("Engine starts…"),
            "warming": self.tr("Engine warms up…"),
            "ready": self.tr("Engine ready"),
            "died": self.tr("Engine ended: it starts again with the next run"),
            "stopped": self.tr("Engine stopped"),
        }
        busy = self._session.activity.current() is not None
        self.engine.setText(self.tr("Engine busy") if busy and state == "ready" else words.get(state, state))
        self.engine.set_tone("bad" if state == "died" else "link" if busy else "good" if state == "ready" else "muted")
        device = engine.device if engine else {}
        set_tooltip(self.engine, "\n".join(f"{key}: {value}" for key, value in device.items()))

    def _show_model(self) -> None:
        title = self._session.model_title(self._session.model) if self._session.project else ""
        self.model.setText(self.tr("Model: {0}").format(title) if title else "")

    def show_activity(self) -> None:
        going = self._session.activity.current()
        self.stage.setVisible(going is not None)
        self.stop.setVisible(going is not None)
        self.show_engine()
        if going is None:
            return
        text = going.title
        if going.paused:
            text = self.tr("{0}: paused").format(text)
        elif going.total:
            text = self.tr("{0}: step {1} of {2}").format(text, f"{going.step:,}", f"{going.total:,}")
        elif going.stage:
            text = f"{text}: {going.stage}"
        waiting = len(self._session.activity.going) - 1
        if waiting > 0:
            text += self.tr(" (+{0})").format(waiting)
        share = going.share
        self.stage.show_stage(text, round((share or 0) * 1000), 1000 if share is not None else 0, going.eta)
        set_tooltip(self.stage.label, going.stage or going.title)

    def _stop(self) -> None:
        going = self._session.activity.current()
        if going is not None:
            self.stop_asked.emit(going.run_id)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        going = self._session.activity.current()
        if event.type() == QEvent.Type.MouseButtonRelease and watched is self.stage.label and going is not None:
            self.run_opened.emit(going.run_id)
        return super().eventFilter(watched, event)
