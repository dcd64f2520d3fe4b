"""Reading files: every layout, and every way in which a row or a file can be bad, by file, line and field."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.reading import Rejected, preview, read
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating


def lines(path, *rows):
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else row.encode() for row in rows))
    return path


def objects(path, *rows):
    return lines(path, *(json.dumps(row) for row in rows))


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


# Layouts ----------------------------------------------------------------------------------------------------------


def test_transcripts_of_hh_are_taken_apart_at_the_last_answer(tmp_path):
    said = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Go on"
    file = objects(
        tmp_path / "a.jsonl", {"chosen": f"{said}\n\nAssistant: Good.", "rejected": f"{said}\n\nAssistant: No."}
    )
    reading = read(file)

    assert (reading.kind, reading.layout) == ("comparisons", "hh")
    prompt = [user("Hi"), assistant("Yes?"), user("Go on")]
    assert reading.records == [Comparison(prompt, "Good.", "No.", 2, "import")]


def test_pairs_of_text_and_of_messages_are_read_alike(tmp_path):
    text = objects(tmp_path / "a.jsonl", {"prompt": "Hi", "chosen": "Good.", "rejected": "No."})
    turns = objects(
        tmp_path / "b.jsonl",
        {"prompt": [user("Hi")], "chosen": [assistant("Good.")], "rejected": [assistant("No.")]},
    )
    whole = objects(
        tmp_path / "c.jsonl",
        {"chosen": [user("Hi"), assistant("Good.")], "rejected": [user("Hi"), assistant("No.")]},
    )
    for file in (text, turns, whole):
        reading = read(file)
        assert (reading.kind, reading.layout) == ("comparisons", "trl")
        assert reading.records == [Comparison("Hi", "Good.", "No.", 2, "import")]


def test_conversations_of_sharegpt_hold_comparisons_or_demonstrations(tmp_path):
    talk = [{"from": "human", "value": "Hi"}]
    pair = {"conversations": talk, "chosen": {"from": "gpt", "value": "A"}, "rejected": {"from": "gpt", "value": "B"}}
    assert read(objects(tmp_path / "a.jsonl", pair)).records == [Comparison("Hi", "A", "B", 2, "import")]

    tools = {"conversations": [*talk, {"from": "gpt", "value": "A"}], "tools": "search(text)"}
    turns = [{"role": "system", "content": "search(text)"}, user("Hi")]
    assert read(objects(tmp_path / "b.jsonl", tools)).records == [Demonstration(turns, "A", "import")]


def test_instructions_with_an_input_become_one_prompt(tmp_path):
    row = {"instruction": "Convert to metres.", "input": "45 km", "output": "45000 m"}
    assert read(objects(tmp_path / "a.jsonl", row)).records == [
        Demonstration("Convert to metres.\n\n45 km", "45000 m", "import")
    ]
    with_pair = {**row, "chosen": "45000 m", "rejected": "no"}
    assert read(objects(tmp_path / "b.jsonl", with_pair)).records == [
        Comparison("Convert to metres.\n\n45 km", "45000 m", "no", 2, "import")
    ]


RATED = [Rating("Hi", "A", True, "import"), Rating("Hi", "B", False, "import")]


def test_answers_that_were_liked_or_not_are_ratings_in_whatever_way_the_answers_are_written(tmp_path):
    yes, no = [user("Hi"), assistant("A")], [user("Hi"), assistant("B")]
    talks = [[{"from": "human", "value": "Hi"}, {"from": "gpt", "value": answer}] for answer in "AB"]
    for rows in (
        [{"prompt": "Hi", "completion": "A", "label": True}, {"prompt": "Hi", "completion": "B", "label": False}],
        [{"prompt": [user("Hi")], "completion": [assistant(a)], "label": a == "A"} for a in "AB"],
        [{"messages": yes, "label": 1}, {"messages": no, "label": 0}],
        [{"conversations": talk, "kto_tag": tag} for talk, tag in zip(talks, ("true", "false"), strict=True)],
        [{"instruction": "Hi", "input": "", "output": a, "kto_tag": a == "A"} for a in "AB"],
    ):
        reading = read(objects(tmp_path / "a.jsonl", *rows))
        assert (reading.kind, reading.layout, reading.rejected) == ("ratings", "kto", [])
        assert reading.records == RATED


@pytest.mark.parametrize(
    ("column", "yes", "no"),
    [
        ("liked", True, False),
        ("liked", "yes", "no"),
        ("thumbs", "up", "Down"),
        ("thumbs_up", "1", "0"),
        ("thumbs", "\U0001f44d", "\U0001f44e"),
        ("rating", 5, 1),
        ("Rating", "4", "2.0"),
        ("stars", 4.0, 2),
    ],
)
def test_thumbs_and_ratings_from_1_to_5_are_ratings(tmp_path, column, yes, no):
    rows = [{"prompt": "Hi", "completion": "A", column: yes}, {"prompt": "Hi", "completion": "B", column: no}]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    assert (reading.kind, reading.layout, reading.records) == ("ratings", "native", RATED)


def test_a_rating_of_3_is_undecided_and_a_missing_one_says_nothing(tmp_path):
    rows = [{"prompt": "Hi", "completion": "A", "rating": value} for value in (5, 3, None, 1)]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    assert [record.liked for record in reading.records] == [True, False]
    assert reading.rejected == [
        Rejected(2, "rating", "is 3 of 5, which is undecided"),
        Rejected(3, "liked", "is missing: a rating says whether an answer was liked"),
    ]


def test_a_rating_after_the_first_rows_that_is_none_costs_its_own_row_only(tmp_path):
    rows = [{"prompt": "Hi", "completion": "A", "rating": 5}] * 50 + [{"prompt": "Hi", "completion": "A", "rating": 9}]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    assert (reading.kind, reading.rejected) == ("ratings", [Rejected(51, "rating", "is '9', not a number from 1 to 5")])


@pytest.mark.parametrize(("column", "values"), [("rating", (7, 10)), ("label", ("sports", "world"))])
def test_a_column_that_is_only_named_like_a_verdict_leaves_demonstrations_what_they_are(tmp_path, column, values):
    rows = [{"prompt": "Hi", "completion": "A", column: value} for value in values]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    assert (reading.kind, reading.layout, len(reading.records)) == ("demonstrations", "native", 2)


def test_of_liked_and_disliked_answers_the_liked_ones_can_be_read_as_demonstrations(tmp_path):
    rows = [{"prompt": "Hi", "completion": "A", "label": True}, {"prompt": "Hi", "completion": "B", "label": False}]
    reading = read(objects(tmp_path / "a.jsonl", *rows), kind="demonstrations")

    assert (reading.layout, reading.records) == ("kto", [Demonstration("Hi", "A", "import")])
    assert reading.rejected == [
        Rejected(2, "label", "says that the answer is not liked; only liked ones are demonstrations")
    ]


def test_rows_with_winners_keep_their_strength_and_a_tie_has_none(tmp_path):
    pair = {"prompt": "Hi", "a": "A", "b": "B", "source": "rule"}
    said = [("b", 3), ("tie", 1), ("both", 2), ("draw", ""), ("both_bad", 2), ("skip", 2), ("c", 2), ("a", 0)]
    rows = [{**pair, "winner": winner, "strength": strength} for winner, strength in said]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    tie = Comparison("Hi", "A", "B", 0, "rule")
    assert reading.records == [Comparison("Hi", "B", "A", 3, "rule"), tie, tie, tie]
    assert reading.rejected == [
        Rejected(5, "winner", "is 'both_bad': both answers are bad, which prefers neither"),
        Rejected(6, "winner", "is a skip: nobody has said which answer is better"),
        Rejected(7, "winner", "is 'c', neither a nor b nor a tie"),
        Rejected(8, "strength", "is 0, which is a tie, but the winner is a"),
    ]


def test_a_strength_of_0_is_a_tie_and_a_tie_is_no_demonstration(tmp_path):
    rows = [{"prompt": "Hi", "chosen": "A", "rejected": "B", "strength": strength} for strength in (2, 0, "0")]
    file = objects(tmp_path / "a.jsonl", *rows)
    assert [record.strength for record in read(file).records] == [2, 0, 0]

    reading = read(file, kind="demonstrations")
    assert reading.records == [Demonstration("Hi", "A", "import")]
    assert [(row.line, row.field) for row in reading.rejected] == [(2, "strength"), (3, "strength")]
    assert "neither answer is better" in reading.rejected[0].reason
    assert len(read(file, kind="prompts").records) == 3


def test_battles_of_two_models_are_comparisons_where_both_were_asked_the_same(tmp_path):
    a, b = [user("Hi"), assistant("A")], [user("Hi"), assistant("B")]
    longer = [user("Hi"), assistant("Yes?"), user("Go on"), assistant("B")]
    rows = [
        {"conversation_a": a, "conversation_b": b, "winner": "model_b"},
        {"conversation_a": a, "conversation_b": b, "winner": "tie"},
        {"conversation_a": a, "conversation_b": b, "winner": "tie (bothbad)"},
        {"conversation_a": a, "conversation_b": longer, "winner": "model_a"},
    ]
    reading = read(objects(tmp_path / "a.jsonl", *rows))
    assert reading.records == [Comparison("Hi", "B", "A", 2, "import"), Comparison("Hi", "A", "B", 0, "import")]
    assert [(row.line, row.field, row.reason) for row in reading.rejected] == [
        (3, "winner", "is 'tie (bothbad)': both answers are bad, which prefers neither"),
        (4, "b", "answers another prompt than a does"),
    ]


# Files that hold a task, and several files -----------------------------------------------------------------------

TASK = {
    "Definition": ["Name the capital."],
    "Positive Examples": [
        {"input": "Italy", "output": "Rome", "explanation": "So it is."},
        {"input": "Spain ", "output": ["Madrid"], "explanation": ""},
        {"input": "Austria", "output": "Vienna", "explanation": ""},
    ],
    "Instances": [{"id": "1", "input": "France", "output": ["Paris ", "paris"]}, {"input": "Peru", "output": "Lima"}],
}


def task(path, **changed):
    path.write_text(json.dumps(TASK | changed))
    return path


def test_a_prompt_of_a_task_holds_its_definition_and_two_of_its_solved_examples(tmp_path):
    reading = read(task(tmp_path / "task7_capitals.json"))
    assert (reading.kind, reading.layout, reading.total) == ("demonstrations", "task", 2)
    first, second = reading.records
    assert first.prompt == (
        "Definition: Name the capital.\n\n"
        "Example 1\nInput: Italy\nOutput: Rome\n\n"
        "Example 2\nInput: Spain\nOutput: Madrid\n\n"
        "Now answer this one\nInput: France\nOutput:"
    )
    assert (first.completion, first.source) == ("Paris", "task7_capitals")
    assert second.prompt.endswith("Input: Peru\nOutput:") and second.completion == "Lima"


@pytest.mark.parametrize("examples", range(5))
def test_as_many_examples_are_shown_as_asked_for_and_there_are(tmp_path, examples):
    prompt = read(task(tmp_path / "t.json"), examples=examples).records[0].prompt
    assert prompt.count("\nOutput: ") == min(examples, 3)
    assert ("Now answer this one" in prompt) == (examples > 0)


def test_a_task_of_the_early_schema_has_its_definition_as_text_and_can_be_read_as_prompts(tmp_path):
    file = task(tmp_path / "t.json", Definition="Name the capital.", **{"Positive Examples": []})
    reading = read(file, kind="prompts")
    assert reading.records[0] == PromptRecord("Definition: Name the capital.\n\nInput: France\nOutput:", "t")


def test_what_is_odd_in_a_task_is_named_row_by_row(tmp_path):
    rows = [{"input": "France", "output": []}, {"input": " ", "output": ["x"]}, {"output": ["x"]}, "France"]
    reading = read(task(tmp_path / "t.json", Instances=[TASK["Instances"][0], *rows]))
    assert len(reading.records) == 1
    assert [(row.line, row.field, row.reason) for row in reading.rejected] == [
        (2, "output", "is an empty list"),
        (3, "input", "is empty"),
        (4, "input", "is missing"),
        (5, "definition", "is missing"),
    ]
    broken = task(tmp_path / "u.json", **{"Positive Examples": [{"input": "Italy"}]})
    assert {row.reason for row in read(broken).rejected} == {"has an example 1 without an output"}
    assert not read(broken, examples=0).rejected


def test_a_task_of_big_bench_shows_its_choices_and_takes_the_best_one(tmp_path):
    body = {
        "name": "colours",
        "description": "Name colours",
        "task_prefix": "What colour is it?\n",
        "preferred_score": "multiple_choice_grade",
        "examples": [
            {"input": "grass", "target_scores": {"red": 0, "green": 1}},
            {"input": "snow", "target": ["white", "White"]},
            {"input": "sky", "target_scores": {"red": 0, "green": 0}},
        ],
    }
    (tmp_path / "task.json").write_text(json.dumps(body))
    reading = read(tmp_path / "task.json")
    asked = "Definition: What colour is it?\n\nInput: "
    assert reading.records == [
        Demonstration(f"{asked}grass\n  choice: red\n  choice: green\nOutput:", "green", "colours"),
        Demonstration(f"{asked}snow\nOutput:", "white", "colours"),
    ]
    assert reading.rejected == [Rejected(3, "scores", "gives all 2 choices the same score", column="target_scores")]


def test_several_files_and_a_folder_are_read_as_one_and_rows_are_named_with_their_file(tmp_path):
    folder = tmp_path / "tasks"
    folder.mkdir()
    a = task(folder / "a.json")
    b = task(folder / "b.json", Instances=[{"input": "Chile", "output": []}, {"input": "Cuba", "output": "Havana"}])
    (folder / "notes.md").write_text("no data")
    for paths in (folder, [a, b], [str(a), b]):
        reading = read(paths)
        assert [record.source for record in reading.records] == ["a", "a", "b"]
        assert (reading.total, reading.rejected) == (4, [Rejected(1, "output", "is an empty list", "b.json")])
    assert reading.rejected[0].said == "b.json, line 1, output: is an empty list"
    assert preview(folder).rows[0]["Definition"] == ["Name the capital."]


def test_files_that_hold_different_things_are_not_read_as_one(tmp_path):
    a, b = task(tmp_path / "a.json"), objects(tmp_path / "b.jsonl", {"prompt": "p"})
    with pytest.raises(DataError, match=r"b\.jsonl holds prompts, but a\.json demonstrations"):
        read([a, b])
    assert len(read([a, b], kind="prompts").records) == 3


def test_a_line_of_text_is_a_prompt(tmp_path):
    reading = read(lines(tmp_path / "a.txt", "One\u2028still one", "", "Two\r"))
    assert (reading.kind, reading.layout, reading.total) == ("prompts", "text", 2)
    assert reading.records == [PromptRecord("One\u2028still one", "import"), PromptRecord("Two", "import")]


def test_prompts_and_demonstrations_can_be_taken_from_comparisons(tmp_path):
    file = objects(tmp_path / "a.jsonl", {"prompt": "Hi", "chosen": "Good.", "rejected": "No."})
    assert read(file, kind="prompts").records == [PromptRecord("Hi", "import")]
    assert read(file, kind="demonstrations").records == [Demonstration("Hi", "Good.", "import")]


def test_columns_named_by_a_person_replace_guessing(tmp_path):
    file = lines(tmp_path / "a.csv", "frage,antwort,text", "Wie?,So.,x")
    reading = read(file, columns={"prompt": "frage", "completion": "antwort"})
    assert reading.records == [Demonstration("Wie?", "So.", "import")]


@pytest.mark.parametrize(
    "name", ["a.json", "a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv", "a.tsv", "a", "wrapped.json"]
)
def test_the_same_rows_are_read_from_every_format(tmp_path, name):
    rows = [{"prompt": "Hi, you", "completion": 'A "word"'}, {"prompt": "Two", "completion": "B"}]
    file = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(pa.Table.from_pylist(rows), file)
    elif name == "a.json":
        file.write_text(json.dumps(rows, indent=2))
    elif name == "wrapped.json":
        file.write_text(json.dumps({"version": 1, "data": rows}))
    elif name == "a.csv":
        file.write_bytes(b'\xef\xbb\xbfprompt,completion\r\n"Hi, you","A ""word"""\r\nTwo,B\r\n')
    elif name == "a.tsv":
        file.write_text('prompt\tcompletion\nHi, you\tA "word"\nTwo\tB\n')
    else:
        body = "\n".join(map(json.dumps, rows)).encode()
        file.write_bytes(gzip.compress(body) if name.endswith("gz") else body)
    assert read(file).records == [Demonstration("Hi, you", 'A "word"', "import"), Demonstration("Two", "B", "import")]


def test_what_is_called_json_but_holds_an_object_a_line_is_read_as_such(tmp_path):
    assert len(read(objects(tmp_path / "a.json", {"prompt": "a"}, {"prompt": "b"})).records) == 2


def test_a_cell_may_hold_line_breaks_and_its_row_is_named_by_its_first_line(tmp_path):
    reading = read(lines(tmp_path / "a.csv", "prompt,completion", '"a\nb",c', "only one"))
    assert reading.records == [Demonstration("a\nb", "c", "import")]
    assert reading.rejected == [Rejected(4, "", "has 1 cells where 2 are expected")]


def test_a_table_without_a_head_has_numbered_columns(tmp_path):
    reading = read(lines(tmp_path / "a.tsv", "one long string of cliches\t0", "it 's good\t1"))
    assert [record.prompt for record in reading.records] == ["one long string of cliches", "it 's good"]


def test_a_preview_shows_the_first_rows_and_how_they_would_be_understood(tmp_path):
    file = objects(tmp_path / "a.jsonl", *[{"question": f"q{i}", "answer": "a", "extra": i} for i in range(9)])
    seen = preview(file, rows=3)

    assert seen.columns == ["question", "answer", "extra"]
    assert len(seen.rows) == 3 and seen.rows[0]["extra"] == 0
    assert (seen.kind, seen.layout) == ("demonstrations", "native")
    assert seen.mapping == {"prompt": "question", "completion": "answer"}


def test_a_preview_of_rows_in_no_known_layout_leaves_it_open(tmp_path):
    seen = preview(objects(tmp_path / "a.jsonl", {"foo": 1}))
    assert (seen.kind, seen.layout, seen.columns) == ("", "", ["foo"])


def test_records_that_quote_control_tokens_are_kept_and_named_by_line(tmp_path):
    reading = read(objects(tmp_path / "a.jsonl", {"prompt": "fine"}, {"prompt": "<|im_start|>system"}))
    assert len(reading.records) == 2
    assert reading.control_text == [2]


# Bad rows ---------------------------------------------------------------------------------------------------------

GOOD = '{"prompt": "p", "chosen": "a", "rejected": "b"}'


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ('{"prompt": "p", "chosen": "a"', "", "is not JSON"),
        ('{"prompt": "p", "chosen": NaN, "rejected": "b"}', "", "contains NaN"),
        ('{"prompt": "p", "chosen": 1e999, "rejected": "b"}', "", "contains the number 1e999"),
        ('{"prompt": "p", "chosen": ' + "9" * 5000 + ', "rejected": "b"}', "", "a number of 5000 digits"),
        ('{"prompt": "p", "chosen": "a", "chosen": "c", "rejected": "b"}', "", "names 'chosen' twice"),
        ("[" * 100_000, "", "is nested too deeply"),
        ("null", "", "is null, not an object"),
        ("7", "", "is int, not an object"),
        (GOOD + " {}", "", "goes on after its end"),
        (b'{"prompt": "caf\xe9", "chosen": "a", "rejected": "b"}', "", "is not UTF-8: byte 16 is 0xe9"),
        ('{"prompt": "p", "chosen": "\\ud800", "rejected": "b"}', "chosen", "half of a surrogate pair"),
        ('{"prompt": "p\\u0000", "chosen": "a", "rejected": "b"}', "prompt", "contains a NUL"),
        ('{"prompt": "p", "chosen": "a"}', "rejected", "is missing: a comparison needs both answers"),
        ('{"prompt": "p", "rejected": "b"}', "chosen", "is missing: a comparison needs both answers"),
        ('{"prompt": "p", "chosen": "a", "rejected": ""}', "rejected", "is empty"),
        ('{"prompt": "p", "chosen": "a", "rejected": "a "}', "rejected", "both answers are the same"),
        ('{"prompt": "p", "chosen": 3, "rejected": "b"}', "chosen", "is a number, not text"),
        ('{"chosen": "a", "rejected": "b"}', "prompt", "is missing"),
        ('{"prompt": [{"role": "user"}], "chosen": "a", "rejected": "b"}', "prompt", "turn 1 without text"),
        ('{"prompt": [{"role": "x", "content": "y"}], "chosen": "a", "rejected": "b"}', "prompt", "the role 'x'"),
    ],
)
def test_a_bad_row_is_left_out_with_its_line_and_reason_and_the_others_stay(tmp_path, row, field, reason):
    reading = read(lines(tmp_path / "a.jsonl", GOOD, row, GOOD))

    assert len(reading.records) == 2 and reading.total == 3
    (rejected,) = reading.rejected
    assert (rejected.line, rejected.field) == (2, field)
    assert reason in rejected.reason


def test_an_endless_line_is_left_out_and_the_next_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf_engine.data.lines.MAX_LINE", 2**20)
    reading = read(lines(tmp_path / "a.jsonl", GOOD, '{"prompt": "' + "x" * 2**21 + '"}', GOOD))
    assert [row.reason for row in reading.rejected] == ["is longer than 1 MiB"]
    assert (reading.rejected[0].line, len(reading.records)) == (2, 2)


def hh(chosen, rejected):
    return json.dumps({"chosen": chosen, "rejected": rejected})


@pytest.mark.parametrize(
    ("chosen", "rejected", "field", "reason"),
    [
        ("\n\nHuman: a\n\nAssistant:", "\n\nHuman: a\n\nAssistant: x", "chosen", "ends with an empty answer"),
        ("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: b\n\nAssistant: y", "rejected", "another conversation"),
        ("\n\nHuman: a\n\nAssistant: x\n\nHuman: b", "\n\nHuman: a", "chosen", 'does not end with an "Assistant:"'),
        ("\n\nHuman: a\n\nAssistant: x", "just text", "rejected", 'does not begin with "Human:"'),
        ("\n\nHuman: a\n\nAssistant: x", None, "rejected", "is missing"),
    ],
)
def test_transcripts_that_do_not_fit_together_are_left_out(tmp_path, chosen, rejected, field, reason):
    good = hh("\n\nHuman: a\n\nAssistant: x", "\n\nHuman: a\n\nAssistant: y")
    reading = read(lines(tmp_path / "a.jsonl", good, hh(chosen, rejected)))
    (row,) = reading.rejected
    assert (row.line, row.field) == (2, field) and reason in row.reason


def test_an_open_quote_in_a_csv_costs_its_own_row_only(tmp_path):
    reading = read(lines(tmp_path / "a.csv", "prompt,completion", 'a,"open', "b,B", "c,C"))
    assert [record.prompt for record in reading.records] == ["b", "c"]
    assert reading.rejected == [Rejected(2, "", "opens a quote that is never closed")]


def test_a_csv_is_read_no_further_than_its_rows_need(tmp_path, monkeypatch):
    from rlhf_engine.data import tables

    file = lines(tmp_path / "a.csv", "prompt,completion", *(f'"{n}\nmore",A' for n in range(500)))
    taken = []

    class Counted:
        def __init__(self, stream):
            self._stream = stream

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._stream.close()

        def readline(self, limit):
            taken.append(self._stream.readline(limit))
            return taken[-1]

    opened = tables.opened
    monkeypatch.setattr(tables, "opened", lambda path: Counted(opened(path)))
    rows = tables.csv_rows(file)
    assert [next(rows) for _ in range(3)] == [
        (2 * n + 2, {"prompt": f"{n}\nmore", "completion": "A"}) for n in range(3)
    ]
    assert len(taken) == 7  # the head and two lines a row


def test_a_line_of_a_csv_that_is_too_long_costs_itself_and_what_was_open(tmp_path, monkeypatch):
    monkeypatch.setattr("rlhf_engine.data.lines.MAX_LINE", 100)
    file = lines(tmp_path / "a.csv", "prompt,completion", "a,A", "b," + "x" * 100, 'c,"open', "d," + "y" * 200, "e,E")
    reading = read(file)
    assert [record.prompt for record in reading.records] == ["a", "e"]
    assert [(row.line, row.reason) for row in reading.rejected] == [
        (3, "is longer than 0 MiB"),
        (4, "opens a quote that is never closed"),
        (5, "is longer than 0 MiB"),
    ]


def test_a_byte_that_is_not_utf8_costs_its_own_row_of_a_csv_only(tmp_path):
    reading = read(lines(tmp_path / "a.csv", "prompt,completion", b"caf\xe9,A", "b,B"))
    assert len(reading.records) == 1
    assert reading.rejected == [Rejected(2, "", "is not UTF-8: it holds the byte 0xe9")]


# Bad files --------------------------------------------------------------------------------------------------------


CUT_SHORT = gzip.compress("\n".join(json.dumps({"prompt": str(i)}) for i in range(3000)).encode(), mtime=0)[:-2000]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "is empty"),
        ("a.jsonl", b" \n\n", "is empty"),
        ("a.csv", "prompt,completion\n".encode("utf-16"), "UTF-16"),
        ("a.jsonl.gz", CUT_SHORT, "is damaged: it cannot be unpacked"),
        ("a.jsonl.gz", CUT_SHORT[:15], "is damaged: it cannot be unpacked"),
        ("a.parquet", b"PAR1 not really", "is damaged after row 0"),
        ("a.parquet", b"something", "is not a Parquet file"),
        ("a.json", b'[{"prompt": "a"},\n {"prompt": "b"', "is not JSON: .* line 2, column"),
        ("a.json", b'[{"prompt": "a"}\n {"prompt": "b"}]', "Expecting ',' or ']' at line 2, column 2"),
        ("a.json", b'[{"prompt": "caf\xe9"}]', "is not UTF-8: line 1 holds the byte 0xe9"),
        ("a.json", b'[{"prompt": "a"}] x', "Extra data at line 1, column 18"),
        ("a.json", b'{"data": [{"prompt": NaN}]}', "contains NaN"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.json", b'{"prompt": 1}', "holds no list of rows"),
        ("a.jsonl", b'{"foo": "x"}', "in no layout that is known: its columns are 'foo'"),
        ("a.csv", b"prompt,prompt\na,b", "two columns named 'prompt'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_place(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        read(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"There is no file .*nowhere\.jsonl"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"columns": {"prompt": "question"}}, "no column 'question' for 'prompt'"),
        ({"columns": {"colour": "prompt"}}, "'colour' is none of our fields"),
        ({"layout": "hh"}, "cannot be in the layout hh: it has no chosen and rejected"),
        ({"layout": "xml"}, "no layout 'xml'"),
        ({"kind": "comparisons"}, "needs to hold comparisons but has no two answers"),
        ({"kind": "ratings"}, "needs to hold ratings but does not say which answers were liked"),
        ({"kind": "demonstrations"}, "needs to hold demonstrations but has only prompts"),
        ({"kind": "opinions"}, "no kind of record 'opinions'"),
    ],
)
def test_what_a_file_does_not_have_is_said_before_any_row_is_read(tmp_path, asked, said):
    with pytest.raises(DataError, match=said):
        read(objects(tmp_path / "a.jsonl", {"prompt": "p"}), **asked)


# Any file ---------------------------------------------------------------------------------------------------------

PAIR = b'{"prompt": "p", "chosen": "a", "rejected": "b"}'
BITS = [b'"', b",", b"\n", b"\r", b"{", b"}", b"[", b"NaN", b"\xff", b"\0", b"\t", b" ", b"1e999", b"\\ud800"]
PIECES = st.sampled_from([PAIR, b'{"prompt": null}', b"prompt,completion\n", b"\xe2\x80\xa8", b"\xef\xbb\xbf", *BITS])


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.tsv", "a.json", "a.txt"])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.one_of(PIECES, st.binary(max_size=8)), max_size=40).map(b"".join))
def test_no_file_crashes_the_reader_and_every_row_is_accounted_for(tmp_path, name, content):
    file = tmp_path / name
    file.write_bytes(content)
    try:
        reading = read(file)
    except DataError as error:
        named = str(error)
    else:
        named = ""
    if named:
        assert str(file) in named
        return
    assert len(reading.records) + len(reading.rejected) == reading.total
    assert all(row.line > 0 and row.reason for row in reading.rejected)
    if name in ("a.jsonl", "a.txt"):  # a line is a row
        assert reading.total == sum(bool(line.strip()) for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
