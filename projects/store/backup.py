"""Backups of the database: `VACUUM INTO`, rotating, and putting one back."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kinmark.engine.domain.errors import OperationCancelled, ProjectError, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said
from kinmark.projects.store.database import APPLICATION_ID, DATABASE_NAME, connect, translated_errors

KEEP_NEWEST = 5
KEEP_DAYS = 14
INTERVAL = timedelta(minutes=30)
LARGE = 64 << 20
"""Databases over this size are copied at closing once a day only (it takes seconds); a worker may do it more often."""
LARGE_INTERVAL = timedelta(days=1)
_TURN = threading.Lock()


def backups_of(folder: Path) -> list[Path]:
    """Backup files of the project `folder`, newest first (by name: the clock of the disk is not trusted)."""
    return sorted((folder / "backups").glob("project-*.sqlite"), key=lambda path: path.stem, reverse=True)


def make(folder: Path, *, reason: str = "", cancel: CancelToken | None = None) -> Path:
    """Write a compact, checked copy of the database into `backups/` and drop the ones that rotation no longer keeps.

    Threads of a process take turns: two that closed the project at once would name, and write, the same file.

    OperationCancelled, and no trace of the copy, when `cancel` is set meanwhile.
    """
    target_dir = folder / "backups"
    database = folder / DATABASE_NAME
    with _TURN, translated_errors(database, "Backing up"):
        target_dir.mkdir(exist_ok=True)
        target = _free_name(target_dir, reason)
        partial = target.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        connection = connect(database)
        try:
            with _stopped_by(connection, cancel):
                connection.execute("VACUUM INTO ?", (str(partial),))
        except OperationCancelled:
            partial.unlink(missing_ok=True)
            raise
        finally:
            connection.close()
            # An unfinished copy must never look like a backup.
        _flush(partial)
        partial.replace(target)
        _rotate(folder)
    return target


@contextlib.contextmanager
def _stopped_by(connection: sqlite3.Connection, cancel: CancelToken | None) -> Iterator[None]:
    """What SQLite does inside stops soon after `cancel` is set, with OperationCancelled."""
    if cancel is None:
        yield
        return
    cancel.check()
    connection.set_progress_handler(lambda: int(cancel.cancelled), 100_000)
    try:
        yield
    except sqlite3.OperationalError as error:
        if cancel.cancelled and "interrupted" in str(error):
            raise OperationCancelled from None
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _free_name(target_dir: Path, reason: str) -> Path:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    newest = max((path.name[8:23] for path in target_dir.glob("project-*.sqlite")), default="")
    # A clock that was set back must not make the newest backup look old.
    stamp = max(stamp, newest)
    number = len(list(target_dir.glob(f"project-{stamp}*.sqlite")))
    return target_dir / f"project-{stamp}-{number:02d}{'-' + reason if reason else ''}.sqlite"


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _rotate(folder: Path) -> None:
    """Keep the newest few, and the newest of each of the last days that have any."""
    days: dict[str, Path] = {}
    files = backups_of(folder)
    for path in files:
        days.setdefault(path.name[8:16], path)
    keep = {*files[:KEEP_NEWEST], *list(days.values())[:KEEP_DAYS]}
    for path in files:
        if path not in keep:
            with contextlib.suppress(OSError):
                path.unlink()


def is_due(folder: Path, interval: timedelta = INTERVAL) -> bool:
    """Whether the database changed since the newest backup (or since the project was made) and that is `interval` ago."""
    files = backups_of(folder)
    database = folder / DATABASE_NAME
    try:
        journal = database.with_name(DATABASE_NAME + "-wal")
        changed = max(path.stat().st_mtime for path in (database, journal) if path.exists())
        made = (files[0] if files else folder / "backups").stat().st_mtime
    except OSError:
        return False
    # A clock that was set back shows as a negative age: better one backup too many.
    return changed > made and abs(datetime.now().timestamp() - made) > interval.total_seconds()


def check(path: Path, *, full: bool = False, cancel: CancelToken | None = None) -> list[str]:
    """What SQLite finds wrong with a database file (nothing: []). `full` also compares indexes and foreign keys.

    OperationCancelled when `cancel` is set meanwhile.
    """
    try:
        connection = connect(path, mode="ro")
    except sqlite3.Error as error:
        return [str(error)]
    try:
        pragma = "integrity_check(20)" if full else "quick_check(20)"
        with _stopped_by(connection, cancel):
            found = [str(row[0]) for row in connection.execute(f"PRAGMA {pragma}") if row[0] != "ok"]
            if full and not found:
                found = [
                    f"{row[0]} row {row[1]} points to a missing {row[2]}"
                    for row in connection.execute("PRAGMA foreign_key_check")
                ]
        if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            found.append("not a Kinmark project")
        return found
    except sqlite3.DatabaseError as error:
        return [str(error)]
    finally:
        connection.close()


def newest_good(folder: Path) -> Path | None:
    """The newest backup that passes the check."""
    return next((path for path in backups_of(folder) if not check(path)), None)


def restore(folder: Path, backup: Path | None = None) -> Path:
    """Put a backup (None: the newest good one) in place of the database; the old file is kept beside it.

    Returns the backup that was used. The caller holds the writer lock and no connection.
    """
    backup = backup or newest_good(folder)
    if backup is None:
        raise ProjectError(
            said("The project {0} has no good backup.", folder), "Look for a copy of the folder elsewhere."
        )
    if not backup.is_file():
        raise UserInputError(said("There is no backup {0}.", backup))
    problems = check(backup)
    if problems:
        raise ProjectError(
            said("The backup {0} is damaged itself.", backup.name), "Choose an older one.", "; ".join(problems)
        )
    database = folder / DATABASE_NAME
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    with translated_errors(database, "Restoring a backup"):
        fresh = folder / (DATABASE_NAME + ".restoring")
        fresh.write_bytes(backup.read_bytes())
        _flush(fresh)
        for suffix in ("", "-wal", "-shm"):
            old = folder / (DATABASE_NAME + suffix)
            if old.exists():
                # The journal of the damaged file must not be applied to the restored one.
                old.replace(folder / f"{DATABASE_NAME}{suffix}.replaced-{stamp}")
        fresh.replace(database)
    return backup
