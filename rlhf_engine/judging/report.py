"""Everything the statistics say of a project, from its labels: for the window and for `rlhf agreement`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rlhf_engine.judging.against_people import JudgeReport, judges_against
from rlhf_engine.judging.agreement import Item, estimated, krippendorff_alpha, percent_agreement
from rlhf_engine.judging.consistency import Consistency, consistency
from rlhf_engine.judging.habits import Meter, Sitting, habits, sitting_rows
from rlhf_engine.judging.judgement import DECIDED, Judgement, by_author, judgement_of
from rlhf_engine.judging.rated import RatedAttribute, Rater, rated_attributes, raters, rating_of
from rlhf_engine.judging.together import Together, Two, compare, judge_items, together

if TYPE_CHECKING:
    from rlhf_engine.store.labels import Labels


@dataclass(frozen=True, slots=True)
class Person:
    """One annotator: how many judgements, in how many sittings, and what the meters say."""

    name: str
    count: int
    consistency: Consistency
    meters: list[Meter]
    sittings: list[Sitting]


@dataclass(frozen=True, slots=True)
class Rubric:
    """One attribute that was judged beside the overall choice: how often, and how often its winner won overall.

    `agreement` and `alpha` are between annotators; `count` of them is 0 with one.
    """

    name: str
    count: int
    with_overall: tuple[int, int]
    agreement: float | None
    alpha: float | None


@dataclass(frozen=True, slots=True)
class Fairness:
    """`people` who judged most first; `judges` are the models that judged, against the people's majority, and
    `judge_reports` the same by judge, template and principle. `raters` rated single answers, `rated` is their rubric.
    """

    people: list[Person]
    together: Together
    rubrics: list[Rubric]
    judges: list[Two]
    judge_reports: list[JudgeReport] = field(default_factory=list)
    raters: list[Rater] = field(default_factory=list)
    rated: list[RatedAttribute] = field(default_factory=list)


def fairness_of(labels: Labels) -> Fairness:
    """All statistics of a project's labels."""
    people = [judgement_of(row) for row in labels.judgements("human")]
    models = list(labels.judgements("model"))
    told = fairness(people, [judgement_of(row) for row in models])
    ratings = [rating_of(row) for row in labels.answers_rated()]
    reports = judges_against(people, models)
    return replace(told, judge_reports=reports, raters=raters(ratings), rated=rated_attributes(ratings))


def fairness(people: list[Judgement], models: list[Judgement]) -> Fairness:
    """All statistics of what people and models judged. Takes seconds for tens of thousands: not for Qt's thread."""
    told = [
        Person(name, len(own), consistency(own), habits(own), sitting_rows(own))
        for name, own in by_author(people).items()
    ]
    judges = []
    for name, own in by_author(models).items():
        items = judge_items(own, people, name)
        if items:
            judges.append(compare(name, "people", items))
    return Fairness(told, together(people), rubrics(people), judges)


def rubrics(people: list[Judgement]) -> list[Rubric]:
    """What was said of each attribute, the one that was used most first."""
    said: dict[str, list[Judgement]] = {}
    for one in people:
        if not one.repeat_of:
            for name in one.attributes:
                said.setdefault(name, []).append(one)
    found = []
    for name, rows in sorted(said.items(), key=lambda entry: -len(entry[1])):
        both = [one for one in rows if one.winner in DECIDED and one.attributes[name] in DECIDED]
        words: dict[str, dict[str, str]] = {}
        for one in rows:
            words.setdefault(one.pair, {})[one.author] = one.attributes[name]
        shared: list[Item] = [item for item in words.values() if len(item) > 1]
        overall = (sum(one.winner == one.attributes[name] for one in both), len(both))
        agreement = estimated(shared, percent_agreement).value
        found.append(Rubric(name, len(rows), overall, agreement, krippendorff_alpha(shared)))
    return found
