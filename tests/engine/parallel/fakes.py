"""A pool in this process whose workers answer by rule: for the dispatcher's own decisions, without a model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from kinmark.engine.api import TargetFailure
from kinmark.engine.domain.errors import KnownError
from kinmark.engine.installation import release_text
from kinmark.engine.parallel.messages import Answered, Control, Job, Lost, Opened, Ready, Reply, Shard

FACTS = ("revision", "cpu", "fp32")


class FakePool:
    """Workers 0 .. count - 1 that answer one photo per `receive`, the last worker first.

    Args:
        dies: (worker, position) -> whether the worker ends instead of answering.
    """

    name = "fake workers"

    def __init__(self, count: int, dies: Callable[[int, int], bool] = lambda worker, position: False) -> None:
        self.count, self.dies = count, dies
        self.inboxes: dict[int, deque[tuple[int, int, object]]] = {}
        self.replies: list[tuple[int, Reply]] = []
        self.said: list[tuple[int, str]] = []
        self.sent: list[int] = []
        self.facts = dict.fromkeys(range(100), FACTS)
        self.version = release_text()
        self._next = 0

    def start(self) -> None:
        while self._next < self.count:
            self.replace()

    def replace(self) -> None:
        self.inboxes[self._next] = deque()
        self.replies.append((self._next, Ready(f"host {self._next}", self.version)))
        self._next += 1

    def send(self, worker: int, message: Job | Shard | Control) -> None:
        if worker not in self.inboxes:
            return
        if isinstance(message, Control):
            self.said.append((worker, message.word))
            if message.word == "cancel":
                self.inboxes[worker].clear()
        elif isinstance(message, Job):
            self.replies.append((worker, Opened(message.id, self.facts[worker], "cpu", "fp32", "toy")))
        else:
            self.sent += message.positions
            self.inboxes[worker] += [
                (message.job, p, place) for p, place in zip(message.positions, message.places, strict=True)
            ]

    def receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        if self.replies:
            replies, self.replies = self.replies, []
            return replies
        for worker in sorted(self.inboxes, reverse=True):
            if not self.inboxes[worker]:
                continue
            job, position, place = self.inboxes[worker].popleft()
            if self.dies(worker, position):
                del self.inboxes[worker]
                return [(worker, Lost("it was told to"))]
            image = getattr(place, "image", place)
            return [(worker, Answered(job, ((position, (answer(image.image_id),)),)))]
        return []

    def close(self) -> None:
        self.inboxes.clear()
        self._next = 0


def answer(image_id: str) -> TargetFailure:
    """An answer that needs no model."""
    return TargetFailure(image_id, KnownError("answered"))
