"""Labels that were drawn on the unrotated file, turned into the oriented frame (EXIF orientation 1..8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.dataset import DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.outlines import KEY, outline_extra, outline_of

_TURNS = {
    # orientation: transpose first?, then mirror x?, then mirror y? (the steps of PIL.ImageOps.exif_transpose)
    1: (False, False, False),
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


def oriented_point(x: float, y: float, raw_wh: tuple[int, int], orientation: int) -> tuple[float, float]:
    """A continuous point of the stored picture (size `raw_wh`) in the oriented picture."""
    transpose, mirror_x, mirror_y = _TURNS[orientation]
    width, height = raw_wh
    if transpose:
        x, y, width, height = y, x, height, width
    return (width - x if mirror_x else x), (height - y if mirror_y else y)


def oriented_mask(mask: NDArray[np.bool_], orientation: int) -> NDArray[np.bool_]:
    """Boolean `[H, W]` of the stored picture in the oriented picture."""
    transpose, mirror_x, mirror_y = _TURNS[orientation]
    result = mask.T if transpose else mask
    result = result[:, ::-1] if mirror_x else result
    return result[::-1] if mirror_y else result


def orient_image(image: DatasetImage, orientation: int) -> DatasetImage:
    """The image with size, keypoints, boxes and masks turned from the stored into the oriented frame."""
    raw = (image.width, image.height)
    size = raw[::-1] if _TURNS[orientation][0] else raw
    instances = tuple(_orient_instance(n, raw, orientation) for n in image.instances)
    return replace(image, width=size[0], height=size[1], instances=instances, orientation=orientation)


def fits_one(instances: Iterable[DatasetInstance], shown_wh: tuple[int, int]) -> str:
    """Which picture the labels lie in when the other one has exchanged sides: "shown", "stored", or "" (both or none)."""
    places = [(k.x, k.y) for n in instances for k in n.keypoints.values() if k.x is not None and k.y is not None]
    places += [corner for n in instances if n.box is not None for corner in (n.box[:2], n.box[2:])]
    if not places or shown_wh[0] == shown_wh[1]:
        return ""

    def holds(width: int, height: int) -> bool:  # a pixel beyond the border is rounding
        return all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for x, y in places)

    shown, stored = holds(*shown_wh), holds(*shown_wh[::-1])
    return "" if shown == stored else "shown" if shown else "stored"


def downwards(image: DatasetImage, size_wh: tuple[int, int]) -> DatasetImage:
    """Keypoints and boxes whose y counts from the bottom of a picture of `size_wh`, in xy_image (y down)."""
    height = float(size_wh[1])

    def turned(instance: DatasetInstance) -> DatasetInstance:
        keypoints = {name: k if k.y is None else replace(k, y=height - k.y) for name, k in instance.keypoints.items()}
        box = instance.box
        if box is not None:
            box = (box[0], height - box[3], box[2], height - box[1])
        return replace(instance, keypoints=keypoints, box=box)

    return replace(
        image, width=size_wh[0], height=size_wh[1], y_up=False, instances=tuple(map(turned, image.instances))
    )


def _orient_instance(instance: DatasetInstance, raw: tuple[int, int], orientation: int) -> DatasetInstance:
    def keypoint(k: DatasetKeypoint) -> DatasetKeypoint:
        if k.x is None or k.y is None:
            return k
        x, y = oriented_point(k.x, k.y, raw, orientation)
        return replace(k, x=x, y=y)

    box: Box | None = None
    if instance.box is not None:
        ax, ay = oriented_point(*instance.box[:2], raw, orientation)
        bx, by = oriented_point(*instance.box[2:], raw, orientation)
        box = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    mask = MaskRLE.encode(oriented_mask(instance.mask.decode(), orientation)) if instance.mask is not None else None
    # What the file said about shape (polygons, area) was in the old frame: outlines are turned, figures are made anew.
    extra = {k: v for k, v in instance.extra.items() if k not in (KEY, "coco_mask")}
    if isinstance(extra.get("coco"), dict):
        extra["coco"] = {k: v for k, v in extra["coco"].items() if k not in ("segmentation", "bbox", "area")}
    rings = outline_of(instance)
    if rings and mask is not None:
        turned = [[oriented_point(x, y, raw, orientation) for x, y in zip(r[::2], r[1::2], strict=True)] for r in rings]
        extra |= outline_extra([[v for point in ring for v in point] for ring in turned], mask)
    keypoints = {name: keypoint(k) for name, k in instance.keypoints.items()}
    return replace(instance, keypoints=keypoints, box=box, mask=mask, extra=extra)
