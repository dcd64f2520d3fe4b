"""From a reference to a model in memory; and for everything that can be wrong with it, a sentence."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.models import load
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import fingerprint, folder_of, load_base, resolve
from rlhf_engine.models.sampling import Sampler, complete
from tests.engine.tiny import END, tiny_model

CPU = torch.device("cpu")
REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real")) / "weights"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("load") / "whole")


@pytest.fixture
def model(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture
def no_hub(monkeypatch):
    def asked(repo, *_):
        raise AssertionError(f"the Hub was asked for {repo}")

    monkeypatch.setattr(load, "download", asked)


def opened(folder: Path):
    return load_base(str(folder), CPU, torch.float32)


def edit(path: Path, **changed):
    body = json.loads(path.read_text())
    for key, value in changed.items():
        body.pop(key, None)
        if value is not None:
            body[key] = value
    path.write_text(json.dumps(body))


def test_a_loaded_base_is_frozen_and_says_what_it_is(model):
    base = opened(model)
    assert not base.model.training and not any(p.requires_grad for p in base.model.parameters())
    assert (base.context, base.eos_ids, base.pad_id) == (256, (END,), 0)
    assert base.fingerprint == fingerprint(model)


@pytest.mark.parametrize(
    "name",
    ["/nowhere/at/all", "./models/lamp", "~/models/lamp", "models/lamp/final", "lamp", "C:\\models\\lamp", "../lamp/x"],
)
def test_a_mistyped_path_is_never_sent_to_the_hub(name, no_hub):
    with pytest.raises(ModelError, match="There is no folder") as error:
        folder_of(name)
    assert name in str(error.value) and error.value.hint


def test_an_id_goes_to_the_hub_unless_a_folder_has_that_name(model, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(load, "download", lambda repo, _: asked.append(repo) or model)
    assert folder_of("owner/name.v2") == model and asked == ["owner/name.v2"]
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "owner" / "name")
    assert folder_of("owner/name") == Path("owner/name") and asked == ["owner/name.v2"]


def cut(path: Path, keep: int):
    path.write_bytes(path.read_bytes()[:keep])


def flip(path: Path):
    """Claim a tensor that is not there: the header is whole JSON, and every byte is accounted for."""
    data = bytearray(path.read_bytes())
    at = data.index(b"lm_head")
    data[at : at + 7] = b"xm_head"
    path.write_bytes(data)


def as_pickle(folder: Path):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def as_shards(folder: Path):
    index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


DAMAGES = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is damaged"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "config.json is damaged"),
    "config of another size": (lambda f: edit(f / "config.json", hidden_size=64), "cannot be loaded"),
    "unknown architecture": (lambda f: edit(f / "config.json", model_type="lamp"), "cannot be loaded"),
    "own code": (lambda f: edit(f / "config.json", auto_map={"AutoModelForCausalLM": "evil.Model"}), "auto_map"),
    "only a pickle": (as_pickle, "pickle"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no weights"),
    "missing shard": (as_shards, "1 of 2 weight files are missing"),
    "cut off in the header": (lambda f: cut(f / "model.safetensors", 100), "is cut off after 100 bytes"),
    "cut off in the weights": (lambda f: cut(f / "model.safetensors", 50_000), "holds 50000 bytes instead of"),
    "empty file": (lambda f: cut(f / "model.safetensors", 0), "is cut off after 0 bytes"),
    "no tokenizer": (
        lambda f: [(f / n).unlink(missing_ok=True) for n in ("tokenizer.json", "tokenizer_config.json")],
        "has no tokenizer",
    ),
    "damaged tokenizer": (lambda f: cut(f / "tokenizer.json", 200), "tokenizer of .* cannot be read"),
    "an adapter": (
        lambda f: ((f / "config.json").unlink(), (f / "adapter_config.json").write_text("{}")),
        "holds an adapter",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_has_its_sentence_and_a_hint(model, damage, no_hub):
    break_it, sentence = DAMAGES[damage]
    break_it(model)
    with pytest.raises(ModelError, match=sentence) as error:
        opened(model)
    assert error.value.hint
    assert "\n" not in str(error.value)


def test_code_that_a_model_brings_is_never_run(model, tmp_path):
    edit(model / "config.json", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}, model_type="evil")
    canary = tmp_path / "canary"
    (model / "evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass C: ...\nclass M: ...\n")
    with pytest.raises(ModelError):
        opened(model)
    assert not canary.exists()


def test_a_weight_that_is_missing_is_not_made_up(model):
    """transformers fills what a file lacks with random numbers: a model that looks fine and knows nothing."""
    flip(model / "model.safetensors")
    with pytest.raises(ModelError, match=r"lack 1 of the tensors .* first lm_head\.weight"):
        opened(model)


def test_a_tokenizer_without_an_end_is_refused(model):
    edit(model / "tokenizer_config.json", eos_token=None)
    for name in ("special_tokens_map.json", "generation_config.json"):
        (model / name).unlink(missing_ok=True)
    edit(model / "config.json", eos_token_id=None)
    with pytest.raises(ModelError, match="no end-of-text token") as error:
        opened(model)
    assert "eos_token" in error.value.hint


def test_a_tokenizer_without_pad_works(model):
    edit(model / "tokenizer_config.json", pad_token=None)
    (model / "special_tokens_map.json").unlink(missing_ok=True)
    base = opened(model)
    assert base.tokenizer.pad_token_id is None
    answers = complete(Backbone(base), "", [[5, 6], [7, 8, 9]], Sampler(3, 0), torch.Generator())
    assert all(answer.tokens for answer in answers)


def test_all_end_tokens_count_and_the_tokenizers_own_comes_first(model):
    (model / "generation_config.json").write_text(json.dumps({"eos_token_id": [4, 1]}))
    assert opened(model).eos_ids == (1, 4)


def test_a_fingerprint_sees_one_changed_byte_at_either_end(model):
    before = fingerprint(model)
    path = model / "model.safetensors"
    for at in (-1, 5000):
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.write_bytes(data)
        assert fingerprint(model) != before
        before = fingerprint(model)


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"base": '])
def test_a_damaged_description_of_an_adapter_is_named(tmp_path, body):
    adapter = tmp_path / "runs" / "r" / "adapter"
    adapter.mkdir(parents=True)
    (adapter / "model.json").write_text(body)
    for ref in ("run:r", str(adapter)):
        with pytest.raises(ModelError, match=r"model\.json is damaged"):
            resolve(ref, tmp_path)


def test_a_run_without_an_adapter_says_so(tmp_path):
    with pytest.raises(ModelError, match="run:none has no adapter yet"):
        resolve("run:none", tmp_path)


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason=f"there are no real weights at {REAL}; set RLHF_REAL_DATA")
@pytest.mark.parametrize(
    ("name", "prompt", "text"),
    [
        (
            "stories260K",
            "",
            "Once upon a time, there was a little girl named Lily. She loved to play outside in the park.",
        ),
        ("TinyStories-656K", "Once upon a time", ""),
    ],
)
def test_real_weights_tell_the_story_they_are_known_for(name, prompt, text):
    base = opened(REAL / name)
    ids = render(base.tokenizer, prompt, template="plain").ids or [base.tokenizer.bos_token_id]
    if ids[0] != base.tokenizer.bos_token_id:
        ids = [base.tokenizer.bos_token_id, *ids]
    (answer,) = complete(Backbone(base), "", [ids], Sampler(40, 0), torch.Generator())
    whole = prompt + " " + answer_text(base.tokenizer, answer.tokens)
    with torch.no_grad():
        other = base.model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False, pad_token_id=0)
    assert other[0, len(ids) :].tolist() == answer.tokens
    assert text in whole and len(whole.split()) > 15
