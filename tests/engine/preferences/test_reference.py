"""The reference: always the policy as it began, whether asked each time or measured once."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file, save_file

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.contract.events import Alert, Stage
from rlhf_engine.models.adapters import new_lora
from rlhf_engine.models.backbone import Backbone
from rlhf_engine.models.load import load_base, resolve
from rlhf_engine.preferences import reference
from rlhf_engine.preferences.answers import answer_logprobs
from rlhf_engine.preferences.pairs import both, in_parts
from rlhf_engine.preferences.reference import (
    POLICY,
    REFERENCE,
    hold_reference,
    reference_logprobs,
    require_identities,
)
from tests.engine.preferences.conftest import eight_pairs, move

PER_ANSWER = {"atol": 2e-5, "rtol": 1e-6}  # other rectangles, other order of the same sums


def held(small, backbone, run, precompute, pairs=None, **changed):
    """Eight pairs to train on and the first two of them held out, with their reference."""
    pairs, heldout = pairs or eight_pairs(backbone), eight_pairs(backbone)[:2]
    spec = small.dpo(precompute_reference=precompute, **changed)
    source = resolve(spec.model, small.root)
    hold_reference(backbone, source, in_parts(pairs, 3), in_parts(heldout, 3), spec, run)
    return pairs, heldout


@torch.no_grad()
@pytest.mark.parametrize("precompute", [False, True])
def test_it_is_the_policy_as_it_began_and_stays_so(small, inside, backbone, precompute):
    began = answer_logprobs(backbone, POLICY, both(eight_pairs(backbone))).total
    pairs, heldout = held(small, backbone, inside(small.dpo(), f"began-{precompute}").run, precompute)
    move(backbone, by=0.1)
    torch.testing.assert_close(reference_logprobs(backbone, both(pairs)), began, **PER_ANSWER)
    torch.testing.assert_close(reference_logprobs(backbone, both(heldout)), began[[0, 1, 8, 9]], **PER_ANSWER)
    assert not torch.allclose(answer_logprobs(backbone, POLICY, both(pairs)).total, began, atol=0.1)
    assert backbone.has(REFERENCE) is not precompute  # the numbers take the place of the adapter


def test_it_never_learns(small, inside, backbone):
    pairs, _ = held(small, backbone, inside(small.dpo()).run, precompute=False)
    assert not any(p.requires_grad for p in backbone.parameters_of(REFERENCE))
    assert not reference_logprobs(backbone, both(pairs)).requires_grad
    assert all(p.requires_grad for p in backbone.parameters_of(POLICY))


def test_the_numbers_are_read_back_bit_for_bit_and_nothing_is_measured_again(small, inside, backbone, monkeypatch):
    hand = inside(small.dpo(), "kept")
    first, _ = held(small, backbone, hand.run, precompute=True)
    assert any(isinstance(e.event, Stage) and "reference" in e.event.text for e in hand.said)
    monkeypatch.setattr(reference, "answer_logprobs", None)  # whoever measures fails
    again, _ = held(small, backbone, inside(small.dpo(), "kept").run, precompute=True)
    assert [a.reference for a in both(again)] == [a.reference for a in both(first)]
    kept = load_file(hand.run.folder / "reference" / "logprobs.safetensors")["total"]
    assert kept.shape == (20,) and kept.dtype == torch.float32


@pytest.mark.parametrize("other", ["settings", "answers", "base"])
def test_numbers_made_of_something_else_are_not_used(small, inside, backbone, other, monkeypatch):
    hand = inside(small.dpo(), f"other-{other}")
    held(small, backbone, hand.run, precompute=True)
    pairs, changed = eight_pairs(backbone), {}
    if other == "settings":
        changed["template"] = "plain"
    elif other == "answers":
        pairs[0].chosen.ids[-2] = 9  # the same lengths, another word
    else:
        backbone.base = dataclasses.replace(backbone.base, fingerprint="another")
    measured = []
    real = reference.answer_logprobs
    monkeypatch.setattr(reference, "answer_logprobs", lambda *args: measured.append(1) or real(*args))
    held(small, backbone, hand.run, True, pairs, **changed)
    assert len(measured) == 4
    held(small, backbone, hand.run, True, pairs, **changed)
    assert len(measured) == 4  # now they are of these


@pytest.mark.parametrize("damage", ["torn", "short", "not finite"])
def test_damaged_numbers_are_made_anew(small, inside, backbone, damage):
    hand = inside(small.dpo(), f"damaged-{damage}")
    first, _ = held(small, backbone, hand.run, precompute=True)
    file = hand.run.folder / "reference" / "logprobs.safetensors"
    if damage == "torn":
        file.write_bytes(file.read_bytes()[:-9])
    else:
        total = load_file(file)["total"]
        save_file({"total": total[:-1] if damage == "short" else total * float("nan")}, file)
    again, _ = held(small, backbone, hand.run, precompute=True)
    assert [a.reference for a in both(again)] == [a.reference for a in both(first)]
    said = [e.event.text for e in hand.said if isinstance(e.event, Alert)]
    assert any("cannot be read" in text for text in said) is (damage == "torn")


@pytest.mark.parametrize("precompute", [False, True])
def test_a_reference_that_is_not_the_policy_is_refused(small, inside, backbone, precompute):
    pairs, _ = held(small, backbone, inside(small.dpo(), f"refused-{precompute}").run, precompute)
    require_identities(backbone, both(pairs[:3]))
    move(backbone, by=1e-3)
    with pytest.raises(ModelError, match=r"not its own reference: they are .* nats per token apart") as error:
        require_identities(backbone, both(pairs[:3]))
    assert "base and SFT adapter together" in error.value.hint


def test_dropout_left_on_is_refused(small, inside, backbone):
    wet = Backbone(load_base(small.model, torch.device("cpu"), torch.float32))
    wet.add(POLICY, new_lora(small.sft(lora_dropout=0.3)), trainable=True)
    move(wet)
    pairs, _ = held(small, wet, inside(small.dpo(), "wet").run, precompute=False)
    require_identities(wet, both(pairs))
    wet.train(True)
    with pytest.raises(ModelError, match="not its own reference"):
        require_identities(wet, both(pairs))


def test_a_policy_that_says_nan_is_refused(small, inside, backbone):
    pairs, _ = held(small, backbone, inside(small.dpo(), "nan").run, precompute=False)
    backbone.load_state(POLICY, {k: v * float("nan") for k, v in backbone.state(POLICY).items()})
    with pytest.raises(ModelError, match="they are nan nats"):
        require_identities(backbone, both(pairs))
