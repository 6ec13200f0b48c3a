"""What a sweep and a search do with the engine's answers: photo by photo in, short transactions out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from kinmark.engine.api import TargetFailure
from kinmark.projects.store.changes import OpChanges

BATCH_SECONDS = 2.0
OnStored = Callable[[frozenset[int]], None]


class Answer(Protocol):
    """Anything that the engine says about one photo."""

    @property
    def image_id(self) -> str:
        """The caller's image id."""
        ...


A = TypeVar("A", bound=Answer)
P = TypeVar("P")


class Answers(Generic[A]):
    """The engine's answers, photo by photo. They come in the order of the request, those of one photo in a row."""

    def __init__(self, answers: Iterator[A]) -> None:
        self._answers = answers
        self._ahead: A | None = None

    def of(self, image_id: int, most: int = 1) -> list[A]:
        """All answers about a photo. Photos are asked for in the order of the request; one may have none.

        `most`: answers that it can have (after so many the next photo is not begun to see whether they are over).
        """
        found: list[A] = []
        while len(found) < most:
            if self._ahead is None:
                self._ahead = next(self._answers, None)
            if self._ahead is None or self._ahead.image_id != str(image_id):
                break
            answer, self._ahead = self._ahead, None
            found.append(answer)
            if isinstance(answer, TargetFailure):
                break
        return found


class Batches(Generic[P]):
    """Collects proposals and stores them in short transactions; what one photo got is stored together."""

    def __init__(self, store: Callable[[Sequence[P]], OpChanges], size: int, on_stored: OnStored | None = None) -> None:
        self._store = store
        self._size = size
        self._on_stored = on_stored
        self._batch: list[P] = []
        self._since = time.monotonic()

    def add(self, proposals: Sequence[P]) -> None:
        """What one photo got."""
        self._batch += proposals
        if len(self._batch) >= self._size or (self._batch and time.monotonic() - self._since > BATCH_SECONDS):
            self.flush()

    def flush(self) -> None:
        """Store what was collected."""
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        self._since = time.monotonic()
        changes = self._store(batch)
        if self._on_stored is not None:
            self._on_stored(changes.image_ids)
