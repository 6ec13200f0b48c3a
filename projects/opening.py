"""What is looked at before a project opens, and what a clean close leaves behind for the next time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

from kinmark.engine.domain.errors import ProjectError, UserInputError
from kinmark.engine.domain.texts import said
from kinmark.projects.file_names import is_text, shown
from kinmark.projects.store import backup, inspection, migrate
from kinmark.projects.store.database import DATABASE_NAME, connect, translated_errors

CLEAN_NOTE = "closed.json"
MAX_PATH_BYTES = 480
"""SQLite opens paths of up to 512 bytes, its journal's name included."""
ALWAYS_CHECKED = 8 << 20
"""Databases up to this size are checked at every opening (a fraction of a second), larger ones after a crash only.

The window checks every project once more while nothing goes on (`check_integrity`).
"""


def usable(folder: Path | str) -> Path:
    """The absolute folder; UserInputError when its path is longer than SQLite can open, or no text."""
    folder = Path(folder).absolute()
    if not is_text(folder):
        raise UserInputError(
            said("The path {0} is not UTF-8 text.", shown(folder)),
            "Rename the folder that is named so, or use another place.",
        )
    if len(os.fsencode(folder)) > MAX_PATH_BYTES:
        raise UserInputError(
            said("The path of the project folder {0} is too long ({1} bytes).", folder.name, len(os.fsencode(folder))),
            said("Use a place with a path of at most {0} bytes.", MAX_PATH_BYTES),
        )
    return folder


def copy_with_journal(path: Path) -> tempfile.TemporaryDirectory[str] | None:
    """On read-only media a journal that was never merged can only be read from a copy; None when there is none."""
    journal = path.with_name(DATABASE_NAME + "-wal")
    if not journal.exists() or journal.stat().st_size == 0:
        return None
    place = tempfile.TemporaryDirectory(prefix="kinmark-")
    for file in (path, journal):
        shutil.copyfile(file, Path(place.name) / file.name)
    return place


def note_clean_close(path: Path) -> None:
    """Leave a note of how the database looked when its last connection was closed (then its journal is gone)."""
    if path.with_name(DATABASE_NAME + "-wal").exists():
        return
    with contextlib.suppress(OSError):
        info = path.stat()
        note = json.dumps({"size": info.st_size, "mtime_ns": info.st_mtime_ns})
        (path.parent / CLEAN_NOTE).write_text(note, encoding="utf-8")


def closed_cleanly(path: Path) -> bool:
    """Whether a large database is as its last connection left it; small ones are checked at every opening anyway."""
    note = path.parent / CLEAN_NOTE
    try:
        info, data = path.stat(), json.loads(note.read_text(encoding="utf-8"))
        same = data == {"size": info.st_size, "mtime_ns": info.st_mtime_ns}
        return same and info.st_size > ALWAYS_CHECKED and not path.with_name(DATABASE_NAME + "-wal").exists()
    except (OSError, ValueError):
        return False


def check_version(folder: Path, path: Path, *, read_only: bool, check: bool = True, upgradable: bool = False) -> None:
    """Refuse what is not ours, too new or damaged; bring an older format up to date after a backup.

    `upgradable`: leave an older format as it is, whoever opens it next brings it up to date.
    """
    writable = os.access(folder, os.W_OK)
    with translated_errors(path, "Opening the project"):
        connection = connect(path, mode="rw" if writable else "ro", immutable=not writable)
        try:
            version = migrate.version_of(connection, folder)
            problems = inspection.structure_problems(connection, older=version < migrate.VERSION)
            if check and not problems:
                problems = inspection.content_problems(connection)
        except (sqlite3.DatabaseError, ValueError) as error:  # names that are no UTF-8 are a ValueError
            problems, version = [str(error)], migrate.VERSION
        finally:
            connection.close()
    if problems:
        raise damaged(folder, "; ".join(problems))
    if version < migrate.VERSION and not upgradable:
        if read_only:
            raise ProjectError(
                said("The project {0} has an older format.", folder),
                said("Bring it up to date: open it in the window, or run kinmark backup {0} (a copy is kept).", folder),
            )
        backup.make(folder, reason=f"v{version}")
        migrate.upgrade(path)


def damaged(folder: Path, details: str) -> ProjectError:
    """The error that says so and names the last good backup."""
    good = backup.newest_good(folder)
    hint = (
        said("Put back its last good copy with: kinmark backup {0} --restore {1}", folder, good.name)
        if good
        else "It has no good backup; look for a copy of the folder elsewhere."
    )
    return ProjectError(said("The project file in {0} is damaged.", folder), hint, details)
