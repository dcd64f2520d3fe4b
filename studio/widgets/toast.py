"""Notes in the lower right corner: they go by themselves after a few seconds, and stay while the mouse is over them."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QEnterEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QWidget

from studio.theme.tokens import S2, S3, S4
from studio.widgets.buttons import ghost_button, icon_button
from studio.widgets.labels import PlainLabel
from studio.widgets.surfaces import Icon

SHOWN_MS = {"info": 4000, "good": 4000, "warn": 7000, "bad": 10_000}
TO_ACT_MS = 8000  # at least, where there is something to press
_ICONS = {"info": "information-outline", "good": "check-circle-outline", "warn": "alert-outline"}
_TINTS = {"info": "link", "good": "good", "warn": "warn", "bad": "bad"}


class Toast(QFrame):
    closed = Signal(object)

    def __init__(
        self,
        text: str,
        level: str = "info",
        action: str = "",
        do: Callable[[], object] | None = None,
        *,
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setProperty("card", "true")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.label = PlainLabel(text[:400], wrap=True)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(S3, S2, S2, S2)
        layout.setSpacing(S2)
        layout.addWidget(Icon(_ICONS.get(level, "alert-circle-outline"), 18, _TINTS.get(level, "link")))
        layout.addWidget(self.label, 1)
        if action and do is not None:
            layout.addWidget(ghost_button(action, self._do))
        layout.addWidget(icon_button("close", self.tr("Close"), self.dismiss))
        self._action = do
        self.setFixedWidth(360)
        shown = max(SHOWN_MS.get(level, 4000), TO_ACT_MS if action else 0)
        self._timer = QTimer(self, singleShot=True, interval=shown)
        self._timer.timeout.connect(self.dismiss)
        self._timer.start()

    def _do(self) -> None:
        self.dismiss()
        if self._action is not None:
            self._action()

    def dismiss(self) -> None:
        self._timer.stop()
        self.hide()
        self.closed.emit(self)
        self.deleteLater()

    def enterEvent(self, event: QEnterEvent) -> None:
        self._timer.stop()
        super().enterEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        self._timer.start()
        super().leaveEvent(event)


class Toasts(QObject):
    """The stack of toasts over one window; at most four are shown, the oldest goes first."""

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._shown: list[Toast] = []
        window.installEventFilter(self)

    def show(self, text: str, level: str = "info", action: str = "", do: Callable[[], object] | None = None) -> Toast:
        for toast in list(self._shown):
            if toast.label.text() == text[:400]:
                toast.dismiss()  # the same again: show it once
        while len(self._shown) >= 4:
            self._shown[0].dismiss()
        toast = Toast(text, level, action, do, parent=self._window)
        toast.closed.connect(self._gone)
        self._shown.append(toast)
        toast.show()
        self._place()
        return toast

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(watched, event)

    def _gone(self, toast: Toast) -> None:
        if toast in self._shown:
            self._shown.remove(toast)
        self._place()

    def _place(self) -> None:
        bottom = self._window.height() - 2 * S4 - S3
        for toast in reversed(self._shown):
            toast.resize(toast.width(), max(toast.heightForWidth(toast.width()), toast.sizeHint().height()))
            bottom -= toast.height()
            toast.move(self._window.width() - toast.width() - S4, bottom)
            toast.raise_()
            bottom -= S2
