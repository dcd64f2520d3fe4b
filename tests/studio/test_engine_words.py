"""What the engine says is shown in the window's language: labels, help, titles, presets and metrics."""

from dataclasses import fields

import pytest
from PySide6.QtCore import QCoreApplication, QTranslator
from PySide6.QtWidgets import QLabel, QPushButton

from rlhf_engine.tasks import TASKS
from rlhf_engine.tasks.metric_help import METRICS
from studio.engine_words import CONTEXT, all_words, metric, task_title, word
from studio.forms.form import SpecForm

EPOCHS = next(f.metadata["param"].help for f in fields(TASKS["sft"].spec) if f.name == "epochs")


class Marking(QTranslator):
    """Translates every word of the engine, and nothing else, so that a missed one shows."""

    def isEmpty(self):
        return False

    def translate(self, context, text, *_):
        return f"«{text}»" if context == CONTEXT else ""


@pytest.fixture
def marked(qapp):
    translator = Marking()
    QCoreApplication.installTranslator(translator)
    yield
    QCoreApplication.removeTranslator(translator)


def test_labels_help_and_groups_of_a_form_are_translated(marked, session, qtbot):
    form = SpecForm(TASKS["sft"].spec, session)
    qtbot.addWidget(form)
    shown = {label.text() for label in form.findChildren(QLabel)}
    assert {"«Epochs»", f"«{EPOCHS}»", "«Basics»"} <= shown
    assert not {"Epochs", EPOCHS, "Basics"} & shown


def test_methods_and_presets_are_translated(marked, session, qtbot):
    from studio.panels.train.panel import TrainPanel

    panel = TrainPanel(session)
    qtbot.addWidget(panel)
    assert "«Supervised fine-tuning» («SFT»)" in {b.text() for b in panel.findChildren(QPushButton)}
    shown = {label.text() for label in panel.setup.methods.sheet.findChildren(QLabel)}
    assert {"«Reward model»", "«PPO»", "«Online»", "«Learn a score from comparisons.»"} <= shown
    assert panel.setup.bar.presets.itemText(0) == "«Default»"


def test_metrics_and_tasks_are_translated(marked):
    assert metric("objective/score").label == f"«{METRICS['objective/score'].label}»"
    assert task_title("ppo") == "«PPO»"
    assert task_title("of another version") == "of another version"
    assert word("") == ""


def test_the_list_for_translators_holds_everything():
    listed = set(all_words())
    assert {
        "PPO",
        "Epochs",
        EPOCHS,
        "Starter model",
        METRICS["value/loss"].measures,
    } <= listed
    assert {"Word list", "Good words minus bad words.", "Good words", "Reliability"} <= listed
    assert "" not in listed
