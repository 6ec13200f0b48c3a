"""Schema versions: creating a database and bringing an older one up to date with Alembic (a backup comes first)."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from kinmark.engine.domain.errors import ProjectError
from kinmark.engine.domain.texts import said
from kinmark.projects.store.database import APPLICATION_ID, connect, translated_errors, write_engine

HEAD = "0003"
"""The newest revision in `migrations/versions`; a test compares it with the folder and the folder with the models."""
VERSION = 3
"""`PRAGMA user_version` of HEAD: raised with every revision, so that the version is known without Alembic."""


def upgrade(path: Path) -> None:
    """Run all missing migrations on the database `path` in one transaction and stamp it."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    engine = write_engine(path)
    try:
        with translated_errors(path, "Bringing the project up to date"), engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    finally:
        engine.dispose()


def create(path: Path) -> None:
    """A new database at `path` (which must not exist)."""
    with translated_errors(path, "Creating the project"):
        connection = connect(path, mode="rwc")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
    upgrade(path)


def version_of(connection: sqlite3.Connection, folder: Path) -> int:
    """The schema version; ProjectError when the file is none of ours or is newer than this program."""
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    except sqlite3.DatabaseError as error:
        raise ProjectError(
            said("The project file in {0} is damaged or is not a Kinmark project.", folder),
            "Restore the last good copy from its backups folder.",
            str(error),
        ) from error
    if application != APPLICATION_ID:
        raise ProjectError(
            said("{0} is not a Kinmark project.", folder), "Open a folder that ends in .kinmark, or make a new project."
        )
    if version > VERSION:
        raise ProjectError(
            said(
                "The project {0} was made by a newer Kinmark (format {1}, this one reads up to {2}).",
                folder,
                version,
                VERSION,
            ),
            "Update Kinmark to open it.",
        )
    return version
