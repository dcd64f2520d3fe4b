"""JSON as the standard says, where Python's own reader lets more pass."""

from __future__ import annotations

import json
import math
from typing import Any


class StrictJson:
    """JSON without what the standard library lets pass: NaN, infinities, and two values under one name."""

    def __init__(self) -> None:
        self.flaws: list[str] = []
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_constant=self._constant,
            parse_float=self._float,
            parse_int=self._int,
        )

    def value(self, text: str, start: int = 0) -> tuple[Any, int]:
        """The value that begins at `start` and where it ends; `flaws` then holds what is wrong with it."""
        self.flaws = []
        value, end = self._decoder.raw_decode(text, start)
        return value, end

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        body = dict(pairs)
        if len(body) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            self.flaws.append(f"names {twice[:40]!r} twice")
        return body

    def _constant(self, word: str) -> None:
        self.flaws.append(f"contains {word}, which is not JSON")

    def _float(self, digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            self.flaws.append(f"contains the number {digits[:20]}, which is too large")
        return number

    def _int(self, digits: str) -> int:
        if len(digits) > 1000:
            self.flaws.append(f"contains a number of {len(digits)} digits")
            return 0
        return int(digits)
