"""A guard: the PySide6 installed here takes no references that it does not give back.

PySide6 6.12 below Python 3.12 loses one to True at every emit and one to None at every void call, and some thousands
later the process aborts without a traceback. From Python 3.12 on both are immortal and their counts never move.
"""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import QObject, QTimer, Signal
from PySide6.QtGui import QColor, QPen

TIMES = 200
STRAY = 25  # what anything else in this process may take or give meanwhile


class Bell(QObject):
    """Something that emits."""

    rung = Signal()
    told = Signal(object)


def _emit() -> None:
    bell = Bell()
    bell.rung.connect(lambda: None)
    for _ in range(TIMES):
        bell.rung.emit()
        bell.told.emit(None)


def _call() -> None:
    pen, timer = QPen(), QTimer()
    for width in range(TIMES):
        pen.setWidth(width)
        pen.setColor(QColor(1, 2, 3))
        timer.setInterval(width)


@pytest.mark.parametrize("constant", [True, False, None], ids=str)
@pytest.mark.parametrize("work", [_emit, _call], ids=["emitting", "calling"])
def test_qt_costs_no_references(work, constant):
    work()  # once first: the first call of each method fills caches
    before = sys.getrefcount(constant)
    work()
    assert abs(sys.getrefcount(constant) - before) < STRAY
