"""Fixtures of the window's tests: one program per test, closed at its end; nothing of it may stay alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.window import Driver, leave, make_photos, make_project


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four small photos of a figure."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def make_driver(qapp: object) -> Iterator[Callable[[list[str]], Driver]]:
    """Opens windows as the entry point does; closes them at the end."""
    from kinmark.desktop.app import make_window

    windows: list[Any] = []

    def make(arguments: list[str] | None = None) -> Driver:
        window = make_window(arguments or [])
        window.program.settings.change(live_improve=False)
        windows.append(window)
        return Driver(window)

    yield make
    for window in windows:
        leave(window)
        window.deleteLater()
    from PySide6.QtCore import QCoreApplication, QEvent

    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture
def driver(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path) -> Driver:
    """A window with a project of four photos, nothing labelled."""
    folder = make_project(tmp_path / "figures.kinmark", photos)
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    return driver


@pytest.fixture
def proposed(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path) -> Driver:
    """A window with one labelled photo and made-up proposals on the three others."""
    from tests.support.proposals import propose_figures

    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1)
    propose_figures(folder)
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    return driver
