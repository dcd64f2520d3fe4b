from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from resources import starter
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Envelope, Event, Produced, RunFinished, Stage, Text
from rlhf_engine.data.chat import render
from rlhf_engine.launch.execute import execute
from rlhf_engine.models.adapters import save_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base
from rlhf_engine.models.lora import lora
from rlhf_engine.tasks.generate import loaded, work
from rlhf_engine.tasks.generate.spec import GenerateSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.tiny import tiny_model

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def nothing_loaded() -> Iterator[None]:
    work.forget()
    yield
    work.forget()


class Told:
    """What a run said, sorted for looking at."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.end = next(e for e in events if isinstance(e, RunFinished))
        self.answers: list[dict[str, Any]] = next((e.facts["answers"] for e in events if isinstance(e, Produced)), [])

    def text(self, answer: int) -> str:
        return "".join(e.piece for e in self.events if isinstance(e, Text) and e.answer == answer)

    def finish(self, answer: int) -> list[str]:
        return [e.finish for e in self.events if isinstance(e, Text) and e.answer == answer and e.finish]

    def tokens(self, answer: int) -> list[dict[str, Any]]:
        return [t for e in self.events if isinstance(e, Text) and e.answer == answer for t in e.tokens]

    def texts(self) -> list[str]:
        return [answer["text"] for answer in self.answers]


def ask(root: Path, stop_after: int | None = None, control: RunControl | None = None, **settings: Any) -> Told:
    control = control or RunControl()
    events: list[Event] = []

    def hear(envelope: Envelope) -> None:
        again = Envelope.from_json(envelope.to_json())  # everything crosses the pipe
        events.append(again.event)
        if stop_after is not None and sum(isinstance(e, Text) for e in events) >= stop_after:
            control.cancel()

    settings = {"device": "cpu", "max_new_tokens": 12, "prompts": ("What colour is the sky?",)} | settings
    execute("a" * 12, GenerateSpec(**settings), hear, control, root)
    return Told(events)


def adapter(root: Path, base: Path, run_id: str, seed: int, task: str = "sft", template: str = "auto") -> str:
    """A run's result: random LoRA weights, and a head for a reward model."""
    backbone = Backbone(load_base(str(base), torch.device("cpu"), torch.float32))
    name = "reward" if task == "reward" else "policy"
    backbone.add(name, lora(4, 8, 0.0, "all-linear"))
    generator = torch.Generator().manual_seed(seed)
    for parameter in backbone.parameters_of(name):
        with torch.no_grad():
            parameter.normal_(std=0.3, generator=generator)
    if task == "reward":
        backbone.add_head(name)
    save_adapter(backbone, name, root / "runs" / run_id / "adapter", {"task": task, "template": template})
    return f"run:{run_id}"


def test_answers_are_streamed_and_then_produced_as_they_were_streamed(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), prompts=("What?", "Where is the lamp?"), samples=2)
    assert told.end == RunFinished("completed")
    assert [a["answer"] for a in told.answers] == [0, 1, 2, 3]
    assert [a["prompt"] for a in told.answers] == [0, 0, 1, 1]
    for answer in told.answers:
        number = answer["answer"]
        assert told.text(number) == answer["text"]
        assert told.finish(number) == [answer["finish"]]
        assert len(told.tokens(number)) == answer["tokens"] <= 12
        assert answer["logprob_sum"] == pytest.approx(sum(t["logprob"] for t in told.tokens(number)), abs=0.002)


def test_a_model_is_asked_in_the_format_it_was_trained_on_unless_another_is_chosen(
    tmp_path: Path, folder: Path
) -> None:
    plain = adapter(tmp_path, folder, "b" * 12, seed=1, template="plain")
    by_itself, as_plain, as_chat = (
        ask(tmp_path, models=(plain,), template=template, seed=3).texts() for template in ("auto", "plain", "chat")
    )
    assert by_itself == as_plain != as_chat


def test_the_same_seed_gives_the_same_answers_and_another_one_others(tmp_path: Path, folder: Path) -> None:
    first, again, other = (ask(tmp_path, models=(str(folder),), samples=3, seed=seed) for seed in (7, 7, 8))
    assert first.texts() == again.texts()
    assert first.texts() != other.texts()


def test_a_model_answers_alike_whoever_answers_beside_it(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "other").mkdir()
    other = str(tiny_model(tmp_path / "other", seed=5))
    tuned = adapter(tmp_path, folder, "b" * 12, seed=1)
    alone = {ref: ask(tmp_path, models=(ref,), samples=2).texts() for ref in (str(folder), tuned, other)}
    told = ask(tmp_path, models=(other, tuned, str(folder)), samples=2)
    assert told.texts() == alone[other] + alone[tuned] + alone[str(folder)]
    assert len({tuple(texts) for texts in alone.values()}) == 3
    assert [a["model"] for a in told.answers] == [other, other, tuned, tuned, str(folder), str(folder)]


def test_models_take_turns_so_that_all_are_seen_writing_at_once(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "QUIET", 0.0)
    tuned = adapter(tmp_path, folder, "b" * 12, seed=1)
    told = ask(tmp_path, models=(str(folder), tuned), max_new_tokens=24)
    order = [e.answer for e in told.events if isinstance(e, Text)]
    assert sum(a != b for a, b in pairwise(order)) > 10  # not a strict exchange: half a character says nothing yet


def test_one_base_is_in_memory_once_and_stays_for_the_next_question(tmp_path: Path, folder: Path) -> None:
    tuned = adapter(tmp_path, folder, "b" * 12, seed=1)
    first = ask(tmp_path, models=(str(folder), tuned))
    assert sum(isinstance(e, Stage) and e.text.startswith("Loading") for e in first.events) == 1
    second = ask(tmp_path, models=(tuned,))
    assert not any(isinstance(e, Stage) and e.text.startswith("Loading") for e in second.events)
    work.forget()
    third = ask(tmp_path, models=(tuned,))
    assert any(isinstance(e, Stage) and e.text.startswith("Loading") for e in third.events)


def test_at_most_two_bases_stay(tmp_path: Path, folder: Path) -> None:
    others = [str(tiny_model(tmp_path / f"m{seed}", seed=seed)) for seed in (1, 2)]
    ask(tmp_path, models=(str(folder), *others))
    assert [key[0] for key in loaded._bases] == others
    ask(tmp_path, models=(str(folder),))
    assert [key[0] for key in loaded._bases] == [others[1], str(folder)]


def test_an_adapter_that_was_written_again_is_read_again(tmp_path: Path, folder: Path) -> None:
    tuned = adapter(tmp_path, folder, "b" * 12, seed=1)
    before = ask(tmp_path, models=(tuned,)).texts()
    adapter(tmp_path, folder, "b" * 12, seed=2)
    assert ask(tmp_path, models=(tuned,)).texts() != before


def test_a_base_whose_weights_were_replaced_is_read_again(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "m", seed=1)
    before = ask(tmp_path, models=(str(folder),)).texts()
    tiny_model(tmp_path / "m", seed=2)
    assert ask(tmp_path, models=(str(folder),)).texts() != before


def test_temperature_zero_takes_the_likeliest_token_with_its_alternatives(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), temperature=0.0, alternatives=3, max_new_tokens=5)
    for token in told.tokens(0):
        assert len(token["top"]) == 3
        assert token["logprob"] == token["top"][0][1] == max(value for _, value in token["top"])
        assert all(math.isfinite(value) for _, value in token["top"])


def test_a_stop_text_ends_an_answer_and_leaves_the_others_alone(tmp_path: Path, folder: Path) -> None:
    whole = ask(tmp_path, models=(str(folder),), samples=1, max_new_tokens=24).texts()[0]
    middle = whole[len(whole) // 2 :][:2]
    told = ask(tmp_path, models=(str(folder),), samples=1, max_new_tokens=24, stop=(middle,))
    assert told.text(0) == told.texts()[0] == whole[: whole.index(middle)]
    assert told.finish(0) == ["stop"]


def test_a_prompt_that_leaves_no_room_is_refused_with_its_numbers(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), prompts=("x" * 400,), template="plain")
    assert told.end.outcome == "failed"
    assert "has 400 tokens" in told.end.message
    assert "at most 256" in told.end.message
    assert told.end.hint


def test_a_prompt_that_just_fits_gets_the_one_token_there_is_room_for(tmp_path: Path, folder: Path) -> None:
    base = load_base(str(folder), torch.device("cpu"), torch.float32)
    text = "x" * 255
    assert len(render(base.tokenizer, text, template="plain").ids) == 255
    told = ask(tmp_path, models=(str(folder),), prompts=(text,), template="plain")
    assert told.end.outcome == "completed" and told.answers[0]["tokens"] == 1
    assert ask(tmp_path, models=(str(folder),), prompts=(text + "x",), template="plain").end.outcome == "failed"


def test_among_many_prompts_only_those_that_are_too_long_go_unanswered(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), prompts=("What?", "x" * 300, "Who?"), template="plain")
    assert [a["prompt"] for a in told.answers] == [0, 2]
    alert = next(e for e in told.events if isinstance(e, Alert))
    assert "1 of 3 prompts" in alert.text and "300" in alert.text


def test_a_long_prompt_does_not_shorten_the_answer_to_a_short_one(tmp_path: Path, folder: Path) -> None:
    prompts = ("What?", "x" * 250)
    told = ask(tmp_path, models=(str(folder),), prompts=prompts, template="plain", max_new_tokens=20, seed=3)
    alone = ask(tmp_path, models=(str(folder),), prompts=prompts[:1], template="plain", max_new_tokens=20, seed=3)
    assert told.texts()[0] == alone.texts()[0]
    assert told.answers[1]["tokens"] <= 6


def test_a_cancelled_run_keeps_what_was_written(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "QUIET", 0.0)
    told = ask(tmp_path, stop_after=3, models=(str(folder),), max_new_tokens=200)
    assert told.end.outcome == "cancelled"
    assert 1 <= told.answers[0]["tokens"] <= 5
    assert told.answers[0]["finish"] == ""
    assert told.text(0) == told.texts()[0]


def test_pieces_come_at_most_thirty_times_a_second(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(i * 0.004 for i in range(100_000))
    monkeypatch.setattr(work.time, "monotonic", lambda: next(clock))
    told = ask(tmp_path, models=(str(folder),), max_new_tokens=60, temperature=2.0)
    pieces = [e for e in told.events if isinstance(e, Text)]
    written = told.answers[0]["tokens"]
    assert len(pieces) <= written / 8 + 2  # a token each 4 ms, so that about eight go into a thirtieth of a second
    assert sum(len(e.tokens) for e in pieces) == written


def test_finished_answers_are_scored_by_the_reward_model_as_it_was_trained_to_read(
    tmp_path: Path, folder: Path
) -> None:
    judge = adapter(tmp_path, folder, "c" * 12, seed=3, task="reward")
    told = ask(tmp_path, models=(str(folder),), samples=2, reward_model=judge)
    opened = loaded.open_models([judge], _Run(tmp_path), "auto")[judge]  # type: ignore[list-item, arg-type]
    for answer in told.answers:
        ids = render(opened.backbone.base.tokenizer, "What colour is the sky?", answer["text"]).ids
        expected = opened.backbone.score(opened.role, [ids]).item()
        assert answer["score"] == pytest.approx(expected, abs=1e-4)


class _Run:
    device = torch.device("cpu")

    def __init__(self, root: Path) -> None:
        self.project_root = root

    def stage(self, *_: Any) -> None: ...


def test_a_model_that_is_no_reward_model_cannot_score(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), reward_model=adapter(tmp_path, folder, "b" * 12, seed=1))
    assert told.end.outcome == "failed" and "not a reward model" in told.end.message


def test_with_own_prompts_each_model_goes_on_with_its_own_conversation(tmp_path: Path, folder: Path) -> None:
    tuned = adapter(tmp_path, folder, "b" * 12, seed=1)
    told = ask(tmp_path, models=(str(folder), tuned), prompts=("What?", "Where is it?"), own_prompts=True, samples=2)
    assert [(a["answer"], a["model"], a["prompt"]) for a in told.answers] == [
        (0, str(folder), 0),
        (1, str(folder), 0),
        (2, tuned, 1),
        (3, tuned, 1),
    ]
    assert told.texts()[2:] == ask(tmp_path, models=(tuned,), prompts=("Where is it?",), samples=2).texts()
    with pytest.raises(SpecError):
        GenerateSpec(models=("a", "b"), prompts=("x",), own_prompts=True)


def test_the_same_model_asked_twice_draws_other_answers_the_second_time(tmp_path: Path, folder: Path) -> None:
    first, second = ask(tmp_path, models=(str(folder), str(folder)), temperature=1.5).texts()
    assert first != second


def test_a_prompt_that_says_nothing_is_refused(tmp_path: Path, folder: Path) -> None:
    told = ask(tmp_path, models=(str(folder),), prompts=("Good?", "  "))
    assert told.end.outcome == "failed" and "Prompt 2" in told.end.message


def test_a_missing_model_is_told_in_a_sentence(tmp_path: Path) -> None:
    told = ask(tmp_path, models=("run:" + "d" * 12,))
    assert told.end.outcome == "failed" and not told.end.traceback


@pytest.mark.skipif(not (starter.MODEL / "model.safetensors").is_file(), reason="the starter model is not built")
def test_the_starter_model_answers_in_words(tmp_path: Path) -> None:
    prompt = json.loads((starter.PROJECT / "prompts.jsonl").read_text(encoding="utf-8").splitlines()[0])["prompt"]
    told = ask(tmp_path, models=("starter",), prompts=(prompt,), temperature=0.0, max_new_tokens=40)
    assert told.end == RunFinished("completed")
    assert len(told.texts()[0].split()) >= 2


def test_models_kept_for_the_next_question_leave_before_training(tmp_path: Path, folder: Path) -> None:
    ask(tmp_path, models=(str(folder),))
    assert loaded._bases
    spec = SFTSpec(model=str(folder), dataset="dataset:0123456789abcdef", device="cpu")
    assert execute("b" * 12, spec, lambda _: None, RunControl(), tmp_path).outcome == "failed"  # no such dataset
    assert not loaded._bases
