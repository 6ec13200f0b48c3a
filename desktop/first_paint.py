"""Open the window once, wait for its first paint, close it again: the last step of `kinmark selfcheck`."""

from __future__ import annotations

import os
import sys
import time

from kinmark.engine.domain.errors import KnownError
from kinmark.engine.domain.texts import said
from kinmark.projects.qt_platform import LIBRARIES, install_hint, libraries_problem, missing_without_x11
from kinmark.projects.selfcheck import LeftOut

TIMEOUT_MS = 120_000


def first_paint() -> float:
    """Seconds from the first import of Qt to the first paint; without a screen on Qt's "offscreen" platform.

    Raises:
        KnownError: Qt's libraries are missing, or nothing was painted in time.
        LeftOut: there is no screen, nor what Qt needs to draw without one: a server or a bare container.
    """
    started = time.perf_counter()
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        missing = missing_without_x11()  # without fontconfig Qt would end the process
        if missing:
            names = ", ".join(row[0] for row in missing)
            raise LeftOut(f"no screen here; for a window the system lacks {names}. {install_hint(missing)}")
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    try:
        from PySide6.QtCore import QEvent, QEventLoop, QObject, QTimer
        from PySide6.QtWidgets import QWidget

        from kinmark.desktop.app import make_application, make_window
    except ImportError as error:
        raise KnownError(said("The window cannot open: {0}", error), install_hint(LIBRARIES)) from None

    problem = libraries_problem()  # Qt ends the whole process where its X11 plugin lacks a library
    if problem is not None:
        raise KnownError(problem.what, problem.todo)

    class Watch(QObject):
        painted: float | None = None

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if self.painted is None and event.type() == QEvent.Type.Paint and isinstance(watched, QWidget):
                self.painted = time.perf_counter() - started
                QTimer.singleShot(0, loop.quit)
            return False

    app = make_application([])
    loop = QEventLoop()  # of its own: quitting the application would also end every loop that is begun afterwards
    watch = Watch()
    patience = QTimer()
    patience.setSingleShot(True)
    patience.timeout.connect(loop.quit)
    app.installEventFilter(watch)
    window = make_window([])
    patience.start(TIMEOUT_MS)
    try:
        if watch.painted is None:
            loop.exec()
    finally:
        patience.stop()
        app.removeEventFilter(watch)
        window.close()
    if watch.painted is None:
        raise KnownError(
            said("Nothing was painted within {0} s.", TIMEOUT_MS // 1000), "See whether other Qt programs open."
        )
    return watch.painted
