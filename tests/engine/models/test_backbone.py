"""Roles take turns on one base, and only those that are trained ever move."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_engine.contract.errors import ModelError
from rlhf_engine.data.batches import right_pad
from rlhf_engine.models.backbone import PLAIN, Backbone
from rlhf_engine.models.logprobs import token_logprobs
from rlhf_engine.models.lora import lora
from rlhf_engine.runtime.context import adamw
from tests.engine.tiny import END, PAD

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])
ONES = torch.ones_like(IDS)
MASK = torch.tensor([[False, True, True, True, True, True]])
FIXTURE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def hidden(backbone: Backbone, role: str) -> torch.Tensor:
    with torch.no_grad(), backbone.acting_as(role):
        return backbone.hidden(IDS, ONES)


def trained(backbone: Backbone) -> set[str]:
    """Roles whose every weight requires gradients; fails if one is mixed, or if the base does."""
    found = set()
    for name in ("policy", "frozen"):
        flags = {p.requires_grad for p in backbone.parameters_of(name)}
        assert len(flags) == 1
        found |= {name} if flags == {True} else set()
    assert not any(p.requires_grad for key, p in backbone.base.model.named_parameters() if "lora_" not in key)
    return found


def test_a_new_adapter_changes_nothing_at_all(plain):
    before = hidden(plain, PLAIN)
    plain.add("new", lora(8, 16.0, 0.0, "all-linear"))
    assert torch.equal(hidden(plain, "new"), before)
    assert torch.equal(hidden(plain, PLAIN), before)


def test_the_base_shines_through_unchanged_whatever_adapters_hold(backbone, folder):
    from rlhf_engine.models.load import load_base

    fresh = Backbone(load_base(str(folder), torch.device("cpu"), torch.float32))
    assert torch.equal(hidden(backbone, PLAIN), hidden(fresh, PLAIN))
    assert not torch.equal(hidden(backbone, "policy"), hidden(backbone, PLAIN))


def test_roles_nest_and_come_back_also_after_an_error(backbone):
    policy, frozen = hidden(backbone, "policy"), hidden(backbone, "frozen")
    with torch.no_grad(), backbone.acting_as("policy"):
        with backbone.acting_as("frozen"), backbone.acting_as(PLAIN), backbone.acting_as("frozen"):
            assert torch.equal(backbone.hidden(IDS, ONES), frozen)
        assert torch.equal(backbone.hidden(IDS, ONES), policy)
        with pytest.raises(ZeroDivisionError), backbone.acting_as("frozen"):
            raise ZeroDivisionError
        assert torch.equal(backbone.hidden(IDS, ONES), policy)
        with pytest.raises(KeyError), backbone.acting_as("nobody"):
            pass
        assert torch.equal(backbone.hidden(IDS, ONES), policy)


@FIXTURE
@given(roles=st.lists(st.sampled_from(["policy", "frozen", PLAIN, "train", "eval", "score", "state"]), max_size=8))
def test_only_the_policy_requires_gradients_after_any_sequence_of_roles(backbone, roles):
    if "frozen" not in backbone.heads:
        backbone.add_head("frozen")

    def act(rest):
        if not rest:
            assert trained(backbone) == {"policy"}
            return
        match rest[0]:
            case "train" | "eval":
                backbone.train(rest[0] == "train")
                act(rest[1:])
            case "score":
                backbone.score("frozen", [[4, 5]])
                act(rest[1:])
            case "state":
                backbone.load_state("frozen", backbone.state("frozen"))
                act(rest[1:])
            case role:
                with backbone.acting_as(role):
                    assert trained(backbone) == {"policy"}
                    act(rest[1:])

    act(roles)
    assert trained(backbone) == {"policy"}


def test_adapters_added_later_leave_gradients_as_they_were(backbone):
    with backbone.acting_as("policy"):
        backbone.add("later", lora(2, 4.0, 0.0, "all-linear"))
        assert trained(backbone) == {"policy"}
        assert not any(p.requires_grad for p in backbone.parameters_of("later"))


def test_training_moves_the_policy_and_not_a_bit_of_the_others(backbone):
    base = {k: v.clone() for k, v in backbone.base.model.state_dict().items() if "lora_" not in k}
    frozen, policy = backbone.state("frozen"), backbone.state("policy")
    optimizer = adamw(backbone.parameters_of("policy"))
    optimizer.param_groups[0]["lr"] = 1e-2
    for _ in range(3):
        for role in ("frozen", "policy"):
            with backbone.acting_as(role):
                loss = -token_logprobs(backbone, IDS, ONES, MASK).logp.sum()
            if role == "policy":
                loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert all(torch.equal(v, backbone.state("frozen")[k]) for k, v in frozen.items())
    assert all(torch.equal(v, backbone.base.model.state_dict()[k]) for k, v in base.items())
    assert any(not torch.equal(v, backbone.state("policy")[k]) for k, v in policy.items())


def test_a_copy_is_equal_and_then_independent(backbone):
    backbone.copy("policy", "twin")
    assert torch.equal(hidden(backbone, "twin"), hidden(backbone, "policy"))
    backbone.load_state("twin", {k: v * 0 for k, v in backbone.state("twin").items()})
    assert torch.equal(hidden(backbone, "twin"), hidden(backbone, PLAIN))
    assert not torch.equal(hidden(backbone, "twin"), hidden(backbone, "policy"))


def test_a_name_that_begins_like_another_is_another(backbone):
    backbone.add("policy2", lora(4, 8.0, 0.0, "all-linear"))
    assert len(backbone.state("policy")) == len(backbone.state("policy2")) > 0
    assert not torch.equal(hidden(backbone, "policy"), hidden(backbone, "policy2"))


@pytest.mark.parametrize("pad_is", ["its own", "the end token"])
@pytest.mark.parametrize("end_in_prompt", [False, True])
def test_a_score_is_the_same_alone_and_in_a_padded_batch(backbone, pad_is, end_in_prompt):
    object.__setattr__(backbone.base, "pad_id", PAD if pad_is == "its own" else END)
    middle = END if end_in_prompt else 9
    sequences = [[5, middle, 7, END], [8, 9, middle, 10, 11, 12, 13, 60, END], [3, middle], [END]]
    backbone.add_head("policy")
    together = backbone.score("policy", sequences, micro_batch=3)
    alone = torch.cat([backbone.score("policy", [s]) for s in sequences])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert together.std() > 1e-2


def test_a_score_is_read_at_the_last_token_and_not_at_padding(backbone):
    """The negative control of the test above: reading the last column gives other numbers."""
    sequences = [[5, 6, END], [8, 9, 10, 11, 12, END]]
    head = backbone.add_head("policy")
    ids, mask = right_pad(sequences, PAD)
    with torch.no_grad(), backbone.acting_as("policy"):
        wrong = head(backbone.hidden(ids, mask.long())[:, -1])
        right = backbone.score("policy", sequences)
    assert abs(wrong[0] - right[0]) > 1e-3
    assert wrong[1] == pytest.approx(right[1].item(), abs=1e-6)


def test_gradients_flow_through_a_score_only_where_something_is_trained(backbone):
    backbone.add_head("frozen")
    assert not backbone.score("frozen", [[4, 5, 6]]).requires_grad
    backbone.add_head("policy", trainable=True)
    backbone.score("policy", [[4, 5, 6]]).sum().backward()
    assert all(p.grad is not None for p in backbone.heads["policy"].parameters())
    assert all(p.grad is None for p in backbone.parameters_of("frozen"))


def test_layers_that_are_not_there_are_named(plain):
    with pytest.raises(ModelError, match="no_such_proj") as error:
        plain.add("policy", lora(4, 8.0, 0.0, "no_such_proj"))
    assert "q_proj" in error.value.hint


def test_an_adapter_of_another_shape_does_not_fit(backbone):
    state = backbone.state("policy")
    key = next(iter(state))
    with pytest.raises(ModelError, match="does not fit"):
        backbone.load_state("policy", {**state, key: state[key][:1]})
    with pytest.raises(ModelError, match="does not fit"):
        backbone.load_state("policy", {k: v for k, v in state.items() if k != key})


def test_an_output_that_is_not_understood_is_refused(folder):
    from rlhf_engine.models.load import load_base

    base = load_base(str(folder), torch.device("cpu"), torch.float32)
    forward = base.model.forward

    def scaled(*args, **kwargs):
        out = forward(*args, **kwargs)
        out.logits = out.logits * 3
        return out

    base.model.forward = scaled
    with pytest.raises(ModelError, match="not supported here"):
        Backbone(base)


def test_dropout_is_felt_only_while_training(plain):
    plain.add("policy", lora(4, 8.0, 0.5, "all-linear"), trainable=True)
    plain.load_state("policy", {k: v + 0.1 for k, v in plain.state("policy").items()})
    calm = hidden(plain, "policy")
    plain.train(True)
    assert not torch.equal(hidden(plain, "policy"), calm)
    plain.train(False)
    assert torch.equal(hidden(plain, "policy"), calm)


def test_what_is_longer_than_the_context_is_not_scored(backbone):
    backbone.add_head("policy")
    assert backbone.score("policy", [[5] * 256]).shape == (1,)
    with pytest.raises(ModelError, match=r"has 257 tokens with its end, but .* reads up to 256\.") as error:
        backbone.score("policy", [[4, 5], [5] * 257])
    assert error.value.hint
