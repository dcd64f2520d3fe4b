"""Widgets that refer to each other are freed on the window's thread, whoever allocates."""

import gc
import threading
from typing import ClassVar

import pytest
from PySide6.QtCore import QObject

from studio.garbage import GarbageCollector


@pytest.fixture
def collector(qtbot):
    parent = QObject()
    collector = GarbageCollector(parent)
    yield collector
    collector.stop()


class Knot:
    """Frees itself only by collection, and says on which thread that was."""

    freed: ClassVar[list[str]] = []

    def __init__(self):
        self.me = self

    def __del__(self):
        Knot.freed.append(threading.current_thread().name)


def test_cycles_wait_for_the_windows_thread(collector, monkeypatch):
    monkeypatch.setattr(Knot, "freed", [])
    other = threading.Thread(target=lambda: [Knot() for _ in range(5_000)], name="errand")
    other.start()
    other.join()
    assert Knot.freed == []  # an allocating thread collects nothing
    collector.look()
    assert set(Knot.freed) == {"MainThread"}
    assert len(Knot.freed) == 5_000


def test_nothing_is_collected_before_it_is_due(collector, monkeypatch):
    gc.collect()
    looked = []
    monkeypatch.setattr(gc, "collect", looked.append)
    collector.look()
    assert looked == []


def test_python_takes_over_again_when_it_stops(collector):
    assert not gc.isenabled()
    collector.stop()
    assert gc.isenabled()
