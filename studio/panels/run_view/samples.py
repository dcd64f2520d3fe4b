"""What a model answers to the same few prompts as it learns: step through the steps, and see each token's credit."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QSplitter,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from rlhf_engine.contract.events import Sample
from rlhf_engine.tasks import TASKS
from studio.engine_words import word
from studio.forms import Combo
from studio.theme.tokens import S2, S3, S4
from studio.widgets import EmptyState, PlainLabel, PlainText, icon_button, set_tooltip
from studio.widgets.token_heat import HeatLegend, TokenHeat

_PLAIN = "plain"


class SamplesView(QWidget):
    """`show_samples({step: samples}, task)`. Left and right go through the steps, up and down through the prompts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._samples: dict[int, list[Sample]] = {}
        self._steps: list[int] = []
        self._counts: tuple[str, list[tuple[int, int]]] = ("", [])  # the task, and how many samples each step has
        self._at = -1
        self._follow = True
        self._measure = ""  # what someone chose; it stays chosen when another sample lacks it
        self._shown = ""
        empty = EmptyState(
            "text-box-search-outline",
            self.tr("No samples yet"),
            detail=self.tr("While it learns, the run answers a few fixed prompts. “Samples every” sets how often."),
        )
        self._stack = QStackedWidget()
        self._stack.addWidget(empty)
        self._stack.addWidget(self._reading())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        for keys, way in (("Left", -1), ("Right", 1)):
            shortcut = QShortcut(QKeySequence(keys), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(lambda way=way: self.go(way))

    # --- what is shown -------------------------------------------------------------------------------------------

    @property
    def step(self) -> int:
        return self._steps[self._at] if self._steps else -1

    def show_samples(self, samples: dict[int, list[Sample]], task: str = "") -> None:
        """Take over what there is by now; the newest step is shown until someone has gone to an older one."""
        counts = (task, [(step, len(found)) for step, found in sorted(samples.items())])
        if samples is self._samples and counts == self._counts:
            return  # a run says something ten times a second, and samples now and then
        self._counts = counts
        shown = self.step
        answer, beside = self._titles(task)
        self.answer_title.setText(answer)
        self.beside_title.setText(beside)
        self._samples = samples
        self._steps = sorted(samples)
        self._stack.setCurrentIndex(1 if self._steps else 0)
        if not self._steps:
            self._at, self._follow = -1, True
            return
        older = [i for i, step in enumerate(self._steps) if step <= shown]
        self._at = len(self._steps) - 1 if self._follow or not older else older[-1]
        self._show_step()

    def go(self, way: int) -> None:
        """To the next step that has samples, or the one before."""
        if self._steps:
            self._at = max(0, min(len(self._steps) - 1, self._at + way))
            self._follow = self._at == len(self._steps) - 1
            self._show_step()

    def current(self) -> Sample | None:
        row = self.prompts.currentRow()
        found = self._samples.get(self.step, [])
        return found[row] if 0 <= row < len(found) else None

    def color_by(self, name: str) -> None:
        self.measure.setCurrentIndex(max(0, self.measure.findData(name)))

    # --- drawing -------------------------------------------------------------------------------------------------

    def _reading(self) -> QWidget:
        self.back = icon_button("chevron-left", self.tr("Earlier step (Left)"), lambda: self.go(-1))
        self.on = icon_button("chevron-right", self.tr("Later step (Right)"), lambda: self.go(1))
        self.place = PlainLabel(bold=True)
        self.measure: QComboBox = Combo()
        self.measure.setMinimumWidth(140)
        self.measure.setAccessibleName(self.tr("Colour tokens by"))
        self.measure.currentIndexChanged.connect(self._recolor)
        self.measured = PlainLabel(self.tr("Colour tokens by"), tone="muted")
        self.legend = HeatLegend()
        bar = QHBoxLayout()
        bar.setSpacing(S2)
        for widget in (self.back, self.place, self.on):
            bar.addWidget(widget)
        bar.addStretch()
        bar.addWidget(self.measured)
        bar.addWidget(self.measure)
        bar.addWidget(self.legend)
        self.prompts = QListWidget()
        self.prompts.setWordWrap(False)
        self.prompts.setSpacing(3)
        self.prompts.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.prompts.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.prompts.setAccessibleName(self.tr("Prompts"))
        self.prompts.currentRowChanged.connect(lambda _: self._show_sample())
        self.prompt = PlainText(fit=True, most_lines=6)
        self.answer = TokenHeat()
        self.score = PlainLabel(tone="muted")
        self.beside_title = PlainLabel(bold=True)
        self.beside = PlainText()
        detail = QWidget()
        inside = QVBoxLayout(detail)
        inside.setContentsMargins(S4, 0, 0, 0)
        inside.setSpacing(S2)
        inside.addWidget(PlainLabel(self.tr("Prompt"), bold=True))
        inside.addWidget(self.prompt)
        answers = QHBoxLayout()
        answers.setSpacing(S3)
        self.answer_title = PlainLabel(bold=True)
        self._beside_column = QWidget()
        for title, extra, text, place in (
            (self.answer_title, self.score, self.answer, QWidget()),
            (self.beside_title, None, self.beside, self._beside_column),
        ):
            column = QVBoxLayout(place)
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(S2)
            head = QHBoxLayout()
            head.addWidget(title)
            head.addStretch()
            if extra is not None:
                head.addWidget(extra)
            column.addLayout(head)
            column.addWidget(text, 1)
            answers.addWidget(place, 1)
        inside.addLayout(answers, 1)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.prompts)
        split.addWidget(detail)
        split.setStretchFactor(1, 1)
        split.setSizes([260, 700])
        split.setChildrenCollapsible(False)
        page = QWidget()
        layout = QVBoxLayout(page)
        layout.setContentsMargins(0, S2, 0, 0)
        layout.setSpacing(S2)
        layout.addLayout(bar)
        layout.addWidget(split, 1)
        return page

    def _titles(self, task: str) -> tuple[str, str]:
        first, beside = TASKS[task].beside if task in TASKS else ("Answer now", "To compare with")
        return word(first), word(beside)

    def _show_step(self) -> None:
        found = self._samples[self.step]
        chosen = self.prompts.currentRow()
        self.prompts.blockSignals(True)
        self.prompts.clear()
        for sample in found:
            score = f"{sample.score:+.2f}   " if sample.score is not None else ""
            QListWidgetItem(score + " ".join(sample.prompt.split())[:200], self.prompts)
        self.prompts.setCurrentRow(min(max(0, chosen), len(found) - 1))
        self.prompts.blockSignals(False)
        text = self.tr("Step {0}   ({1} of {2})")
        self.place.setText(text.format(self.step, self._at + 1, len(self._steps)))
        self.back.setEnabled(self._at > 0)
        self.on.setEnabled(self._at < len(self._steps) - 1)
        self._show_sample()

    def _show_sample(self) -> None:
        sample = self.current()
        if sample is None:
            return
        self.prompt.set_text(sample.prompt)
        self.score.setText(self.tr("score {0}").format(f"{sample.score:+.3f}") if sample.score is not None else "")
        self._beside_column.setVisible(bool(sample.reference))
        self.beside.set_text(sample.reference)
        self._offer(sample)
        if sample.tokens:
            self.answer.show_tokens(sample.tokens, dict(sample.per_token), self._shown)
        else:
            self.answer.show_text(sample.completion)
        self.legend.show_scale(self.answer.scale())

    def _offer(self, sample: Sample) -> None:
        """The measures that this sample has; the one chosen before stays chosen."""
        names = list(sample.per_token)
        first = next((name for name in ("advantage", "kl") if name in names), next(iter(names), ""))
        self._shown = "" if self._measure == _PLAIN else self._measure if self._measure in names else first
        self.measure.blockSignals(True)
        self.measure.clear()
        self.measure.addItem(self.tr("Nothing"), "")
        for name in names:
            self.measure.addItem(_title(name), name)
        self.measure.setCurrentIndex(max(0, self.measure.findData(self._shown)))
        self.measure.blockSignals(False)
        set_tooltip(self.measure, _about(self._shown))
        for widget in (self.measure, self.measured):
            widget.setVisible(bool(names))

    def _recolor(self) -> None:
        self._shown = self.measure.currentData() or ""
        self._measure = self._shown or _PLAIN
        self.answer.color_by(self._shown)
        self.legend.show_scale(self.answer.scale())
        set_tooltip(self.measure, _about(self._shown))


def _title(measure: str) -> str:
    translate = QCoreApplication.translate
    titles = {
        "advantage": translate("SamplesView", "Advantage"),
        "kl": translate("SamplesView", "Drift (KL)"),
        "value": translate("SamplesView", "Value"),
        "logprob": translate("SamplesView", "Log-probability"),
    }
    return titles.get(measure, measure.replace("_", " ").capitalize())


def _about(measure: str) -> str:
    """What a measure of a token is, in a sentence."""
    translate = QCoreApplication.translate
    about = {
        "advantage": translate(
            "SamplesView",
            "Advantage: how much better than expected the answer went on from this token; what is rewarded.",
        ),
        "kl": translate(
            "SamplesView",
            "Drift: how much more likely the token is now than it was to the starting model, in nats.",
        ),
        "value": translate("SamplesView", "Value: the score that the value model expects before this token."),
        "logprob": translate("SamplesView", "Log-probability of the token, in nats."),
    }
    return about.get(measure, "")
