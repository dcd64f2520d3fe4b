"""The knobs of PPO: where KL counts, where the value model sits, what is mixed in, and what is only watched."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.contract.events import Alert, Metrics, RunFinished, RunPaused, RunResumed
from rlhf_engine.contract.rewards import LengthReward
from rlhf_engine.launch.execute import execute
from rlhf_engine.rollouts import learner as passes
from rlhf_engine.rollouts import practice
from rlhf_engine.rollouts.actors import POLICY, REFERENCE
from rlhf_engine.runtime.context import RunContext
from rlhf_engine.tasks.ppo import train as ppo
from rlhf_engine.tasks.ppo.critic import VALUE, Critic
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.conftest import equal_gradients
from tests.engine.tasks.ppo.hand import RM, Hand

QUIET = {"sample_every": 0, "checkpoint_every": 100}
SHARED = {"critic": "shared", "value_init": "zero"}
WHOLE = {"minibatch_size": 8, "micro_batch_size": 8, "response_tokens": 10}  # one step on all eight answers


def said_by(said, words):
    return [e.event for e in said if isinstance(e.event, Alert) and words in e.event.text]


# Micro-batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "how", "level"),
    [
        ({}, "token", "token"),
        ({"entropy_coef": 0.01, "dual_clip": 3.0, "clip_high": 0.28}, "token", "token"),
        ({"kl_in": "loss", "kl_estimator": "k3"}, "token", "token"),
        ({"ptx_coef": 2.0}, "token", "token"),
        (SHARED | {"kl_in": "loss", "kl_estimator": "k2", "entropy_coef": 0.01}, "token", "token"),
        ({"kl_in": "loss", "kl_estimator": "k3+"}, "sequence", "token"),
        ({"kl_in": "loss", "kl_estimator": "k3"}, "fixed", "token"),
        ({}, "sequence", "sequence"),
        ({}, "sequence", "sequence mean"),
    ],
    ids=lambda x: "-".join(map(str, x.values())) if isinstance(x, dict) else x,
)
def test_eight_by_one_learns_what_one_by_eight_learns(small, inside, changed, how, level):
    mixed = {"ptx_dataset": small.demonstrations} if "ptx_coef" in changed else {}
    hand = Hand(small, inside, **WHOLE | changed | mixed)
    found, weights = hand.bent()
    whole, told = hand.gradients(found, weights, 0.3, how, level)
    for micro in (1, 3):
        cut, said = hand.gradients(found, weights, 0.3, how, level, micro_batch_size=micro)
        assert len(cut) == len(whole) == 2
        assert all(equal_gradients(a, b) for a, b in zip(whole, cut, strict=True))
        assert said == pytest.approx(told, rel=1e-6, abs=1e-6)


# KL -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("estimator", "how"), [("k2", "token"), ("k3", "token"), ("k3+", "token"), ("k3", "sequence")])
def test_kl_in_the_loss_pulls_as_worked_by_hand(small, inside, estimator, how):
    hand = Hand(small, inside, kl_in="loss", kl_estimator=estimator, **WHOLE)
    found, weights = hand.bent()
    (policy, _), told = hand.gradients(found, torch.zeros_like(weights), beta=0.7, how=how)

    backbone, mask = hand.actors.backbone, found.mask
    now = hand.actors.logprobs(POLICY, found.batch, 1.0).logp
    d = (now - found.ref_logp).detach()
    slope = 1 - torch.exp(-d) if estimator == "k3" else d  # k3+ has the slope of k2
    share = 1 / mask.sum() if how == "token" else (1 / mask.sum(1, keepdim=True) / len(mask)).expand_as(d)
    torch.where(mask, 0.7 * slope * share * now, 0.0).sum().backward()
    assert equal_gradients(policy, [p.grad for p in backbone.parameters_of(POLICY)])

    value = d**2 / 2 if estimator == "k2" else torch.exp(-d) - 1 + d
    assert told["policy/kl_loss"] == pytest.approx(torch.where(mask, value * share, 0.0).sum().item(), rel=1e-5)


def test_where_kl_counts_in_the_reward_the_loss_knows_nothing_of_it(small, inside):
    hand = Hand(small, inside, **WHOLE)
    found, weights = hand.bent()
    (without, _), told = hand.gradients(found, weights, beta=0.0)
    (with_it, _), _ = hand.gradients(found, weights, beta=5.0)
    assert all(torch.equal(a, b) for a, b in zip(without, with_it, strict=True))
    assert "policy/kl_loss" not in told


@pytest.fixture
def paid(monkeypatch):
    """(rollout, rewards per token) of every update of the runs to come."""
    found = []
    rolled, rewarded = practice.rollout, ppo.token_rewards

    def roll(*given, **more):
        found.append([rolled(*given, **more), None])
        return found[-1][0]

    def reward(scores, *rest):
        found[-1][1:] = [rewarded(scores, *rest), scores]
        return found[-1][1]

    monkeypatch.setattr(practice, "rollout", roll)
    monkeypatch.setattr(ppo, "token_rewards", reward)
    return found


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
def test_each_token_pays_for_its_drift_by_the_estimator(small, paid, estimator):
    steps = {"updates": 2, "value_warmup": 0, "adaptive_kl": False}
    said = small.run("paid", small.ppo(RM, kl_estimator=estimator, kl_coef=0.5, **steps, **QUIET))
    assert ended_well(said) and "policy/kl_loss" not in curve(said)[2]
    found, rewards, scores = paid[1]
    d = torch.where(found.mask, found.logp - found.ref_logp, 0.0)
    assert d.abs().max() > 0
    owed = {"k1": d, "k2": d**2 / 2, "k3": torch.exp(-d) - 1 + d}[estimator]
    torch.testing.assert_close(rewards.sum(1), scores - 0.5 * owed.sum(1), atol=1e-5, rtol=0)
    before_last = found.mask & (torch.arange(found.mask.shape[1]) < found.lengths[:, None] - 1)
    torch.testing.assert_close(rewards[before_last], -0.5 * owed[before_last], atol=1e-6, rtol=0)


def test_where_kl_counts_in_the_loss_no_token_pays_for_it(small, paid):
    steps = {"updates": 2, "value_warmup": 0, "adaptive_kl": False}
    said = small.run("unpaid", small.ppo(RM, kl_in="loss", kl_estimator="k3", kl_coef=0.5, **steps, **QUIET))
    assert ended_well(said)
    found, rewards, scores = paid[1]
    assert found.log_ratio.abs().max() > 0
    assert torch.equal(rewards.sum(1), scores) and ((rewards != 0).sum(1) <= 1).all()
    assert curve(said)[2]["policy/kl_loss"] > 0 and curve(said)[2]["objective/kl_sequence"] != 0


def test_beta_moves_by_the_drift_of_whole_answers_over_a_horizon_in_answers(small):
    adaptive = {"adaptive_kl": True, "kl_target": 0.05, "kl_horizon": 40, "kl_coef": 0.2, "value_warmup": 0}
    said = small.run("adaptive", small.ppo(RM, updates=4, **adaptive, **QUIET))
    assert ended_well(said)
    steps = curve(said)
    beta = 0.2
    for step in (1, 2, 3, 4):
        assert steps[step]["objective/beta"] == pytest.approx(beta, rel=1e-9)
        error = min(max(steps[step]["objective/kl_sequence"] / 0.05 - 1, -0.2), 0.2)
        beta *= 1 + error * 8 / 40  # eight answers an update
    assert steps[2]["objective/beta"] == pytest.approx(0.2 * 0.96)  # no drift yet: as low as it may go in a step


# The value model ------------------------------------------------------------------------------------------------------


def test_a_shared_value_model_teaches_the_policys_adapter(small, inside):
    hand = Hand(small, inside, value_clip=0.0, value_coef=0.6, **SHARED | WHOLE)
    found, weights = hand.bent()
    (policy, head), _ = hand.gradients(found, torch.zeros_like(weights))
    backbone, mask, width = hand.actors.backbone, found.mask, found.batch.prompt_width
    with backbone.acting_as(POLICY):
        hidden = backbone.hidden(found.batch.ids, found.batch.attention)
    linear = backbone.heads[VALUE].linear
    values = (hidden @ linear.weight[0] + linear.bias)[:, width - 1 : -1]  # before each answer token
    (0.6 * 0.5 * torch.where(mask, (values - hand.critic._returns) ** 2, 0.0).sum() / mask.sum()).backward()
    assert equal_gradients(policy, [p.grad for p in backbone.parameters_of(POLICY)])
    assert equal_gradients(head, [linear.weight.grad, linear.bias.grad])
    assert not backbone.has(VALUE)  # it has no adapter of its own


def test_a_shared_value_model_warms_up_as_a_head_alone_and_starts_at_the_identities(small, monkeypatch):
    seen = []
    made = Critic.__init__

    def catch(self, spec, actors):
        made(self, spec, actors)
        seen.append((actors.backbone, actors.backbone.state(POLICY), actors.backbone.heads[VALUE].linear))
        assert not any(p.any() for p in actors.backbone.heads[VALUE].linear.parameters())

    monkeypatch.setattr(Critic, "__init__", catch)
    said = small.run("shared", small.ppo(RM, policy="run:sft", updates=2, value_warmup=2, **SHARED, **QUIET))
    assert ended_well(said)
    ((backbone, before, linear),) = seen
    assert all(torch.equal(before[k], v) for k, v in backbone.state(POLICY).items())
    assert linear.weight.any()
    first, second = curve(said).values()
    assert first["objective/kl_sequence"] == second["objective/kl_sequence"] == 0.0
    assert first["policy/ratio_max"] == second["policy/ratio_max"] == 1.0
    assert first["policy/grad_norm"] == 0.0 < first["value/grad_norm"]
    assert first["value/mean"] == 0.0 != second["value/mean"]


def test_a_value_model_starts_as_the_reward_model_or_at_zero(small, inside):
    copied = Hand(small, inside)
    backbone = copied.actors.backbone
    assert all(torch.equal(v, backbone.state("reward")[k]) for k, v in backbone.state(VALUE).items())
    assert torch.equal(backbone.heads[VALUE].linear.weight, backbone.heads["reward"].linear.weight)
    zero = Hand(small, inside, value_init="zero")
    backbone = zero.actors.backbone
    assert all(torch.equal(v, backbone.state(POLICY)[k]) for k, v in backbone.state(VALUE).items())
    values, after = zero.critic.measure(zero.roll(), zero.run)
    assert not values.any() and not after.any()


@pytest.mark.parametrize(
    ("field", "changed", "sentence"),
    [
        ("value_init", {"critic": "shared"}, "cannot start as a copy of the reward model"),
        ("value_init", {"reward_model": "", "rewards": (LengthReward(),)}, "since there is none"),
        ("kl_estimator", {"kl_in": "loss"}, "k1 in the loss pulls nowhere"),
        ("kl_estimator", {"kl_estimator": "k3+"}, "a reward has none"),
        ("ptx_dataset", {"ptx_coef": 1.0}, "no dataset of them has been chosen"),
    ],
)
def test_settings_that_contradict_each_other_are_named(small, field, changed, sentence):
    with pytest.raises(SpecError, match=sentence) as error:
        small.ppo(**{"reward_model": RM, **changed})
    assert error.value.field == field and error.value.hint


# Demonstrations mixed in ----------------------------------------------------------------------------------------------


def test_demonstrations_pull_as_in_sft_times_their_weight(small, inside):
    mixed = {"ptx_coef": 2.5, "ptx_dataset": small.demonstrations}
    hand = Hand(small, inside, policy=small.model, **WHOLE | mixed)
    found, weights = hand.bent()
    (policy, _), told = hand.gradients(found, torch.zeros_like(weights))

    learner = passes.Learner(hand.spec, hand.run, hand.actors, hand.critic)
    hand.run.rng.manual_seed(3)
    rows = [learner.imitation._rows[i] for i in learner.imitation.order.next()]
    nats, tokens = torch.zeros(()), 0
    with hand.actors.backbone.acting_as(POLICY):
        for row in rows:  # one by one, by the model's own output
            logits = hand.actors.backbone.base.model(torch.tensor([row.ids])).logits[0, :-1]
            wanted = [i for i, answers in enumerate(row.completion_mask) if answers]
            targets = torch.tensor([row.ids[i] for i in wanted])
            nats = nats + torch.nn.functional.cross_entropy(logits[[i - 1 for i in wanted]], targets, reduction="sum")
            tokens += len(wanted)
    (2.5 * nats / tokens).backward()
    assert equal_gradients(policy, [p.grad for p in hand.actors.backbone.parameters_of(POLICY)])
    assert told["policy/ptx_loss"] == pytest.approx((nats / tokens).item(), abs=1e-5)


def test_mixing_in_what_holds_no_demonstrations_is_refused(small, inside):
    hand = Hand(small, inside, ptx_coef=1.0, ptx_dataset=small.prompts)
    with pytest.raises(DataError) as error:
        passes.Learner(hand.spec, hand.run, hand.actors, hand.critic)
    assert "demonstrations" in str(error.value) and error.value.hint


# Gold proxy -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden(small):
    """Two reward models that say they were trained on different halves of the prompts: run:half-a and run:half-b."""
    assert ended_well(small.run("half-b", small.reward(epochs=0.3, seed=1, sample_every=0, evaluate_every=0)))
    shutil.copytree(small.root / "runs" / "rm", small.root / "runs" / "half-a")
    for half in ("a", "b"):
        file = small.root / "runs" / f"half-{half}" / "adapter" / "model.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts_from": f"half {half}"}))
    return "run:half-a", "run:half-b"


def test_a_gold_proxy_is_watched_and_rewards_nothing(small, golden):
    reward, gold = golden
    steps = {"updates": 3, "value_warmup": 0, **QUIET}
    with_it = small.run("gold", small.ppo(reward, gold_model=gold, **steps))
    without = small.run("no-gold", small.ppo(reward, **steps))
    assert ended_well(with_it) and ended_well(without)
    curves = curve(with_it)
    watched = {step: values.pop("objective/gold") for step, values in curves.items()}
    assert curves == curve(without)
    assert all(watched[step] != curves[step]["objective/score"] for step in curves)
    assert not said_by(with_it, "gold proxy")
    about = json.loads((small.root / "runs" / "gold" / "adapter" / "model.json").read_text())
    assert about["gold_model"] == gold and about["reward_model"] == reward


@pytest.mark.parametrize("gold", ["run:half-a", RM])
def test_a_gold_proxy_that_saw_the_same_prompts_is_told_of(small, golden, gold):
    said = small.run("not-gold", small.ppo("run:half-a", gold_model=gold, updates=1, **QUIET))
    assert ended_well(said)
    (told,) = said_by(said, "gold proxy has seen prompts of the reward model")
    assert told.level == "warning" and told.hint


# Numbers that are none ------------------------------------------------------------------------------------------------


@pytest.fixture
def poisoned(monkeypatch):
    """The third minibatch of the runs to come has a loss that is not a number."""
    real, calls = passes.policy_loss, []

    def loss(*given):
        calls.append(None)
        found = real(*given)
        return found._replace(loss=found.loss * float("nan")) if len(calls) == 3 else found

    monkeypatch.setattr(passes, "policy_loss", loss)


@pytest.mark.parametrize("then", ["stop", "skip", "pause"])
def test_a_minibatch_without_a_number_is_kept_and_not_learned_from(small, poisoned, then):
    run_id = f"nan-{then}"
    steps = {"updates": 3, "epochs": 1, "value_warmup": 0, "not_finite": then, **QUIET}
    control, said = RunControl(), []

    def listen(envelope):
        said.append(envelope)
        if isinstance(envelope.event, RunPaused):
            control.resume()

    end = execute(run_id, small.ppo(RM, **steps), listen, control, small.root)
    folder = small.root / "runs" / run_id
    kept = load_file(folder / "not_finite" / "000002.safetensors")  # two minibatches an update
    assert {len(tensor) for tensor in kept.values()} == {4}
    assert kept.keys() >= {"ids", "mask", "old_logp", "ref_logp", "weights", "scores"}
    paused = [type(e.event) for e in said if isinstance(e.event, RunPaused | RunResumed)]
    assert paused == ([RunPaused, RunResumed] if then == "pause" else [])
    if then == "stop":
        assert isinstance(end, RunFinished) and end.outcome == "failed" and end.hint and not end.traceback
        assert f"The minibatch is kept in runs/{run_id}/not_finite/000002.safetensors." in end.message
        assert curve(said).keys() == {1}
        return
    assert ended_well(said)
    (told,) = said_by(said, "gradient is NaN or infinite")
    assert told.level == "danger" and told.step == 2 and "not_finite/000002.safetensors" in told.text
    assert curve(said)[3]["policy/grad_norm"] > 0
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


# What it says ---------------------------------------------------------------------------------------------------------


def test_one_line_says_how_an_answer_becomes_a_reward(small):
    shaped = {"overlong_buffer": 2, "repetition_penalty": 0.3, "reward_scaling": "scale", "whiten_rewards": True}
    spec = small.ppo(RM, rewards=(LengthReward(weight=-0.5),), kl_coef=0.05, updates=1, **shaped, **QUIET)
    (told,) = said_by(small.run("line", spec), "Reward:")
    assert told.text == (
        "Reward: 1 * model + -0.5 * length = score → over-long penalty over the last 2 tokens → repetition penalty 0.3 "
        "→ no end: subtract 1 → running scale → clip to 5 → on the last token → minus 0.05 * k1 per token → whitened → "
        "GAE with lambda 0.95."
    )
    spec = dataclasses.replace(spec, kl_in="loss", kl_estimator="k3", whiten_rewards=False, score_clip=0.0)
    assert ppo.pipeline_end(spec) == "on the last token → GAE with lambda 0.95 → 0.05 * k3 in the loss"


# Going on -------------------------------------------------------------------------------------------------------------


def changes(small, which):
    mixed = {"ptx_coef": 0.5, "ptx_dataset": small.demonstrations}
    return {
        "shared": SHARED | {"kl_in": "loss", "kl_estimator": "k3"},
        "mixed in": mixed,
        "refreshed": {"reference_refresh": 2, "rewards": (LengthReward(target=3),), "gold_model": RM},
    }[which]


def cut_and_resumed(small, run_id, spec):
    """A run suspended after its third update, and the rest of it."""
    control, said = RunControl(), []

    def suspend(envelope):
        said.append(envelope)
        if isinstance(envelope.event, Metrics) and envelope.event.step == 3:
            control.suspend()

    assert execute(run_id, spec, suspend, control, small.root).outcome == "suspended"
    return said, small.run(run_id, spec, resume=True)


@pytest.mark.parametrize("which", ["shared", "mixed in", "refreshed"])
def test_a_run_that_was_cut_goes_on_bit_for_bit(small, which):
    spec = small.ppo(RM, updates=5, value_warmup=1, **changes(small, which), **QUIET)
    whole = small.run(f"whole {which}", spec)
    assert ended_well(whole)
    first, rest = cut_and_resumed(small, f"cut {which}", spec)
    assert ended_well(rest) and curve(first + rest) == curve(whole)
    one, two = (
        load_file(small.root / "runs" / f"{name} {which}" / "adapter" / "adapter_model.safetensors")
        for name in ("whole", "cut")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("which", "forgotten"), [("shared", "value"), ("mixed in", "ptx_order"), ("refreshed", REFERENCE)]
)
def test_what_a_knob_adds_to_a_checkpoint_is_needed(small, monkeypatch, which, forgotten):
    """The negative control: without it the run does not go on as the same."""
    spec = small.ppo(RM, updates=5, value_warmup=1, **changes(small, which), **QUIET)
    keep = RunContext.keep

    class Forgetful:
        def __init__(self, thing):
            self.state_dict = thing.state_dict

        def load_state_dict(self, state):
            """Restores nothing."""

    def forgetful(self, **kept):
        keep(self, **kept | {forgotten: Forgetful(kept[forgotten])})

    whole = curve(small.run(f"all {which}", spec))
    monkeypatch.setattr(RunContext, "keep", forgetful)
    _, rest = cut_and_resumed(small, f"forgetful {which}", spec)
    assert ended_well(rest)
    assert any(found != whole[step] for step, found in curve(rest).items())
