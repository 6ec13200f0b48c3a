"""Copied instances: independent of the rows they came from."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.desktop.session.shown import ShownInstance
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
