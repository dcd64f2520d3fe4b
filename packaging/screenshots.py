"""Pictures of every panel in light and dark, from the real program and real runs: `python packaging/screenshots.py`.

What the README shows goes into resources/screenshots; `--all DIR` gets every state there is, for looking at.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from studio.main_window import MainWindow

ROOT = Path(__file__).resolve().parent.parent
SIZE = (1360, 860)
THEMES = ("light", "dark")
KEPT = ("home", "models", "playground", "data", "compare", "train", "run", "runs", "export")
COLOURS = 255  # a window has few: with a palette a file takes a third
QUESTION = "Where does Mara live?"


def main() -> int:
    asked = parse()
    sys.path.insert(0, str(ROOT))
    if asked.train_into:
        train_into(asked.train_into)
        return 0
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    with tempfile.TemporaryDirectory(prefix="rlhf-screenshots-") as scratch:
        os.environ["RLHF_STUDIO_HOME"] = str(Path(scratch) / "home")
        project = (asked.project or Path(scratch) / "starter").absolute()
        if not (project / "runs.db").exists():
            print("Training the starter model by demonstrations, then a reward model…", flush=True)
            # in a process of its own: this one is the window, which never imports torch
            subprocess.run([sys.executable, __file__, "--train-into", str(project)], check=True, cwd=ROOT)
        photographer = Photographer(asked.folder, asked.all, Path(scratch))
        photographer.visit(project)
        photographer.visit_empty(Path(scratch) / "empty")
        photographer.say()
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Take pictures of every panel, in light and dark.")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "resources" / "screenshots")
    parser.add_argument("--all", type=Path, metavar="DIR", help="put every state here too: empty, with an error, …")
    parser.add_argument("--project", type=Path, metavar="DIR", help="keep the trained project here, and use it again")
    parser.add_argument("--train-into", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def train_into(project: Path) -> None:
    """What the pictures need beforehand, with the settings of `rlhf demo`."""
    from rlhf_engine.cli.demo import reward_spec, sft_spec
    from rlhf_engine.cli.here import do_run
    from rlhf_engine.data.datasets import freeze
    from rlhf_engine.launch.engine import new_run_id
    from rlhf_engine.store.project import Project

    with Project.create_starter(project, "Starter") as made:
        data = {
            kind: freeze(project, kind, made.labels.records(kind), kind.capitalize(), "labels of the project", {}).ref
            for kind in ("prompts", "demonstrations", "comparisons")
        }
    sft, reward = new_run_id(), new_run_id()
    for run_id, name, spec in (
        (sft, "SFT 1", sft_spec(data["demonstrations"], 0)),
        (reward, "Reward model 1", reward_spec(f"run:{sft}", data["comparisons"], 0)),
    ):
        if code := do_run(project, run_id, spec, name=name):
            raise SystemExit(code)


class Photographer:
    """Walks through the window as a person would, and presses the shutter twice: once a theme."""

    def __init__(self, folder: Path, everything: Path | None, scratch: Path) -> None:
        from PySide6.QtWidgets import QApplication

        existing = QApplication.instance()
        self.app = existing if isinstance(existing, QApplication) else QApplication(["rlhf-studio"])
        self.folder, self.everything, self.scratch = folder, everything, scratch
        self.bytes = 0
        for place in filter(None, (folder, everything)):
            place.mkdir(parents=True, exist_ok=True)

    # --- the window ----------------------------------------------------------------------------------------------

    @contextmanager
    def window(self, project: Path | None) -> Iterator[MainWindow]:
        from studio.main_window import MainWindow
        from studio.session import Session
        from studio.settings import Settings
        from studio.theme import theme

        settings = Settings()
        settings.theme, settings.confirm_close = "light", False
        theme().apply("light", 1.0)
        session = Session(settings)
        window = MainWindow(session)
        window.setFixedSize(*SIZE)

        def open_it() -> None:
            if project is not None and (project / "project.json").exists():
                session.open_project(project)
            elif project is not None:
                session.create_project(project, "Empty")

        window.painted.connect(lambda: window.start(open_it))
        window.show()
        self.until(lambda: window.current != "")
        yield window
        for going in session.activity.kept():
            session.control(going.run_id).cancel()
        self.until(lambda: not session.activity.kept())
        window.close()
        window.deleteLater()
        self.rest(0.2)

    def until(self, so: Callable[[], object], seconds: float = 300) -> None:
        deadline = time.monotonic() + seconds
        while not so():
            self.app.processEvents()
            time.sleep(0.005)
            if time.monotonic() > deadline:
                raise TimeoutError("The window did not come to what was to be photographed.")

    def rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() > end)

    def shoot(self, window: MainWindow, name: str, state: str = "", rest: float = 0.7) -> None:
        from studio.theme import theme

        kept = not state and name in KEPT
        if not kept and self.everything is None:
            return
        for look in THEMES:
            theme().apply(look, 1.0)
            self.rest(rest)
            if state != "note":
                for toast in list(window.toasts._shown):
                    toast.dismiss()
            self.app.processEvents()
            picture = window.grab()
            file = "-".join(filter(None, (name, state, look))) + ".png"
            if kept:
                self.bytes += write(picture, self.folder / file)
            if self.everything is not None:
                write(picture, self.everything / file)
        theme().apply("light", 1.0)

    def go(self, window: MainWindow, panel: str, **hints: Any) -> Any:
        window.show_panel(panel, hints)
        self.rest(0.3)
        return window.panel(panel)

    def say(self) -> None:
        print(f"{self.bytes / 1e6:.2f} MB in {self.folder}")

    # --- a project in the middle of its work ---------------------------------------------------------------------

    def visit(self, project: Path) -> None:
        with self.window(project) as window:
            session = window.session
            runs = {row.task: row.id for row in reversed(session.runs.runs()) if row.state == "completed"}
            sft, reward = f"run:{runs['sft']}", f"run:{runs['reward']}"
            self.until(lambda: session.engine is not None and session.engine.state == "ready")
            self.playground(window, ["starter", sft], reward, "base")
            self.compare(window)
            self.data(window)
            ppo = self.training(window, sft, reward)
            self.playground(window, [sft, f"run:{ppo}"], reward)
            self.failing(window)
            self.runs(window, ppo, runs["sft"])
            self.results(window, f"run:{ppo}", sft)
            self.go(window, "home")
            self.rest(1.5)
            self.shoot(window, "home")
            self.go(window, "settings")
            self.rest(3.0)
            self.shoot(window, "settings")
            self.help(window)
            self.frame(window)

    def help(self, window: MainWindow) -> None:
        panel = self.go(window, "help", metric="objective/kl_sequence", task="ppo")
        self.shoot(window, "help")
        self.go(window, "help", topic="methods")
        self.shoot(window, "help", "methods")
        panel.search.setText("kl penalty")
        self.until(lambda: panel.hits.count())
        self.shoot(window, "help", "search")
        panel.search.clear()

    def playground(self, window: MainWindow, models: list[str], reward: str, state: str = "") -> None:
        panel = self.go(window, "playground", models=models)
        panel.new_conversation()
        if state:
            self.shoot(window, "playground", "before")
        panel.side.sampling.set_values({"max_new_tokens": 40, "reward_model": reward, "seed": 3, "samples": 2})
        panel.side.setCurrentIndex(1)
        panel.ask(QUESTION)
        self.until(lambda: panel.asking is None and panel.talk.talked)
        for column in panel.talk.all:
            column.turns[-1].cards[0].choice.setChecked(True)
        self.shoot(window, "playground", state)
        if not state:
            return
        panel.tokens.setChecked(True)
        panel.talk.all[1].turns[-1].cards[0].heat.pick(3)
        self.shoot(window, "playground", "tokens")
        panel.tokens.setChecked(False)
        panel.send_to_compare()
        self.shoot(window, "playground", "note", rest=0.3)

    def compare(self, window: MainWindow) -> None:
        panel = self.go(window, "compare", again=True)
        for verdict in (("left", 2), ("right", 3), ("tie", 1), ("left", 2), ("right", 2)):
            self.rest(1.1)  # a pace that a person could keep
            panel.pairs.judge(*verdict)
        panel.pairs.toggle_differences()
        self.shoot(window, "compare")
        panel.pairs.toggle_differences()
        panel.pairs.writing.open_edit()
        self.shoot(window, "compare", "edit")
        panel.close_cards()
        panel.open_generate()
        self.shoot(window, "compare", "generate")
        panel.close_cards()
        panel.show_guidelines()
        self.shoot(window, "compare", "guidelines")
        panel.show_guidelines()
        panel.arrange("rating")
        self.shoot(window, "compare", "rating")
        panel.arrange("side")

    def data(self, window: MainWindow) -> None:
        for kind in ("prompts", "demonstrations", "comparisons"):
            panel = self.go(window, "data", kind=kind)
            page = panel.pages[kind]
            page.table.view.selectRow(3)
            self.shoot(window, "data", "" if kind == "comparisons" else kind)
        panel.show_kind("datasets")
        self.rest(0.3)
        self.shoot(window, "data", "datasets")
        good, broken = self.scratch / "answers.jsonl", self.scratch / "broken.parquet"
        rows = ('{{"prompt": "What is {0} plus one?", "chosen": "It is {1}.", "rejected": "{0}"}}', '{{"prompt": {0}')
        lines = [rows[number % 9 == 8].format(number, number + 1) for number in range(60)]
        good.write_text("\n".join(lines), encoding="utf-8")
        broken.write_bytes(b"PAR1" + bytes(400))
        self.go(window, "data", import_file=str(good))
        self.rest(1.5)
        self.shoot(window, "data", "import")
        panel.importing.start()
        self.until(lambda: panel.importing.steps.currentWidget() is panel.importing.report)
        self.shoot(window, "data", "imported")
        self.go(window, "data", import_file=str(broken))
        self.rest(1.5)
        self.shoot(window, "data", "error")
        panel.importing.left.emit()

    def training(self, window: MainWindow, sft: str, reward: str) -> str:
        """A PPO run, photographed while it is going."""
        from rlhf_engine.cli.demo import ppo_spec

        session = window.session
        panel = self.go(window, "train", task="sft")
        self.shoot(window, "train", "sft")
        panel.setup.form.fold.open()
        self.shoot(window, "train", "advanced")
        panel.setup.form.fold.open(False)
        panel = self.go(window, "train", task="ppo", model=sft, reward=reward)
        self.shoot(window, "train")
        form = panel.setup.form
        form.set_value("rewards", [{"kind": "length", "target": 60}, {"kind": "format", "pattern": "("}])
        form.editor("rewards").check()
        panel.setup._area.ensureWidgetVisible(form.editor("rewards"))
        self.shoot(window, "train", "rewards")
        form.set_value("rewards", [])
        prompts = next(choice.ref for choice in session.datasets("prompts"))
        ppo = session.submit(ppo_spec(sft, reward, prompts, 0), "PPO 1")
        panel.show_run(ppo, "PPO 1")
        view = panel.view
        self.shoot(window, "run", "starting", rest=0.1)
        self.until(lambda: view.story.step >= 36 or view.story.ended, 900)
        self.shoot(window, "run")
        view.tabs.setCurrentIndex(1)
        self.shoot(window, "run", "samples")
        view.tabs.setCurrentIndex(0)
        self.go(window, "playground")
        self.shoot(window, "playground", "busy")
        self.go(window, "train")
        self.until(lambda: view.story.ended, 900)
        self.rest(0.5)
        self.shoot(window, "run", "done")
        for number, tab in ((2, "log"), (3, "settings")):
            view.tabs.setCurrentIndex(number)
            self.shoot(window, "run", tab)
        view.tabs.setCurrentIndex(0)
        return str(ppo)

    def failing(self, window: MainWindow) -> None:
        """A run whose model is not there, and a folder that holds none."""
        from rlhf_engine.tasks.sft.spec import SFTSpec

        nowhere = self.scratch / "no-model-here"
        nowhere.mkdir(exist_ok=True)
        session = window.session
        data = next(choice.ref for choice in session.datasets("demonstrations"))
        failed = session.submit(SFTSpec(model=str(nowhere), dataset=data), "SFT 2")
        panel = self.go(window, "train", run=failed)
        self.until(lambda: panel.view.story.ended)
        self.rest(0.5)
        self.shoot(window, "run", "error")
        models = self.go(window, "models")
        models.add_folder(nowhere)
        self.rest(1.0)
        self.shoot(window, "models", "error")
        models._clear_trouble()
        panel = self.go(window, "playground")
        panel.new_conversation()

    def runs(self, window: MainWindow, ppo: str, other: str) -> None:
        panel = self.go(window, "runs")
        panel.show_list()
        self.rest(0.5)
        panel.table.select(ppo)
        self.shoot(window, "runs")
        panel.compare([ppo, other])
        self.rest(1.0)
        self.shoot(window, "runs", "compare")
        for number, tab in ((1, "differences"), (2, "answers")):
            panel.comparing.tabs.setCurrentIndex(number)
            self.shoot(window, "runs", tab)
        panel.show_list()

    def results(self, window: MainWindow, ppo: str, sft: str) -> None:
        panel = self.go(window, "models", model=ppo)
        self.rest(1.0)
        self.shoot(window, "models")
        panel.show_hub()
        self.shoot(window, "models", "hub")
        panel.hub.hide()
        panel = self.go(window, "export", model=ppo)
        panel.list_files()
        self.until(lambda: not panel.run_id)
        self.shoot(window, "export")
        panel.tabs.setCurrentIndex(1)
        self.shoot(window, "export", "card")
        panel.tabs.setCurrentIndex(0)
        panel.choices.form.set_value("form", "merged")
        panel.export()
        self.until(lambda: not panel.run_id)
        self.rest(0.5)
        self.shoot(window, "export", "done")
        del sft

    def frame(self, window: MainWindow) -> None:
        self.go(window, "home")
        window.ask_command()
        self.shoot(window, "window", "palette")
        window.palette_.dismiss()
        self.go(window, "compare")
        window.show_keys()
        self.shoot(window, "window", "keys")
        window.key_map.dismiss()
        window.toggle_drawer()
        self.shoot(window, "window", "drawer")
        window.show_notes()
        self.shoot(window, "window", "notifications")

    # --- nothing there yet ---------------------------------------------------------------------------------------

    def visit_empty(self, project: Path) -> None:
        from studio.panels import PANELS

        for state, root in (("empty", project), ("closed", None)):
            with self.window(root) as window:
                for key in PANELS:
                    if key != "settings":
                        self.go(window, key)
                        self.rest(0.5)
                        self.shoot(window, key, state)


def write(picture: Any, file: Path) -> int:
    """Save a picture with a palette of its own; its size in bytes."""
    import io

    from PIL import Image
    from PySide6.QtCore import QBuffer, QIODevice

    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    picture.save(buffer, "PNG")
    image = Image.open(io.BytesIO(buffer.data().data())).convert("RGB")
    few = image.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
    return file.stat().st_size


if __name__ == "__main__":
    sys.exit(main())
