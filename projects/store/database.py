"""Opening `project.sqlite`: pragmas, transactions, and the translation of SQLite's errors.

A project has two connections: a reader that never holds a lock (autocommit, `query_only`) and a writer whose every
transaction is `BEGIN IMMEDIATE`. Both belong to the thread of their `Project`. WAL lets the readers of other threads and
processes go on while one writes; `synchronous=FULL` makes a commit survive a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import StaticPool

from kinmark.engine.domain.errors import ProjectError
from kinmark.engine.domain.texts import said

APPLICATION_ID = 0x4B4E4D4B
"""`PRAGMA application_id` of our databases: the bytes "KNMK"."""
DATABASE_NAME = "project.sqlite"
BUSY_TIMEOUT_MS = 10_000
_READ_PRAGMAS = (
    "foreign_keys=ON",
    "trusted_schema=OFF",
    "cache_size=-32768",
    # No memory mapping: a network drive that goes away must be an error message, not a SIGBUS.
    "mmap_size=0",
)
_WRITE_PRAGMAS = (
    "cache_size=-262144",
    "journal_mode=WAL",
    "synchronous=FULL",
    "wal_autocheckpoint=2000",
    "journal_size_limit=67108864",
    # The statement journal (triggers make SQLite keep one) moves to a file with the first statement of a transaction that
    # changes more than 64 KB of pages, and stays there: every later row then costs twice as much.
    "temp_store=MEMORY",
)


WITHOUT_LOCK = "without_lock"


def connect(path: Path, *, mode: str = "rw", immutable: bool = False) -> sqlite3.Connection:
    """A raw connection in autocommit mode; `mode` is ro, rw or rwc. Usable from any thread (the owner takes care)."""
    uri = f"file:{quote(str(path))}?mode={mode}" + ("&immutable=1" if immutable else "")
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_MS / 1000
    )
    # Files from strangers: no SQL functions with side effects out of a crafted schema, no oversized strings.
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 2)
    return connection


def _engine(path: Path, pragmas: tuple[str, ...], *, mode: str, immutable: bool) -> Engine:
    def creator() -> sqlite3.Connection:
        connection = connect(path, mode=mode, immutable=immutable)
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    return create_engine("sqlite://", creator=creator, poolclass=StaticPool)


def read_engine(path: Path, *, immutable: bool = False) -> Engine:
    """Engine of the reading connection: autocommit, refuses to write."""
    engine = _engine(path, (*_READ_PRAGMAS, "query_only=ON"), mode="ro" if immutable else "rw", immutable=immutable)
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def write_engine(path: Path) -> Engine:
    """Engine of the writing connection: every transaction takes the write lock at once.

    With the execution option `WITHOUT_LOCK` it does not: for what is kept in this connection's temporary tables only.
    """
    engine = _engine(path, (*_READ_PRAGMAS, *_WRITE_PRAGMAS), mode="rw", immutable=False)

    @event.listens_for(engine, "begin")
    def begin_immediate(connection: Connection) -> None:
        if not connection.get_execution_options().get(WITHOUT_LOCK):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@contextmanager
def translated_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn SQLite's errors while `doing` something with the database `path` into ProjectError with a hint."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError, UnicodeDecodeError, OSError) as error:
        raise translate(path, doing, error) from error


def translate(path: Path, doing: str, error: Exception) -> ProjectError:
    """The ProjectError for a foreign error; integrity errors are bugs and are passed on unchanged by the caller."""
    text = str(getattr(error, "orig", None) or error)
    low = text.lower()
    folder = path.parent
    if "disk is full" in low or "no space left" in low or "quota" in low:
        what, hint = "the disk is full", "Free some space and repeat it; everything accepted before is stored."
    elif "readonly" in low or "read-only" in low or "permission" in low:
        what, hint = "the project may not be written", "Copy it to a place where you may write, or open it read-only."
    elif "locked" in low or "busy" in low:
        what, hint = "another program holds the project", "Close the other window or command and repeat it."
    elif "malformed" in low or "not a database" in low or "corrupt" in low or "decode" in low:
        what, hint = "the project file is damaged", "Restore the last good copy from its backups folder."
    elif "unable to open" in low or "disk i/o" in low or isinstance(error, OSError):
        what, hint = "the project file cannot be reached", "Check that the drive is connected and readable."
    else:
        what, hint = "the database refused it", "Repeat it; if it fails again, report it with the details."
    return ProjectError(
        said("{0} failed in {1}: {2}.", doing, folder, what), hint, details=f"{type(error).__name__}: {text}"
    )
