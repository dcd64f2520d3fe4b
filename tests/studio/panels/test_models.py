"""The Models panel: families read from real files, models added from folders and from a small Hub of our own."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resources.starter import MODEL
from rlhf_engine.store.runs import RunsWriter
from studio.panels.models import ModelsPanel
from studio.panels.models.adding import repo_in
from studio.panels.models.family import read_family
from studio.panels.models.words import parameters, size
from studio.widgets import ErrorCard

REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real")) / "weights"


def write_safetensors(path: Path, tensors: dict[str, list[int]]) -> None:
    header, at = {}, 0
    for name, shape in tensors.items():
        length = 4 * shape[0] * shape[1]
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * at)


def write_base(folder: Path) -> Path:
    folder.mkdir(parents=True)
    config = {"architectures": ["LampForCausalLM"], "max_position_embeddings": 64, "vocab_size": 8}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    write_safetensors(folder / "model.safetensors", {"w": [100, 30]})
    return folder


def write_result(root: Path, run_id: str, task: str, base: str, parent: str, name: str, **about: Any) -> str:
    """What a training run leaves behind: its row, and an adapter (or a model that is there already) described."""
    folder = root / "runs" / run_id / "adapter"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(
        json.dumps({"base": base, "task": task, "run": run_id, "parent": parent, **about})
    )
    if "weights" not in about:
        shape = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(shape))
        write_safetensors(folder / "adapter_model.safetensors", {"lora_A": [8, 4], "lora_B": [4, 8]})
    with RunsWriter(root) as writer:
        writer.start(run_id, "{}", task, name)
    return f"run:{run_id}"


@pytest.fixture
def family(session) -> dict[str, str]:
    """Starter -> polite -> judge and best."""
    root = session.root
    refs = {"sft": write_result(root, "a" * 12, "sft", "starter", "starter", "polite")}
    refs["reward"] = write_result(root, "b" * 12, "reward", "starter", refs["sft"], "judge")
    refs["ppo"] = write_result(root, "c" * 12, "ppo", "starter", refs["sft"], "best", reward_model=refs["reward"])
    return refs


@pytest.fixture
def show(qtbot) -> Callable[[Any], ModelsPanel]:
    def made(session: Any) -> ModelsPanel:
        panel = ModelsPanel(session)
        qtbot.addWidget(panel)
        panel.resize(1180, 780)
        panel.show()
        if session.project is not None:
            qtbot.waitUntil(lambda: bool(panel.family.members), timeout=5000)
        return panel

    return made


@pytest.fixture
def went(session) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    session.panel_requested.connect(lambda panel, hints: found.append((panel, hints)))
    return found


def test_results_stand_under_what_they_were_made_from(session, family, show) -> None:
    panel = show(session)
    members = panel.family.members
    assert members["starter"].parent == ""
    assert members[family["sft"]].parent == "starter"
    assert members[family["reward"]].parent == members[family["ppo"]].parent == family["sft"]
    assert [member.title for member in panel.family.lineage(family["ppo"])] == ["Starter model", "polite", "best"]
    root = panel.tree.model().index(0, 0)
    assert panel.tree.model().rowCount(root) == 1
    assert panel.tree.model().rowCount(panel.tree.model().index(0, 0, root)) == 2


def test_the_detail_says_where_a_result_comes_from(session, family, show) -> None:
    panel = show(session)
    panel.tree.select(family["ppo"])
    assert panel.detail.title.text() == "best"
    assert "Starter model (Base)  →  polite (SFT)  →  best (PPO)" in panel.detail.lineage.text()
    assert "Rewarded by judge" in panel.detail.lineage.text()
    facts = dict(panel.detail.facts.rows)
    assert facts["Trained weights"] == "64"  # 8 x 4 + 4 x 8
    assert facts["LoRA"] == "rank 8, alpha 16"


def test_a_reward_model_of_half_the_prompts_says_of_which(session, family, show) -> None:
    gold = write_result(session.root, "d" * 12, "reward", "starter", family["sft"], "gold", prompts_from="second half")
    whole = write_result(session.root, "e" * 12, "reward", "starter", family["sft"], "whole", prompts_from="all")
    panel = show(session)
    panel.tree.select(gold)
    assert dict(panel.detail.facts.rows)["Prompts from"] == "the second half"
    panel.tree.select(whole)
    assert "Prompts from" not in dict(panel.detail.facts.rows)


def test_a_result_of_which_all_weights_were_trained_says_so_and_carries_others(session, family, show) -> None:
    """Its folder is a complete model, and the adapter on it names it by its run."""
    write_base(session.root / "runs" / ("d" * 12) / "adapter")
    whole = write_result(session.root, "d" * 12, "sft", "starter", "starter", "whole", weights="whole")
    above = write_result(session.root, "e" * 12, "sft", whole, whole, "above")
    panel = show(session)
    panel.tree.select(above)
    assert "Starter model (Base)  →  whole (SFT)  →  above (SFT)" in panel.detail.lineage.text()
    panel.tree.select(whole)
    facts = dict(panel.detail.facts.rows)
    assert facts["Trained weights"] == "3 K, all of them" and "LoRA" not in facts  # 100 x 30
    assert panel.detail.export_button.isEnabled() and not panel.detail.playground_button.isHidden()


def test_actions_lead_to_where_a_model_is_used(session, family, show, went) -> None:
    panel = show(session)
    panel.tree.select(family["sft"])
    panel.detail.playground_button.click()
    panel.detail.train_button.click()
    panel.detail.export_button.click()
    panel.tree.select(family["reward"])
    assert panel.detail.playground_button.isHidden() and panel.detail.train_button.isHidden()
    panel.detail.policy_button.click()
    assert went == [
        ("playground", {"model": family["sft"]}),
        ("train", {"model": family["sft"]}),
        ("export", {"model": family["sft"]}),
        ("train", {"reward": family["reward"]}),
    ]
    assert session.model == family["sft"]


def test_a_result_whose_parent_is_gone_stands_under_its_base(session, show) -> None:
    orphan = write_result(session.root, "d" * 12, "sft", "starter", "run:" + "f" * 12, "orphan")
    assert show(session).family.members[orphan].parent == "starter"


def test_a_base_that_nobody_added_is_shown_and_can_be_added(session, show, tmp_path, qtbot) -> None:
    base = write_base(tmp_path / "lamp")
    write_result(session.root, "e" * 12, "sft", str(base), str(base), "on a folder")
    panel = show(session)
    assert not panel.family.members[str(base)].listed
    panel.tree.select(str(base))
    panel.detail.add_button.click()
    qtbot.waitUntil(lambda: panel.family.members[str(base)].listed, timeout=5000)


def test_a_result_that_names_itself_its_parent_makes_no_circle(session, show) -> None:
    ref = write_result(session.root, "a1" * 6, "sft", "run:" + "a1" * 6, "run:" + "a1" * 6, "snake")
    assert show(session).family.members[ref].parent == ""


def test_a_damaged_adapter_says_so_and_cannot_be_used(session, family, show) -> None:
    (session.root / "runs" / ("a" * 12) / "adapter" / "adapter_model.safetensors").write_bytes(b"cut")
    panel = show(session)
    panel.tree.select(family["sft"])
    assert panel.detail.fault.text() == "adapter_model.safetensors is cut off after 3 bytes."
    assert not panel.detail.playground_button.isEnabled()


def test_a_folder_is_added_taken_off_the_list_and_put_back(session, show, tmp_path, qtbot) -> None:
    base = write_base(tmp_path / "lamp")
    panel = show(session)
    undo: list[Any] = []
    session.toasted.connect(lambda *said: undo.append(said[3]))
    panel.add_folder(base)
    qtbot.waitUntil(lambda: panel.tree.current() == str(base), timeout=5000)
    facts = dict(panel.detail.facts.rows)
    assert (facts["Parameters"], facts["Context"], facts["Architecture"]) == ("3,000", "64 tokens", "LampForCausalLM")
    assert "lamp" in {choice.title for choice in session.models()}

    panel.remove(str(base))
    qtbot.waitUntil(lambda: str(base) not in panel.family.members, timeout=5000)
    assert (base / "model.safetensors").is_file()
    undo[-1]()
    qtbot.waitUntil(lambda: str(base) in panel.family.members, timeout=5000)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "config.json").unlink(), "lamp is not a model folder: it has no config.json."),
        (lambda folder: (folder / "model.safetensors").unlink(), "lamp has no weights"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "lamp has no tokenizer"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 20), "model.safetensors of lamp is not a"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_in_a_sentence(session, show, tmp_path, qtbot, spoil, sentence) -> None:
    base = write_base(tmp_path / "lamp")
    spoil(base)
    panel = show(session)
    panel.add_folder(base)
    qtbot.waitUntil(lambda: panel.trouble.count() == 1, timeout=5000)
    card = panel.trouble.itemAt(0).widget()
    assert isinstance(card, ErrorCard) and card.cause.text().startswith(sentence)
    assert card.hint.text()
    assert session.labels.models() == []


def test_a_folder_that_has_gone_is_still_listed_with_a_sentence(session, tmp_path, show) -> None:
    session.labels.add_model(str(tmp_path / "gone"), "gone")
    panel = show(session)
    member = panel.family.members[str(tmp_path / "gone")]
    assert member.fault == f"The folder {tmp_path / 'gone'} is gone."


# The Hub


@pytest.fixture
def hub_session(studio_home: Path, qapp: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine that carries runs out, and a Hub on this machine with one model: owner/lamp."""
    from rlhf_engine.launch.thread_engine import ThreadEngine
    from studio.session import Session
    from studio.settings import Settings
    from tests.engine.models.test_hub import FakeHub

    server = FakeHub()
    files = write_base(tmp_path / "served")
    server.files = {path.name: path.read_bytes() for path in files.iterdir()}
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    session: Any = Session(Settings.load(), lambda root, publish, _: ThreadEngine(root, publish))
    session.create_project(tmp_path / "project", "Hub")
    session.served = server
    yield session
    session.close()
    session.deleteLater()
    server.close()


def test_a_model_of_the_hub_is_downloaded_and_listed(hub_session, show, qtbot) -> None:
    panel = show(hub_session)
    panel.show_hub()
    panel.hub.name.setText("https://huggingface.co/owner/lamp/tree/main")
    panel.hub.go.click()
    assert panel.hub.busy and panel.hub.bar.isVisible()
    qtbot.waitUntil(lambda: panel.tree.current() == "owner/lamp", timeout=60_000)
    member = panel.family.members["owner/lamp"]
    assert member.base is not None and member.base.parameters == 3000
    assert panel.hub.isHidden()
    assert hub_session.runs.runs() == []  # a download is no run that anyone would look for


def test_a_model_that_is_not_there_is_one_sentence_with_a_way_on(hub_session, show, qtbot) -> None:
    panel = show(hub_session)
    panel.show_hub()
    panel.hub.name.setText("owner/nothing")
    panel.hub.start()
    qtbot.waitUntil(lambda: not panel.hub.busy, timeout=60_000)
    (card,) = panel.hub.findChildren(ErrorCard)
    assert card.cause.text() == "The Hub has no public repository owner/nothing."
    assert panel.hub.go.isEnabled()


def test_a_download_can_be_stopped(hub_session, show, qtbot, monkeypatch) -> None:
    import time

    monkeypatch.setattr(hub_session.served, "answer", lambda _: time.sleep(20))
    panel = show(hub_session)
    panel.show_hub()
    panel.hub.name.setText("owner/lamp")
    panel.hub.start()
    qtbot.waitUntil(lambda: "Asking the Hub" in panel.hub.bar.label.text(), timeout=60_000)
    panel.hub.stop()
    qtbot.waitUntil(lambda: not panel.hub.busy, timeout=20_000)
    assert hub_session.labels.models() == []


def test_a_download_of_another_project_leaves_the_way_to_the_hub_free(session, show, tmp_path) -> None:
    panel = show(session)
    panel.show_hub()
    panel.hub.name.setText("owner/lamp")
    panel.hub.start()
    assert panel.hub.busy
    session.create_project(tmp_path / "other", "Other")
    assert not panel.hub.busy and panel.hub.go.isEnabled() and panel.hub.bar.isHidden()


def test_what_is_no_name_is_refused_without_asking_anyone(session, show) -> None:
    panel = show(session)
    panel.show_hub()
    panel.hub.name.setText("not a name")
    panel.hub.start()
    assert "is not a name of a repository" in panel.hub.error.text() and panel.hub.error.isVisible()
    assert session.quiet.submitted == []


# Parts


@pytest.mark.parametrize(
    ("typed", "repo"),
    [
        ("owner/lamp", "owner/lamp"),
        (" https://huggingface.co/owner/lamp ", "owner/lamp"),
        ("hf.co/owner/lamp/blob/main/config.json", "owner/lamp"),
        ("https://huggingface.co/owner/lamp?x=1", "owner/lamp"),
    ],
)
def test_a_name_is_found_in_what_was_pasted(typed, repo) -> None:
    assert repo_in(typed) == repo


def test_numbers_are_written_as_people_say_them() -> None:
    assert [parameters(n) for n in (0, 64, 3000, 656_000, 1_180_800, 7_600_000_000)] == [
        "",
        "64",
        "3 K",
        "0.656 M",
        "1.18 M",
        "7.6 B",
    ]
    assert [size(n) for n in (0, 90, 760_800, 4_727_248, 13_000_000_000)] == ["", "90 B", "761 KB", "4.73 MB", "13 GB"]


def test_the_starter_is_always_there(tmp_path) -> None:
    (tmp_path / "runs").mkdir()
    starter = read_family(tmp_path, [], "Starter model").members["starter"]
    assert starter.folder == MODEL and starter.fault == ""


@pytest.mark.real
@pytest.mark.parametrize("name", ["stories260K", "TinyStories-656K"])
def test_real_weights_can_be_added(session, show, qtbot, name) -> None:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    panel = show(session)
    panel.add_folder(folder)
    qtbot.waitUntil(lambda: panel.tree.current() == str(folder), timeout=5000)
    assert not panel.family.members[str(folder)].fault
    assert panel.detail.playground_button.isEnabled()
