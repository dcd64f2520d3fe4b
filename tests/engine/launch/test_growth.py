"""Which reward runs make a learning curve, and which are missing from it."""

from __future__ import annotations

import json

import pytest

from rlhf_engine.choosing.learning_curve import Point
from rlhf_engine.cli import main, needed
from rlhf_engine.contract.events import Envelope, Produced, RunFinished, RunStarted
from rlhf_engine.launch.growth import growth_of
from rlhf_engine.store.project import Project
from rlhf_engine.store.runs import RunsWriter
from rlhf_engine.tasks import spec_to_json
from rlhf_engine.tasks.reward.spec import RewardSpec


def trained(root, run, accuracy, used, labels=0, outcome="completed", **changed):
    spec = RewardSpec(**{"model": "starter", "dataset": "dataset:x", "labels": labels, **changed})
    facts = {"labels": used, "heldout/accuracy": accuracy, "heldout_pairs": 200}
    said = (RunStarted("reward", 1), Produced("reward_model", "a", facts), RunFinished(outcome))
    with RunsWriter(root) as writer:
        writer.start(run, spec_to_json(spec), "reward")
        writer.append(*(Envelope(run, n, 1e9 + n, event) for n, event in enumerate(said)))


@pytest.fixture
def root(tmp_path):
    Project.create(tmp_path / "p").close()
    return tmp_path / "p"


def test_runs_that_differ_in_nothing_but_their_number_of_labels_make_the_curve(root):
    assert growth_of(root).settings is None and growth_of(root).missing() == []
    trained(root, "other", 0.9, 400, epochs=5.0)
    trained(root, "failed", 0.9, 50, 50, "failed")
    trained(root, "small", 0.6, 100, 100)
    trained(root, "whole", 0.75, 400)
    found = growth_of(root)
    assert found.points == (Point(100, 0.6, 200), Point(400, 0.75, 200)) and found.labels == 400
    assert [spec.labels for spec in found.missing()] == [50, 200]
    assert found.fit() is None


def test_an_old_run_that_did_not_say_its_labels_is_done_again_first(root):
    trained(root, "old", 0.7, 0)
    found = growth_of(root)
    assert found.points == () and [spec.labels for spec in found.missing()] == [0]


def test_few_comparisons_are_not_cut_into_crumbs(root):
    trained(root, "whole", 0.7, 40)
    assert [spec.labels for spec in growth_of(root).missing()] == [20]


def test_what_was_stopped_half_way_is_gone_on_with(root, monkeypatch, capfd):
    trained(root, "whole", 0.75, 400)
    trained(root, "failed", 0.0, 0, 50, "failed")
    trained(root, "older", 0.0, 0, 100, "cancelled")
    trained(root, "newer", 0.0, 0, 100, "suspended")
    trained(root, "other", 0.0, 0, 200, "cancelled", epochs=5.0)
    assert growth_of(root).halted == {100: "newer"}
    asked = []

    def do_run(root, run, spec, name="", resume=False, as_json=False):
        asked.append((run, spec.labels, resume))
        if spec.labels == 200:
            return 4
        trained(root, f"{run} end", 0.6, spec.labels, spec.labels)
        return 0

    monkeypatch.setattr(needed, "do_run", do_run)
    assert main(["needed", "--train", "--project", str(root)]) == 4
    fresh, again, stopped = asked
    assert fresh[1:] == (50, False) and again == ("newer", 100, True) and stopped[1:] == (200, False)
    assert len({run for run, _, _ in asked}) == 3
    assert "Say the same again" in capfd.readouterr().err


def test_the_command_answers_in_one_sentence(root, capfd):
    assert main(["needed", "--project", str(root)]) != 0
    assert "There is no reward model" in capfd.readouterr().err
    trained(root, "a", 0.7, 16 * 16, 16 * 16)
    trained(root, "b", 0.8, 64 * 16, 64 * 16)
    assert main(["needed", "--project", str(root)]) != 0
    assert "three sizes, and there are 2" in capfd.readouterr().err
    trained(root, "c", 0.85, 256 * 16)
    assert main(["needed", "--project", str(root), "--accuracy", "0.84"]) == 0
    assert "may reach 84% already" in capfd.readouterr().out
    assert main(["needed", "--project", str(root), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert len(told["points"]) == 3 and told["needed"]["accuracy"] == 0.9 and told["answer"]
    assert told["needed"]["settled"] is False and told["answer"].startswith("Too little is measured")
    assert main(["needed", "--project", str(root), "--accuracy", "80"]) != 0
    assert "between 0 and 1" in capfd.readouterr().err
