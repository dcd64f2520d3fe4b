"""The keys of judging: what each does, those chosen instead, and what they would collide with. No Qt in this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MEMORY = "judging keys"
MOST = 3  # keys of one action
PAIRS, RANKING, THUMBS, FIVE = "pairs", "ranking", "thumbs", "five"  # where a key is heard; "" is everywhere
ANSWERS = 9  # that can be ranked, one key each


@dataclass(frozen=True, slots=True)
class Action:
    """Something a key does. `words` are for people and are translated where they are shown.

    `where` it is heard: two that are never heard together may have the same key.
    """

    name: str
    words: str
    keys: tuple[str, ...]
    where: str = ""

    def meets(self, other: Action) -> bool:
        """Whether both are heard in some place."""
        return self.where == other.where or "" in (self.where, other.where)


VERDICTS: dict[str, tuple[str, int]] = {  # action: side and strength
    "left_much": ("left", 3),
    "left": ("left", 2),
    "left_slightly": ("left", 1),
    "tie": ("tie", 1),
    "right_slightly": ("right", 1),
    "right": ("right", 2),
    "right_much": ("right", 3),
    "both_bad": ("both_bad", 2),
    "skip": ("skip", 2),
}
ACTIONS: dict[str, Action] = {
    action.name: action
    for action in (
        Action("left_much", "Answer 1 is much better", ("Shift+1",), PAIRS),
        Action("left", "Answer 1 is better", ("1", "Left"), PAIRS),
        Action("left_slightly", "Answer 1 is slightly better", ("Q",), PAIRS),
        Action("tie", "Tie", ("3", "Down"), PAIRS),
        Action("right_slightly", "Answer 2 is slightly better", ("W",), PAIRS),
        Action("right", "Answer 2 is better", ("2", "Right"), PAIRS),
        Action("right_much", "Answer 2 is much better", ("Shift+2",), PAIRS),
        Action("both_bad", "Both are bad", ("4",), PAIRS),
        Action("edit", "Write a better answer as a demonstration", ("E",), PAIRS),
        Action("edit_winner", "Edit the winner of the last verdict into a demonstration", ("Shift+E",), PAIRS),
        Action("differences", "Mark the differences", ("D",), PAIRS),
        Action("reveal", "Tell the sources after each verdict, or not", ("R",), PAIRS),
        *(Action(f"rank_{n}", f"Answer {n} has the next place", (str(n),), RANKING) for n in range(1, ANSWERS + 1)),
        Action("save_order", "Save the order, as Enter does", ("W",), RANKING),
        Action("thumb_down", "The answer is bad", ("1", "Left"), THUMBS),
        Action("thumb_up", "The answer is good", ("2", "Right"), THUMBS),
        *(Action(f"rate_{n}", f"The answer gets {n} of 5", (str(n),), FIVE) for n in range(1, 6)),
        Action("skip", "Skip", ("S",)),
        Action("undo", "Take the last verdict back", ("Backspace", "Z", "Ctrl+Z")),
        Action("flag", "Flag for a second look", ("F",)),
        Action("note", "Write a note", ("N", "C")),
        Action("marks", "Show blanks and invisible characters", ("V",)),
        Action("guidelines", "Guidelines", ("H", "G")),
        Action("queue", "Show or hide the queue", ("A",)),
        Action("layout", "Next layout", ("X",)),
        Action("focus", "Focus: nothing but the answers", ("T",)),
        Action("down", "Scroll the answers down", ("PgDown", "B")),
        Action("up", "Scroll the answers up", ("PgUp", "Shift+B")),
    )
}
# Ways to hold one's hand: only the verdicts differ.
PRESETS: dict[str, dict[str, tuple[str, ...]]] = {
    "left hand": {},
    "one row": {
        "left_much": ("1",),
        "left": ("2", "Left"),
        "left_slightly": ("3",),
        "tie": ("4", "Down"),
        "right_slightly": ("5",),
        "right": ("6", "Right"),
        "right_much": ("7",),
        "both_bad": ("8",),
    },
    "right hand": {
        "left_much": ("Shift+J",),
        "left": ("J", "Left"),
        "left_slightly": ("U",),
        "tie": ("K", "Down"),
        "right_slightly": ("O",),
        "right": ("L", "Right"),
        "right_much": ("Shift+L",),
        "both_bad": ("I",),
        "skip": ("M",),
    },
}
# Keys of the window and of the text on the screen (a test compares these with the window's own).
RESERVED: frozenset[str] = frozenset(
    {
        *("Ctrl+K", "Ctrl+Shift+P", "Ctrl+B", "Ctrl+J", "Ctrl+N", "Ctrl+O", "Ctrl+,", "Ctrl+=", "Ctrl++", "Ctrl+-"),
        *("Alt+Left", "Alt+Right", "F1", "?", "F11", "Ctrl+Q", "Ctrl+F", "Ctrl+C", "Ctrl+A"),
        *(f"Ctrl+{number}" for number in range(1, 10)),
        *("Esc", "Tab", "Shift+Tab", "Backtab", "Return", "Enter", "Ctrl+Return", "Ctrl+Enter"),
        *("Up", "Home", "End", "Space"),
    }
)
_SHIFTED = dict(zip("1234567890", "!@#$%^&*()", strict=True))  # what a US keyboard sends for Shift and a digit


class Bindings:
    """Which keys do what: `own` holds what a person has chosen, by the action's name; the rest is as it comes."""

    def __init__(self, own: Mapping[str, Any] | None = None) -> None:
        self._own: dict[str, tuple[str, ...]] = {}
        for name, keys in (own or {}).items() if isinstance(own, Mapping) else ():
            if name in ACTIONS and isinstance(keys, list | tuple) and all(isinstance(key, str) for key in keys):
                self._own[name] = tuple(keys)[:MOST]

    def keys(self, name: str) -> tuple[str, ...]:
        return self._own.get(name, ACTIONS[name].keys)

    def sequences(self, name: str) -> tuple[str, ...]:
        """All that is to be listened to: a digit with Shift arrives as the sign above it on some keyboards."""
        keys = self.keys(name)
        return (*keys, *(_SHIFTED[key[-1]] for key in keys if key[:-1] == "Shift+" and key[-1] in _SHIFTED))

    def tied(self, name: str) -> tuple[str, ...]:
        """Of a key that gives an answer its place: with Shift it ties with the place before."""
        if ACTIONS[name].where != RANKING or name == "save_order":
            return ()
        keys = [key for key in self.keys(name) if len(key) == 1]
        return (*(f"Shift+{key}" for key in keys), *(_SHIFTED[key] for key in keys if key in _SHIFTED))

    def shown(self, name: str, most: int = 2) -> str:
        """For a button: "1 ←"."""
        signs = {"Left": "←", "Right": "→", "Down": "↓", "Up": "↑", "Backspace": "⌫"}
        keys = [signs.get(key, key.replace("Shift+", "⇧")) for key in self.keys(name)[:most]]
        return "  ".join(keys)

    def holder(self, key: str, but: str = "") -> str:
        """The action that has this key where `but` is heard; "window" for keys that are not to be had, else ""."""
        if key in RESERVED:
            return "window"
        wanted = {key, *((_SHIFTED[key[-1]],) if key[:-1] == "Shift+" and key[-1] in _SHIFTED else ())}
        for name, action in ACTIONS.items():
            meets = not but or action.meets(ACTIONS[but])
            if name != but and meets and wanted & {*self.sequences(name), *self.tied(name)}:
                return name
        return ""

    def bind(self, name: str, keys: Sequence[str]) -> None:
        """Give an action these keys; whoever asks has looked at `holder` first."""
        told = tuple(dict.fromkeys(key for key in keys if key))[:MOST]
        if told == ACTIONS[name].keys:
            self._own.pop(name, None)
        else:
            self._own[name] = told

    def take(self, key: str, of: str = "") -> None:
        """Take a key away from whichever actions have it where `of` is heard."""
        while (holder := self.holder(key, of)) in ACTIONS:
            bare = {key, key.removeprefix("Shift+")} if self.tied(holder) else {key}
            left = [own for own in self.keys(holder) if own not in bare]
            if left == list(self.keys(holder)):  # it is the sign above a digit that is taken
                left = [own for own in left if _SHIFTED.get(own[-1]) != key]
            self.bind(holder, left)

    def use(self, preset: str) -> None:
        """All keys as they come, the verdicts by one of PRESETS."""
        self._own = dict(PRESETS[preset])

    @property
    def preset(self) -> str:
        """Which of PRESETS this is; "" for keys of one's own."""
        return next((name for name, own in PRESETS.items() if own == self._own), "")

    @property
    def own(self) -> dict[str, list[str]]:
        """What is to be remembered."""
        return {name: list(keys) for name, keys in self._own.items()}
