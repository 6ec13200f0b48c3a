"""A person's settings: one small TOML file of what differs from the defaults, applied at once, no Save button."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from kinmark.engine.paths import settings_dir


@dataclass(frozen=True)
class Settings:
    """Everything in the settings window.

    Attributes:
        theme: "system", "light" or "dark"; language: "system", "en", "de"; font_scale: 0.8 to 1.6.
        point_px: size of keypoint marks; show_names, keep_zoom: of the canvas.
        auto_advance: after the last keypoint the next photo of the queue comes by itself.
        index_ahead: photos that are added to a large collection are described for searching while nothing else runs.
        live_improve: accepting improves what is pending on the next photos without a click.
        tell_apart: a sweep leaves photos out that clearly look like another category.
        improve_ahead: how many photos ahead that looks.
        accept_precision: "sure" means at least this expected precision.
        queue_strategy: how the review queue is sorted.
        device, dtype, threads, cache_gb: of the engine ("auto", 0 = all but one core); compile: torch.compile its model.
        recent: recent project folders, newest first.
    """

    theme: str = "system"
    language: str = "system"
    font_scale: float = 1.0
    point_px: float = 9.0
    show_names: bool = False
    keep_zoom: bool = True
    auto_advance: bool = True
    live_improve: bool = True
    index_ahead: bool = True
    tell_apart: bool = True
    improve_ahead: int = 8
    accept_precision: float = 0.9
    doubt_below: float = 0.5
    queue_strategy: str = "uncertain"
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    compile: bool = False
    cache_gb: float = 4.0
    show_source: bool = True
    link_views: bool = False
    recent: tuple[str, ...] = ()


_LIMITS: dict[str, tuple[float, float]] = {
    "font_scale": (0.8, 1.6),
    "point_px": (5, 24),
    "improve_ahead": (0, 200),
    "accept_precision": (0.5, 0.999),
    "doubt_below": (0.0, 1.0),
    "threads": (0, 256),
    "cache_gb": (0.0, 1000.0),
}


def settings_file() -> Path:
    """Where they are kept."""
    return settings_dir() / "settings.toml"


def parse_settings(text: str) -> Settings:
    """From TOML; unknown names and values of the wrong type are passed over, numbers brought into their limits."""
    try:
        data = tomllib.loads(text)
    except ValueError:
        return Settings()
    defaults = Settings()
    values: dict[str, object] = {}
    for item in fields(Settings):
        if item.name not in data:
            continue
        value, default = data[item.name], getattr(defaults, item.name)
        if isinstance(default, bool):
            ok = isinstance(value, bool)
        elif isinstance(default, int | float):
            ok = isinstance(value, int | float) and not isinstance(value, bool)
            if ok and item.name in _LIMITS:
                low, high = _LIMITS[item.name]
                value = min(max(value, low), high)
            value = type(default)(value) if ok else value
        elif isinstance(default, tuple):
            ok = isinstance(value, list) and all(isinstance(v, str) for v in value)
            value = tuple(value) if ok else value
        else:
            ok = isinstance(value, str)
        if ok:
            values[item.name] = value
    return Settings(**values)  # type: ignore[arg-type]


def format_settings(settings: Settings) -> str:
    """TOML of what differs from the defaults (JSON's strings, numbers, booleans and lists are TOML too)."""
    defaults = asdict(Settings())
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in asdict(settings).items() if v != defaults[k]]
    return "\n".join(lines) + "\n"


class SettingsStore(QObject):
    """GUI thread; one per program. `current` is frozen; `change` replaces, keeps and announces it.

    Signals:
        changed(Settings): the new settings.
    """

    changed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        path = settings_file()
        try:
            self.current = parse_settings(path.read_text(encoding="utf-8")) if path.exists() else Settings()
        except (OSError, UnicodeDecodeError):
            self.current = Settings()

    def change(self, **values: object) -> None:
        """Set some values and write the file."""
        updated = replace(self.current, **values)  # type: ignore[arg-type]
        if updated == self.current:
            return
        self.current = updated
        path = settings_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(format_settings(updated), encoding="utf-8")
        temporary.replace(path)
        self.changed.emit(updated)

    def remember_project(self, folder: Path) -> None:
        """Put a project at the top of the recent ones."""
        text = str(folder)
        self.change(recent=(text, *(r for r in self.current.recent if r != text))[:12])

    def forget_project(self, folder: str) -> None:
        """Take a project off the recent ones (its files stay)."""
        self.change(recent=tuple(r for r in self.current.recent if r != folder))
