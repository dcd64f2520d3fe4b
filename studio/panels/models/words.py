"""What kinds of models are called, and how their numbers are written."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from rlhf_engine.tasks import ONLINE, PREFERENCES, REWARD, SUPERVISED, TASKS
from studio.panels.models.family import BASE, Member
from studio.panels.run_view.naming import method_of

_ICONS = {
    SUPERVISED: "school-outline",
    REWARD: "medal-outline",
    PREFERENCES: "scale-balance",
    ONLINE: "rocket-launch-outline",
}


def kind_word(kind: str) -> str:
    """Base, or the name of the method that made it."""
    return QCoreApplication.translate("Models", "Base") if kind == BASE else method_of(kind)


def kind_icon(kind: str) -> str:
    return _ICONS.get(TASKS[kind].family if kind in TASKS else "", "cube-outline")


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
