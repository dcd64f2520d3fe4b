"""The worker process, its pipe, its death, and runs that other processes do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from rlhf_engine.contract.errors import StoreError
from rlhf_engine.contract.events import KnobChanged, Metrics, RunFinished, RunPaused, RunResumed, RunStarted
from rlhf_engine.launch.control_file import throw
from rlhf_engine.launch.process_engine import ProcessEngine
from rlhf_engine.store.runs import RunsReader
from tests.engine.launch.conftest import WORKER, Ear, until
from tests.engine.launch.tiny_task import LightSpec, TinySpec


def stored(root: Path, run_id: str):
    reader = RunsReader(root)
    try:
        return list(reader.story(run_id)), reader.run(run_id)
    finally:
        reader.close()


def test_what_comes_through_the_pipe_is_what_was_stored(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(steps=5), "first try")
    assert ear.end(run_id) == RunFinished("completed")
    story, row = stored(tmp_path, run_id)
    assert [str(envelope) for envelope in ear.of(run_id)] == [str(envelope) for envelope in story]
    assert [envelope.seq for envelope in story] == list(range(10))  # 2 starts, 5 metrics, 2 checkpoints, 1 end
    assert row.state == "completed" and row.name == "first try" and row.step == 5


def test_what_libraries_print_goes_to_the_log_and_not_into_the_pipe(engine, ear, tmp_path):
    ear.end(engine.submit(TinySpec(steps=2)))
    log = (tmp_path / "worker.log").read_text()
    assert "a library speaks" in log and "a C library speaks" in log


def test_a_warning_lands_in_the_log_of_its_run(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(steps=1))
    ear.end(run_id)
    assert "a library warns" in (tmp_path / "runs" / run_id / "run.log").read_text()


def test_runs_are_done_in_order_and_the_engine_says_which_wait(engine, ear):
    first, second = engine.submit(TinySpec(steps=100, pause=0.05)), engine.submit(TinySpec())
    until(lambda: engine.running == first)
    assert engine.waiting == [second]
    engine.control(first).cancel()
    assert ear.end(first).outcome == "cancelled"
    assert ear.end(second).outcome == "completed"
    until(lambda: engine.running is None)
    assert engine.waiting == []


def test_pause_resume_and_a_new_learning_rate_reach_the_run(engine, ear):
    run_id = engine.submit(TinySpec(steps=1000, pause=0.02))
    until(lambda: ear.events(run_id, Metrics))
    switches = engine.control(run_id)
    switches.pause()
    until(lambda: ear.events(run_id, RunPaused))
    switches.turn("learning_rate", 0.5)
    switches.resume()
    until(lambda: ear.events(run_id, RunResumed) and ear.events(run_id, KnobChanged))
    assert ear.events(run_id, KnobChanged)[0].value == 0.5
    switches.cancel()
    assert ear.end(run_id).outcome == "cancelled"


def test_a_run_cancelled_while_it_waits_ends_at_once_and_leaves_no_trace(engine, ear, tmp_path):
    first, second = engine.submit(TinySpec(steps=1000, pause=0.02)), engine.submit(TinySpec())
    until(lambda: engine.running == first)
    engine.control(second).cancel()
    assert ear.end(second).outcome == "cancelled"
    assert engine.running == first
    engine.control(first).cancel()
    ear.end(first)
    assert not (tmp_path / "runs" / second).exists()


def test_a_suspended_run_is_resumed_where_it_stopped_and_its_numbers_go_on(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(steps=6, pause=0.05))
    until(lambda: len(ear.events(run_id, Metrics)) >= 3)
    engine.control(run_id).suspend()
    assert ear.end(run_id).outcome == "suspended"
    done = ear.events(run_id, Metrics)[-1].step
    engine.resume(run_id)
    assert ear.end(run_id, 2).outcome == "completed"
    assert ear.events(run_id, RunStarted)[-1].from_step == done
    assert [metrics.step for metrics in ear.events(run_id, Metrics)] == [1, 2, 3, 4, 5, 6]
    assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(ear.of(run_id))))
    with pytest.raises(StoreError, match="complete"):
        engine.resume(run_id)


def test_what_is_not_kept_leaves_no_trace(engine, ear, tmp_path):
    assert ear.end(engine.submit(LightSpec(steps=1))).outcome == "completed"
    assert not (tmp_path / "runs.db").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(("end", "words"), [("kill", "ended by SIGKILL"), ("exit", "exit code 3")])
def test_a_dead_worker_is_told_as_the_end_of_its_run_and_the_next_run_gets_a_new_one(engine, ear, tmp_path, end, words):
    run_id, next_one = engine.submit(TinySpec(steps=4, end=end)), engine.submit(TinySpec())
    told = ear.end(run_id)
    assert told.outcome == "failed" and words in told.message and "Resume" in told.hint
    assert ear.end(next_one).outcome == "completed"
    assert len(ear.facts("died")) == 1
    assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(ear.of(run_id))))
    story, row = stored(tmp_path, run_id)
    assert row.state == "interrupted"
    assert [envelope.seq for envelope in story] == [envelope.seq for envelope in ear.of(run_id)]
    engine.resume(run_id)  # it dies again, but goes on from its checkpoint first
    ear.end(run_id, 2)
    assert ear.events(run_id, RunStarted)[-1].from_step == 4
    assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(ear.of(run_id))))


def test_a_worker_killed_while_idle_is_replaced_by_the_next_submit(engine, ear):
    until(lambda: ear.facts("ready"))
    os.kill(engine.worker_pid, signal.SIGKILL)
    until(lambda: ear.facts("died"))
    assert ear.end(engine.submit(TinySpec())).outcome == "completed"


def test_a_worker_that_cannot_start_fails_the_run_with_a_sentence(tmp_path, ear):
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state, (sys.executable, "-c", "raise SystemExit(7)"))
    until(lambda: ear.facts("died"))
    run_id = engine.submit(TinySpec())
    assert "exit code 7" in ear.end(run_id).message
    assert engine.close(5)
    assert [type(envelope.event) for envelope in ear.of(run_id)] == [RunStarted, RunFinished]


def test_closing_cancels_everything_and_ends_the_worker(tmp_path, ear):
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state, WORKER)
    first, second = engine.submit(TinySpec(steps=1000, pause=0.02)), engine.submit(TinySpec())
    until(lambda: ear.events(first, Metrics))
    pid = engine.worker_pid
    assert engine.close(10)
    assert not psutil.pid_exists(pid)
    assert ear.end(first).outcome == ear.end(second).outcome == "cancelled"
    assert ear.states[-1][0] == "stopped"


def test_closing_does_not_wait_for_a_worker_that_does_not_listen(tmp_path, ear):
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state, WORKER)
    run_id = engine.submit(TinySpec(steps=1, pause=60))
    until(lambda: ear.events(run_id, Metrics))
    assert not engine.close(0.5)
    assert ear.end(run_id).message.startswith("The engine process was ended by SIGKILL")


def test_a_run_left_running_goes_on_and_the_next_engine_follows_it_to_its_end(tmp_path, ear):
    engine = ProcessEngine(tmp_path, ear.publish, ear.on_state, WORKER)
    run_id = engine.submit(TinySpec(steps=60, pause=0.05))
    until(lambda: ear.events(run_id, Metrics))
    pid = engine.worker_pid
    assert engine.close(10, leave_running=True)
    assert not ear.events(run_id, RunFinished)

    later = Ear()
    reopened = ProcessEngine(tmp_path, later.publish, later.on_state, WORKER)
    until(lambda: later.of(run_id))
    assert later.facts("following") == [{"run": run_id, "pid": pid, "host": later.facts("following")[0]["host"]}]
    assert reopened.running == run_id
    with pytest.raises(StoreError, match="still going"):
        reopened.resume(run_id)
    waits = reopened.submit(TinySpec())
    until(lambda: later.facts("waiting"))
    assert str(pid) in later.facts("waiting")[0]["holder"]
    light = reopened.submit(LightSpec())
    assert later.end(light).outcome == "completed"  # answers need not wait for another process's training
    assert not later.events(waits, RunStarted)
    reopened.control(run_id).pause()
    until(lambda: later.events(run_id, RunPaused))
    reopened.control(run_id).resume()
    until(lambda: later.events(run_id, RunResumed))
    assert later.end(run_id).outcome == "completed"
    assert [envelope.seq for envelope in later.of(run_id)] == list(range(len(later.of(run_id))))
    until(lambda: not psutil.pid_exists(pid))
    assert later.end(waits).outcome == "completed"
    assert reopened.close(10)


def test_a_followed_run_whose_process_dies_is_told_as_failed(tmp_path, ear):
    first = ProcessEngine(tmp_path, ear.publish, ear.on_state, WORKER)
    run_id = first.submit(TinySpec(steps=1000, pause=0.05))
    until(lambda: ear.events(run_id, Metrics))
    pid = first.worker_pid
    first.close(10, leave_running=True)
    later = Ear()
    second = ProcessEngine(tmp_path, later.publish, later.on_state, WORKER)
    until(lambda: later.of(run_id))
    os.kill(pid, signal.SIGKILL)
    assert "ended before the run did" in later.end(run_id).message
    assert stored(tmp_path, run_id)[1].state == "interrupted"
    assert second.close(10)


def start_worker(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([*WORKER, "--project", str(root)], stdin=-1, stdout=-1, text=True)


SUBMIT = '{"do": "submit", "run": "abc", "spec": "{\\"task\\": \\"%s\\", \\"steps\\": %d, \\"pause\\": 0.02}"}\n'


def test_an_idle_worker_ends_with_its_stdin(tmp_path):
    worker = start_worker(tmp_path)
    assert "hello" in worker.stdout.readline()
    worker.stdin.close()
    assert worker.wait(10) == 0
    worker.stdout.close()


def test_a_worker_without_a_window_finishes_its_kept_run(tmp_path):
    worker = start_worker(tmp_path)
    worker.stdin.write(SUBMIT % ("tiny", 20))
    worker.stdin.flush()
    while "Metrics" not in worker.stdout.readline():
        pass
    worker.stdin.close()
    worker.stdout.close()  # a broken pipe is no error either
    assert worker.wait(20) == 0
    assert stored(tmp_path, "abc")[1].state == "completed"


def test_a_worker_without_a_window_drops_what_is_not_kept(tmp_path):
    worker = start_worker(tmp_path)
    worker.stdin.write(SUBMIT % ("light", 10_000))
    worker.stdin.flush()
    while "Metrics" not in worker.stdout.readline():
        pass
    worker.stdin.close()
    assert worker.wait(10) == 0
    worker.stdout.close()


def test_a_paused_run_whose_window_is_gone_lies_down_at_a_checkpoint(tmp_path):
    worker = start_worker(tmp_path)
    worker.stdin.write(SUBMIT % ("tiny", 10_000))
    worker.stdin.flush()
    while "Metrics" not in worker.stdout.readline():
        pass
    throw(tmp_path / "runs" / "abc", "pause")
    while "RunPaused" not in worker.stdout.readline():
        pass
    worker.stdin.close()
    worker.stdout.close()
    assert worker.wait(10) == 0
    assert stored(tmp_path, "abc")[1].state == "suspended"


def test_sigterm_suspends_a_training_run(tmp_path):
    worker = start_worker(tmp_path)
    worker.stdin.write(SUBMIT % ("tiny", 10_000))
    worker.stdin.flush()
    while "Metrics" not in worker.stdout.readline():
        pass
    worker.terminate()
    assert worker.wait(10) == 0
    worker.stdout.close()
    worker.stdin.close()
    assert stored(tmp_path, "abc")[1].state == "suspended"


def test_an_order_that_does_not_hold_is_refused_with_its_sentence(tmp_path):
    worker = start_worker(tmp_path)
    worker.stdin.write('not json\n{"do": "submit", "run": "abc", "spec": "{\\"task\\": \\"cooking\\"}"}\n')
    worker.stdin.flush()
    while "refused" not in (line := worker.stdout.readline()):
        pass
    assert "There is no task 'cooking'" in line
    worker.stdin.close()
    assert worker.wait(10) == 0
    worker.stdout.close()


def test_a_run_is_renamed_and_deleted_by_the_worker(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(), "old")
    ear.end(run_id)
    engine.rename(run_id, name="new", note="the good one")
    until(lambda: ear.facts("changed"))
    row = stored(tmp_path, run_id)[1]
    assert (row.name, row.note) == ("new", "the good one")
    engine.delete(run_id)
    until(lambda: len(ear.facts("changed")) == 2)
    assert stored(tmp_path, run_id) == ([], None)
    assert not (tmp_path / "runs" / run_id).exists()


def test_a_listener_that_fails_does_not_end_the_engine(tmp_path, ear):
    def publish(envelope):
        ear.publish(envelope)
        raise RuntimeError("a widget was gone")

    engine = ProcessEngine(tmp_path, publish, ear.on_state, WORKER)
    assert ear.end(engine.submit(TinySpec())).outcome == "completed"
    assert engine.close(10)


def test_a_worker_whose_device_is_lost_makes_room_for_a_fresh_one(engine, ear):
    until(lambda: ear.facts("ready"))
    pid = engine.worker_pid
    lost, next_one = engine.submit(TinySpec(end="lost")), engine.submit(TinySpec())
    assert ear.end(lost).message == "The GPU stopped answering."
    assert ear.end(next_one).outcome == "completed"
    assert engine.worker_pid != pid
    assert ear.facts("died") == []


def test_a_restart_ends_the_run_in_progress_and_keeps_what_waits(engine, ear):
    going, next_one = engine.submit(TinySpec(steps=1000, pause=0.02)), engine.submit(TinySpec())
    until(lambda: ear.events(going, Metrics))
    engine.restart()
    assert ear.end(going).message == "The engine was restarted."
    assert ear.end(next_one).outcome == "completed"


def test_a_worker_killed_again_and_again_leaves_one_story_without_a_gap(engine, ear, tmp_path):
    run_id = engine.submit(TinySpec(steps=100_000, pause=0.002))
    until(lambda: ear.events(run_id, Metrics))
    for wait in (0.0, 0.05, 0.3, 0.0, 0.15, 0.45, 0.02, 0.25):
        pid = until(lambda: engine.worker_pid)
        time.sleep(wait)
        os.kill(pid, signal.SIGKILL)
        until(lambda: run_id not in (engine.running, *engine.waiting))
        engine.resume(run_id)
    until(lambda: engine.running == run_id)
    engine.control(run_id).cancel()
    until(lambda: engine.running is None)
    story, row = stored(tmp_path, run_id)
    assert [envelope.seq for envelope in ear.of(run_id)] == list(range(len(story)))
    assert [str(envelope.event)[:20] for envelope in ear.of(run_id)] == [str(e.event)[:20] for e in story]
    assert row.state == "cancelled"
