"""A model from the Hub: its name, the download with its bytes, and a way to stop it."""

from __future__ import annotations

import re
from collections.abc import Callable

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.contract.events import Envelope, RunFinished, Stage
from rlhf_engine.tasks.download.spec import DownloadSpec
from studio.panels.models.words import size
from studio.run_feed import RunFeed
from studio.session import Session, sentence
from studio.theme.tokens import S2
from studio.widgets import Card, ErrorCard, PlainLabel, StageBar, icon_button, primary_button

SITE = "https://huggingface.co"


class HubCard(Card):
    """Signals: arrived(repo) when a model is whole on this machine; closed() when the person puts the card away."""

    arrived = Signal(str)
    closed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(self.tr("Add a model from the Hub"), parent, icon="cloud-download-outline")
        self._session = session
        self._feed: RunFeed | None = None
        self.run_id = self.repo = ""
        self.name = QLineEdit()
        self.name.setPlaceholderText(self.tr("owner/name, or the address of its page"))
        self.name.setAccessibleName(self.tr("Name of the model"))
        self.name.returnPressed.connect(self.start)
        self.go = primary_button(self.tr("Download"), self.start, icon="download")
        self.note = PlainLabel(
            self.tr("Only safetensors weights are fetched, into the cache that all tools of this machine share."),
            tone="muted",
            wrap=True,
        )
        self.error = PlainLabel(tone="bad", wrap=True)
        self.error.hide()
        self.name.textChanged.connect(self._forget_error)
        self.bar = StageBar()
        self.bar.cancelled.connect(self.stop)
        self.bar.hide()
        self.add_action(icon_button("close", self.tr("Close"), self.closed.emit))
        line = QHBoxLayout()
        line.setSpacing(S2)
        line.addWidget(self.name, 1)
        line.addWidget(self.go)
        self.body.addLayout(line)
        self._failure = QVBoxLayout()
        for widget in (self.error, self.bar, self.note):
            self.add(widget)
        self.body.addLayout(self._failure)
        session.project_changed.connect(self._leave)

    @property
    def busy(self) -> bool:
        return bool(self.run_id)

    def begin(self, repo: str = "") -> None:
        """Ask for a name; with `repo`, fetch it at once."""
        if self.busy:
            return
        self._clear_failure()
        if repo:
            self.name.setText(repo)
            self.start()
        self.name.setFocus()

    def start(self) -> None:
        if self.busy:
            return
        self._clear_failure()
        try:
            spec = DownloadSpec(repo=repo_in(self.name.text()))
            self.run_id = self._session.submit(spec, self.tr("Download {0}").format(spec.repo))
        except EngineError as error:
            self.error.setText(sentence(error))
            self.error.show()
            return
        self.repo = spec.repo
        self._feed = self._session.run_feed(self.run_id, self)
        self._feed.event.connect(self.hear)
        self._show_busy(True)
        going = self._session.activity.current()
        waits = self.tr("Waiting until {0} has ended").format(going.title) if going else self.tr("Asking the engine")
        self.bar.show_stage(waits)

    def stop(self) -> None:
        if self.busy:
            self._session.control(self.run_id).cancel()
            self.bar.show_stage(self.tr("Stopping"))

    def hear(self, envelope: Envelope) -> None:
        """What the download says."""
        match envelope.event:
            case Stage(text=text, done=done, total=total):
                fetched = self.tr(": {0} of {1}").format(size(done) or "0", size(total)) if total else ""
                self.bar.show_stage(text + fetched, done, total)
            case RunFinished(outcome=outcome, message=message, hint=hint):
                self._end()
                if outcome == "completed":
                    self.name.clear()
                    self.arrived.emit(self.repo)
                elif outcome == "cancelled":
                    text = self.tr("The download of {0} was stopped; what has arrived is kept.").format(self.repo)
                    self._session.toast(text, "info")
                else:
                    self._fail(EngineError(message, hint))

    def _leave(self) -> None:
        """Another project is open: its engine knows nothing of a download of the one before."""
        self._end()
        self._clear_failure()

    def _fail(self, error: EngineError) -> None:
        buttons: list[tuple[str, Callable[[], object]]] = [(self.tr("Try again"), self.start)]
        page = QUrl(f"{SITE}/{self.repo}")
        buttons.append((self.tr("Open its page"), lambda: QDesktopServices.openUrl(page)))
        buttons.append((self.tr("Account…"), lambda: self._session.go("settings")))
        self.note.hide()
        title = self.tr("{0} could not be downloaded").format(self.repo)
        self._failure.addWidget(ErrorCard.of(error, title, buttons))

    def _forget_error(self) -> None:
        self.error.hide()

    def _clear_failure(self) -> None:
        self.error.hide()
        self.note.show()
        while (taken := self._failure.takeAt(0)) is not None:
            widget = taken.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()

    def _end(self) -> None:
        if self._feed is not None:
            self._feed.stop()
            self._feed.deleteLater()
            self._feed = None
        self.run_id = ""
        self._show_busy(False)

    def _show_busy(self, yes: bool) -> None:
        self.bar.setVisible(yes)
        self.name.setEnabled(not yes)
        self.go.setEnabled(not yes)


def repo_in(text: str) -> str:
    """The name in what a person typed or pasted: owner/name, or an address of the Hub."""
    found = re.match(
        r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)/([^/\s]+/[^/\s?#]+)", text.strip()
    )
    return found.group(1) if found else text.strip()
