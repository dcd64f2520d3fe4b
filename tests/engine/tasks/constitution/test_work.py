"""Answer, criticism, revision, comparison: what is kept, what is told on the way, and what is said of nothing."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.cli import main
from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.events import Alert, Produced, Text
from rlhf_engine.data.datasets import freeze, open_dataset
from rlhf_engine.data.records import PromptRecord, split_of
from rlhf_engine.judging.constitution import STARTER
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.project import Project
from rlhf_engine.store.taking import take_in
from rlhf_engine.tasks.constitution.spec import ConstitutionSpec, ReviseSpec
from rlhf_engine.tasks.constitution.work import Desk, drawn
from tests.engine.small_project import SmallProject, ended_well
from tests.engine.tiny import tiny_model

COMMON = {"response_tokens": 6, "template": "short", "device": "cpu", "principles": ("honesty", "clarity")}


@pytest.fixture
def small(tmp_path):
    Project.create(tmp_path / "p").close()
    made = SmallProject.__new__(SmallProject)
    made.root = tmp_path / "p"
    made.model = str(tiny_model(tmp_path / "tiny", chat=False))
    return made


@pytest.fixture
def scripted(monkeypatch):
    """The model's texts, made by what it is asked; comparisons are its own."""
    asked = []

    def write(_, prompts):
        asked.extend(prompts)
        return [
            "new one" if "CRITICISM" in text else "too long" if "[ANSWER " in text else "old"
            for text in map(str, prompts)
        ]

    monkeypatch.setattr(Desk, "write", write)
    return asked


def prompts_of(root, count=6):
    return freeze(root, "prompts", [PromptRecord(f"Q{n}?") for n in range(count)], "p", "test").ref


def test_revised_answers_become_demonstrations_and_labelled_pairs(small, scripted):
    spec = ConstitutionSpec(model=small.model, dataset=prompts_of(small.root), demonstrations="all", **COMMON)
    said = small.run("cai", spec)
    assert ended_well(said)
    made = {e.event.what: e.event for e in said if isinstance(e.event, Produced)}
    count = sum(split_of(f"Q{n}?") == "train" for n in range(6))
    demonstrations = open_dataset(small.root, "dataset:" + made["dataset"].path.split("/")[1]).records()
    assert [(d.completion, d.source) for d in demonstrations] == [("new one", "model")] * count
    assert any("old" in text and "too long" in text for text in map(str, scripted))
    with Project.open(small.root) as project:
        assert take_in(project.labels, small.root) == 2 * count
        assert project.labels.count("demonstrations") == 0  # people's stay by themselves
        pairs = project.labels.page("pairs")
        assert {frozenset((p["a"], p["b"])) for p in pairs} == {frozenset(("old", "new one"))}
        assert project.labels.judged_by_people()[""] == count
        for row in project.labels.judgements("model"):
            meta = unpack_meta(row["judgement_meta"])
            assert set(meta["principles"]) <= {"honesty", "clarity"} and meta["model"] == small.model
        assert take_in(project.labels, small.root) == 0


def test_one_prompt_is_told_step_by_step_and_nothing_is_kept(small, scripted):
    said = small.run("once", ReviseSpec(model=small.model, prompt="Why?", rounds=2, **COMMON))
    assert ended_well(said)
    texts = [e.event for e in said if isinstance(e.event, Text)]
    assert [(t.answer, t.piece) for t in texts] == list(
        enumerate(("old", "too long", "new one", "too long", "new one"))
    )
    (made,) = [e.event for e in said if isinstance(e.event, Produced)]
    assert made.facts["winner"] in ("revision", "first", "tie") and sorted(made.facts["principles"]) == [
        "clarity",
        "honesty",
    ]
    assert made.facts["probability"] == pytest.approx((made.facts["ab"] + made.facts["ba"]) / 2)
    assert not (small.root / "runs/once/labels.jsonl").exists() and not list((small.root / "datasets").glob("*"))


def test_a_model_that_writes_for_itself_goes_through(small):
    said = small.run("real", ReviseSpec(model=small.model, prompt="Why?", **{**COMMON, "principles": ()}))
    assert ended_well(said)


def test_no_principle_comes_twice_before_all_have_come():
    spec = ReviseSpec(model="m", prompt="p", rounds=7)
    names = [principle.name for principle in drawn(STARTER, spec, 3)]
    assert len(set(names[:5])) == 5 and len(set(names[5:])) == 2
    assert names == [principle.name for principle in drawn(STARTER, spec, 3)]


def test_what_would_keep_nothing_is_refused(small, monkeypatch):
    with pytest.raises(SpecError, match="nothing would be kept"):
        ConstitutionSpec(model="m", dataset="d", demonstrations="none", comparisons=False)
    with pytest.raises(SpecError, match="There is no prompt"):
        ReviseSpec(model="m", prompt=" ")
    monkeypatch.setattr(Desk, "write", lambda _, prompts: ["same"] * len(prompts))
    spec = ConstitutionSpec(model=small.model, dataset=prompts_of(small.root), **COMMON)
    end = small.run("same", spec)[-1].event
    assert end.outcome == "failed" and "changed none" in end.message


def test_a_model_that_cannot_read_the_questions_is_told_so_and_asked_shorter_ones(small):
    """Its context is 256 tokens, of a tokenizer that makes about one of each letter."""
    spec = {"model": small.model, "dataset": prompts_of(small.root), **COMMON, "temperature": 1.0}
    end = small.run("full", ConstitutionSpec(**{**spec, "template": "full"}))[-1].event
    assert end.outcome == "failed" and "6 texts were more than the 256 tokens" in end.message
    assert "none of its 6 answers was changed" in end.message and "Ask the short question" in end.hint
    said = small.run("once", ReviseSpec(model=small.model, prompt="Why?", **{**COMMON, "template": "full"}))
    assert ended_well(said)
    (alert,) = [e.event for e in said if isinstance(e.event, Alert)]
    assert "a step needed more" in alert.text and "Ask the short question" in alert.hint


def test_the_terminal_shows_every_step(small, scripted, capfd, monkeypatch):
    body = {"task": "revise", "model": small.model, "prompt": "Why?", "rounds": 1, **COMMON}
    spec = small.root.parent / "spec.json"
    spec.write_text(json.dumps(body))
    assert main(["run", str(spec), "--project", str(small.root)]) == 0
    said = capfd.readouterr().out
    lines = said.splitlines()
    assert lines[lines.index("First answer:") :][:6] == [
        "First answer:", "old", "Criticism 1:", "too long", "Revision 1:", "new one",
    ]  # fmt: skip
    assert "Probability that the revision is better: " in said and "revision: " not in said
