"""Damaged checkpoints are named, and never outlive a whole one."""

from __future__ import annotations

import pytest
import torch

from rlhf_engine.runtime import checkpoints


def damage(folder, step):
    file = folder / f"{step:08d}" / "state.json"
    file.write_bytes(file.read_bytes()[:-1])


def test_damaged_checkpoints_after_a_step_are_named_in_order(tmp_path):
    for step in (2, 4, 6, 8):
        checkpoints.save(tmp_path, step, {"x": torch.ones(3)}, keep=4)
    for step in (2, 8, 6):
        damage(tmp_path, step)
    assert checkpoints.newest(tmp_path).step == 4
    assert checkpoints.damaged_after(tmp_path, 4) == [6, 8]
    assert checkpoints.damaged_after(tmp_path, 0) == [2, 6, 8]


def test_saving_from_an_older_step_drops_the_damaged_later_ones_and_not_the_whole_one(tmp_path):
    for step in (2, 4):
        checkpoints.save(tmp_path, step, {"x": torch.ones(3)}, keep=2)
    damage(tmp_path, 4)
    checkpoints.save(tmp_path, 3, {"x": torch.ones(3)}, keep=1)
    assert checkpoints.newest(tmp_path).step == 3
    assert [path.name for path in tmp_path.iterdir()] == ["00000003"]


@pytest.mark.parametrize("finish", ["eos", "length"])
def test_a_scored_answer_always_ends_with_the_one_end_token_that_was_trained(finish):
    from rlhf_engine.models.sampling import Answer

    tokens = [7, 8, 5] if finish == "eos" else [7, 8]  # 5 is another end token of the model
    assert Answer(tokens, [], finish).ended_by(2) == [7, 8, 2]
