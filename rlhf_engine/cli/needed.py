"""`rlhf needed`: how many more labels a wished held-out accuracy of the reward model needs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from rlhf_engine.choosing.learning_curve import MEANING, answer, labels_needed, next_goal
from rlhf_engine.cli.here import do_run
from rlhf_engine.cli.outcome import STOPPED
from rlhf_engine.cli.place import AsJson, InProject, project_root
from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.launch.engine import new_run_id
from rlhf_engine.launch.growth import Growth, growth_of

Wished = Annotated[
    float, typer.Option("--accuracy", help="Held-out accuracy to reach, such as 0.8. 0 is the next full 5 %.")
]
Train = Annotated[
    bool,
    typer.Option(
        "--train",
        help="First train on an eighth, a quarter and half of the labels, where that is not done. Stopped half-way, "
        "it goes on from there.",
    ),
]


def needed(accuracy: Wished = 0.0, train: Train = False, project: InProject = None, as_json: AsJson = False) -> int:
    """Say how many more labels the reward model needs, from runs with the settings of the newest one."""
    if not 0.0 <= accuracy < 1.0:
        raise SpecError("accuracy", f"The accuracy is {accuracy:g}, but must be between 0 and 1.", "Try 0.8.")
    root = project_root(project)
    growth = growth_of(root)
    while train and (specs := growth.missing()):
        spec = specs[0]
        title = f"Reward model, {spec.labels:,} labels" if spec.labels else "Reward model, all labels"
        halted = growth.halted.get(spec.labels, "")
        if code := do_run(root, halted or new_run_id(), spec, name=title, resume=bool(halted), as_json=as_json):
            if code == STOPPED and not as_json:
                sys.stderr.write("Say the same again to go on from here.\n")
            return code
        before, growth = growth, growth_of(root)
        if growth == before:
            raise DataError(
                "The run added no point to the curve.", "Its dataset may have no held-out prompts, or too few pairs."
            )
    _tell(growth, accuracy, as_json)
    return 0


def _tell(growth: Growth, accuracy: float, as_json: bool) -> None:
    """Raises DataError where there is no curve yet."""
    if growth.settings is None:
        raise DataError("There is no reward model in this project.", "Train one: `rlhf help reward`.")
    found = growth.fit()
    if found is None:
        sizes = len(growth.points)
        raise DataError(
            f"A curve needs reward models of three sizes, and there {'is' if sizes == 1 else 'are'} {sizes}.",
            "Add --train to train the others.",
        )
    goal = accuracy or next_goal(found)
    console = Console(highlight=False)
    if as_json:
        told = {"points": [asdict(point) for point in found.points], "law": asdict(found.law)}
        needed = labels_needed(found, goal)
        more = {name: value if value < float("inf") else None for name, value in asdict(needed).items()}
        more["settled"] = needed.settled
        console.out(json.dumps({**told, "needed": more, "answer": answer(found, goal)}), highlight=False)
        return
    for point in found.points:
        console.out(f"{point.labels:>9,} labels: {point.accuracy:.1%} of {point.of:,} held-out pairs", highlight=False)
    console.out(f"{answer(found, goal)}\n{MEANING}", highlight=False)
