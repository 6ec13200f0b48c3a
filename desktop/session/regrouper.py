"""Which keypoints belong to one instance: merging, splitting, giving a keypoint to another instance."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject

from kinmark.desktop.error_texts import in_language
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import ShownInstance
from kinmark.projects.store.changes import OpChanges


class Regrouper(QObject):
    """GUI thread; one per open project. Every method is one undo step and tells what it could not keep."""

    def __init__(self, labelling: Labelling) -> None:
        super().__init__(labelling)
        self._at = labelling
        self._session = labelling.session

    def others(self) -> tuple[ShownInstance, ...]:
        """The other instances of the selected one's category, nearest first."""
        selected = self._at.selected
        if selected is None:
            return ()
        here = _middle(selected)
        rest = [s for s in self._at.shown if s.key != selected.key and s.category.id == selected.category.id]
        return tuple(sorted(rest, key=lambda s: float(np.linalg.norm(_middle(s) - here))))

    def merge(self, other: ShownInstance) -> None:
        """The selected instance and `other` are one animal; where both placed a keypoint, the selected one's stays."""
        selected = self._at.selected
        if selected is None:
            return
        keep, part = selected.part, other.part
        with self._at.batch():
            changes = self._session.write(lambda do: do.merge_instances(keep, [part]), self)
            self._show(changes, selected)
            self._tell(changes, self.tr("Merged. Not everything could be kept:"))

    def split(self) -> None:
        """The marked keypoints of the selected instance are another animal's; without marks, the farther group of the two."""
        at = self._at
        selected = at.selected
        if selected is None:
            return
        marked = at.marked or self.guessed_half(selected)
        if not marked:
            self._session.messages.info(
                self.tr("An instance with fewer than two keypoints cannot be split."),
                self.tr("I begins another instance."),
            )
            return
        definitions, part = [selected.definition_ids[i] for i in sorted(marked)], selected.part
        with at.batch():
            changes = self._session.write(lambda do: do.split_instance(part, definitions), self)
            if changes is None:
                return
            at.reload()
            new = next((s for s in at.shown if s.instance is not None and s.instance.id in changes.ids), None)
            if new is None:  # only pending keypoints: the newest proposal
                pending = [s for s in at.shown if s.instance is None and s.category.id == selected.category.id]
                new = max(pending, key=lambda s: max((p.id for p in s.proposals), default=0), default=None)
            if new is not None:
                at.select(new.key, at.entry(new))
            self._tell(changes, "")

    def guessed_half(self, shown: ShownInstance) -> frozenset[int]:
        """The keypoints (schema indices) of the farther of the two groups that an instance falls into; none for one point.

        The group of the focused keypoint stays with the instance (without focus: the larger one).
        """
        placed = {}
        for index in range(len(shown.definition_ids)):
            row = shown.keypoint(index) or shown.proposal(index)
            if row is not None and row.x is not None and row.y is not None:
                placed[index] = (row.x, row.y)
        if len(placed) < 2:
            return frozenset()
        groups = two_groups(np.array(list(placed.values())))
        halves = [frozenset(i for i, g in zip(placed, groups, strict=True) if g == side) for side in (0, 1)]
        focused = self._at.focused
        if focused in placed:
            return halves[1] if focused in halves[0] else halves[0]
        return min(halves, key=len)

    def give(self, taker: ShownInstance) -> None:
        """The focused keypoint is `taker`'s; where it has one of that name, the two are exchanged."""
        at = self._at
        selected, index = at.selected, at.focused
        if selected is None or index is None:
            return
        giver, part, definition = selected.part, taker.part, selected.definition_ids[index]
        with at.batch():
            changes = self._session.write(lambda do: do.give_keypoint(giver, definition, part), self)
            if changes is None:
                return
            at.reload()
            known = {taker.key, *(f"i{id_}" for id_ in changes.ids)}
            new = next((s for s in at.shown if s.key in known), None)
            if new is not None:
                at.select(new.key, index)

    def _show(self, changes: OpChanges | None, before: ShownInstance) -> None:
        """Select what the merged instance is called now."""
        if changes is None:
            return
        at = self._at
        at.reload()
        keys = {before.key, *(f"i{id_}" for id_ in changes.ids)}
        merged = next((s for s in at.shown if s.key in keys), None)
        if merged is not None:
            at.select(merged.key, at.entry(merged))

    def _tell(self, changes: OpChanges | None, text: str) -> None:
        if changes is None or not changes.skipped:
            return
        lines = "; ".join(in_language(line) for line in changes.skipped[:4])
        self._session.messages.info(f"{text} {lines}".strip(), self.tr("Ctrl+Z takes it back."))


def two_groups(points: np.ndarray) -> np.ndarray:
    """`[N]` 0 or 1: the two groups that points `[N, 2]` fall into, N >= 2; both have at least one.

    The pair that lies farthest apart begins; means and nearest neighbours follow (k-means with k = 2).
    """
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    a, b = np.unravel_index(int(np.argmax(apart)), apart.shape)
    centres = np.array([points[a], points[b]], dtype=np.float64)
    groups = np.zeros(len(points), dtype=np.int64)
    for _ in range(10):
        groups = np.argmin(np.linalg.norm(points[:, None] - centres[None], axis=-1), axis=1)
        if len(set(groups.tolist())) < 2:
            groups[b] = 1 - groups[a]
            break
        centres = np.array([points[groups == side].mean(axis=0) for side in (0, 1)])
    return groups


def _middle(shown: ShownInstance) -> np.ndarray:
    box = shown.extent
    return np.array([0.0, 0.0]) if box is None else np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
