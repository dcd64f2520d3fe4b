"""A list of entries in a form: added from a menu, changed in place, moved and removed, and marked where it is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from PySide6.QtCore import Qt

from rlhf_engine.contract.changes import written
from rlhf_engine.contract.entries import plain_entries, without_places
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import EntryKind, about, check, choose, param
from rlhf_engine.contract.spec import build_spec, spec_body
from studio.forms import LABELS, SpecForm
from studio.forms.entries import EntriesEditor


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    kind: str = "rule"
    words: int = param(50, "Words", "How many.", between=(1, 100))
    way: str = param("near", "Way", "Which.", choices=("near", "far"))
    weight: float = param(1.0, "Weight", "How much.", between=(-10.0, 10.0))

    def __post_init__(self) -> None:
        check(self)
        if self.way == "far" and self.words == 1:
            raise SpecError("words", "One word is never far.", "Choose 2 or more.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    kind: str = "judge"
    model: str = choose("reward_model", "Reward model", "Which.")
    names: tuple[str, ...] = param(("a", "b"), "Names", "Some.")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    kind: str = "examples"
    dataset: str = choose("dataset", "Data", "Which.", kind="demonstrations")
    share: float = param(0.5, "Share", "How much.", between=(0.0, 1.0))

    def __post_init__(self) -> None:
        check(self)


KINDS = (
    EntryKind("rule", "Rule", "Counts words.", Rule),
    EntryKind("judge", "Reward model", "Scores.", Judge),
    EntryKind("examples", "Examples & co", "Shows.", Examples),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSpec:
    parts: tuple[Rule | Judge | Examples, ...] = param((), "Parts", "What it is made of.", entries=KINDS)
    rate: float = param(1.0, "Rate", "How fast.", between=(0.0, 2.0))

    def __post_init__(self) -> None:
        check(self)
        if self.rate == 2.0 and self.parts:
            raise SpecError("parts", "Parts need a lower rate.")


@pytest.fixture
def form(session: Any, qtbot: Any) -> SpecForm:
    made = SpecForm(MixSpec, session)
    qtbot.addWidget(made)
    made.resize(800, 900)
    made.show()
    return made


def parts(form: SpecForm) -> EntriesEditor:
    editor = form.editor("parts")
    assert isinstance(editor, EntriesEditor)
    return editor


def titles(form: SpecForm) -> list[str]:
    return [card.title.text() for card in parts(form).cards]


def test_an_empty_list_says_so_and_offers_every_kind(form: SpecForm) -> None:
    assert parts(form).empty.isVisible() and parts(form).value() == ()
    offered = [action.text() for action in parts(form).add_button.menu().actions()]
    assert offered == ["Rule\tCounts words.", "Reward model\tScores.", "Examples && co\tShows."]
    assert form.read() == MixSpec()


def test_entries_are_added_from_the_menu_changed_and_read(form: SpecForm) -> None:
    rule, judge, _ = parts(form).add_button.menu().actions()
    rule.trigger()
    judge.trigger()
    assert titles(form) == ["1.  Rule", "2.  Reward model"] and not parts(form).empty.isVisible()
    parts(form).cards[0].editors["words"].set_value(7)
    parts(form).cards[1].editors["model"].set_value("run:abc")
    parts(form).cards[1].editors["names"].set_value(("x",))
    assert form.read() == MixSpec(parts=(Rule(words=7), Judge(model="run:abc", names=("x",))))


def test_entries_move_and_go_by_buttons_and_keys(form: SpecForm, qtbot: Any) -> None:
    form.set_value("parts", [{"kind": "rule", "words": n} for n in (1, 2, 3)])
    words = lambda: [entry["words"] for entry in parts(form).value()]  # noqa: E731
    first, _, third = parts(form).cards
    assert not first.up.isEnabled() and not third.down.isEnabled()
    first.down.click()
    assert words() == [2, 1, 3] and titles(form) == ["1.  Rule", "2.  Rule", "3.  Rule"]
    with qtbot.waitActive(form):
        form.activateWindow()
    third.editors["words"].inner.setFocus()
    qtbot.keyClick(third.editors["words"].inner, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert words() == [2, 3, 1]
    qtbot.keyClick(third.editors["words"].inner, Qt.Key.Key_Delete, Qt.KeyboardModifier.AltModifier)
    assert words() == [2, 1]
    for card in [*parts(form).cards]:
        card.remove.click()
    assert words() == [] and parts(form).empty.isVisible()


def test_dicts_and_dataclasses_are_the_same_and_what_is_read_is_json(form: SpecForm) -> None:
    spec = MixSpec(parts=(Rule(words=9), Judge(model="run:abc")))
    form.set_value("parts", spec.parts)
    from_objects = form.values()["parts"]
    form.set_value("parts", json.loads(json.dumps(spec_body(spec)))["parts"])
    assert form.values()["parts"] == from_objects
    assert build_spec(MixSpec, json.loads(json.dumps(form.values()))) == spec
    form.set_value("parts", [{"kind": "of another version"}, {"kind": "rule", "volts": 3}])
    assert form.read() == MixSpec(parts=(Rule(),))


def test_a_changed_list_gets_its_dot_and_a_way_back(form: SpecForm) -> None:
    row = form._rows["parts"]
    assert row.dot.text() == ""
    parts(form).add(KINDS[0])
    assert row.dot.text() == "●" and form.changed_fields() == {"parts": ({"kind": "rule", **RULE},)}
    row.reset.click()
    assert form.changed_fields() == {} and parts(form).cards == []


RULE = {"words": 50, "way": "near", "weight": 1.0}


def test_what_is_wrong_is_said_at_its_entry(form: SpecForm) -> None:
    form.set_value("parts", [{"kind": "rule"}, {"kind": "rule", "words": 1}])
    good, bad = parts(form).cards
    assert bad.error.isHidden()
    bad.editors["way"].set_value("far")
    assert bad.error.text() == "One word is never far. Choose 2 or more." and good.error.isHidden()
    assert bad.editors["words"].inner.property("wrong") == "true"
    assert form.blockers() == ["Parts, entry 2: One word is never far."]
    bad.editors["words"].set_value(2)
    assert bad.error.isHidden() and bad.editors["words"].inner.property("wrong") == "false"
    assert form.blockers() == []


def test_a_new_entry_is_not_scolded_until_one_tries_to_start(form: SpecForm) -> None:
    card = parts(form).add(KINDS[1])
    assert card.error.isHidden()
    with pytest.raises(SpecError) as caught:
        form.read()
    form.mark(caught.value)
    assert card.error.text() == "Reward model has not been chosen."
    assert form._rows["parts"].error.isHidden()


def test_what_is_wrong_with_the_whole_list_is_said_under_it(form: SpecForm) -> None:
    parts(form).add(KINDS[0])
    form.set_value("rate", 2.0)
    with pytest.raises(SpecError) as caught:
        form.read()
    form.mark(caught.value)
    assert form._rows["parts"].error.text() == "Parts need a lower rate."


def test_labels_in_entries_are_frozen_once(form: SpecForm, session: Any, qtbot: Any) -> None:
    from rlhf_engine.store.labels import Changed

    for number in range(20):
        session.labels.add_demonstration(f"q{number}", f"a{number}")
    session.announce(Changed.DEMONSTRATIONS)
    form.set_value("parts", [{"kind": "examples", "dataset": LABELS}, {"kind": "rule"}, {"kind": "examples"}])
    frozen: list[str] = []
    freeze = session.freeze
    session.freeze = lambda kind, *rest: (frozen.append(kind), freeze(kind, *rest))
    got: list[Any] = []
    form.prepare(got.append)
    qtbot.waitUntil(lambda: bool(got), timeout=20_000)
    (dataset,) = session.datasets("demonstrations")
    assert [part.dataset for part in got[0].parts if isinstance(part, Examples)] == [dataset.ref] * 2
    assert frozen == ["demonstrations"]


def test_an_input_is_taken_into_the_first_entry_that_has_room(form: SpecForm) -> None:
    assert parts(form).take("reward_model", "run:one")
    assert parts(form).take("reward_model", "run:two")
    assert [card.kind.key for card in parts(form).cards] == ["judge"]
    assert parts(form).value()[0]["model"] == "run:two"
    assert not parts(form).take("folder", "/somewhere")


def test_a_removed_entry_hears_nothing_more(form: SpecForm, session: Any, qtbot: Any, qapp: Any) -> None:
    from rlhf_engine.store.labels import Changed

    card = parts(form).add(KINDS[2])
    card.remove.click()
    qtbot.wait(10)  # the card is deleted
    session.announce(Changed.DEMONSTRATIONS)
    session.datasets_changed.emit()
    session.runs_changed.emit()


def test_every_editor_of_an_entry_tells_a_screen_reader_what_it_is(form: SpecForm) -> None:
    card = parts(form).add(KINDS[0])
    assert card.accessibleName() == "1.  Rule"
    assert [editor.inner.accessibleName() for editor in card.editors.values()] == ["Words", "Way", "Weight"]
    assert form._rows["parts"].label.buddy() is parts(form).add_button


def test_plain_entries_are_complete_and_can_leave_out_what_one_project_only_has() -> None:
    said = about(MixSpec.__dataclass_fields__["parts"])
    assert said is not None
    mixed = (Rule(words=3), {"kind": "judge", "model": "run:abc"}, {"kind": "?"})
    assert plain_entries(said, mixed) == (
        {"kind": "rule", "words": 3, "way": "near", "weight": 1.0},
        {"kind": "judge", "model": "run:abc", "names": ["a", "b"]},
    )
    assert without_places(said, mixed)[1] == {"kind": "judge", "names": ["a", "b"]}
    assert written(list(plain_entries(said, mixed[:1]))) == "rule (words 3, way near, weight 1)"
