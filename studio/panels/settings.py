"""How the window looks, where things are kept, the device, the Hub account, the keys, and what this machine has."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from studio.commands import Command
from studio.forms import Combo, Spin
from studio.panels.compare.keys_card import KeysCard
from studio.panels.compare.retrain_card import RetrainCard
from studio.panels.hub_account import hub_account, hub_cache, hub_words
from studio.session import Session, sentence
from studio.settings import Settings, user_folder
from studio.theme import theme
from studio.theme.tokens import CONTROL, S2, S3, S4, S6
from studio.widgets import (
    Card,
    Column,
    Icon,
    PanelHeader,
    PlainLabel,
    RecordTable,
    button,
    ghost_button,
    primary_button,
    set_tooltip,
)


class SettingsPanel(QWidget):
    """Everything is kept at once; there is no Save."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked_machine = self._asked_hub = False
        self.cards: dict[str, Card] = {}
        inside = QWidget()
        inside.setObjectName("plain")
        column = QVBoxLayout(inside)
        column.setContentsMargins(S6, 0, S6, S6)
        column.setSpacing(S4)
        for key, card in (
            ("appearance", self._appearance()),
            ("closing", self._closing()),
            ("folders", self._folders()),
            ("device", self._device()),
            ("hub", self._hub()),
            ("judging", KeysCard(session)),
            ("retraining", RetrainCard(session)),
            ("shortcuts", self._shortcuts()),
            ("about", self._about()),
        ):
            card.setMaximumWidth(860)
            column.addWidget(card)
            self.cards[key] = card
        column.addStretch()
        self._area = QScrollArea()
        self._area.setWidgetResizable(True)
        self._area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._area.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(PanelHeader(self.tr("Settings"), self.tr("Changes are kept at once.")))
        layout.addWidget(self._area, 1)

    def on_shown(self) -> None:
        self._show_looks()
        self._fill_shortcuts()
        if not self._asked_hub:
            self._asked_hub = True
            self.check_hub()
        if not self._asked_machine:
            self._asked_machine = True
            self.check_machine()

    def on_hidden(self) -> None:
        self._keep()

    def receive(self, hints: dict[str, Any]) -> None:
        card = self.cards.get(str(hints.get("section", "")))
        if card is not None:
            self._area.verticalScrollBar().setValue(card.y())

    def commands(self) -> list[Command]:
        return [
            Command(self.tr("Check this machine"), self.check_machine),
            Command(self.tr("Check the Hub account"), self.check_hub),
        ]

    @property
    def _settings(self) -> Settings:
        return self._session.settings

    def _keep(self) -> None:
        try:
            self._settings.save()
        except OSError as error:
            self._session.toast(self.tr("The settings cannot be kept: {0}").format(error), "bad")

    # --- looks ---------------------------------------------------------------------------------------------------

    def _appearance(self) -> Card:
        card, form = _form_card(self.tr("Appearance"), "palette-outline")
        self.theme_ = Combo()
        for words, key in (
            (self.tr("As the system"), "system"),
            (self.tr("Light"), "light"),
            (self.tr("Dark"), "dark"),
        ):
            self.theme_.addItem(words, key)
        self.theme_.currentIndexChanged.connect(lambda _: self._dress())
        self.scale = QSlider(Qt.Orientation.Horizontal)
        self.scale.setRange(8, 20)
        self.scale.setPageStep(1)
        self.scale.setFixedWidth(200)
        self.scale.setAccessibleName(self.tr("Text size"))
        self.scale_said = PlainLabel(tone="muted")
        self.scale.valueChanged.connect(self._say_scale)
        self.scale.sliderReleased.connect(self._dress)
        self.scale.actionTriggered.connect(lambda _: None if self.scale.isSliderDown() else self._later())
        self.remote = Combo()
        for words, key in ((self.tr("Find out"), "auto"), (self.tr("On"), "on"), (self.tr("Off"), "off")):
            self.remote.addItem(words, key)
        self.remote.currentIndexChanged.connect(lambda _: self._set("remote", self.remote.currentData()))
        set_tooltip(self.remote, self.tr("Draws curves less often, for windows shown over a network."))
        form.add(self.tr("Theme"), _left(self.theme_))
        form.add(self.tr("Text size"), _left(self.scale, self.scale_said))
        form.add(self.tr("Remote mode"), _left(self.remote))
        self._show_looks()
        return card

    def _show_looks(self) -> None:
        for widget in (self.theme_, self.scale, self.remote):
            widget.blockSignals(True)
        self.theme_.setCurrentIndex(max(0, self.theme_.findData(self._settings.theme)))
        self.scale.setValue(round(self._settings.font_scale * 10))
        self.remote.setCurrentIndex(max(0, self.remote.findData(self._settings.remote)))
        for widget in (self.theme_, self.scale, self.remote):
            widget.blockSignals(False)
        self._say_scale()

    def _say_scale(self) -> None:
        self.scale_said.setText(f"{self.scale.value() * 10} %")

    def _later(self) -> None:
        QTimer.singleShot(0, self, self._dress)  # the slider takes its new value after saying so

    def _dress(self) -> None:
        self._settings.theme = self.theme_.currentData()
        self._settings.font_scale = self.scale.value() / 10
        theme().apply(self._settings.theme, self._settings.font_scale)
        self._keep()

    def _set(self, name: str, value: Any) -> None:
        setattr(self._settings, name, value)
        self._keep()

    def _closing(self) -> Card:
        card, form = _form_card(self.tr("While a run is going"), "exit-to-app")
        ask = QCheckBox(self.tr("Ask what to do with it when the window is closed"))
        ask.setChecked(self._settings.confirm_close)
        ask.toggled.connect(lambda yes: self._set("confirm_close", yes))
        form.addRow(ask)
        form.addRow(PlainLabel(self.tr("Without asking, it goes on in the background."), tone="muted", wrap=True))
        return card

    # --- folders and device --------------------------------------------------------------------------------------

    def _folders(self) -> Card:
        card, form = _form_card(self.tr("Folders"), "folder-outline")
        self.projects = QLineEdit(str(self._settings.projects()))
        self.projects.setReadOnly(True)
        browse = button(self.tr("Change…"), self._choose_folder)
        form.add(self.tr("New projects"), _left(self.projects, browse, stretch=True))
        for words, folder in (
            (self.tr("Downloaded models"), hub_cache()),
            (self.tr("Settings"), user_folder("config")),
            (self.tr("Logs"), user_folder("log")),
        ):
            show = ghost_button(self.tr("Show"), partial(_open_folder, folder))
            line = PlainLabel(str(folder), tone="muted", elide=Qt.TextElideMode.ElideMiddle, selectable=True)
            set_tooltip(line, str(folder))
            form.add(words, _left(line, show, stretch=True))
        return card

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self.tr("Where new projects are put"), self.projects.text())
        if chosen:
            self.projects.setText(chosen)
            self._set("projects_folder", chosen)

    def _device(self) -> Card:
        card, form = _form_card(self.tr("Device"), "memory")
        self.device = Combo()
        for words, key in ((self.tr("Take a GPU where there is one"), "auto"), ("CPU", "cpu"), ("CUDA", "cuda")):
            self.device.addItem(words, key)
        self.device.setCurrentIndex(max(0, self.device.findData(self._settings.device)))
        self.device.currentIndexChanged.connect(lambda _: self._set("device", self.device.currentData()))
        self.threads = Spin()
        self.threads.setRange(0, os.cpu_count() or 1)
        self.threads.setSpecialValueText(self.tr("All"))
        self.threads.setValue(self._settings.threads)
        self.threads.setFixedWidth(120)
        self.threads.valueChanged.connect(self._set_threads)
        form.add(self.tr("New runs use"), _left(self.device))
        form.add(self.tr("CPU threads"), _left(self.threads))
        form.addRow(
            PlainLabel(self.tr("Threads take effect when a project is opened the next time."), tone="muted", wrap=True)
        )
        return card

    def _set_threads(self, count: int) -> None:
        self._set("threads", count)

    # --- the Hub -------------------------------------------------------------------------------------------------

    def _hub(self) -> Card:
        card, form = _form_card(self.tr("Hugging Face Hub"), "cloud-outline")
        self.hub_said = PlainLabel(self.tr("Not checked yet."), wrap=True)
        self.token = QLineEdit()
        self.token.setEchoMode(QLineEdit.EchoMode.Password)
        self.token.setPlaceholderText("hf_…")
        self.token.setAccessibleName(self.tr("Access token"))
        self.sign_in = primary_button(self.tr("Sign in"), self._login)
        self.token.textChanged.connect(lambda text: self.sign_in.setEnabled(bool(text.strip())))
        self.sign_in.setEnabled(False)
        self.sign_out = button(self.tr("Sign out"), self._logout)
        form.add(self.tr("Account"), _left(self.hub_said, button(self.tr("Check"), self.check_hub), stretch=True))
        form.add(self.tr("Access token"), _left(self.token, self.sign_in, self.sign_out, stretch=True))
        about = self.tr(
            "Only needed for gated models and for publishing. The token is kept by huggingface_hub where its other "
            "tools find it, never in a project."
        )
        form.addRow(PlainLabel(about, tone="muted", wrap=True))
        return card

    def check_hub(self) -> None:
        """Ask the Hub who we are, if there is a token and the network has not been switched off."""
        self.hub_said.setText(self.tr("Checking…"))
        self._session.in_background(hub_account, self._show_hub, self._hub_failed)

    def _show_hub(self, account: str | None) -> None:
        self.sign_out.setEnabled(account is not None)
        if account is None:
            self.hub_said.setText(self.tr("Not signed in. Public models can be fetched without."))
            self.hub_said.set_tone("muted")
        elif account:
            self.hub_said.setText(self.tr("Signed in as {0}.").format(account))
            self.hub_said.set_tone("good")
        else:
            self.hub_said.setText(self.tr("There is a token; the Hub is switched off (HF_HUB_OFFLINE)."))
            self.hub_said.set_tone("muted")

    def _hub_failed(self, error: BaseException) -> None:
        self.hub_said.setText(hub_words(error))
        self.hub_said.set_tone("warn")
        self.sign_in.setEnabled(bool(self.token.text().strip()))

    def _login(self) -> None:
        token = self.token.text().strip()
        self.token.clear()
        self.hub_said.setText(self.tr("Signing in…"))

        def login() -> str | None:
            from huggingface_hub import login as hub_login

            hub_login(token=token, add_to_git_credential=False)
            return hub_account()

        self._session.in_background(login, self._show_hub, self._hub_failed)

    def _logout(self) -> None:
        def logout() -> str | None:
            from huggingface_hub import logout as hub_logout

            hub_logout()
            return hub_account()

        self._session.in_background(logout, self._show_hub, self._hub_failed)

    # --- keys and machine ----------------------------------------------------------------------------------------

    def _shortcuts(self) -> Card:
        card = Card(self.tr("Shortcuts"), icon="keyboard-outline")
        self.keys_table = RecordTable(
            [
                Column("keys", self.tr("Keys"), 160),
                Column("title", self.tr("What it does")),
                Column("panel", self.tr("Where"), 140),
            ],
            filter_hint=self.tr("Find a command"),
            multiple=False,
        )
        self.keys_table.setFixedHeight(300)
        card.add(self.keys_table)
        return card

    def _fill_shortcuts(self) -> None:
        asked: Callable[[], list[Command]] | None = getattr(self.window(), "commands", None)
        if asked is not None:
            rows = [
                {"id": number, "keys": command.keys, "title": command.title, "panel": command.panel}
                for number, command in enumerate(asked())
                if command.keys
            ]
            self.keys_table.set_rows(rows)

    def _about(self) -> Card:
        card = Card(self.tr("This machine"), icon="stethoscope")
        self.machine_said = PlainLabel(self.tr("Not checked yet."), wrap=True)
        card.add(self.machine_said)
        self._findings = QVBoxLayout()
        self._findings.setSpacing(S2)
        card.body.addLayout(self._findings)
        row = QHBoxLayout()
        row.setSpacing(S2)
        row.addWidget(button(self.tr("Check again"), self.check_machine))
        self.copy = button(self.tr("Copy"), self._copy, icon="content-copy")
        self.copy.setEnabled(False)
        row.addWidget(self.copy)
        row.addStretch()
        card.body.addLayout(row)
        self._report = ""
        return card

    def check_machine(self) -> None:
        self.machine_said.setText(self.tr("Checking; torch takes a few seconds…"))

        def examine() -> tuple[list[Any], str, str]:
            from rlhf_engine import doctor

            findings = doctor.diagnose()
            return findings, doctor.hardware_line(findings), doctor.report(findings)

        self._session.in_background(examine, self._show_machine, self._machine_failed)

    def _show_machine(self, found: tuple[list[Any], str, str]) -> None:
        findings, line, self._report = found
        self.machine_said.setText(line)
        self.copy.setEnabled(True)
        while (taken := self._findings.takeAt(0)) is not None:
            widget = taken.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        icons = {"ok": ("check", "good"), "warn": ("alert-outline", "warn"), "fail": ("close-circle-outline", "bad")}
        for finding in findings:
            row = QWidget()
            layout = QHBoxLayout(row)
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(S3)
            layout.addWidget(Icon(*_icon(icons[finding.level])), 0, Qt.AlignmentFlag.AlignTop)
            subject = PlainLabel(finding.subject)
            subject.setFixedWidth(150)
            layout.addWidget(subject, 0, Qt.AlignmentFlag.AlignTop)
            words = "\n".join(filter(None, (finding.sentence, finding.fix)))
            layout.addWidget(PlainLabel(words, tone="muted", wrap=True, selectable=True), 1)
            self._findings.addWidget(row)

    def _machine_failed(self, error: BaseException) -> None:
        self.machine_said.setText(sentence(error))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._report)
        self._session.toast(self.tr("Copied."), "good")


def _form_card(title: str, icon: str) -> tuple[Card, _Form]:
    card = Card(title, icon=icon)
    form = _Form()
    form.setHorizontalSpacing(S4)
    form.setVerticalSpacing(S3)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    card.body.addLayout(form)
    return card, form


class _Form(QFormLayout):
    """Labels are as high as the fields beside them and equally wide, so that all rows line up."""

    def add(self, words: str, field: QWidget) -> None:
        label = PlainLabel(words)
        label.setFixedWidth(150)
        label.setMinimumHeight(CONTROL)
        label.setWordWrap(True)
        self.addRow(label, field)


def _left(*widgets: QWidget, stretch: bool = False) -> QWidget:
    """Widgets in a line from the left; with `stretch` the first one takes what is left over."""
    line = QWidget()
    row = QHBoxLayout(line)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(S2)
    for number, widget in enumerate(widgets):
        row.addWidget(widget, 1 if stretch and number == 0 else 0)
    if not stretch:
        row.addStretch()
    return line


def _icon(pair: tuple[str, str]) -> tuple[str, int, str]:
    return pair[0], 18, pair[1]


def _open_folder(folder: Path) -> None:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder)))
