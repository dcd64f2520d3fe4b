"""Every panel of the window, in the order of the work. Adding one is a file beside this and a row in `PANELS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication


@dataclass(frozen=True, slots=True)
class PanelRow:
    """`target` is "module:Class", imported when the panel is first shown. The class takes (session, parent=None).

    A panel may have: `on_shown()`, `on_hidden()`, `receive(hints: dict)` (what Session.go() was given),
    `commands() -> list[Command]` for the palette, and `keys() -> list[tuple[str, str]]` for the help overlay.
    """

    key: str
    title: str
    icon: str
    target: str
    about: str

    def shown_title(self) -> str:
        return QCoreApplication.translate("Panels", self.title)

    def shown_about(self) -> str:
        return QCoreApplication.translate("Panels", self.about)

    def load(self) -> Any:
        module, _, name = self.target.partition(":")
        return getattr(import_module(module), name)


_HOME = QT_TRANSLATE_NOOP("Panels", "Home")
_MODELS = QT_TRANSLATE_NOOP("Panels", "Models")
_PLAYGROUND = QT_TRANSLATE_NOOP("Panels", "Playground")
_DATA = QT_TRANSLATE_NOOP("Panels", "Data")
_COMPARE = QT_TRANSLATE_NOOP("Panels", "Compare")
_TRAIN = QT_TRANSLATE_NOOP("Panels", "Train")
_RUNS = QT_TRANSLATE_NOOP("Panels", "Runs")
_EXPORT = QT_TRANSLATE_NOOP("Panels", "Export")
_SETTINGS = QT_TRANSLATE_NOOP("Panels", "Settings")

PANELS = {
    row.key: row
    for row in (
        PanelRow(
            "home", _HOME, "home-outline", "studio.panels.home:HomePanel", QT_TRANSLATE_NOOP("Panels", "Where to go on")
        ),
        PanelRow(
            "models",
            _MODELS,
            "cube-outline",
            "studio.panels.models:ModelsPanel",
            QT_TRANSLATE_NOOP("Panels", "Base models and what you made of them"),
        ),
        PanelRow(
            "playground",
            _PLAYGROUND,
            "message-text-outline",
            "studio.panels.playground:PlaygroundPanel",
            QT_TRANSLATE_NOOP("Panels", "Try prompts on one or more models"),
        ),
        PanelRow(
            "data",
            _DATA,
            "database-outline",
            "studio.panels.data:DataPanel",
            QT_TRANSLATE_NOOP("Panels", "Prompts, demonstrations, comparisons and datasets"),
        ),
        PanelRow(
            "compare",
            _COMPARE,
            "scale-balance",
            "studio.panels.compare:ComparePanel",
            QT_TRANSLATE_NOOP("Panels", "Judge pairs of answers"),
        ),
        PanelRow(
            "train",
            _TRAIN,
            "school-outline",
            "studio.panels.train:TrainPanel",
            QT_TRANSLATE_NOOP("Panels", "Start a run and watch it"),
        ),
        PanelRow(
            "runs",
            _RUNS,
            "chart-line",
            "studio.panels.runs:RunsPanel",
            QT_TRANSLATE_NOOP("Panels", "Runs of this project"),
        ),
        PanelRow(
            "export",
            _EXPORT,
            "package-variant-closed",
            "studio.panels.export:ExportPanel",
            QT_TRANSLATE_NOOP("Panels", "Write a model for others to load"),
        ),
        PanelRow(
            "settings",
            _SETTINGS,
            "cog-outline",
            "studio.panels.settings:SettingsPanel",
            QT_TRANSLATE_NOOP("Panels", "Appearance, folders, device, Hub and shortcuts"),
        ),
    )
}
