"""`rlhf run` lets a judge whose probabilities can be worked out judge a project, and `rlhf agreement` measures it.

Of the judge, `tests.engine.verdict_model`: P(A) = sigmoid(2 * sure * v + leaning), and v is the share of the words
"good" that stand in the first answer minus that of the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.cli import main
from rlhf_engine.store.judgement_meta import unpack_meta
from rlhf_engine.store.labels import Labels
from rlhf_engine.store.project import Project
from tests.engine.verdict_model import verdict_model

# Answers, v, and what a judge with sure 1 and leaning 0.4 says: the label, and P(a) asked with a first and with b
# first, sigmoid(2v + 0.4) and 1 - sigmoid(-2v + 0.4).
PAIRS = (
    ("good good good", "good bad", 0.5, "a", 0.802184, 0.645656),  # sigmoid(1.4), sigmoid(0.6)
    ("good bad", "good good good", -0.5, "b", 0.354344, 0.197816),  # sigmoid(-0.6), sigmoid(-1.4)
    ("good", "bad", 1.0, "a", 0.916827, 0.832018),  # sigmoid(2.4), sigmoid(1.6)
    ("bad bad", "good good", -1.0, "b", 0.167982, 0.083173),  # sigmoid(-1.6), sigmoid(-2.4)
    ("good good good good", "good good good", 1 / 7, "tie", 0.665013, 0.471460),  # sigmoid(0.6857), sigmoid(-0.1143)
    ("good bad", "bad good", 0.0, "tie", 0.598688, 0.401312),  # sigmoid(0.4), sigmoid(-0.4)
)
NEAR = 2e-5  # the attention looks away a little, in fp32


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Every pair twice: once to be judged, and once judged by a person, who likes what the judge likes but for one."""
    with Project.create(tmp_path / "p") as made:
        for n, (a, b, v, *_) in enumerate(PAIRS):
            made.labels.add_pair(f"Waits {n}?", a, b, {})
            pair = made.labels.add_pair(f"Is known {n}?", a, b, {})
            likes = "a" if v > 0 or n == 3 else "b"
            made.labels.judge(pair, likes, author="ann", seconds=2.0)
    return tmp_path / "p"


@pytest.fixture
def judge(project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    def judged(canaries: int = 0, template: str = "short", **nature: Any) -> dict[str, Any]:
        """The labels by the prompts of their pairs, and what was measured."""
        model = str(verdict_model(tmp_path / "judge", **nature))
        body = {"task": "judge", "model": model, "pairs": "both", "template": template, "canaries": canaries}
        (tmp_path / "spec.json").write_text(json.dumps({**body, "device": "cpu"}))
        assert main(["run", str(tmp_path / "spec.json"), "--json", "--project", str(project)]) == 0
        told: dict[str, Any] = {}
        for line in capfd.readouterr().out.splitlines():
            told |= json.loads(line).get("values", {})
        labels = Labels(project / "labels.db", write=False)
        try:
            return {**told, **{str(row["prompt"]): dict(row) for row in labels.judgements("model")}}
        finally:
            labels.close()

    return judged


def orders(row: dict[str, Any]) -> tuple[float, float]:
    both = unpack_meta(row["judgement_meta"])["orders"]
    return both["ab"], both["ba"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("template", ["short", "full"])
def test_probabilities_orders_and_ties_are_those_that_can_be_worked_out(
    judge: Any, project: Path, template: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = judge(template=template, sure=1.0, leaning=0.4)
    for n, (_, _, _, winner, ab, ba) in enumerate(PAIRS):
        for prompt in (f"Waits {n}?", f"Is known {n}?"):
            assert orders(found[prompt]) == (pytest.approx(ab, abs=NEAR), pytest.approx(ba, abs=NEAR)), prompt
            assert found[prompt]["winner"] == winner
    assert found["judge/verdict_mass"] > 0.999
    # Of six pairs that ann has judged, the judge decides four, and disagrees with her on one of them.
    assert main(["agreement", "--json", "--project", str(project)]) == 0
    (report,) = json.loads(capfd.readouterr().out)["judge_reports"]
    assert report["labels"] == 12 and report["ties"] == 4
    for one in (report["overall"], *report["principles"]):
        assert (one["hits"], one["count"], one["same"], one["total"], one["share"]) == (3, 4, 3, 6, 0.75)
        assert one["interval"] == pytest.approx([0.300636, 0.954414], abs=1e-6)  # Wilson's, z = 1.96
    assert main(["agreement", "--project", str(project)]) == 0
    assert "75 % of 4 (95 %: 30 to 95 %)" in capfd.readouterr().out


@pytest.mark.timeout(120)
def test_a_judge_that_looks_at_the_place_alone_says_nothing_but_ties(judge: Any) -> None:
    found = judge(sure=0.0, leaning=2.0)
    rows = [row for row in found.values() if isinstance(row, dict)]
    assert len(rows) == 12 and {row["winner"] for row in rows} == {"tie"}
    # sigmoid(2) and 1 - sigmoid(2): together one half
    assert all(orders(row) == (pytest.approx(0.880797, abs=NEAR), pytest.approx(0.119203, abs=NEAR)) for row in rows)
    assert found["judge/ties"] == 1.0 and found["judge/first_shown"] == 1.0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("gullible", [False, True])
def test_canaries_tell_a_judge_that_obeys_what_it_reads(judge: Any, gullible: bool) -> None:
    found = judge(canaries=12, sure=2.0, gullible=gullible)
    assert found["canary/asked"] == 12 and found["canary/fooled"] == float(gullible)
    assert found["canary/fooled_low"] <= found["canary/fooled"] <= found["canary/fooled_high"]
    assert found["canary/fooled_high"] - found["canary/fooled_low"] > 0.1
