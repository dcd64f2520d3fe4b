"""What a dataset of the Hub is taken to hold, and what of it is fetched; against a small Hub on this machine."""

from __future__ import annotations

import shutil
import time
from collections import namedtuple
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from rlhf_engine.contract.errors import DataError, DiskFull, HubError, SpecError
from rlhf_engine.models import hub_errors
from rlhf_engine.models.hub_datasets import fetch, listing_of, part_of
from tests.engine.models.hub_of_data import CONVERTED, HubOfData, jsonl, parquet

ROWS = [{"prompt": f"p{n}", "completion": f"a{n}"} for n in range(3)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubOfData]:
    server = HubOfData()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    yield server
    server.close()


def shape(listing) -> list[tuple[str, str, list[str]]]:
    return [(part.config, part.split, [name for name, _ in part.files]) for part in listing.parts]


def test_the_conversion_of_the_hub_is_taken_where_there_is_one(hub: HubOfData, tmp_path: Path) -> None:
    body = parquet(ROWS, tmp_path)
    names = ("default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet")
    hub.branches["main"] = {"words.py": b"raise SystemExit", "rows.jsonl": jsonl(ROWS)}
    hub.branches[CONVERTED] = {**dict.fromkeys(names, body), "small/partial-train/0000.parquet": body}
    listing = listing_of("owner/words")
    assert (listing.converted, listing.revision) == (True, hub.commit(CONVERTED))
    assert shape(listing) == [
        ("default", "train", ["default/train/0000.parquet", "default/train/0001.parquet"]),
        ("default", "test", ["default/test/0000.parquet"]),
        ("small", "train", ["small/partial-train/0000.parquet"]),
    ]
    assert [part.partial for part in listing.parts] == [False, False, True]
    assert listing.parts[0].size == 2 * len(body)
    assert listing_of("owner/words", listing.revision) == listing  # a commit of the conversion is read as one
    assert not listing_of("owner/words", "main").converted


def test_files_as_their_owner_wrote_them_are_sorted_by_folder_and_name(hub: HubOfData) -> None:
    hub.branches["main"] = dict.fromkeys(
        (
            "README.md",
            "harmless/train.jsonl.gz",
            "harmless/test.jsonl.gz",
            "data/train-00000-of-00002.parquet",
            "data/train-00001-of-00002.parquet",
            "data/validation/part.csv",
            "notes.pdf",
        ),
        b"x",
    )
    assert shape(listing_of("owner/words")) == [
        ("default", "train", ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]),
        ("default", "validation", ["data/validation/part.csv"]),
        ("harmless", "train", ["harmless/train.jsonl.gz"]),
        ("harmless", "test", ["harmless/test.jsonl.gz"]),
    ]


def test_what_is_beside_the_data_is_not_read_and_no_row_twice(hub: HubOfData) -> None:
    hub.branches["main"] = dict.fromkeys(
        (
            *("dataset_infos.json", "LICENSE.txt", "requirements.txt", ".github/labels.json", "_old/train.jsonl"),
            *("train.csv", "train.parquet", "test.csv", "test.txt"),
        ),
        b"x",
    )
    assert shape(listing_of("owner/words")) == [
        ("default", "train", ["train.parquet"]),
        ("default", "test", ["test.csv"]),
    ]


def test_a_card_says_which_files_belong_together(hub: HubOfData) -> None:
    hub.branches["main"] = dict.fromkeys(("a.jsonl", "b.jsonl", "more/c.csv", "more/d.csv"), b"x")
    hub.card = {
        "configs": [
            {
                "config_name": "one",
                "data_files": [{"split": "train", "path": ["a.jsonl"]}, {"split": "test", "path": "b.*"}],
            },
            {"config_name": "two", "data_files": "more/*.csv"},
        ]
    }
    assert shape(listing_of("owner/words")) == [
        ("one", "train", ["a.jsonl"]),
        ("one", "test", ["b.jsonl"]),
        ("two", "train", ["more/c.csv", "more/d.csv"]),
    ]


def test_a_program_that_makes_data_is_never_run(hub: HubOfData) -> None:
    hub.branches["main"] = {"words.py": b"raise SystemExit", "README.md": b""}
    with pytest.raises(DataError, match="holds a program that makes its data, and no data files"):
        listing_of("owner/words")
    hub.branches["main"] = {"README.md": b""}
    with pytest.raises(DataError, match="no data files that can be read"):
        listing_of("owner/words")


def test_one_of_several_parts_has_to_be_named_and_all_are_listed(hub: HubOfData) -> None:
    hub.branches["main"] = dict.fromkeys(("x/test.csv", "x/dev.csv", "y/train.csv"), b"x")
    listing = listing_of("owner/words")
    with pytest.raises(SpecError, match="has 2 configurations: x, y") as caught:
        part_of(listing)
    assert caught.value.field == "config"
    with pytest.raises(SpecError, match="has 2 splits: test, validation"):
        part_of(listing, "x")
    assert part_of(listing, "y").split == "train"  # the only one
    assert part_of(listing, "x", "test").files == (("x/test.csv", 1),)
    with pytest.raises(SpecError, match="has no split 'train'"):
        part_of(listing, "x", "train")


def test_only_the_part_that_is_wanted_is_fetched_and_only_once(hub: HubOfData, tmp_path: Path) -> None:
    body = parquet(ROWS, tmp_path)
    hub.branches[CONVERTED] = {"default/train/0000.parquet": body, "default/test/0000.parquet": body + b" "}
    listing = listing_of("owner/words")
    told: list[tuple[str, int, int]] = []
    (file,) = fetch(listing, part_of(listing), lambda *said: told.append(said))
    assert (file.name, file.read_bytes()) == ("0000.parquet", body)
    assert told[-1] == ("Downloading owner/words", len(body), len(body))
    assert fetch(listing, part_of(listing)) == [file]
    assert hub.sent == ["default/train/0000.parquet"]


def test_a_name_with_signs_of_a_pattern_is_only_that_name(hub: HubOfData) -> None:
    hub.branches["main"] = {"rows[1].jsonl": jsonl(ROWS), "rows1.jsonl": b"{}"}
    listing = listing_of("owner/words")
    only = replace(listing.parts[0], files=(("rows[1].jsonl", len(jsonl(ROWS))),))
    assert [file.read_bytes() for file in fetch(listing, only)] == [jsonl(ROWS)]
    assert hub.sent == ["rows[1].jsonl"]


def test_bytes_that_arrive_changed_are_never_used(hub: HubOfData, tmp_path: Path) -> None:
    body = parquet(ROWS, tmp_path)
    hub.branches[CONVERTED] = {"default/train/0000.parquet": body}
    hub.served["default/train/0000.parquet"] = body[:40] + bytes([body[40] ^ 1]) + body[41:]
    listing = listing_of("owner/words")
    with pytest.raises(HubError, match=r"0000\.parquet of owner/words arrived changed"):
        fetch(listing, part_of(listing))
    hub.served.clear()
    assert fetch(listing, part_of(listing))[0].read_bytes() == body


def test_a_line_that_goes_dead_leaves_nothing_that_looks_whole(
    hub: HubOfData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    body = parquet(ROWS, tmp_path)
    hub.branches[CONVERTED] = {"default/train/0000.parquet": body}
    listing = listing_of("owner/words")
    hub.cut = 0.4
    with pytest.raises(HubError):
        fetch(listing, part_of(listing))
    hub.cut = 1.0
    assert fetch(listing, part_of(listing))[0].read_bytes() == body


def test_what_does_not_fit_is_not_begun(hub: HubOfData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.branches[CONVERTED] = {"default/train/0000.parquet": parquet(ROWS, tmp_path)}
    listing = listing_of("owner/words")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 10**6, 10))
    with pytest.raises(DiskFull, match="owner/words needs"):
        fetch(listing, part_of(listing))
    assert hub.sent == []


@pytest.mark.parametrize(
    ("refuse", "token", "sentence"),
    [
        ((404, {"X-Error-Code": "RepoNotFound"}), "", "The Hub has no public dataset owner/words."),
        (
            (404, {"X-Error-Code": "RepoNotFound"}),
            "hf_x",
            "no dataset owner/words that your token may see",
        ),
        ((401, {"X-Error-Code": "GatedRepo"}), "", "owner/words is gated"),
        ((403, {"X-Error-Code": "GatedRepo"}), "hf_x", "Your account has not accepted the terms of owner/words."),
        (
            (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
            "hf_x",
            "does not accept the token",
        ),
        ((503, {}), "", "fault of its own"),
    ],
)
def test_each_refusal_has_its_sentence_and_names_the_page_of_the_dataset(
    hub: HubOfData, monkeypatch: pytest.MonkeyPatch, refuse: tuple[int, dict[str, str]], token: str, sentence: str
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setattr(hub_errors, "get_token", lambda: token or None)
    hub.refuse = refuse
    with pytest.raises(HubError) as caught:
        listing_of("owner/words")
    assert sentence in str(caught.value)
    if "Gated" in str(refuse):
        assert "https://huggingface.co/datasets/owner/words" in caught.value.hint


def test_without_a_network_a_file_is_offered_in_its_place(hub: HubOfData, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.close()
    with pytest.raises(HubError, match="cannot be reached") as caught:
        listing_of("owner/words")
    assert "use a file that is on this machine" in caught.value.hint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids asking the Hub"):
        listing_of("owner/words")


def test_a_revision_that_is_not_there_is_named(hub: HubOfData) -> None:
    hub.branches["main"] = {"train.jsonl": jsonl(ROWS)}
    with pytest.raises(HubError, match="owner/words has no revision 'v2'"):
        listing_of("owner/words", "v2")
