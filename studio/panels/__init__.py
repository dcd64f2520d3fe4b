"""Every panel of the window, in the order of the work. Adding one is a file beside this and a row in `PANELS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication


@dataclass(frozen=True, slots=True)
class PanelRow:
    """`target` is "module:Class", imported when the panel is first shown. The class takes (session, parent=None).

    `within` is the panel from which this one is reached; it has no place of its own on the rail then.

    A panel may have: `on_shown()`, `on_hidden()`, `receive(hints: dict)` (what Session.go() was given),
    `commands() -> list[Command]` for the palette, `keys() -> list[tuple[str, str]]` for the list of keys, and
    `help_topic() -> str` for the page that F1 opens; without it, that is the panel's part of "Getting started".
    """

    key: str
    title: str
    icon: str
    target: str
    about: str
    within: str = ""

    def shown_title(self) -> str:
        return QCoreApplication.translate("Panels", self.title)

    def shown_about(self) -> str:
        return QCoreApplication.translate("Panels", self.about)

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


PANELS = {
    row.key: row
    for row in (
        PanelRow(
            "home",
            str(QT_TRANSLATE_NOOP("Panels", "Home")),
            "home-outline",
            "studio.panels.home:HomePanel",
            str(QT_TRANSLATE_NOOP("Panels", "Where to go on")),
        ),
        PanelRow(
            "models",
            str(QT_TRANSLATE_NOOP("Panels", "Models")),
            "cube-outline",
            "studio.panels.models:ModelsPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Base models and what you made of them")),
        ),
        PanelRow(
            "playground",
            str(QT_TRANSLATE_NOOP("Panels", "Playground")),
            "message-text-outline",
            "studio.panels.playground:PlaygroundPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Try prompts on one or more models")),
        ),
        PanelRow(
            "data",
            str(QT_TRANSLATE_NOOP("Panels", "Data")),
            "database-outline",
            "studio.panels.data:DataPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Prompts, demonstrations, comparisons and datasets")),
        ),
        PanelRow(
            "compare",
            str(QT_TRANSLATE_NOOP("Panels", "Compare")),
            "scale-balance",
            "studio.panels.compare:ComparePanel",
            str(QT_TRANSLATE_NOOP("Panels", "Judge pairs of answers")),
        ),
        PanelRow(
            "train",
            str(QT_TRANSLATE_NOOP("Panels", "Train")),
            "school-outline",
            "studio.panels.train:TrainPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Start a run and watch it")),
        ),
        PanelRow(
            "runs",
            str(QT_TRANSLATE_NOOP("Panels", "Runs")),
            "chart-line",
            "studio.panels.runs:RunsPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Runs of this project")),
        ),
        PanelRow(
            "export",
            str(QT_TRANSLATE_NOOP("Panels", "Export")),
            "package-variant-closed",
            "studio.panels.export:ExportPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Write a model for others to load")),
        ),
        PanelRow(
            "feedback",
            str(QT_TRANSLATE_NOOP("Panels", "AI feedback")),
            "robot-outline",
            "studio.panels.feedback:FeedbackPanel",
            str(QT_TRANSLATE_NOOP("Panels", "A model judges and revises by principles")),
        ),
        PanelRow(
            "settings",
            str(QT_TRANSLATE_NOOP("Panels", "Settings")),
            "cog-outline",
            "studio.panels.settings:SettingsPanel",
            str(QT_TRANSLATE_NOOP("Panels", "Appearance, folders, device, Hub and shortcuts")),
        ),
        PanelRow(
            "help",
            str(QT_TRANSLATE_NOOP("Panels", "Help")),
            "help-circle-outline",
            "studio.panels.help:HelpPanel",
            str(QT_TRANSLATE_NOOP("Panels", "What everything means")),
        ),
        PanelRow(
            "agreement",
            str(QT_TRANSLATE_NOOP("Panels", "Agreement")),
            "account-check-outline",
            "studio.panels.agreement:AgreementPanel",
            str(QT_TRANSLATE_NOOP("Panels", "How consistent verdicts are, and how far annotators agree")),
            within="compare",
        ),
    )
}
