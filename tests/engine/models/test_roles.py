"""Every kind of role keeps the same promises: it starts as the base, it alone moves, and it comes back from disk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models.adapters import KeptAdapter, load_adapter, save_adapter, start_adapter
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.lora import lora
from rlhf_engine.models.optimizer import optimizer_for
from rlhf_engine.tasks.sft.spec import SFTSpec
from tests.engine.tiny import tiny_model

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8, 9, 10], [11, 12, 13, 14, 15, 16]])
ONES = torch.ones_like(IDS)
MASK = ONES.bool() & (torch.arange(6) > 0)
KINDS = {
    "lora": lambda: lora(4, 8.0, 0.0, "all-linear"),
    "rslora": lambda: lora(4, 8.0, 0.0, "all-linear", "rslora"),
    "dora": lambda: lora(4, 8.0, 0.0, "all-linear", "dora"),
    "pissa": lambda: lora(4, 8.0, 0.0, "all-linear", "lora", "pissa"),
    "olora": lambda: lora(4, 8.0, 0.0, "all-linear", "rslora", "olora"),
    "all-weights": lambda: None,
}
SPEC = SFTSpec(model="m", dataset="d", weight_decay=0.1)


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.fixture
def backbone(plain: Backbone, kind: str) -> Backbone:
    """`policy` of the kind and trained, `frozen` a plain adapter with an opinion."""
    plain.add("policy", KINDS[kind](), trainable=True)
    plain.add("frozen", lora(4, 8.0, 0.0, "all-linear"))
    plain.load_state("frozen", {k: v + 0.05 * torch.randn_like(v) for k, v in plain.state("frozen").items()})
    return plain


def fresh(folder: Path) -> Backbone:
    return Backbone(load_base(str(folder), CPU, torch.float32))


@torch.no_grad()
def logits(backbone: Backbone, role: str) -> torch.Tensor:
    with backbone.acting_as(role):
        return backbone.logits(backbone.hidden(IDS, ONES))


def loss(backbone: Backbone, role: str) -> torch.Tensor:
    with backbone.acting_as(role):
        return -token_logprobs(backbone, IDS, ONES, MASK).logp.mean()


def learn(backbone: Backbone, steps: int = 3, role: str = "policy") -> None:
    optimizer = optimizer_for(backbone, role, SPEC)
    for group in optimizer.param_groups:
        group["lr"] = 1e-2
    for _ in range(steps):
        loss(backbone, role).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_new_role_answers_as_the_base_does(backbone):
    torch.testing.assert_close(logits(backbone, "policy"), logits(backbone, PLAIN), atol=0, rtol=0)


def test_it_learns_and_nothing_else_moves(backbone, folder):
    before = {name: logits(backbone, name) for name in ("frozen", PLAIN)}
    first = loss(backbone, "policy").item()
    learn(backbone)
    assert loss(backbone, "policy").item() < first - 0.1
    for name, then in before.items():
        assert torch.equal(logits(backbone, name), then)
    assert torch.equal(logits(fresh(folder), PLAIN), before[PLAIN])
    assert not any(p.requires_grad for p in backbone.parameters_of("frozen"))


def test_a_copy_is_the_same_to_the_last_bit_and_then_goes_its_own_way(backbone):
    learn(backbone)
    backbone.copy("policy", "reference")
    backbone.copy("policy", "twin", trainable=True)
    then = logits(backbone, "policy")
    for name in ("reference", "twin"):
        assert torch.equal(logits(backbone, name), then)
    assert not any(p.requires_grad for p in backbone.parameters_of("reference"))
    learn(backbone, role="twin")
    assert torch.equal(logits(backbone, "policy"), then) and torch.equal(logits(backbone, "reference"), then)
    assert not torch.equal(logits(backbone, "twin"), then)


def test_a_checkpoint_goes_on_as_if_nothing_had_happened(backbone, folder, kind):
    learn(backbone)
    kept = KeptAdapter(backbone, "policy").state_dict()
    other = fresh(folder)
    other.add("policy", KINDS[kind](), trainable=True)
    KeptAdapter(other, "policy").load_state_dict(kept)
    assert torch.equal(logits(other, "policy"), logits(backbone, "policy"))
    learn(backbone)
    learn(other)
    assert all(torch.equal(v, other.state("policy")[k]) for k, v in backbone.state("policy").items())


def test_what_was_saved_is_what_was_trained_and_can_be_trained_on(backbone, folder, tmp_path, kind):
    learn(backbone)
    saved = tmp_path / "runs" / "a" / "adapter"
    saved.parent.mkdir(parents=True)
    save_adapter(backbone, "policy", saved, {"task": "sft"})
    source = resolve("run:a", tmp_path)
    other = Backbone(load_base(source.base, CPU, torch.float32))
    load_adapter(other, "policy", source, trainable=True)
    assert torch.equal(logits(other, "policy"), logits(backbone, "policy"))
    assert [p.shape for p in other.parameters_of("policy")] == [p.shape for p in backbone.parameters_of("policy")]
    learn(other)
    learn(backbone)
    assert all(torch.equal(v, other.state("policy")[k]) for k, v in backbone.state("policy").items())


def test_any_program_reads_the_file(backbone, folder, tmp_path, kind):
    """PEFT alone on the original base, or transformers alone, gives the same numbers."""
    learn(backbone)
    save_adapter(backbone, "policy", tmp_path / "saved", {})
    if kind == "all-weights":
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
        assert len(AutoTokenizer.from_pretrained(tmp_path / "saved")) == len(backbone.base.tokenizer)
    else:
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tmp_path / "saved")
    with torch.no_grad():
        theirs = model.eval()(input_ids=IDS, attention_mask=ONES).logits
    torch.testing.assert_close(theirs, logits(backbone, "policy"), atol=3e-5, rtol=0)


def test_the_file_has_the_names_that_peft_gives(backbone, tmp_path, kind):
    if kind == "all-weights":
        return
    learn(backbone)
    save_adapter(backbone, "policy", tmp_path / "saved", {})
    PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(backbone.base.folder), tmp_path / "saved"
    ).save_pretrained(tmp_path / "theirs")
    mine, theirs = (load_file(tmp_path / where / "adapter_model.safetensors") for where in ("saved", "theirs"))
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


def test_all_weights_can_start_from_it(backbone):
    """The adapter is added into a copy of the base, and the base keeps its own."""
    learn(backbone)
    before = logits(backbone, PLAIN)
    if "policy" in backbone.adapters:
        backbone.copy_whole("policy", "whole", trainable=True)
    else:
        backbone.copy("policy", "whole", trainable=True)
    torch.testing.assert_close(logits(backbone, "whole"), logits(backbone, "policy"), atol=3e-5, rtol=0)
    assert torch.equal(logits(backbone, PLAIN), before)
    learn(backbone, role="whole")
    assert torch.equal(logits(backbone, PLAIN), before)


def test_a_run_that_trains_all_weights_starts_from_an_adapter(backbone, tmp_path, kind):
    learn(backbone)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    save_adapter(backbone, "policy", tmp_path / "runs" / "a" / "adapter", {"task": "sft"})
    source = resolve("run:a", tmp_path)
    other = Backbone(load_base(source.base, CPU, torch.float32))
    start_adapter(other, "policy", source, None)
    torch.testing.assert_close(logits(other, "policy"), logits(backbone, "policy"), atol=3e-5, rtol=0)
    assert "policy" in other.wholes and all(p.requires_grad for p in other.parameters_of("policy"))


def test_a_result_on_a_result_names_its_base_by_its_run(folder, tmp_path):
    """Projects are moved: an adapter on a model of which all weights were trained must not say where that lay."""
    home, moved = tmp_path / "home", tmp_path / "moved"
    for run in ("a", "b"):
        (home / "runs" / run).mkdir(parents=True)
    first = fresh(folder)
    first.add("policy", None, trainable=True)
    learn(first)
    save_adapter(first, "policy", home / "runs" / "a" / "adapter", {"task": "sft"})
    source = resolve("run:a", home)
    assert source.adapter is None and source.folder == home / "runs" / "a" / "adapter"
    second = Backbone(load_base(source.base, CPU, torch.float32))
    start_adapter(second, "policy", source, lora(4, 8.0, 0.0, "all-linear"))
    learn(second)
    save_adapter(second, "policy", home / "runs" / "b" / "adapter", {"task": "sft"})
    assert json.loads((home / "runs" / "b" / "adapter" / "model.json").read_text())["base"] == "run:a"
    home.rename(moved)
    source = resolve("run:b", moved)
    third = Backbone(load_base(source.base, CPU, torch.float32))
    load_adapter(third, "policy", source)
    assert torch.equal(logits(third, "policy"), logits(second, "policy"))
    (moved / "runs" / "a" / "adapter").rename(tmp_path / "gone")
    with pytest.raises(ModelError, match="run:b stands on run:a, whose result is gone"):
        resolve("run:b", moved)


def test_a_whole_reward_model_is_read_with_its_head(folder, tmp_path):
    first = fresh(folder)
    first.add("reward", None, trainable=True)
    first.add_head("reward", trainable=True).mean.fill_(0.25)
    learn(first, role="reward")
    scores = first.score("reward", [[5, 6, 7], [8, 9]])
    (tmp_path / "runs" / "rm").mkdir(parents=True)
    save_adapter(first, "reward", tmp_path / "runs" / "rm" / "adapter", {"task": "reward"})
    source = resolve("run:rm", tmp_path)
    other = Backbone(load_base(source.base, CPU, torch.float32))
    load_adapter(other, "judge", source)
    # A base is computed block by block, where what learns all its weights is computed part by part
    torch.testing.assert_close(other.score("judge", [[5, 6, 7], [8, 9]]), scores, atol=1e-6, rtol=1e-6)
    assert not other.score("judge", [[5, 6]]).requires_grad
    other.copy("judge", "value", trainable=True)  # a base is copied where it is to be trained
    other.add_head("value", like="judge", trainable=True)
    assert torch.equal(other.score("judge", [[5, 6, 7], [8, 9]]), scores)
    assert torch.equal(other.score("value", [[5, 6, 7], [8, 9]]), scores)
    assert "value" in other.wholes and len(other.parameters_of("judge")) == 2  # its head


@pytest.mark.parametrize("awkward", [False, True])
def test_tied_weights_stay_tied_and_are_trained_once(tmp_path, awkward):
    """Awkward is a file that holds two matrices where its config says that they are one: transformers keeps the two."""
    folder = tiny_model(tmp_path / "tied")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    if not awkward:
        tensors = load_file(folder / "model.safetensors")
        del tensors["lm_head.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    backbone = fresh(folder)
    backbone.add("policy", None, trainable=True)
    assert len(backbone.state("policy")) == 20 + awkward
    learn(backbone)
    with backbone.acting_as("policy"):
        model = backbone.base.model
        assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) != awkward
    save_adapter(backbone, "policy", tmp_path / "saved", {})
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    assert (model.get_input_embeddings().weight is model.get_output_embeddings().weight) != awkward
    backbone.keeps_apart = False  # run as transformers runs it, so that the bits can be compared
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS, attention_mask=ONES).logits, logits(backbone, "policy"))


def test_a_copy_of_a_half_precision_base_is_fp32_and_rounds_as_it_goes(folder):
    backbone = Backbone(load_base(str(folder), CPU, torch.bfloat16))
    backbone.add("policy", None, trainable=True)
    backbone.copy("policy", "reference")
    assert {p.dtype for p in backbone.parameters_of("policy")} == {torch.float32}
    assert torch.equal(logits(backbone, "policy"), logits(backbone, "reference"))
    apart = (logits(backbone, "policy") - logits(backbone, PLAIN)).abs().max()
    assert 0 < apart < 0.05 * logits(backbone, PLAIN).abs().max()
    seen = []
    projection = backbone.base.model.model.layers[0].mlp.up_proj
    hook = projection.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    loss(backbone, "policy")
    hook.remove()
    assert seen == [torch.bfloat16] and loss(backbone, "policy").dtype == torch.float32
    before = backbone.state("policy")
    optimizer = optimizer_for(backbone, "policy", SFTSpec(model="m", dataset="d"))
    optimizer.param_groups[0]["lr"] = 1e-5  # of weights about 0.3: below what bf16 tells apart
    loss(backbone, "policy").backward()
    optimizer.step()
    moved = [float((v != before[k]).float().mean()) for k, v in backbone.state("policy").items()]
    assert max(moved) > 0.9 and torch.equal(logits(backbone, "reference"), logits(backbone, "reference"))


def test_weights_saved_wrongly_are_found_out(folder, tmp_path, monkeypatch):
    from rlhf_engine.models import whole_folder

    backbone = fresh(folder)
    backbone.add("policy", None, trainable=True)
    read = load_file

    def careless(path):
        tensors = read(path)
        key = sorted(tensors)[0]
        return tensors | {key: tensors[key] + 1e-3}

    monkeypatch.setattr(whole_folder, "load_file", careless)
    with pytest.raises(ModelError, match="was written wrongly"):
        save_adapter(backbone, "policy", tmp_path / "saved", {})


def test_a_layer_that_is_named_and_not_there_is_not_passed_over(plain, folder):
    source = resolve(str(folder), Path())
    with pytest.raises(ModelError, match=r"\(q_proj, vproj\) are not in this model") as error:
        start_adapter(plain, "policy", source, lora(4, 8.0, 0.0, "q_proj,vproj"))
    assert "down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in error.value.hint
    start_adapter(plain, "policy", source, lora(4, 8.0, 0.0, "q_proj, layers.1.mlp.up_proj"))
    assert len(plain.state("policy")) == 6  # two factors in two blocks, and in one


def test_an_adapter_whose_start_changed_its_base_is_refused(backbone, folder, tmp_path, kind):
    if kind == "all-weights":
        return
    save_adapter(backbone, "policy", tmp_path / "saved", {})
    config = json.loads((tmp_path / "saved" / "adapter_config.json").read_text())
    assert config["init_lora_weights"] is True
    (tmp_path / "saved" / "adapter_config.json").write_text(json.dumps(config | {"init_lora_weights": "pissa"}))
    with pytest.raises(ModelError, match="on a base that its start \\(pissa\\) had changed"):
        load_adapter(fresh(folder), "policy", resolve(str(tmp_path / "saved"), Path()))


@pytest.mark.parametrize("frozen", [8, -1, "two"])
def test_a_frozen_rank_that_cannot_be_is_refused(plain, folder, tmp_path, frozen):
    plain.add("policy", lora(4, 8.0, 0.0, "all-linear", "lora", "pissa"))
    save_adapter(plain, "policy", tmp_path / "saved", {"frozen_rank": frozen})
    with pytest.raises(ModelError, match="of 8 ranks cannot be frozen"):
        load_adapter(fresh(folder), "policy", resolve(str(tmp_path / "saved"), Path()))
