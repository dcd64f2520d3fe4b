"""Exports are written, loaded again by means that know nothing of this program, and compared with the trained model."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_engine.contract.errors import HubError, ModelError, RunCancelled, SpecError
from rlhf_engine.contract.events import Produced
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.records import Comparison, Demonstration
from rlhf_engine.models.load import resolve
from rlhf_engine.tasks.export import weights, work
from tests.engine.tasks.export.conftest import Project

IDS = torch.tensor([[3, 60, 70, 80, 1, 4, 90, 100]])


def logits_of_base_with_adapter(project: Project, adapter: Path) -> torch.Tensor:
    base = AutoModelForCausalLM.from_pretrained(project.base, trust_remote_code=False, use_safetensors=True)
    with torch.no_grad():
        result: torch.Tensor = PeftModel.from_pretrained(base, str(adapter)).eval()(IDS).logits
    return result


def logits_of(folder: Path) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False, use_safetensors=True)
    with torch.no_grad():
        result: torch.Tensor = model(IDS).logits
    return result


def template_of(folder: Path) -> str:
    return str(AutoTokenizer.from_pretrained(folder, trust_remote_code=False).chat_template or "")


def score_by_the_card(folder: Path, base: Path) -> Any:
    """The function that the card's own example defines."""
    code = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.S)[0]
    code = code.replace(f'"{folder.name}"', json.dumps(str(folder)))
    code = re.sub(r'"local folder, sha256 \w+"', json.dumps(str(base)), code)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["score"]


def test_a_merged_export_gives_the_logits_of_base_and_adapter(project: Project) -> None:
    model = project.train("a" * 12)
    folder = project.folder(project.run(model))
    adapted = logits_of_base_with_adapter(project, project.root / "runs" / ("a" * 12) / "adapter")
    assert (logits_of(folder) - adapted).abs().max() < 1e-4
    assert (logits_of(project.base) - adapted).abs().max() > 0.1  # the adapter does matter
    assert (
        AutoTokenizer.from_pretrained(folder).chat_template == AutoTokenizer.from_pretrained(project.base).chat_template
    )


def test_an_adapter_export_loads_with_peft_and_changes_nothing(project: Project) -> None:
    model = project.train("a" * 12)
    produced = project.run(model, form="adapter")
    folder = project.folder(produced)
    before = logits_of_base_with_adapter(project, project.root / "runs" / ("a" * 12) / "adapter")
    assert torch.equal(logits_of_base_with_adapter(project, folder), before)
    assert produced.facts["largest_difference"] == 0.0
    assert {p.name for p in folder.iterdir()} == {
        "README.md", "adapter_config.json", "adapter_model.safetensors", "model.json",
    }  # fmt: skip


def test_an_exported_adapter_can_be_opened_again_as_a_model(project: Project) -> None:
    folder = project.folder(project.run(project.train("a" * 12), form="adapter"))
    source = resolve(str(folder), project.root)
    assert source.adapter == folder and source.base.startswith("local folder, sha256")


def test_shorter_formats_are_written_as_asked_and_their_agreement_is_told(project: Project) -> None:
    model = project.train("a" * 12, scale=0.05)
    for dtype, name in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        produced = project.run(model, dtype=dtype)
        folder = project.folder(produced)
        assert {t.dtype for t in load_file(folder / "model.safetensors").values()} == {name}
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert f"{produced.facts['agreement']:.1%} of" in card and produced.facts["agreement"] >= 0.95


@pytest.mark.parametrize("form", ["merged", "adapter"])
def test_a_reward_model_scores_the_same_by_the_example_in_its_card(project: Project, form: str) -> None:
    model = project.train("b" * 12, task="reward", head=True)
    produced = project.run(model, form=form)
    folder = project.folder(produced)
    score = score_by_the_card(folder, project.base)
    head = load_file(project.root / "runs" / ("b" * 12) / "adapter" / "head.safetensors")
    base = AutoModelForCausalLM.from_pretrained(project.base, trust_remote_code=False, use_safetensors=True)
    peft = PeftModel.from_pretrained(base, str(project.root / "runs" / ("b" * 12) / "adapter"))
    with torch.no_grad():
        hidden = peft(IDS, output_hidden_states=True).hidden_states[-1][0, -1]
    expected = (float(head["linear.weight"][0] @ hidden) + 0.25 - 0.5) / 2.0
    assert score(IDS[0].tolist()) == pytest.approx(expected, abs=1e-4)
    facts = json.loads((folder / "reward.json").read_text(encoding="utf-8"))
    assert (facts["mean"], facts["std"], facts["heads"]) == (0.5, 2.0, 1)


@pytest.mark.parametrize("rule", ["mean", "min", "lower"])
def test_an_ensemble_of_heads_scores_the_same_by_the_example_in_its_card(project: Project, rule: str) -> None:
    model = project.train("b" * 12, task="reward", head=True, ensemble={"count": 3, "rule": rule, "k": 1.5})
    folder = project.folder(project.run(model, form="adapter"))
    score = score_by_the_card(folder, project.base)
    saved = project.root / "runs" / ("b" * 12) / "adapter"
    base = AutoModelForCausalLM.from_pretrained(project.base, trust_remote_code=False, use_safetensors=True)
    with torch.no_grad():
        out = PeftModel.from_pretrained(base, str(saved))(IDS, output_hidden_states=True)
    weight = load_file(saved / "head.safetensors")["linear.weight"]
    each = (weight @ out.hidden_states[-1][0, -1] + 0.25).tolist()
    by_hand = {"mean": mean(each), "min": min(each), "lower": mean(each) - 1.5 * pstdev(each)}[rule]
    assert score(IDS[0].tolist()) == pytest.approx((by_hand - 0.5) / 2.0, abs=1e-4)
    assert len({round(raw, 3) for raw in each}) == 3  # heads that say the same would hide the rule


def test_a_reward_model_without_its_head_is_refused(project: Project) -> None:
    model = project.train("b" * 12, task="reward", head=False)
    with pytest.raises(ModelError, match=r"no head\.safetensors"):
        project.run(model)


def test_an_adapter_that_changes_nothing_is_refused(project: Project) -> None:
    model = project.train("a" * 12)
    file = project.root / "runs" / ("a" * 12) / "adapter" / "adapter_model.safetensors"
    save_file({k: v * 0 if "lora_B" in k else v for k, v in load_file(file).items()}, file)
    with pytest.raises(ModelError, match="changes nothing"):
        project.run(model)


def test_a_base_model_is_exported_merged_and_never_as_an_adapter(project: Project) -> None:
    assert torch.equal(logits_of(project.folder(project.run(str(project.base)))), logits_of(project.base))
    with pytest.raises(SpecError) as caught:
        project.run(str(project.base), form="adapter")
    assert caught.value.field == "form"


def test_a_merge_that_went_wrong_is_refused_and_leaves_nothing(project: Project, monkeypatch: Any) -> None:
    model = project.train("a" * 12)
    write = weights.write_merged

    def wrongly(source: Any, dtype: str, folder: Path) -> None:
        write(source, dtype, folder)
        tensors = load_file(folder / "model.safetensors")
        tensors["model.layers.0.self_attn.q_proj.weight"] *= 1.05
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(work.weights, "write_merged", wrongly)
    with pytest.raises(ModelError, match="not the trained one"):
        project.run(model)
    assert list((project.root / "exports").iterdir()) == []


def test_weights_that_overflow_half_precision_are_refused(project: Project) -> None:
    model = project.train("a" * 12, scale=60.0)
    with pytest.raises(ModelError, match="not finite"):
        project.run(model, dtype="fp16")


def test_no_file_says_where_or_by_whom_it_was_made(project: Project) -> None:
    sft = project.train("a" * 12)
    for model, form in (
        (sft, "adapter"),
        (sft, "merged"),
        (project.train("b" * 12, "reward", True, parent=sft), "adapter"),
    ):
        folder = project.folder(project.run(model, form=form))
        text = b"".join(p.read_bytes() for p in folder.iterdir()).decode("utf-8", "ignore")
        private = [str(project.base), "alice", "secret-base", "bobs-project", socket.gethostname(), str(Path.home())]
        assert [word for word in private if len(word) > 3 and word in text] == []
        assert f"/{getpass.getuser()}/" not in text
        assert "A text." not in text
        assert not [p for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl")]


def test_a_card_of_ones_own_that_names_a_private_folder_or_token_is_refused(project: Project) -> None:
    model = project.train("a" * 12)
    with pytest.raises(ModelError, match="contained the path"):
        project.run(model, card=f"# Mine\nTrained from {project.base}.")
    with pytest.raises(ModelError, match="access token"):
        project.run(model, card="# Mine\nhf_" + "a" * 34)
    folder = project.folder(project.run(model, card="# Mine\nMade with care."))
    assert "# Mine\nMade with care." in (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_names_data_settings_metrics_and_lineage(project: Project) -> None:
    rows = [
        Demonstration(f"Question {i}?", f"Answer {i}.", "human" if i % 2 else "/home/x/y.jsonl") for i in range(100)
    ]
    data = freeze(project.root, "demonstrations", rows, "/home/carol/lamp | answers.jsonl", "file")
    sft = project.train("a" * 12, dataset=data.ref, facts={"heldout/loss": 1.25})
    reward = project.train("b" * 12, "reward", True, parent=sft)
    ppo = project.train("c" * 12, "ppo", parent=sft, reward_model=reward)
    produced = project.run(ppo, licence='mit"\nx: y')
    card = (project.folder(produced) / "README.md").read_text(encoding="utf-8")
    for line in (
        "→ Supervised fine-tuning → PPO",
        "Reward model: local folder",
        "`lamp / answers.jsonl`, 100 demonstrations",
        f"hash `{data.hash}`; labels by source: 50 human, 50 other",
        "| `learning_rate` | 0.0003 |",
        "| `heldout/loss` | 1.25 |",
        '\nlicense: "mit\\" x: y"\n',
    ):
        assert line in card
    assert "carol" not in card


def test_the_card_names_every_dataset_of_a_mixture(project: Project) -> None:
    first, second = (
        freeze(project.root, "demonstrations", [Demonstration(f"{name} {i}?", "Yes.") for i in range(9)], name, "test")
        for name in ("lamps", "boats")
    )
    mixture = [{"dataset": second.ref, "weight": 2.5}, {"dataset": 3}, "nonsense"]
    model = project.train("a" * 12, dataset=first.ref, mixture=mixture)
    card = (project.folder(project.run(model)) / "README.md").read_text(encoding="utf-8")
    assert f"`lamps`, 9 demonstrations, weight 1 in the mixture, hash `{first.hash}`" in card
    assert f"`boats`, 9 demonstrations, weight 2.5 in the mixture, hash `{second.hash}`" in card
    alone = project.train("b" * 12, dataset=first.ref, mixture="damaged")
    card = (project.folder(project.run(alone)) / "README.md").read_text(encoding="utf-8")
    assert f"`lamps`, 9 demonstrations, hash `{first.hash}`" in card


def test_held_out_prompts_are_used_where_there_are_enough(project: Project) -> None:
    rows = [Comparison(f"Question {i}?", f"Yes, {i}.", f"No, {i}.", source="rule") for i in range(200)]
    data = freeze(project.root, "comparisons", rows, "pairs", "test")
    assert data.heldout >= 8
    produced = project.run(project.train("b" * 12, "reward", True, dataset=data.ref))
    assert "held-out texts" in produced.facts["compared"]


def test_a_name_that_is_taken_gets_a_number(project: Project) -> None:
    model = project.train("a" * 12)
    names = [project.folder(project.run(model, form="adapter")).name for _ in range(3)]
    assert names == ["model-sft-aaaaaa-adapter", "model-sft-aaaaaa-adapter-2", "model-sft-aaaaaa-adapter-3"]


def test_a_dry_run_writes_nothing_and_lists_what_would_be_written(project: Project) -> None:
    model = project.train("a" * 12)
    before = sorted(project.root.rglob("*"))
    planned = project.run(model, dry_run=True, repo="me/lamp")
    assert sorted(project.root.rglob("*")) == before
    assert planned.facts["dry_run"] and planned.facts["repo"] == "me/lamp"
    written = project.run(model)
    plan = {f["name"]: f["size"] for f in planned.facts["files"]}
    real = {f["name"]: f["size"] for f in written.facts["files"]}
    assert plan.keys() == real.keys()
    assert plan["model.safetensors"] == pytest.approx(real["model.safetensors"], rel=0.01)


def test_a_push_that_fails_leaves_the_export_and_says_where_it_is(project: Project, monkeypatch: Any) -> None:
    def fails(folder: Path, repo: str, private: bool, progress: Any) -> str:
        assert (folder / "model.safetensors").is_file()
        raise HubError("The Hub cannot be reached to push to me/lamp (ConnectError).", "Check the network.")

    monkeypatch.setattr(work, "push", fails)
    with pytest.raises(HubError, match=r"The export itself is complete: exports/lamp\.") as caught:
        project.run(project.train("a" * 12), repo="me/lamp")
    assert caught.value.hint == "Check the network."
    assert (project.folder(project.produced()) / "model.safetensors").is_file()


def test_a_push_tells_the_address(project: Project, monkeypatch: Any) -> None:
    monkeypatch.setattr(work, "push", lambda _folder, repo, *_: f"https://huggingface.co/{repo}")
    produced = project.run(project.train("a" * 12), repo="me/lamp", form="adapter")
    assert produced.facts["url"] == "https://huggingface.co/me/lamp"


def test_a_bad_name_of_a_repository_is_refused_before_any_work(project: Project) -> None:
    with pytest.raises(SpecError) as caught:
        project.run(project.train("a" * 12), repo="../lamp")
    assert caught.value.field == "repo" and not (project.root / "exports").exists()


def test_a_cancelled_export_leaves_nothing_behind(project: Project, monkeypatch: Any) -> None:
    model = project.train("a" * 12)

    def cancelled(_run: Any) -> None:
        raise RunCancelled

    monkeypatch.setattr(work.RunContext, "safe_point", cancelled)
    with pytest.raises(RunCancelled):
        project.run(model)
    assert not [event for event in project.events if isinstance(event, Produced)]
    assert list((project.root / "exports").iterdir()) == []


@pytest.mark.real
@pytest.mark.parametrize("name", ["stories260K", "TinyStories-656K"])
def test_a_real_model_with_an_adapter_agrees_after_merging(project: Project, name: str) -> None:
    real = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[5] / "shared" / "real"))
    project.base = real / "weights" / name
    if not project.base.is_dir():
        pytest.skip(f"there are no real weights at {project.base}; set RLHF_REAL_DATA")
    model = project.train("a" * 12, scale=0.02)
    for dtype in ("fp32", "bf16", "fp16"):
        produced = project.run(model, dtype=dtype)
        print(name, dtype, produced.facts["compared"])  # noqa: T201 - the measurement is the point
        assert produced.facts["agreement"] >= 0.95
