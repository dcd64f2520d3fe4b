"""An array of JSON is read piece by piece, and nobody can tell from the rows, or from what is said of a fault."""

from __future__ import annotations

import gzip
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data import json_files
from rlhf_engine.data.json_files import json_rows

NEAR = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=6)


def told(file, chunk, monkeypatch):
    """The rows of a file, or the sentence about it, read in pieces of `chunk` bytes."""
    monkeypatch.setattr(json_files, "_CHUNK", chunk)
    found = []
    try:
        found.extend(json_rows(file))
    except DataError as error:
        return found, str(error)
    return found, ""


@NEAR
@given(rows=OBJECTS, ascii_=st.booleans(), indent=st.sampled_from([None, 0, 3]), chunk=st.integers(1, 40))
def test_an_array_is_read_the_same_in_pieces_of_any_size(tmp_path, monkeypatch, rows, ascii_, indent, chunk):
    file = tmp_path / "a.json"
    text = json.dumps(rows, ensure_ascii=ascii_, indent=indent)
    file.write_bytes(f"\ufeff \n{text}\n ".encode("utf-8", "surrogatepass"))
    found, fault = told(file, chunk, monkeypatch)
    if fault:  # only what no file of ours may hold: half a surrogate pair
        assert "is not UTF-8" in fault
        return
    assert [row for _, row in found] == rows
    assert found == told(file, 2**20, monkeypatch)[0]  # the lines too


@NEAR
@given(rows=OBJECTS.filter(bool), at=st.floats(0, 1), put=st.sampled_from(['"', "}", "]", ",", "x", "\\", "\n", "-"]),
       chunk=st.integers(1, 40), cut=st.booleans())  # fmt: skip
def test_a_fault_is_said_to_be_where_it_is_whatever_the_pieces(tmp_path, monkeypatch, rows, at, put, chunk, cut):
    file = tmp_path / "a.json"
    text = json.dumps(rows, indent=1)
    place = int(at * len(text))
    file.write_text(text[:place] + ("" if cut else put + text[place:]), encoding="utf-8")
    if not file.read_text(encoding="utf-8").startswith("["):
        return
    assert told(file, chunk, monkeypatch) == told(file, 2**20, monkeypatch)


@pytest.mark.parametrize("chunk", [3, 2**20])
def test_the_line_and_the_column_are_those_of_the_file(tmp_path, monkeypatch, chunk):
    file = tmp_path / "a.json"
    text = '[{"a": 1},\n {"b": 2},\n\n  {"c" 3}]'
    file.write_text(text)
    with pytest.raises(json.JSONDecodeError) as theirs:
        json.loads(text)
    found, fault = told(file, chunk, monkeypatch)
    assert found == [(1, {"a": 1}), (2, {"b": 2})]
    assert (
        fault == f"{file} is not JSON: {theirs.value.msg} at line {theirs.value.lineno}, column {theirs.value.colno}."
    )
    file.write_bytes(b'[{"a": 1},\n {"b": "caf\xe9"}]')
    assert told(file, chunk, monkeypatch)[1] == f"{file} is not UTF-8: line 2 holds the byte 0xe9."
    file.write_text('[{"a": 1}]\n x')
    assert "Extra data at line 1, column 11." in told(file, chunk, monkeypatch)[1]


def test_of_a_large_array_only_a_piece_is_held(tmp_path, monkeypatch):
    rng = random.Random(0)
    rows = [{"prompt": f"p{n}", "text": "x" * rng.randrange(200)} for n in range(3000)]
    file = tmp_path / "a.json.gz"
    file.write_bytes(gzip.compress(json.dumps(rows).encode()))
    longest = 0
    grow = json_files._Window.grow

    def watched(self):
        nonlocal longest
        more = grow(self)
        longest = max(longest, len(self.text))
        return more

    monkeypatch.setattr(json_files._Window, "grow", watched)
    found, fault = told(file, 4096, monkeypatch)
    assert not fault and [row for _, row in found] == rows
    assert longest < 4 * 4096


def test_a_row_that_never_ends_is_not_read_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(json_files, "MAX_WHOLE", 10_000)
    file = tmp_path / "a.json"
    file.write_text('[{"a": "' + "x" * 20_000)
    assert "is larger than" in told(file, 100, monkeypatch)[1]
