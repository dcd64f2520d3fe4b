"""How long the records of a dataset are in tokens, from a sample of its rows: for a forecast, in milliseconds.

No torch and no transformers here: the window asks. A chat template's own tokens are guessed, not counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

TEMPLATE = 8  # tokens that a template or a separator puts around a prompt and an answer, about
ROWS, COUNTED = 8192, 48  # rows that are looked at, and the longest of them whose tokens are counted
_ANSWERS = {"prompts": (), "demonstrations": ("completion",), "comparisons": ("chosen", "rejected")}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens, with what a template adds: of the longest prompt and of the longest prompt with an answer, and of both on
    average."""

    prompt: int
    example: int
    mean_prompt: float
    mean: float

    def within(self, most: int) -> Lengths:
        """Longer ones are left out of a run."""
        means = (min(self.mean_prompt, float(most)), min(self.mean, float(most)))
        return Lengths(min(self.prompt, most), min(self.example, most), *means)


def lengths_of(dataset: Path, kind: str, tokenizer: Path) -> Lengths | None:
    """Of the dataset in a folder, as a tokenizer.json sees it; None where one of the two cannot be read."""
    records = dataset / "records.parquet"
    try:
        stamps = records.stat().st_mtime_ns, tokenizer.stat().st_mtime_ns
    except OSError:
        return None
    return _lengths(records, kind, tokenizer, stamps)


@lru_cache(maxsize=64)
def _lengths(records: Path, kind: str, tokenizer: Path, _stamps: tuple[int, int]) -> Lengths | None:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowInvalid
    from tokenizers import Tokenizer

    names = _ANSWERS.get(kind, ("completion",))
    try:
        with parquet.ParquetFile(records) as file:
            rows: list[dict[str, Any]] = []
            for group in _spread(file.num_row_groups):
                if len(rows) < ROWS:
                    rows += file.read_row_group(group, columns=["prompt", *names]).to_pylist()
    except (OSError, ArrowInvalid):
        return None
    try:
        counts = Tokenizer.from_file(str(tokenizer))
    except Exception:  # tokenizers raises plain Exception for a file it cannot read
        return None
    if not rows:
        return None

    def tokens(texts: Sequence[str]) -> list[int]:
        return [len(found.ids) + TEMPLATE for found in counts.encode_batch(list(texts), add_special_tokens=False)]

    prompts = sorted((str(row["prompt"]) for row in rows), key=len)
    whole = sorted((f"{row['prompt']} {row[name]}" for row in rows for name in names), key=len) or prompts

    def typical(texts: Sequence[str]) -> float:
        counted = tokens(texts[:: max(1, len(texts) // COUNTED)])
        return sum(counted) / len(counted)

    longest = max(tokens(prompts[-COUNTED:])), max(tokens(whole[-COUNTED:]))
    return Lengths(*longest, typical(prompts), typical(whole))


def _spread(groups: int) -> list[int]:
    """The first, the last and the middle one before the others: neighbours are alike in many files."""
    first = list(dict.fromkeys(n for n in (0, groups - 1, groups // 2) if 0 <= n < groups))
    return first + [n for n in range(groups) if n not in first]
