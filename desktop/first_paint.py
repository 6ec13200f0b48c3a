"""Open the window once, wait for its first paint, close it again: the last step of `kinmark selfcheck`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from engine.domain.errors import KnownError

TIMEOUT_MS = 120_000


def first_paint() -> float:
    """Seconds from the first import of Qt to the first paint; without a screen on Qt's "offscreen" platform.

    Raises:
        KnownError: Qt's libraries are missing, or nothing was painted in time.
    """
    started = time.perf_counter()
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    try:
        from PySide6.QtCore import QEvent, QObject, QTimer
        from PySide6.QtWidgets import QWidget

        from desktop.app import make_application, make_window
    except ImportError as error:
        raise _cannot_open(error) from None

    _need_platform_libraries()

    class Watch(QObject):
        painted: float | None = None

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if self.painted is None and event.type() == QEvent.Type.Paint and isinstance(watched, QWidget):
                self.painted = time.perf_counter() - started
                QTimer.singleShot(0, app.quit)
            return False

    app = make_application([])
    watch = Watch()
    app.installEventFilter(watch)
    window = make_window([])
    QTimer.singleShot(TIMEOUT_MS, app.quit)
    try:
        app.exec()
    finally:
        app.removeEventFilter(watch)
        window.close()
    if watch.painted is None:
        raise KnownError(f"Nothing was painted within {TIMEOUT_MS // 1000} s.", "See whether other Qt programs open.")
    return watch.painted


def _need_platform_libraries() -> None:
    """Qt ends the whole process where the X11 plugin lacks a library; KnownError with its name instead."""
    if sys.platform != "linux" or not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM", "xcb") != "xcb":
        return
    import ctypes

    from PySide6.QtCore import QLibraryInfo

    plugin = Path(QLibraryInfo.path(QLibraryInfo.LibraryPath.PluginsPath)) / "platforms" / "libqxcb.so"
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        raise _cannot_open(error) from None


def _cannot_open(error: Exception) -> KnownError:
    return KnownError(
        f"The window cannot open: {error}",
        "Install Qt's system libraries. Debian/Ubuntu: apt-get install libegl1 libgl1 libxkbcommon0 libxkbcommon-x11-0 "
        "libfontconfig1 libdbus-1-3 libglib2.0-0 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 "
        "libxcb-render-util0 libxcb-shape0",
    )
