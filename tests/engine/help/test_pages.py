"""The help is complete, its links lead somewhere, and what is searched for is found."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from rlhf_engine.contract.changes import changes
from rlhf_engine.contract.fields import about
from rlhf_engine.help import PAGES, page_of_metric, read, search
from rlhf_engine.help.made import list_key, metrics_of, plain
from rlhf_engine.tasks import TASKS, presets_of
from rlhf_engine.tasks.curve_help import CURVES
from rlhf_engine.tasks.metric_help import FACTS, METRICS

ROOT = Path(__file__).parents[3]
LINK = re.compile(r"(?<!\\)\[([^\]]*)\]\(([^)]*)\)")


def parts(text: str) -> set[str]:
    """What a link may name on a page: its headings, and the names in code at the beginning of a line."""
    shown = re.sub(r"\\([\\`*_{}\[\]<>#|~])", r"\1", text)
    return set(re.findall(r"^#+ (.+)$", shown, re.M)) | set(re.findall(r"^`([^`]+)`", shown, re.M))


@pytest.mark.parametrize("key", TASKS)
def test_every_task_has_a_page_with_every_setting_and_preset(key: str) -> None:
    text = read(key)
    for f in fields(TASKS[key].spec):
        said = about(f)
        if said is not None:
            assert f.name in parts(text) and said.label in parts(text), f.name
            assert plain(said.help) in text, f.name
            if said.source:
                assert plain(said.source) in text
            for kind in said.entries:
                assert {kind.title, kind.key} <= parts(read(list_key(f.name)))
                for inner in fields(kind.type):
                    if (told := about(inner)) is not None:
                        assert plain(told.help) in read(list_key(f.name)), inner.name
    for preset in presets_of(key) if TASKS[key].trains else ():
        assert plain(preset.summary) in text and preset.key in parts(text)
        assert all(plain(change.text()) in text for change in changes(TASKS[key].spec, preset.values))


@pytest.mark.parametrize("task", [task for task in TASKS.values() if task.trains], ids=lambda task: task.key)
def test_the_metrics_of_a_method_are_on_its_page_with_what_is_healthy(task) -> None:
    text = read(task.key)
    assert set(task.charts) - CURVES.keys() <= set(metrics_of(task))
    for name in metrics_of(task):
        told = METRICS.get(name)
        if told is not None:
            assert name in parts(text) and plain(told.measures) in text and plain(told.healthy) in text
            assert page_of_metric(name, task.key) == (task.key, name)


def test_every_metric_curve_and_fact_is_in_the_reference() -> None:
    assert METRICS.keys() | CURVES.keys() | FACTS.keys() <= parts(read("metrics"))
    assert page_of_metric("heldout/reliability", "reward") == ("reward", "heldout/reliability")
    assert page_of_metric("heldout/reliability", "sft") == ("metrics", "heldout/reliability")
    assert page_of_metric("component/length_2", "ppo") == ("ppo", "component/…")
    assert "component/…" in parts(read("ppo"))


@pytest.mark.parametrize("key", PAGES)
def test_no_link_is_dead(key: str) -> None:
    for words, target in LINK.findall(read(key)):
        page, _, part = target.partition("#")
        assert words and (page or key) in PAGES, f"{key}: {target}"
        assert not part or part in parts(read(page or key)), f"{key}: {target}"


@pytest.mark.parametrize("key", PAGES)
def test_a_page_has_one_title_and_says_something(key: str) -> None:
    assert len(re.findall(r"^# ", read(key), re.M)) == 1
    assert len(read(key)) > 200
    assert "<" not in re.sub(r"\\<", "", read(key)), "no markup"


def test_what_specs_say_is_shown_as_it_is() -> None:
    assert plain("a*b_c [d](e) <f> #g | `h`") == r"a\*b\_c \[d\](e) \<f\> \#g \| \`h\`"
    assert r"pi\_ref" in read("ppo")


def test_search_finds_settings_metrics_and_pages() -> None:
    first = search("kl penalty")[0]
    assert first.heading == "KL penalty" and first.anchor in ("kl_coef", "objective/beta")
    assert "methods" in {hit.page.key for hit in search("cheapest steadiest")}
    assert any(hit.anchor == "objective/kl_sequence" for hit in search("drift per answer"))
    assert search("Schulman 2016 equation 16")[0].anchor == "lam"
    (metric,) = [hit for hit in search("drift per answer") if hit.anchor == "objective/kl_sequence"]
    assert metric.page.key == "ppo" and {"rloo", "metrics"} <= set(metric.also), "what several pages say is one hit"
    assert search("") == [] and search("xylophone") == []
    assert len(search("the")) == 40


def test_the_help_is_read_without_torch_and_without_a_window() -> None:
    script = (
        "import sys, rlhf_engine.help as h; [h.read(key) for key in h.PAGES]; h.search('kl');"
        "print(sorted({'torch', 'transformers', 'peft', 'numpy', 'PySide6'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
