"""What lives as long as the program: settings, messages, file pool, pictures, engine thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QApplication

from kinmark.desktop.engine_thread.service import EngineService
from kinmark.desktop.io.photos import PhotoStore
from kinmark.desktop.io.pool import IoPool
from kinmark.desktop.io.thumbnails import ThumbnailStore
from kinmark.desktop.messages import Messages
from kinmark.desktop.settings import Settings, SettingsStore
from kinmark.desktop.theme.apply import apply_theme


def engine_config(settings: Settings, prompts_dir: Path | None) -> Any:
    """How the engine thread opens its engine: one processor is left to the window."""
    import os

    from kinmark.engine.api import EngineConfig

    threads = settings.threads or max(1, (os.cpu_count() or 2) - 1)
    return EngineConfig(
        device=settings.device,
        dtype=settings.dtype,
        cache_bytes=int(settings.cache_gb * 2**30),
        prompt_dirs=(prompts_dir,) if prompts_dir is not None else (),
        threads=threads,
        compile=settings.compile,
    )


class Program(QObject):
    """GUI thread; one per process. Owns everything that outlives a project; `close` ends all threads.

    Attributes:
        ended_in_time: False when a thread was still inside a library as the program closed.
    """

    def __init__(self, app: QApplication) -> None:
        super().__init__()
        self.app = app
        self.settings = SettingsStore(self)
        self.messages = Messages(self)
        self.pool = IoPool(2, self)
        self.photos = PhotoStore(self.pool)
        self.thumbnails = ThumbnailStore(self.pool)
        self._prompts_dir: Path | None = None
        self._read_only = False
        self.engine = EngineService(self._make_engine, self._open_project, self)
        self.settings.changed.connect(self._settings_changed)
        app.styleHints().colorSchemeChanged.connect(lambda _: self.apply_theme())
        self._themed: tuple[object, ...] = ()
        self.ended_in_time = True
        self.apply_theme()

    def _make_engine(self) -> Any:
        from kinmark.engine.api import open_engine

        return open_engine(engine_config(self.settings.current, self._prompts_dir))

    def _open_project(self, folder: Path) -> Any:
        from kinmark.projects.project import Project

        return Project.open(folder, read_only=self._read_only)

    def use_project(self, folder: Path | None, *, read_only: bool = False) -> None:
        """Engine jobs work on this project from now on; `read_only`: those that would write say that they may not."""
        self._read_only = read_only
        self._prompts_dir = folder / "prompts" if folder is not None else None
        self.engine.use_project(folder)
        self.pool.forget_all()
        self.photos.clear()
        self.thumbnails.clear()

    def _settings_changed(self, _settings: Settings) -> None:
        self.apply_theme()

    def apply_theme(self) -> None:
        """Palette and fonts, when they changed."""
        settings = self.settings.current
        wanted = (settings.theme, settings.font_scale, self.app.styleHints().colorScheme())
        if wanted != self._themed:
            self._themed = wanted
            apply_theme(self.app, settings.theme, settings.font_scale)

    def close(self) -> None:
        """Cancel jobs and end the threads (within about two seconds)."""
        engine_ended = self.engine.close(1.2)
        self.ended_in_time = self.pool.close(0.5) and engine_ended
