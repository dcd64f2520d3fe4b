"""Where the real tokens of a batch lie when they are laid end to end, and which of them are asked for.

Sequences that begin alike, such as the answers to one prompt, share their beginning: it is computed once.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

WORTH = 8  # tokens that a beginning must have to be shared


class Piece(NamedTuple):
    """Tokens in a row that see one another from left to right, and before them a beginning they share with others.

    Where only some tokens ask, they are the last `asking` of the piece, and lie from `asks_at` among all that do.
    """

    start: int
    length: int
    shared_start: int = 0
    shared_length: int = 0
    asks_at: int | None = None
    asking: int = 0

    @property
    def own(self) -> slice:
        return slice(self.start, self.start + self.length)

    @property
    def shared(self) -> slice:
        return slice(self.shared_start, self.shared_start + self.shared_length)

    @property
    def queries(self) -> slice:
        return self.own if self.asks_at is None else slice(self.asks_at, self.asks_at + self.asking)


class Asked(NamedTuple):
    """What the last block has to say something of: M of the N tokens."""

    tokens: Tensor  # (M,) which
    pieces: list[Piece]  # those in which any is
    rows: Tensor  # (W,) places in the flattened rectangle of the states that were asked for
    source: Tensor  # (W,) which of the M stands there


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sequences of a rectangle lie when they are laid end to end.

    Sequences that begin alike, such as the answers to one prompt, may share their beginning: it is then laid once.
    """

    shape: tuple[int, int]
    rows: Tensor  # (R,) places of the real tokens in the flattened rectangle
    chosen: Tensor  # (N,) those of them that are computed, in the order in which they lie
    source: Tensor  # (R,) which of the N stands for each real token
    positions: Tensor  # (N,) counted from 0 in each sequence
    pieces: list[Piece]  # a shared beginning comes before what shares it
    asked: Asked | None = None  # None: all

    @classmethod
    def of(cls, segments: Tensor, ids: Tensor | None = None, wanted: Tensor | None = None) -> Layout:
        """From the number of the sequence at each place, 0 for padding. Neighbours of equal number are one. (B, T).

        Given the tokens, (B, T) as well, sequences share their beginnings. `wanted` (B, T) marks the places whose last
        states are asked for.
        """
        layout = cls._all(segments, ids)
        return layout if wanted is None else replace(layout, asked=layout._asked(wanted))

    @classmethod
    def _all(cls, segments: Tensor, ids: Tensor | None) -> Layout:
        rows = segments.flatten().nonzero().squeeze(1)
        # A sequence never runs over the end of its row: two of the same number in two rows are two.
        number = segments.flatten()[rows] + (rows // segments.shape[1]) * (int(segments.max()) + 1)
        _, member, counts = number.unique_consecutive(return_inverse=True, return_counts=True)
        begins = counts.cumsum(0) - counts
        index = torch.arange(len(rows), device=rows.device)
        positions = index - begins[member]
        lengths: list[int] = counts.tolist()
        starts: list[int] = begins.tolist()
        groups = [] if ids is None else alike(_texts(ids.flatten()[rows], lengths))
        if not groups:
            pieces = [Piece(*piece) for piece in zip(starts, lengths, strict=True)]
            return cls((*segments.shape,), rows, index, index, positions, pieces)
        alone = set(range(len(lengths))) - {i for group, _ in groups for i in group}
        chosen, source, pieces, end = [], torch.empty_like(index), [], 0
        for group, shared in [*groups, *(([i], 0) for i in sorted(alone))]:
            first = end
            if shared:
                pieces.append(Piece(first, shared))
                chosen.append(index[starts[group[0]] : starts[group[0]] + shared])
                end += shared
            for i in group:
                own = slice(starts[i] + shared, starts[i] + lengths[i])
                length = lengths[i] - shared
                pieces.append(Piece(end, length, first, shared))
                chosen.append(index[own])
                source[own] = torch.arange(end, end + length)
                source[starts[i] : own.start] = torch.arange(first, first + shared)
                end += length
        order = torch.cat(chosen)
        return cls((*segments.shape,), rows, order, source, positions[order], pieces)

    @property
    def places(self) -> Tensor:
        """Of the N tokens in the flattened rectangle."""
        return self.rows[self.chosen]

    @property
    def longest(self) -> int:
        return max(piece.length for piece in self.pieces)

    def filled(self, step: int) -> Layout:
        """The same with a sequence at the end that nobody asks for, so that N, and M of `asked`, are multiples of
        `step`: of batches of all sizes, few then differ in shape."""
        count = len(self.chosen)
        more = -count % step
        asks = 0 if self.asked is None else -len(self.asked.tokens) % step
        fill = max(more, more + step if asks > more else 0)
        if not fill:
            return self
        filler = Piece(count, fill)
        asked = self.asked
        if asked is not None and asks:
            tokens = torch.arange(count + fill - asks, count + fill, device=asked.tokens.device)
            piece = filler._replace(asks_at=len(asked.tokens), asking=asks)
            asked = asked._replace(tokens=torch.cat([asked.tokens, tokens]), pieces=[*asked.pieces, piece])
        none = self.chosen.new_zeros(fill)  # any token in any position will do
        chosen, positions = torch.cat([self.chosen, none]), torch.cat([self.positions, none])
        return replace(self, chosen=chosen, positions=positions, pieces=[*self.pieces, filler], asked=asked)

    def _asked(self, wanted: Tensor) -> Asked | None:
        """Of each piece its tokens from the first that is wanted on."""
        of_real = wanted.flatten()[self.rows]
        rows, source = self.rows[of_real], self.source[of_real]
        needed = torch.zeros(len(self.chosen), dtype=torch.bool)
        needed[source.cpu()] = True
        flags, pieces, ranges, end = needed.tolist(), [], [], 0
        for piece in self.pieces:
            stop = piece.start + piece.length
            first = next((i for i in range(piece.start, stop) if flags[i]), stop)
            if first < stop:
                pieces.append(piece._replace(asks_at=end, asking=stop - first))
                ranges.append(torch.arange(first, stop))
                end += stop - first
        if end == len(self.chosen) or not ranges:
            return None
        tokens = torch.cat(ranges)
        place = torch.zeros(len(self.chosen), dtype=torch.int64)
        place[tokens] = torch.arange(end)
        return Asked(tokens.to(rows.device), pieces, rows, place.to(rows.device)[source])

    def spread(self, states: Tensor) -> Tensor:
        """(N, H) or, of those that were asked for, (M, H) -> (B, T, H), zero on padding and where none is asked for."""
        height, width = self.shape
        if self.asked is not None and len(states) == len(self.asked.tokens):
            rows, real = self.asked.rows, states[self.asked.source]
        else:
            rows, real = self.rows, states[self.source]
        if len(rows) == height * width:
            return real.view(height, width, -1)
        return real.new_zeros(height * width, real.shape[-1]).index_copy(0, rows, real).view(*self.shape, -1)


def alike(texts: list[list[int]]) -> list[tuple[list[int], int]]:
    """Groups of sequences that begin alike, by index, with the number of tokens that all of a group share.

    At least `WORTH` tokens, and never a whole sequence. No sequence is in two groups, and none joins a group that would
    lose half of what it shares by that. Always the same answer.
    """
    order = sorted(range(len(texts)), key=texts.__getitem__)
    groups: list[tuple[list[int], int]] = []
    for before, this in itertools.pairwise(order):
        both = _begin_alike(texts[before], texts[this])
        members, shared = groups[-1] if groups and groups[-1][0][-1] == before else ([], 0)
        if members and min(both, shared) >= max(WORTH, shared // 2):
            groups[-1] = ([*members, this], min(both, shared))
        elif not members and both >= WORTH:
            groups.append(([before, this], both))
    return groups


def _begin_alike(a: list[int], b: list[int]) -> int:
    most = min(len(a), len(b)) - 1
    return next((i for i in range(most) if a[i] != b[i]), max(0, most))


def _texts(ids: Tensor, lengths: list[int]) -> list[list[int]]:
    return [part.tolist() for part in ids.split(lengths)]
