"""Sharing the photos of one request out to workers: in order, each once, done again where a worker was lost.

Thread: the caller's; it runs while somebody takes answers, so a slow writer slows the handing out and nothing piles up.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from kinmark.engine.domain.errors import AppError, BugError, KnownError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.installation import release_text
from kinmark.engine.parallel.messages import (
    Answer,
    Answered,
    Control,
    Failed,
    Job,
    Lost,
    Opened,
    Place,
    Ready,
    Reply,
    Shard,
    without_targets,
)
from kinmark.engine.parallel.pool import LOST_HINT, WorkerPool, WorkersLostError
from kinmark.engine.remote import allowed
from kinmark.engine.requests import Target, TargetFailure

SHARD = 4
"""Photos handed out at once."""
HELD = 2
"""Shards that a worker holds: the one it works on and the next, so that it never waits for us."""
AHEAD = 8
"""Shards per worker that may be answered before their turn; so much is kept in memory at most."""
POLL_S = 0.1
START_S = 180.0
"""A worker that loads a large model from a cold disk takes minutes before it is ready."""
TRIES = 2
"""A photo with which so many workers ended is reported and passed by."""
LOSSES_WITHOUT_ANSWER = 3
"""Losses per worker without any answer between them, after which nothing is started any more."""


class Dispatcher:
    """One request on one pool; `answers` is run through once.

    Args:
        job: its number, larger than those before; answers of other numbers are late and dropped.
        request: settings decided.
        ready: workers of the pool that said so before; kept up to date for the next request.
    """

    def __init__(
        self,
        pool: WorkerPool,
        job: int,
        request: Any,
        ready: set[int],
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.pool, self.ready, self.progress, self.cancel = pool, ready, progress, cancel
        self.job = Job(job, without_targets(request), allowed())
        self.places: tuple[Place, ...] = tuple(request.targets)
        self.opened: Opened | None = None
        self._hands: dict[int, deque[Shard]] = {}
        """What each worker that is ready holds, in the order of its work."""
        self._joined = False
        self._again: deque[tuple[int, ...]] = deque()
        self._fresh = 0
        self._done: dict[int, tuple[Answer, ...]] = {}
        self._next = 0
        self._tried: Counter[int] = Counter()
        self._losses = 0
        self._nobody_since: float | None = None
        """When the last worker that was ready went, and nobody came since."""
        self._paused = False

    def answers(self) -> Iterator[Answer]:
        """In the order of the request. When it stops early, everything that came back is given out before the error.

        Raises:
            OperationCancelled. WorkersLostError: no worker is left, or they are of another version. Errors of the request as the
            local engine raises them.
            BugError: a worker ran into a bug.
        """
        try:
            yield from self._in_order()
        except (OperationCancelled, AppError):
            self._tell("cancel")  # first: the workers stop while the rest is written
            for position in sorted(self._done):
                yield from self._done[position]
            raise
        finally:
            if self._next < len(self.places):
                self._tell("cancel")

    def _in_order(self) -> Iterator[Answer]:
        if self.progress is not None:
            self.progress.start(f"Starting {self.pool.name}", 0)
        self.pool.start()
        for worker in sorted(self.ready):
            self._join(worker)
        while self._next < len(self.places):
            self._listen_to_the_person()
            if not self._paused:
                self._hand_out()
            for worker, reply in self.pool.receive(POLL_S):
                self._take(worker, reply)
            self._mind_the_time()
            while self._next in self._done:
                answers = self._done.pop(self._next)
                if self.progress is not None:
                    self.progress.step(note=_name(self.places[self._next]))
                self._next += 1
                yield from answers

    def _mind_the_time(self) -> None:
        """WorkersLostError when nobody has been ready for too long: at the beginning, or since the last one was lost."""
        if self._hands:
            self._nobody_since = None
            return
        now = time.monotonic()
        self._nobody_since = self._nobody_since or now
        if now - self._nobody_since > START_S:
            raise WorkersLostError(
                said("None of the {0} answered within {1} s.", self.pool.name, f"{START_S:.0f}"), LOST_HINT
            )

    # ---- to the workers --------------------------------------------------------------------------------------

    def _listen_to_the_person(self) -> None:
        if self.cancel is None:
            return
        if self.cancel.cancelled:
            raise OperationCancelled
        if self.cancel.paused != self._paused:
            self._paused = self.cancel.paused
            self._tell("pause" if self._paused else "resume")

    def _tell(self, word: Any) -> None:
        for worker in self._hands:
            self.pool.send(worker, Control(self.job.id, word))

    def _hand_out(self) -> None:
        for _ in range(HELD):
            for worker, shards in self._hands.items():
                if len(shards) < HELD and (positions := self._take_positions(len(self._hands))):
                    shard = Shard(self.job.id, positions, tuple(self.places[p] for p in positions))
                    shards.append(shard)
                    self.pool.send(worker, shard)

    def _take_positions(self, workers: int) -> tuple[int, ...]:
        if self._again:
            return self._again.popleft()
        # The last photos go one by one, or one worker would finish long after the others.
        size = SHARD if len(self.places) - self._fresh > 2 * SHARD * workers else 1
        end = min(self._fresh + size, len(self.places), self._next + AHEAD * SHARD * workers)
        positions = tuple(range(self._fresh, end))
        self._fresh = max(self._fresh, end)
        return positions

    # ---- from the workers ------------------------------------------------------------------------------------

    def _take(self, worker: int, reply: Reply) -> None:
        if isinstance(reply, Ready):
            self._welcome(worker, reply)
        elif isinstance(reply, Lost):
            self._replace(worker, reply)
        elif reply.job != self.job.id:
            return  # late
        elif isinstance(reply, Opened):
            self._compare(reply)
        elif isinstance(reply, Failed):
            raise reply.error or BugError(
                "A worker stopped at an error of the program.", "Please report it with its details.", reply.trace
            )
        elif isinstance(reply, Answered):
            self._losses = 0
            for position, answers in reply.answers:
                self._done[position] = answers
                self._tried.pop(position, None)
            held = self._hands.get(worker, deque())
            while held and all(self._is_done(p) for p in held[0].positions):
                held.popleft()

    def _is_done(self, position: int) -> bool:
        return position < self._next or position in self._done

    def _welcome(self, worker: int, ready: Ready) -> None:
        own = release_text()
        if ready.version != own:
            raise WorkersLostError(
                said("The worker {0} runs Kinmark {1}, this is {2}.", ready.host, ready.version, own),
                "Install the same version on every machine: answers of two versions are not mixed.",
            )
        self.ready.add(worker)
        self._join(worker)

    def _join(self, worker: int) -> None:
        self._hands[worker] = deque()
        self.pool.send(worker, self.job)
        if self.progress is not None and not self._joined:
            self.progress.start(_title(self.job.request), len(self.places))
        self._joined = True

    def _compare(self, opened: Opened) -> None:
        if self.opened is not None and opened.facts != self.opened.facts:
            mine, theirs = ", ".join(opened.facts), ", ".join(self.opened.facts)
            raise KnownError(
                said(
                    "The workers do not compute alike: one has {0}, another {1} (weights, device, number format).",
                    mine,
                    theirs,
                ),
                "Install the same weights on every machine, and use machines of one kind.",
            )
        self.opened = self.opened or opened

    def _replace(self, worker: int, lost: Lost) -> None:
        self.ready.discard(worker)
        held = self._hands.pop(worker, deque())
        self._losses += 1
        left = [p for shard in held for p in shard.positions if not self._is_done(p)]
        if left:
            self._suspect(left[0], lost.reason)
            # One by one: should one of them end workers, the others are answered all the same.
            self._again.extend((p,) for p in left if not self._is_done(p))
            self._again = deque(sorted(self._again))
        if self.progress is not None:
            self.progress.note(f"A worker was lost ({lost.reason}); what it held is done again.")
        if self._losses >= LOSSES_WITHOUT_ANSWER * max(1, len(self._hands) + 1):
            if not self._hands:
                raise WorkersLostError(said("The workers were lost one after the other: {0}.", lost.reason), LOST_HINT)
            return
        self.pool.replace()

    def _suspect(self, position: int, reason: str) -> None:
        """A photo that a worker was lost with; the second time it is reported instead of tried again."""
        self._tried[position] += 1
        if self._tried[position] >= TRIES:
            place = self.places[position]
            image = place.image if isinstance(place, Target) else place
            self._done[position] = (
                TargetFailure(
                    image.image_id,
                    KnownError(
                        said("{0} workers ended while they worked on {1}: {2}.", TRIES, image.path.name, reason),
                        "Look whether the photo is damaged or very large, or give the workers more memory (fewer of them).",
                    ),
                ),
            )


def _name(place: Place) -> str:
    return (place.image if isinstance(place, Target) else place).path.name


def _title(request: Any) -> str:
    category = getattr(request, "category", "")
    return (
        f"Proposing {category}"
        if category
        else "Searching photos"
        if hasattr(request, "references")
        else "Indexing photos"
    )
