"""The starter model, taken through all of RLHF: does each step do what it is for? Bounds, for the seed that is stated.

Minutes on two cores. Everything is measured on prompts that no step trained on, and judged by the written rule.
"""

import pytest

from rlhf_engine.cli.demo import take_through
from rlhf_engine.cli.report import write_report

pytestmark = [pytest.mark.learning, pytest.mark.timeout(1800)]
SEED = 0


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return take_through(tmp_path_factory.mktemp("demo") / "project", SEED, as_json=False, say=lambda _: None)


def test_the_base_continues_text_and_sft_answers(found):
    assert found.base.well_formed < 0.2
    assert found.sft.well_formed > 0.75


def test_the_reward_model_orders_pairs_it_never_saw(found):
    assert found.reward_accuracy >= 0.75


def test_ppo_raises_the_reward_within_a_small_drift(found):
    assert found.reward_gain >= 1.0  # standard deviations of the SFT model's rewards
    assert found.kl < 15.0  # nats per answer


def test_the_gold_judge_prefers_ppo_over_sft(found):
    assert found.gold_win_rate >= 0.65


def test_what_ppo_improved_is_what_was_judged_better(found):
    assert found.ppo.polite > found.sft.polite
    assert found.ppo.correct > found.sft.correct - 0.1  # manners were not bought with errors


def test_the_report_holds_the_figures_and_the_plots(found, tmp_path):
    folder = write_report(found, tmp_path / "report")
    assert {p.name for p in folder.glob("*.png")} == {"sft.png", "reward.png", "ppo.png", "frontier.png", "rewards.png"}
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert f"{found.gold_win_rate:.0%}" in text
    assert "Of two answers" in text
