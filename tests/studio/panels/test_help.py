"""The help in the window: pages, links, search, and where F1 and the question marks lead."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtWidgets import QToolButton

from rlhf_engine.contract.events import Metrics, RunStarted
from rlhf_engine.help import PAGES, read
from studio.panels.help import HelpPanel
from studio.panels.help.browser import CHUNK, HelpBrowser, chunks
from studio.panels.train import TrainPanel
from tests.studio.panels.run_stage import Feed, told


@pytest.fixture
def panel(session: Any, qtbot: Any) -> HelpPanel:
    made = HelpPanel(session)
    qtbot.addWidget(made)
    made.resize(1000, 600)
    made.show()
    return made


def text(panel: HelpPanel, qtbot: Any) -> str:
    qtbot.waitUntil(lambda: panel.browser.whole, timeout=5000)
    return panel.browser.toPlainText()


def first_line(panel: HelpPanel) -> str:
    return panel.browser.cursorForPosition(panel.browser.viewport().rect().topLeft()).block().text()


def test_every_page_is_listed_and_can_be_read(panel: HelpPanel, qtbot: Any) -> None:
    listed = [panel.pages.item(row).data(Qt.ItemDataRole.UserRole) for row in range(panel.pages.count())]
    assert [key for key in listed if key] == list(PAGES)
    for key in PAGES:
        assert panel.show_topic(key)
        shown = text(panel, qtbot)
        title = read(key).partition("\n")[0].removeprefix("# ")
        assert shown.startswith(title) and "**" not in shown and "\n# " not in shown, key
    assert not panel.show_topic("nowhere")


def test_a_link_leads_to_a_page_and_back_again(panel: HelpPanel, qtbot: Any) -> None:
    text(panel, qtbot)
    assert not panel.back.isEnabled()
    panel.browser.anchorClicked.emit(QUrl("methods"))
    assert panel.page == "methods" and panel.pages.currentItem().text().strip() == "Which method when"
    panel.browser.anchorClicked.emit(QUrl("metrics#objective/score"))
    assert "objective/score" in text(panel, qtbot)
    panel.back.click()
    assert panel.page == "methods"
    qtbot.keyClick(panel, Qt.Key.Key_Backspace)
    assert panel.page == "index" and not panel.back.isEnabled()


def test_only_pages_are_followed_and_nothing_is_ever_loaded(panel: HelpPanel, qtbot: Any) -> None:
    for address in ("https://example.org", "file:///etc/passwd", "//host/share", "http:methods"):
        panel.browser.anchorClicked.emit(QUrl(address))
        assert panel.page == "index"
    browser = HelpBrowser()
    qtbot.addWidget(browser)
    loaded = []
    real = browser.loadResource
    browser.loadResource = lambda *asked: loaded.append(real(*asked))  # type: ignore[method-assign]
    browser.show_markdown("# T\n\n![x](file:///etc/passwd) <img src=file:///etc/passwd>")
    browser.show()
    qtbot.wait(20)
    assert all(found is None for found in loaded)
    assert browser.loadResource(2, QUrl("file:///etc/passwd")) is None
    assert not browser.openLinks() and not browser.openExternalLinks()


def test_a_part_of_a_page_is_scrolled_to(panel: HelpPanel, qtbot: Any) -> None:
    panel.receive({"metric": "objective/kl_sequence", "task": "ppo"})
    text(panel, qtbot)
    assert panel.page == "ppo#objective/kl_sequence"
    qtbot.waitUntil(lambda: "Drift per answer" in first_line(panel), timeout=3000)
    panel.receive({"metric": "heldout/reliability", "task": "reward"})
    text(panel, qtbot)
    assert panel.page == "reward#heldout/reliability"
    panel.receive({"topic": "getting-started#Compare"})
    text(panel, qtbot)
    assert panel.browser.textCursor().block().text() == "Compare"  # as far up as the page's end allows
    panel.receive({"topic": "of another version"})
    assert panel.page == "index"


def test_a_part_is_found_while_the_page_is_still_being_laid_out(panel: HelpPanel, qtbot: Any) -> None:
    panel.show_topic("ppo")
    assert not panel.browser.whole
    panel.show_topic("ppo#objective/kl_sequence")
    text(panel, qtbot)
    qtbot.waitUntil(lambda: "Drift per answer" in first_line(panel), timeout=3000)


def test_search_finds_and_leads_there(panel: HelpPanel, qtbot: Any) -> None:
    qtbot.keyClicks(panel.search, "gae lambda")
    qtbot.waitUntil(lambda: panel.hits.count() > 0, timeout=10_000)
    assert panel.hits.item(0).text().startswith("GAE lambda  ·  PPO\n")
    assert panel.page == "index"
    qtbot.keyClick(panel.search, Qt.Key.Key_Return)
    assert panel.page == "ppo#lam"
    qtbot.keyClicks(panel.search, " xylophone")
    qtbot.waitUntil(lambda: panel.hits.count() == 0, timeout=10_000)
    assert "Nothing was found" in panel.nothing.text() and not panel.nothing.isHidden()
    panel.search.clear()
    qtbot.waitUntil(lambda: panel.pages.isVisible(), timeout=3000)


def test_a_page_is_laid_out_in_pieces(panel: HelpPanel, qtbot: Any) -> None:
    pieces = chunks(read("ppo"))
    assert "\n\n".join(pieces) == read("ppo") and len(pieces) > 5
    assert all(len(piece) < 4 * CHUNK for piece in pieces)
    panel.browser.show_markdown(read("ppo"))
    assert not panel.browser.whole  # the rest follows
    assert "Whiten rewards" in text(panel, qtbot)


def test_the_help_of_a_method_is_beside_it(session: Any, qtbot: Any) -> None:
    asked: list[Any] = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    train = TrainPanel(session)
    qtbot.addWidget(train)
    train.setup.choose("reward")
    (about,) = [b for b in train.setup.findChildren(QToolButton) if "What this method does" in b.accessibleName()]
    about.click()
    assert asked == [("help", {"topic": "reward"})] and train.help_topic() == "reward"


def test_what_is_this_leads_to_the_metric(session: Any, qtbot: Any) -> None:
    asked: list[Any] = []
    session.panel_requested.connect(lambda where, hints: asked.append((where, hints)))
    train = TrainPanel(session)
    qtbot.addWidget(train)
    feed = Feed()
    train.view.show_run(feed, "Mine")
    feed.tell(told(RunStarted("ppo", 4), Metrics(1, {"objective/score": 0.5})))
    train.view.curves.finish()
    (card,) = train.view.charts._cards.values()
    card.findChildren(QToolButton)[0].click()
    assert asked == [("help", {"metric": "objective/score", "task": "ppo"})]
    train._pages.setCurrentWidget(train.view)
    assert train.help_topic() == "ppo"
    train.view.close_run()
