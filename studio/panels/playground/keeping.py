"""What is kept of a conversation: an answer as a demonstration, or two of them as a pair to judge."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QCoreApplication

from rlhf_engine.contract.errors import EngineError
from rlhf_engine.data.records import text_of
from studio.panels.playground.answer_card import AnswerCard
from studio.panels.playground.column import Turn
from studio.session import Session


def _tr(text: str) -> str:
    return QCoreApplication.translate("Playground", text)


def keep_demonstration(session: Session, turn: Turn, card: AnswerCard) -> None:
    """Save question and answer; examples and the nudge to think are left out, so that the model does without."""
    try:
        id, changed = session.labels.add_demonstration(turn.bare, card.text(), source="human")
    except EngineError as error:
        session.say(error)
        return
    session.announce(changed)

    def take_back() -> None:
        session.announce(session.labels.retire("demonstrations", id))

    without = turn.bare != turn.sent
    told = _tr("Saved as a demonstration, without the examples.") if without else _tr("Saved as a demonstration.")
    session.toast(told, "good", _tr("Undo"), take_back)


def keep_rating(session: Session, turn: Turn, card: AnswerCard, liked: bool | None) -> None:
    """Save whether an answer is liked, in the place of what was said of it before; None takes that back."""
    before = card.rating
    was = next((thumb for thumb, made in card.thumbs.items() if made.isChecked() and thumb != liked), None)
    try:
        if liked is None:
            changed = session.labels.retire("ratings", before) if before else session.labels.last_change
            id = ""
        else:
            id, changed = session.labels.add_rating(turn.bare, card.text(), liked, replaces=before or None)
    except EngineError as error:
        card.show_rating(before, was if before else None)
        session.say(error)
        return
    card.show_rating(id, liked)
    session.announce(changed)


def keep_pair(
    session: Session, turn: Turn, a: tuple[str, AnswerCard], b: tuple[str, AnswerCard], settings: dict[str, Any]
) -> bool:
    """Save two answers as a pair that waits to be judged; sides are drawn when it is shown."""
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
    meta = {
        "from": "playground",
        "a": {"model": a[0], "title": session.model_title(a[0]), "finish": a[1].finish, "score": a[1].score},
        "b": {"model": b[0], "title": session.model_title(b[0]), "finish": b[1].finish, "score": b[1].score},
        "settings": told,
        "sent": text_of(turn.sent),
    }
    try:
        session.labels.add_pair(turn.bare, a[1].text(), b[1].text(), meta, source="model")
    except EngineError as error:
        session.say(error)
        return False
    session.announce(session.labels.last_change)
    session.toast(_tr("Sent to Compare."), "good", _tr("Judge it"), lambda: session.go("compare"))
    return True
