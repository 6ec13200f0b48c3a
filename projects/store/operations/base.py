"""How an operation runs: one transaction, one undo step, derived columns refreshed, everybody told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError

from kinmark.engine.domain.errors import BugError, OperationCancelled, ProjectError, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said
from kinmark.projects.store import derived, undo
from kinmark.projects.store.changes import HUB, OpChanges
from kinmark.projects.store.database import translate
from kinmark.projects.store.models import Base

Publish = Callable[[OpChanges], None]
CHECK_EVERY = 50_000
"""SQLite's instructions between two looks at the cancel token (some milliseconds)."""


def now_text() -> str:
    """UTC now, for information only: nothing in the store is ordered by the clock."""
    return datetime.now(UTC).isoformat("T", "seconds")


def to_json(data: Any) -> str:
    """Compact JSON with stable key order; NaN is refused upstream."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Op:
    """A running operation: the connection of its transaction and what it reports.

    Attributes:
        connection: inside `BEGIN IMMEDIATE`.
        name: for the menu; may be made more precise while running.
        ids, count, skipped: go into `OpChanges`.
        changes: set when the transaction is committed.
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.connection = connection
        self.name = name
        self.ids: list[int] = []
        self.count = 0
        self.skipped: list[str] = []
        self.changes = OpChanges(name)

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Rows of a query inside the transaction."""
        return list(self.connection.exec_driver_sql(sql, tuple(parameters)).all())

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """First row or None."""
        return self.connection.exec_driver_sql(sql, tuple(parameters)).first()

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """First column of the first row or None."""
        row = self.one(sql, parameters)
        return row[0] if row is not None else None

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Execute and return the number of changed rows."""
        return self.connection.exec_driver_sql(sql, tuple(parameters)).rowcount

    def add(self, model: type[Base], rows: Sequence[dict[str, Any]]) -> list[int]:
        """Insert `rows` (all columns that are NOT NULL) under fresh ids, never used before; returns the ids in their order."""
        if not rows:
            return []
        table = model.__tablename__
        first = int(self.value("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)) or 0) + 1
        ids = list(range(first, first + len(rows)))
        columns = list(rows[0])
        sql = f"INSERT INTO {table} (id, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})"
        # Plain tuples: building a million parameter dictionaries would cost more than SQLite itself.
        values = [(id_, *(row[column] for column in columns)) for row, id_ in zip(rows, ids, strict=True)]
        self.connection.exec_driver_sql(sql, values)
        return ids

    def collect(self, table: str, ids: Iterable[int]) -> str:
        """Put `ids` into the temporary table `table` and return `(SELECT id FROM table)` for use in SQL."""
        self.connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY)")
        self.connection.exec_driver_sql(f"DELETE FROM temp.{table}")
        rows = [(int(id_),) for id_ in dict.fromkeys(ids)]
        if rows:
            self.connection.exec_driver_sql(f"INSERT INTO temp.{table} VALUES (?)", rows)
        return f"(SELECT id FROM temp.{table})"

    def require(self, table: str, row_id: int, what: str) -> Any:
        """The row `row_id` of `table` as mapping; UserInputError "that WHAT is no longer there"."""
        row = self.connection.exec_driver_sql(f"SELECT * FROM {table} WHERE id = ?", (row_id,)).mappings().first()
        if row is None:
            raise UserInputError(
                said("That {0} is no longer in the project.", what), "It was removed or undone meanwhile."
            )
        return row


class Runner:
    """The owner thread of a Project. Runs operations on the writing connection; nested ones join the outer one.

    Attributes:
        patience_s: how long an operation waits for another thread's transaction (None: as long as it takes).
        origin: who takes the steps, `undo.PERSON` or `undo.PROGRAM`.
        cancel: when set and cancelled, the running operation stops inside SQLite and nothing of it stays.
    """

    def __init__(self, path: Path, engine: Engine | None, publish: Publish) -> None:
        self.path = path
        self.engine = engine
        self._publish = publish
        self._current: Op | None = None
        self.thread = threading.get_ident()
        self.patience_s: float | None = None
        self.cancel: CancelToken | None = None
        self.origin = undo.PERSON

    @property
    def current(self) -> Op | None:
        """The running operation (its connection sees what is not committed yet)."""
        return self._current

    @contextmanager
    def operation(self, name: str, *, merge_key: str = "", undoable: bool = True) -> Iterator[Op]:
        """Run the body as one transaction and one undo step called `name`; all or nothing.

        Within another operation of the same project the body joins that one (its name, its step).
        """
        if self._current is not None:
            # Joined: the ids and counts of the part are its own, the transaction is the outer one's.
            part = Op(self._current.connection, name)
            yield part
            part.changes = OpChanges(
                part.name, 0, frozenset(), frozenset(), tuple(part.ids), part.count, tuple(part.skipped)
            )
            self._current.skipped.extend(part.skipped)
            return
        with self._transaction(name) as op:
            step = undo.open_step(op.connection, name, merge_key, now_text(), self.origin) if undoable else None
            undo.set_current(op.connection, step.id if step is not None else None)
            yield op
            op.changes = self._finish(op, step)
        self._publish(op.changes)

    def _finish(self, op: Op, step: undo.OpenStep | None) -> OpChanges:
        tables, images = undo.touched(op.connection)
        derived.refresh(op.connection, tables=tables)
        step_id = 0
        if step is not None and undo.close_step(op.connection, step):
            step_id = step.id
            if step.is_new and op.name:
                undo.rename_step(op.connection, step.id, op.name)
        undo.set_current(op.connection, None)
        return OpChanges(op.name, step_id, tables, images, tuple(op.ids), op.count, tuple(op.skipped))

    @contextmanager
    def _transaction(self, name: str, *, foreign_keys: bool = True) -> Iterator[Op]:
        if self.engine is None:
            raise UserInputError(
                said("{0} is not possible: the project is open read-only.", name),
                "Close it elsewhere or copy it, then open it again.",
            )
        if threading.get_ident() != self.thread:
            raise BugError("A project was used from another thread than the one that opened it.")
        try:
            with self._turn(name), self.engine.connect() as connection, self._watched(connection):
                guard = nullcontext() if foreign_keys else undo.foreign_keys_off(connection)
                with guard, connection.begin():
                    self._current = op = Op(connection, name)
                    try:
                        yield op
                    finally:
                        self._current = None
        except IntegrityError as error:
            raise BugError(
                said("{0} would have left the project inconsistent; nothing was changed.", name), details=str(error)
            ) from error
        except DatabaseError as error:
            if self.cancel is not None and self.cancel.cancelled and "interrupted" in str(error):
                raise OperationCancelled from None
            raise translate(self.path, name, error) from error

    @contextmanager
    def _turn(self, name: str) -> Iterator[None]:
        """This thread's turn among the writers of the process."""
        lock = HUB.write_lock(self.path)
        if not lock.acquire(timeout=-1 if self.patience_s is None else self.patience_s):
            raise ProjectError(
                said("{0} was not done: another step is being written to the project.", name),
                "Repeat it in a moment, when that one is finished.",
            )
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _watched(self, connection: Connection) -> Iterator[None]:
        """Let SQLite look at the cancel token while it works; an interrupted transaction is rolled back whole."""
        token, raw = self.cancel, connection.connection.dbapi_connection
        if token is None or raw is None:
            yield
            return
        token.check()
        raw.set_progress_handler(lambda: int(token.cancelled), CHECK_EVERY)
        try:
            yield
        finally:
            raw.set_progress_handler(None, 0)

    def travel(self, *, forward: bool) -> OpChanges | None:
        """Undo (or redo, `forward`) one step; None when there is none."""
        if self._current is not None:
            raise BugError("Undo was asked for in the middle of an operation.")
        changes: OpChanges | None = None
        with self._transaction("Redo" if forward else "Undo", foreign_keys=False) as op:
            found = undo.next_redo(op.connection) if forward else undo.next_undo(op.connection)
            if found is not None:
                undo.replay(op.connection, found.id, undone=not forward)
                tables, images = undo.touched(op.connection)
                derived.refresh(op.connection, tables=tables)
                undo.set_current(op.connection, None)
                changes = OpChanges(found.name, found.id, tables, images, count=1, by_program=found.by_program)
        if changes is not None:
            self._publish(changes)
        return changes


class OperationGroup:
    """Base of the operation mix-ins: they only need the runner."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
