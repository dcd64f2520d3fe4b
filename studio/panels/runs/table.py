"""The columns of the list of runs."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtWidgets import QWidget

from studio.panels.run_view.naming import STATES
from studio.widgets import Column, RecordTable, duration, set_tooltip
from studio.widgets.record_table import Count, Page


class RunTable(RecordTable):
    """Rows are those of `rows.row_of`."""

    def __init__(self, page: Page, count: Count, parent: QWidget | None = None) -> None:
        columns = [
            Column("state", self.tr("State"), 96, tone=lambda row: STATES.get(row["run"].state, "")),
            Column("name", self.tr("Name"), 150),
            Column("method", self.tr("Method"), 108),
            Column("model", self.tr("Model"), 110),
            Column("data", self.tr("Data"), 104),
            Column("step", self.tr("Steps"), 60, write=lambda value: f"{value:,}" if value else "", right=True),
            Column("metrics", self.tr("Last values"), sortable=False),
            Column("took", self.tr("Took"), 104, write=duration, right=True),
            Column("started", self.tr("Started"), 100, write=when),
            Column("note", self.tr("Note"), 80),
        ]
        hint = self.tr("Filter: words, method=ppo, score>0.4, lr<1e-4")
        super().__init__(columns, page, count, parent, filter_hint=hint)
        set_tooltip(
            self.filter,
            self.tr(
                "Words are looked for in the row. A column (method, state, model, data, name, note, step), a setting "
                "(kl_coef, lr, batch_size) or the last value of a metric (score, loss, accuracy) can be compared with "
                "=, !=, <, >, <= and >=."
            ),
        )


def when(seconds: float) -> str:
    """A date as short as it can be: the time today, the day this year."""
    then, now = datetime.fromtimestamp(seconds), datetime.now()
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%d %b %H:%M}" if then.year == now.year else f"{then:%d %b %Y}"
