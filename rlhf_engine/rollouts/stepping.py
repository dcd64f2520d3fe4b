"""One optimiser step that survives a gradient which is no number: the batch is kept, and the spec says what follows."""

from __future__ import annotations

import torch
from safetensors.torch import save_file
from torch import Tensor

from rlhf_engine.contract.errors import NotFinite
from rlhf_engine.contract.online import RolloutFields
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.runtime.context import RunContext


def guarded_step(
    spec: RolloutFields,
    run: RunContext,
    optimizer: torch.optim.Optimizer,
    rate: float,
    update: int,
    batch: Batch,
    kept: dict[str, Tensor],
) -> Tensor:
    """Step, and return the gradient's norm before clipping, (); 0 where the minibatch was passed over.

    Where the norm is not finite, `batch` and `kept` go to not_finite/<update>.safetensors in the run's folder.

    Raises:
        NotFinite: where the run is to stop.
    """
    try:
        return run.step(optimizer, rate, spec.max_grad_norm)
    except NotFinite as error:
        file = run.folder / "not_finite" / f"{update:06d}.safetensors"
        if run.world.leads:
            file.parent.mkdir(parents=True, exist_ok=True)
            told = {"ids": batch.ids, "mask": batch.mask, **kept}
            save_file({name: tensor.contiguous().cpu() for name, tensor in told.items()}, file)
        where = f"The minibatch is kept in {file.relative_to(run.project_root)}."
        if spec.not_finite == "stop":
            raise NotFinite(f"{error} {where}") from error
        pauses = spec.not_finite == "pause"
        run.alert(
            "finite",
            "danger",
            f"{error} It was not used. {where}",
            "The run is paused: lower the learning rate, then go on." if pauses else "Lower the learning rate.",
            update,
            again_after=1,
        )
        if pauses:
            run.pause()
        return torch.zeros((), device=run.device)
