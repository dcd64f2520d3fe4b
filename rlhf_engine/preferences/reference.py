"""The reference: the policy as the run found it, base and SFT adapter together, never changed.

It is either a frozen copy of the adapter, asked again and again, or the numbers it gave before the first step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.contract.events import Alert
from rlhf_engine.contract.preference import ReferenceFields
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import ModelSource
from rlhf_engine.models.opening import adapters_of, settings_fingerprint
from rlhf_engine.preferences.answers import GivenAnswer, answer_logprobs
from rlhf_engine.runtime.checkpoints import write_folder
from rlhf_engine.runtime.context import RunContext

POLICY, REFERENCE = "policy", "reference"
FOLDER, NUMBERS, MADE_OF = "reference", "logprobs.safetensors", "made_of.json"

Parts = Iterable[Sequence[GivenAnswer]]  # answers in the rectangles in which they are measured


def hold_reference(
    backbone: Backbone, source: ModelSource, train: Parts, heldout: Parts, spec: ReferenceFields, run: RunContext
) -> None:
    """Make `reference_logprobs` answer. To be called while the policy is still what it starts as, also in a resumed
    run: before its checkpoint is loaded.

    What is held out is measured over and over, so it is always measured here once. `precompute_reference` does the
    same with what is trained on and keeps the numbers in the run's folder; otherwise the policy is copied.
    """
    heldout = list(heldout)
    if not spec.precompute_reference:
        backbone.copy(POLICY, REFERENCE)
        _fill(heldout, _measured(backbone, heldout, run))
        return
    parts = [*train, *heldout]
    made_of = {
        "base": backbone.base.fingerprint,
        "settings": settings_fingerprint(spec),
        "answers": _of_answers(parts),
        **adapters_of(starting_adapter=source),
    }
    count = sum(map(len, parts))
    numbers = _read(run.folder / FOLDER, made_of, count, run) if run.world.leads else None
    if run.world.agree(numbers is not None):
        numbers = torch.zeros(count) if numbers is None else numbers
        numbers = numbers.to(run.device)
        run.world.sum_([numbers])  # of which one process has any
    else:
        numbers = _measured(backbone, parts, run, "Measuring the reference")
        if run.world.leads:
            run.folder.mkdir(parents=True, exist_ok=True)
            about = json.dumps(made_of, indent=1).encode()
            write_folder(run.folder / FOLDER, {NUMBERS: {"total": numbers}, MADE_OF: about})
    _fill(parts, numbers)


def reference_logprobs(backbone: Backbone, answers: Sequence[GivenAnswer]) -> Tensor:
    """Log-probability of whole answers under the reference, nats. (N,) fp32, without gradient."""
    known = [answer.reference for answer in answers if answer.reference is not None]
    if len(known) == len(answers):
        return torch.tensor(known, device=backbone.device)
    with torch.no_grad():
        return answer_logprobs(backbone, REFERENCE, answers).total


def require_identities(backbone: Backbone, answers: Sequence[GivenAnswer]) -> None:
    """At the start the policy is its own reference: every log-ratio is exactly 0. Else do not start.

    Exactly on a CPU in fp32 where both are measured alike. Numbers measured beforehand come from other rectangles, and
    other devices and formats may differ in the last bits: 1e-4 nats per token in fp32, 2e-2 in bf16.

    Raises:
        ModelError: says how far apart they are, and what that means.
    """
    dtype = next(iter(backbone.base.model.parameters())).dtype
    with torch.enable_grad():  # as in training
        now = answer_logprobs(backbone, POLICY, answers)
    exact = backbone.device.type == "cpu" and dtype == torch.float32 and answers[0].reference is None
    tolerance = 0.0 if exact else 1e-4 if dtype == torch.float32 else 2e-2
    off = ((now.total.detach() - reference_logprobs(backbone, answers)) / now.tokens).abs().max().item()
    if not off <= tolerance:
        raise ModelError(
            f"Before the first step the policy is not its own reference: they are {off:.3g} nats per token apart on an "
            "answer, so the loss does not begin where it must (DPO's at ln 2) and the implicit rewards are not 0.",
            "The reference must be the policy as it starts: base and SFT adapter together, without dropout.",
        )


@torch.no_grad()
def _measured(backbone: Backbone, parts: Sequence[Sequence[GivenAnswer]], run: RunContext, saying: str = "") -> Tensor:
    """Log-probabilities of all answers in their order, (N,). The processes of a run share the work."""
    ends = list(accumulate(map(len, parts)))
    numbers = torch.zeros(ends[-1] if ends else 0, device=run.device)
    mine = run.world.share(range(len(parts)))
    for done, i in enumerate(mine):
        run.safe_point()
        if saying:
            run.stage(saying, done, len(mine))
        numbers[ends[i] - len(parts[i]) : ends[i]] = answer_logprobs(backbone, POLICY, parts[i]).total
    run.world.sum_([numbers])
    return numbers


def _fill(parts: Parts, numbers: Tensor) -> None:
    flat = [answer for part in parts for answer in part]
    for answer, number in zip(flat, numbers.tolist(), strict=True):
        answer.reference = number


def _read(folder: Path, made_of: dict[str, str], count: int, run: RunContext) -> Tensor | None:
    """The numbers kept in `folder`; None where there are none, or none made of the same."""
    try:
        if json.loads((folder / MADE_OF).read_text(encoding="utf-8")) != made_of:
            return None
        numbers = load_file(folder / NUMBERS)["total"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        run.emit(
            Alert("warning", f"The reference's numbers in {folder} cannot be read: {error}", "They are made anew.")
        )
        return None
    return numbers if numbers.shape == (count,) and bool(torch.isfinite(numbers).all()) else None


def _of_answers(parts: Parts) -> str:
    """Hash of all token ids and masks: another dataset, template, tokenizer or length limit gives another one."""
    digest = hashlib.sha256()
    for part in parts:
        for answer in part:
            digest.update(f"{answer.ids}{answer.tokens}".encode())
        digest.update(b"\n")
    return digest.hexdigest()[:16]
