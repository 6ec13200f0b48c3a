"""Undo and redo as inverse row changes, recorded by SQLite itself.

Temporary triggers on the writing connection note, for every row that a transaction touches, what it was before the step
(`undo_row`; only the first note per row and step counts). Nothing can be forgotten: single edits, bulk statements and
cascades go through the same triggers. Undo puts the noted rows back while the triggers note the state that it replaces
under the same step, which is then what redo needs; so both survive a restart and are exact to the last bit.

Triggers are made from the models at each opening, so they always fit the tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Table

from kinmark.engine.domain.errors import BugError
from kinmark.engine.domain.texts import Text
from kinmark.projects.store.history import TABLE_NUMBERS, logged_columns, logged_tables

_PARENTS = {key.column.table.name for table in logged_tables() for key in table.foreign_keys}
_NAMES = {number: name for name, number in TABLE_NUMBERS.items()}
MAX_HISTORY_ROWS = 4_000_000
"""Rows kept in the history in all (some hundreds of megabytes); the oldest steps go first, never the newest."""


def install(connection: Connection) -> None:
    """Create the temporary tables and triggers on the writing connection (outside a transaction of an operation)."""
    run = connection.exec_driver_sql
    run("CREATE TEMP TABLE IF NOT EXISTS current_step (step_id INTEGER)")
    run(
        "CREATE TEMP TABLE IF NOT EXISTS touched (table_no INTEGER, image_id INTEGER, "
        "PRIMARY KEY (table_no, image_id)) WITHOUT ROWID"
    )
    run(
        "CREATE TEMP TABLE IF NOT EXISTS replay AS SELECT * FROM undo_row WHERE 0",
    )
    run("CREATE INDEX IF NOT EXISTS temp.replay_order ON replay (table_no, existed, row_id)")
    run(
        "CREATE TEMP TABLE IF NOT EXISTS gone (table_no INTEGER, row_id INTEGER, PRIMARY KEY (table_no, row_id)) "
        "WITHOUT ROWID"
    )
    for table in logged_tables():
        for sql in _triggers(table):
            run(sql)


def _triggers(table: Table) -> list[str]:
    name, number, columns = table.name, TABLE_NUMBERS[table.name], logged_columns(table)
    if name == "image":
        image = "{row}.id"
    else:
        image = "{row}.image_id" if "image_id" in columns else "0"
    values = ", ".join(f"old.{column}" for column in columns)
    slots = ", ".join(f"v{i}" for i in range(len(columns)))
    watched = ", ".join(columns)

    def trigger(event: str, row: str, insert: str) -> str:
        return (
            f"CREATE TEMP TRIGGER IF NOT EXISTS log_{name}_{event.split()[0].lower()} AFTER {event} ON main.{name} BEGIN "
            f"INSERT INTO touched SELECT {number}, {image.format(row=row)} WHERE NOT EXISTS "
            f"(SELECT 1 FROM touched WHERE table_no = {number} AND image_id = {image.format(row=row)}); "
            f"{insert} WHERE current_step.step_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM undo_row u WHERE "
            f"u.step_id = current_step.step_id AND u.table_no = {number} AND u.row_id = {row}.id); END"
        )

    head = "INSERT INTO undo_row (step_id, table_no, row_id, existed"
    was_there = f"{head}, {slots}) SELECT current_step.step_id, {number}, old.id, 1, {values} FROM current_step"
    was_not = f"{head}) SELECT current_step.step_id, {number}, new.id, 0 FROM current_step"
    return [
        trigger("INSERT", "new", was_not),
        trigger(f"UPDATE OF {watched}", "old", was_there),
        trigger("DELETE", "old", was_there),
    ]


def set_current(connection: Connection, step_id: int | None) -> None:
    """Tell the triggers which step is written (None: note nothing) and forget what was touched before."""
    connection.exec_driver_sql("DELETE FROM touched")
    connection.exec_driver_sql("DELETE FROM current_step")
    if step_id is not None:
        connection.exec_driver_sql("INSERT INTO current_step VALUES (?)", (step_id,))


JOB = "job:"
"""Prefix of the merge keys of background jobs."""
PERSON, PROGRAM = "person", "program"
"""Who took a step: somebody asked for it, or the program did it by itself in the background."""


@dataclass(frozen=True)
class OpenStep:
    """The step that a transaction writes under. `joined`: a batch of a job that joined its earlier step."""

    id: int
    is_new: bool
    joined: bool = False


@dataclass(frozen=True)
class Step:
    """A step of the history: its name (a `Text` where something is filled in), noted rows, and who took it."""

    id: int
    name: str
    rows: int
    by_program: bool


_STEP = "id, name, said, rows, origin"


def _step(row: Sequence[Any]) -> Step:
    name = Text.from_json(json.loads(row[2])) if row[2] else str(row[1])
    return Step(int(row[0]), name, int(row[3]), row[4] == PROGRAM)


def _said(name: str) -> str | None:
    return json.dumps(name.to_json(), ensure_ascii=False) if isinstance(name, Text) else None


def open_step(connection: Connection, name: str, merge_key: str, now: str, origin: str = PERSON) -> OpenStep:
    """The step to write under: an earlier one with the same non-empty `merge_key`, else a new one.

    Batches of a job (`JOB...`) join their step wherever it lies below; edits by hand (arrow-key nudges) only the newest
    step, because what came in between would be undone in the wrong order.
    """
    if merge_key:
        newest = connection.exec_driver_sql(
            "SELECT id, merge_key FROM undo_step WHERE undone = 0 AND (? OR merge_key = ?) ORDER BY id DESC LIMIT 1",
            (not merge_key.startswith(JOB), merge_key),
        ).first()
        if newest is not None and newest[1] == merge_key:
            return OpenStep(int(newest[0]), False, merge_key.startswith(JOB))
    cursor = connection.exec_driver_sql(
        "INSERT INTO undo_step (name, said, merge_key, origin, undone, rows, created_at) VALUES (?, ?, ?, ?, 0, 0, ?)",
        (str(name), _said(name), merge_key, origin, now),
    )
    return OpenStep(int(cursor.lastrowid or 0), True)


def rename_step(connection: Connection, step_id: int, name: str) -> None:
    """Give a step the name that it turned out to have."""
    connection.exec_driver_sql(
        "UPDATE undo_step SET name = ?, said = ? WHERE id = ?", (str(name), _said(name), step_id)
    )


def close_step(connection: Connection, step: OpenStep) -> bool:
    """After the writes: drop an empty new step, else forget what could be redone and shorten the history.

    Returns whether the step has rows. A further batch of a running job leaves the redo list alone.
    """
    rows = _count_rows(connection, step.id)
    if step.is_new and rows == 0:
        connection.exec_driver_sql("DELETE FROM undo_step WHERE id = ?", (step.id,))
        return False
    if not step.joined and connection.exec_driver_sql("SELECT 1 FROM touched LIMIT 1").first() is not None:
        connection.exec_driver_sql("DELETE FROM undo_step WHERE undone = 1")
    connection.exec_driver_sql("UPDATE undo_step SET rows = ? WHERE id = ?", (rows, step.id))
    _shorten(connection, step.id)
    return True


def _count_rows(connection: Connection, step_id: int) -> int:
    return int(connection.exec_driver_sql("SELECT COUNT(*) FROM undo_row WHERE step_id = ?", (step_id,)).scalar() or 0)


def _shorten(connection: Connection, keep_step: int) -> None:
    total = int(connection.exec_driver_sql("SELECT COALESCE(SUM(rows), 0) FROM undo_step").scalar() or 0)
    while total > MAX_HISTORY_ROWS:
        oldest = connection.exec_driver_sql(
            "SELECT id, rows FROM undo_step WHERE id <> ? AND undone = 0 ORDER BY id LIMIT 1", (keep_step,)
        ).first()
        if oldest is None:
            return
        connection.exec_driver_sql("DELETE FROM undo_step WHERE id = ?", (oldest[0],))
        total -= int(oldest[1])


def touched(connection: Connection) -> tuple[frozenset[str], frozenset[int]]:
    """(tables, image ids) with changed rows since `set_current`."""
    rows = connection.exec_driver_sql("SELECT table_no, image_id FROM touched").all()
    return frozenset(_NAMES[row[0]] for row in rows), frozenset(row[1] for row in rows if row[1])


def next_undo(connection: Connection) -> Step | None:
    """The step that undo would take back."""
    return next(iter(upcoming(connection, forward=False, limit=1)), None)


def next_redo(connection: Connection) -> Step | None:
    """The step that redo would bring back."""
    return next(iter(upcoming(connection, forward=True, limit=1)), None)


def upcoming(connection: Connection, *, forward: bool, limit: int) -> list[Step]:
    """The next `limit` steps that undo (or redo, `forward`) would take, in their order."""
    order = "ORDER BY id" if forward else "ORDER BY id DESC"
    rows = connection.exec_driver_sql(
        f"SELECT {_STEP} FROM undo_step WHERE undone = ? {order} LIMIT ?", (int(forward), limit)
    ).all()
    return [_step(row) for row in rows]


_PARK = {
    "keypoint": "definition_id = -id",
    "keypoint_proposal": "definition_id = -id",
    "mask": "instance_id = -id",
    "image": "lookup = '/' || id",
}
"""Where an update may exchange values of a unique index between rows: they step aside before they are put back."""


def replay(connection: Connection, step_id: int, *, undone: bool) -> None:
    """Put back the noted rows of `step_id`; what they replace is noted under the same step. `undone`: its new state.

    Foreign keys must be off (`foreign_keys_off`): rows are put back one table after another, and a cascade in between
    would take rows along that the step never touched. Afterwards no row points to a missing one.
    """
    run = connection.exec_driver_sql
    run("DELETE FROM replay")
    run("INSERT INTO replay SELECT * FROM undo_row WHERE step_id = ?", (step_id,))
    run("DELETE FROM undo_row WHERE step_id = ?", (step_id,))
    set_current(connection, step_id)
    noted = {(row[0], row[1]) for row in run("SELECT DISTINCT table_no, existed FROM replay")}
    added = [table for table in logged_tables() if (TABLE_NUMBERS[table.name], 0) in noted]
    changed = [table for table in logged_tables() if (TABLE_NUMBERS[table.name], 1) in noted]
    for table in added:
        run(f"DELETE FROM main.{table.name} WHERE id IN {_rows(existed=0)}", (TABLE_NUMBERS[table.name],))
    for table in changed:
        if table.name in _PARK:
            sql = f"UPDATE main.{table.name} SET {_PARK[table.name]} WHERE id IN {_rows(existed=1)}"
            run(sql, (TABLE_NUMBERS[table.name],))
    for table in changed:
        run(*_restore(table))
    for table in changed:
        _drop_orphans(connection, table)
    _drop_left_behind(connection)
    run(
        "UPDATE undo_step SET undone = ?, rows = ? WHERE id = ?",
        (int(undone), _count_rows(connection, step_id), step_id),
    )
    run("DELETE FROM replay")


@contextmanager
def foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Switch foreign keys off around a transaction (SQLite ignores the switch inside one)."""
    raw = connection.connection.dbapi_connection
    if raw is None:
        raise BugError("The writing connection is closed.")
    raw.cursor().execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        raw.cursor().execute("PRAGMA foreign_keys=ON")


def _rows(*, existed: int) -> str:
    return f"(SELECT row_id FROM replay WHERE table_no = ? AND existed = {existed})"


def _restore(table: Table) -> tuple[str, tuple[int]]:
    columns = logged_columns(table)
    names = ", ".join(columns)
    slots = ", ".join(f"v{i}" for i in range(len(columns)))
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns)
    sql = (
        f"INSERT INTO main.{table.name} (id, {names}) SELECT row_id, {slots} FROM replay "
        f"WHERE table_no = ? AND existed = 1 ORDER BY row_id ON CONFLICT (id) DO UPDATE SET {updates}"
    )
    return sql, (TABLE_NUMBERS[table.name],)


def _drop_orphans(connection: Connection, table: Table) -> None:
    """Leave out restored rows whose parent has gone meanwhile (a job replaced it after the step was made)."""
    columns = logged_columns(table)
    for key in table.foreign_keys:
        child, parent = key.parent.name, key.column.table.name
        slot = columns.index(child)
        orphans = (
            f"id IN (SELECT row_id FROM replay WHERE table_no = ? AND existed = 1 AND v{slot} IS NOT NULL "
            f"AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.id = v{slot}))"
        )
        if key.ondelete == "SET NULL":
            sql = f"UPDATE main.{table.name} SET {child} = NULL WHERE {orphans}"
        else:
            sql = f"DELETE FROM main.{table.name} WHERE {orphans}"
        connection.exec_driver_sql(sql, (TABLE_NUMBERS[table.name],))


def _drop_left_behind(connection: Connection) -> None:
    """Rows that other steps attached to rows which are gone now go with them (batches of a job may do that).

    Parents come before children, so that what is dropped takes its own children along.
    """
    run = connection.exec_driver_sql
    run("DELETE FROM gone")
    run(
        "INSERT INTO gone SELECT table_no, row_id FROM replay WHERE existed = 0 AND table_no IN "
        f"({', '.join(str(TABLE_NUMBERS[name]) for name in sorted(_PARENTS))})"
    )
    gone = {row[0] for row in run("SELECT DISTINCT table_no FROM gone")}
    for table in logged_tables():
        number = TABLE_NUMBERS[table.name]
        for key in table.foreign_keys:
            parent = TABLE_NUMBERS[key.column.table.name]
            if parent not in gone:
                continue
            orphans = f"{key.parent.name} IN (SELECT row_id FROM gone WHERE table_no = {parent})"
            if key.ondelete == "SET NULL":
                run(f"UPDATE main.{table.name} SET {key.parent.name} = NULL WHERE {orphans}")
            else:
                run(f"INSERT OR IGNORE INTO gone SELECT {number}, id FROM main.{table.name} WHERE {orphans}")
                if run(f"DELETE FROM main.{table.name} WHERE {orphans}").rowcount:
                    gone.add(number)
