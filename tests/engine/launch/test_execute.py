"""One run from first event to last: whatever happens, it begins and it ends, in a person's words."""

from __future__ import annotations

import pytest

from rlhf_engine.contract.control import RunControl
from rlhf_engine.contract.events import Metrics, RunFinished, RunStarted
from rlhf_engine.launch.execute import BUG, execute
from rlhf_engine.launch.recorded import carry_out, require_resumable, spec_of
from rlhf_engine.store.runs import RunsReader, RunsWriter
from tests.engine.launch.tiny_task import LightSpec, TinySpec


def told(tmp_path, spec, control=None, **more):
    said = []
    end = execute("abc", spec, said.append, control or RunControl(), tmp_path, **more)
    assert [envelope.seq for envelope in said] == list(
        range(more.get("first_seq", 0), more.get("first_seq", 0) + len(said))
    )
    assert isinstance(said[0].event, RunStarted) and said[-1].event == end
    return end, said


def test_a_run_that_goes_well_is_completed(tmp_path):
    end, said = told(tmp_path, TinySpec(steps=3))
    assert end == RunFinished("completed")
    assert said[0].event == RunStarted("tiny", 3)


@pytest.mark.parametrize(
    ("end", "message", "hint"),
    [
        ("data", "people.jsonl, line 3: there is no prompt.", "Add one."),
        ("bug", "ZeroDivisionError: division by zero", BUG),
        ("full", "The disk is full while writing /somewhere/adapter.safetensors.", "Free some space"),
        ("forbidden", "/somewhere/adapter.safetensors may not be read or written.", "permissions"),
        ("memory", "The computer ran out of memory.", "Lower the micro-batch size"),
    ],
)
def test_every_bad_end_has_a_sentence_and_a_hint(tmp_path, end, message, hint):
    told_end, _ = told(tmp_path, TinySpec(steps=1, end=end))
    assert told_end.outcome == "failed" and told_end.message == message and hint in told_end.hint


def test_only_a_surprise_carries_a_traceback(tmp_path):
    assert told(tmp_path, TinySpec(steps=1, end="data"))[0].traceback == ""
    assert "ZeroDivisionError" in told(tmp_path, TinySpec(steps=1, end="bug"))[0].traceback


def test_a_run_cancelled_before_it_began_does_nothing(tmp_path):
    control = RunControl()
    control.cancel()
    end, said = told(tmp_path, TinySpec(), control)
    assert end.outcome == "cancelled" and len(said) == 2


def test_something_that_is_no_spec_fails_like_any_other_run(tmp_path):
    end, _ = told(tmp_path, object())
    assert end.outcome == "failed" and "No task takes a object" in end.message


def test_a_resumed_run_says_from_which_checkpoint_it_goes_on(tmp_path):
    told(tmp_path, TinySpec(steps=5))
    (tmp_path / "runs" / "abc" / "checkpoints" / ".tmp-00000009-1").mkdir()
    _, said = told(tmp_path, TinySpec(steps=5), resume=True, first_seq=9)
    assert said[0].event.from_step == 4 and [e.event.step for e in said if isinstance(e.event, Metrics)] == [5]


def test_a_listener_that_fails_fails_the_run_but_is_not_passed_on(tmp_path):
    def deaf(envelope):
        raise ValueError("nobody listens")

    assert execute("abc", TinySpec(), deaf, RunControl(), tmp_path).message == "ValueError: nobody listens"


def test_whoever_starts_a_run_may_hear_the_exception_itself(tmp_path):
    heard = []
    told(tmp_path, TinySpec(end="bug"), on_error=heard.append)
    assert [type(error) for error in heard] == [ZeroDivisionError]


def test_a_kept_run_has_a_folder_with_its_spec_and_a_story_in_the_store(tmp_path):
    said = []
    end = carry_out(tmp_path, "abc", TinySpec(steps=2), said.append, RunControl(), "mine")
    assert end.outcome == "completed"
    assert spec_of(tmp_path, "abc") == TinySpec(steps=2)
    reader = RunsReader(tmp_path)
    assert [e.to_json() for e in reader.story("abc")] == [e.to_json() for e in said]
    assert reader.run("abc").name == "mine"
    reader.close()


def test_the_traceback_of_a_bug_is_in_the_log_of_its_run(tmp_path):
    carry_out(tmp_path, "abc", TinySpec(end="bug"), lambda _: None, RunControl())
    assert "ZeroDivisionError" in (tmp_path / "runs" / "abc" / "run.log").read_text()


def test_a_run_in_a_project_that_is_busy_is_refused_with_the_holder_named(tmp_path):
    said = []
    with RunsWriter(tmp_path):
        end = carry_out(tmp_path, "abc", TinySpec(), said.append, RunControl())
    assert "A run is going on in this project, in process" in end.message and "rlhf cancel" in end.hint
    assert [type(envelope.event) for envelope in said] == [RunStarted, RunFinished]


def test_answers_can_be_written_in_a_project_that_is_busy(tmp_path):
    with RunsWriter(tmp_path):
        assert carry_out(tmp_path, "abc", LightSpec(), lambda _: None, RunControl()).outcome == "completed"


def test_the_other_processes_of_a_run_neither_speak_nor_write(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    said = []
    with RunsWriter(tmp_path):
        assert carry_out(tmp_path, "abc", TinySpec(steps=1), said.append, RunControl()).outcome == "completed"
    assert said == []


def test_a_complete_run_cannot_be_resumed_and_a_path_is_no_run(tmp_path):
    carry_out(tmp_path, "abc", TinySpec(), lambda _: None, RunControl())
    with pytest.raises(Exception, match="is complete"):
        require_resumable(tmp_path, "abc")
    with pytest.raises(Exception, match="is not the id of a run"):
        require_resumable(tmp_path, "../abc")
    with pytest.raises(Exception, match="no run 'other'"):
        require_resumable(tmp_path, "other")


def test_half_a_surrogate_pair_does_not_stop_a_run(tmp_path):
    end = carry_out(tmp_path, "abc", TinySpec(end="\ud800"), lambda _: None, RunControl(), "\ud800")
    assert end.outcome == "completed"
    assert spec_of(tmp_path, "abc").end == "?"
