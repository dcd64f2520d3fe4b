"""One record, whole: every text in a plain-text view, with what is known of it."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QBoxLayout, QFrame, QHBoxLayout, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from rlhf_engine.data.records import Comparison, Prompt, Rating, Record, split_of, text_of, turns_of, unpack_prompt
from studio.panels.data.words import ROLES, SPLITS, degree, liked_word, source_word, verdict, when, word
from studio.theme.tokens import S1, S2, S3
from studio.widgets import Pill, PlainLabel, PlainText

Row = dict[str, Any]


class RecordDetail(QWidget):
    """`show_row(kind, row)` takes a row of the labels, `show_record(record)` one of a dataset or a file."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.texts: list[PlainText] = []
        self._pills = QHBoxLayout()
        self._pills.setSpacing(S2)
        self.facts = PlainLabel(tone="muted", wrap=True, selectable=True)
        self._inside = QWidget()
        self._inside.setObjectName("plain")
        self._sections = QVBoxLayout(self._inside)
        self._sections.setContentsMargins(0, 0, S2, 0)
        self._sections.setSpacing(S3)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setWidget(self._inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(self._pills)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.facts)

    def show_row(self, kind: str, row: Row) -> None:
        """A row of the labels, as `Labels.page` gives it."""
        self._clear()
        prompt = unpack_prompt(row["prompt"], row["turns"])
        if kind == "comparisons":
            self._pill(verdict(row["winner"], row["strength"]), "good" if row["winner"] in "ab" else "muted")
        elif kind == "ratings":
            self._liked_pill(row["liked"])
        self._split_pill(prompt)
        if row.get("hidden"):
            self._pill(self.tr("retired"), "warn")
        if row.get("flagged"):
            self._pill(self.tr("flagged"), "warn")
        self._prompt(prompt)
        texts = {"prompt": text_of(prompt)}
        if kind in ("demonstrations", "ratings"):
            self._section(self.tr("Answer"), row["completion"])
            texts["completion"] = row["completion"]
        elif kind == "comparisons":
            for side, title in (("a", self.tr("Answer A")), ("b", self.tr("Answer B"))):
                better = row["winner"] == side
                self._section(self.tr("{0} · better").format(title) if better else title, row[side], better)
                texts[side] = row[side]
            if row.get("comment"):
                self._section(self.tr("Comment"), row["comment"])
        by = source_word(row["source"]) + (self.tr(", by {0}").format(row["author"]) if row["author"] else "")
        seconds = row.get("seconds") or 0.0
        parts = [by, when(row["created"]), _lengths(texts)]
        if seconds:
            parts.append(self.tr("judged in {0} s").format(f"{seconds:.0f}"))
        self._tell(parts, row["id"])

    def show_record(self, record: Record) -> None:
        """A record of a dataset, or one that has just been read from a file."""
        self._clear()
        tied = isinstance(record, Comparison) and record.tied
        if isinstance(record, Comparison):
            self._pill(degree(record.strength), "muted" if tied else "good")
        elif isinstance(record, Rating):
            self._liked_pill(record.liked)
        self._split_pill(record.prompt)
        self._prompt(record.prompt)
        texts = {"prompt": text_of(record.prompt)}
        names = {
            "completion": self.tr("Answer"),
            "chosen": self.tr("Answer A") if tied else self.tr("Better answer"),
            "rejected": self.tr("Answer B") if tied else self.tr("Worse answer"),
        }
        for name, title in names.items():
            if hasattr(record, name):
                texts[name] = getattr(record, name)
                self._section(title, texts[name], name == "chosen" and not tied)
        self._tell([source_word(record.source), _lengths(texts)], record.id)

    def clear(self) -> None:
        self._clear()
        self.facts.setText("")

    def _prompt(self, prompt: Prompt) -> None:
        if isinstance(prompt, str):
            self._section(self.tr("Prompt"), prompt)
            return
        for turn in turns_of(prompt):
            self._section(word(ROLES.get(turn["role"], turn["role"])), turn["content"])

    def _section(self, title: str, text: str, good: bool = False) -> None:
        view = PlainText(text, fit=True, most_lines=18)
        view.view.setAccessibleName(title)
        view.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.texts.append(view)
        section = QWidget()
        layout = QVBoxLayout(section)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(S1)
        layout.addWidget(PlainLabel(title, tone="good" if good else "muted"))
        layout.addWidget(view)
        section.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._sections.addWidget(section)

    def _pill(self, text: str, tone: str) -> None:
        self._pills.addWidget(Pill(text, tone))

    def _liked_pill(self, liked: Any) -> None:
        self._pill(liked_word(liked), "good" if liked else "bad")

    def _split_pill(self, prompt: Prompt) -> None:
        side = split_of(prompt)
        self._pill(word(SPLITS[side]), "link" if side == "heldout" else "muted")

    def _tell(self, parts: list[str], id_: str) -> None:
        self._pills.addStretch()
        self._sections.addStretch()
        line = "  ·  ".join(part for part in parts if part)
        self.facts.setText(f"{line}\n{id_}" if id_ else line)

    def _clear(self) -> None:
        self.texts = []
        for layout in (self._pills, self._sections):
            empty(layout)


def empty(layout: QBoxLayout) -> None:
    """Take everything out of a layout; the widgets in it go."""
    while (taken := layout.takeAt(0)) is not None:
        widget = taken.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()


def _lengths(texts: dict[str, str]) -> str:
    total = [f"{len(text):,}" for text in texts.values()]
    return QCoreApplication.translate("Data", "{0} characters").format(" + ".join(total))
