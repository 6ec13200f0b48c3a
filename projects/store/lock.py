"""One writing process per project: an operating-system lock that vanishes with its process.

Within the process every thread may open the project for writing; the lock is counted, and `HUB.write_lock` queues their
transactions.
"""

from __future__ import annotations

import json
import os
import platform
import threading
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from kinmark.engine.domain.errors import ProjectLockedError
from kinmark.engine.domain.texts import said

_guard = threading.Lock()
_held: dict[Path, tuple[FileLock, int]] = {}


def acquire(folder: Path) -> int:
    """Take (or count up) this process's lock on the project `folder`; ProjectError names the process that holds it.

    Returns how often this process holds it now (1: nobody had it open).
    """
    key = folder.resolve()
    with _guard:
        if key in _held:
            lock, count = _held[key]
            _held[key] = (lock, count + 1)
            return count + 1
        lock = FileLock(folder / "writer.lock", thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ProjectLockedError(
                said("The project {0} is open in another program{1}.", folder, _holder(folder)),
                "Close it there, or open the project read-only.",
            ) from None
        except OSError as error:
            raise ProjectLockedError(
                said("The project {0} cannot be locked for writing.", folder),
                "Copy it to a local disk where you may write, or open it read-only.",
                repr(error),
            ) from error
        _held[key] = (lock, 1)
        _sign(folder)
        return 1


def is_held(folder: Path) -> bool:
    """Whether this process has the project open for writing."""
    with _guard:
        return folder.resolve() in _held


def release(folder: Path) -> None:
    """Count down; the last one gives the lock back."""
    key = folder.resolve()
    with _guard:
        lock, count = _held.pop(key)
        if count > 1:
            _held[key] = (lock, count - 1)
        else:
            lock.release()


def _sign(folder: Path) -> None:
    text = json.dumps({"pid": os.getpid(), "host": platform.node(), "since": datetime.now().isoformat("T", "seconds")})
    try:
        (folder / "writer.json").write_text(text, encoding="utf-8")
    except OSError:
        return  # only for the message to a second program; the lock itself is what counts


def _holder(folder: Path) -> str:
    try:
        data = json.loads((folder / "writer.json").read_text(encoding="utf-8"))
        return f" (process {int(data['pid'])} on {data['host']}, since {data['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
