"""The Qt binding itself: PySide6 6.12.0 gives a reference of None away in every call on Python 3.11 and dies after a while."""

from __future__ import annotations

import sys

import pytest
from PySide6.QtCore import QObject


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from Python 3.12 on")
def test_calls_without_result_do_not_use_none_up() -> None:
    thing = QObject()
    before = sys.getrefcount(None)
    for _ in range(2000):
        thing.setObjectName("a")
    assert abs(sys.getrefcount(None) - before) < 500
