"""Searching all pages: every word must be found in a part of a page, as a beginning or in the middle of a word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from rlhf_engine.help.pages import PAGES, Page, read

AROUND = 60  # characters shown on each side of what was found


@dataclass(frozen=True, slots=True)
class Hit:
    """A part of a page in which all words are: its heading ("" for the page's beginning), what a link to it names, the
    text around the words, and the keys of further pages that say the same."""

    page: Page
    heading: str
    anchor: str
    text: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    page: Page
    heading: str
    anchor: str
    text: str


def search(wanted: str, most: int = 40) -> list[Hit]:
    """The parts in which every word of `wanted` is, those with a word in the heading first; the written pages, the
    methods and the reference in this order otherwise."""
    words = wanted.casefold().split()
    if not words:
        return []
    found: dict[tuple[str, str], tuple[int, Hit]] = {}
    for part in _parts():
        title, heading, text = part.page.title.casefold(), part.heading.casefold(), part.text.casefold()
        if all(word in title or word in heading or word in text for word in words):
            named = all(word in (heading or title) for word in words)
            rank = 0 if named else 1 if any(word in heading for word in words) else 2
            hit = Hit(part.page, part.heading, part.anchor, _around(part.text, words))
            said = (part.heading, part.text) if part.heading else (part.page.key, part.text)
            _, first = found.get(said, (rank, hit))
            more = (*first.also, part.page.key) if first is not hit else ()
            found[said] = (rank, replace(first, also=more))
    return [hit for _, hit in sorted(found.values(), key=lambda one: one[0])[:most]]


@cache
def _parts() -> tuple[_Part, ...]:
    """Every page cut at its headings."""
    return tuple(part for page in PAGES.values() for part in _cut(page))


def _cut(page: Page) -> Iterator[_Part]:
    heading, lines = "", []
    for line in [*read(page.key).split("\n"), "# "]:
        if not line.startswith("#"):
            lines.append(line)
            continue
        if text := " ".join(_shown(" ".join(lines)).split()):
            name = next(iter(re.findall(r"^`([^`]+)`", "\n".join(lines).strip())), "")
            yield _Part(page, heading, name or heading, text)
        level, _, title = line.partition(" ")
        heading, lines = ("" if level == "#" else _shown(title).strip()), []


def _shown(markdown: str) -> str:
    """Markdown as it is read: without emphasis, code marks and the targets of links."""
    text = re.sub(r"(?<!\\)\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"(?<!\\)[*`]+", "", text)
    return re.sub(r"\\([\\`*_{}\[\]<>#|~])", r"\1", text)


def _around(text: str, words: list[str]) -> str:
    at = min((place for word in words if (place := text.casefold().find(word)) >= 0), default=0)
    begin, end = max(0, at - AROUND), at + 2 * AROUND
    return ("…" if begin else "") + text[begin:end].strip() + ("…" if end < len(text) else "")
