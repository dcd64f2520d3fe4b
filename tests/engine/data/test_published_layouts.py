"""Layouts of published data sets and labelling programs, each by a small sample shaped like the real thing."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rlhf_engine.data.reading import preview, read
from rlhf_engine.data.records import Comparison, Demonstration, PromptRecord, Rating


def written(path, rows):
    """As JSONL, JSON or Parquet, by the name."""
    if path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def accounted(reading):
    assert len(reading.records) + len(reading.rejected) == reading.total
    assert (len(reading.records), len(reading.rejected)) == (reading.kept, reading.left_out)
    return reading


def pair(prompt, chosen, rejected):
    return Comparison(prompt, chosen, rejected, 2, "import")


def test_instructions_of_dolly_take_their_context_along(tmp_path):
    rows = [
        {"instruction": "When?", "context": "It began in 1914.", "response": "In 1914.", "category": "closed_qa"},
        {"instruction": "Name a fish.", "context": "", "response": "A trout.", "category": "open_qa"},
    ]
    reading = accounted(read(written(tmp_path / "databricks-dolly-15k.jsonl", rows)))
    assert reading.layout == "alpaca"
    assert reading.records == [
        Demonstration("When?\n\nIt began in 1914.", "In 1914.", "import"),
        Demonstration("Name a fish.", "A trout.", "import"),
    ]


# OpenAssistant ----------------------------------------------------------------------------------------------------


def message(id_, text, role, rank=None, replies=(), **about):
    return {"message_id": id_, "text": text, "role": role, "rank": rank, "replies": list(replies), **about}


def tree(**about):
    further = message("q2", "And at night?", "prompter", replies=[message("c1", "Dark.", "assistant", 0)])
    answers = [
        message("a2", "Green.", "assistant", 1),
        message("a1", "Blue.", "assistant", 0, [further]),
        message("a3", "No.", "assistant", 2),
        message("a4", "Spam.", "assistant", 3, review_result=False),
        message("a5", "Gone.", "assistant", None, deleted=True),
    ]
    root = message("q1", "Which colour is the sky?", "prompter", replies=answers)
    return {"message_tree_id": "q1", "tree_state": "ready_for_export", "prompt": {**root, **about}}


def flat(node, parent=None, tree_id="q1"):
    body = {name: value for name, value in node.items() if name != "replies"}
    body = {"deleted": False, "review_result": True, **body, "parent_id": parent, "message_tree_id": tree_id}
    rows = [{**body, "lang": "en"}]
    for reply in node["replies"]:
        rows += flat(reply, node["message_id"], tree_id)
    return rows


LATER = [
    {"role": "user", "content": "Which colour is the sky?"},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "And at night?"},
]


@pytest.mark.parametrize("name", ["trees.jsonl", "messages.jsonl", "messages.parquet"])
def test_trees_of_open_assistant_are_comparisons_or_demonstrations_at_every_question(tmp_path, name):
    rows = [tree()] if name.startswith("trees") else flat(tree()["prompt"])
    file = written(tmp_path / name, rows)
    reading = accounted(read(file))
    assert (reading.kind, reading.layout, reading.rejected) == ("comparisons", "oasst", [])
    assert reading.records == [pair("Which colour is the sky?", "Blue.", "No.")]
    assert [(r.chosen, r.rejected) for r in read(file, pairs="all").records] == [
        ("Blue.", "Green."),
        ("Blue.", "No."),
        ("Green.", "No."),
    ]
    shown = accounted(read(file, kind="demonstrations"))
    assert shown.records == [
        Demonstration("Which colour is the sky?", "Blue.", "import"),
        Demonstration(LATER, "Dark.", "import"),
    ]
    assert read(file, kind="prompts").records == [PromptRecord("Which colour is the sky?", "import")]


def test_what_is_wrong_with_a_tree_costs_that_tree_only(tmp_path):
    other = flat(tree()["prompt"], tree_id="t2")
    orphan = {**other[1], "message_tree_id": "t3", "parent_id": "elsewhere"}
    single = flat(message("s1", "Alone?", "prompter", replies=[message("s2", "Yes.", "assistant", 0)]), tree_id="t4")
    reading = accounted(read(written(tmp_path / "m.jsonl", [*other, orphan, *single])))
    assert len(reading.records) == 1
    assert [(row.line, row.field) for row in reading.rejected] == [(9, "parent"), (10, "rank")]
    assert "no message of this tree" in reading.rejected[0].reason
    assert reading.rejected[0].column == "parent_id"


def test_trees_without_ranks_are_demonstrations(tmp_path):
    rows = [tree(replies=[message("a1", "Blue.", "assistant")])]
    reading = read(written(tmp_path / "t.jsonl", rows))
    assert (reading.kind, [r.completion for r in reading.records]) == ("demonstrations", ["Blue."])


# Scores -----------------------------------------------------------------------------------------------------------


def rated(text, *ratings, **about):
    aspects = dict(zip(("helpfulness", "honesty"), ({"Rating": r, "Rationale": "…"} for r in ratings), strict=True))
    return {"response": text, "model": "m", "annotations": aspects, **about}


def test_scores_of_ultrafeedback_become_pairs_by_the_mean_of_their_aspects(tmp_path):
    rows = [
        {
            "source": "evol_instruct",
            "instruction": "Say hello.",
            "models": ["m"] * 3,
            # the known flaw of the file: an overall score of 10 where 1 was meant
            "completions": [
                rated("Hello!", "5", "4", overall_score=8.0),
                rated("…", "1", "N/A", overall_score=10.0),
                rated("Hi.", "4", "4", overall_score=7.0),
            ],
        },
        {
            "source": "x",
            "instruction": "Tie?",
            "models": [],
            "completions": [rated("a", "3", "3"), rated("b", "3", "3")],
        },
        {"source": "x", "instruction": "None?", "models": [], "completions": []},
        {"source": "x", "instruction": "Odd?", "models": [], "completions": [{"response": "a"}, {"response": "b"}]},
    ]
    file = written(tmp_path / "ultrafeedback.jsonl", rows)
    reading = accounted(read(file))
    assert (reading.kind, reading.layout) == ("comparisons", "scored")
    assert reading.records == [pair("Say hello.", "Hello!", "…")]
    assert [(row.line, row.field, row.reason) for row in reading.rejected] == [
        (2, "completions", "gives all 2 answers the same score"),
        (3, "completions", "has no answer with a score"),
        (4, "completions", "has an answer 1 without a score"),
    ]
    assert len(read(file, pairs="all").records) == 3
    assert read(file, kind="demonstrations").records[0] == Demonstration("Say hello.", "Hello!", "import")


@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet"])
def test_answers_of_helpsteer_that_stand_under_one_prompt_are_compared(tmp_path, name):
    def row(prompt, response, helpfulness):
        about = {"correctness": 3, "coherence": 4, "complexity": 2, "verbosity": 2}
        return {"prompt": prompt, "response": response, "helpfulness": helpfulness, **about}

    rows = [row("p", "good", 4), row("p", "bad", 1), row("q", "alone", 3), row("r", "x", 2), row("r", "y", 2)]
    reading = accounted(read(written(tmp_path / name, rows)))
    assert (reading.kind, reading.layout) == ("comparisons", "scored")
    assert reading.records == [pair("p", "good", "bad")]
    assert [(r.line, r.field, r.column, r.reason) for r in reading.rejected] == [
        (3, "score", "helpfulness", "has only one answer with a score"),
        (4, "score", "helpfulness", "gives all 2 answers the same score"),
    ]


def test_a_score_beside_single_answers_compares_nothing(tmp_path):
    rows = [{"prompt": str(i), "response": "a", "score": i} for i in range(3)]
    assert read(written(tmp_path / "a.jsonl", rows)).kind == "demonstrations"


def test_lists_of_answers_and_of_scores_and_ranked_answers_are_read_alike(tmp_path):
    sides = {"prompt": "p", "responses": ["bad", "good"], "scores": [0.1, 0.9]}
    ranks = {"prompt": "p", "answers": [{"answer": "bad", "rank": 2}, {"answer": "good", "rank": 1}]}
    for row in (sides, ranks):
        assert read(written(tmp_path / "a.jsonl", [row])).records == [pair("p", "good", "bad")]
    short = accounted(read(written(tmp_path / "b.jsonl", [sides, {**sides, "scores": [1]}])))
    assert short.rejected[0].reason == "is not a list of 2 scores, one per answer"


def test_truthful_answers_can_be_compared_with_the_wrong_ones(tmp_path):
    file = tmp_path / "TruthfulQA.csv"
    file.write_text(
        "Type,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
        "Adversarial,Seeds?,They pass.,They pass.; Nothing happens,You grow melons; You get sick,https://a\n"
    )
    assert read(file).kind == "demonstrations"
    assert read(file, kind="comparisons").records == [pair("Seeds?", "They pass.", "You grow melons")]
    assert [r.rejected for r in read(file, kind="comparisons", pairs="all").records] == [
        "You grow melons",
        "You get sick",
    ]


# Labelling programs -----------------------------------------------------------------------------------------------

FIELDS = {"instruction": "p", "response1": "good", "response2": "bad"}


def argilla(fields, *given, status="submitted"):
    responses: dict[str, list] = {}
    for person, values in enumerate(given):
        for question, value in values.items():
            responses.setdefault(question, []).append({"value": value, "user_id": f"u{person}"})
    return {
        "id": "1",
        "status": "completed",
        "fields": fields,
        "metadata": {},
        "suggestions": {},
        "responses": responses,
    }


def argilla_1(fields, *given, status="submitted"):
    people = [
        {"user_id": f"u{n}", "status": status, "values": {q: {"value": v} for q, v in values.items()}}
        for n, values in enumerate(given)
    ]
    return {"fields": fields, "responses": people, "suggestions": [], "metadata": {}, "external_id": None}


def argilla_hub(fields, *given, status="submitted"):
    row = {"id": "1", "status": "completed", **fields}
    for question in {question for values in given for question in values}:
        row[f"{question}.responses"] = [values[question] for values in given]
        row[f"{question}.responses.users"] = [f"u{n}" for n in range(len(given))]
        row[f"{question}.responses.status"] = [status] * len(given)
    return row


@pytest.mark.parametrize("export", [argilla, argilla_1, argilla_hub])
def test_judgements_of_argilla_are_comparisons_ratings_or_demonstrations(tmp_path, export):
    ranking = [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 2}]
    tied = [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}]

    def reading_of(fields, *given, **about):
        return accounted(read(written(tmp_path / "records.json", [export(fields, *given, **about)])))

    chosen = pair("p", "good", "bad")
    assert reading_of(FIELDS, {"preference": ranking}, {"preference": tied}).records[0] == chosen
    assert reading_of(FIELDS, {"which": "response1"}, {"which": "response2"}).records == [
        chosen,
        pair("p", "bad", "good"),
    ]
    scores = {"rating-response1": 5, "rating-response2": 2}
    assert reading_of(FIELDS, scores).records == [chosen]
    one = {"instruction": "p", "response": "good"}
    rating = reading_of(one, {"quality": 5})
    assert (rating.kind, rating.records) == ("ratings", [Rating("p", "good", True, "import")])
    assert reading_of({"instruction": "p"}, {"answer": "mine"}).records == [Demonstration("p", "mine", "import")]


def test_what_nobody_judged_in_argilla_is_named(tmp_path):
    rows = [argilla_1(FIELDS, {"which": "response1"}), argilla_1(FIELDS), argilla_1(FIELDS, {}, status="discarded")]
    reading = accounted(read(written(tmp_path / "records.json", rows)))
    assert len(reading.records) == 1
    assert ["nobody has answered" in row.reason or "skipped" in row.reason for row in reading.rejected] == [True, True]
    # a preview shows the judgement as a column, whose meaning can be corrected
    seen = preview(tmp_path / "records.json")
    assert seen.mapping == {"prompt": "prompt", "a": "response1", "b": "response2", "winner": "which"}


def label_studio(data, *results, **about):
    annotations = [{"id": n, "was_cancelled": False, "result": result, **about} for n, result in enumerate(results)]
    return {"id": 7, "data": data, "annotations": annotations, "predictions": []}


SHOWN = {"prompt": "p", "answer1": "good", "answer2": "bad"}


@pytest.mark.parametrize(
    ("data", "value", "expected"),
    [
        (SHOWN, {"selected": "left"}, [pair("p", "good", "bad")]),
        (SHOWN, {"selected": "right"}, [pair("p", "bad", "good")]),
        (SHOWN, {"choices": ["answer2"]}, [pair("p", "bad", "good")]),
        (
            {"prompt": "p", "items": [{"id": "x", "body": "bad"}, {"id": "y", "body": "good"}]},
            {"ranker": {"rank": ["y", "x"]}},
            [pair("p", "good", "bad")],
        ),
        ({"prompt": "p", "response": "good"}, {"rating": 4}, [Rating("p", "good", True, "import")]),
        ({"prompt": "p"}, {"text": ["mine"]}, [Demonstration("p", "mine", "import")]),
    ],
)
def test_judgements_of_label_studio_are_read_whatever_their_control(tmp_path, data, value, expected):
    result = [{"from_name": "judgement", "to_name": "answers", "type": "x", "value": value}]
    file = written(tmp_path / "export.json", [label_studio(data, result)])
    assert accounted(read(file)).records == expected


def test_the_small_export_of_label_studio_and_what_was_skipped(tmp_path):
    small = {**SHOWN, "id": 1, "annotator": 1, "annotation_id": 3, "lead_time": 2.5, "winner": {"selected": "left"}}
    assert read(written(tmp_path / "min.json", [small])).records == [pair("p", "good", "bad")]
    result = [{"from_name": "c", "value": {"selected": "left"}}]
    rows = [label_studio(SHOWN, result), label_studio(SHOWN, result, was_cancelled=True), label_studio(SHOWN)]
    reading = accounted(read(written(tmp_path / "all.json", rows)))
    assert len(reading.records) == 1
    assert ["skipped" in r.reason or "no judgement" in r.reason for r in reading.rejected] == [True, True]
