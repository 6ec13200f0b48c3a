"""Which photo comes next: neighbours in the list, unseen ones, the review queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from desktop.session.project_session import ProjectSession
from projects.review import QueueOptions, review_order
from projects.store.changes import OpChanges

if TYPE_CHECKING:
    from projects.workflows.check import Finding

STRATEGIES = ("uncertain", "informative", "disagreement", "sides", "sure", "name", "check")
READ_ALL_EVIDENCE = ("informative", "disagreement", "sides")
MOST_READ = 3000
"""Pending photos up to which those orders are taken on the GUI thread; above, the most uncertain come first instead."""


class ReviewQueue:
    """GUI thread; one per open project. Photos with pending proposals, the ones that need a person most first.

    The order is taken once and walked, so that accepting does not reshuffle what comes next; it is taken again when the
    end is reached or new proposals arrived.
    """

    def __init__(self, session: ProjectSession, strategy: str = "uncertain") -> None:
        self._session = session
        self.strategy = strategy
        self._ids: list[int] = []
        self._seen: list[int] = []
        self._stale = True
        self.findings: dict[int, list[Finding]] = {}
        session.changed.connect(self._changed)

    def _changed(self, changes: OpChanges, initiator: object) -> None:
        if "proposal" in changes.tables:
            self._stale = True
        if initiator is not None and changes.tables & {"keypoint", "instance"}:
            # A person has touched the labels: what the check said about this photo is answered.
            for image_id in changes.image_ids & self.findings.keys():
                del self.findings[image_id]
                self._stale = True

    def take_findings(self, findings: tuple[Finding, ...]) -> None:
        """Walk the photos with suspicious labels from now on, worst first."""
        self.findings = {}
        for finding in findings:
            self.findings.setdefault(finding.image_id, []).append(finding)
        self._seen = []
        self.set_strategy("check")

    def worst(self, image_id: int) -> Finding | None:
        """The most suspicious label of a photo."""
        return max(self.findings.get(image_id, ()), key=lambda f: f.score, default=None)

    def set_strategy(self, strategy: str) -> None:
        """Sort differently from now on."""
        self.strategy = strategy
        self._stale = True

    def _order(self) -> list[int]:
        queries, strategy = self._session.queries, self.strategy
        if strategy not in STRATEGIES or (strategy in READ_ALL_EVIDENCE and queries.counts().pending > MOST_READ):
            strategy = "uncertain"
        scores = {image_id: max(f.score for f in found) for image_id, found in self.findings.items()}
        return list(review_order(queries, strategy, QueueOptions(scores=scores)))

    def upcoming(self, current: int | None, count: int) -> list[int]:
        """The next `count` photos of the queue after the current one."""
        self._refresh()
        return [id_ for id_ in self._ids if id_ != current][:count]

    def _refresh(self) -> None:
        if self._stale:
            seen = set(self._seen[-200:])
            fresh = self._order()
            # Photos that were passed over in this round come again after the others.
            self._ids = [i for i in fresh if i not in seen] + [i for i in fresh if i in seen]
            self._stale = False

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
