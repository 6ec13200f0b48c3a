"""The door to a project: open or create a `NAME.kinmark` folder, read it, change it, undo.

    with Project.create(folder) as project:
        [category] = project.operations.add_category("otter", KeypointSchema(("nose", "tail"))).ids
        add_paths(project, [photos])                      # kinmark.projects.images
        image = project.queries.images(limit=1)[0]
        nose, tail = project.queries.category(category).definition_ids
        project.operations.add_instance(image.id, category, [NewKeypoint(nose, 10.5, 20.0)])
        project.undo()

One Project object belongs to the thread that opened it. Several threads of a process each open their own; their writes
queue up. A second *process* is told who holds the project and may open it read-only.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from kinmark.engine.domain.errors import ProjectError, UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.texts import said
from kinmark.projects import opening
from kinmark.projects.store import backup, derived, lock, migrate, undo
from kinmark.projects.store.changes import HUB, OpChanges
from kinmark.projects.store.database import DATABASE_NAME, WITHOUT_LOCK, read_engine, translated_errors, write_engine
from kinmark.projects.store.operations import Operations
from kinmark.projects.store.operations.base import Op, Runner
from kinmark.projects.store.queries import Queries
from kinmark.projects.store.undo import Step

log = logging.getLogger(__name__)

SUFFIX = ".kinmark"
ChangeListener = Callable[[OpChanges, Any], None]


class Project:
    """An open project. The thread that opened it owns it.

    Attributes:
        folder: the project folder (absolute).
        read_only: whether writing is refused.
        queries: everything that can be asked (frozen rows out); see `kinmark.projects.store.queries`.
        operations: everything that can be done (each returns `OpChanges`); see `kinmark.projects.store.operations`.
        on_change: called as `listener(changes, initiator)` in this thread after every change made through this object.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        """Use `Project.open` or `Project.create`."""
        self.folder = folder
        self.read_only = read_only
        self.on_change: list[ChangeListener] = []
        self._initiator: Any = None
        self._closed = False
        self._data_version: int | None = None
        self._path = folder / DATABASE_NAME
        # The same project reached through a link is the same project.
        self._shared = self._path.resolve()
        self._listener = HUB.join(self._shared)
        frozen = read_only and not os.access(folder, os.W_OK)
        self._copy = opening.copy_with_journal(self._path) if frozen else None
        source = Path(self._copy.name) / DATABASE_NAME if self._copy is not None else self._path
        self._reader: Engine = read_engine(source, immutable=frozen and self._copy is None)
        self._writer: Engine | None = None if read_only else write_engine(self._path)
        self._read_connection: Connection | None = None
        if self._writer is not None:
            # Opening does not wait for the long transaction of another thread: the triggers are this connection's own.
            with self._writer.connect().execution_options(**{WITHOUT_LOCK: True}) as connection:
                undo.install(connection)
                derived.install(connection)
                connection.commit()
        self._runner = Runner(self._shared, self._writer, self._publish)
        self.queries = Queries(self._path, self._connection, self._shared.parent)
        self.operations = Operations(self._runner)

    # Opening and closing

    @classmethod
    def create(cls, folder: Path | str, *, name: str = "") -> Project:
        """Make a new project folder and open it. UserInputError when the folder holds something already."""
        folder = opening.usable(folder)
        if (folder / DATABASE_NAME).exists():
            raise UserInputError(
                said("There is already a project in {0}.", folder), "Open it, or choose another folder."
            )
        if folder.exists() and any(folder.iterdir()):
            raise UserInputError(said("The folder {0} is not empty.", folder), "Choose a new folder for the project.")
        with translated_errors(folder / DATABASE_NAME, "Creating the project"):
            for sub in (folder, folder / "prompts", folder / "backups"):
                sub.mkdir(parents=True, exist_ok=True)
        lock.acquire(folder)
        try:
            migrate.create(folder / DATABASE_NAME)
            project = cls(folder)
        except BaseException:
            lock.release(folder)
            raise
        project.operations.set_setting("name", name or folder.stem)
        return project

    @classmethod
    def open(cls, folder: Path | str, read_only: bool = False, *, checked: bool = False) -> Project:
        """Open a project folder; `checked`: its file was looked through already (`check_file`).

        Raises:
            ProjectError: not a project, newer than this program, damaged (the hint names the last good backup), locked by
                another process (its message names it), or not reachable.
        """
        folder = opening.usable(folder)
        path = folder / DATABASE_NAME
        if not path.is_file():
            raise ProjectError(
                said("{0} is not a Kinmark project.", folder),
                "Open a folder that ends in .kinmark, or make a new project.",
            )
        if read_only:
            check = not (checked or lock.is_held(folder) or opening.closed_cleanly(path))
            opening.check_version(folder, path, read_only=True, check=check)
            with translated_errors(path, "Opening the project"):
                return cls(folder, read_only=True)
        first = lock.acquire(folder) == 1
        try:
            check = first and not checked and not opening.closed_cleanly(path)
            opening.check_version(folder, path, read_only=False, check=check)
            (folder / opening.CLEAN_NOTE).unlink(missing_ok=True)
            with translated_errors(path, "Opening the project"):
                return cls(folder)
        except BaseException:
            lock.release(folder)
            raise

    @staticmethod
    def opens_slowly(folder: Path) -> bool:
        """Whether `open` would first look through a large file, because it was not closed cleanly (seconds).

        A window then lets another thread run `check_file`, and opens it `checked`.
        """
        path = folder.absolute() / DATABASE_NAME
        try:
            large = path.stat().st_size > opening.ALWAYS_CHECKED
        except OSError:
            return False
        return large and not lock.is_held(folder.absolute()) and not opening.closed_cleanly(path)

    @staticmethod
    def check_file(folder: Path) -> None:
        """Look through the whole file as `open` does after a crash; any thread. ProjectError when it is damaged."""
        folder = opening.usable(folder)
        opening.check_version(folder, folder / DATABASE_NAME, read_only=True, check=True, upgradable=True)

    def close(self, *, back_up: bool = True) -> None:
        """Give the files and the lock back; `back_up`: write a backup first when one is due. May be called twice."""
        if self._closed:
            return
        due = back_up and self.backup_is_due
        self._closed = True
        HUB.leave(self._shared, self._listener)
        if due:
            self._back_up_at_closing()
        if self._read_connection is not None:
            self._read_connection.close()
        self._reader.dispose()
        if self._copy is not None:
            self._copy.cleanup()
        if self._writer is not None:
            self._writer.dispose()
            opening.note_clean_close(self._path)
            lock.release(self.folder)

    def __enter__(self) -> Project:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Where things are

    @property
    def name(self) -> str:
        """The project's name for titles."""
        return str(self.queries.setting("name", self.folder.stem))

    @property
    def prompts_dir(self) -> Path:
        """Folder of the saved prompts."""
        return self.folder / "prompts"

    @property
    def backups_dir(self) -> Path:
        """Folder of the rotating backups."""
        return self.folder / "backups"

    # Undo

    def undo(self) -> OpChanges | None:
        """Take back the last step; None when there is none."""
        return self._runner.travel(forward=False)

    def redo(self) -> OpChanges | None:
        """Bring back the step that was undone last; None when there is none."""
        return self._runner.travel(forward=True)

    @property
    def undo_name(self) -> str | None:
        """What undo would take back, for the menu."""
        found = undo.next_undo(self._connection())
        return found.name if found else None

    @property
    def redo_name(self) -> str | None:
        """What redo would bring back, for the menu."""
        found = undo.next_redo(self._connection())
        return found.name if found else None

    def upcoming_steps(self, *, forward: bool = False, limit: int = 1) -> list[Step]:
        """The next steps that undo (or redo, `forward`) would take: those of many rows take seconds."""
        return undo.upcoming(self._connection(), forward=forward, limit=limit)

    @contextmanager
    def by_itself(self) -> Iterator[None]:
        """Steps inside are the program's own (background improvements): undo takes them back with those of the person."""
        before, self._runner.origin = self._runner.origin, undo.PROGRAM
        try:
            yield
        finally:
            self._runner.origin = before

    # Waiting and stopping

    @contextmanager
    def cancellable(self, cancel: CancelToken) -> Iterator[None]:
        """Operations inside stop as soon as `cancel` is set, wherever they are; nothing of the stopped one stays.

        Raises OperationCancelled then. The token may be set from any thread.
        """
        before, self._runner.cancel = self._runner.cancel, cancel
        try:
            yield
        finally:
            self._runner.cancel = before

    def set_patience(self, seconds: float | None) -> None:
        """How long operations of this object wait for another thread's transaction (None: without end).

        After that they raise ProjectError and nothing has changed: a window must not stand still behind an import.
        """
        self._runner.patience_s = seconds

    # Several operations as one

    @contextmanager
    def group(self, name: str) -> Iterator[Op]:
        """Operations inside run in one transaction and undo as one step called `name`; an exception undoes them all.

        The queries see what the group has written so far. `op.changes` holds the outcome afterwards.
        """
        with self._runner.operation(name) as op:
            yield op

    # Changes

    @contextmanager
    def initiator(self, who: Any) -> Iterator[None]:
        """Operations inside carry `who` to the listeners, so that a view can ignore its own changes."""
        before, self._initiator = self._initiator, who
        try:
            yield
        finally:
            self._initiator = before

    def poll_changes(self) -> list[tuple[OpChanges, Any]]:
        """Changes made since the last call through *other* Project objects of this process (other threads)."""
        mail = self._listener.mail
        result = []
        while mail:
            result.append(mail.popleft())
        return result

    def revision(self, tables: Iterable[str]) -> int:
        """A number that grows whenever one of these tables is changed in this process, through whichever project."""
        return sum(self._listener.counts[table] for table in tables)

    def committed(self) -> int:
        """A number that is another one after every commit to the project, through whichever project and process.

        Inside a group, too, which nobody else can commit beside: equal numbers say that nothing changed until then.
        """
        return int(self._reading().exec_driver_sql("PRAGMA data_version").scalar_one())

    def changed_elsewhere(self) -> bool:
        """Whether another process changed the project since the last call (for one that is open read-only)."""
        version = self.committed()
        before, self._data_version = self._data_version, version
        return before is not None and before != version

    def _publish(self, changes: OpChanges) -> None:
        HUB.publish(self._shared, self._listener, changes, self._initiator)
        for listener in list(self.on_change):
            listener(changes, self._initiator)

    # Safety

    def back_up(self, *, reason: str = "") -> Path:
        """Write a backup now and return its path."""
        return backup.make(self.folder, reason=reason)

    def back_up_if_due(self, cancel: CancelToken | None = None) -> Path | None:
        """Write a backup when the last one is old and something changed since (call it from an idle worker)."""
        if self.read_only or not backup.is_due(self.folder):
            return None
        return backup.make(self.folder, cancel=cancel)

    @property
    def backup_is_due(self) -> bool:
        """Whether `close` would write a backup first: seconds for a large project, so a window lets a worker close it."""
        if self.read_only or self._closed:
            return False
        try:
            large = self._path.stat().st_size > backup.LARGE
        except OSError:
            return False
        return backup.is_due(self.folder, backup.LARGE_INTERVAL if large else backup.INTERVAL)

    def _back_up_at_closing(self) -> None:
        try:
            backup.make(self.folder)
        except (ProjectError, OSError) as error:
            # Nobody is there to be told. It stays due: the next window makes it, and tells when it cannot.
            log.warning("no backup of %s at closing: %s", self.folder, error)

    def check_integrity(self, cancel: CancelToken | None = None) -> list[str]:
        """Everything SQLite finds wrong ([] = all is well); takes about a second per 100 000 images."""
        return backup.check(self._path, full=True, cancel=cancel)

    def damage(self, problems: list[str]) -> ProjectError:
        """The error that says so and names the last good backup."""
        return opening.damaged(self.folder, "; ".join(problems))

    @staticmethod
    def restore_backup(folder: Path | str, which: Path | None = None) -> Path:
        """Replace a damaged database by a backup (None: the newest good one); the damaged file is kept beside it."""
        folder = Path(folder).absolute()
        lock.acquire(folder)
        try:
            return backup.restore(folder, which)
        finally:
            lock.release(folder)

    def _connection(self) -> Connection:
        if self._closed:
            raise ProjectError(said("The project {0} was closed.", self.folder), "Open it again.")
        if self._runner.current is not None and threading.get_ident() == self._runner.thread:
            return self._runner.current.connection
        return self._reading()

    def _reading(self) -> Connection:
        """The reading connection, which sees what is committed."""
        if self._read_connection is None:
            self._read_connection = self._reader.connect()
        return self._read_connection
