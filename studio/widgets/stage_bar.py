"""One line about something that takes a while: what it is doing, how far it is, when it will be done, and a way out."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QWidget

from studio.theme.tokens import S2
from studio.widgets.buttons import button
from studio.widgets.labels import PlainLabel


class StageBar(QWidget):
    """`show_stage(text, done, total, eta)`; `total` 0 shows that nobody knows. The button emits `cancelled`."""

    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None, *, cancel: str | None = "") -> None:
        super().__init__(parent)
        self.label = PlainLabel()
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMinimumWidth(80)
        self.eta = PlainLabel(tone="muted")
        self.button = button(self.tr("Stop") if cancel == "" else cancel or "", self.cancelled.emit)
        if cancel is None:
            self.button.hide()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S2)
        layout.addWidget(self.label)
        layout.addWidget(self.progress, 1)
        layout.addWidget(self.eta)
        layout.addWidget(self.button)

    def show_stage(self, text: str, done: int = 0, total: int = 0, eta: float | None = None) -> None:
        self.label.setText(text)
        scale = 1 + total // 2**30  # QProgressBar counts in 32 bits; downloads in bytes
        self.progress.setRange(0, total // scale)
        self.progress.setValue(done // scale)
        parts = [f"{done / total:.0%}"] if total else []
        if eta is not None:
            parts.append(self.tr("{0} left").format(duration(eta)))
        self.eta.setText(" · ".join(parts))

    def clear(self) -> None:
        self.label.setText("")
        self.eta.setText("")
        self.progress.setRange(0, 1)
        self.progress.setValue(0)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 3 min 05 s, 2 h 14 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
