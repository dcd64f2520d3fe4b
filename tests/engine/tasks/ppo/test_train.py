"""PPO as it runs: its identities before the first step, who moves and who must not, and whether it learns."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from rlhf_engine.contract.errors import ModelError, SpecError
from rlhf_engine.contract.events import Alert, Produced, RunFinished, Sample
from rlhf_engine.data.chat import answer_text, render
from rlhf_engine.data.datasets import freeze
from rlhf_engine.data.questions import Question
from rlhf_engine.data.records import PromptRecord, split_of
from rlhf_engine.models.load import load_base
from rlhf_engine.models.sampling import Answer
from rlhf_engine.rewards.mix import REWARD, Rewards, Scores
from rlhf_engine.rollouts.actors import POLICY, REFERENCE, Actors
from rlhf_engine.rollouts.batch import Batch
from rlhf_engine.rollouts.learner import Learner
from rlhf_engine.rollouts.loss import policy_loss
from rlhf_engine.rollouts.rollout import require_identities
from rlhf_engine.tasks.ppo import train as ppo
from rlhf_engine.tasks.ppo.critic import VALUE, Critic
from rlhf_engine.tasks.ppo.loss import value_loss
from rlhf_engine.tensors import masked_mean
from tests.engine.small_project import curve, ended_well
from tests.engine.tasks.ppo.hand import RM, Hand
from tests.engine.tiny import tiny_model

QUIET = {"sample_every": 0, "checkpoint_every": 100}


@pytest.fixture
def caught(monkeypatch):
    """The actors of the runs to come, with copies of all weights as they were before the first step."""
    found = []
    made = Critic.__init__

    def catch(self, spec, actors):
        made(self, spec, actors)
        found.append((actors, copies(actors)))

    monkeypatch.setattr(Critic, "__init__", catch)
    return found


def copies(actors):
    parts = {}
    for name in (POLICY, REFERENCE, REWARD, VALUE):
        backbone = actors.rewards.main.backbone if name == REWARD else actors.backbone
        parts[name] = backbone.state(name)
        if name in backbone.heads:
            head = backbone.heads[name].state_dict()
            parts[f"{name} head"] = {k: v.clone() for k, v in head.items()}
    model = actors.backbone.base.model.state_dict()
    parts["base"] = {k: v.clone() for k, v in model.items() if "lora_" not in k}
    return parts


def moved(before, after):
    return {name for name in before if any(not torch.equal(v, after[name][k]) for k, v in before[name].items())}


# Identities ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("policy", ["base", "sft"])
def test_at_the_start_kl_is_exactly_0_and_every_ratio_exactly_1(small, temperature, policy):
    start = {"policy": "run:sft"} if policy == "sft" else {}
    said = small.run("start", small.ppo(RM, updates=3, temperature=temperature, value_warmup=1, **start, **QUIET))
    assert ended_well(said)
    first, second, third = curve(said).values()
    for name in ("objective/kl_sequence", "objective/kl_token_k1", "objective/kl_token_k3", "policy/approx_kl"):
        assert first[name] == 0.0, name
    assert first["policy/ratio_max"] == 1.0 and first["policy/clip_fraction"] == 0.0
    assert first["policy/ratio_mean"] == pytest.approx(1.0, abs=1e-6)
    assert first["policy/grad_norm"] == 0.0 < first["value/grad_norm"]  # only the value learned
    assert second["objective/kl_sequence"] == 0.0 and second["policy/ratio_max"] > 1.0
    assert third["objective/kl_sequence"] != 0.0


def test_the_first_minibatch_has_ratio_1_also_where_the_policy_learns_at_once(small):
    said = small.run("at-once", small.ppo(RM, updates=1, value_warmup=0, epochs=1, minibatch_size=8, **QUIET))
    assert ended_well(said)
    (only,) = curve(said).values()
    assert only["policy/ratio_max"] == 1.0 and only["policy/grad_norm"] > 0


def test_a_reference_that_is_not_the_policy_is_refused(small, inside):
    hand = Hand(small, inside)
    state = hand.actors.backbone.state(REFERENCE)
    hand.actors.backbone.load_state(REFERENCE, {k: v * 0 for k, v in state.items()})  # "adapter off": the classic
    with pytest.raises(ModelError, match=r"KL to the reference is not 0: policy and reference are .* nats") as error:
        require_identities(hand.actors, hand.spec, hand.roll(), hand.rows)
    assert "base and SFT adapter together" in error.value.hint


def test_dropout_while_training_is_refused(small, inside):
    hand = Hand(small, inside)
    found = hand.roll()
    require_identities(hand.actors, hand.spec, found, hand.rows)
    hand.actors.backbone.train(True)
    with pytest.raises(ModelError, match="the probability ratio is not 1, but up to") as error:
        require_identities(hand.actors, hand.spec, found, hand.rows)
    assert "dropout" in error.value.hint


def test_a_temperature_forgotten_in_one_pass_is_refused(small, inside):
    hand = Hand(small, inside, temperature=0.7)
    found = hand.roll()
    warm = dataclasses.replace(hand.spec, temperature=1.0)
    with pytest.raises(ModelError, match="the probability ratio is not 1"):
        require_identities(hand.actors, warm, found, hand.rows)


def test_a_run_whose_identities_do_not_hold_does_not_start(small, monkeypatch):
    load = Actors.load.__func__

    def wrong(cls, spec, run):
        actors = load(cls, spec, run)
        actors.backbone.load_state(REFERENCE, {k: v * 0 for k, v in actors.backbone.state(REFERENCE).items()})
        return actors

    monkeypatch.setattr(Actors, "load", classmethod(wrong))
    said = small.run("refused", small.ppo(RM, policy="run:sft", **QUIET))
    end = said[-1].event
    assert isinstance(end, RunFinished) and end.outcome == "failed" and "KL to the reference" in end.message
    assert curve(said) == {}


# Who moves ----------------------------------------------------------------------------------------------------------


def test_only_policy_and_value_move(small, caught):
    said = small.run("moves", small.ppo(RM, policy="run:sft", updates=3, sample_every=1))
    assert ended_well(said)
    ((actors, before),) = caught
    assert moved(before, copies(actors)) == {POLICY, VALUE, "value head"}
    assert all(torch.equal(before[POLICY][k], before[REFERENCE][k]) for k in before[POLICY])
    mean, std = (actors.backbone.heads[VALUE].state_dict()[k] for k in ("mean", "std"))
    assert (mean, std) == (before["reward head"]["mean"], before["reward head"]["std"])  # not trained


def test_while_the_value_warms_up_the_policy_stands_still(small, caught):
    assert ended_well(small.run("warm", small.ppo(RM, updates=2, value_warmup=2, **QUIET)))
    ((actors, before),) = caught
    assert moved(before, copies(actors)) == {VALUE, "value head"}


def test_a_refreshed_reference_is_the_mixture(small, inside):
    hand = Hand(small, inside)
    backbone = hand.actors.backbone
    backbone.load_state(POLICY, {k: v + 1 for k, v in backbone.state(POLICY).items()})
    policy, reference = backbone.state(POLICY), backbone.state(REFERENCE)
    hand.actors.refresh_reference(0.25)
    for key, value in backbone.state(REFERENCE).items():
        torch.testing.assert_close(value, 0.25 * policy[key] + 0.75 * reference[key])
    hand.actors.refresh_reference(1.0)
    assert all(torch.equal(v, policy[k]) for k, v in backbone.state(REFERENCE).items())


def test_refreshing_makes_the_drift_begin_anew_and_is_said(small):
    settings = {"updates": 3, "value_warmup": 0, "reference_mix": 1.0, **QUIET}
    said = small.run("refresh", small.ppo(RM, reference_refresh=1, **settings))
    kept = small.run("no-refresh", small.ppo(RM, **settings))
    assert ended_well(said) and ended_well(kept)
    assert [v["objective/kl_sequence"] for v in curve(said).values()] == [0.0] * 3
    assert all(curve(kept)[step]["objective/kl_sequence"] != 0.0 for step in (2, 3))
    told = [e.event.step for e in said if isinstance(e.event, Alert) and "reference has moved" in e.event.text]
    assert told == [1, 2, 3]


# Gradients ----------------------------------------------------------------------------------------------------------


def learned(hand, logp, **changed):
    """What one update says that learns from a rollout whose old log-probabilities are made up."""
    found = hand.roll()
    found = dataclasses.replace(found, logp=torch.where(found.mask, found.logp + logp, 0.0))
    spec = dataclasses.replace(hand.spec, **changed)
    torch.manual_seed(1)
    weights, returns = torch.randn_like(found.logp), torch.randn_like(found.logp)
    hand.critic.teach(hand.critic.measure(found, hand.run)[0], returns)
    hand.critic.learning_rate = spec.value_learning_rate
    return Learner(spec, hand.run, hand.actors, hand.critic).learn(5, found, weights, 0.0)


def test_a_minibatch_whose_mean_ratio_is_too_high_is_skipped_and_said(small, inside):
    hand = Hand(small, inside)
    before = hand.actors.backbone.state(POLICY)
    values = learned(hand, -1.5, max_ratio=3.0)  # every ratio begins at e ^ 1.5 = 4.48
    assert values["policy/ratio_mean"] == pytest.approx(4.4817, abs=1e-3)
    assert values["policy/grad_norm"] == 0.0 < values["value/grad_norm"]  # the value learns all the same
    assert all(torch.equal(v, before[k]) for k, v in hand.actors.backbone.state(POLICY).items())
    (said,) = [e.event for e in hand.hand.said if isinstance(e.event, Alert)]
    assert "its mean probability ratio was 4.5" in said.text and said.hint


def test_the_largest_ratio_is_that_of_the_whole_update(small, inside):
    hand = Hand(small, inside, epochs=1)
    rows = torch.zeros(hand.spec.batch_size, 1)
    rows[-1] = -1.0  # one answer, in the last minibatch, has become e times as likely
    values = learned(hand, rows, learning_rate=1e-8, value_learning_rate=1e-8)
    assert values["policy/ratio_max"] == pytest.approx(2.7183, abs=1e-3)


def test_passes_over_a_batch_end_once_the_policy_has_gone_far_enough(small, inside):
    hand = Hand(small, inside, epochs=3)
    # half the square of 0.5 is 0.125 nats; the passes end beyond 1.5 times the target
    slow = {"learning_rate": 1e-8, "value_learning_rate": 1e-8}
    assert learned(hand, -0.5, target_kl=0.08, **slow)["policy/epochs"] == 1.0
    assert learned(hand, -0.5, target_kl=0.09, **slow)["policy/epochs"] == 3.0


def test_more_padding_changes_no_loss(small, inside):
    hand = Hand(small, inside)
    found = hand.roll()
    torch.manual_seed(1)
    prompts = [row[keep].tolist() for row, keep in zip(found.batch.ids, found.batch.attention.bool(), strict=True)]
    counts = found.mask.sum(1).tolist()
    prompts, answers = zip(*((row[:-n], row[-n:]) for row, n in zip(prompts, counts, strict=True)), strict=True)
    width, extra = found.mask.shape[1], 5
    backbone, asked_width = hand.actors.backbone, found.batch.prompt_width
    wide = Batch.of(backbone, list(prompts), list(answers), asked_width + 7, width + extra)
    known, _ = hand.critic.measure(found, hand.run)
    weights, returns = torch.randn_like(found.logp), torch.randn_like(found.logp)

    def losses(batch, fill):
        def wider(x):
            tail = torch.full((len(x), batch.answer_mask.shape[1] - width), fill, dtype=x.dtype)
            return torch.cat([x, tail], 1)

        mask = batch.answer_mask
        now = hand.actors.logprobs(POLICY, batch, 1.0)
        values, after = hand.critic.values(batch)
        old = wider(found.logp - 0.1)
        policy = policy_loss(now.logp, old, wider(weights), mask, clip=0.2)
        value = value_loss(values, wider(known + 0.3), wider(returns), mask, clip=0.2)
        numbers = [*policy, *value, masked_mean(now.entropy, mask), *after]
        return [number.item() for number in numbers]

    with torch.no_grad():
        assert losses(wide, fill=900.0) == pytest.approx(losses(found.batch, fill=0.0), abs=1e-5)


# Rewards ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "expected"),
    [("nothing", lambda raw: raw), ("subtract", lambda raw: raw - 0.75), ("replace", lambda raw: raw * 0 - 0.75)],
)
def test_answers_without_an_end_are_treated_as_asked(small, inside, how, expected):
    found = Hand(small, inside, missing_eos=how, missing_eos_penalty=0.75, response_tokens=2).roll()
    assert not found.ended.all()
    torch.testing.assert_close(found.scores, torch.where(found.ended, found.raw_scores, expected(found.raw_scores)))


def test_scores_are_clipped_after_scaling_and_paid_once(small, monkeypatch):
    paid = []
    real = ppo.token_rewards

    def spy(scores, log_ratio, mask, beta, whitened):
        rewards = real(scores, log_ratio, mask, beta, whitened)
        paid.append((scores, rewards, mask))
        return rewards

    monkeypatch.setattr(ppo, "token_rewards", spy)
    said = small.run("clipped", small.ppo(RM, updates=1, score_clip=0.5, reward_scaling="norm", **QUIET))
    assert ended_well(said)
    ((scores, rewards, mask),) = paid
    assert scores.abs().max() == 0.5  # normed scores have deviation 1, so some are beyond
    torch.testing.assert_close(rewards.sum(1), scores)  # KL is 0 in the first update
    assert ((rewards != 0).sum(1) == (scores != 0)).all() and not rewards[~mask].any()
    values = curve(said)[1]
    assert values["objective/score_shaped"] == pytest.approx(scores.mean().item(), abs=1e-6)
    assert values["reward/scaled"] == pytest.approx(0.0, abs=1e-6)  # normed by this batch alone, and not yet clipped
    # each answer without an end lost 1
    assert values["reward/penalised"] == pytest.approx(values["objective/score"] - values["answers/truncated_rate"])


def test_a_score_in_the_rollout_is_the_reward_models_own_number(small, inside):
    hand = Hand(small, inside)
    found = hand.roll()
    rows = [row[keep].tolist() for row, keep in zip(found.batch.ids, found.batch.attention.bool(), strict=True)]
    rows = [row if row[-1] == 1 else [*row, 1] for row in rows]
    one_by_one = torch.cat([hand.actors.rewards.main.backbone.score(REWARD, [row]) for row in rows])
    torch.testing.assert_close(found.raw_scores, one_by_one, atol=1e-5, rtol=0)


def test_an_answer_that_fills_the_context_is_scored_within_it(small, inside):
    actors = Hand(small, inside).actors
    asked, said = list(range(10, 110)) * 2 + list(range(10, 60)), [70, 71, 72, 73, 74, 75]
    judge = actors.rewards.main
    assert len(asked) + len(said) == judge.backbone.base.context
    found = judge([Question("long", asked)], [Answer(said, finish="length")], 4)
    assert found.tolist() == judge.backbone.score(REWARD, [[*asked, *said[:-1], 1]]).tolist()
    ended = judge([Question("long", asked)], [Answer([*said[:-1], 1], finish="eos")], 4)
    assert ended.tolist() == found.tolist()


def test_a_value_is_read_before_its_token_and_one_after_the_last(small, inside):
    hand = Hand(small, inside)
    found = hand.roll()
    rows = [row[keep].tolist() for row, keep in zip(found.batch.ids, found.batch.attention.bool(), strict=True)]
    asked = [row[: len(row) - n] for row, n in zip(rows, found.lengths.tolist(), strict=True)]
    values, after = hand.critic.measure(found, hand.run)
    with torch.no_grad():  # one by one, read at the last token of what stands before
        torch.testing.assert_close(values[:, 0], hand.actors.backbone.score(VALUE, asked), atol=1e-5, rtol=0)
        torch.testing.assert_close(after, hand.actors.backbone.score(VALUE, rows), atol=1e-5, rtol=0)


# Reward models of another base --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_judge(small):
    model = str(tiny_model(small.root / "other", seed=1, hidden=16, chat=False))
    quick = {"epochs": 0.3, "sample_every": 0, "evaluate_every": 0, "normalise_on": 16}
    assert ended_well(small.run("rm-other", small.reward(model=model, **quick)))
    return "run:rm-other"


def test_a_reward_model_on_another_base_judges_text(small, other_judge, caught):
    said = small.run("other", small.ppo(other_judge, value_init="zero", updates=2, sample_every=1))
    assert ended_well(said)
    ((actors, before),) = caught
    assert actors.rewards.main.backbone is not actors.backbone
    assert moved(before, copies(actors)) == {POLICY, VALUE, "value head"}
    assert any(isinstance(e.event, Sample) and e.event.score is not None for e in said)


def test_a_value_cannot_start_from_another_base(small, other_judge):
    end = small.run("other-value", small.ppo(other_judge))[-1].event
    assert end.outcome == "failed" and "The value model cannot start from run:rm-other" in end.message
    assert 'Set "Value starts from" to zero.' in end.hint and not end.traceback


def test_a_reward_model_of_another_base_reads_prompts_as_it_was_trained_on_them(small, inside):
    model = str(tiny_model(small.root / "other-plain", seed=1, hidden=16))
    quick = {"epochs": 0.1, "sample_every": 0, "evaluate_every": 0, "normalise_on": 0}
    assert ended_well(small.run("rm-plain", small.reward(model=model, template="plain", **quick)))
    spec = small.ppo("run:rm-plain", value_init="zero")  # in the chat template
    actors = Actors.load(spec, inside(spec).run)
    judge = actors.rewards.main
    theirs = judge.backbone.base.tokenizer
    assert theirs.chat_template
    found = judge([Question("What is 1?", [5, 6])], [Answer([70, 71], finish="length")], 4)
    text = answer_text(actors.backbone.base.tokenizer, [70, 71])
    as_trained = judge.backbone.score(REWARD, [render(theirs, "What is 1?", text, "plain").ids])
    assert found.tolist() == as_trained.tolist()
    assert found.tolist() != judge.backbone.score(REWARD, [render(theirs, "What is 1?", text, "chat").ids]).tolist()


def test_a_reward_model_trained_on_prompts_in_another_format_is_refused(small):
    end = small.run("format", small.ppo(RM, template="plain"))[-1].event
    assert end.outcome == "failed" and not end.traceback
    assert 'run:rm was trained on prompts in the format "auto", and this run writes them as "plain".' in end.message
    assert 'Set "Prompt format" to auto' in end.hint
    assert ended_well(small.run("same-format", small.ppo(RM, template="chat", updates=1, **QUIET)))  # auto is chat


def test_a_reward_model_whose_chat_template_was_changed_is_refused(small, monkeypatch):
    from tests.engine import tiny

    changed = tiny.CHAT_TEMPLATE.replace("{{ message['content'] }}", " {{ message['content'] }}")
    monkeypatch.setattr(tiny, "CHAT_TEMPLATE", changed)
    kept = {path: path.read_bytes() for path in Path(small.model).iterdir()}
    try:
        tiny_model(Path(small.model))
        end = small.run("new-template", small.ppo(RM))[-1].event
    finally:
        for path, content in kept.items():
            path.write_bytes(content)
    assert end.outcome == "failed" and not end.traceback
    assert "run:rm was trained with another chat template than" in end.message and "old chat template" in end.hint


def test_what_is_no_reward_model_is_refused(small):
    end = small.run("no-judge", small.ppo("run:sft"))[-1].event
    assert end.outcome == "failed" and "run:sft is not a reward model." in end.message and end.hint


# Data ---------------------------------------------------------------------------------------------------------------


def of_split(split, count=12, tail=""):
    prompts = (f"Word {i}?{tail}" for i in range(10_000))
    return [PromptRecord(p) for p, _ in zip((p for p in prompts if split_of(p) == split), range(count), strict=False)]


def test_long_prompts_are_left_out_and_counted_also_among_the_held_out(small):
    rows = of_split("train", 9) + of_split("train", 2, " again" * 200) + of_split("heldout", 2, " again" * 200)
    ref = freeze(small.root, "prompts", rows, "mixed", "test", {}).ref
    said = small.run("long", small.ppo(RM, dataset=ref, updates=1, sample_every=1))
    assert ended_well(said)
    assert any(
        isinstance(e.event, Alert) and "2 of 11 prompts are longer than 250 tokens" in e.event.text for e in said
    )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (of_split("train", 3, " again" * 200), "All 3 prompts are longer than 250 tokens"),
        (of_split("heldout"), "has no prompts to practise on."),
    ],
    ids=["too long", "held out"],
)
def test_nothing_to_practise_on_ends_in_a_sentence(small, rows, message):
    ref = freeze(small.root, "prompts", rows, "nothing", "test", {}).ref
    end = small.run("nothing", small.ppo(RM, dataset=ref))[-1].event
    assert end.outcome == "failed" and message in end.message and end.hint and not end.traceback


def test_fewer_prompts_than_answers_are_asked_more_than_once(small):
    ref = freeze(small.root, "prompts", of_split("train", 3), "three", "test", {}).ref
    assert ended_well(small.run("three", small.ppo(RM, dataset=ref, updates=1, **QUIET)))


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("minibatch_size", {"minibatch_size": 3}),
        ("whiten_rewards", {"whiten_rewards": True, "batch_size": 4}),
        ("lora_dropout", {"lora_dropout": 0.1}),
        ("overlong_buffer", {"overlong_buffer": 6}),
        ("temperature", {"temperature": 0.0}),
        ("kl_coef", {"kl_coef": -1}),
        ("missing_eos", {"missing_eos": "maybe"}),
        ("updates", {"updates": "ten"}),
        ("reward_model", {"reward_model": ""}),
    ],
)
def test_a_setting_that_does_not_hold_is_named(small, field, changed):
    with pytest.raises(SpecError) as error:
        small.ppo(**{"reward_model": RM, **changed})
    assert error.value.field == field


# Learning -----------------------------------------------------------------------------------------------------------


def test_it_learns_a_rule_and_a_kl_penalty_holds_it_back(small, monkeypatch):
    """The score is the share of tokens on one side of a plane through the output layer: a half at first."""
    output = load_base(small.model, torch.device("cpu"), torch.float32).model.get_output_embeddings().weight
    good = set((output[:, 0] > 0).nonzero()[:, 0].tolist())

    def rule(_self, _asked, answers):
        score = torch.tensor([sum(t in good for t in a.tokens) / len(a.tokens) for a in answers])
        return Scores(score, {"model": score})

    monkeypatch.setattr(Rewards, "__call__", rule)
    settings = {"updates": 9, "batch_size": 32, "minibatch_size": 16, "micro_batch_size": 16, "response_tokens": 8}
    settings |= {"learning_rate": 1e-2, "value_learning_rate": 1e-2, "epochs": 3, "schedule": "constant", "warmup": 0.0}
    settings |= {"missing_eos": "nothing", "value_init": "zero", "value_warmup": 0, **QUIET}
    settings |= {"adaptive_kl": False, "reward_scaling": "none"}
    found = {}
    for beta in (0.0, 1.0):
        said = small.run(f"rule-{beta}", small.ppo(RM, kl_coef=beta, **settings))
        assert ended_well(said)
        steps = list(curve(said).values())
        found[beta] = [steps[-1][name] for name in ("objective/score", "objective/kl_sequence")]
        assert steps[0]["objective/score"] == pytest.approx(0.5, abs=0.06)
        (made,) = [e.event for e in said if isinstance(e.event, Produced)]
        assert made.facts["objective/score"] == steps[-1]["objective/score"]
    (free, drift), (held, little) = found[0.0], found[1.0]
    assert free > 0.68 and held < free - 0.1, found
    assert 0 < little < drift, found
