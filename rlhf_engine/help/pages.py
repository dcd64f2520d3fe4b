"""Which pages there are and what is on them. A page is made when it is first read.

Links go to other pages: `[words](key)`, or `[words](key#Heading)` for a part of one. There are no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import resources
from rlhf_engine.help import made
from rlhf_engine.tasks import FAMILIES, TASKS

FOLDER = Path(resources.__file__).parent / "help"
GUIDE, OTHER, REFERENCE = "Guide", "Other work", "Reference"


@dataclass(frozen=True, slots=True)
class Page:
    """`group` is the heading under which it is listed; `make` gives its Markdown."""

    key: str
    title: str
    group: str
    make: Callable[[], str]


def _written(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def _title(name: str) -> str:
    """The first heading of a page written by hand."""
    first = _written(name).lstrip().partition("\n")[0]
    return first.removeprefix("#").strip()


def _pages() -> list[Page]:
    guide = [file.stem for file in sorted(FOLDER.glob("*.md"))]
    first = [name for name in ("index", "getting-started", "methods") if name in guide]
    found = [Page(name, _title(name), GUIDE, partial(_written, name)) for name in dict.fromkeys((*first, *guide))]
    for family in FAMILIES:
        tasks = [task for task in TASKS.values() if task.trains and task.family == family]
        found += [Page(task.key, task.full_title, family, partial(made.task_page, task)) for task in tasks]
    others = [task for task in TASKS.values() if not (task.trains and task.family in FAMILIES)]
    found += [Page(task.key, task.full_title, OTHER, partial(made.task_page, task)) for task in others]
    for name, said in made.lists().items():
        found.append(Page(made.list_key(name), said.label, REFERENCE, partial(made.list_page, name, said)))
    return [*found, Page("metrics", "Metrics and curves", REFERENCE, made.metrics_page)]


PAGES = {page.key: page for page in _pages()}


@cache
def read(key: str) -> str:
    """A page's Markdown. Raises KeyError for a page that there is not."""
    return PAGES[key].make()


def page_of_metric(name: str, task: str = "") -> tuple[str, str]:
    """(page, part) where a metric or curve is explained: the page of the task where that measures it, else of all."""
    part = made.anchor_of(name)
    of_task = [*made.metrics_of(TASKS[task]), *made.curves_of(TASKS[task])] if task in TASKS else []
    told = {made.anchor_of(one) for one in of_task}
    return (task if part in told else "metrics"), part
