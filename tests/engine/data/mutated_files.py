"""Files of every format and layout, damaged at random: none may crash or hang the reader, and every row is counted.

    python -m tests.engine.data.mutated_files --count 10000 [--seed 0]

Where RLHF_REAL_DATA is, its files are damaged too. A file of a seed and number is always the same one.
"""

from __future__ import annotations

import argparse
import csv
import faulthandler
import gzip
import io
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError
from rlhf_engine.data.reading import preview, read
from rlhf_engine.data.records import KINDS

LONGEST = 5.0  # seconds
REAL = Path(os.environ.get("RLHF_REAL_DATA", Path(__file__).parents[4] / "shared" / "real")) / "data"
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
ODD = [b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"1e999", b'"', b"'", b",", b"\n", b"\r", b"{", b"[", b"]", b"}"]
ODD += [
    b"\\ud800",
    b"\\u0000",
    b"\xe2\x80\xa8",
    b"\xef\xbb\xbf",
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"9" * 400,
    b"\t",
    b"=1+1",
]


def layouts() -> dict[str, list[dict[str, Any]]]:
    """Rows in every layout that is read."""
    said = "\n\nHuman: Hi\n\nAssistant:"
    tree = {"message_id": "1", "text": "q", "role": "prompter"}
    replies = [{"message_id": str(i), "text": f"a{i}", "role": "assistant", "rank": i, "replies": []} for i in range(3)]
    flat = [{**tree, "parent_id": None, "rank": None}] + [{**r, "parent_id": "1"} for r in replies]
    judged = {"fields": {"prompt": "p", "response1": "a", "response2": "b"}, "external_id": None}
    result = [{"from_name": "c", "value": {"selected": "left"}}]
    answers = [{"response": "a", "annotations": {"x": {"Rating": "5"}}}, {"response": "b", "overall_score": 2}]
    talk = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yes?"}]
    return {
        "hh": [{"chosen": f"{said} Good.", "rejected": f"{said} No."}],
        "trl": [{"prompt": TURNS[:1], "chosen": [TURNS[1]], "rejected": [{**TURNS[1], "content": "No"}]}],
        "text": [{"prompt": "p", "chosen": "a", "rejected": "b", "strength": 3}],
        "kto": [{"prompt": "p", "completion": "a", "label": True}, {"prompt": "p", "completion": "b", "label": False}],
        "sharegpt": [{"conversations": talk, "system": "Be brief."}],
        "alpaca": [{"instruction": "i", "input": "", "output": "o", "history": [["a", "b"]]}],
        "dolly": [{"instruction": "i", "context": "c", "response": "o", "category": "x"}],
        "messages": [{"messages": TURNS, "tools": "t"}],
        "battle": [{"a": TURNS, "b": [TURNS[0], {**TURNS[1], "content": "No"}], "winner": "model_a"}],
        "stars": [{"prompt": "p", "response": "a", "rating": 5}],
        "tree": [{"message_tree_id": "1", "prompt": {**tree, "replies": replies}}],
        "flat": [{**row, "message_tree_id": "1", "deleted": False} for row in flat],
        "ultrafeedback": [{"instruction": "i", "completions": answers}],
        "helpsteer": [{"prompt": "p", "response": str(i), "helpfulness": i} for i in range(2)],
        "argilla": [{**judged, "responses": {"which": [{"value": "response1", "user_id": "u"}]}}],
        "argilla1": [{**judged, "responses": [{"values": {"which": {"value": "response2"}}, "status": "submitted"}]}],
        "labelstudio": [{"data": {"prompt": "p", "answer1": "a", "answer2": "b"}, "annotations": [{"result": result}]}],
    }


def seeds() -> Iterator[tuple[str, bytes]]:
    """Whole files: every layout as JSONL and JSON, some as tables, tasks, plain text and packed."""
    for name, rows in layouts().items():
        many = [rows[i % len(rows)] for i in range(6 * len(rows))]
        body = "\n".join(json.dumps(row) for row in many).encode()
        yield f"{name}.jsonl", body
        yield f"{name}.json", json.dumps(many, indent=1).encode()
        yield f"{name}.jsonl.gz", gzip.compress(body, mtime=0)
        yield f"{name}.parquet", _parquet(many)
        if not any(isinstance(value, list | dict) for row in rows for value in row.values()):
            for ending, delimiter in (("csv", ","), ("tsv", "\t")):
                if ending == "tsv" and any("\n" in str(value) for row in rows for value in row.values()):
                    continue  # a line of it is a row
                table = io.StringIO()
                writer = csv.DictWriter(table, list(rows[0]), delimiter=delimiter, extrasaction="ignore")
                writer.writeheader()
                writer.writerows(many)
                yield f"{name}.{ending}", table.getvalue().encode()
    task = {"Definition": ["Add."], "Positive Examples": [{"input": "1", "output": "2"}]}
    yield "task1.json", json.dumps({**task, "Instances": [{"input": "3", "output": ["7"]}] * 4}).encode()
    examples = [{"input": "grass", "target_scores": {"red": 0, "green": 1}}, {"input": "snow", "target": ["white"]}]
    yield "task.json", json.dumps({"task_prefix": "What colour?", "examples": examples * 3}).encode()
    yield "lines.txt", "One line\nanother\u2028still\n\nlast".encode()
    for path in sorted(REAL.rglob("*")) if REAL.is_dir() else ():
        if path.is_file() and path.suffix in (".json", ".jsonl", ".csv", ".tsv", ".txt") and path.name != "INDEX.md":
            yield path.name, path.read_bytes()[:20_000]  # cut in the middle of a row, most of them


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def mutated(body: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """One to six damages: bits, pieces taken out, doubled, put in from elsewhere, made very long or very deep."""
    data = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 500))
        match rng.randrange(9):
            case 0:
                if data:
                    data[at % len(data)] ^= 1 << rng.randrange(8)
            case 1:
                del data[at : at + length]
            case 2:
                data[at:at] = data[at : at + length] * rng.choice((1, 2, 50))
            case 3:
                data[at:at] = rng.choice(ODD) * rng.choice((1, 1, 3))
            case 4:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                data[at : at + length] = other[start : start + length]
            case 5:
                del data[at:]
            case 6:
                data[at:at] = rng.choice((b"[", b'{"a":', b'"', b"x", b"a,", b"\n\n")) * rng.choice((1000, 20_000))
            case 7:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 8:
                old, new = rng.choice(((b'"', b""), (b":", b","), (b"true", b"2"), (b"user", b"x"), (b"[", b"{")))
                data = bytearray(bytes(data).replace(old, new, rng.randint(1, 3)))
    return bytes(data)


def look(path: Path, kind: str, pairs: str) -> str:
    """Read a file as the program does, and say how it went. Raises AssertionError for rows that are not counted."""
    try:
        preview(path)
        reading = read(path, kind, pairs=pairs)
    except DataError as error:
        return "refused" if str(path) in str(error) else f"refused without naming the file: {error}"
    assert len(reading.records) + len(reading.rejected) == reading.total, "a row is not accounted for"
    assert (len(reading.records), len(reading.rejected)) == (reading.kept, reading.left_out)
    assert all(row.line > 0 and row.reason for row in reading.rejected), "a row was left out without line or reason"
    return "read" if not reading.rejected else "in part"


def fuzz(
    count: int, seed: int, reader: Callable[[Path, str, str], str] = look, longest: float = LONGEST
) -> tuple[Counter[str], list[str]]:
    """How many files went how, and what went wrong: crashes, rows not counted, and files that took too long."""
    whole = list(seeds())
    bodies = [body for _, body in whole]
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            name, body = whole[number % len(whole)]
            path = Path(folder) / name
            path.write_bytes(mutated(body, rng, bodies))
            kind, pairs = rng.choice((*["auto"] * 12, *KINDS)), rng.choice(("best and worst", "all"))
            faulthandler.dump_traceback_later(12 * longest, exit=True)  # what does not come back at all
            began = time.process_time()
            try:
                outcome = reader(path, kind, pairs)
                outcomes[outcome.partition(":")[0]] += 1
                if ":" in outcome:
                    faults.append(f"{seed} {number} {name} as {kind}: {outcome[:200]}")
            except Exception as error:  # any crash is what we look for
                faults.append(f"{seed} {number} {name} as {kind}: {type(error).__name__}: {str(error)[:200]}")
            took = time.process_time() - began
            if took > longest:
                faults.append(f"{seed} {number} {name} as {kind}: took {took:.1f} s")
            path.unlink()
    faulthandler.cancel_dump_traceback_later()
    return outcomes, faults


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--count", type=int, default=10_000)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    outcomes, faults = fuzz(given.count, given.seed)
    sys.stdout.write(f"{given.count:,} files: {dict(outcomes)}; {len(faults)} crashed or took over {LONGEST:.0f} s\n")
    sys.stdout.writelines(f"  {fault}\n" for fault in faults[:50])
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
