"""The cards of the page: meters of one annotator, sittings, what several share, and where they differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from PySide6.QtCore import QCoreApplication, Qt
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from rlhf_engine.judging.agreement import Estimate
from rlhf_engine.judging.consistency import FEWEST
from rlhf_engine.judging.habits import FINE, SILENT, Meter
from rlhf_engine.judging.intervals import median
from rlhf_engine.judging.rated import RatedAttribute, Rater
from rlhf_engine.judging.report import Person, Rubric
from rlhf_engine.judging.together import FEWEST_SHARED, Dispute, Together, Two
from studio.engine_words import word
from studio.panels.data.words import WINNERS
from studio.panels.data.words import word as data_word
from studio.theme.tokens import S1, S3, S6
from studio.widgets import Card, Icon, Line, PlainLabel, button, primary_button

MOST = 50  # disputes in the list; all of them can be settled
LAST = 8  # sittings
_ICONS = {
    SILENT: ("timer-sand", "muted"),
    FINE: ("check-circle-outline", "good"),
    "look": ("alert-circle-outline", "warn"),
}


def _tr(text: str) -> str:
    return QCoreApplication.translate("Agreement", text)


def meters_card(person: Person) -> Card:
    """One row for each meter: what it measures, its reading, and what to do."""
    card = Card(_tr("Consistency and habits"))
    card.add(
        PlainLabel(_tr("{0} verdicts in {1} sittings").format(f"{person.count:,}", len(person.sittings)), tone="muted")
    )
    for number, meter in enumerate(person.meters):
        if number:
            card.add(Line())
        card.add(_meter_row(meter))
    found = person.consistency
    if found.enough and found.decided:
        low, high = found.ceiling_interval
        told = _tr(
            "Ceiling for a reward model on these labels: {0} (95 %: {1} to {2}). The same was said again in {3} of {4} "
            "repeats with the sides as they were, and in {5} of {6} with the sides swapped."
        ).format(percent(found.ceiling), percent(low), percent(high), *found.unturned, *found.turned)
        card.add(PlainLabel(told, tone="muted", wrap=True))
    return card


def _meter_row(meter: Meter) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, S1, 0, S1)
    layout.setSpacing(S3)
    icon = Icon(_ICONS[meter.state][0], 20, _ICONS[meter.state][1])
    layout.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
    title = PlainLabel(word(meter.title), bold=True)
    title.setMinimumWidth(190)
    layout.addWidget(title, 0, Qt.AlignmentFlag.AlignTop)
    words = QVBoxLayout()
    words.setSpacing(2)
    reading = PlainLabel(reading_of(meter), tone="muted" if meter.state == SILENT else "")
    words.addWidget(reading)
    if meter.advice:
        words.addWidget(PlainLabel(meter.advice, tone="muted" if meter.state == FINE else "", wrap=True))
    layout.addLayout(words, 1)
    return row


def reading_of(meter: Meter) -> str:
    """The number with its interval, or how much is still needed."""
    if meter.state == SILENT:
        return _tr("{0} of the {1} verdicts it takes").format(meter.count, meter.needed)
    if meter.key == "drift":
        told = _tr("{0} sittings compared").format(int(meter.value))
        return told + ("" if meter.p is None else f" · p = {meter.p:.2g}")
    low, high = meter.interval
    if meter.unit:
        told = _tr("{0} s (95 %: {1} to {2} s)").format(f"{meter.value:.1f}", f"{low:.1f}", f"{high:.1f}")
    else:
        told = _tr("{0} (95 %: {1} to {2})").format(percent(meter.value), percent(low), percent(high))
    told += _tr(" · {0} verdicts").format(f"{meter.count:,}")
    return told + ("" if meter.p is None else f" · p = {meter.p:.2g}")


def sittings_card(person: Person) -> Card:
    """The latest sittings side by side."""
    card = Card(_tr("Sittings"))
    heads = (_tr("Began"), _tr("Verdicts"), _tr("Left won"), _tr("Undecided"), _tr("Longer won"), _tr("Median time"))
    rows = []
    for sitting in reversed(person.sittings[-LAST:]):
        began = datetime.fromtimestamp(sitting.began).strftime("%d %b %Y %H:%M")
        shares = [_of(*share) for share in (sitting.left, sitting.undecided, sitting.longer)]
        rows.append((began, f"{sitting.count:,}", *shares, f"{median(sitting.seconds):.1f} s"))
    card.add(_table(heads, rows))
    if (more := len(person.sittings) - LAST) > 0:
        card.add(PlainLabel(_tr("and {0} earlier ones").format(more), tone="muted"))
    return card


def together_card(found: Together) -> Card:
    """How far annotators agree, or what it takes to tell."""
    card = Card(_tr("Between annotators"))
    if len(found.annotators) < 2:
        told = _tr(
            "One annotator so far. When somebody else judges here, under a name of their own, a share of the pairs is "
            "shown to both; from {0} such pairs on their agreement is told."
        )
        card.add(PlainLabel(told.format(FEWEST_SHARED), tone="muted", wrap=True))
        return card
    if not found.enough:
        told = _tr("{0} of the {1} pairs it takes were judged by at least two people.")
        card.add(PlainLabel(told.format(found.shared, FEWEST_SHARED), tone="muted", wrap=True))
        return card
    told = _tr("{0} pairs were judged by at least two of {1} annotators")
    card.add(PlainLabel(told.format(f"{found.shared:,}", len(found.annotators)), tone="muted"))
    rows = [
        (_tr("Agreement"), told_share(found.agreement), f"{found.agreement.count:,}"),
        (_tr("Krippendorff's alpha"), told_number(found.alpha), f"{found.alpha.count:,}"),
        (_tr("Fleiss' kappa"), told_number(found.fleiss), f"{found.fleiss.count:,}"),
    ]
    card.add(_table((_tr("All annotators"), _tr("With 95 % interval"), _tr("Pairs")), rows))
    card.add(PlainLabel(_judged(found.alpha), tone="muted", wrap=True))
    card.add(Line())
    heads = (_tr("Two annotators"), _tr("Agreement"), _tr("Cohen's kappa"), _tr("Pairs"))
    card.add(_table(heads, [_two(two) for two in found.twos]))
    return card


def _judged(alpha: Estimate) -> str:
    """What to make of alpha (Krippendorff 2004, page 241: 0.8 for conclusions, 0.667 for tentative ones)."""
    if alpha.value is None:
        return _tr("All verdicts are the same: agreement beyond chance cannot be told.")
    if alpha.value >= 0.8:
        return _tr("Above 0.8 labels of different people can be used as if one person had given them.")
    if alpha.value >= 0.667:
        return _tr("Between 0.67 and 0.8 conclusions are tentative: sharpen the guidelines where you differ.")
    return _tr("Below 0.67 people judge by different rules: talk about the disputes below and mend the guidelines.")


def disputes_card(found: Together, settle: Callable[[list[str]], None]) -> Card:
    """Pairs on which last words differ; those that wait can be settled, one or all."""
    waiting = found.open_disputes
    card = Card(_tr("Where they differ"))
    if waiting:
        ids = [dispute.pair for dispute in waiting]
        card.add_action(primary_button(_tr("Settle {0}").format(f"{len(ids):,}"), lambda: settle(ids)))
    told = _tr(
        "Without a majority a pair is left out of training until it is settled; who settles it has the last word."
    )
    card.add(PlainLabel(told, tone="muted", wrap=True))
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(S6)
    grid.setColumnStretch(0, 1)
    for row, dispute in enumerate(found.disputes[:MOST]):
        grid.addWidget(PlainLabel(" ".join(dispute.prompt.split()), elide=Qt.TextElideMode.ElideRight), row, 0)
        grid.addWidget(PlainLabel(_said(dispute)), row, 1)
        if dispute.settled:
            by = _tr("{0}, by {1}").format(_winner(dispute.settled), dispute.settled_by or "—")
            grid.addWidget(PlainLabel(by, tone="muted"), row, 2)
        else:
            grid.addWidget(button(_tr("Settle"), partial(settle, [dispute.pair])), row, 2)
    card.add(holder)
    if (more := len(found.disputes) - MOST) > 0:
        card.add(PlainLabel(_tr("and {0} more").format(f"{more:,}"), tone="muted"))
    return card


def rubric_card(found: Sequence[Rubric]) -> Card:
    """What was said of attributes, and how it goes with the overall choice."""
    card = Card(_tr("Rubric"))
    heads = (_tr("Attribute"), _tr("Verdicts"), _tr("Its winner won overall"), _tr("Agreement"), _tr("Alpha"))
    rows = [
        (
            rubric.name,
            f"{rubric.count:,}",
            _of(*rubric.with_overall),
            "—" if rubric.agreement is None else percent(rubric.agreement),
            "—" if rubric.alpha is None else f"{rubric.alpha:.2f}",
        )
        for rubric in found
    ]
    card.add(_table(heads, rows))
    return card


def raters_card(found: Sequence[Rater]) -> Card:
    """Who rated single answers, and how often they rate the same again."""
    card = Card(_tr("Single answers"))
    heads = (_tr("Annotator"), _tr("Answers"), _tr("Liked"), _tr("The same again, with 95 % interval"))
    rows = []
    for rater in found:
        again = rater.consistency
        told = _tr("{0} of the {1} repeats it takes").format(again.repeats, FEWEST)
        if again.enough:
            low, high = again.interval
            told = _tr("{0} ({1} to {2})").format(percent(again.share), percent(low), percent(high))
        rows.append((rater.name or "—", f"{rater.count:,}", _of(rater.liked, rater.count), told))
    card.add(_table(heads, rows))
    return card


def rated_card(found: Sequence[RatedAttribute]) -> Card:
    """What was said of attributes of single answers, and how it goes with the rating."""
    card = Card(_tr("Rubric of single answers"))
    heads = (_tr("Attribute"), _tr("Yes"), _tr("Partly"), _tr("No"), _tr("Goes with the rating"))
    words = ("yes", "partly", "no")
    rows = [(one.name, *(f"{one.said[word]:,}" for word in words), _of(one.same, one.of)) for one in found]
    card.add(_table(heads, rows))
    return card


def judges_card(found: Sequence[Two]) -> Card:
    """Models that judged, against the majority of people."""
    card = Card(_tr("Judging models against people"))
    heads = (_tr("Model"), _tr("Agreement"), _tr("Cohen's kappa"), _tr("Pairs"))
    rows = [(two.first or "—", *_two(two)[1:]) for two in found]
    card.add(_table(heads, rows))
    return card


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def told_share(found: Estimate) -> str:
    if found.value is None:
        return "—"
    return _tr("{0} ({1} to {2})").format(percent(found.value), percent(found.low), percent(found.high))


def told_number(found: Estimate) -> str:
    if found.value is None:
        return "—"
    return _tr("{0} ({1} to {2})").format(f"{found.value:.2f}", f"{found.low:.2f}", f"{found.high:.2f}")


def _two(two: Two) -> tuple[str, str, str, str]:
    names = _tr("{0} and {1}").format(two.first or "—", two.second or "—")
    return names, told_share(two.agreement), told_number(two.kappa), f"{two.agreement.count:,}"


def _of(hits: int, cases: int) -> str:
    return f"{percent(hits / cases)}  ({hits}/{cases})" if cases else "—"


def _winner(winner: str) -> str:
    return data_word(WINNERS.get(winner, winner))


def _said(dispute: Dispute) -> str:
    return " · ".join(f"{who or '—'}: {_winner(winner)}" for who, winner in dispute.said.items())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> QWidget:
    """A few rows of text under their heads; numbers are read along columns."""
    holder = QWidget()
    grid = QGridLayout(holder)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(S6)
    grid.setColumnStretch(len(heads), 1)
    for column, head in enumerate(heads):
        grid.addWidget(PlainLabel(head, tone="muted"), 0, column)
    for number, row in enumerate(rows, 1):
        for column, text in enumerate(row):
            grid.addWidget(PlainLabel(text, selectable=True), number, column)
    return holder
