"""Copying and pasting instances; what was copied is independent of the rows it came from."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import ShownInstance, shown_instances
from kinmark.engine.domain.geometry import Box
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.store.rows import KeypointProposalRow, KeypointRow


@dataclass(frozen=True)
class CopiedInstance:
    """Positions as fractions of the photo that it was copied from."""

    category_id: int
    keypoints: tuple[tuple[int, float | None, float | None, int], ...]
    box: Box | None

    def placed(self, image_id: int, size_wh: tuple[int, int]) -> NewInstance:
        """In another photo."""
        w, h = size_wh
        keypoints = tuple(
            NewKeypoint(d, None if x is None else x * w, None if y is None else y * h, v)
            for d, x, y, v in self.keypoints
        )
        box = self.box
        scaled = (box[0] * w, box[1] * h, box[2] * w, box[3] * h) if box is not None else None
        return NewInstance(image_id, self.category_id, keypoints, scaled)


def copied_from(shown: ShownInstance, size_wh: tuple[int, int]) -> CopiedInstance:
    """Accepted and pending keypoints of an instance of a photo of `size_wh`."""
    w, h = size_wh
    rows: dict[int, KeypointRow | KeypointProposalRow] = {**shown.pending, **shown.accepted}
    keypoints = tuple(
        (
            id_,
            None if r.x is None else r.x / w,
            None if r.y is None else r.y / h,
            r.visibility if r.x is not None else 0,
        )
        for id_, r in rows.items()
    )
    box = shown.box
    fractions = (box[0] / w, box[1] / h, box[2] / w, box[3] / h) if box is not None else None
    return CopiedInstance(shown.category.id, keypoints, fractions)


class Copier:
    """GUI thread; one per open project. Pasting is one named operation."""

    def __init__(self, labelling: Labelling) -> None:
        self._at = labelling
        self._session = labelling.session
        self._copied: tuple[CopiedInstance, ...] = ()

    def copy(self) -> bool:
        """Remember the selected instance."""
        selected = self._at.selected
        if selected is None or self._at.image is None:
            return False
        self._copied = (copied_from(selected, self._at.image.size_wh),)
        return True

    def paste(self, copied: tuple[CopiedInstance, ...] | None = None) -> None:
        """Put what was copied into this photo, scaled to its size."""
        at, source = self._at, copied if copied is not None else self._copied
        image = at.image
        if not source or not at.photo_is_there():
            return
        known = {c.id for c in at.categories}
        new = [c.placed(image.id, image.size_wh) for c in source if c.category_id in known] if image is not None else []
        if not new:
            return
        changes = self._session.write(lambda do: do.add_instances(new, name="Paste"), self)
        if changes is not None and changes.ids:
            at.reload()
            at.select(f"i{changes.ids[0]}")

    def copy_from_image(self, image_id: int) -> None:
        """Copy all accepted instances of another photo into this one."""
        other = self._session.queries.image(image_id)
        if other is None:
            return
        shown = shown_instances(
            categories=self._at.categories,
            identities=(),
            instances=self._session.queries.instances(image_id=image_id),
            proposals=(),
        )
        self.paste(tuple(copied_from(s, other.size_wh) for s in shown))
