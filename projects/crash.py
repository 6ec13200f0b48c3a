"""The crash door: a report file that a person can send, without their data in it."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path

from kinmark.engine.paths import log_dir


def write_crash_report(error: BaseException, doing: str) -> Path:
    """Write the traceback and the versions to the log folder (or the temporary folder); returns the file."""
    text = "\n".join(
        (
            f"Kinmark crash report, {time.strftime('%Y-%m-%d %H:%M:%S')}",
            f"While: {doing}",
            f"Python {sys.version}",
            f"Platform {platform.platform()}",
            "",
            "".join(traceback.format_exception(error)),
        )
    )
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{time.monotonic_ns() % 10**6:06d}.txt"
    for folder in (log_dir(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return Path(name)
