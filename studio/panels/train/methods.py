"""Which methods there are, by family, and which of them fits what a person comes with. The task table says it all."""

from __future__ import annotations

from dataclasses import MISSING, fields

from rlhf_engine.contract.fields import about, inputs
from rlhf_engine.tasks import FAMILIES, TASKS

METHODS = tuple(key for key, task in TASKS.items() if task.trains)


def by_family() -> dict[str, list[str]]:
    """The methods under their headings, in the order of the work; those without a family come last, under ""."""
    families = dict.fromkeys((*FAMILIES, *(TASKS[key].family for key in METHODS)))
    found = {family: [key for key in METHODS if TASKS[key].family == family] for family in families}
    return {family: keys for family, keys in found.items() if keys}


def fitting(now: str, *, family: str = "", kind: str = "", picks: str = "") -> str:
    """The method that is chosen now where it fits, else the first that does, else "".

    It fits when it is of the family, learns from that kind of records ("comparisons") and takes such an input
    ("reward_model"). Methods that cannot do without the records come before those to which they may be added.
    """

    def fits(key: str) -> bool:
        told = inputs(TASKS[key].spec)
        of_family = not family or TASKS[key].family == family
        learns = not kind or any(said.kind == kind for said in told)
        return of_family and learns and (not picks or any(said.picks == picks for said in told))

    def needs(key: str) -> bool:
        given = [about(f) for f in fields(TASKS[key].spec) if f.default is MISSING]
        return not kind or any(said is not None and said.kind == kind for said in given)

    found = sorted(filter(fits, METHODS), key=lambda key: not needs(key))
    return now if now in found and needs(now) else next(iter(found), "")
