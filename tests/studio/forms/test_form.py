"""The form: drawn from any spec, read back as that spec, and clear about what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QKeySequence, QShortcut, QWheelEvent
from PySide6.QtWidgets import QHBoxLayout, QStyle, QStyleOptionComboBox, QWidget

from rlhf_engine.contract.changes import number
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import about, check, choose, param
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from studio.forms import LABELS, Combo, DatasetPicker, SpecForm
from studio.forms.editors import FloatEditor
from studio.theme import theme


@dataclass(frozen=True, slots=True, kw_only=True)
class ToySpec:
    """A spec that no task has."""

    data: str = choose("dataset", "Data", "What to learn from.", kind="prompts")
    rate: float = param(1e-3, "Rate", "How fast.", between=(1e-8, 1.0), log_scale=True)
    steps: int = param(10, "Steps", "How long.", between=(1, 100), unit="steps")
    careful: bool = param(True, "Careful", "Whether.")
    mode: str = param("a", "Mode", "Which.", choices=("a", "b"), advanced=True, group="Deep")
    words: tuple[str, ...] = param((), "Words", "Some.", advanced=True, group="Deep")
    limit: int | None = param(None, "Limit", "Perhaps.", between=(0, 9))
    seed: int = param(0, "Seed", "Luck.", between=(0, 99), advanced=True)

    def __post_init__(self) -> None:
        check(self)
        if self.steps == 13:
            raise SpecError("mode", "Thirteen steps need mode b.", "Choose b.")


@pytest.fixture
def form(session: Any, qtbot: Any) -> SpecForm:
    made = SpecForm(ToySpec, session)
    qtbot.addWidget(made)
    return made


@pytest.mark.parametrize("key", TASKS)
def test_every_task_has_a_form_with_its_defaults(key: str, session: Any, qtbot: Any) -> None:
    spec_type = TASKS[key].spec
    form = SpecForm(spec_type, session)
    qtbot.addWidget(form)
    for f in fields(spec_type):
        if about(f) is not None and form._rows[f.name].default is not form._rows[f.name].default.__class__:
            row = form._rows[f.name]
            if not row.said.picks and isinstance(row.default, int | float | str | bool | tuple):
                assert row.editor.value() == row.default, f.name
    assert form.changed_fields() == {}


def test_what_is_entered_is_what_is_read(form: SpecForm) -> None:
    values = {
        "data": "/some/file.jsonl",
        "rate": 2e-4,
        "steps": 42,
        "careful": False,
        "mode": "b",
        "words": ("one", "two words"),
        "limit": 3,
        "seed": 7,
    }
    form.set_values({**values, "unknown": 1})
    assert form.read() == ToySpec(**values)
    assert form.changed_fields() == {name: value for name, value in values.items() if name != "data"}


def test_a_learning_rate_can_be_typed_as_people_write_it(form: SpecForm, qtbot: Any) -> None:
    spin = form.editor("rate").inner
    spin.lineEdit().selectAll()
    qtbot.keyClicks(spin.lineEdit(), "2e-4")
    qtbot.keyClick(spin.lineEdit(), Qt.Key.Key_Return)
    assert form.editor("rate").value() == 2e-4
    assert spin.text() == "2e-4"
    spin.stepUp()
    assert form.editor("rate").value() == 5e-4
    spin.stepDown()
    spin.stepDown()
    assert form.editor("rate").value() == 1e-4


@pytest.mark.parametrize(
    ("value", "text"), [(1e-4, "1e-4"), (0.05, "0.05"), (1.5e-5, "1.5e-5"), (32.0, "32"), (0.0, "0"), (3e7, "3e7")]
)
def test_numbers_are_written_short(value: float, text: str) -> None:
    assert number(value, 1e-2) == text
    assert float(number(value)) == value


def test_every_default_of_every_task_survives_the_number_editor(qtbot: Any) -> None:
    for task in TASKS.values():
        for f in fields(task.spec):
            said = about(f)
            if said is not None and isinstance(f.default, float):
                editor = FloatEditor(said)
                qtbot.addWidget(editor)
                editor.set_value(f.default)
                assert editor.value() == f.default
                assert editor.spin.valueFromText(editor.spin.text()) == f.default


def test_a_change_gets_a_dot_and_a_way_back(form: SpecForm) -> None:
    row = form._rows["steps"]
    assert row.dot.text() == "" and row.reset.isHidden()
    form.set_value("steps", 11)
    assert row.dot.text() == "●" and not row.reset.isHidden()
    row.reset.click()
    assert form.editor("steps").value() == 10 and row.dot.text() == ""


def test_advanced_settings_are_folded_and_counted(form: SpecForm, qtbot: Any) -> None:
    assert form.fold.inside.isHidden()
    assert "(3)" in form.fold.heading.text()
    with qtbot.waitSignal(form.changed):
        form.set_value("mode", "b")
    assert "1 changed" in form.fold.heading.text()


def test_an_error_is_shown_under_its_field_and_unfolded(form: SpecForm) -> None:
    form.set_values({"data": "x.jsonl", "steps": 13})
    with pytest.raises(SpecError) as caught:
        form.read()
    form.mark(caught.value)
    row = form._rows["mode"]
    assert row.error.text() == "Thirteen steps need mode b. Choose b." and not row.error.isHidden()
    assert not form.fold.inside.isHidden()
    form.set_value("mode", "b")
    assert row.error.isHidden()


def test_the_form_says_why_one_cannot_start(form: SpecForm) -> None:
    assert form.blockers() == ["Data: nothing has been chosen."]
    form.set_value("data", "x.jsonl")
    assert form.blockers() == []
    form.set_value("steps", 13)
    assert form.blockers() == ["Thirteen steps need mode b."]


def test_the_wheel_scrolls_the_page_unless_the_field_has_the_focus(form: SpecForm) -> None:
    spin = form.editor("steps").inner
    at = QPointF(5, 5)
    turn = QWheelEvent(
        at, at, QPoint(), QPoint(0, 120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    spin.wheelEvent(turn)
    assert form.editor("steps").value() == 10 and not turn.isAccepted()


def test_the_projects_labels_are_frozen_before_a_run(session: Any, qtbot: Any) -> None:
    for number_ in range(20):
        session.labels.add_demonstration(f"q{number_}", f"a{number_}")
    form = SpecForm(SFTSpec, session)
    qtbot.addWidget(form)
    assert form.editor("dataset").value() == LABELS
    assert form.editor("model").value() == "starter"
    assert form.blockers() == []
    got: list[Any] = []
    form.prepare(got.append)
    qtbot.waitUntil(lambda: bool(got), timeout=20_000)
    (dataset,) = session.datasets("demonstrations")
    assert got[0].dataset == dataset.ref and got[0].model == "starter"


def test_pickers_follow_the_project(session: Any, qtbot: Any) -> None:
    form = SpecForm(PPOSpec, session)
    qtbot.addWidget(form)
    assert form.editor("dataset").missing()
    assert "train one first" in form.editor("reward_model").combo.placeholderText()
    session.labels.add_prompt("hello")
    from rlhf_engine.store.labels import Changed

    session.announce(Changed.PROMPTS)
    assert not form.editor("dataset").missing()


def test_a_dataset_is_offered_wherever_its_records_can_be_used(session: Any, qtbot: Any) -> None:
    asked = [(n, f"Question {n}", f"answer {n}") for n in range(30)]
    pairs = freeze(
        session.root, "comparisons", [Comparison(q, a, f"worse {n}") for n, q, a in asked], "pairs", "test"
    ).ref
    shown = freeze(session.root, "demonstrations", [Demonstration(q, a) for _, q, a in asked], "shown", "test").ref
    plain = freeze(session.root, "prompts", [PromptRecord(q) for _, q, _ in asked], "plain", "test").ref
    offered = {}
    for kind in ("prompts", "demonstrations", "comparisons"):
        picker = DatasetPicker(session, False, kind)
        qtbot.addWidget(picker)
        offered[kind] = [picker.combo.itemData(row) for row in range(picker.combo.count())]
    assert offered["comparisons"] == [pairs]
    assert offered["demonstrations"] == [shown, pairs], "the chosen answers; what was made for it comes first"
    assert offered["prompts"][0] == plain and set(offered["prompts"]) == {plain, shown, pairs}


def test_where_the_project_has_no_ratings_its_comparisons_are_offered_for_them(session: Any, qtbot: Any) -> None:
    session.labels.add_many("comparisons", [Comparison("Why?", "So.", "No.")])
    picker = DatasetPicker(session, False, "ratings")
    qtbot.addWidget(picker)
    assert picker.combo.itemText(0) == "This project's comparisons (1)" and picker.labelled == "comparisons"
    session.labels.add_rating("Why?", "So.", True)
    picker.refresh()
    assert picker.combo.itemText(0) == "This project's ratings (1)" and picker.labelled == "ratings"


def test_a_hidden_field_keeps_what_it_was_given(session: Any, qtbot: Any) -> None:
    form = SpecForm(ToySpec, session, hide=("seed",))
    qtbot.addWidget(form)
    form.set_values({"seed": 5, "data": "x.jsonl"})
    assert form.read().seed == 5


def test_every_editor_tells_a_screen_reader_what_it_is(form: SpecForm) -> None:
    for row in form._rows.values():
        assert row.editor.inner.accessibleName() == row.said.label
        assert row.label.buddy() is row.editor.inner


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_a_list_has_room_for_its_longest_entry(scale: float, qtbot: Any) -> None:
    theme().apply("light", scale)
    row = QWidget()
    combo = Combo()
    combo.addItems(["As the system", "On"])
    layout = QHBoxLayout(row)
    layout.addWidget(combo)
    layout.addStretch()
    qtbot.addWidget(row)
    row.show()
    option = QStyleOptionComboBox()
    combo.initStyleOption(option)
    field = QStyle.SubControl.SC_ComboBoxEditField
    room = combo.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, field, combo).width() - 4
    assert room >= combo.fontMetrics().horizontalAdvance("As the system")
    theme().apply("light", 1.0)


def test_keys_that_walk_through_a_list_are_the_lists_also_where_the_page_uses_them(qtbot: Any) -> None:
    page = QWidget()
    heard: list[str] = []
    for key in ("Down", "1"):
        shortcut = QShortcut(QKeySequence(key), page, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(lambda key=key: heard.append(key))
    combo = Combo(page)
    combo.addItems(["one", "two", "three"])
    qtbot.addWidget(page)
    with qtbot.waitActive(page):
        page.show()
    combo.setFocus()
    qtbot.keyClick(combo, Qt.Key.Key_Down)
    assert combo.currentText() == "two" and heard == []
    qtbot.keyClick(combo, Qt.Key.Key_1)
    assert heard == ["1"]  # all others stay the page's
