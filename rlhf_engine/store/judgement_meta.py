"""What is known of a judgement beside its verdict: the keys of the column `meta` of comparisons and ratings, as JSON.

All keys may be missing, and a key that is not listed here is kept as it is. Of people's and of models' judgements:

    session: the name of the sitting, or the run of a model, in which it was given
    layout: how the answers were shown: "side", "stacked", "conversation", "ranking", "rating"
    ranking: shared by the judgements that one ranking of several answers made; they are undone together
    both_bad: true where neither answer is good, although one is better
    repeat_of: id of the judgement that this one repeats, unknown to the annotator; it is counted, but never stands
    adjudicates: true where it decides between annotators who disagree; it then counts instead of theirs
    attributes: what was said beside the overall choice: {"helpful": "a", "honest": "tie"}; what is unsaid is left out.
        Of a rating, which has one answer, how much it has of each: "yes", "partly" or "no"

Of ratings alone (a comparison has columns for the last two):

    score: 1 to 5, where the answer was given one
    seconds: how long it took
    comment: what was noted

Of models' judgements alone:

    model: the judge, as a model's reference
    template: the name of the template in which it was asked
    principle: the sentence by which it judged
    probability: how sure it was that answer A is better, 0 to 1, averaged over the orders it was asked in
    orders: what it said in each order: {"ab": 0.8, "ba": 0.7}, each the probability that answer A is better
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rlhf_engine.contract.errors import DataError

_TYPES: dict[str, tuple[type, ...]] = {
    "session": (str,),
    "layout": (str,),
    "ranking": (str,),
    "both_bad": (bool,),
    "repeat_of": (str,),
    "adjudicates": (bool,),
    "attributes": (dict,),
    "model": (str,),
    "template": (str,),
    "principle": (str,),
    "probability": (int, float),
    "orders": (dict,),
    "score": (int,),
    "seconds": (int, float),
    "comment": (str,),
}
OF_TWO, OF_ONE = ("a", "b", "tie"), ("yes", "partly", "no")  # what can be said of an attribute
_MOST = 100_000  # characters of JSON


def pack_meta(meta: Mapping[str, Any] | None, words: tuple[str, ...] = OF_TWO) -> str:
    """The column for these keys, "" for none; keys that say nothing (None, "", {}, false) are left out.

    `words` are what can be said of an attribute: OF_TWO answers, or OF_ONE.

    Raises:
        DataError: a key of the wrong type, or values that are not JSON.
    """
    told = {key: value for key, value in (meta or {}).items() if value not in (None, "", {}) and value is not False}
    for key, value in told.items():
        if key in _TYPES and not isinstance(value, _TYPES[key]):
            raise DataError(f"{key!r} of a judgement cannot be {value!r}.")
    for name, said in told.get("attributes", {}).items():
        if not isinstance(name, str) or said not in words:
            raise DataError(f"The attribute {name!r} of a judgement is {said!r}, not one of {', '.join(words)}.")
    if not told:
        return ""
    try:
        text = json.dumps(told, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
        text.encode("utf-8")
    except (TypeError, ValueError) as error:
        raise DataError(f"What is known of a judgement must be told in JSON values: {error}.") from error
    if len(text) > _MOST:
        raise DataError(f"What is known of a judgement is {len(text):,} characters long; at most {_MOST:,} are kept.")
    return text


def unpack_meta(text: str | None) -> dict[str, Any]:
    """The keys of a judgement's column; none for what is no JSON object, so that a rotten row can still be shown."""
    try:
        told = json.loads(text) if text else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
