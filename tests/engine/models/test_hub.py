"""Against a small Hub on this machine for what travels, and with the libraries' real exceptions for what fails."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import shutil
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, errors
from huggingface_hub.hf_api import RepoFile
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.errors import DiskFull, EngineError, HubError, ModelError
from rlhf_engine.models import hub, hub_errors
from rlhf_engine.models.weight_files import fault_in_file, fault_in_weights

TOKEN = "hf_" + "canary" * 6
COMMIT = "a" * 40
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 158424\n"


class FakeHub:
    """One repository, `owner/lamp`. `refuse` answers every question with a status and headers; `sent` counts bytes."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refuse: tuple[int, dict[str, str]] | None = None
        self.served: dict[str, bytes] = {}  # what is sent in place of a file
        self.sent = 0
        self.cut = 1.0  # share of each file that is sent before the line goes dead
        hub_ = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub_.answer(self)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if self.refuse is not None:
            self.send(request, self.refuse[0], b"{}", self.refuse[1])
        elif request.path.startswith("/api/models/owner/lamp/tree"):
            self.send(request, 200, json.dumps([entry(self.files, name) for name in self.files]).encode())
        elif request.path.startswith("/api/models/owner/lamp"):
            self.send(request, 200, json.dumps({"id": "owner/lamp", "sha": COMMIT, "siblings": []}).encode())
        elif (name := request.path.rpartition("/")[2]) in self.files:
            whole = self.files[name]
            body = self.served.get(name, whole)
            etag = hashlib.sha256(whole).hexdigest() if name.endswith(".safetensors") else git_hash(whole)
            self.send(request, 200, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, name)
        else:
            self.send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send(
        self, request: Any, status: int, body: bytes, headers: dict[str, str] | None = None, name: str = ""
    ) -> None:
        request.send_response(status)
        for key, value in (headers or {}).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            self.sent += len(body) if name else 0
            request.wfile.write(body[: int(len(body) * self.cut)] if name else body)
            request.close_connection = True


def git_hash(body: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()


def entry(files: dict[str, bytes], name: str) -> dict[str, Any]:
    """A file as the Hub lists it."""
    body = files[name]
    listed: dict[str, Any] = {"type": "file", "path": name, "size": len(body), "oid": git_hash(body)}
    if name.endswith(".safetensors"):
        listed["lfs"] = {"oid": hashlib.sha256(body).hexdigest(), "size": len(body), "pointerSize": 134}
    return listed


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    save_file({"w": torch.arange(4000.0)}, tmp_path / "w.safetensors")
    server = FakeHub()
    server.files = {
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b"{}",
        "model.safetensors": (tmp_path / "w.safetensors").read_bytes(),
        "pytorch_model.bin": b"a pickle",
    }
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # other tests switch the real Hub off before it is imported
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.close()


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_errors, "get_token", lambda: TOKEN)
    monkeypatch.setattr(hub, "get_token", lambda: TOKEN)


@pytest.fixture
def signed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_errors, "get_token", lambda: None)
    monkeypatch.setattr(hub, "get_token", lambda: None)


def test_a_model_is_downloaded_whole_without_pickles_and_the_bytes_are_told(fake: FakeHub) -> None:
    told: list[tuple[str, int, int]] = []
    folder = hub.download("owner/lamp", lambda *progress: told.append(progress))
    assert {p.name for p in folder.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert torch.equal(load_file(folder / "model.safetensors")["w"], torch.arange(4000.0))
    size = sum(len(fake.files[name]) for name in ("config.json", "tokenizer.json", "model.safetensors"))
    assert fake.sent == size
    assert told and all(text == "Downloading owner/lamp" and done <= (total or done) for text, done, total in told)
    assert told[-1][1:] == (size, size)


def test_what_is_in_the_cache_is_used_without_asking_anyone(fake: FakeHub) -> None:
    first = hub.download("owner/lamp")
    fake.close()
    assert hub.download("owner/lamp") == first


def test_a_dry_run_counts_what_is_still_to_fetch(fake: FakeHub) -> None:
    size = sum(len(body) for name, body in fake.files.items() if name != "pytorch_model.bin")
    assert hub.dry_run_size("owner/lamp") == size
    assert fake.sent == 0
    hub.download("owner/lamp")
    assert hub.dry_run_size("owner/lamp") == 0


def test_a_file_that_was_cut_off_in_the_cache_is_fetched_again(fake: FakeHub) -> None:
    weights = hub.download("owner/lamp") / "model.safetensors"
    weights.resolve().write_bytes(fake.files["model.safetensors"][:5000])
    folder = hub.download("owner/lamp")
    assert (folder / "model.safetensors").read_bytes() == fake.files["model.safetensors"]


def test_bytes_that_arrive_changed_are_never_used(fake: FakeHub) -> None:
    right = fake.files["model.safetensors"]
    fake.served["model.safetensors"] = right[:-4] + b"\0\0\0\1"
    with pytest.raises(ModelError, match="arrived changed"):
        hub.download("owner/lamp")
    del fake.served["model.safetensors"]
    assert (hub.download("owner/lamp") / "model.safetensors").read_bytes() == right


def test_a_git_lfs_pointer_in_place_of_weights_is_named(fake: FakeHub) -> None:
    fake.files["model.safetensors"] = POINTER
    with pytest.raises(ModelError, match="is a Git LFS pointer"):
        hub.download("owner/lamp")


def test_a_repository_with_pickles_only_is_refused(fake: FakeHub) -> None:
    del fake.files["model.safetensors"]
    with pytest.raises(ModelError, match="no weights in the safetensors format"):
        hub.download("owner/lamp")


def test_a_half_downloaded_model_offline_says_so(fake: FakeHub) -> None:
    folder = hub.download("owner/lamp")
    (folder / "model.safetensors").unlink()
    fake.close()
    with pytest.raises(HubError, match="only half downloaded"):
        hub.download("owner/lamp")


def test_a_line_that_goes_dead_at_a_third_leaves_nothing_that_looks_whole(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # the library waits between its own attempts
    fake.cut = 0.37
    with pytest.raises(HubError):
        hub.download("owner/lamp")
    fake.cut = 1.0
    folder = hub.download("owner/lamp")
    assert (folder / "model.safetensors").read_bytes() == fake.files["model.safetensors"]


def test_a_model_that_does_not_fit_is_not_begun(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6, 10_000))
    with pytest.raises(DiskFull, match="needs 0 MB, but 0 MB are free"):
        hub.download("owner/lamp")
    assert fake.sent == 0


def gated(said: str) -> tuple[int, dict[str, str]]:
    return 403, {"X-Error-Code": "GatedRepo", "X-Error-Message": said}


REFUSALS: dict[str, tuple[tuple[int, dict[str, str]], str, str]] = {
    "not found, signed out": ((401, {"X-Error-Code": "RepoNotFound"}), "", "has no public repository owner/lamp"),
    "not found": ((404, {"X-Error-Code": "RepoNotFound"}), TOKEN, "no repository owner/lamp that your token may see"),
    "gated, signed out": ((401, {"X-Error-Code": "GatedRepo"}), "", "is gated"),
    "gated": (gated("you are not in the authorized list"), TOKEN, "has not accepted the terms"),
    "gated, narrow token": (gated("enable access in your fine-grained token settings"), TOKEN, "may not read gated"),
    "gated, pending": (gated("Your request is awaiting a review"), TOKEN, "has not been answered yet"),
    "bad token": (
        (401, {"X-Error-Message": "Invalid credentials in Authorization header"}), TOKEN, "does not accept the token",
    ),
    "forbidden": ((403, {"X-Error-Message": "no"}), TOKEN, "not allowed to download"),
    "disabled": ((403, {"X-Error-Message": "Access to this resource is disabled."}), TOKEN, "has disabled"),
    "fault": ((500, {}), TOKEN, "fault of its own"),
    "too many": ((429, {}), TOKEN, "too many requests"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_each_refusal_has_its_own_sentence(fake: FakeHub, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    fake.refuse, token, sentence = REFUSALS[case]
    monkeypatch.setattr(hub_errors, "get_token", lambda: token or None)
    with pytest.raises(HubError) as caught:
        hub.download("owner/lamp")
    assert sentence in str(caught.value) and caught.value.hint
    others = [other for name, (_, _, other) in REFUSALS.items() if name != case]
    assert not [other for other in others if other in str(caught.value)]
    if case.startswith("gated,") or case == "gated":
        assert "huggingface.co/" in caught.value.hint


def error_of(kind: type[Any], status: int = 0, cause: Exception | None = None) -> Exception:
    error: Exception = kind("text with hf_" + "x" * 34)
    error.__cause__ = cause
    return error


def http_errors() -> Any:
    """The HTTP library that this version of huggingface_hub is built on."""
    return __import__(hub_errors.HTTPError.__module__.split(".")[0])


FAILURES = [
    (lambda: error_of(http_errors().ConnectError), "cannot be reached"),
    (lambda: error_of(http_errors().ReadTimeout), "stopped answering"),
    (lambda: error_of(http_errors().RemoteProtocolError), "cannot be reached"),
    (lambda: error_of(http_errors().LocalProtocolError), "token saved on this machine is damaged"),
    (lambda: error_of(errors.LocalEntryNotFoundError, cause=error_of(errors.OfflineModeIsEnabled)), "HF_HUB_OFFLINE"),
    (
        lambda: error_of(errors.LocalEntryNotFoundError, cause=error_of(http_errors().ConnectTimeout)),
        "stopped answering",
    ),
    (lambda: error_of(errors.DryRunError, cause=error_of(http_errors().ConnectError)), "cannot be reached"),
    (lambda: errors.IncompleteSnapshotError("x", snapshot_path="/nowhere"), "half downloaded"),
    (lambda: OSError(errno.ENOSPC, "No space left on device"), "no space left"),
    (lambda: PermissionError(errno.EACCES, "denied", "/cache"), "cannot be written"),
    (lambda: error_of(errors.LocalTokenNotFoundError), "Nobody is signed in"),
    (lambda: error_of(errors.HFValidationError), "is not a name of a repository"),
    (lambda: error_of(errors.FileMetadataError), "has disappeared"),
    (lambda: RuntimeError("Data processing error: hf_" + "x" * 34), "cannot be reached"),
]


@pytest.mark.parametrize(("make", "sentence"), FAILURES)
def test_each_failure_on_the_way_has_a_sentence_and_repeats_no_text_of_the_library(
    monkeypatch: pytest.MonkeyPatch, signed_in: None, make: Any, sentence: str
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise make()

    monkeypatch.setattr(hub, "_cached", lambda _repo: None)
    monkeypatch.setattr(hub, "dry_run_size", lambda _repo: 0)
    monkeypatch.setattr(hub, "snapshot_download", fails)
    with pytest.raises(EngineError) as caught:
        hub.download("owner/lamp")
    assert sentence in str(caught.value) and caught.value.hint
    assert "hf_x" not in str(caught.value) + caught.value.hint
    assert caught.value.__suppress_context__


def test_a_name_that_is_none_is_said_to_be(fake: FakeHub) -> None:
    with pytest.raises(ModelError, match="is not a name of a repository"):
        hub.download("owner/lamp/../x")


class FakeApi:
    """What a push needs of HfApi, keeping the uploaded files in memory."""

    def __init__(self) -> None:
        self.remote: dict[str, bytes] = {}
        self.public = False
        self.fails: Exception | None = None
        self.spoil = ""

    def __call__(self) -> FakeApi:
        return self

    def create_repo(self, repo: str, **_: Any) -> Any:
        return SimpleNamespace(repo_id=repo)

    def repo_info(self, _repo: str, **_: Any) -> Any:
        return SimpleNamespace(private=not self.public)

    def upload_folder(self, folder_path: Path, **_: Any) -> Any:
        if self.fails is not None:
            raise self.fails
        for path in folder_path.rglob("*"):
            body = path.read_bytes()
            self.remote[path.relative_to(folder_path).as_posix()] = body + b" " if path.name == self.spoil else body
        return SimpleNamespace(oid=COMMIT)

    def list_repo_tree(self, _repo: str, **_: Any) -> list[RepoFile]:
        return [RepoFile(**entry(self.remote, name)) for name in self.remote]


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, signed_in: None) -> FakeApi:
    fake_api = FakeApi()
    monkeypatch.setattr(hub, "HfApi", fake_api)
    return fake_api


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "README.md").write_text("# Lamp\n")
    save_file({"w": torch.ones(3)}, folder / "model.safetensors")
    return folder


def test_a_push_arrives_and_is_compared(api: FakeApi, export: Path) -> None:
    told: list[Any] = []
    assert hub.push(export, "owner/lamp", True, lambda *p: told.append(p)) == "https://huggingface.co/owner/lamp"
    assert api.remote["README.md"] == b"# Lamp\n"
    assert [text for text, _, _ in told] == ["Opening owner/lamp", "Pushing to owner/lamp", "Comparing with owner/lamp"]


def test_a_dataset_is_pushed_beside_whatever_is_there(api: FakeApi, export: Path) -> None:
    api.remote["model.bin"] = b"x"
    assert hub.push(export, "owner/lamp", kind="dataset") == "https://huggingface.co/datasets/owner/lamp"


@pytest.mark.parametrize("name", ["README.md", "model.safetensors"])
def test_a_file_that_arrives_changed_is_found(api: FakeApi, export: Path, name: str) -> None:
    api.spoil = name
    with pytest.raises(HubError, match=f"{name} arrived at owner/lamp changed"):
        hub.push(export, "owner/lamp")


def test_a_public_repository_is_not_used_for_a_private_push(api: FakeApi, export: Path) -> None:
    api.public = True
    with pytest.raises(HubError, match="is public already"):
        hub.push(export, "owner/lamp", private=True)
    assert api.remote == {}


def test_weights_of_another_model_are_not_mixed_with_these(api: FakeApi, export: Path) -> None:
    api.remote["model-00001-of-00002.safetensors"] = b"x"
    with pytest.raises(HubError, match="already holds other weights"):
        hub.push(export, "owner/lamp")


def test_nobody_signed_in_is_said_before_anything_is_sent(api: FakeApi, export: Path, signed_out: None) -> None:
    with pytest.raises(HubError, match="Nobody is signed in"):
        hub.push(export, "owner/lamp")
    assert api.remote == {}


def test_a_push_without_a_network_changes_nothing_and_shows_no_token(
    api: FakeApi, export: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    before = {p.name: p.read_bytes() for p in export.iterdir()}
    api.fails = http_errors().ConnectError(f"refused, Authorization: Bearer {TOKEN}")
    with caplog.at_level(logging.DEBUG), pytest.raises(HubError, match="cannot be reached to push to") as caught:
        hub.push(export, "owner/lamp")
    assert {p.name: p.read_bytes() for p in export.iterdir()} == before
    out = "".join(capfd.readouterr())
    assert TOKEN not in caplog.text + out + str(caught.value) + caught.value.hint


def test_weight_files_are_checked_by_their_headers(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(10)}, file)
    whole = file.read_bytes()
    assert fault_in_file(file) == ""
    for wrong, fault in (
        (whole[:-1], f"holds {len(whole) - 1} bytes instead of {len(whole)}"),
        (whole + b"x", f"holds {len(whole) + 1} bytes instead of {len(whole)}"),
        (whole[:20], "cut off after 20 bytes"),
        (whole[:5], "cut off after 5 bytes"),
        (b"", "cut off after 0 bytes"),
        (POINTER, "Git LFS pointer"),
        (b"PK\x03\x04" + b"\xff" * 60, "not a safetensors file"),
        ((4).to_bytes(8, "little") + b"[1]]", "not a safetensors file"),
    ):
        file.write_bytes(wrong)
        assert fault in fault_in_file(file)


def test_a_missing_part_is_found_in_the_index(tmp_path: Path) -> None:
    save_file({"w": torch.ones(1)}, tmp_path / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"w": "model-00001-of-00002.safetensors", "v": "model-00002-of-00002.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    fault = fault_in_weights(tmp_path)
    assert fault is not None and fault[0].name == "model-00002-of-00002.safetensors" and "1 of 2 parts" in fault[1]


def test_the_version_of_huggingface_hub_has_what_is_used() -> None:
    assert issubclass(errors.HfHubHTTPError, hub_errors.HTTPError) and hub_errors.HTTPError is not OSError
    assert huggingface_hub.snapshot_download.__name__ == "snapshot_download"
