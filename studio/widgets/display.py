"""How a text is written on the screen: as it is, but that nothing in it can hide, reorder or be swallowed.

Characters that Qt drops, takes for line ends or obeys (controls, direction overrides, tags) are shown by a stand-in,
and very long lines are broken; the places of both are kept, so that what is copied is what is stored. No Qt here.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

LINE = 2_000  # Qt lays out one line of 200,000 characters in five seconds
# The \r of \r\n is shown only on request, as are the marks U+200E, U+200F and U+061C: they turn no word round.
_ALWAYS = (
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufeff\ufff9-\ufffc"
    r"\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f"
    + "".join(f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(1, 17))
    + "]"
)
_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_UNSEEN = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2060-\u2065\u206a-\u206f\u3164\uffa0"
_PATTERN = re.compile(_ALWAYS)
_ASKED = re.compile(f"{_ALWAYS[:-1]}{_SPACES}{_UNSEEN}]")
_NAMES = {
    0xA0: "NBSP",
    0xAD: "SHY",
    0x61C: "ALM",
    0x200B: "ZWSP",
    0x200C: "ZWNJ",
    0x200D: "ZWJ",
    0x200E: "LRM",
    0x200F: "RLM",
    0x2028: "LS",
    0x2029: "PS",
    0x202A: "LRE",
    0x202B: "RLE",
    0x202C: "PDF",
    0x202D: "LRO",
    0x202E: "RLO",
    0x202F: "NNBSP",
    0x2060: "WJ",
    0x2066: "LRI",
    0x2067: "RLI",
    0x2068: "FSI",
    0x2069: "PDI",
    0x3000: "IDSP",
    0xFEFF: "BOM",
}


def stand_in(character: str) -> str:
    """What is shown in the place of one character."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"⟨{_NAMES.get(code) or f'U+{code:04X}'}⟩"


@dataclass(frozen=True, slots=True)
class Swap:
    """`length` stored characters from `at` on are written as `shown_length` characters from `shown_at` on."""

    at: int
    length: int
    shown_at: int
    shown_length: int


@dataclass
class Display:
    """A text as it is written, piece after piece: `add` gives what to show of the next one.

    With `marks`, characters that have no shape of their own are shown too; blanks and tabs are the widget's to draw.
    """

    marks: bool = False
    swaps: list[Swap] = field(default_factory=list)
    length: int = 0  # stored
    shown_length: int = 0
    _line: int = 0  # characters shown since the last line end

    def add(self, text: str) -> str:
        """What to show of the piece that comes next. A line end that is cut in two (\\r, \\n) is not put together."""
        pattern = _ASKED if self.marks else _PATTERN
        plain = pattern.search(text) is None
        lines = text.split("\n")
        shown: list[str] = []
        for number, line in enumerate(lines):
            if number:
                shown.append("\n")
                self.length += 1
                self.shown_length += 1
                self._line = 0
            last = number == len(lines) - 1
            if self._line + len(line) <= LINE and plain:
                shown.append(line)
                self._pass(len(line))
            else:
                self._write(line if last else line + "\n", len(line), pattern, shown)
        return "".join(shown)

    def _write(self, line: str, end: int, pattern: re.Pattern[str], shown: list[str]) -> None:
        """One line, which may be followed by its line end: that belongs to the next."""
        at = 0
        for found in pattern.finditer(line, 0):
            if found.start() >= end:
                break
            self._run(line[at : found.start()], shown)
            quiet = found.group() == "\r" and not self.marks and found.end() == end < len(line)
            instead = "" if quiet else stand_in(found.group())
            if self._line + len(instead) > LINE:
                self._break(shown)
            self.swaps.append(Swap(self.length, 1, self.shown_length, len(instead)))
            shown.append(instead)
            self.length += 1
            self.shown_length += len(instead)
            self._line += len(instead)
            at = found.end()
        self._run(line[at:end], shown)

    def _run(self, text: str, shown: list[str]) -> None:
        """Characters that are shown as they are."""
        begin = 0
        while self._line + len(text) - begin > LINE:
            room = LINE - self._line
            shown.append(text[begin : begin + room])
            self._pass(room)
            begin += room
            self._break(shown)
        shown.append(text[begin:])
        self._pass(len(text) - begin)

    def _pass(self, count: int) -> None:
        self.length += count
        self.shown_length += count
        self._line += count

    def _break(self, shown: list[str]) -> None:
        self.swaps.append(Swap(self.length, 0, self.shown_length, 1))
        shown.append("\n")
        self.shown_length += 1
        self._line = 0

    def stored_at(self, shown: int) -> int:
        """The place in the stored text of a place in the shown one; within a stand-in, where it begins."""
        number = bisect_right(self.swaps, shown, key=lambda swap: swap.shown_at) - 1
        while number >= 0 and not self.swaps[number].shown_length and self.swaps[number].shown_at == shown:
            number -= 1  # a line end that is not shown in two belongs to what follows
        if number < 0:
            return shown
        swap = self.swaps[number]
        beyond = shown - swap.shown_at - swap.shown_length
        return swap.at if beyond < 0 else swap.at + swap.length + beyond

    def shown_at(self, stored: int) -> int:
        """The place in the shown text of a place in the stored one."""
        number = bisect_right(self.swaps, stored, key=lambda swap: swap.at) - 1
        if number < 0:
            return stored
        swap = self.swaps[number]
        beyond = stored - swap.at - swap.length
        return swap.shown_at if beyond < 0 else swap.shown_at + swap.shown_length + beyond

    def stand_ins(self) -> list[tuple[int, int]]:
        """Where stand-ins are in the shown text: from, to."""
        return [
            (swap.shown_at, swap.shown_at + swap.shown_length)
            for swap in self.swaps
            if swap.length and swap.shown_length
        ]
