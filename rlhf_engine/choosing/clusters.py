"""Prompts that are about the same things: words weighted by how rare they are, and k-means on their directions."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

WIDTH = 512  # places that words are hashed into
ROUNDS, STARTS = 20, 4
MOST = 40  # clusters
READ = 4000  # characters of a prompt that are looked at
Vectors = NDArray[np.float32]


def vectors(texts: Sequence[str]) -> Vectors:
    """TF-IDF vectors of length 1, hashed into WIDTH places: (1 + ln count) * ln(1 + N / texts with the word). (N, W).

    A text without a word is the zero vector.

    Source: Salton and Buckley 1988, "Term-weighting approaches in automatic text retrieval"; Weinberger et al. 2009,
    "Feature hashing for large scale multitask learning".
    """
    counts = [Counter(re.findall(r"\w+", text[:READ].casefold())) for text in texts]
    spread = Counter(word for words in counts for word in words)
    found = np.zeros((len(texts), WIDTH), dtype=np.float32)
    for row, words in enumerate(counts):
        for word, count in words.items():
            place = zlib.crc32(word.encode("utf-8", "replace")) % WIDTH
            found[row, place] += (1 + math.log(count)) * math.log(1 + len(texts) / spread[word])
    length = np.linalg.norm(found, axis=1, keepdims=True)
    np.divide(found, length, out=found, where=length > 0)
    return found


def clusters(texts: Sequence[str], count: int = 0, seed: int = 0) -> list[int]:
    """The cluster of each text, numbered from 0. With no `count` there are about √(N/2), at most MOST.

    Spherical k-means, begun from texts far from each other.

    Source: Dhillon and Modha 2001, "Concept decompositions for large sparse text data"; Arthur and Vassilvitskii 2007,
    "k-means++" (the start).
    """
    if not texts:
        return []
    rows = vectors(texts)
    wanted = min(len(texts), count or max(1, min(MOST, round(math.sqrt(len(texts) / 2)))))
    rng = np.random.default_rng(seed)
    tries = [_settled(rows, _start(rows, wanted, rng)) for _ in range(STARTS)]
    found = max(tries, key=lambda one: one[1])[0]  # the first of equals
    numbered = {old: new for new, old in enumerate(dict.fromkeys(found))}
    return [numbered[k] for k in found]


def _settled(rows: Vectors, centres: Vectors) -> tuple[list[int], float]:
    """The nearest centre of each text once they move no more, and how near all texts are together."""
    found = np.zeros(len(rows), dtype=np.int64)
    for turn in range(ROUNDS):
        before, found = found, (rows @ centres.T).argmax(1)
        if turn and (before == found).all():
            break
        for k in range(len(centres)):
            middle = rows[found == k].sum(0)
            if length := float(np.linalg.norm(middle)):
                centres[k] = middle / length
    return found.tolist(), round(float((rows * centres[found]).sum()), 4)


def _start(rows: Vectors, wanted: int, rng: np.random.Generator) -> Vectors:
    """Texts drawn with the probability of their squared distance from those drawn already. (wanted or fewer, W)."""
    drawn = [int(rng.integers(len(rows)))]
    far = np.clip(1 - rows @ rows[drawn[0]], 0, None)
    while len(drawn) < wanted and far.max() > 1e-6:
        chance = far.astype(np.float64) ** 2
        drawn.append(int(rng.choice(len(rows), p=chance / chance.sum())))
        far = np.minimum(far, np.clip(1 - rows @ rows[drawn[-1]], 0, None))
    return rows[drawn].copy()
