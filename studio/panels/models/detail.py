"""Everything known of one model: facts from its files, where it comes from, and what its run measured last."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt, Signal, SignalInstance
from PySide6.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from rlhf_engine.tasks import TASKS
from studio.engine_words import metric
from studio.panels.models.family import BASE, Family, Member
from studio.panels.models.words import kind_word, parameters, size
from studio.theme.tokens import S2, S3, S4
from studio.widgets import Card, Pill, PlainLabel, button, ghost_button, primary_button

_SHOWN = 14  # metrics
_PASSING = ("time/", "memory/", "learning_rate", "answers/tokens_per_second")  # what says nothing about the result


class ModelDetail(QWidget):
    """`show_member(member, family)`. Each action is a signal with the model's ref."""

    playground = Signal(str)
    train = Signal(str)
    train_policy = Signal(str)
    export = Signal(str)
    remove = Signal(str)
    add = Signal(str)
    download = Signal(str)
    open_folder = Signal(str)
    show_run = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.ref = ""
        self.title = PlainLabel(bold=True, size=1.15, elide=Qt.TextElideMode.ElideMiddle)
        self.kind = Pill()
        self.where = PlainLabel(tone="muted", wrap=True, selectable=True)
        self.fault = PlainLabel(tone="bad", wrap=True, selectable=True)
        self.hint = PlainLabel(tone="muted", wrap=True)
        self.lineage = PlainLabel(wrap=True)
        self.facts, self.metrics = _Facts(), _Facts(mono=True)
        self.metrics_card = Card(self.tr("Last measured by its run"))
        self.metrics_card.add(self.metrics)
        self.run_button = ghost_button(self.tr("Show the run"), lambda: self.show_run.emit(self.ref))
        self.metrics_card.add_action(self.run_button)
        self._make_buttons()
        self._lay_out()

    def show_member(self, member: Member, family: Family) -> None:
        self.ref = member.ref
        self.title.setText(member.title)
        self.kind.set(kind_word(member.kind), "link" if member.kind != BASE else "muted")
        self.where.setText(str(member.folder) if member.folder and member.ref != "starter" else self._place(member))
        self.fault.setText(member.fault)
        self.fault.setVisible(bool(member.fault))
        self.hint.setText(member.hint)
        self.hint.setVisible(bool(member.hint))
        line = "  →  ".join(f"{one.title} ({kind_word(one.kind)})" for one in family.lineage(member.ref))
        if reward := family.members.get(member.reward_model):
            line += "\n" + self.tr("Rewarded by {0}").format(reward.title)
        self.lineage.setText(line)
        self.facts.show_rows(self._facts_of(member, family))
        self.facts_card.setVisible(bool(self.facts.rows))
        measured = member.run.metrics if member.run else {}
        shown = {
            name: value
            for name, value in sorted(measured.items(), key=partial(_telling, member.kind))
            if not name.startswith(_PASSING)
        }
        told = [(metric(name).title, _number(value)) for name, value in list(shown.items())[:_SHOWN]]
        self.metrics.show_rows(told)
        self.metrics_card.setVisible(member.run is not None)
        self._offer(member)

    def _place(self, member: Member) -> str:
        if member.ref == "starter":
            return self.tr("Comes with the program")
        return self.tr("{0}, not downloaded yet").format(member.ref)

    def _facts_of(self, member: Member, family: Family) -> list[tuple[str, str]]:
        if member.adapter is not None:
            facts = member.adapter
            base = family.base_of(member.ref)
            half = str(facts.about.get("prompts_from") or "")  # of reward models; two halves can judge each other
            trained = parameters(facts.parameters) + (self.tr(", all of them") if facts.whole else "")
            lora = self.tr("rank {0}, alpha {1}").format(facts.rank, f"{facts.alpha:g}")
            context = f"{base.base.context:,}" if base and base.base and base.base.context else ""
            return [
                (self.tr("Trained weights"), trained),
                (self.tr("On disk"), size(facts.bytes)),
                (self.tr("LoRA"), lora if facts.rank else ""),
                (self.tr("Layers adapted"), ", ".join(facts.targets[:8])),
                (self.tr("Format"), ", ".join(facts.dtypes)),
                (self.tr("Base"), base.title if base else str(facts.about.get("base", ""))),
                (self.tr("Context"), self.tr("{0} tokens").format(context) if context else ""),
                (self.tr("Prompt template"), str(facts.about.get("template") or "")),
                (self.tr("Data"), str(facts.about.get("dataset") or "")),
                (self.tr("Prompts from"), self.tr("the {0}").format(half) if half not in ("", "all") else ""),
            ]
        if member.base is None:
            return []
        base_facts = member.base
        shape = self.tr("{0} layers, {1} wide").format(base_facts.layers, f"{base_facts.hidden:,}")
        context = self.tr("{0} tokens").format(f"{base_facts.context:,}")
        return [
            (self.tr("Architecture"), base_facts.architecture),
            (self.tr("Parameters"), f"{base_facts.parameters:,}" if base_facts.parameters else ""),
            (self.tr("Shape"), shape if base_facts.layers else ""),
            (self.tr("Vocabulary"), f"{base_facts.vocabulary:,}" if base_facts.vocabulary else ""),
            (self.tr("Context"), context if base_facts.context else ""),
            (self.tr("On disk"), size(base_facts.bytes)),
            (self.tr("Format"), ", ".join(base_facts.dtypes)),
            (
                self.tr("Chat template"),
                self.tr("yes") if base_facts.chat_template else self.tr("no, prompts are written plainly"),
            ),
        ]

    def _offer(self, member: Member) -> None:
        """Show what can be done with this model, and not what cannot."""
        reward = member.scores
        here = member.folder is not None or member.adapter is not None
        sound = here and not member.fault
        added = member.kind == BASE and member.listed and member.ref != "starter"
        self.train_button.setVisible(not reward and here)
        self.policy_button.setVisible(reward)
        self.export_button.setVisible(member.kind != BASE)
        for made in (self.playground_button, self.train_button, self.policy_button, self.export_button):
            made.setEnabled(sound)
        self.download_button.setVisible(not here and not member.fault)
        self.playground_button.setVisible(not reward and (here or bool(member.fault)))
        self.folder_button.setVisible(member.folder is not None)
        self.remove_button.setVisible(added)
        self.add_button.setVisible(member.kind == BASE and not member.listed)

    def _make_buttons(self) -> None:
        def does(signal: SignalInstance) -> Callable[[], None]:
            return lambda: signal.emit(self.ref)

        self.playground_button = primary_button(
            self.tr("Use in Playground"), does(self.playground), icon="message-text-outline"
        )
        self.policy_button = primary_button(
            self.tr("Train a policy with it"), does(self.train_policy), icon="rocket-launch-outline"
        )
        self.download_button = primary_button(self.tr("Download"), does(self.download), icon="download")
        self.train_button = button(self.tr("Train from this"), does(self.train), icon="school-outline")
        self.export_button = button(self.tr("Export"), does(self.export), icon="package-variant-closed")
        self.folder_button = ghost_button(self.tr("Show folder"), does(self.open_folder))
        self.add_button = ghost_button(self.tr("Add to the list"), does(self.add))
        self.remove_button = ghost_button(
            self.tr("Remove from the list"), does(self.remove), tip=self.tr("Its files stay where they are.")
        )

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(S2)
        head.addWidget(self.title, 1)
        head.addWidget(self.kind)
        come = Card(self.tr("Where it comes from"))
        come.add(self.lineage)
        known = self.facts_card = Card(self.tr("What its files say"))
        known.add(self.facts)
        inside = QWidget()
        inside.setObjectName("plain")
        inner = QVBoxLayout(inside)
        inner.setContentsMargins(0, 0, S2, 0)
        inner.setSpacing(S3)
        for widget in (self.fault, self.hint, come, known, self.metrics_card):
            inner.addWidget(widget)
        inner.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        first, second = QHBoxLayout(), QHBoxLayout()
        for line in (first, second):
            line.setSpacing(S2)
        for made in (
            self.download_button,
            self.playground_button,
            self.policy_button,
            self.train_button,
            self.export_button,
        ):
            first.addWidget(made)
        first.addStretch()
        for made in (self.folder_button, self.add_button, self.remove_button):
            second.addWidget(made)
        second.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(S4, 0, 0, 0)
        layout.setSpacing(S3)
        layout.addLayout(head)
        layout.addWidget(self.where)
        layout.addWidget(scroll, 1)
        layout.addLayout(first)
        layout.addLayout(second)


class _Facts(QWidget):
    """Names and values in two columns; a name without a value is left out."""

    def __init__(self, mono: bool = False) -> None:
        super().__init__()
        self._mono = mono
        self.rows: list[tuple[str, str]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(S4)
        self._grid.setVerticalSpacing(S2)
        self._grid.setColumnStretch(1, 1)

    def show_rows(self, rows: list[tuple[str, str]]) -> None:
        while (taken := self._grid.takeAt(0)) is not None:
            widget = taken.widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.rows = [(name, value) for name, value in rows if value]
        for number, (name, value) in enumerate(self.rows):
            self._grid.addWidget(PlainLabel(name, tone="muted"), number, 0, Qt.AlignmentFlag.AlignTop)
            shown = PlainLabel(value, wrap=not self._mono, selectable=True)
            if self._mono:
                shown.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._grid.addWidget(shown, number, 1)
            shown.show()  # at once: Qt would show it later, and lay the rows out for nothing until then


def _telling(task: str, pair: tuple[str, float]) -> tuple[int, str]:
    """What the task's charts show first, then held-out numbers, then what was aimed at, then the rest."""
    charts = TASKS[task].charts if task in TASKS else ()
    order = (*charts, "heldout/", "objective/", "train/")
    return next((place for place, start in enumerate(order) if pair[0].startswith(start)), len(order)), pair[0]


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else str(value)
