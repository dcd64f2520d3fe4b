"""Texts that are nearly the same: the share of shingles they have in common, found without comparing all with all.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", chapter 3 (MinHash and banding).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SHINGLE = 4  # characters
READ = 4000  # characters of a text that are looked at
ALIKE = 0.8  # share of common shingles from which two texts are near-duplicates
_PRIME = np.uint64(2**31 - 1)
_ROWS, _BANDS = 4, 16  # texts of likeness 0.8 share a band with probability 1 - (1 - 0.8^4)^16 = 0.9998


def shingles(text: str) -> frozenset[int]:
    """Hashes of all runs of SHINGLE characters, whatever case and spacing, in the first READ; a shorter text is one."""
    told = " ".join(text[:READ].casefold().split())
    last = max(1, len(told) - SHINGLE + 1)
    return frozenset(zlib.crc32(told[i : i + SHINGLE].encode("utf-8", "replace")) for i in range(last))


def likeness(a: frozenset[int], b: frozenset[int]) -> float:
    """The share of all shingles that both have (Jaccard); 1 for two without any."""
    return len(a & b) / len(a | b) if a or b else 1.0


def signatures(sets: Sequence[frozenset[int]]) -> NDArray[np.uint64]:
    """MinHash signatures: two agree in a place with the probability of their likeness. (N, BANDS * ROWS)."""
    rng = np.random.default_rng(20240817)  # always the same functions, so that the same texts give the same order
    count = _BANDS * _ROWS
    factor = rng.integers(1, int(_PRIME), (count, 1), dtype=np.uint64)
    shift = rng.integers(0, int(_PRIME), (count, 1), dtype=np.uint64)
    found = np.zeros((len(sets), count), dtype=np.uint64)
    for row, of_text in enumerate(sets):
        values = np.fromiter(of_text, np.uint64, len(of_text)) % _PRIME
        found[row] = ((factor * values + shift) % _PRIME).min(1)
    return found


def near_duplicates(texts: Sequence[str], alike: float = ALIKE) -> dict[int, int]:
    """For each text that is nearly the same as an earlier one: the place of that one, itself no duplicate."""
    sets = [shingles(text) for text in texts]
    marks = signatures(sets)
    buckets: dict[tuple[int, bytes], list[int]] = {}
    found: dict[int, int] = {}
    for row in range(len(texts)):
        keys = [(band, marks[row, band * _ROWS : (band + 1) * _ROWS].tobytes()) for band in range(_BANDS)]
        others = sorted({other for key in keys for other in buckets.get(key, ())})
        first = next((other for other in others if likeness(sets[row], sets[other]) >= alike), None)
        if first is not None:
            found[row] = first
            continue
        for key in keys:
            buckets.setdefault(key, []).append(row)
    return found


def least_alike(texts: Sequence[str]) -> tuple[int, int]:
    """The places of the two texts that have the least in common; the earliest of several. Not for fewer than two."""
    sets = [shingles(text) for text in texts]
    places = [(i, j) for i in range(len(texts)) for j in range(i + 1, len(texts))]
    return min(places, key=lambda two: likeness(sets[two[0]], sets[two[1]]))
