"""Stories of runs to tell to views, and to write into projects."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from PySide6.QtCore import QObject, Signal

from rlhf_engine.contract.events import (
    Alert,
    CheckpointSaved,
    Envelope,
    Event,
    KnobChanged,
    Metrics,
    Produced,
    RunFinished,
    RunStarted,
    Sample,
    Stage,
)
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import spec_to_json, task_of
from rlhf_engine.tasks.ppo.spec import PPOSpec
from rlhf_engine.tasks.reward.spec import RewardSpec
from rlhf_engine.tasks.sft.spec import SFTSpec
from studio.session import Session

T0 = 1_700_000_000.0
PPO = PPOSpec(policy="starter", reward_model="run:abc", dataset="dataset:0123456789abcdef", updates=4)
SFT = SFTSpec(model="starter", dataset="dataset:0123456789abcdef")
REWARD = RewardSpec(model="starter", dataset="dataset:fedcba9876543210")


class Feed(QObject):
    """What a view listens to, told by hand."""

    event = Signal(object)
    caught_up = Signal()

    def __init__(self, run_id: str = "a1") -> None:
        super().__init__()
        self.run_id = run_id
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    def tell(self, envelopes: Iterable[Envelope], caught_up: bool = True) -> None:
        for envelope in envelopes:
            self.event.emit(envelope)
        if caught_up:
            self.caught_up.emit()


def told(*events: Event, run_id: str = "a1", start: float = T0, first: int = 0) -> list[Envelope]:
    """Envelopes a second apart."""
    return [Envelope(run_id, first + i, start + i, event) for i, event in enumerate(events)]


def ppo_values(step: int) -> dict[str, float]:
    return {
        "objective/score": 0.1 * step,
        "objective/kl_sequence": 0.05 * step,
        "policy/loss": -0.01 * step,
        "value/loss": 1.0 / step,
        "answers/length_mean": 20.0 + step,
    }


def sample(step: int, answer: str = " Paris", prompt: str = "Capital of France?") -> Sample:
    tokens = ("Par", "is", "!")
    numbers = {"advantage": (0.5, -1.0, 0.0), "kl": (0.01, 0.02, 0.3)}
    return Sample(step, prompt, answer, 0.25 * step, "I do not know.", tokens, numbers)


PPO_STORY = (
    RunStarted("ppo", 4),
    Stage("Loading the base model", 1, 3),
    RunStarted("ppo", 4, 0, "CPU, 2 threads"),
    Metrics(1, ppo_values(1)),
    sample(1, "Paris!"),
    Metrics(2, ppo_values(2)),
    Alert("warning", "31% of the tokens hit the clip range.", "Lower the learning rate.", 2),
    CheckpointSaved(2, "runs/a1/checkpoints/2"),
    KnobChanged(3, "learning_rate", 0.5),
    Metrics(3, ppo_values(3)),
    sample(3, "Paris!"),
    Metrics(4, ppo_values(4)),
    Produced("adapter", "runs/a1/adapter", {"objective/score": 0.4, "objective/kl_sequence": 0.2}),
    RunFinished("completed"),
)


def store(session: Session, run_id: str, spec: Any, events: Iterable[Event], name: str = "") -> None:
    """Write a run's whole story into the project, as a worker would have."""
    assert session.root is not None
    with_writer = RunsWriter(session.root)
    try:
        with_writer.start(run_id, spec_to_json(spec), task_of(spec).key, name)
        with_writer.append(*told(*events, run_id=run_id, start=time.time() - 3600))
    finally:
        with_writer.close()
