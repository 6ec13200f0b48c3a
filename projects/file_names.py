"""File names that are no text: Linux allows any bytes in them, a database and a label file hold text only."""

from __future__ import annotations

import os
from pathlib import Path


def is_text(path: Path) -> bool:
    """Whether the path can be stored."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(path: Path | str) -> str:
    """The path as text, with replacement characters where it is none."""
    return os.fsencode(path).decode("utf-8", "replace")
