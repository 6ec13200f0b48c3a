"""Reading a project: where the connection comes from and how rows are fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from kinmark.projects.store.database import translated_errors


class QueryGroup:
    """Base of the query mix-ins. The owner thread of the Project.

    Inside an operation or a `Project.group` the queries see what it has written so far.
    """

    def __init__(self, path: Path, connection: Callable[[], Connection], folder: Path) -> None:
        """`folder`: the project's with its links followed; image roots beside it are named from there."""
        self._path = path
        self._connection = connection
        self._folder = folder

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with translated_errors(self._path, "Reading the project"):
            return list(self._connection().exec_driver_sql(sql, tuple(parameters)).all())

    def _maps(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with translated_errors(self._path, "Reading the project"):
            return list(self._connection().exec_driver_sql(sql, tuple(parameters)).mappings().all())

    def _one(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    def _value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        row = self._one(sql, parameters)
        return row[0] if row is not None else None

    def setting(self, key: str, default: Any = None) -> Any:
        """The value kept under `key` by `set_setting`."""
        text = self._value("SELECT value FROM setting WHERE key = ?", (key,))
        return default if text is None else json.loads(text)

    def settings(self, prefix: str = "") -> dict[str, Any]:
        """All settings whose key begins with `prefix`."""
        rows = self._all("SELECT key, value FROM setting WHERE substr(key, 1, ?) = ?", (len(prefix), prefix))
        return {row[0]: json.loads(row[1]) for row in rows}


def marks(values: Sequence[Any]) -> str:
    """`?, ?, ?` for an IN list (lists are cut into pages of at most some hundreds by the callers)."""
    return ", ".join("?" * len(values))
