"""The reward of a run: a weighted sum of components, each of which is told by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.contract.rewards import (
    AnswerReward,
    Component,
    EnsembleReward,
    FormatReward,
    LengthReward,
    ModelReward,
    PythonReward,
    RepetitionReward,
    WordsReward,
)
from rlhf_engine.data.chat import answer_text
from rlhf_engine.data.questions import Question
from rlhf_engine.data.records import text_of
from rlhf_engine.models.heads import aggregate
from rlhf_engine.models.sampling import Answer
from rlhf_engine.rewards.code import load_function
from rlhf_engine.rewards.judges import Bench, Judge
from rlhf_engine.rewards.rules import (
    format_reward,
    length_of,
    length_reward,
    repeated_share,
    same_answer,
    word_balance,
)

REWARD, GOLD = "reward", "gold"


@dataclass(frozen=True, slots=True)
class Written:
    """An answer as rules see it: its tokens without the end token, and its text."""

    asked: Question
    tokens: list[int]
    text: str


Rule = Callable[[Written], float]
Score = Callable[[list[Question], list[Answer]], Tensor]
AtOnce = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Part:
    """One component: the name under which it is plotted, its weight, and what gives the numbers, (B,)."""

    name: str
    weight: float
    score: Score


@dataclass(frozen=True, slots=True)
class Scores:
    """`total` (B,) is the weighted sum; `parts` are the components' own numbers, (B,) each, before their weight."""

    total: Tensor
    parts: dict[str, Tensor]


class Rewards:
    """What a run rewards, opened: judges in memory, rules and functions ready.

    `main` is the reward model of the spec, None where there is none; `gold` is only watched.
    """

    def __init__(self, spec: RolloutFields, bench: Bench, tokenizer: object, at_once: AtOnce = min) -> None:
        """`at_once` says how many of so many answers to score at a time, where the spec asks for so many."""
        self._tokenizer, self._device = tokenizer, bench.device
        self._rows, self._at_once = spec.micro_batch_size, at_once
        self.bench = bench
        self.main: Judge | None = bench.judge(spec.reward_model, REWARD) if spec.reward_model else None
        self.parts: list[Part] = []
        if self.main:
            self.parts.append(Part("model", 1.0, self._by(self.main)))
        for component in spec.rewards:
            self.parts.append(Part(self._name(component.kind), component.weight, self._scorer(component)))
        self.gold: Judge | None = bench.judge(spec.gold_model, GOLD) if spec.gold_model else None

    def __call__(self, asked: list[Question], answers: list[Answer]) -> Scores:
        """Every component's number for each answer, and their weighted sum."""
        parts = {part.name: part.score(asked, answers) for part in self.parts}
        total = sum(part.weight * parts[part.name] for part in self.parts)
        assert isinstance(total, Tensor)
        return Scores(total, parts)

    def gold_scores(self, asked: list[Question], answers: list[Answer]) -> Tensor | None:
        return self._by(self.gold)(asked, answers) if self.gold else None

    def describe(self) -> str:
        """The components with their weights, in a line."""
        return " + ".join(f"{part.weight:g} * {part.name}" for part in self.parts)

    def _name(self, kind: str) -> str:
        """`length`, and `length_2` for the second one."""
        taken = sum(part.name.partition("_")[0] == kind for part in self.parts)
        return f"{kind}_{taken + 1}" if taken else kind

    def _by(self, judge: Judge) -> Score:
        return lambda asked, answers: judge(asked, answers, self._at_once(self._rows, len(answers)))

    def _scorer(self, component: Component) -> Score:
        match component:
            case ModelReward(model=ref):
                return self._by(self.bench.judge(ref, self._role()))
            case EnsembleReward(models=refs, how=how, deviations=deviations):
                judges = [self.bench.judge(ref, self._role(i)) for i, ref in enumerate(refs)]
                return lambda asked, answers: aggregate(
                    torch.stack([self._by(judge)(asked, answers) for judge in judges]), how, deviations
                )
            case _:
                return self._by_rule(rule_of(component))

    def _role(self, more: int = 0) -> str:
        return f"{REWARD}{len(self.parts)}{f'n{more}' if more else ''}"

    def _by_rule(self, rule: Rule) -> Score:
        def score(asked: list[Question], answers: list[Answer]) -> Tensor:
            written = [
                Written(
                    question,
                    answer.tokens[:-1] if answer.finish == "eos" else answer.tokens,
                    answer_text(self._tokenizer, answer.tokens),
                )
                for question, answer in zip(asked, answers, strict=True)
            ]
            return torch.tensor([rule(one) for one in written], device=self._device)

        return score


def rule_of(component: Component) -> Rule:
    """A component that needs no model, as a function of one answer.

    Raises:
        SpecError: a Python file that was not agreed to, or that has no such function.
    """
    match component:
        case LengthReward(target=target, unit=unit, wanted=wanted):
            return lambda w: length_reward(length_of(w.text, len(w.tokens), unit), target, wanted)
        case FormatReward(pattern=pattern, whole=whole):
            return lambda w: format_reward(w.text, pattern, whole)
        case RepetitionReward(n=n):
            return lambda w: -repeated_share(w.tokens, n)
        case AnswerReward(mark=mark, numbers=numbers):
            return lambda w: same_answer(w.text, w.asked.reference or "", mark, numbers)
        case WordsReward(good=good, bad=bad):
            liked, disliked = (frozenset(word.strip().casefold() for word in words) for words in (good, bad))
            return lambda w: word_balance(w.text, liked, disliked)
        case PythonReward(file=file, function=name):
            function = load_function(file, name)
            return lambda w: function(text_of(w.asked.prompt), w.text, w.asked.reference)
        case _:
            raise TypeError(f"{type(component).__name__} is no rule")
