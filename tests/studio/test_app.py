"""Starting: quickly, with a sentence where it cannot be done, and never with torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rlhf_engine.contract.errors import StoreError
from studio import app

ROOT = Path(__file__).resolve().parents[2]

START = """
import json, sys, time
import studio.main_window as m
said = {}
def painted(self, open_first):
    said["painted"] = time.time()
    heavy = ("pyqtgraph", "qtawesome", "sqlite_utils", "numpy", "pyarrow", "rapidfuzz")
    said["early"] = [name for name in heavy if name in sys.modules]
    start(self, open_first)
    said["project"] = self.session.project.name
    said["panel"] = self.current
    for key in m.PANELS:
        self.show_panel(key)
    said["torch"] = [name for name in ("torch", "transformers", "peft", "datasets", "pandas") if name in sys.modules]
    self.close()
start, m.MainWindow.start = m.MainWindow.start, painted
from studio import app
said["code"] = app.main(sys.argv[1:])
print(json.dumps(said))
"""


def start(home: Path, *arguments: str) -> tuple[dict[str, Any], float]:
    environment = {**os.environ, "RLHF_STUDIO_HOME": str(home), "QT_QPA_PLATFORM": "offscreen", "PYTHONPATH": str(ROOT)}
    began = time.time()
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return said, said["painted"] - began


@pytest.mark.slow
def test_the_first_start_paints_soon_and_opens_the_sample(tmp_path: Path) -> None:
    said, seconds = start(tmp_path)
    assert said["early"] == [] and said["torch"] == [] and said["code"] == 0
    assert said["project"] == "Sample project" and said["panel"] == "home"
    assert seconds < 4.0  # 1.5 on a machine that does nothing else; tests share theirs
    again, _ = start(tmp_path)
    assert again["project"] == "Sample project"


@pytest.mark.slow
def test_a_project_can_be_named_and_is_opened_again_the_next_time(tmp_path: Path) -> None:
    said, _ = start(tmp_path / "home", "--project", str(tmp_path / "mine"))
    assert said["project"] == "mine"
    again, _ = start(tmp_path / "home")
    assert again["project"] == "mine"


def test_a_last_project_that_is_gone_is_told_and_no_other_one_is_opened_in_its_place(
    empty_session: Any, tmp_path: Path
) -> None:
    empty_session.settings.last_project = str(tmp_path / "moved away")
    with pytest.raises(StoreError, match=r"no longer at .*moved away"):
        app.open_first(empty_session, app.parse([]))
    assert empty_session.project is None


def test_without_a_display_a_sentence_says_what_to_do() -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-m", "studio.app"], env=environment, capture_output=True, text=True, timeout=60
    )
    if sys.platform.startswith("linux"):
        assert done.returncode == 2
        assert done.stderr.startswith("There is no display here") and "rlhf --help" in done.stderr


def test_fcitx_is_asked_by_the_name_of_ibus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_IM_MODULE", "fcitx5")
    app.choose_input_method()
    assert os.environ["QT_IM_MODULE"] == "ibus"
    monkeypatch.setenv("QT_IM_MODULE", "compose")
    app.choose_input_method()
    assert os.environ["QT_IM_MODULE"] == "compose"


def test_this_qt_keeps_its_references() -> None:
    assert not app.loses_references()
