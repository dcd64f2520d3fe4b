"""Every kind of result can be exported, and what was written is what was trained."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from rlhf_engine.contract.errors import ModelError, SpecError
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.lora import lora
from rlhf_engine.tasks.export import weights
from rlhf_engine.tasks.export.compare import Agreement, require_agreement
from tests.engine.tasks.export.conftest import Project
from tests.engine.tasks.export.test_work import score_by_the_card

IDS = torch.tensor([[3, 60, 70, 80, 1, 4, 90, 100]])
ADAPTERS = {
    "rslora": lora(4, 8.0, 0.0, "q_proj,down_proj", "rslora"),
    "dora": lora(4, 8.0, 0.0, "all-linear", "dora"),
    "pissa": lora(4, 8.0, 0.0, "all-linear", "lora", "pissa"),
    "olora": lora(4, 8.0, 0.0, "all-linear", "lora", "olora"),
}
KINDS = ADAPTERS | {"all-weights": None}


@torch.no_grad()
def trained(project: Project, ref: str) -> torch.Tensor:
    """What the trained model says, in this program."""
    source = resolve(ref, project.root)
    backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
    load_adapter(backbone, "trained", source)
    with backbone.acting_as("trained"):
        return backbone.logits(backbone.hidden(IDS, torch.ones_like(IDS)))


@torch.no_grad()
def base_logits(folder: Path) -> torch.Tensor:
    return AutoModelForCausalLM.from_pretrained(folder)(IDS).logits


@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_export_is_the_trained_model(project: Project, kind: str) -> None:
    model = project.train("a" * 12, kind=KINDS[kind])
    produced = project.run(model)
    written = base_logits(project.folder(produced))
    expected = trained(project, model)
    torch.testing.assert_close(written, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    assert (expected - base_logits(project.base)).abs().max() > 0.1
    assert produced.facts["agreement"] == 1.0
    assert {path.name for path in project.folder(produced).glob("*.safetensors")} == {"model.safetensors"}


def test_parts_that_take_each_other_out_are_allowed_their_rounding(project: Project) -> None:
    """With a scaling of 4, either part of this adapter is four times as large as the weights it stands beside."""
    kind = lora(4, 8.0, 0.0, "all-linear", "rslora", "olora")
    assert project.run(project.train("a" * 12, kind=kind)).facts["agreement"] == 1.0
    plain = resolve(project.train("b" * 12), project.root)
    cancelling = resolve(project.train("c" * 12, kind=kind), project.root)
    assert weights.cancelling(plain) == 0.0 and weights.cancelling(cancelling) == pytest.approx(4.0)
    usual = Agreement("logits", 16, 100, 2e-4, 1.0, "texts")
    with pytest.raises(ModelError, match=r"differ by 2\.0e-04, and at most 1e-04 is rounding"):
        require_agreement(usual, "fp32", "merged")
    require_agreement(replace(usual, cancels=4.0), "fp32", "merged")  # 1e-4 * (1 + 2 * 4)
    with pytest.raises(ModelError, match="at most 9e-04 is rounding"):
        require_agreement(replace(usual, cancels=4.0, largest=1e-3), "fp32", "merged")


@pytest.mark.parametrize("kind", ADAPTERS)
def test_an_exported_adapter_is_the_trained_one(project: Project, kind: str) -> None:
    """To PEFT, and to this program, which must still know what of it is trained."""
    model = project.train("a" * 12, kind=ADAPTERS[kind])
    folder = project.folder(project.run(model, form="adapter"))
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(project.base)
        theirs = PeftModel.from_pretrained(base, str(folder)).eval()(IDS).logits
    expected = trained(project, model)
    torch.testing.assert_close(theirs, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    about = json.loads((folder / "model.json").read_text())
    assert about.get("frozen_rank", 0) == (4 if kind in ("pissa", "olora") else 0)


def test_a_model_of_which_all_weights_were_trained_has_no_adapter_to_export(project: Project) -> None:
    model = project.train("a" * 12, kind=None)
    with pytest.raises(SpecError, match=f"There is no adapter: all weights of {model} were trained") as error:
        project.run(model, form="adapter")
    assert error.value.field == "form" and error.value.hint == "Choose the merged form."


def test_a_whole_reward_model_scores_the_same_by_the_example_in_its_card(project: Project) -> None:
    model = project.train("a" * 12, task="reward", head=True, kind=None)
    folder = project.folder(project.run(model))
    source = resolve(model, project.root)
    backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
    load_adapter(backbone, "judge", source)
    expected = backbone.score("judge", IDS.tolist()).item()
    assert float(score_by_the_card(folder, project.base)(IDS[0].tolist())) == pytest.approx(expected, abs=1e-5)


def test_an_adapter_on_a_whole_result_names_the_model_that_both_came_from(project: Project) -> None:
    first = project.train("a" * 12, kind=None)
    second = project.train("b" * 12, on=first)
    assert json.loads((project.root / "runs" / ("b" * 12) / "adapter" / "model.json").read_text())["base"] == first
    folder = project.folder(project.run(second))
    expected = trained(project, second)
    torch.testing.assert_close(base_logits(folder), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((project.base / "model.safetensors").read_bytes()).hexdigest() in card
