"""Every event crosses a pipe and comes back as it was; a new kind that has no example here fails."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_engine.contract.events import (
    KINDS,
    Alert,
    CheckpointSaved,
    Curve,
    Envelope,
    KnobChanged,
    Metrics,
    Produced,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    Sample,
    Stage,
    Text,
)
from rlhf_engine.contract.reporter import Reporter

EXAMPLES = [
    RunStarted("sft", 100, 25, "NVIDIA H100", 2),
    Stage("Loading starter", 3, 10),
    Metrics(7, {"train/loss": 1.25, "train/grad_norm": 0.5}),
    Sample(7, "Why?", "Because.", 0.5, "So.", ("Be", "cause."), {"kl": (0.1, -0.2)}),
    Sample(7, "Why?", "Because."),
    Curve(7, "heldout/reliability", {"predicted": (0.25, 0.75), "observed": (0.3, float("inf"))}),
    Text(3, " piece", ({"text": "a", "logprob": -1.5, "top": [["a", -1.5], ["b", -2.0]]},), "eos"),
    CheckpointSaved(25, "runs/a/checkpoints/00000025"),
    KnobChanged(8, "learning_rate", 0.5),
    Alert("danger", "The drift is large.", "Raise beta.", 9),
    Produced("adapter", "runs/a/adapter", {"heldout/loss": 0.5, "list": [1, None, "x"], "nested": {"a": True}}),
    RunPaused(),
    RunResumed(),
    RunFinished("failed", "It broke.", "Mend it.", "Traceback (most recent call last):\n  ..."),
]


def there_and_back(event, run="r", seq=4, time=1.5):
    line = Envelope(run, seq, time, event).to_json()
    assert "\n" not in line
    json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    return Envelope.from_json(line)


def test_there_is_an_example_of_every_kind():
    assert {type(event).__name__ for event in EXAMPLES} == set(KINDS)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_as_it_was(event):
    assert there_and_back(event) == Envelope("r", 4, 1.5, event)
    filled = [f.name for f in fields(event) if getattr(event, f.name) in ("", 0, None, (), {})]
    assert not filled or type(event) is Sample  # the examples leave nothing at its default, so nothing is lost unseen


@pytest.mark.parametrize(
    "value", [float("inf"), -float("inf"), float("nan"), -0.0, 5e-324, 1.7976931348623157e308, 0.1]
)
def test_every_float_survives(value):
    back = there_and_back(Metrics(1, {"x": value})).event.values["x"]
    assert (
        math.isnan(back) if math.isnan(value) else (back == value and math.copysign(1, back) == math.copysign(1, value))
    )
    per_token = there_and_back(Sample(1, "", "", None, "", ("a",), {"kl": (value,)})).event.per_token["kl"]
    assert isinstance(per_token, tuple) and (per_token == (value,) or math.isnan(value))
    facts = there_and_back(Produced("adapter", "", {"deep": [{"x": value}]})).event.facts
    assert math.isnan(facts["deep"][0]["x"]) or facts == {"deep": [{"x": value}]}


@given(st.text(), st.floats(allow_nan=False), st.dictionaries(st.text(), st.floats(allow_nan=False), max_size=4))
def test_any_text_and_any_number_survive(text, number, values):
    if text.isprintable() or text.encode("utf-8", "ignore").decode() == text:
        for event in (Sample(1, text, text, number, text, (text,), {text: (number,)}), Metrics(1, values)):
            assert there_and_back(event).event == event


def test_events_cannot_be_changed_afterwards():
    for event in EXAMPLES:
        for f in fields(event):
            with pytest.raises(AttributeError):
                setattr(event, f.name, None)


def test_a_reporter_numbers_without_gaps_and_goes_on_where_it_stopped(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    said = []
    reporter = Reporter("r", said.append, first_seq=5)
    for _ in range(3):
        reporter.emit(RunPaused())
    assert [e.seq for e in said] == [5, 6, 7] and all(a.time <= b.time for a, b in itertools.pairwise(said))


def test_only_the_first_process_speaks(monkeypatch):
    for rank, expected in (("0", 1), ("1", 0), ("7", 0)):
        monkeypatch.setenv("RANK", rank)
        said = []
        Reporter("r", said.append).emit(RunPaused())
        assert len(said) == expected
