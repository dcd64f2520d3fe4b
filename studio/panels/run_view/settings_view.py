"""With what settings a run was started: its inputs and what was changed first, the defaults after."""

from __future__ import annotations

from typing import Any

from PySide6.QtWidgets import QWidget

from rlhf_engine.contract.changes import written
from studio.panels.run_view.naming import Setting, settings_of
from studio.widgets import Column, RecordTable


class SettingsView(RecordTable):
    def __init__(self, parent: QWidget | None = None) -> None:
        columns = [
            Column("label", self.tr("Setting"), 220, tone=_tone),
            Column("value", self.tr("Value"), 260, tone=_tone),
            Column("default", self.tr("Default"), 120, tone=lambda _: "muted"),
            Column("group", self.tr("Group"), tone=lambda _: "muted"),
        ]
        super().__init__(columns, parent=parent, multiple=False)

    def show_spec(self, task: str, spec_json: str, known: dict[str, str]) -> None:
        """`known` are the titles of models and datasets by their references."""
        found = settings_of(task, spec_json)
        self.set_rows([_row(setting, number, known) for number, setting in enumerate(found)])


def _row(setting: Setting, number: int, known: dict[str, str]) -> dict[str, Any]:
    value = written(setting.value)
    return {
        "id": number,
        "label": setting.label,
        "value": f"{known[value]}  ({value})" if value in known and known[value] != value else value,
        "default": written(setting.default) if setting.changed else "",
        "group": setting.group,
        "changed": setting.changed or setting.group == "Inputs",
    }


def _tone(row: dict[str, Any]) -> str:
    return "" if row["changed"] else "muted"
