"""The tables of the undo history, and which other tables it follows (`kinmark.projects.store.undo` writes and replays it)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, LargeBinary, Table
from sqlalchemy.orm import Mapped, mapped_column

from kinmark.projects.store.models import AUTO, Base, primary_key


class UndoStep(Base):
    """One entry of the undo history; `undone` 1: it waits to be redone and its rows hold the state to go forward to.

    `name` is English; `said` is what it was made from, as JSON (NULL: a plain sentence). `origin`: "person", or "program" for
    what was done by itself in the background.
    """

    __tablename__ = "undo_step"
    __table_args__ = (AUTO,)
    id: Mapped[int] = primary_key()
    name: Mapped[str]
    said: Mapped[str | None]
    merge_key: Mapped[str] = mapped_column(default="", index=True)
    origin: Mapped[str] = mapped_column(server_default="person")
    undone: Mapped[int] = mapped_column(default=0)
    rows: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[str] = mapped_column(default="")


UNDO_VALUES = 20
"""Value columns of `undo_row`; no logged table may have more logged columns."""


class UndoRow(Base):
    """One row as it was before a step touched it (`existed` 0: it was not there). Values are untyped and exact.

    `table_no` is of `TABLE_NUMBERS`; `v0`, `v1`, ... are the columns of `logged_columns`.
    """

    __tablename__ = "undo_row"
    __table_args__ = ({"sqlite_with_rowid": False},)
    step_id: Mapped[int] = mapped_column(ForeignKey("undo_step.id", ondelete="CASCADE"), primary_key=True)
    table_no: Mapped[int] = mapped_column(primary_key=True)
    row_id: Mapped[int] = mapped_column(primary_key=True)
    existed: Mapped[int]


for _number in range(UNDO_VALUES):
    # BLOB columns have no affinity in SQLite: a float, an integer, a text and NULL come back as exactly what went in.
    UndoRow.__table__.append_column(Column(f"v{_number}", LargeBinary))  # type: ignore[attr-defined]

UNLOGGED_TABLES = frozenset({"setting", "image_total", "undo_step", "undo_row"})
DERIVED_COLUMNS = {
    "image": frozenset(
        {
            "file_state",
            "state",
            "instance_count",
            "keypoint_count",
            "mask_count",
            "pending_count",
            "min_confidence",
            "exhaustive",
        }
    )
}
"""Columns that follow from other rows (or from the disk) and are kept outside undo; refreshed after it."""


TABLE_NUMBERS = {
    name: number
    for number, name in enumerate(
        (
            "image_root",
            "image",
            "category",
            "keypoint_definition",
            "skeleton_edge",
            "side_pair",
            "identity",
            "run",
            "instance",
            "keypoint",
            "mask",
            "proposal",
            "keypoint_proposal",
            "mask_proposal",
            "decision",
            "nothing_here",
            "tag",
            "tag_link",
            "split",
            "exhaustive",
        )
    )
}
"""`undo_row.table_no`: part of the file format, only ever appended to."""


def logged_tables() -> list[Table]:
    """Tables under undo, parents before children."""
    return [table for table in Base.metadata.sorted_tables if table.name not in UNLOGGED_TABLES]


def logged_columns(table: Table) -> list[str]:
    """Names of the columns of `table` that undo restores (without `id`), in the order of `undo_row.v0...`."""
    derived = DERIVED_COLUMNS.get(table.name, frozenset())
    return [column.name for column in table.columns if column.name != "id" and column.name not in derived]
