"""Where the answers being written sit: shelves of slots, each slot as wide as the longest text it may come to hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_NARROWEST = 128  # tokens: below that another shelf costs more than the width it saves


@dataclass(slots=True, eq=False)
class Shelf:
    """`slots` texts of at most `width` tokens each. Those in use are the first ones, without a gap."""

    slots: int
    width: int
    answers: list[int] = field(default_factory=list)  # by slot: whose text it is
    lengths: list[int] = field(default_factory=list)  # by slot: tokens that have been read
    last: list[int] = field(default_factory=list)  # by slot: the token to be read next

    @property
    def free(self) -> int:
        return self.slots - len(self.answers)

    def enter(self, answer: int, length: int) -> int:
        """Give a text the next slot, and say which."""
        self.answers.append(answer)
        self.lengths.append(length)
        self.last.append(-1)
        return len(self.answers) - 1

    def leave(self, gone: Sequence[int]) -> list[tuple[int, int, int]]:
        """Empty these slots. Returns the moves that close the gaps, in order: (from, to, tokens)."""
        moves = []
        for slot in sorted(gone, reverse=True):
            end = len(self.answers) - 1
            if slot != end:
                moves.append((end, slot, self.lengths[end]))
            for column in (self.answers, self.lengths, self.last):
                column[slot] = column[end]
                column.pop()
        return moves


def shelves(needs: Sequence[int], slots: int, tokens: int) -> list[Shelf]:
    """Room for texts that need so many tokens at most, for at most `slots` of them and about `tokens` tokens at once.

    A shelf for each doubling of the need, with its share of the slots: a long text does not widen the others. Narrow
    ones come first. Where the tokens do not suffice, there are fewer slots, but at least one that the longest fits in.
    """
    widths: dict[int, list[int]] = {}
    for need in needs:
        wide = max(_NARROWEST, 1 << (need - 1).bit_length())
        widths.setdefault(wide, []).append(need)
    rows = [(max(group), len(group)) for _, group in sorted(widths.items())]
    share = min(1.0, slots / max(1, len(needs)))
    wanted = sum(width * max(1.0, count * share) for width, count in rows)
    share *= min(1.0, tokens / wanted) if wanted else 1.0
    found = [Shelf(max(1, int(count * share)), width) for width, count in rows]
    while len(found) > 1 and (sum(s.slots for s in found) > slots or sum(s.slots * s.width for s in found) > tokens):
        found.pop(0)  # one slot for each is too many: the narrow ones go where the wide ones are
    for shelf in reversed(found):  # what rounding down left over
        while shelf.slots < sum(need <= shelf.width for need in needs) and (
            sum(s.slots for s in found) < min(slots, len(needs))
            and sum(s.slots * s.width for s in found) + shelf.width <= tokens
        ):
            shelf.slots += 1
    return found
