"""Pictures of every window: light and dark, empty and full, long names, small window, 200 % scale, German.

    python tests/visual/screenshots.py OUT [--dark] [--scale 2] [--language de] [--only NAME ...]
    python tests/visual/screenshots.py --guide      # the pictures of docs/guide
    python tests/visual/screenshots.py OUT --all    # every variant, each in its own folder of OUT

Needs no screen (offscreen platform) and no model. Look at each picture after a change of the window.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(REPOSITORY))
sys.path.insert(0, str(Path(__file__).resolve().parent))


GUIDE = (
    "start-recent",
    "dialog-new",
    "main-review",
    "main-zoomed",
    "main-grid",
    "parts",
    "identities",
    "statistics-full",
    "dialog-schema",
    "dialog-bulk",
    "dialog-export",
    "dialog-tune-result",
    "dialog-keys",
    "dialog-legend",
    "herd-review",
)
"""Pictures of the user guide."""

VARIANTS: dict[str, list[str]] = {
    "light": [],
    "dark": ["--dark"],
    "german": ["--language", "de"],
    "large": ["--scale", "2"],
    "font": ["--font", "1.5", "--dark"],
}
"""What `--all` makes."""


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=REPOSITORY / "docs" / "guide" / "pictures")
    parser.add_argument("--guide", action="store_true", help="write the pictures of the user guide (JPEG)")
    parser.add_argument("--all", action="store_true", help="every variant, one after the other")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--scale", type=float, default=1.0, help="pixels per unit of the screen")
    parser.add_argument("--font", type=float, default=1.0, help="font size of the settings")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--language", default="en")
    parser.add_argument("--home", type=Path, default=None)
    return parser.parse_args(argv)


def save(image: Any, path: Path) -> None:
    """PNG to look at; small JPEG for the guide (they are in the repository)."""
    if path.suffix == ".png":
        image.save(str(path))
        return
    from PIL import Image
    from PySide6.QtGui import QImage

    rgb = image.convertToFormat(QImage.Format.Format_RGB888)
    raw = Image.frombuffer("RGB", (rgb.width(), rgb.height()), rgb.constBits(), "raw", "RGB", rgb.bytesPerLine(), 1)
    raw.save(path, quality=74, optimize=True, progressive=True)


class Studio:
    """Opens the program and takes pictures."""

    def __init__(self, out: Path, only: list[str], suffix: str) -> None:
        from kinmark.desktop.app import make_window

        self.out = out
        self.only = only
        self.suffix = suffix
        self.window = make_window([])
        out.mkdir(parents=True, exist_ok=True)

    @property
    def dialogs(self) -> Any:
        return self.window.commands.dialogs

    @property
    def space(self) -> Any:
        assert self.window.workspace is not None
        return self.window.workspace

    def wait(self, seconds: float) -> None:
        from PySide6.QtCore import QEventLoop, QTimer

        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def until(self, ready: Callable[[], object], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not ready() and time.monotonic() < end:
            self.wait(0.1)

    def settle(self) -> None:
        """Wait until no picture or figure is on its way any more."""
        pool = self.window.program.pool
        self.wait(0.25)
        self.until(lambda: not pool._tasks)
        self.wait(0.25)

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only

    def take(self, name: str, widget: Any = None) -> None:
        if not self.wants(name):
            return
        self.settle()
        target = widget if widget is not None else self.window
        save(target.grab().toImage(), self.out / f"{name}{self.suffix}")
        print(name, flush=True)

    def dialog(
        self, name: str, open_it: Callable[[], object], then: Callable[[Any], object] | None = None, *, shot: str = ""
    ) -> None:
        """Open a dialog, do something in it, take its picture, close it."""
        shot = f"dialog-{shot or name}"
        if not self.wants(shot):
            return
        open_it()
        dialog = self.dialogs.dialog(name)
        assert dialog is not None, f"no window called {name} came"
        self.settle()
        if then is not None:
            then(dialog)
        self.take(shot, dialog)
        dialog.close()
        self.wait(0.05)


def main(argv: list[str] | None = None) -> int:
    arguments = parse(argv)
    if arguments.all:
        for name, flags in VARIANTS.items():
            print(f"== {name}")
            subprocess.run([sys.executable, __file__, str(arguments.out / name), *flags], check=True)
        return 0
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if arguments.scale != 1:
        os.environ["QT_SCALE_FACTOR"] = str(arguments.scale)
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["KINMARK_HOME"] = str(arguments.home or temporary)
        from kinmark.desktop.settings import Settings, format_settings, settings_file

        settings_file().parent.mkdir(parents=True, exist_ok=True)
        theme = "dark" if arguments.dark else "light"
        settings = Settings(theme=theme, language=arguments.language, font_scale=arguments.font)
        settings_file().write_text(format_settings(settings), encoding="utf-8")
        only = list(GUIDE) if arguments.guide else arguments.only
        studio = Studio(arguments.out, only, ".jpg" if arguments.guide else ".png")
        from scenes import run

        try:
            run(studio)
        finally:
            studio.window.close()
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # the engine thread may still be loading the model for the diagnosis
