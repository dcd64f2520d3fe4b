"""What folders of weights say about themselves, and the sentence for each that cannot be used."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from rlhf_engine.models.folders import adapter_facts, folder_facts, folder_on_disk

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real"))


def write_safetensors(path: Path, tensors: dict[str, tuple[str, list[int], int]]) -> None:
    """Names with dtype, shape and size in bytes; the weights are zeros."""
    header, at = {}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * at)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    config = {"architectures": ["LampForCausalLM"], "max_position_embeddings": 128, "vocab_size": 10, "hidden_size": 4}
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2, "tie_word_embeddings": True}))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", {"a": ("BF16", [10, 4], 80), "b": ("F32", [3], 12)})
    return folder


def test_a_model_is_described_from_its_headers(model: Path) -> None:
    facts = folder_facts(model)
    assert (facts.architecture, facts.parameters) == ("LampForCausalLM", 43)  # 10 x 4 + 3
    assert (facts.context, facts.layers, facts.hidden, facts.vocabulary) == (128, 2, 4, 10)
    assert facts.dtypes == ("bf16", "fp32")
    assert facts.bytes == (model / "model.safetensors").stat().st_size
    assert facts.tied and not facts.chat_template
    assert facts.fault == ""


def test_an_empty_template_file_is_no_chat_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text(" \n")
    assert not folder_facts(model).chat_template
    (model / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert folder_facts(model).chat_template


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), "lamp is not a model folder: it has no config.json."),
        (lambda f: (f / "config.json").write_text("{"), "is damaged"),
        (lambda f: (f / "config.json").write_text("[]"), "is damaged: it is no object."),
        (lambda f: (f / "config.json").write_text('{"auto_map": {}}'), "brings its own program code"),
        (lambda f: (f / "model.safetensors").unlink(), "there is no .safetensors file"),
        (lambda f: (f / "model.safetensors").rename(f / "model.bin"), "as a pickle (model.bin)"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b"\x08"),
            "of lamp is cut off after 1 bytes",
        ),
        (lambda f: (f / "tokenizer.json").unlink(), "lamp has no tokenizer: there is no tokenizer.json"),
        (
            lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "x.safetensors"}}'),
            "1 of 1 weight files are missing, first x.safetensors",
        ),
    ],
)
def test_each_fault_of_a_folder_has_its_sentence(model: Path, break_it, sentence: str) -> None:
    break_it(model)
    facts = folder_facts(model, "lamp")
    assert sentence in facts.fault
    assert facts.hint


def test_an_adapter_is_described_and_is_no_base(tmp_path: Path) -> None:
    config = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "model.json").write_text(json.dumps({"base": "starter", "task": "reward", "parent": "run:ab"}))
    write_safetensors(tmp_path / "adapter_model.safetensors", {"l": ("F32", [8, 4], 128)})
    write_safetensors(tmp_path / "head.safetensors", {"w": ("F32", [4], 16)})
    facts = adapter_facts(tmp_path)
    assert (facts.rank, facts.alpha, facts.targets) == (8, 16.0, ("q_proj", "v_proj"))
    assert facts.parameters == 36  # 8 x 4 + 4
    assert facts.head and facts.fault == "" and facts.about["parent"] == "run:ab"
    assert "holds an adapter" in folder_facts(tmp_path).fault
    (tmp_path / "adapter_model.safetensors").unlink()
    assert adapter_facts(tmp_path).fault == "adapter_model.safetensors is missing."


def test_a_hub_id_is_found_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert folder_on_disk("owner/lamp") is None
    snapshot = tmp_path / "models--owner--lamp" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    assert folder_on_disk("owner/lamp") == snapshot


def test_describing_a_model_imports_no_torch() -> None:
    code = (
        "import sys; from rlhf_engine.models.folders import folder_facts, folder_on_disk; "
        "facts = folder_facts(folder_on_disk('starter')); "
        "sys.exit(bool(facts.fault) or 'torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


@pytest.mark.real
@pytest.mark.parametrize(("name", "parameters"), [("stories260K", 260_032), ("TinyStories-656K", 656_000)])
def test_real_weights_are_described(name: str, parameters: int) -> None:
    folder = REAL / "weights" / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    facts = folder_facts(folder)
    assert (facts.fault, facts.parameters, facts.context, facts.tied) == ("", parameters, 512, True)
