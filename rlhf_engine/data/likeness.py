"""Which of many texts nearly say the same: MinHash signatures of their words, and buckets in which like ones meet.

The few lines of numpy that this takes are our own: the well-kept library for it (datasketch) brings scipy and keeps a
Python object per text, which for a million texts is more memory than the texts. 32 hashes a text are 128 MB per
million. What meets in a bucket is compared word by word, so that nothing is called alike that is not.

Source: Broder 1997, "On the resemblance and containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", section 3.4 (banding).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator

import numpy as np

ALIKE = 0.8  # share of common shingles (Jaccard) from which two texts are near duplicates
_BANDS, _ROWS = 8, 4  # two texts that share 0.8 of their shingles meet with 98.5 %, with 0.9 in 99.98 %
_EVERY = 200  # pairs of texts between two calls of `told`
_MOST = 50  # texts of one bucket that are compared with its first
_WORD = re.compile(r"\w", re.UNICODE)
_RNG = np.random.default_rng(20_240_607)
_FACTORS = _RNG.integers(1, 2**63, _BANDS * _ROWS, dtype=np.uint64) | np.uint64(1)
_OFFSETS = _RNG.integers(0, 2**63, _BANDS * _ROWS, dtype=np.uint64)


def shingles(text: str) -> set[int]:
    """Hashes of three words in a row, without case and punctuation; of text without spaces, of five letters."""
    words = [word for part in text.casefold().split() if (word := "".join(_WORD.findall(part)))]
    if len(words) < 3:
        letters = "".join(words)
        return {zlib.crc32(letters[i : i + 5].encode()) for i in range(max(1, len(letters) - 4))}
    return {zlib.crc32(" ".join(words[i : i + 3]).encode()) for i in range(len(words) - 2)}


def jaccard(a: set[int], b: set[int]) -> float:
    """Shared shingles over all of both, 0 to 1."""
    return len(a & b) / len(a | b) if a or b else 1.0


class Signatures:
    """MinHash signatures of texts, numbered as they are added."""

    def __init__(self) -> None:
        self._parts: list[np.ndarray] = []
        self._some: list[np.ndarray] = []

    def add(self, text: str) -> None:
        hashes = np.fromiter(shingles(text), np.uint64)
        # multiply-shift: the upper half of a 64-bit product is a universal hash (Dietzfelbinger et al. 1997)
        spread = (hashes[:, None] * _FACTORS + _OFFSETS) >> np.uint64(32)
        self._some.append(spread.min(0).astype(np.uint32))
        if len(self._some) == 4096:
            self._parts.append(np.stack(self._some))
            self._some = []

    def candidates(self) -> Iterator[tuple[int, int]]:
        """(earlier, later) texts that met in a bucket; the same pair may come again."""
        if self._some:
            self._parts.append(np.stack(self._some))
            self._some = []
        if not self._parts:
            return
        whole = np.concatenate(self._parts)
        self._parts = [whole]
        for band in range(_BANDS):
            rows = whole[:, band * _ROWS : (band + 1) * _ROWS].astype(np.uint64)
            keys = (rows * _FACTORS[:_ROWS]).sum(1, dtype=np.uint64)
            order = np.argsort(keys, kind="stable")
            bounds = np.flatnonzero(np.diff(keys[order])) + 1
            starts, ends = np.concatenate([[0], bounds]), np.concatenate([bounds, [len(order)]])
            for start, end in zip(starts[ends - starts > 1], ends[ends - starts > 1], strict=True):
                first = int(order[start])
                for later in order[start + 1 : min(end, start + _MOST)]:
                    yield first, int(later)


def near_duplicates(
    signatures: Signatures, text_of: Callable[[int], str], told: Callable[[], None] = lambda: None
) -> dict[int, int]:
    """Texts that are alike to an earlier one, with the number of that one. `text_of` gives a text by its number.

    `told` is called now and then while texts are compared; it may raise to stop.
    """
    found: dict[int, int] = {}
    kept: dict[int, set[int]] = {}
    for number, (first, later) in enumerate(signatures.candidates()):
        if number % _EVERY == 0:
            told()
        if later in found:
            continue
        if first not in kept:
            if len(kept) > 1000:
                kept.clear()
            kept[first] = shingles(text_of(first))
        if jaccard(kept[first], shingles(text_of(later))) >= ALIKE:
            found[later] = first
    return found
