"""Examples of different lengths laid end to end in rows, so that little is computed on padding.

Nothing is learned differently: no example is cut, each counts its positions from 0, and `Backbone.hidden`, given the
`segments`, lets none attend to its neighbours.
Source: Krell et al. 2021, "Efficient Sequence Packing without Cross-contamination", arXiv:2107.02027.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Laid(NamedTuple):
    """Rows of one or more examples. `segments` holds the number of the example, from 1, and 0 on padding."""

    ids: Tensor  # (R, W) int64
    segments: Tensor  # (R, W) int64

    @property
    def real(self) -> Tensor:
        """(R, W) bool, True on what is not padding."""
        return self.segments > 0


def share_rows(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Which examples, by index, share a row of up to `width` tokens. Always the same answer.

    As few rows as first-fit decreasing needs (at most 11/9 of the fewest possible, plus one), and then those as narrow
    as they can be without a further row, so that all are nearly full.

    Raises:
        ValueError: an example is longer than a row.
    """
    if not lengths:
        return []
    if max(lengths) > width:
        raise ValueError(f"an example of {max(lengths)} tokens does not fit a row of {width}")
    best = _first_fit(lengths, width)
    low, high = max(max(lengths), -(-sum(lengths) // len(best))), width
    while low < high:
        middle = (low + high) // 2
        rows = _first_fit(lengths, middle)
        if len(rows) <= len(best):
            best, high = rows, middle
        else:
            low = middle + 1
    return best


def _first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """The longest first, of equals the earlier one, each into the first row that has room for it."""
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        row = next((r for r, left in enumerate(room) if left >= lengths[index]), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(width)
        rows[row].append(index)
        room[row] -= lengths[index]
    return rows


def lay(rows: Sequence[Sequence[int]], examples: Sequence[Sequence[int]], pad: int) -> Laid:
    """The examples that `rows` name, laid end to end; each row is filled up with `pad` to the longest.

    The example of index i is segment i + 1, whatever row it is in.
    """
    wide = max(sum(len(examples[i]) for i in row) for row in rows)
    ids = torch.full((len(rows), wide), pad, dtype=torch.int64)
    segments = torch.zeros((len(rows), wide), dtype=torch.int64)
    for r, row in enumerate(rows):
        start = 0
        for i in row:
            end = start + len(examples[i])
            ids[r, start:end] = torch.tensor(examples[i], dtype=torch.int64)
            segments[r, start:end] = i + 1
            start = end
    return Laid(ids, segments)
