"""One object, one instance: accepted keypoints and an accepted mask that lie on each other are joined.

Keypoints come from `propose`, masks from `find`; both know only the photo. When a person accepts both, they mean one animal.
"""

from __future__ import annotations

from collections.abc import Sequence

from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.store.operations.base import Op

SHARE_INSIDE = 0.6
"""At least this share of the placed keypoints must lie in the mask for the two to be one object."""


def share_inside(mask: MaskRLE, points: Sequence[tuple[float, float]]) -> float:
    """Share of xy_image `points` on true pixels of `mask`; 0 without points."""
    if not points:
        return 0.0
    pixels = mask.decode()
    inside = sum(0 <= x < mask.width and 0 <= y < mask.height and bool(pixels[int(y), int(x)]) for x, y in points)
    return inside / len(points)


def host_of_mask(op: Op, image_id: int, category_id: int, identity_id: int | None, mask: MaskRLE) -> int | None:
    """The instance without a mask whose keypoints lie in `mask` most; it must not be another individual."""
    candidates = op.all(
        "SELECT i.id FROM instance i WHERE i.image_id = ? AND i.category_id = ? AND (i.identity_id IS NULL OR i.identity_id IS ?) "
        "AND NOT EXISTS (SELECT 1 FROM mask m WHERE m.instance_id = i.id) "
        "AND EXISTS (SELECT 1 FROM keypoint k WHERE k.instance_id = i.id AND k.visibility > 0)",
        (image_id, category_id, identity_id),
    )
    best: tuple[float, int] | None = None
    for (instance_id,) in candidates:
        points = op.all("SELECT x, y FROM keypoint WHERE instance_id = ? AND visibility > 0", (instance_id,))
        share = share_inside(mask, [(x, y) for x, y in points])
        if share >= SHARE_INSIDE and (best is None or share > best[0]):
            best = (share, int(instance_id))
    return best[1] if best else None


def hosts_of_keypoints(op: Op, proposal_ids: Sequence[int]) -> dict[int, int]:
    """{keypoint proposal's id: the instance with a mask but no keypoints that it lies on}."""
    candidates = op.all(
        "SELECT p.id, i.id, m.height, m.width, m.counts FROM proposal p JOIN instance i ON i.image_id = p.image_id "
        "AND i.category_id = p.category_id JOIN mask m ON m.instance_id = i.id "
        f"WHERE p.id IN {op.collect('without_instance', proposal_ids)} "
        "AND NOT EXISTS (SELECT 1 FROM keypoint k WHERE k.instance_id = i.id) ORDER BY p.id, i.id"
    )
    best: dict[int, tuple[float, int]] = {}
    for proposal_id, instance_id, height, width, counts in candidates:
        points = op.all("SELECT x, y FROM keypoint_proposal WHERE proposal_id = ? AND visibility > 0", (proposal_id,))
        share = share_inside(MaskRLE(height, width, counts), [(x, y) for x, y in points])
        if share >= max(SHARE_INSIDE, best.get(proposal_id, (0.0, 0))[0]):
            best[proposal_id] = (share, int(instance_id))
    hosts: dict[int, int] = {}
    for proposal_id, (_, instance_id) in best.items():
        if instance_id not in hosts.values():
            hosts[proposal_id] = instance_id
    return hosts
