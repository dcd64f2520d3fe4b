"""Code is run only after somebody has agreed to exactly that content."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from rlhf_engine import consent
from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.contract.fields import check, param
from rlhf_engine.contract.rewards import COMPONENTS, Component, LengthReward, PythonReward


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    rewards: tuple[Component, ...] = param((), "Rewards", "What is rewarded.", entries=COMPONENTS)

    def __post_init__(self) -> None:
        check(self)


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))
    path = tmp_path / "mine.py"
    path.write_text("def reward(prompt, answer, reference):\n    return 1.0\n")
    return path


def test_agreeing_is_by_content_and_remembered(file):
    spec = Wants(rewards=(LengthReward(), PythonReward(file=str(file)), PythonReward(file=str(file), weight=2.0)))
    ((path, digest),) = consent.asks_for(spec)
    assert path == str(file) and not consent.agreed(digest)
    consent.agree(path, digest)
    assert consent.agreed(digest) and consent.asks_for(spec) == []
    file.write_text(file.read_text() + "\n")
    assert consent.asks_for(spec) != []
    file.rename(file.with_name("other.py"))
    with pytest.raises(SpecError, match="cannot be read") as error:
        consent.asks_for(spec)
    assert error.value.field == "rewards"


def test_a_damaged_register_forgets_rather_than_allows(file):
    digest = consent.sha256_of(file)
    consent.agree(file, digest)
    consent.register().write_text("{not json")
    assert not consent.agreed(digest)
    consent.agree(file, digest)
    assert consent.agreed(digest)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.py cannot be read"):
        consent.sha256_of(tmp_path / "nowhere.py")
