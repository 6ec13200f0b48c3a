"""A child process: the real window on a project, ended by a click on its close button or by a signal at a given stage.

`python -m tests.support.window_process PROJECT STAGE ENDING`; prints `leaving <monotonic time> <pending proposals>`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication

STAGES = ("open", "labelled", "importing", "working", "stored", "paused", "asking", "tuning")
ENDINGS = ("close", "SIGTERM", "SIGINT")


class Script:
    """Brings the window to `stage`, then ends it."""

    def __init__(self, stage: str, ending: str) -> None:
        self.stage, self.ending = stage, ending
        self.asked = False
        self.timer = QTimer()
        self.timer.setInterval(10)
        self.timer.timeout.connect(self.look)
        self.timer.start()

    def look(self) -> None:
        """Ten milliseconds have passed."""
        from kinmark.desktop.window.main_window import MainWindow

        window = next((w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow)), None)
        space = window.workspace if window is not None else None
        if window is None or space is None or space.target.canvas.pyramid is None:
            return
        if not self.asked:
            self.asked = True
            self.ask(window, space)
        if self.reached(window, space):
            self.timer.stop()
            print("leaving", time.monotonic(), space.session.queries.counts().pending, flush=True)
            if self.ending == "close":
                window.close()
            else:
                os.kill(os.getpid(), getattr(signal, self.ending))

    def ask(self, window: Any, space: Any) -> None:
        if self.stage in ("importing", "working", "stored", "paused"):
            window.registry["engine.propose"].trigger()
        elif self.stage == "labelled":
            space.labelling.start_new_instance()
            space.editor.place(40.0, 50.0, 2)
        elif self.stage == "asking":
            from PySide6.QtWidgets import QMessageBox

            QTimer.singleShot(0, lambda: QMessageBox.question(window, "?", "An open question"))
        elif self.stage == "tuning":
            window.commands.dialogs.tune(space)
            dialog = window.commands.dialogs.dialog("tune")
            dialog.steps.setValue(400)
            dialog.start()

    def reached(self, window: Any, space: Any) -> bool:
        engine = window.program.engine
        job = engine.shown_job
        if self.stage in ("open", "labelled"):
            return True
        if self.stage == "asking":
            return QApplication.activeModalWidget() is not None
        if self.stage == "importing":
            return "torch" in sys.modules
        if self.stage == "working":
            return job is not None and job.progress.snapshot().total > 0
        if self.stage == "tuning":
            return bool(space.tuning.points)
        if space.session.queries.counts().pending == 0 or job is None:
            return False
        if self.stage == "paused":
            job.cancel.pause()
        return True


def main(argv: list[str]) -> int:
    from kinmark.desktop.app import make_application, run_window

    project, stage, ending = argv
    assert stage in STAGES and ending in ENDINGS
    # A shell's background job ignores Ctrl-C, and the window respects that: here it must not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    make_application([])
    script = Script(stage, ending)
    code = run_window([project])
    del script
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
