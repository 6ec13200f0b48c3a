"""Which photo comes next: neighbours in the list, unseen ones, the review queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.services.store_thread import StoreTask
from kinmark.projects.called_fine import FINE, split_fine, with_fine
from kinmark.projects.review import QueueOptions, review_order
from kinmark.projects.store.changes import OpChanges

if TYPE_CHECKING:
    from kinmark.projects.workflows.check import Finding

STRATEGIES = ("uncertain", "informative", "disagreement", "sides", "sure", "name", "missing", "check")
READ_ALL_EVIDENCE = ("informative", "disagreement", "sides")
OF_ONE_KEYPOINT = ("uncertain", "sure", "name", "missing")
"""Orders that can be about one keypoint only; `missing` has to be."""
MOST_READ = 2000
"""Pending photos up to which orders that read all evidence are taken on the GUI thread; above, on the store thread."""


class ReviewQueue:
    """GUI thread; one per open project. Photos with pending proposals, the ones that need a person most first.

    The order is taken once and walked, so that accepting does not reshuffle what comes next; it is taken again when the
    end is reached or new proposals arrived. An order that takes long is taken on the store thread; until it is there, the
    one before is walked.

    Attributes:
        strategy: one of STRATEGIES; definition_id: the keypoint that it is about, or None for all.
        on_order: called when an order came from the store thread.
    """

    def __init__(self, session: ProjectSession, strategy: str = "uncertain") -> None:
        self._session = session
        self.strategy = strategy
        self.definition_id: int | None = None
        self.on_order: Callable[[], object] = lambda: None
        self._asked: StoreTask | None = None
        self._ids: list[int] = []
        self._seen: list[int] = []
        self._stale = True
        self.findings: dict[int, list[Finding]] = {}
        session.changed.connect(self._changed)

    def _changed(self, changes: OpChanges, initiator: object) -> None:
        if "proposal" in changes.tables or (self.strategy == "missing" and "keypoint" in changes.tables):
            self._stale = True
        if initiator is not None and changes.tables & {"keypoint", "instance"}:
            # A person has touched the labels: what the check said about this photo is answered.
            for image_id in changes.image_ids & self.findings.keys():
                del self.findings[image_id]
                self._stale = True

    def take_findings(self, findings: tuple[Finding, ...]) -> None:
        """Walk the photos with suspicious labels from now on, worst first."""
        self.findings = {}
        for finding in split_fine(self._session.queries, findings)[0]:
            self.findings.setdefault(finding.image_id, []).append(finding)
        self._seen = []
        self.set_strategy("check")

    def mark_fine(self, finding: Finding) -> None:
        """A person says that this label is right: it is not found again while it stays where it is."""
        fine = with_fine(self._session.queries, finding)
        self._session.write(lambda do: do.set_setting(FINE, fine), self)
        left = [f for f in self.findings.get(finding.image_id, ()) if f != finding]
        if left:
            self.findings[finding.image_id] = left
        else:
            self.findings.pop(finding.image_id, None)
        self._stale = True

    def worst(self, image_id: int) -> Finding | None:
        """The most suspicious label of a photo."""
        return max(self.findings.get(image_id, ()), key=lambda f: f.score, default=None)

    def set_strategy(self, strategy: str, definition_id: int | None = None) -> None:
        """Sort differently from now on; by one keypoint only where the order allows it."""
        self.strategy = strategy if strategy in STRATEGIES else "uncertain"
        self.definition_id = definition_id if self.strategy in OF_ONE_KEYPOINT else None
        self._stale = True
        if self._asked is not None:
            self._asked.cancel.cancel()
            self._asked = None

    def _options(self) -> QueueOptions:
        scores = {image_id: max(f.score for f in found) for image_id, found in self.findings.items()}
        return QueueOptions(scores=scores, definition_id=self.definition_id)

    def _order(self) -> list[int] | None:
        """Image ids; None when they come later from the store thread."""
        queries, strategy = self._session.queries, self.strategy
        if strategy == "missing" and self.definition_id is None:
            return []
        if strategy in READ_ALL_EVIDENCE and queries.counts().pending > MOST_READ:
            self._ask(strategy)
            return None
        return list(review_order(queries, strategy, self._options()))

    def _ask(self, strategy: str) -> None:
        options = self._options()
        task = StoreTask(
            "order",
            lambda project: review_order(project.queries, strategy, options),
            quiet=True,
            done=lambda ids: self._ordered(strategy, ids),
            ended=self._asked_ended,
        )
        self._asked = task
        self._session.store.submit(task)

    def _asked_ended(self) -> None:
        self._asked, self._stale = None, True  # stopped for something urgent: it is asked for again

    def _ordered(self, strategy: str, ids: tuple[int, ...]) -> None:
        if strategy == self.strategy:
            self._stale = False
            self._take(list(ids))
            self.on_order()

    @property
    def waiting(self) -> bool:
        """Whether the order is still being taken."""
        return self._asked is not None

    def upcoming(self, current: int | None, count: int) -> list[int]:
        """The next `count` photos of the queue after the current one."""
        self._refresh()
        return [id_ for id_ in self._ids if id_ != current][:count]

    def _refresh(self) -> None:
        if not self._stale or self._asked is not None:
            return
        self._stale = False
        fresh = self._order()
        if fresh is not None:
            self._take(fresh)

    def _take(self, fresh: list[int]) -> None:
        seen = set(self._seen[-200:])
        # Photos that were passed over in this round come again after the others.
        self._ids = [i for i in fresh if i not in seen] + [i for i in fresh if i in seen]

    def next(self, current: int | None) -> int | None:
        """The photo to review after `current`; None when nothing is pending elsewhere."""
        if current is not None and (not self._seen or self._seen[-1] != current):
            self._seen.append(current)
            self._stale = True
        candidates = self.upcoming(current, 1)
        return candidates[0] if candidates else None

    def previous(self, current: int | None) -> int | None:
        """Back along the photos that were reviewed."""
        while self._seen:
            last = self._seen.pop()
            if last != current:
                return last
        return None
