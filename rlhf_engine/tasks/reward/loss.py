"""The losses of reward modelling. Pure functions of tensors."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(
    chosen: Tensor, rejected: Tensor, margins: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """-log sigma(chosen - rejected - margin), per pair. (B,) x 2 -> (B,), in nats.

    `smoothing` is the share of labels assumed to be the wrong way round.

    Source: Bradley and Terry 1952; Ouyang et al. 2022, equation 1; margin: Touvron et al. 2023 (Llama 2), equation 2.
    """
    apart = chosen - rejected - (0.0 if margins is None else margins)
    loss = -logsigmoid(apart)
    return (1 - smoothing) * loss - smoothing * logsigmoid(-apart) if smoothing else loss


def centering_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(chosen + rejected)^2 per pair: keeps scores near zero, which Bradley-Terry alone leaves open. (B,) x 2 -> (B,).

    Source: Eisenstein et al. 2023, "Helping or Herding?", equation 4.
    """
    return (chosen + rejected) ** 2
