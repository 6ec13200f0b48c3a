"""Labelled instances as training material: which views, which pairs, which images are held out."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, ImageTransform, expand_box, longer_side
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.texts import said
from kinmark.engine.features.views import CROP_MARGIN, ImageView
from kinmark.engine.requests import Exemplar
from kinmark.engine.tuning.options import MIN_INSTANCES, TuningOptions

Key = tuple[int, int]
"""(index of the instance, number of the view)."""
SMALL_INSTANCE = 0.5
"""Instances whose longer side is below this share of the photo's are tuned on crops."""


@dataclass(frozen=True)
class Labelled:
    """One labelled instance: `key` is unique in the set, `length` the L of its PCK (xy_image pixels)."""

    key: str
    exemplar: Exemplar
    image_wh: tuple[int, int]
    box: Box
    length: float

    @property
    def visible(self) -> NDArray[np.bool_]:
        """`[K]`: visible with a position. Hidden points have no appearance of their own to learn from."""
        keypoints = self.exemplar.keypoints
        return keypoints.labelled & (np.asarray(keypoints.visibility) == Visibility.VISIBLE)


@dataclass(frozen=True)
class Variant:
    """One view of an instance: region, mirroring, and a recolouring `gain * pixel ** gamma` per channel."""

    view: ImageView
    flip: bool = False
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0

    def recolour(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8 `[H, W, 3]` with this variant's colours."""
        if self.gamma == 1.0 and self.gain == (1.0, 1.0, 1.0):
            return rgb
        values = (rgb.astype(np.float32) / 255.0) ** self.gamma * np.asarray(self.gain, np.float32)
        return (values.clip(0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Split:
    """Indices of instances, split by image: `train` to learn from, `select` to stop early, `report` for the figures."""

    train: tuple[int, ...]
    select: tuple[int, ...]
    report: tuple[int, ...]

    @property
    def note(self) -> str:
        """How honest the reported figure is, in words."""
        if set(self.report) == set(self.select):
            return "held-out images, also used to choose the best step (too few images for a third set: optimistic)"
        return "held-out images that took no part in choosing the best step"


@dataclass(frozen=True)
class Material:
    """What a job learns from: its instances, which of them for what, and the pairs of those to learn from."""

    instances: tuple[Labelled, ...]
    split: Split
    pairs: tuple[tuple[int, int], ...]


def make_material(
    exemplars: Sequence[Exemplar],
    sizes: Sequence[tuple[int, int]],
    schema: KeypointSchema,
    *,
    heldout_share: float,
    seed: int,
    report_images: Sequence[str] = (),
) -> Material:
    """The material of a job; errors of `make_labelled` and `split_by_image`."""
    instances = make_labelled(exemplars, sizes)
    split = split_by_image(instances, heldout_share, seed, report_images)
    return Material(tuple(instances), split, tuple(training_pairs(instances, split.train, schema.flip_index)))


def make_labelled(exemplars: Sequence[Exemplar], sizes: Sequence[tuple[int, int]]) -> list[Labelled]:
    """Instances with at least two visible keypoints; UserInputError when fewer than three remain."""
    found = []
    for index, (exemplar, size) in enumerate(zip(exemplars, sizes, strict=True)):
        if np.count_nonzero(exemplar.keypoints.labelled) < 2:
            continue
        box = exemplar.keypoints.box_or_extent()
        length = longer_side(box)
        if length > 0:
            found.append(Labelled(f"{exemplar.image.image_id}#{index}", exemplar, size, box, length))
    images = {i.exemplar.image.image_id for i in found}
    if len(found) < MIN_INSTANCES or len(images) < MIN_INSTANCES:
        raise UserInputError(
            said(
                "Tuning needs at least {0} accepted instances with two keypoints on different photos; there are {1} on {2}.",
                MIN_INSTANCES,
                len(found),
                len(images),
            ),
            "Label or accept some more, then tune again.",
        )
    return found


def split_by_image(instances: Sequence[Labelled], share: float, seed: int, report_images: Sequence[str] = ()) -> Split:
    """Hold out whole images: `report_images` for the figures alone; else from 12 images on a third set is drawn."""
    present = {i.exemplar.image.image_id for i in instances}
    given = present & set(report_images)
    names = sorted(present - given)
    if len(names) < MIN_INSTANCES:
        raise UserInputError(
            said(
                "Only {0} labelled photos are left to tune on beside the {1} kept for measuring.",
                len(names),
                len(given),
            ),
            said("At least {0} are needed: take some out of the test split, or label more.", MIN_INSTANCES),
        )
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    if given:
        count = min(len(names) - 2, max(1, round(len(names) * share)))
        select, report = set(order[:count]), given
    elif len(names) >= 12:
        count = max(2, round(len(names) * share / 2))
        select, report = set(order[:count]), set(order[count : 2 * count])
    else:
        count = min(len(names) - 2, max(1, round(len(names) * share)))
        select = report = set(order[:count])

    def among(chosen: set[str]) -> tuple[int, ...]:
        return tuple(i for i, item in enumerate(instances) if item.exemplar.image.image_id in chosen)

    return Split(among(set(order) - select - report), among(select), among(report))


def training_pairs(
    instances: Sequence[Labelled], train: Sequence[int], flip_index: Sequence[int]
) -> list[tuple[int, int]]:
    """Unordered pairs on different photos that share a visible keypoint (also after mirroring one of them)."""
    flip = list(flip_index)
    pairs = []
    for i, j in itertools.combinations(train, 2):
        a, b = instances[i], instances[j]
        if a.exemplar.image.image_id == b.exemplar.image.image_id:
            continue
        if (a.visible & (b.visible | b.visible[flip])).any():
            pairs.append((i, j))
    if not pairs:
        raise UserInputError(
            "The accepted instances share no visible keypoint between photos.",
            "Label the same keypoints on more photos.",
        )
    return pairs


def use_crops(instances: Sequence[Labelled], view: str) -> bool:
    """Whether instances are seen as crops."""
    if view != "auto":
        return view == "crop"
    return float(np.median([i.length / max(i.image_wh) for i in instances])) < SMALL_INSTANCE


def base_region(item: Labelled, crop: bool, keep_aspect: bool = False, margin: float = CROP_MARGIN) -> Box:
    """The region of the plain view: the square box of the instance grown by `margin`, or the whole photo.

    `keep_aspect` widens the photo to a square (mirrored outwards) instead of squashing it: views of one size batch.
    """
    if crop:
        return expand_box(item.box, margin=margin, square=True)
    return expand_box((0.0, 0.0, float(item.image_wh[0]), float(item.image_wh[1])), square=keep_aspect)


def make_variant(
    item: Labelled,
    number: int,
    *,
    region: Box,
    crop: bool,
    input_wh: tuple[int, int],
    options: TuningOptions,
    seed: int,
) -> Variant:
    """View `number` of an instance: 0 is plain (`region`), the others are drawn from (seed, instance, number) alone."""
    image = item.exemplar.image
    plain = Variant(ImageView(image, ImageTransform.crop(region, input_wh)))
    if number == 0:
        return plain
    digest = hashlib.sha256(f"{seed}:{item.key}:{number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    if rng.random() > options.augment:
        return plain
    x0, y0, x1, y1 = region
    scale = rng.uniform(0.8, 1.2) if crop else rng.uniform(0.75, 1.05)
    w, h = (x1 - x0) * scale, (y1 - y0) * scale
    # The centre moves so far that the instance stays in view.
    cx = (x0 + x1) / 2 + rng.uniform(-0.5, 0.5) * max(0.0, (x1 - x0) - w if not crop else 0.15 * w)
    cy = (y0 + y1) / 2 + rng.uniform(-0.5, 0.5) * max(0.0, (y1 - y0) - h if not crop else 0.15 * h)
    turn, flip = math.radians(rng.uniform(-15, 15)), bool(rng.random() < 0.5)
    box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    view = ImageView(image, ImageTransform.crop(box, input_wh, turn, flip))
    gain = tuple(float(v) for v in rng.uniform(0.8, 1.2) * rng.uniform(0.92, 1.08, 3))
    return Variant(view, flip, gain, float(rng.uniform(0.8, 1.25)))  # type: ignore[arg-type]


def variant_points(
    item: Labelled, variant: Variant, schema: KeypointSchema, cells_wh: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Positions `[K, 2]` in cells and which are visible and inside, in the schema's order *of the view*.

    In a mirrored view the left eye looks like a right eye: names of left/right pairs are swapped.
    """
    order = np.asarray(schema.flip_index if variant.flip else range(len(schema)))
    points = np.nan_to_num(item.exemplar.keypoints.xy_image[order], nan=-1e6)
    cells = variant.view.transform.to_feature(points, cells_wh)
    limit = np.asarray(cells_wh) - 1
    inside = (cells >= -0.5).all(axis=1) & (cells <= limit + 0.5).all(axis=1)
    return cells.clip(0, limit).astype(np.float32), item.visible[order] & inside
