"""One door for messages, one for crashes."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

from PySide6.QtCore import QObject, Signal

from kinmark.desktop.error_texts import hint_of, message_of
from kinmark.engine.domain.errors import AppError, BugError

log = logging.getLogger("kinmark.window")


class Messages(QObject):
    """GUI thread; one per program. Whoever has something to say says it here; the window shows it in one bar.

    Signals:
        shown(level, text, hint, details, retry, other): level "info", "wait", "warning" or "error"; retry a callable or
            None; other (text, callable) of one more button, or None.
        withdrawn(text): what was said with this text holds no longer.
        crashed(report, text): an unexpected error was written to the file `report`.
    """

    shown = Signal(str, str, str, str, object, object)
    withdrawn = Signal(str)
    crashed = Signal(str, str)

    def info(
        self,
        text: str,
        hint: str = "",
        *,
        retry: Callable[[], object] | None = None,
        other: tuple[str, Callable[[], object]] | None = None,
    ) -> None:
        """Something worth knowing; `other`: text and work of a button that leads on from it."""
        self.shown.emit("info", text, hint, "", retry, other)

    def wait(self, text: str, hint: str = "") -> None:
        """Something goes on that the person waits for; stays until another message or until it is hidden."""
        self.shown.emit("wait", text, hint, "", None, None)

    def offer(self, text: str, hint: str, other: tuple[str, Callable[[], object]]) -> None:
        """Something that a person can go on with by the button `other` (text, work); stays until another message."""
        self.shown.emit("wait", text, hint, "", None, other)

    def withdraw(self, text: str) -> None:
        """It holds no longer: it goes away, if it is still shown."""
        self.withdrawn.emit(text)

    def warning(self, text: str, hint: str = "", *, retry: Callable[[], object] | None = None) -> None:
        """Something that the person may want to look at."""
        self.shown.emit("warning", text, hint, "", retry, None)

    def error(
        self,
        error: AppError,
        *,
        retry: Callable[[], object] | None = None,
        other: tuple[str, Callable[[], object]] | None = None,
    ) -> None:
        """A known error, or a bug caught in a worker (which also gets a report file).

        `other`: text and work of one more button, for another way than to try the same again.
        """
        if isinstance(error, BugError):
            self.bug(error)
            return
        log.warning("%s", error)
        self.shown.emit("error", message_of(error), hint_of(error), error.details, retry, other)

    def bug(self, error: BaseException) -> None:
        """Anything unexpected: a report file and the crash window. Nothing accepted is lost: it is in the database."""
        from kinmark.projects.crash import write_crash_report

        report = write_crash_report(error, getattr(error, "user_message", "using the window"))
        details = getattr(error, "details", "") or "".join(traceback.format_exception(error))
        log.error("%s", details)
        if isinstance(error, BugError) and error.details:
            with report.open("a", encoding="utf-8") as file:
                file.write(error.details)
        self.crashed.emit(str(report), str(error) or type(error).__name__)

    def guard(self, function: Callable[[], object]) -> bool:
        """Run `function`; known errors go to the bar. True when it went well."""
        try:
            function()
        except AppError as error:
            self.error(error)
            return False
        return True

    def install_crash_door(self) -> Callable[[], None]:
        """Send uncaught exceptions of all threads here; returns what puts the old hooks back."""
        old_hook, old_thread_hook = sys.excepthook, threading.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if issubclass(kind, KeyboardInterrupt):
                old_hook(kind, error, trace)
            elif isinstance(error, AppError):
                self.error(error)
            else:
                self.bug(error)

        def thread_hook(arguments: threading.ExceptHookArgs) -> None:
            if arguments.exc_value is not None:
                self.bug(arguments.exc_value)

        def restore() -> None:
            sys.excepthook, threading.excepthook = old_hook, old_thread_hook

        sys.excepthook, threading.excepthook = hook, thread_hook
        return restore
