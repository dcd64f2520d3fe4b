"""Settings take effect and are kept at once; the Hub's answers are told in words."""

from __future__ import annotations

from typing import Any

import pytest

from rlhf_engine.doctor import Finding
from studio.panels import settings as module
from studio.panels.hub_account import hub_cache, hub_words
from studio.panels.settings import SettingsPanel
from studio.settings import Settings
from studio.theme import theme
from studio.theme.tokens import DARK


@pytest.fixture
def panel(session: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> SettingsPanel:
    import rlhf_engine.doctor

    findings = [Finding("ok", "Python", "Python 3.11."), Finding("fail", "Qt", "Something is missing.", "Install it.")]
    monkeypatch.setattr(rlhf_engine.doctor, "diagnose", lambda: findings)
    monkeypatch.setattr(module, "hub_account", lambda: "jane")
    made = SettingsPanel(session)
    qtbot.addWidget(made)
    made.on_shown()
    qtbot.waitUntil(lambda: made.copy.isEnabled() and "jane" in made.hub_said.text())
    return made


def test_the_theme_changes_at_once_and_is_kept(panel: SettingsPanel) -> None:
    panel.theme_.setCurrentIndex(panel.theme_.findData("dark"))
    assert theme().colors is DARK and Settings.load().theme == "dark"
    panel.theme_.setCurrentIndex(panel.theme_.findData("light"))


def test_the_device_and_the_threads_are_kept(panel: SettingsPanel) -> None:
    panel.device.setCurrentIndex(panel.device.findData("cpu"))
    panel.threads.setValue(1)
    again = Settings.load()
    assert (again.device, again.threads) == ("cpu", 1)


def test_a_form_begins_with_the_device_that_was_chosen(panel: SettingsPanel, session: Any, qtbot: Any) -> None:
    from rlhf_engine.tasks.sft.spec import SFTSpec
    from studio.forms import SpecForm

    panel.device.setCurrentIndex(panel.device.findData("cpu"))
    form = SpecForm(SFTSpec, session)
    qtbot.addWidget(form)
    assert form.values()["device"] == "cpu"


def test_what_is_amiss_is_told_with_what_to_do(panel: SettingsPanel, qapp: Any) -> None:
    from studio.widgets import PlainLabel

    texts = [label.text() for label in panel.cards["about"].findChildren(PlainLabel)]
    assert "Something is missing.\nInstall it." in texts
    panel._copy()
    assert "Install it." in qapp.clipboard().text()


def test_a_token_is_handed_on_and_not_kept_here(
    panel: SettingsPanel, qtbot: Any, monkeypatch: Any, tmp_path: Any
) -> None:
    import huggingface_hub

    given: list[str] = []
    monkeypatch.setattr(huggingface_hub, "login", lambda token, **_: given.append(token))
    panel.token.setText("hf_secret123")
    panel.sign_in.click()
    assert panel.token.text() == ""
    qtbot.waitUntil(lambda: given == ["hf_secret123"] and "jane" in panel.hub_said.text(), timeout=10_000)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"hf_secret123" not in path.read_bytes(), path


def test_failures_of_the_hub_are_told_without_their_text() -> None:
    class Refused(Exception):
        response = type("Response", (), {"status_code": 401})

    assert "wrong or has expired" in hub_words(Refused("token hf_x"))
    assert "begins with hf_" in hub_words(ValueError("bad"))
    assert "cannot be reached" in hub_words(OSError("https://…"))


def test_the_cache_is_where_the_hub_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", "/somewhere")
    assert str(hub_cache()) == "/somewhere/hub"
    monkeypatch.setenv("HF_HUB_CACHE", "/else")
    assert str(hub_cache()) == "/else"
