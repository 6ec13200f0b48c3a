"""What an operation changed, and how the other connections of this process hear of it."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class OpChanges:
    """The outcome of one named operation (also of undo and redo).

    Attributes:
        name: for the menu ("Accept 12 keypoints").
        step_id: of the undo history; 0 when nothing changed or the operation is not undoable.
        tables: names of the tables with changed rows.
        image_ids: images with changed rows.
        ids: of the main rows that were made or changed, in the order of the arguments.
        count: how many things were done (proposals accepted, images added, ...).
        skipped: one sentence for each thing that was not done.
        by_program: an undone or redone step that the program had taken by itself.
    """

    name: str
    step_id: int = 0
    tables: frozenset[str] = frozenset()
    image_ids: frozenset[int] = frozenset()
    ids: tuple[int, ...] = ()
    count: int = 0
    skipped: tuple[str, ...] = ()
    by_program: bool = False

    def __bool__(self) -> bool:
        return bool(self.tables)

    @property
    def schema_changed(self) -> bool:
        """Whether categories, keypoint definitions, skeletons or pairs changed."""
        return bool(self.tables & {"category", "keypoint_definition", "skeleton_edge", "side_pair"})


@dataclass
class Listener:
    """The mailbox of one open project: changes made through others of the same process.

    `counts`: how often each table was changed since it was opened, by whomever in this process.
    """

    mail: deque[tuple[OpChanges, Any]] = field(default_factory=lambda: deque(maxlen=10_000))
    counts: Counter[str] = field(default_factory=Counter)


class ChangeHub:
    """Any thread. Passes changes between the projects of this process that have the same database open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[Path, list[Listener]] = defaultdict(list)
        self._writers: dict[Path, threading.RLock] = defaultdict(threading.RLock)

    def join(self, path: Path) -> Listener:
        """A new mailbox for the database `path`."""
        listener = Listener()
        with self._lock:
            self._listeners[path].append(listener)
        return listener

    def leave(self, path: Path, listener: Listener) -> None:
        """Close a mailbox."""
        with self._lock:
            self._listeners[path] = [other for other in self._listeners[path] if other is not listener]

    def publish(self, path: Path, sender: Listener, changes: OpChanges, initiator: Any) -> None:
        """Put `changes` into every other mailbox of `path`."""
        with self._lock:
            for listener in self._listeners[path]:
                listener.counts.update(changes.tables)
                if listener is not sender:
                    listener.mail.append((changes, initiator))

    def write_lock(self, path: Path) -> threading.RLock:
        """The lock that puts the writers of this process in a queue."""
        with self._lock:
            return self._writers[path]


HUB = ChangeHub()
