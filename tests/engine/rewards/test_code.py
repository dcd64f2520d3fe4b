"""A person's own reward function: asked for, checked, and told of by line when it fails."""

from __future__ import annotations

import pytest

from rlhf_engine import consent
from rlhf_engine.contract.errors import DataError, SpecError
from rlhf_engine.rewards.code import load_function


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.setenv("RLHF_STUDIO_HOME", str(tmp_path / "home"))

    def write(source: str, agreed: bool = True) -> str:
        path = tmp_path / "mine.py"
        path.write_text(source)
        if agreed:
            consent.agree(path, consent.sha256_of(path))
        return str(path)

    return write


def test_a_function_is_called_with_prompt_answer_and_reference(written):
    path = written("def reward(prompt, answer, reference):\n    return len(prompt + answer) + (reference is None)\n")
    function = load_function(path, "reward")
    assert function("ab", "cde", None) == 6.0 and function("ab", "cde", "x") == 5.0


def test_nothing_is_run_that_was_not_agreed_to(written, tmp_path):
    trap = tmp_path / "trap"
    path = written(f"open({str(trap)!r}, 'w')\ndef reward(p, a, r):\n    return 0.0\n", agreed=False)
    with pytest.raises(SpecError, match="has not been agreed to be run here") as error:
        load_function(path, "reward")
    assert "rlhf allow" in error.value.hint and not trap.exists()
    consent.agree(path, consent.sha256_of(path))
    load_function(path, "reward")
    assert trap.exists() and not list(tmp_path.glob("**/__pycache__"))


def test_code_that_was_changed_is_asked_about_again(written):
    path = written("def reward(p, a, r):\n    return 0.0\n")
    written("def reward(p, a, r):\n    return 1.0\n", agreed=False)
    with pytest.raises(SpecError, match="has not been agreed"):
        load_function(path, "reward")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("def reward(p, a, r)\n    return 0\n", r"cannot be run: SyntaxError: .* \(line 1\)"),
        ("import math\nmath.sqrt(-1)\n", r"cannot be run: ValueError: .* \(line 2\)"),
        ("def score(p, a, r):\n    return 0\n", "has no function 'reward'"),
    ],
)
def test_a_file_that_does_not_run_is_told_by_line(written, source, sentence):
    with pytest.raises(SpecError, match=sentence):
        load_function(written(source), "reward")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("return a / 2", r"failed on the answer 'hello': TypeError: .* \(line 2\)"),
        ("return float('nan')", "returned nan for the answer 'hello', not a finite number"),
        ("return None", "returned None"),
        ("return True", "returned True"),
    ],
)
def test_a_function_that_fails_is_told_by_line_and_answer(written, body, sentence):
    function = load_function(written(f"def reward(p, a, r):\n    {body}\n"), "reward")
    with pytest.raises(DataError, match=sentence) as error:
        function("p", "hello", None)
    assert error.value.hint
