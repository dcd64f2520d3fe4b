"""Who may import whom, seen to hold and seen to be caught when broken; and what no line of the program may do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("rlhf_engine", "studio", "resources")
SCANNED = (*PACKAGES, "packaging")
WRITTEN = (".py", ".md", ".html", ".toml", ".txt", ".json", ".jinja", ".qss", ".cfg", ".ini", ".yml", ".sh")


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r}); {code}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8")


def test_every_import_goes_in_the_right_direction():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def copied_tree(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for package in PACKAGES:
        for source in (ROOT / package).rglob("*.py"):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("rlhf_engine/runtime/planted.py", "import studio", "does not know that a window exists"),
        ("rlhf_engine/contract/planted.py", "import torch", "load without torch"),
        ("rlhf_engine/tasks/ppo/spec.py", "import rlhf_engine.tensors", "load without torch"),
        ("studio/planted.py", "import torch", "The window never imports torch"),
        ("studio/panels/planted.py", "from transformers import AutoTokenizer", "The window never imports torch"),
        ("studio/planted.py", "import rlhf_engine.tensors", "The window knows the engine by"),
        ("studio/planted.py", "import sqlite3", "Only the store speaks SQL"),
        ("rlhf_engine/launch/planted.py", "import sqlite_utils", "Only the store speaks SQL"),
        ("rlhf_engine/store/planted.py", "import rlhf_engine.launch", "The store knows the contract only"),
        ("rlhf_engine/tasks/ppo/planted.py", "import rlhf_engine.tasks.sft.spec", "A task knows no other task"),
        ("rlhf_engine/models/planted.py", "import rlhf_engine.tasks", "Engine layers"),
        ("rlhf_engine/rewards/planted.py", "import rlhf_engine.rollouts", "Engine layers"),
        ("resources/starter/planted.py", "import studio", "The starter project is made by anyone"),
    ],
)
def test_a_planted_import_is_caught(copied_tree, module, line, contract):
    planted = copied_tree / module
    before = planted.read_text(encoding="utf-8") if planted.exists() else None
    planted.write_text((before or "") + f"\n{line}\n", encoding="utf-8")
    try:
        done = lint_imports(copied_tree)
    finally:
        planted.unlink() if before is None else planted.write_text(before, encoding="utf-8")
    flowing = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert re.search(rf"{re.escape(contract)}(?:(?! KEPT).)*? BROKEN", flowing), done.stdout


def test_reading_the_task_table_imports_no_torch():
    code = "import sys, rlhf_engine.tasks; sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'peft')))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


# What no line may do


FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"torch.load", "yaml.load", "yaml.unsafe_load", "np.load", "numpy.load", "pd.read_pickle"}

WEIGHT_READERS = re.compile(r"AutoModel|PreTrainedModel|For[A-Z]\w+$")  # transformers' own: they would unpickle a .bin
JSON_READERS = {"LoraConfig", "PeftConfig", "GenerationConfig"}  # their from_pretrained reads one file and runs nothing


def faults(source: str) -> list[str]:
    """What is forbidden in a Python source, as `line: what`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            found += [f"{node.lineno}: import {name}" for name in origin if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.ImportFrom):
            dotted = {f"{node.module}.{name.name}" for name in node.names}
            found += [f"{node.lineno}: from-import of {name}" for name in sorted(dotted & FORBIDDEN_CALLS)]
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS or called in ("eval", "exec", "__import__"):
                found.append(f"{node.lineno}: {called}()")
            owner, _, method = called.rpartition(".")
            if method == "from_pretrained" and owner not in JSON_READERS and not _passes(node, trust_remote_code=False):
                found.append(f"{node.lineno}: {called}() without trust_remote_code=False")
            if method == "from_pretrained" and WEIGHT_READERS.search(owner) and not _passes(node, use_safetensors=True):
                found.append(f"{node.lineno}: {called}() without use_safetensors=True")
            if any(keyword.arg == "trust_remote_code" and not _is_false(keyword.value) for keyword in node.keywords):
                found.append(f"{node.lineno}: {called}() trusts remote code")
    return found


def _passes(call: ast.Call, **wanted: bool) -> bool:
    found = {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}
    return all(found.get(name) is value for name, value in wanted.items())


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import torch\ntorch.load('x')", "2: torch.load()"),
        ("from torch import load", "1: from-import of torch.load"),
        ("import pickle as p", "1: import pickle"),
        ("from joblib import dump", "1: import joblib"),
        ("eval('1')", "1: eval()"),
        ("model.eval()", None),
        ("np.load('x', allow_pickle=False)", "1: np.load()"),
        ("yaml.load('x')", "1: yaml.load()"),
        ("A.from_pretrained('x')", "1: A.from_pretrained() without trust_remote_code=False"),
        ("A.from_pretrained('x', trust_remote_code=False)", None),
        ("AutoModelForCausalLM.from_pretrained('x', trust_remote_code=False, use_safetensors=True)", None),
        (
            "AutoModelForCausalLM.from_pretrained('x', trust_remote_code=False, use_safetensors=False)",
            "1: AutoModelForCausalLM.from_pretrained() without use_safetensors=True",
        ),
        (
            "LlamaForCausalLM.from_pretrained('x', trust_remote_code=False)",
            "1: LlamaForCausalLM.from_pretrained() without use_safetensors=True",
        ),
        ("LoraConfig.from_pretrained('x')", None),
        ("A.from_config(c, trust_remote_code=asked)", "1: A.from_config() trusts remote code"),
    ],
)
def test_the_scan_sees_what_it_is_for(source, fault):
    assert faults(source) == ([] if fault is None else [fault])


def test_no_line_unpickles_evaluates_or_trusts_code_from_a_model():
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in _files(".py")
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert found == []


# A path on the machine of whoever wrote the line works on that machine only; so does the address of a private index.
OF_ONE_MACHINE = re.compile(
    r"(?<![\w.$}>~/:-])/(?:work|home|root|Users|mnt|opt|tmp)/\w|https?://(?:localhost|10\.|192\.168\.)"
)
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def test_nothing_names_a_folder_of_one_machine_and_nothing_is_left_unfinished():
    found = []
    for path in _files(*WRITTEN):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if OF_ONE_MACHINE.search(line) or UNFINISHED.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []


def test_a_path_of_one_machine_would_be_seen():
    assert OF_ONE_MACHINE.search('open("/home/someone/model")')
    assert OF_ONE_MACHINE.search("see /root/notes")
    assert not OF_ONE_MACHINE.search("https://example.org/home/page")
    assert not OF_ONE_MACHINE.search("runs/<id>/work/x")


def _files(*suffixes: str) -> Iterator[Path]:
    for folder in SCANNED:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and path.is_file() and path.stat().st_size < 5_000_000:
                yield path
    yield from (
        path for path in (ROOT / "README.md", ROOT / "pyproject.toml") if path.exists() and path.suffix in suffixes
    )
