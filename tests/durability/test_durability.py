"""No label is ever lost, in small numbers. The full ones, by command:

    python -m tests.durability.kill --count 1000      python -m tests.durability.power --count 5000
    python -m tests.durability.flips --count 300      python -m tests.durability.full --count 600

Beside each stands a way of writing that is wrong: were it to pass, the test would prove nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.durability.flips import flip_bits
from tests.durability.full import fill_disk
from tests.durability.power import cut_power
from tests.durability.shim import ROOT, buildable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kills, forks and watches a disk as Linux lets one")
with_compiler = pytest.mark.skipif(not buildable(), reason="there is no C compiler for the shim")


def killed(count: int, how: str) -> dict[str, float]:
    """In a process of its own, that forks before it has a thread."""
    command = [sys.executable, "-m", "tests.durability.kill", "--count", str(count), "--how", how]
    environ = {**os.environ, "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def test_a_window_killed_while_it_judges_loses_nothing_that_it_showed_as_saved():
    found = killed(20, "full")
    assert found["kills"] == 20 and found["acknowledged"] > 40
    assert [found[what] for what in ("lost", "wrong", "double", "unsound", "said again")] == [0] * 5
    assert found["longest opening"] < 1


def test_a_window_that_moves_on_before_it_has_written_is_found_out():
    assert killed(8, "early")["lost"] > 0


@with_compiler
def test_power_cuts_lose_nothing_from_the_database_nor_from_the_journal():
    found = cut_power(200)
    assert found["cuts"] == 200 and found["acknowledged"] > 1000
    assert [found[what] for what in ("lost", "lost by the journal", "torn", "unreadable", "unsound")] == [0] * 5


@with_compiler
@pytest.mark.parametrize(("how", "what"), [("normal", "lost"), ("unsynced", "lost by the journal")])
def test_writing_that_is_not_waited_for_is_found_out_by_power_cuts(how, what):
    assert cut_power(40, how)[what] > 0


def test_every_flipped_bit_that_matters_is_found_and_put_right():
    found = flip_bits(40)
    assert found["changed"] > 5 and found["journal lines hurt"] > 5 and found["from a snapshot"] > 2
    assert [found[what] for what in ("missed", "not restored", "lost")] == [0] * 3


def test_sqlites_own_check_alone_would_miss_flipped_bits():
    assert flip_bits(12, "structure")["missed"] > 0


@with_compiler
def test_a_disk_that_is_full_at_any_write_loses_nothing_says_so_and_goes_on():
    found = fill_disk(60)
    assert found["rounds"] == found["refused"] == 60 and found["acknowledged"] > 60
    assert [found[what] for what in ("not said", "moved on", "stuck", "lost", "double", "unsound")] == [0] * 6


@with_compiler
def test_a_window_that_does_not_look_whether_writing_failed_is_found_out():
    assert fill_disk(20, "careless")["lost"] > 0
