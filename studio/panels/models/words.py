"""What kinds of models are called, and how their numbers are written."""

from __future__ import annotations

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from studio.engine_words import task_title
from studio.panels.models.family import Member

KINDS: dict[str, str] = {
    "base": str(QT_TRANSLATE_NOOP("Models", "Base")),
    "sft": str(QT_TRANSLATE_NOOP("Models", "SFT")),
    "reward": str(QT_TRANSLATE_NOOP("Models", "Reward model")),
    "ppo": str(QT_TRANSLATE_NOOP("Models", "PPO")),
}
ICONS = {"base": "cube-outline", "sft": "school-outline", "reward": "medal-outline", "ppo": "rocket-launch-outline"}


def kind_word(kind: str) -> str:
    if kind in KINDS:
        return QCoreApplication.translate("Models", KINDS[kind])
    return task_title(kind)


def parameters(count: int) -> str:
    """1.2 M, 0.66 M, 7.6 B."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= unit * (0.1 if name == "M" else 1):
            return f"{count / unit:.3g} {name}"
    return f"{count:,}" if count else ""


def size(count: int) -> str:
    """4.7 MB, 13 GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "KB")):
        if count >= unit:
            return f"{count / unit:.3g} {name}"
    return f"{count} B" if count else ""


def numbers(member: Member) -> dict[str, str]:
    """The columns of the tree for one model; empty texts where nobody knows."""
    yes, no = QCoreApplication.translate("Models", "yes"), QCoreApplication.translate("Models", "no")
    facts = member.base or member.adapter
    shown = {"kind": kind_word(member.kind), "parameters": "", "size": "", "context": "", "template": "", "dtype": ""}
    if facts is None:
        return shown | {"size": QCoreApplication.translate("Models", "on the Hub")}
    shown |= {
        "parameters": parameters(facts.parameters),
        "size": size(facts.bytes),
        "dtype": ", ".join(facts.dtypes[:3]),
    }
    if member.base is not None and facts.bytes:
        shown["context"] = f"{member.base.context:,}" if member.base.context else ""
        shown["template"] = yes if member.base.chat_template else no
    return shown
