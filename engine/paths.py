"""Where things lie: read-only resources of the program, and the person's folders (platformdirs).

`KINMARK_HOME` moves every per-user folder under one place (servers, tests, portable installs).
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("kinmark", appauthor=False)


def resources_dir() -> Path:
    """The read-only `resources/` folder beside the packages."""
    return Path(__file__).resolve().parent.parent / "resources"


def _user_dir(kind: str, default: str) -> Path:
    home = os.environ.get("KINMARK_HOME")
    return Path(home) / kind if home else Path(default)


def cache_dir() -> Path:
    """Disposable, size-capped caches (features, thumbnails)."""
    return _user_dir("cache", _DIRS.user_cache_dir)


def data_dir() -> Path:
    """Downloaded and added backbones (`models/`), shared prompts."""
    return _user_dir("data", _DIRS.user_data_dir)


def settings_dir() -> Path:
    """`settings.toml`, key maps, recent projects."""
    return _user_dir("settings", _DIRS.user_config_dir)


def log_dir() -> Path:
    """Logs and crash reports."""
    return _user_dir("logs", _DIRS.user_log_dir)
