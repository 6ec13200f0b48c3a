"""Fixtures of the journeys: the program as a person starts it, with a real toy pipeline as its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.toy_pipeline import make_toy_pipeline
from tests.support.window import Driver, leave, make_photos


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder of the real classes at toy size."""
    import torch

    torch.set_num_threads(1)
    return make_toy_pipeline(tmp_path_factory.mktemp("toy") / "toy-sd")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four small photos of a figure."""
    return make_photos(tmp_path / "photos")


@pytest.fixture
def make_driver(qapp: object) -> Iterator[Callable[..., Driver]]:
    """Opens windows as the entry point does; closes them at the end."""
    from kinmark.desktop.app import make_window

    windows: list[Any] = []

    def make(arguments: list[str] | None = None) -> Driver:
        window = make_window(arguments or [])
        windows.append(window)
        return Driver(window)

    yield make
    from PySide6.QtCore import QCoreApplication, QEvent

    for window in windows:
        leave(window)
        window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
