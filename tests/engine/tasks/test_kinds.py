"""Each kind of adapter, and all weights, through SFT and PPO: it runs, it goes on exactly, and it is what it says."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.cli.runs import _trained
from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Alert, Envelope, Metrics, Produced
from rlhf_engine.launch.execute import execute
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.folders import adapter_facts
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.trainable import trainable
from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.evaluate.spec import EvaluateSpec
from rlhf_engine.tasks.generate.spec import GenerateSpec
from tests.engine.small_project import SmallProject, curve, ended_well

KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "lora+": {"lora_plus_ratio": 4.0},
    "rslora": {"lora_variant": "rslora"},
    "dora": {"lora_variant": "dora"},
    "pissa": {"lora_init": "pissa", "activation_checkpointing": True},
    "olora": {"lora_init": "olora"},
    "all-weights": {"trained": "all-weights", "learning_rate": 5e-4, "weight_decay": 0.1},
}
QUICK = {"sample_every": 0, "lora_rank": 4}


def weights(project: SmallProject, run_id: str) -> dict[str, torch.Tensor]:
    files = sorted((project.root / "runs" / run_id / "adapter").glob("*.safetensors"))
    return {f"{file.name}/{key}": tensor for file in files for key, tensor in load_file(file).items()}


def interrupted(project: SmallProject, run_id: str, spec: Any, after: int) -> list[Envelope]:
    """The same run, laid down after a step and gone on with by a process that knows nothing of it."""
    control, said = RunControl(), []

    def listen(envelope: Envelope) -> None:
        said.append(envelope)
        if isinstance(envelope.event, Metrics) and envelope.event.step == after:
            control.suspend()

    assert execute(run_id, spec, listen, control, project.root).outcome == "suspended"
    return said + project.run(run_id, spec, resume=True)


@pytest.mark.parametrize("kind", KINDS)
def test_sft_and_ppo_run_go_on_exactly_and_leave_a_model(small: SmallProject, kind: str) -> None:
    sft = small.sft(**{"epochs": 0.45, "evaluate_every": 0} | QUICK | KINDS[kind])
    said = small.run(f"sft-{kind}", sft)
    assert ended_well(said)
    losses = [values["train/loss"] for values in curve(said).values()]
    assert len(losses) == 4 and losses[-1] < losses[0]
    cut = interrupted(small, f"sft-{kind}-cut", sft, after=2)
    assert ended_well(cut) and curve(cut) == curve(said)
    made, again = weights(small, f"sft-{kind}"), weights(small, f"sft-{kind}-cut")
    assert made.keys() == again.keys() and all(torch.equal(made[key], again[key]) for key in made)

    shape = {"updates": 3, "minibatch_size": 8, "value_init": "zero", "value_warmup": 0, "adaptive_kl": False}
    settings = shape | QUICK | KINDS[kind]
    ppo = small.ppo("run:rm", policy=f"run:sft-{kind}", **settings)
    told = small.run(f"ppo-{kind}", ppo)
    assert ended_well(told)
    first = curve(told)[1]
    assert first["objective/kl_sequence"] == 0.0  # to the last bit: the policy is its own reference
    assert curve(told)[3]["objective/kl_sequence"] != 0.0
    cut = interrupted(small, f"ppo-{kind}-cut", ppo, after=1)
    assert ended_well(cut) and curve(cut) == curve(told)
    made, again = weights(small, f"ppo-{kind}"), weights(small, f"ppo-{kind}-cut")
    assert made.keys() == again.keys() and all(torch.equal(made[key], again[key]) for key in made)

    source = resolve(f"run:ppo-{kind}", small.root)
    backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
    load_adapter(backbone, "policy", source)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        plain = Backbone(load_base(small.model, torch.device("cpu"), torch.float32)).hidden(ids, torch.ones_like(ids))
        with backbone.acting_as("policy"):
            assert not torch.allclose(backbone.hidden(ids, torch.ones_like(ids)), plain, atol=1e-3)
    facts, counted = adapter_facts(source.folder), trainable(Path(small.model), asdict(sft))
    assert facts.parameters == counted.trained and facts.rank == (0 if kind == "all-weights" else 4)
    what = "all weights" if kind == "all-weights" else "rank 4 in "
    assert _trained(source.folder).startswith(f" ({counted.trained:,} trained parameters: {what}")
    about = json.loads((source.folder / "model.json").read_text())
    assert about.get("weights") == ("whole" if kind == "all-weights" else None)


def test_the_first_ratio_is_one_where_the_policy_is_a_copy_of_all_weights(small: SmallProject) -> None:
    """One pass over one minibatch: what is measured is what the rollout measured."""
    settings = {"updates": 1, "epochs": 1, "minibatch_size": 8, "value_warmup": 0, "trained": "all-weights"}
    said = small.run("whole-once", small.ppo("run:rm", policy="run:sft", sample_every=0, **settings))
    assert ended_well(said)
    (values,) = curve(said).values()
    assert values["policy/ratio_mean"] == values["policy/ratio_max"] == 1.0
    assert values["policy/clip_fraction"] == values["policy/approx_kl"] == 0.0


def test_a_whole_reward_model_judges_wherever_one_is_asked(small: SmallProject) -> None:
    """It is a base of its own: the policy sits beside it, and a value model cannot start from it."""
    whole = {"trained": "all-weights", "learning_rate": 5e-4, "epochs": 0.3, "normalise_on": 8}
    assert ended_well(small.run("rm-whole", small.reward(sample_every=0, evaluate_every=0, **whole)))
    quick = {"updates": 1, "sample_every": 0}
    refused = small.run("ppo-refused", small.ppo("run:rm-whole", **quick))[-1].event
    assert "The value model cannot start from run:rm-whole" in refused.message and refused.hint
    assert ended_well(small.run("ppo-judged", small.ppo("run:rm-whole", value_init="zero", **quick)))
    ask = GenerateSpec(models=("run:rm-whole",), prompts=("What is 3?",), reward_model="run:rm-whole", device="cpu")
    said = small.run("asked", ask)
    assert ended_well(said)
    (made,) = [e.event.facts for e in said if isinstance(e.event, Produced)]
    assert all(isinstance(answer["score"], float) for answer in made["answers"])
    measure = {"reward_model": "run:rm-whole", "reference": "run:sft", "limit": 4, "response_tokens": 6}
    spec = EvaluateSpec(models=("run:sft", "run:rm-whole"), dataset=small.prompts, device="cpu", **measure)
    assert ended_well(small.run("measured", spec))


def test_all_weights_go_on_from_all_weights_and_carry_adapters(small: SmallProject) -> None:
    """Results on results: each stands on the one before, and the first base is not touched."""
    whole = {"trained": "all-weights", "learning_rate": 5e-4, "epochs": 0.12, "evaluate_every": 0, "sample_every": 0}
    assert ended_well(small.run("one", small.sft(**whole)))
    assert ended_well(small.run("two", small.sft(model="run:one", **whole)))
    adapter = whole | {"trained": "adapter"}
    assert ended_well(small.run("three", small.sft(model="run:two", **adapter)))
    source = resolve("run:three", small.root)
    assert source.base == str(small.root / "runs" / "two" / "adapter") and source.adapter is not None
    backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
    load_adapter(backbone, "policy", source)
    assert backbone.has(PLAIN) and source.about["base"] == "run:two" and source.about["parent"] == "run:two"


@pytest.mark.parametrize("task", [key for key, task in TASKS.items() if task.trains])
def test_every_method_trains_all_weights(small: SmallProject, task: str) -> None:
    """None of them may lean on there being an adapter."""
    whole = {"trained": "all-weights", "learning_rate": 1e-4, "activation_checkpointing": True, "sample_every": 1}
    if hasattr(small, task) and task != "ppo":
        spec = getattr(small, task)(model="run:sft", epochs=0.15, **whole)
    else:
        spec = small.online(task, "run:rm", policy="run:sft", updates=1, **whole)
    said = small.run(f"all-{task}", spec)
    assert ended_well(said)
    source = resolve(f"run:all-{task}", small.root)
    assert source.adapter is None and adapter_facts(source.folder).whole and not adapter_facts(source.folder).fault
    before = curve(said)[1]
    for name in ("objective/kl_sequence", "objective/kl_token"):
        assert before.get(name, 0.0) == 0.0


def test_an_adapter_that_goes_on_keeps_its_shape_and_says_so(small: SmallProject) -> None:
    quick = {"epochs": 0.12, "sample_every": 0, "evaluate_every": 0}
    asked = small.run("kept-shape", small.sft(model="run:sft", lora_rank=2, lora_variant="dora", **quick))
    assert ended_well(asked)
    (told,) = [e.event for e in asked if isinstance(e.event, Alert)]
    assert told.text.startswith("run:sft carries an adapter already, which goes on as it is: lora_rank = 2, ")
    assert "lora_variant = dora is not used." in told.text and told.hint
    kept, went_on = (adapter_facts(small.root / "runs" / run / "adapter") for run in ("sft", "kept-shape"))
    assert (went_on.rank, went_on.parameters) == (kept.rank, kept.parameters)
    silent = small.run("usual-shape", small.sft(model="run:sft", **quick))
    assert not [e for e in silent if isinstance(e.event, Alert)]
