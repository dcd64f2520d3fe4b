"""One optimiser step on pairs, and the same numbers on pairs held out, whatever the loss is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rlhf_engine.contract.preference import PreferenceFields
from rlhf_engine.preferences.answers import AnswerLogprobs
from rlhf_engine.preferences.pairs import Pair
from rlhf_engine.runtime.context import RunContext

EVALUATED = 256  # held-out comparisons measured each time
FALLEN = 0.3  # nats per token: with so much less a token is three quarters as likely

TRAIN = (
    "train/loss",
    "train/accuracy",
    "train/margin",
    "train/chosen_reward",
    "train/rejected_reward",
    "train/chosen_logp",
    "train/rejected_logp",
    "train/ranking_accuracy",
)
HELDOUT = (
    "heldout/loss",
    "heldout/accuracy",
    "heldout/margin",
    "heldout/chosen_reward",
    "heldout/rejected_reward",
    "heldout/chosen_logp",
    "heldout/rejected_logp",
    "heldout/ranking_accuracy",
)

Losses = Callable[[Sequence[Pair], float], tuple[Tensor, Tensor]]
"""(pairs, pairs per chosen token in the whole batch) -> (loss per pair (N,), what is plotted of each pair (8, N))."""


def pair_measures(
    loss: Tensor, chosen_reward: Tensor, rejected_reward: Tensor, chosen: AnswerLogprobs, rejected: AnswerLogprobs
) -> Tensor:
    """What is plotted of each pair, in the order of `TRAIN`. (N,) each -> (8, N), without gradient.

    Accuracy is strict: equal rewards, as at the start of DPO, are no preference.
    """
    rows = (
        loss,
        (chosen_reward > rejected_reward).float(),
        chosen_reward - rejected_reward,
        chosen_reward,
        rejected_reward,
        chosen.mean,
        rejected.mean,
        (chosen.mean > rejected.mean).float(),
    )
    return torch.stack(rows).detach()


def nll(chosen: AnswerLogprobs, per_token: float) -> Tensor:
    """Negative log-likelihood of the chosen answers such that its mean over the batch's pairs is nats per token of the
    batch. (N,). `per_token` is the batch's pairs divided by its chosen tokens."""
    return -chosen.total * per_token


def pairs_per_token(pairs: Sequence[Pair]) -> float:
    return len(pairs) / sum(pair.chosen.tokens for pair in pairs)


def learn(
    losses: Losses,
    batch: list[Pair],
    spec: PreferenceFields,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
) -> dict[str, float]:
    """One optimiser step on a batch, cut into micro-batches whose gradients add up exactly to the batch's."""
    per_token = pairs_per_token(batch)
    mine = run.world.share(batch)
    sums = torch.zeros(len(TRAIN), device=run.device)
    size = run.at_once(spec.micro_batch_size, len(mine))
    for start in range(0, len(mine), size):
        run.safe_point()
        loss, rows = losses(mine[start : start + size], per_token)
        loss.sum().div(len(batch)).backward()
        sums += rows.sum(1) / len(batch)
    run.world.sum_([sums])
    norm = run.step(optimizer, rate, spec.max_grad_norm)
    return dict(zip(TRAIN, sums.tolist(), strict=True)) | {"train/grad_norm": norm.item()}


@torch.no_grad()
def evaluate(losses: Losses, heldout: Sequence[Pair], spec: PreferenceFields, run: RunContext) -> dict[str, float]:
    """The same on prompts that are never trained on; nothing where nothing is held out."""
    if not heldout:
        return {}
    per_token = pairs_per_token(heldout)
    size = run.at_once(spec.micro_batch_size, len(heldout))
    parts = [losses(heldout[i : i + size], per_token)[1] for i in range(0, len(heldout), size)]
    return dict(zip(HELDOUT, torch.cat(parts, 1).mean(1).tolist(), strict=True))


def watch(values: dict[str, float], before: dict[str, float], step: int, run: RunContext) -> None:
    """Say when the chosen answers too are becoming unlikely: the losses only ask how far the two are apart.

    Source: Pal et al. 2024, arXiv:2402.13228 (Smaug), section 3, on why DPO does this.
    """
    now, then = values.get("heldout/chosen_logp"), before.get("heldout/chosen_logp")
    if now is not None and then is not None and now < then - FALLEN:
        text = f"Held-out chosen answers have become less likely, by {then - now:.2f} nats per token."
        run.alert(
            "fallen", "warning", text, "Add an NLL term (0.1 to 1), raise beta, or lower the learning rate.", step
        )
