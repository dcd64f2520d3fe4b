"""What an answer can be rewarded for: the components of a reward list, each with settings of its own.

A component gives every answer a number; the reward is the sum of weight times number. No torch in this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from rlhf_engine.contract.errors import SpecError
from rlhf_engine.contract.fields import EntryKind, check, choose, param

GOOD_WORDS = (
    "amazing", "beautiful", "best", "brilliant", "charming", "cheerful", "clever", "delight", "delightful", "enjoy",
    "enjoyable", "excellent", "fantastic", "fine", "friendly", "fun", "glad", "good", "great", "happy", "helpful",
    "honest", "joy", "kind", "love", "lovely", "nice", "perfect", "pleasant", "superb", "sweet", "warm", "wonderful",
)  # fmt: skip
BAD_WORDS = (
    "angry", "annoying", "awful", "bad", "boring", "broken", "cruel", "dreadful", "dull", "fail", "failure", "fear",
    "hate", "horrible", "hurt", "nasty", "pain", "poor", "rude", "sad", "scary", "sick", "stupid", "terrible", "ugly",
    "unhappy", "upset", "useless", "waste", "weak", "worse", "worst", "wrong",
)  # fmt: skip


def _weight() -> Any:
    text = "The component's number is multiplied by it; below zero it is a penalty."
    return param(1.0, "Weight", text, between=(-1000.0, 1000.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReward:
    """The score of a reward model, of this base or another."""

    kind: str = field(default="model")
    model: str = choose("reward_model", "Reward model", "The result of a reward run.")
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleReward:
    """One score from several reward models, cautious where they disagree.

    Source: Coste et al. 2023, "Reward Model Ensembles Help Mitigate Overoptimization", arXiv:2310.02743.
    """

    kind: str = field(default="ensemble")
    models: tuple[str, ...] = choose("reward_model", "Reward models", "Two or more results of reward runs.")
    how: str = param(
        "mean",
        "Combined by",
        "The mean, the lowest score, or the mean minus some standard deviations (lower).",
        choices=("mean", "min", "lower"),
    )
    deviations: float = param(1.0, "Deviations", "How many are subtracted for lower.", between=(0.0, 10.0))
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)
        if len(set(self.models)) < 2:
            raise SpecError("models", f"An ensemble needs two different reward models or more, not {len(self.models)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthReward:
    """How close an answer's length is to what is wanted: between 0 and 1."""

    kind: str = field(default="length")
    target: int = param(
        50, "Length", "The length that is wanted, or the scale of longer and shorter.", between=(1, 100_000)
    )
    unit: str = param("tokens", "Counted in", "What is counted.", choices=("tokens", "words", "characters"))
    wanted: str = param(
        "near",
        "Wanted",
        "near: 1 at that length and falling to 0 at none or twice as much. longer: rises to 1 there. shorter: 1 at "
        "nothing, 0 there.",
        choices=("near", "longer", "shorter"),
    )
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatReward:
    """1 where an answer has the form that a regular expression describes, else 0."""

    kind: str = field(default="format")
    pattern: str = param("", "Pattern", "A regular expression, such as ^\\w.*[.!?]$ for one that ends as a sentence.")
    whole: bool = param(False, "Whole answer", "The pattern must fit all of the answer, not only a part of it.")
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise SpecError("pattern", f"The pattern {self.pattern!r} is no regular expression: {error}.") from error
        if not self.pattern:
            raise SpecError("pattern", "The format has no pattern.", "Write a regular expression, such as ^Yes|^No.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionReward:
    """Minus the share of n-grams that an answer has said before: between -1 and 0."""

    kind: str = field(default="repetition")
    n: int = param(3, "Tokens in a row", "How long a passage must be to count as said before.", between=(1, 20))
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerReward:
    """1 where the final answer is the demonstration's, else 0. The prompts must come with demonstrations.

    Source: Cobbe et al. 2021, "Training Verifiers to Solve Math Word Problems" (GSM8K), for the #### mark.
    """

    kind: str = field(default="answer")
    mark: str = param(
        "####", "Final answer after", "What comes after the last of these is compared; empty compares whole answers."
    )
    numbers: bool = param(True, "As numbers", "1,000 and 1000.0 are the same. Otherwise case and spaces are ignored.")
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordsReward:
    """Good words minus bad words, over both: between -1 and 1, and 0 where there are none."""

    kind: str = field(default="words")
    good: tuple[str, ...] = param(GOOD_WORDS, "Good words", "One a line; whole words, in any case.")
    bad: tuple[str, ...] = param(BAD_WORDS, "Bad words", "One a line; whole words, in any case.")
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)
        if not any(word.strip() for word in (*self.good, *self.bad)):
            raise SpecError("good", "There is no word to look for.", "Write at least one good or bad word.")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonReward:
    """A function of your own. You are asked once before its file is run, and again when it has changed.

    It is called as `function(prompt, answer, reference)`, three texts (reference is None where the prompt came without
    a demonstration), and returns a number.
    """

    kind: str = field(default="python")
    file: str = choose("code", "File", "A Python file. It is run in the training process, with your rights.")
    function: str = param("reward", "Function", "The name of the function in it.")
    weight: float = _weight()

    def __post_init__(self) -> None:
        check(self)
        if not self.function.isidentifier():
            raise SpecError("function", f"{self.function!r} is not the name of a Python function.")


Component = (
    ModelReward
    | EnsembleReward
    | LengthReward
    | FormatReward
    | RepetitionReward
    | AnswerReward
    | WordsReward
    | PythonReward
)
COMPONENTS = (
    EntryKind("model", "Reward model", "The score of a trained reward model.", ModelReward),
    EntryKind("ensemble", "Ensemble", "Several reward models as one cautious score.", EnsembleReward),
    EntryKind("length", "Length", "Near a length, longer, or shorter.", LengthReward),
    EntryKind("format", "Format", "A regular expression that the answer must fit.", FormatReward),
    EntryKind("repetition", "Repetition", "A penalty for saying the same again.", RepetitionReward),
    EntryKind("answer", "Exact answer", "The final answer must be the demonstration's, as in GSM8K.", AnswerReward),
    EntryKind("words", "Word list", "Good words minus bad words.", WordsReward),
    EntryKind("python", "Python function", "A function from a file of yours.", PythonReward),
)
