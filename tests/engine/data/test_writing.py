"""Writing records: nothing is lost, and a spreadsheet finds nothing to run."""

from __future__ import annotations

import csv

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.reading import read
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating
from rlhf_engine.data.writing import guarded, unguarded, write

TURNS = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\u2028b"}]
RECORDS = {
    "prompts": [PromptRecord("=1+1", "rule", "x"), PromptRecord(TURNS, "human")],
    "demonstrations": [Demonstration(" p\r\n", "'=x\n\ny ", "human"), Demonstration(TURNS, '-2,"3"\t', "rule")],
    "comparisons": [Comparison("@p", "+a", "'b", 3, "human"), Comparison(TURNS, "caf\u00e9", "\u2029b", 0, "rule")],
    "ratings": [Rating("=p", "+a", True, "human"), Rating(TURNS, "caf\u00e9", False, "rule")],
}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
def test_what_is_written_is_read_back_the_same(tmp_path, kind, format):
    file = tmp_path / f"out.{format}"
    assert write(RECORDS[kind], file) == 2

    for asked in (kind, "auto"):
        reading = read(file, asked)
        assert (reading.kind, reading.rejected) == (kind, [])
    assert reading.records == RECORDS[kind]
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name]  # nothing unfinished is left


def test_no_cell_of_a_csv_begins_like_a_formula(tmp_path):
    hostile = [
        f"{lead}cmd|' /C calc'!A0" for lead in ("=", "+", "-", "@", "\t=", "\r", " =", "'=", '"=', "\uff1d", "\n@")
    ]
    file = tmp_path / "out.csv"
    write([Demonstration(text, text) for text in hostile], file)
    with file.open(newline="", encoding="utf-8") as stream:
        cells = [cell for row in csv.reader(stream) for cell in row]
    assert not [
        cell for cell in cells if cell.lstrip(' "').startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))
    ]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("'\"=+-@\t\r\n ab\uff1d\ufeff"), max_size=8))
def test_guarding_a_cell_can_be_taken_back(cell):
    assert unguarded(guarded(cell)) == cell
    assert not guarded(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_nothing_to_write_and_an_unknown_format_are_refused(tmp_path):
    with pytest.raises(DataError, match="no records"):
        write([], tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="as 'xlsx'"):
        write([PromptRecord("p")], tmp_path / "out.xlsx")
    with pytest.raises(DataError, match="cannot be written"):
        write([PromptRecord("p")], tmp_path / "nowhere" / "out.jsonl")


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=20).filter(
    str.strip
)
CONVERSATIONS = st.lists(
    st.builds(
        lambda role, text: {"role": role, "content": text}, st.sampled_from(("system", "user", "assistant")), TEXTS
    ),
    max_size=3,
).flatmap(lambda before: TEXTS.map(lambda text: [*before, {"role": "user", "content": text}]))
ABOUT = (st.sampled_from(("", "human", "=rule")), st.sampled_from(("", "x1", "-1", "'=2")))
PROMPTS = st.one_of(TEXTS, CONVERSATIONS)
ANY = {
    "prompts": st.builds(PromptRecord, PROMPTS, *ABOUT),
    "demonstrations": st.builds(Demonstration, PROMPTS, TEXTS, *ABOUT),
    "comparisons": st.builds(Comparison, PROMPTS, TEXTS, TEXTS, st.integers(0, 3), *ABOUT).filter(
        lambda pair: pair.chosen.strip() != pair.rejected.strip()
    ),
    "ratings": st.builds(Rating, PROMPTS, TEXTS, st.booleans(), *ABOUT),
}


@pytest.mark.parametrize("format", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("kind", ANY)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_records_are_the_same_after_export_and_import(tmp_path, kind, format, data):
    records = data.draw(st.lists(ANY[kind], min_size=1, max_size=5))
    file = tmp_path / f"out.{format}"
    write(records, file)
    reading = read(file)
    assert (reading.kind, reading.rejected, reading.records) == (kind, [], records)
