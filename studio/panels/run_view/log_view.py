"""What a run said in words: stages, checkpoints, warnings and what to try, newest at the end."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from studio.panels.run_view.story import LogLine, RunStory
from studio.theme import icon, theme
from studio.theme.tokens import S2
from studio.widgets import PlainLabel, button, tooltip

LOOKS = {  # icon and role of each level
    "danger": ("alert-octagon-outline", "bad"),
    "warning": ("alert-outline", "warn"),
    "info": ("information-outline", "link"),
    "good": ("check-circle-outline", "good"),
    "quiet": ("circle-small", "muted"),
}
_WORDS = {"danger": "!!", "warning": "!"}


class LogView(QWidget):
    """`show_story(story)` adds the lines that are new; "Only warnings" leaves the others out."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._story: RunStory | None = None
        self._seen = 0
        self.list = QListWidget()
        self.list.setWordWrap(True)
        self.list.setUniformItemSizes(False)
        self.list.setAccessibleName(self.tr("What the run said"))
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.only = button(self.tr("Only warnings"))
        self.only.setCheckable(True)
        self.only.toggled.connect(self._again)
        self.counted = PlainLabel(tone="muted")
        bar = QHBoxLayout()
        bar.addWidget(self.only)
        bar.addWidget(self.counted)
        bar.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, S2, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(bar)
        layout.addWidget(self.list, 1)
        theme().changed.connect(self._again)

    def show_story(self, story: RunStory) -> None:
        if story is not self._story:
            self._story, self._seen = story, 0
            self.list.clear()
        fresh = min(story.logged - self._seen, len(story.log))
        self._seen = story.logged
        at_end = self.list.verticalScrollBar().value() >= self.list.verticalScrollBar().maximum() - 4
        for line in list(story.log)[len(story.log) - fresh :] if fresh else ():
            if not self.only.isChecked() or line.level in ("warning", "danger"):
                self._add(line)
        if fresh and at_end:
            self.list.scrollToBottom()
        warnings = sum(line.level in ("warning", "danger") for line in story.log)
        self.counted.setText(self.tr("{0} warnings").format(warnings) if warnings else "")

    def _again(self) -> None:
        story, self._story = self._story, None
        if story is not None:
            self.show_story(story)

    def _add(self, line: LogLine) -> None:
        clock = time.strftime("%H:%M:%S", time.localtime(line.time))
        step = self.tr("step {0}").format(line.step) if line.step else ""
        mark = _WORDS.get(line.level, "")
        text = "   ".join(filter(None, (clock, step, mark, line.text, line.hint)))
        name, role = LOOKS.get(line.level, LOOKS["info"])
        entry = QListWidgetItem(icon(name, role), text, self.list)
        entry.setToolTip(tooltip(line.hint or line.text))
