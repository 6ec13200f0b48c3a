"""Start the window: QApplication, translation, theme, crash door, then the main window. Heavy parts load later."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
from pathlib import Path

from PySide6.QtCore import QLibraryInfo, QLocale, QTimer, QTranslator
from PySide6.QtGui import QImageReader
from PySide6.QtWidgets import QApplication

from kinmark.desktop.error_texts import use_language
from kinmark.desktop.program import Program
from kinmark.desktop.signals import SignalDoor
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.window.main_window import MainWindow
from kinmark.engine.paths import resources_dir

SWITCH_INTERVAL_S = 0.001
LEAVE_AGAIN_MS = 200


def install_translation(app: QApplication, language: str) -> list[QTranslator]:
    """Qt's own texts and ours for `language` ("system" or a code); English needs only the plural forms.

    What a language lacks falls back to English, because the translator installed last is asked first.
    """
    code = QLocale.system().name() if language == "system" else language
    if language != "system":
        QLocale.setDefault(QLocale(code))
    use_language(code)
    ours = str(resources_dir() / "translations")
    installed = []
    for locale, name, folder in (
        (QLocale("en"), "kinmark", ours),
        (QLocale(code), "qtbase", QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)),
        (QLocale(code), "kinmark", ours),
    ):
        translator = QTranslator(app)
        if translator.load(locale, name, "_", folder):
            app.installTranslator(translator)
            installed.append(translator)
    return installed


def make_application(arguments: list[str]) -> QApplication:
    """The one QApplication."""
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    app = QApplication(["kinmark", *arguments])
    app.setApplicationName("kinmark")
    app.setApplicationDisplayName("Kinmark")
    app.setWindowIcon(icon("kinmark"))
    QImageReader.setAllocationLimit(0)  # photos come through our own loader, which has its own limit
    return app


def parse(argv: list[str]) -> argparse.Namespace:
    """`kinmark [PROJECT] [--read-only]`."""
    parser = argparse.ArgumentParser(prog="kinmark", description="Open the Kinmark window.")
    parser.add_argument("project", nargs="?", type=Path, help="project folder to open")
    parser.add_argument("--read-only", action="store_true", help="open the project without changing anything")
    known, _ = parser.parse_known_args(argv)
    return known


def make_window(argv: list[str]) -> MainWindow:
    """Everything up to the shown window (also the door for tests and screenshots)."""
    arguments = parse(argv)
    app = make_application([])
    # Short turns of the interpreter lock keep the window smooth while the engine thread runs Python between tensor steps.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    program = Program(app)
    translators = install_translation(app, program.settings.current.language)
    window = MainWindow(program)
    program.translators = translators  # type: ignore[attr-defined]
    window.show()
    if arguments.project is not None:
        folder, read_only = arguments.project, arguments.read_only
        QTimer.singleShot(0, lambda: window.open_project(folder, read_only=read_only))
    return window


def run_window(argv: list[str]) -> int:
    """Run the program until its window closes; returns the exit code (128 + number when a signal ended it)."""
    window = make_window(argv)
    restore = window.program.messages.install_crash_door()
    app = QApplication.instance()
    assert app is not None

    def leave() -> None:
        window.close()
        QApplication.exit(0)  # also leaves the loops of open questions
        again.start()

    again = QTimer()  # a question may begin its own loop just after the signal came
    again.setInterval(LEAVE_AGAIN_MS)
    again.timeout.connect(lambda: QApplication.exit(0))
    door = SignalDoor(leave)
    try:
        code = app.exec()
    finally:
        again.stop()
        door.close()
        restore()
        window.close()
    code = 128 + door.received if door.received else code
    if not window.program.ended_in_time:
        leave_at_once(code)
    return code


def leave_at_once(code: int) -> None:
    """End the process without waiting for a thread that is still inside a library (loading it, one long step).

    Tearing the libraries down under a running thread would crash. Threads that are no daemons finish what a person asked
    for (a large step of the project); everything else is committed and closed by now.
    """
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    os._exit(code)
