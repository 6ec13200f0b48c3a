"""Is this database what our tables promise? A project file may come from a stranger, or from a disk that lies.

SQLite stores any type in any column and runs triggers that a file brings along. So a file is opened only when it has our
tables, no triggers or views of its own, and (where the contents are checked) values of the declared types: what is read
afterwards can be used without looking at it again.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Float, Integer, Table, Text

from kinmark.projects.store import history  # noqa: F401 - its tables are looked at, too
from kinmark.projects.store.models import Base

_JSON_COLUMNS = {
    ("setting", "value"),
    ("category", "extra"),
    ("instance", "extra"),
    ("proposal", "extra"),
    ("keypoint_proposal", "detail"),
    ("decision", "detail"),
}


def structure_problems(connection: sqlite3.Connection, *, older: bool = False) -> list[str]:
    """Foreign triggers and views, missing tables and columns ([] = none); costs a fraction of a millisecond.

    `older`: the file is of an older version, which lacks what was added since; triggers would run while it is brought up.
    """
    alien = connection.execute("SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view')").fetchall()
    problems = [f"the file brings the {kind} {name!r}, which is none of ours" for kind, name in alien]
    for table in () if older else Base.metadata.sorted_tables:
        columns = _columns(connection, table)
        missing = [column.name for column in table.columns if column.name not in columns]
        if missing:
            problems.append(f"the table {table.name} lacks {', '.join(missing[:3])}")
    return problems


def content_problems(connection: sqlite3.Connection) -> list[str]:
    """Damaged pages, and values that are not of their column's type ([] = none); about a second per million keypoints."""
    found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
    if found:
        return found
    for table in Base.metadata.sorted_tables:
        condition = _wrong_values(table, _columns(connection, table))
        if condition and connection.execute(f"SELECT 1 FROM {table.name} WHERE {condition} LIMIT 1").fetchone():
            found.append(f"the table {table.name} holds a value of the wrong kind")
    return found


def _columns(connection: sqlite3.Connection, table: Table) -> set[str]:
    """Columns that the file has of our table: an older version lacks some, or the whole table."""
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}


def _wrong_values(table: Table, present: set[str]) -> str:
    wrong = []
    for column in table.columns:
        name = column.name
        if name not in present:
            continue
        if isinstance(column.type, Integer):
            wrong.append(f"typeof({name}) NOT IN ('integer', 'null')")
        elif isinstance(column.type, Float):
            # Infinity is a real too; NaN is stored as NULL by SQLite itself.
            wrong.append(f"typeof({name}) NOT IN ('real', 'integer', 'null') OR abs({name}) > 1e300")
        elif isinstance(column.type, Text):
            wrong.append(f"typeof({name}) NOT IN ('text', 'null')")
            if (table.name, name) in _JSON_COLUMNS:
                wrong.append(f"NOT json_valid({name})")
    return " OR ".join(wrong)
