"""What is saved is what was trained, found by another process; what was saved wrongly is found out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.models import adapters
from rlhf_engine.models.adapters import HEAD, KeptAdapter, load_adapter, save_adapter, start_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.models.lora import lora
from tests.engine.tiny import tiny_model

ROOT = Path(__file__).parents[3]
SEQUENCES = [[5, 6, 7, 1], [8, 9, 1]]
IN_A_NEW_PROCESS = """
import json, sys, torch
from pathlib import Path
from rlhf_engine.models.adapters import load_adapter
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
source = resolve(sys.argv[1], Path("."))
backbone = Backbone(load_base(source.base, torch.device("cpu"), torch.float32))
load_adapter(backbone, "judge", source)
print(json.dumps(backbone.score("judge", json.loads(sys.argv[2])).tolist()))
"""


@pytest.fixture
def saved(backbone, tmp_path):
    """A reward model with a head that normalises, on disk."""
    head = backbone.add_head("policy", trainable=True)
    head.mean.fill_(0.25)
    head.std.fill_(1.5)
    save_adapter(backbone, "policy", tmp_path / "rm", {"task": "reward"})
    return tmp_path / "rm"


def again(folder, saved):
    fresh = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    load_adapter(fresh, "judge", resolve(str(saved), Path()))
    return fresh


def test_a_new_process_gives_exactly_the_same_scores(backbone, saved):
    command = [sys.executable, "-c", IN_A_NEW_PROCESS, str(saved), json.dumps(SEQUENCES)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == backbone.score("policy", SEQUENCES).tolist()


def test_a_folder_holds_no_pickle_and_says_what_it_is(saved, backbone):
    names = {path.name for path in saved.iterdir()}
    assert names == {"adapter_model.safetensors", "adapter_config.json", "model.json", "head.safetensors"}
    about = json.loads((saved / "model.json").read_text())
    assert about["task"] == "reward" and about["base_fingerprint"] == backbone.base.fingerprint
    assert [path.name for path in saved.parent.iterdir()] == ["rm"]  # nothing was left beside it


@pytest.mark.parametrize("lost", ["all", "one", "changed"])
def test_an_adapter_that_was_saved_wrongly_is_found_out(backbone, tmp_path, monkeypatch, lost):
    write = adapters.write_folder

    def careless(folder, files):
        weights = dict(files["adapter_model.safetensors"])
        key = next(iter(weights))
        if lost == "changed":
            weights[key] = weights[key] + 1e-3
        else:
            weights = {} if lost == "all" else {k: v for k, v in weights.items() if k != key}
        write(folder, {**files, "adapter_model.safetensors": weights})

    monkeypatch.setattr(adapters, "write_folder", careless)
    with pytest.raises(ModelError, match="was written wrongly"):
        save_adapter(backbone, "policy", tmp_path / "adapter", {})


def test_a_new_save_replaces_the_old_whole(backbone, saved):
    first = load_file(saved / "adapter_model.safetensors")
    backbone.load_state("policy", {k: v + 1 for k, v in backbone.state("policy").items()})
    del backbone.heads["policy"]
    save_adapter(backbone, "policy", saved, {})
    now = load_file(saved / "adapter_model.safetensors")
    assert all(torch.equal(now[k], first[k] + 1) for k in first)
    assert not (saved / HEAD).exists()


def test_another_version_of_the_base_is_refused(saved, tmp_path):
    about = json.loads((saved / "model.json").read_text())
    about["base"] = str(tiny_model(tmp_path / "other", seed=1))
    (saved / "model.json").write_text(json.dumps(about))
    with pytest.raises(ModelError, match="trained on another version"):
        again(about["base"], saved)


DAMAGES = {
    "weights cut off": (
        lambda f: (f / "adapter_model.safetensors").write_bytes(b"\0" * 40),
        "adapter_model.safetensors cannot be read",
    ),
    "weights missing": (
        lambda f: (f / "adapter_model.safetensors").unlink(),
        "adapter_model.safetensors cannot be read",
    ),
    "head cut off": (lambda f: (f / HEAD).write_bytes(b"\0" * 9), "head.safetensors cannot be read"),
    "head of another width": (
        lambda f: save_file({"linear.weight": torch.zeros(1, 7)}, f / HEAD),
        "is no head for this base",
    ),
    "config missing": (lambda f: (f / "adapter_config.json").unlink(), "adapter_config.json cannot be read"),
    "config damaged": (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json cannot be read"),
    "a weight missing": (
        lambda f: save_file(
            dict(list(load_file(f / "adapter_model.safetensors").items())[1:]), f / "adapter_model.safetensors"
        ),
        "does not fit this base: 1 of",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_has_its_sentence(folder, saved, damage):
    break_it, sentence = DAMAGES[damage]
    break_it(saved)
    with pytest.raises(ModelError, match=sentence):
        again(folder, saved)


def test_a_pickled_adapter_is_not_opened(folder, saved):
    (saved / "adapter_model.safetensors").rename(saved / "adapter_model.bin")
    with pytest.raises(ModelError, match="cannot be read"):
        again(folder, saved)


def test_a_run_starts_from_a_copy_of_its_source_and_without_its_head(folder, saved):
    fresh = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    start_adapter(fresh, "policy", resolve(str(saved), Path()), lora(64, 1.0, 0.0, "all-linear"))
    stored = load_file(saved / "adapter_model.safetensors")
    assert all(torch.equal(fresh.state("policy")[k], stored[k]) for k in stored)
    assert fresh.config("policy").r == 4  # the source's shape, not the new one's
    assert "policy" not in fresh.heads
    assert all(p.requires_grad for p in fresh.parameters_of("policy"))


def test_a_checkpointed_adapter_comes_back_with_its_head(backbone):
    head = backbone.add_head("policy")
    kept = KeptAdapter(backbone, "policy")
    state, scores = kept.state_dict(), backbone.score("policy", SEQUENCES)
    backbone.load_state("policy", {k: v * 0 for k, v in state["adapter"].items()})
    head.load_state_dict({k: torch.zeros_like(v) + 2 for k, v in head.state_dict().items()})
    assert not torch.equal(backbone.score("policy", SEQUENCES), scores)
    kept.load_state_dict(state)
    assert torch.equal(backbone.score("policy", SEQUENCES), scores)
