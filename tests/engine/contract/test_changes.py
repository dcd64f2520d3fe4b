"""What a preset changes, said in the words of the spec."""

from __future__ import annotations

from rlhf_engine.contract.changes import brief, changes, defaults, number, written
from tests.engine.contract.test_fields import Bulb, Lamp, Room


def test_changes_are_told_in_the_order_of_the_spec_with_label_and_unit():
    found = changes(Lamp, {"notes": ("a",), "watts": 60, "warmth": 0.5, "model": "other", "volts": 3})
    assert [change.text() for change in found] == ["Watts 40 → 60", "Notes none → a"]


def test_changes_against_another_set_of_settings():
    found = changes(Lamp, {"watts": 40, "on": False}, {"watts": 60})
    assert [(change.name, change.before, change.after) for change in found] == [
        ("watts", 60, 40),
        ("on", True, False),
    ]


def test_entries_are_compared_as_plain_values():
    assert changes(Room, {"lights": [{"kind": "bulb"}]}, {"lights": (Bulb(),)}) == []
    (change,) = changes(Room, {"lights": (Bulb(watts=7),)})
    assert change.text() == "Lights none → bulb"


def test_defaults_are_the_settings_that_have_one():
    assert defaults(Lamp) == {"watts": 40, "warmth": 0.5, "on": True, "shape": "round", "limit": None, "notes": []}


def test_values_are_written_as_people_do():
    said = [written(value) for value in (True, 0.0003, 12, "linear", "", None, (), ("a", "b"), 0.05)]
    assert said == ["yes", "3e-4", "12", "linear", "none", "none", "none", "a, b", "0.05"]
    assert number(1.5e-5) == "1.5e-5"
    assert written([{"kind": "bulb", "watts": 7}, {"kind": "sun"}]) == "bulb (watts 7); sun"
    assert brief(list("abcdefg")) == "a, b, c, … (7)"
    assert brief("x" * 100) == "x" * 59 + "…"
