"""Deciding about proposals: accept, reject, other peaks, whole photos, the whole queue."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QCoreApplication

from kinmark.desktop.canvas import intents as it
from kinmark.desktop.error_texts import in_language
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import ShownInstance
from kinmark.engine.api import MINIMUM_DECISIONS
from kinmark.projects.store.rows import KeypointProposalRow

if TYPE_CHECKING:
    from kinmark.projects.store.changes import OpChanges
    from kinmark.projects.store.operations import Operations


@dataclass(frozen=True)
class BulkPreview:
    """What accepting everything sure would do: `expected` precision is the mean confidence of what is taken.

    `count` keypoints and `masks`; `upto` tells them from what is proposed after this was asked.
    """

    count: int
    masks: int
    expected: float
    threshold: float
    calibrated: bool
    decisions: int
    lowest: tuple[KeypointProposalRow, ...]
    category_id: int | None
    upto: tuple[int, int]

    @property
    def total(self) -> int:
        """Decisions that would be made."""
        return self.count + self.masks


ROWS_EACH = 4
"""Rows that deciding one proposal touches: itself, its keypoint, the decision, the photo."""
_R = TypeVar("_R")


def _announced_once(method: Callable[..., _R]) -> Callable[..., _R]:
    """Everything that a decision changes is drawn once."""

    @functools.wraps(method)
    def run(self: Reviewer, *arguments: object) -> _R:
        if method.__name__.startswith(("accept", "take")) and self._at.has_pending and not self._at.photo_is_there():
            return 0  # type: ignore[return-value]
        with self._at.batch():
            return method(self, *arguments)

    return run


class Reviewer:
    """GUI thread; one per open project. `on_image_done` is called when nothing is left to decide in the photo."""

    def __init__(self, labelling: Labelling, on_image_done: Callable[[], object]) -> None:
        self._at = labelling
        self._session = labelling.session
        self._on_image_done = on_image_done

    def handle(self, intent: object) -> bool:
        """Do what a canvas intent asks for; False for those that are about editing."""
        match intent:
            case it.AcceptPoint(key, index):
                self._at.select(key, index)
                self.accept()
            case it.TakePeak(number):
                self.take_peak(number)
            case _:
                return False
        return True

    @_announced_once
    def accept(self) -> None:
        """Enter: accept what is focused and go on; without anything pending here, to the next photo.

        What is focused is a keypoint, or, where a photo holds several, an instance as a whole.
        """
        at = self._at
        selected = at.selected
        if selected is None or not selected.has_pending:
            self.go_on()
            return
        proposal = selected.proposal(at.focused) if at.focused is not None else None
        if proposal is not None:
            if self._session.write(lambda do: do.accept_keypoints([proposal.id]), self) is not None:
                self._after(at.focused)
        elif selected.mask_proposal is not None and not selected.pending:
            mask_id = selected.mask_proposal.id
            if self._session.write(lambda do: do.accept_proposals([mask_id]), self) is not None:
                self._after(None)
        elif at.whole:
            self.accept_instance()
        else:
            at.focus(at.next_pending(selected, at.focused))

    @_announced_once
    def reject(self) -> None:
        """X: reject what is focused and go on."""
        at = self._at
        selected = at.selected
        if selected is None:
            return
        proposal = selected.proposal(at.focused) if at.focused is not None else None
        if proposal is not None:
            if self._session.write(lambda do: do.reject_keypoints([proposal.id]), self) is not None:
                self._after(at.focused)
        elif selected.mask_proposal is not None and not selected.pending:
            mask_id = selected.mask_proposal.id
            if self._session.write(lambda do: do.reject_proposals([mask_id]), self) is not None:
                self._after(None)
        elif at.whole:
            self.reject_instance()

    @_announced_once
    def take_peak(self, number: int) -> None:
        """Alt+1/2/3: accept the focused keypoint at another peak."""
        at = self._at
        selected, index = at.selected, at.focused
        proposal = selected.proposal(index) if selected is not None and index is not None else None
        if proposal is not None and 0 <= number < len(proposal.peaks):
            peak = proposal.peaks[number]
            position = {proposal.id: (peak.x, peak.y, 2)}
            if self._session.write(lambda do: do.accept_keypoints([proposal.id], positions=position), self) is not None:
                self._after(index)

    @_announced_once
    def accept_image(self) -> int:
        """Shift+Enter: everything sure in this photo; how many keypoints and masks were taken.

        Where a photo holds several, a person looks at instances: all of them are taken as they stand.
        """
        at = self._at
        image = at.image
        if image is None:
            return 0
        threshold = at.settings.current.accept_precision
        if any(at.several(s.category) for s in at.waiting):
            return self._accept_all(threshold)
        changes = self._session.write(
            lambda do: do.accept_proposals(image_ids=[image.id], min_confidence=threshold), self
        )
        if changes is None:
            return 0
        self._after(None)
        return changes.count

    def _accept_all(self, threshold: float) -> int:
        """All keypoints that wait in the photo, and the masks that are sure."""
        waiting = [p for s in self._at.shown for p in s.proposals if p.keypoints or p.confidence >= threshold]
        ids = [p.id for p in waiting]
        changes = self._session.write(lambda do: do.accept_proposals(ids), self)
        if changes is None:
            return 0
        self._after(None)
        return changes.count

    @_announced_once
    def accept_instance(self) -> int:
        """Ctrl+Enter: everything proposed for the selected instance as it stands; how much was taken.

        Without anything pending on it: as Enter, on to what waits.
        """
        selected = self._at.selected
        if selected is None or not selected.has_pending:
            self.go_on()
            return 0
        ids = [p.id for p in selected.proposals]
        changes = self._session.write(lambda do: do.accept_proposals(ids), self)
        if changes is None:
            return 0
        self._after(None)
        return changes.count

    @_announced_once
    def reject_instance(self) -> None:
        """Shift+X: all proposals of the selected instance."""
        selected = self._at.selected
        if selected is None or not selected.proposals:
            return
        ids = [p.id for p in selected.proposals]
        if self._session.write(lambda do: do.reject_proposals(ids), self) is not None:
            self._after(None)

    def nothing_here(self) -> None:
        """O: looked, no instance of the category is there."""
        at = self._at
        image, category = at.image, at.category
        if image is None:
            return
        category_id = category.id if category is not None else None
        changes = self._session.write(lambda do: do.mark_nothing_here([image.id], category_id), self)
        if changes is None:
            return
        if changes.skipped:
            self._session.messages.info(in_language(changes.skipped[0]))
        else:
            self.go_on()

    def preview_queue(self) -> BulkPreview:
        """What Ctrl+Shift+Enter would do."""
        at, queries = self._at, self._session.queries
        threshold = at.settings.current.accept_precision
        category_id = at.category.id if at.category else None
        upto = queries.newest_proposals()
        count, points, lowest = queries.preview_accept(threshold, category_id=category_id, upto=upto)
        masks, shapes = queries.preview_masks(threshold, category_id=category_id, upto=upto)
        expected = (count * points + masks * shapes) / max(count + masks, 1)
        decisions = queries.count_decisions(category_id)
        calibrated = decisions >= MINIMUM_DECISIONS
        return BulkPreview(count, masks, expected, threshold, calibrated, decisions, lowest, category_id, upto)

    def accept_queue(self, title: str, preview: BulkPreview, done: Callable[[int], object]) -> None:
        """Accept what `preview` showed, in one undo step called `title` meanwhile.

        Nothing that was proposed since is taken; what was decided or replaced since is left out. A large step runs beside
        the window; `done(accepted)` comes after it.
        """
        self._decide(
            preview.total,
            title,
            lambda do: do.accept_proposals(
                min_confidence=preview.threshold, category_id=preview.category_id, upto=preview.upto
            ),
            done,
        )

    def accept_photos(self, title: str, image_ids: tuple[int, ...], done: Callable[[int], object]) -> None:
        """Accept everything that is pending on these photos, in one undo step."""
        self._decide(len(image_ids), title, lambda do: do.accept_proposals(image_ids=image_ids), done)

    def reject_photos(self, title: str, image_ids: tuple[int, ...], done: Callable[[int], object]) -> None:
        """Reject everything that is pending on these photos, in one undo step."""
        self._decide(len(image_ids), title, lambda do: do.reject_proposals(image_ids=image_ids), done)

    def _decide(
        self, proposals: int, title: str, decide: Callable[[Operations], OpChanges], done: Callable[[int], object]
    ) -> None:
        """One step over so many proposals at least; `done(keypoints and masks)` comes after it."""
        rows = proposals * ROWS_EACH
        self._session.write_sized(rows, title, decide, self, done=lambda changes: done(changes.count))

    def _after(self, index: int | None) -> None:
        """Focus the next pending keypoint of the instance, then of the photo; then the photo is done."""
        at = self._at
        selected = at.selected
        following = at.next_pending(selected, index) if selected is not None else None
        if selected is not None and following is not None:
            at.focus(following)
            return
        other = self._next_with_pending(selected)
        if other is not None:
            at.select(other.key, at.entry(other))
            return
        at.focus(None)
        if self._asks_for_all(selected):
            at.settled = at.image.id if at.image is not None else None
        elif at.settings.current.auto_advance:
            self._on_image_done()

    def _asks_for_all(self, selected: ShownInstance | None) -> bool:
        """Where a photo may hold several, a person looks once more before the next one comes: was one overlooked?"""
        at = self._at
        category = selected.category if selected is not None else at.category
        there = any(s.instance is not None and category is not None and s.category.id == category.id for s in at.shown)
        return category is not None and there and at.several(category) and at.exhaustive(category.id) is None

    @_announced_once
    def all_labelled(self, holds: bool) -> bool | None:
        """U, Shift+U: all of the category in this photo are labelled, or not all; the same again takes it back.

        What is said now (None: nothing any more). With "all", the next photo comes.
        """
        at = self._at
        image, category = at.image, at.current_category
        if image is None or category is None:
            return None
        before = at.exhaustive(category.id)
        said = None if before is holds else holds
        changes = self._session.write(lambda do: do.set_exhaustive([image.id], category.id, said), self)
        if changes is None:
            return before
        if changes.skipped:
            hint = QCoreApplication.translate("Reviewer", "Label one, or press O: nothing is here.")
            self._session.messages.info(in_language(changes.skipped[0]), hint)
            return before
        at.settled = None
        if said and at.settings.current.auto_advance and not at.has_pending and not at.placing:
            self._on_image_done()
        return said

    def _next_with_pending(self, selected: ShownInstance | None) -> ShownInstance | None:
        shown = self._at.shown
        start = selected.number + 1 if selected is not None else 0
        ordered = [*shown[start:], *shown[:start]]
        return next((s for s in ordered if s.has_pending), None)

    def go_on(self) -> None:
        """To the next instance with something pending, else to the next photo."""
        other = self._next_with_pending(self._at.selected)
        if other is not None:
            self._at.select(other.key, self._at.entry(other))
        else:
            self._on_image_done()
