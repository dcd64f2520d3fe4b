"""`rlhf agreement`: how consistent the annotators of a project are, what habits they have, and how far they agree."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from rlhf_engine.cli.place import AsJson, InProject, project_root
from rlhf_engine.judging.consistency import FEWEST

if TYPE_CHECKING:
    from rlhf_engine.judging.against_people import Agreed, JudgeReport
    from rlhf_engine.judging.agreement import Estimate
    from rlhf_engine.judging.report import Fairness, Person
    from rlhf_engine.judging.together import Together

SHOWN = 10  # disputes; the rest is in the window, and in --json
_MARKS = {"silent": "·", "fine": "✓", "look": "!"}


def agreement(project: InProject = None, as_json: AsJson = False) -> int:
    """Say how consistent the annotators are, what habits they have, how far they agree, and where they do not."""
    from rlhf_engine.judging.report import fairness_of
    from rlhf_engine.store.labels import Labels

    labels = Labels(project_root(project) / "labels.db", write=False)
    try:
        found = fairness_of(labels)
    finally:
        labels.close()
    console = Console(highlight=False)
    if as_json:
        told = asdict(found)
        told["judge_reports"] = [_judge_body(report) for report in found.judge_reports]
        console.out(json.dumps(told, ensure_ascii=False), highlight=False)
        return 0
    for line in lines_of(found):
        console.print(Text(line), soft_wrap=True)
    return 0


def lines_of(found: Fairness) -> list[str]:
    """The report as lines of text."""
    if not found.people:
        nobody = "Nobody has judged a pair in this project yet."
        return [nobody, *_rated(found), *(line for report in found.judge_reports for line in _judge(report))]
    lines: list[str] = []
    for person in found.people:
        lines += [*_person(person), ""]
    lines += _together(found.together)
    for rubric in found.rubrics:
        same, of = rubric.with_overall
        told = f"; its winner won overall in {same} of {of}" if of else ""
        lines.append(f"{rubric.name}: said of {rubric.count:,} pairs{told}")
    lines += _rated(found)
    for judge in found.judges:
        lines.append(
            f"{judge.first} against people: {told_share(judge.agreement)}, kappa {told_number(judge.kappa)}, "
            f"{judge.agreement.count:,} pairs"
        )
    for report in found.judge_reports:
        lines += _judge(report)
    return lines


def _rated(found: Fairness) -> list[str]:
    """Who rated single answers, and how the rubric went with that."""
    lines = []
    for rater in found.raters:
        name = rater.name or "Without a name"
        lines.append(f"{name}: {rater.count:,} answers rated, {rater.liked:,} of them liked")
        again = rater.consistency
        if again.enough:
            low, high = again.interval
            told = f"{100 * again.share:.0f} % (95 %: {100 * low:.0f} to {100 * high:.0f} %)"
            lines.append(f"  the same again: {told}, {again.repeats} repeats")
        else:
            lines.append(f"  the same again: {again.repeats} of the {FEWEST} repeats it takes")
    for one in found.rated:
        told = f"; goes with the rating in {one.same} of {one.of}" if one.of else ""
        lines.append(f"{one.name}: said of {sum(one.said.values()):,} answers{told}")
    return lines


def _judge(report: JudgeReport) -> list[str]:
    """How far a judging model agrees with people: overall, then by principle."""
    lines = [
        f"{report.model} ({report.template or 'without a template'}): {report.labels:,} labels, {report.ties:,} ties"
    ]
    for one in (report.overall, *report.principles):
        name = one.name or "agreement with people"
        if one.share is None:
            lines.append(f"  {name}: no pair that both have decided")
            continue
        low, high = one.interval
        kappa = "" if one.kappa is None else f"; with ties {one.same} of {one.total}, kappa {one.kappa:.2f}"
        told = f"{100 * one.share:.0f} % of {one.count} (95 %: {100 * low:.0f} to {100 * high:.0f} %)"
        lines.append(f"  {name}: {told}{kappa}")
    return lines


def _judge_body(report: JudgeReport) -> dict[str, Any]:
    """The report with its shares and intervals, which it works out when asked."""

    def body(one: Agreed) -> dict[str, Any]:
        return {**asdict(one), "share": one.share, "interval": one.interval}

    return {**asdict(report), "overall": body(report.overall), "principles": [*map(body, report.principles)]}


def _person(person: Person) -> list[str]:
    times = "1 judgement" if person.count == 1 else f"{person.count:,} judgements"
    lines = [f"{person.name or 'Without a name'}: {times}"]
    for meter in person.meters:
        lines.append(f"  {_MARKS[meter.state]} {meter.title}: {meter.reading}")
        if meter.advice:
            lines.append(f"      {meter.advice}")
    return lines


def _together(found: Together) -> list[str]:
    if len(found.annotators) < 2:
        return ["One annotator: agreement can be told when a second one judges some of the same pairs."]
    if not found.enough:
        return [f"{found.shared} pairs were judged by at least two; agreement is told from 10 on."]
    lines = [
        f"{found.shared:,} pairs were judged by at least two of {len(found.annotators)} annotators",
        f"  Agreement: {told_share(found.agreement)}",
        f"  Krippendorff's alpha: {told_number(found.alpha)}",
        f"  Fleiss' kappa: {told_number(found.fleiss)}, "
        f"{found.fleiss.count:,} pairs with {found.fleiss_raters} verdicts",
    ]
    for two in found.twos:
        lines.append(
            f"  {two.first} and {two.second}: {told_share(two.agreement)}, Cohen's kappa {told_number(two.kappa)}, "
            f"{two.agreement.count:,} pairs"
        )
    waiting = found.open_disputes
    lines.append(f"{len(found.disputes):,} disputes, {len(waiting):,} of them not settled")
    for dispute in waiting[:SHOWN]:
        said = ", ".join(f"{who} {winner}" for who, winner in dispute.said.items())
        lines.append(f"  {' '.join(dispute.prompt.split())[:60]}: {said}")
    return lines


def told_share(found: Estimate) -> str:
    """ "82 % (95 %: 74 to 89 %)"."""
    if found.value is None:
        return "cannot be told"
    return f"{100 * found.value:.0f} % (95 %: {100 * found.low:.0f} to {100 * found.high:.0f} %)"


def told_number(found: Estimate) -> str:
    """ "0.61 (95 %: 0.48 to 0.73)"."""
    if found.value is None:
        return "cannot be told"
    return f"{found.value:.2f} (95 %: {found.low:.2f} to {found.high:.2f})"
