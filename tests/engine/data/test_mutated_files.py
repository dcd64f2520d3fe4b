"""Damaged files by the hundred, and that the harness would notice: a crash, a row that is lost, and a hang."""

from __future__ import annotations

import time

import pytest

from rlhf_engine.data import reading
from tests.engine.data.mutated_files import fuzz, look, seeds


def test_every_seed_is_read_as_it_stands(tmp_path):
    for name, body in list(seeds())[:70]:
        path = tmp_path / name
        path.write_bytes(body)
        assert look(path, "auto", "all") in ("read", "in part"), name


def test_no_damaged_file_crashes_or_hangs_the_reader_and_every_row_is_counted():
    outcomes, faults = fuzz(600, seed=1)
    assert faults == []
    assert min(outcomes["read"], outcomes["in part"], outcomes["refused"]) > 20  # the damage is neither fatal nor idle


@pytest.mark.parametrize("planted", ["crash", "lost row", "hang"])
def test_the_harness_notices_what_it_looks_for(monkeypatch, planted):
    """The negative control: a fault planted in the reader is found within a few files."""
    whole = reading._entries

    def faulty(found, *about):
        for number, entry in enumerate(whole(found, *about)):
            if planted == "crash" and number == 3:
                raise KeyError("planted")
            if planted == "hang" and number == 3:
                time.sleep(0)
                until = time.process_time() + 0.3
                while time.process_time() < until:
                    pass
            if planted == "lost row" and number == 3:
                continue
            yield entry

    monkeypatch.setattr(reading, "_entries", faulty)
    _, faults = fuzz(60, seed=2, longest=0.25 if planted == "hang" else 5.0)
    said = {"crash": "KeyError", "lost row": "not accounted for", "hang": "took"}[planted]
    assert sum(said in fault for fault in faults) > 5
