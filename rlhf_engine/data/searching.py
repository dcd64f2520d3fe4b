"""Which rows of a dataset's Parquet file hold some words, and in which order: column by column, batch by batch.

pyarrow does it without Python's lock, so that a window stays live meanwhile, and nothing is kept but numbers of rows; a
sorted column is kept by the beginnings of its texts. pyarrow and numpy are imported where they are used: the window
reads `datasets`, which needs this file, when it opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlhf_engine.contract.errors import DataError

_BATCH = 16_384  # rows
_COMPARED = 64  # characters by which texts are sorted


def find(file: Path, searched: Sequence[str], text: str, sort: str = "", descending: bool = False) -> Sequence[int]:
    """Numbers of the rows, from 0, in which each word of `text` is somewhere in the columns `searched`.

    In the order of the file, or by the column `sort`, equal ones in the order of the file. Case does not matter.

    Raises:
        DataError: the file cannot be read.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as parquet

    words = text.split()
    numbers: list[Any] = []
    keys: list[Any] = []
    columns = [*(searched if words else ()), *([sort] if sort and sort not in (searched if words else ()) else [])]
    at = 0
    try:
        with parquet.ParquetFile(file) as rows:
            if not columns:
                return range(rows.metadata.num_rows)
            for batch in rows.iter_batches(_BATCH, columns=columns):
                held = _held(batch, searched, words)
                here = np.arange(at, at + batch.num_rows, dtype=np.int64)
                numbers.append(here if held is None else here[held])
                if sort:
                    key = _key(batch.column(sort))
                    keys.append(key if held is None else key.filter(pa.array(held)))
                at += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file} cannot be searched: {str(error).splitlines()[0]}") from error
    places: Any = np.concatenate(numbers) if numbers else np.empty(0, np.int64)
    if sort and len(places):
        places = places[_order(pa.chunked_array(keys), descending)]
    found: Sequence[int] = places  # an array is as good as one
    return found


def _held(batch: Any, searched: Sequence[str], words: Sequence[str]) -> Any:
    """Which rows of a batch hold all words; None where there are none to hold."""
    import numpy as np
    import pyarrow.compute as compute

    held: Any = None
    for word in words:
        here = np.zeros(batch.num_rows, bool)
        for name in searched:
            matches = compute.match_substring(batch.column(name), word, ignore_case=True)
            here |= matches.fill_null(False).to_numpy(zero_copy_only=False)
        held = here if held is None else held & here
    return held


def _key(column: Any) -> Any:
    """What a column is sorted by: of texts their beginning, without case."""
    import pyarrow as pa
    import pyarrow.compute as compute

    if pa.types.is_string(column.type):
        return compute.utf8_lower(compute.utf8_slice_codeunits(column, 0, _COMPARED))
    return column.cast(pa.int8())


def _order(key: Any, descending: bool) -> Any:
    """Places in the order of the key; equal ones stay as they are, also in descending order."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as compute

    table = pa.table({"key": key, "at": np.arange(len(key))})
    way = "descending" if descending else "ascending"
    return compute.sort_indices(table, [("key", way), ("at", "ascending")]).to_numpy()
