"""One declaration per setting: checked, described, and the same for every task."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

import pytest

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import EntryKind, about, check, choose, param, reading_order, value_type
from rlhf_engine.contract.spec import build_spec, spec_body
from rlhf_engine.tasks import TASKS, spec_from_json, spec_to_json, task_of

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """A spec of its own, so that these tests say all that they rely on."""

    model: str = choose("model", "Model", "Which one.")
    watts: int = param(40, "Watts", "How bright.", between=(1, 100))
    warmth: float = param(0.5, "Warmth", "How yellow.", between=(0.0, 1.0))
    on: bool = param(True, "On", "Whether it shines.")
    shape: str = param("round", "Shape", "Of the bulb.", choices=("round", "long"))
    limit: int | None = param(None, "Limit", "Hours, or nothing.", between=(1, 9))
    notes: tuple[str, ...] = param((), "Notes", "What to remember.")

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("model", "", "Model has not been chosen."),
        ("model", "  \t", "Model has not been chosen."),
        ("model", 3, "Model is 3, but must be text."),
        ("watts", 0, "Watts is 0, but must be between 1 and 100."),
        ("watts", 101, "Watts is 101, but must be between 1 and 100."),
        ("watts", 40.0, "Watts is 40.0, but must be a whole number."),
        ("watts", True, "Watts is True, but must be a whole number."),
        ("watts", None, "Watts is None, but must be a whole number."),
        ("watts", "40", "Watts is '40', but must be a whole number."),
        ("warmth", 1.5, "Warmth is 1.5, but must be between 0.0 and 1.0."),
        ("warmth", float("nan"), "Warmth is nan, but must be a finite number."),
        ("warmth", float("inf"), "Warmth is inf, but must be a finite number."),
        ("warmth", False, "Warmth is False, but must be a number."),
        ("on", 1, "On is 1, but must be true or false."),
        ("shape", "square", "Shape is 'square', but must be one of round, long."),
        ("limit", 10, "Limit is 10, but must be between 1 and 9."),
        ("notes", "text", "Notes is 'text', but must be a list."),
    ],
)
def test_what_does_not_hold_is_said_with_its_field(field, value, sentence):
    with pytest.raises(SpecError) as error:
        Lamp(**{"model": "starter", field: value})
    assert (error.value.field, str(error.value)) == (field, sentence)


def test_both_ends_of_a_range_hold_and_json_types_become_the_declared_ones():
    lamp = Lamp(model="m", watts=100, warmth=1, limit=1, notes=["a", "b"])
    assert (lamp.watts, lamp.warmth, lamp.notes, lamp.limit) == (100, 1.0, ("a", "b"), 1)
    assert isinstance(lamp.warmth, float)
    assert Lamp(model="m", watts=1, warmth=0.0).limit is None


def test_a_spec_comes_back_from_json_and_names_what_is_strange_or_missing():
    lamp = Lamp(model="m", notes=("a",), limit=3)
    assert build_spec(Lamp, json.loads(json.dumps(spec_body(lamp)))) == lamp
    for body, field in (({"model": "m", "wats": 3}, "wats"), ({}, "model")):
        with pytest.raises(SpecError) as error:
            build_spec(Lamp, body)
        assert error.value.field == field


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", '"sft"', "{}", '{"task": "dance"}', '{"task": "sft"}', '{"task": null}', '{"task": []}'],
)
def test_what_is_no_spec_is_refused_in_a_sentence(text):
    with pytest.raises(SpecError) as error:
        spec_from_json(text)
    assert str(error.value).endswith(".")


EXAMPLES = {
    "sft": {"model": "starter", "dataset": "d.jsonl", "learning_rate": 1e-3},
    "reward": {"model": "run:abc", "dataset": "dataset:1", "margin": 0.5},
    "ppo": {"policy": "starter", "reward_model": "run:rm", "dataset": "p.jsonl", "kl_coef": 0.1},
    "dpo": {"model": "run:sft", "dataset": "dataset:1", "loss": "robust", "label_smoothing": 0.1},
    "kto": {"model": "run:sft", "dataset": "liked.jsonl", "desirable_weight": 1.3},
    "orpo": {"model": "starter", "dataset": "dataset:1", "odds_weight": 0.2},
    "simpo": {"model": "run:sft", "dataset": "dataset:1", "gamma": 1.6},
    "rloo": {"policy": "starter", "reward_model": "run:rm", "dataset": "p.jsonl", "level": "token"},
    "grpo": {"policy": "starter", "reward_model": "run:rm", "dataset": "p.jsonl", "aggregation": "fixed"},
    "reinforce": {"policy": "starter", "dataset": "p.jsonl", "rewards": [{"kind": "length", "target": 9}]},
    "online_dpo": {"policy": "starter", "reward_model": "run:rm", "dataset": "p.jsonl", "loss": "ipo"},
    "best_of_n": {"policy": "starter", "reward_model": "run:rm", "dataset": "p.jsonl", "group_size": 16},
    "generate": {"models": ["starter", "run:abc"], "prompts": ["Why?", [{"role": "user", "content": "Why?"}]]},
    "evaluate": {"models": ["starter", "run:abc"], "dataset": "p.jsonl", "reference": "run:abc"},
    "export": {"model": "run:abc"},
    "import_data": {"path": "people.jsonl", "pairs": "all"},
    "export_data": {"dataset": "dataset:1", "layout": "trl"},
    "check_data": {"dataset": "dataset:1", "max_tokens": 512},
    "download": {"repo": "owner/name"},
    "score": {"reward_model": "run:rm", "pairs": "waiting"},
    "judge": {"model": "starter", "pairs": "judged by people", "limit": 9},
    "constitution": {"model": "starter", "dataset": "p.jsonl", "rounds": 2},
    "revise": {"model": "starter", "prompt": "Why?"},
}


@pytest.mark.parametrize("key", TASKS)
def test_every_tasks_spec_goes_to_json_and_back(key):
    spec = spec_from_json(json.dumps({"task": key, **EXAMPLES[key]}))
    assert task_of(spec).key == key
    again = spec_from_json(spec_to_json(spec))
    assert again == spec and spec_to_json(again) == spec_to_json(spec)
    for name, value in EXAMPLES[key].items():
        told = spec_body(again)[name]
        assert told == value or all(entry.items() >= said.items() for entry, said in zip(told, value, strict=True))
    assert isinstance(spec.seed, int) and isinstance(spec.total_steps, int)


SETTINGS = [(task.key, f) for task in TASKS.values() for f in fields(task.spec)]


@pytest.mark.parametrize(("key", "f"), SETTINGS, ids=[f"{key}.{f.name}" for key, f in SETTINGS])
def test_every_setting_is_described_in_a_sentence_and_every_number_has_its_range(key, f):
    told = about(f)
    if told is None:
        # the import page's own table of columns, and the files that are chosen with the first
        assert (key, f.name) in {("import_data", "columns"), ("import_data", "more")}
        return
    assert told.label and told.help.endswith("."), told
    kind, optional = value_type(TASKS[key].spec, f.name)
    if kind in (int, float):
        low, high = told.between
        assert low is not None and high is not None and low < high
        if f.default is not MISSING and not (optional and f.default is None):
            assert low <= f.default <= high
        if told.log_scale:
            assert low > 0
    if told.choices:
        assert f.default in told.choices


def test_the_task_table_is_read_without_torch():
    script = (
        "import sys, rlhf_engine.tasks; print(sorted({'torch','transformers','peft','numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_fields_are_read_inputs_first_and_what_every_training_has_last():
    names = [f.name for f in reading_order(TASKS["ppo"].spec)]
    assert names[:3] == ["policy", "reward_model", "dataset"]
    assert names.index("updates") < names.index("seed"), "of PPO's kin before what every training has"
    assert names.index("updates") < names.index("kl_coef"), "a field that is declared again stands where it is"
    assert names.index("clip") < names.index("gamma") < names.index("warmup")
    assert sorted(names) == sorted(f.name for f in fields(TASKS["ppo"].spec))


# Lists of entries -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulb:
    kind: str = "bulb"
    watts: int = param(40, "Watts", "How bright.", between=(1, 100))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    kind: str = "candle"
    scent: str = choose("file", "Scent", "What it smells of.")

    def __post_init__(self) -> None:
        check(self)


LIGHTS = (EntryKind("bulb", "Bulb", "Runs on current.", Bulb), EntryKind("candle", "Candle", "Burns.", Candle))


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    lights: tuple[Bulb | Candle, ...] = param((), "Lights", "What shines in it.", entries=LIGHTS)

    def __post_init__(self) -> None:
        check(self)


def test_a_list_of_entries_survives_json():
    room = Room(lights=(Bulb(watts=60), Candle(scent="wax")))
    assert spec_body(room) == {"lights": [{"kind": "bulb", "watts": 60}, {"kind": "candle", "scent": "wax"}]}
    assert build_spec(Room, json.loads(json.dumps(spec_body(room)))) == room


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"kind": "lamp"}, "Lights, entry 2: there is no kind 'lamp'."),
        ("bulb", "Lights, entry 2: there is no kind 'bulb'."),
        ({"kind": "bulb", "volts": 3}, "Lights, entry 2 has no setting named 'volts'."),
        ({"kind": "bulb", "watts": 0}, "Lights, entry 2: Watts is 0, but must be between 1 and 100."),
        ({"kind": "candle"}, "Lights, entry 2: the setting 'scent' is missing."),
        ({"kind": "candle", "scent": " "}, "Lights, entry 2: Scent has not been chosen."),
    ],
)
def test_an_entry_that_does_not_hold_is_said_with_its_number(entry, sentence):
    with pytest.raises(SpecError) as error:
        Room(lights=[{"kind": "bulb"}, entry])
    assert error.value.field == "lights" and str(error.value) == sentence
