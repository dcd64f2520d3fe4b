"""Meters of one annotator's habits: sides, lengths, time, and what changes between sittings.

A meter is silent until it has enough to go by. Then it shows a number with its interval, and one sentence on what to do
about it. It speaks of a habit only where the interval, or a test, leaves little doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlhf_engine.judging.consistency import FEWEST, consistency
from rlhf_engine.judging.intervals import (
    Interval,
    binomial_p,
    median,
    median_interval,
    same_level_p,
    same_share_p,
    wilson,
)
from rlhf_engine.judging.judgement import DECIDED, SPOKEN, Judgement, sittings

SILENT, FINE, LOOK = "silent", "fine", "look"
FEWEST_DECIDED = 30  # verdicts with a winner before a share of them is judged
FEWEST_TIMED = 20
FEWEST_SITTING = 15  # judgements that make a sitting worth comparing
LONGER = 10  # percent more characters make an answer the longer one
LENGTH_NEUTRAL = (0.4, 0.6)  # how often the longer answer may win before it is called a habit
SKIM = 25.0  # characters a second: 250 words a minute, at six characters a word (Brysbaert 2019: 238 when reading)
SURELY_UNREAD = 4.0  # times as fast as that
STEADY = 0.8  # how often the same should be said again
CERTAIN = 0.01  # the probability of chance below which a test is believed: four are made side by side


@dataclass(frozen=True, slots=True)
class Meter:
    """`state` is "silent" (too little), "fine" or "look". `value` and `interval` are shares where no `unit` says.

    `count` is how many judgements it goes by, `needed` how many it takes. `p` is the probability that chance alone does
    as much, where there is a test. `advice` is one sentence, what to do.
    """

    key: str
    title: str
    state: str
    count: int
    needed: int
    value: float = 0.0
    interval: Interval = (0.0, 1.0)
    unit: str = ""
    p: float | None = None
    advice: str = ""

    @property
    def reading(self) -> str:
        """ "58 % (95 %: 51 to 65 %)", or how much is still needed."""
        if self.state == SILENT:
            return f"{self.count} of the {self.needed} judgements it takes"
        low, high = self.interval
        if self.unit:
            return f"{self.value:.1f} {self.unit} (95 %: {low:.1f} to {high:.1f})"
        return f"{self.value:.0%} (95 %: {low:.0%} to {high:.0%})".replace("%", " %").replace("95  %", "95 %")


@dataclass(frozen=True, slots=True)
class Sitting:
    """One sitting in numbers: how many were judged, how often the left, a tie and the longer one won, and how fast."""

    name: str
    began: float
    count: int
    left: tuple[int, int]
    undecided: tuple[int, int]
    longer: tuple[int, int]
    seconds: tuple[float, ...]


def habits(judgements: Sequence[Judgement]) -> list[Meter]:
    """All meters of one annotator, in a fixed order."""
    own = [said for said in judgements if said.winner in SPOKEN and said.seen]
    return [
        repeats_meter(judgements),
        position_meter(own),
        length_meter(own),
        time_meter(own),
        drift_meter(own),
    ]


def repeats_meter(judgements: Sequence[Judgement]) -> Meter:
    """How often the same was said again of a pair that came back unannounced."""
    found = consistency(judgements)
    about = ("repeats", "The same again", found.repeats, FEWEST)
    if not found.enough:
        return _silent(*about)
    doubtful = found.interval[1] < STEADY
    bound = ""
    if found.decided >= FEWEST and found.ceiling < 1:
        bound = f" A reward model that is always right would be measured at {found.ceiling:.0%} on such labels."
    if doubtful:
        advice = (
            "You often decide otherwise when a pair comes back: write down in the guidelines what decided, and use Tie "
            "where nothing does."
        )
    elif found.share >= STEADY:
        advice = "You mostly stand by what you said: go on as you do."
    else:
        advice = "More repeats will tell whether you stand by what you said: go on."
    advice += bound.replace("%", " %")
    return _meter(*about, doubtful, found.share, found.interval, advice=advice)


def position_meter(own: Sequence[Judgement]) -> Meter:
    """How often the answer on the left won. Sides are drawn by lot, so that it would be half without a habit."""
    decided = [said for said in own if said.winner in DECIDED]
    about = ("position", "Left answer chosen", len(decided), FEWEST_DECIDED)
    if len(decided) < FEWEST_DECIDED:
        return _silent(*about)
    left = sum(said.chose_left for said in decided)
    p = binomial_p(left, len(decided))
    side = "left" if left * 2 > len(decided) else "right"
    habit = f"The {side} answer wins more often than chance allows: read the other one first for a while."
    advice = habit if p < CERTAIN else "No side is preferred: go on as you do."
    share = left / len(decided)
    return _meter(*about, p < CERTAIN, share, wilson(share, len(decided)), p=p, advice=advice)


def length_meter(own: Sequence[Judgement]) -> Meter:
    """How often the longer answer won, of pairs in which one is at least a tenth longer.

    Longer answers may well be better: of people's verdicts a tilt to 60 % is not called a habit here.
    """
    cases = [won for said in own if (won := longer_won(said)) is not None]
    about = ("length", "Longer answer chosen", len(cases), FEWEST_DECIDED)
    if len(cases) < FEWEST_DECIDED:
        return _silent(*about)
    share = sum(cases) / len(cases)
    low, high = wilson(share, len(cases))
    habit = low > LENGTH_NEUTRAL[1] or high < LENGTH_NEUTRAL[0]
    which = "longer" if share > 0.5 else "shorter"
    advice = (
        f"The {which} answer mostly wins, and a policy will learn that before anything else: say in the guidelines "
        "whether length counts, and judge pairs of equal length if it does not."
        if habit
        else "Length does not decide: go on as you do."
    )
    return _meter(*about, habit, share, (low, high), p=binomial_p(sum(cases), len(cases)), advice=advice)


def time_meter(own: Sequence[Judgement]) -> Meter:
    """The median time of a decision, and whether verdicts come faster than the answers can be read."""
    seconds = [said.seconds for said in own]
    about = ("time", "Time for a decision", len(seconds), FEWEST_TIMED)
    if len(seconds) < FEWEST_TIMED:
        return _silent(*about)
    hasty = sum(said.seconds * SKIM * SURELY_UNREAD < sum(said.lengths) for said in own)
    low, _ = wilson(hasty / len(own), len(own))
    share = f"{hasty / len(own):.0%}".replace("%", " %")
    advice = (
        f"{share} of the verdicts came faster than both answers can be read: slow down, or judge shorter answers."
        if low > 0.1
        else "There is time to read what is judged: go on as you do."
    )
    return _meter(*about, low > 0.1, median(seconds), median_interval(seconds), unit="s", advice=advice)


def drift_meter(own: Sequence[Judgement]) -> Meter:
    """Whether sittings differ by more than chance in what wins or in how fast it is decided.

    Four tests are made: the share of left wins, of ties and both bad, of longer wins (chi-square), and the times
    (Kruskal-Wallis). The smallest p, times four (Bonferroni), is compared with 5 %.
    """
    about = ("drift", "Change between sittings")
    sat = [sitting for sitting in sitting_rows(own) if sitting.count >= FEWEST_SITTING]
    if len(sat) < 2:
        return _silent(*about, sum(sitting.count for sitting in sat), 2 * FEWEST_SITTING)
    tests = {
        "how often the left answer wins": (same_share_p([sitting.left for sitting in sat]), "left"),
        "how often you leave a pair undecided": (same_share_p([sitting.undecided for sitting in sat]), "undecided"),
        "how often the longer answer wins": (same_share_p([sitting.longer for sitting in sat]), "longer"),
        "how long you take": (same_level_p([sitting.seconds for sitting in sat]), "seconds"),
    }
    what, (smallest, column) = min(tests.items(), key=lambda entry: entry[1][0])
    p = min(1.0, len(tests) * smallest)
    ends = (_level(sat[0], column), _level(sat[-1], column))
    advice = (
        f"Between sittings it changed {what} ({ends[0]} at first, {ends[1]} last): read the guidelines again, and "
        "judge some of the earliest pairs anew."
        if p < 0.05
        else "Your sittings are alike: go on as you do."
    )
    count = sum(sitting.count for sitting in sat)
    return Meter(*about, LOOK if p < 0.05 else FINE, count, 2 * FEWEST_SITTING, len(sat), p=p, advice=advice)


def sitting_rows(judgements: Sequence[Judgement]) -> list[Sitting]:
    """The sittings of one annotator in numbers, oldest first."""
    rows = []
    for sat in sittings(said for said in judgements if said.winner in SPOKEN and said.seen):
        decided = [said for said in sat if said.winner in DECIDED]
        longer = [won for said in sat if (won := longer_won(said)) is not None]
        rows.append(
            Sitting(
                name=sat[0].session,
                began=sat[0].created - sat[0].seconds,
                count=len(sat),
                left=(sum(said.chose_left for said in decided), len(decided)),
                undecided=(len(sat) - len(decided), len(sat)),
                longer=(sum(longer), len(longer)),
                seconds=tuple(said.seconds for said in sat),
            )
        )
    return rows


def longer_won(said: Judgement) -> bool | None:
    """Whether the longer answer won; None without a winner, or where the answers are about equally long."""
    a, b = said.lengths
    if said.winner not in DECIDED or min(a, b) <= 0 or 100 * abs(a - b) < LONGER * min(a, b):
        return None
    return (said.winner == "a") == (a > b)


def _level(sitting: Sitting, column: str) -> str:
    if column == "seconds":
        return f"{median(sitting.seconds):.1f} s"
    hits, cases = getattr(sitting, column)
    return f"{hits / cases:.0%}".replace("%", " %") if cases else "none"


def _silent(key: str, title: str, count: int, needed: int) -> Meter:
    return Meter(key, title, SILENT, count, needed)


def _meter(
    key: str,
    title: str,
    count: int,
    needed: int,
    look: bool,
    value: float,
    interval: Interval,
    unit: str = "",
    p: float | None = None,
    advice: str = "",
) -> Meter:
    return Meter(key, title, LOOK if look else FINE, count, needed, value, interval, unit, p, advice)
