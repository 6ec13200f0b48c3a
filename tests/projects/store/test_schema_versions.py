"""Migrations: they end in exactly the tables of the models, and every released version can still be opened."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from kinmark.engine.domain.errors import ProjectError
from kinmark.projects.project import Project
from kinmark.projects.store import backup, history, migrate
from kinmark.projects.store.database import APPLICATION_ID, DATABASE_NAME
from kinmark.projects.store.history import TABLE_NUMBERS, UNDO_VALUES, logged_columns, logged_tables
from kinmark.projects.store.models import Base

RELEASED = sorted((Path(__file__).parents[2] / "fixtures" / "projects").glob("v*.kinmark"))


def test_migrations_end_in_the_models(tmp_path: Path) -> None:
    path = tmp_path / "fresh.sqlite"
    migrate.create(path)
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == migrate.HEAD
    engine.dispose()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (migrate.VERSION,)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    for table in logged_tables():
        [sql] = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table.name,)).fetchone()
        assert "AUTOINCREMENT" in sql, f"{table.name}: ids must never be used twice, undo brings rows back by id"
    connection.close()


def test_head_is_the_newest_file() -> None:
    files = sorted(path.stem for path in (Path(migrate.__file__).parent / "migrations" / "versions").glob("[0-9]*.py"))
    assert files[-1].startswith(migrate.HEAD) and len(files) == migrate.VERSION


def test_undo_knows_every_table() -> None:
    logged = logged_tables()
    assert {table.name for table in logged} == set(TABLE_NUMBERS)
    assert max(len(logged_columns(table)) for table in logged) <= UNDO_VALUES
    for table in logged:
        unique = [c for c in table.constraints if type(c).__name__ == "UniqueConstraint"]
        swappable = {"name", "position"}
        assert not any(swappable & {column.name for column in c.columns} for c in unique), table.name
    assert set(Base.metadata.tables) >= history.UNLOGGED_TABLES


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: path.stem)
def test_projects_of_every_released_version_open(released: Path, tmp_path: Path) -> None:
    folder = tmp_path / released.name
    shutil.copytree(released, folder)
    before = sqlite3.connect(folder / DATABASE_NAME)
    [version] = before.execute("PRAGMA user_version").fetchone()
    keypoints = before.execute("SELECT x, y, visibility FROM keypoint ORDER BY id").fetchall()
    before.close()
    with Project.open(folder) as project:
        assert project.check_integrity() == []
        found = [(k.x, k.y, k.visibility) for i in project.queries.instances() for k in i.keypoints]
        assert found == keypoints and len(found) > 3
        assert project.queries.counts().pending == 1
        project.operations.accept_proposals()
        assert project.undo() is not None
        project.undo()
        assert project.redo() is not None
    made = backup.backups_of(folder)
    assert bool(made) == (version < migrate.VERSION), "a backup before every migration, none otherwise"


def test_an_older_project_is_not_opened_read_only(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark"):
        pass
    connection = sqlite3.connect(tmp_path / "p.kinmark" / DATABASE_NAME)
    connection.execute("PRAGMA user_version=0")
    connection.close()
    with pytest.raises(ProjectError, match="older format"):
        Project.open(tmp_path / "p.kinmark", read_only=True)


def test_there_is_a_fixture_of_every_version() -> None:
    assert [path.stem for path in RELEASED] == [f"v{number:04d}" for number in range(1, migrate.VERSION + 1)]
