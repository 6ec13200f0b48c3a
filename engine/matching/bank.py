"""ExemplarBank: what the exemplars look like, turned and mirrored, as query vectors with their places in the shape.

Only the vectors at the keypoints are kept: one image against all exemplars in all directions is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import Box, expand_box
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.features.views import ImageView
from kinmark.engine.matching.reader import FeatureReader, ViewParts
from kinmark.engine.matching.sampling import l2_normalise, sample_features
from kinmark.engine.matching.whitening import Whitener
from kinmark.engine.requests import Exemplar

WHOLE, CROP = "whole", "crop"
MEMO_ITEMS = 4000


@dataclass(frozen=True)
class Variant:
    """One exemplar in one direction: turned by `turn` eighths of a full circle, mirrored if `flip`."""

    exemplar: int
    turn: int = 0
    flip: bool = False


@dataclass(frozen=True)
class ExemplarBank:
    """Queries of all variants.

    Attributes:
        variants: V of them.
        queries: part name -> `[V, K, C]`, L2-normalised (not whitened).
        known: `[V, K]` bool: labelled in that exemplar.
        offsets_input: `[V, K, 2]` from the exemplar's centre, pixels of the network input, turned and mirrored.
        length_input: `[V]` longer side of the exemplar's box in pixels of the network input.
        weights: `[V]` of the exemplars.
    """

    variants: tuple[Variant, ...]
    queries: dict[str, Tensor]
    known: Tensor
    offsets_input: NDArray[np.float64]
    length_input: NDArray[np.float64]
    weights: Tensor
    exemplars: tuple[Exemplar, ...] = field(repr=False, default=())

    def subset(self, keep: Sequence[bool] | NDArray[np.bool_]) -> ExemplarBank:
        """The bank with only some variants."""
        index = np.flatnonzero(np.asarray(keep))
        picked = torch.from_numpy(index)
        return ExemplarBank(
            tuple(self.variants[i] for i in index),
            {name: q[picked] for name, q in self.queries.items()},
            self.known[picked],
            self.offsets_input[index],
            self.length_input[index],
            self.weights[picked],
            self.exemplars,
        )

    def select(self, *, rotations: int, flip: bool, without: frozenset[int] = frozenset()) -> ExemplarBank:
        """Variants of so many directions, with or without mirrored ones, without some exemplars (those held out)."""
        step = 8 // rotations
        return self.subset(
            [v.turn % step == 0 and (flip or not v.flip) and v.exemplar not in without for v in self.variants]
        )

    def whitened(self, whiteners: dict[str, Whitener]) -> dict[str, Tensor]:
        """Part name -> `[V, K, D]` whitened queries."""
        return {name: whiteners[name](q) for name, q in self.queries.items()}


def exemplar_box(exemplar: Exemplar) -> Box:
    """The exemplar's box: the given one, joined with the extent of its keypoints."""
    points = np.asarray(exemplar.keypoints.xy_image)[exemplar.keypoints.labelled]
    box = exemplar.keypoints.box_or_extent()
    low, high = points.min(axis=0), points.max(axis=0)
    return (
        float(min(box[0], low[0])),
        float(min(box[1], low[1])),
        float(max(box[2], high[0])),
        float(max(box[3], high[1])),
    )


def exemplar_length(exemplar: Exemplar) -> float:
    """Longer side of the exemplar's box in image pixels, at least 1."""
    x0, y0, x1, y1 = exemplar_box(exemplar)
    return max(x1 - x0, y1 - y0, 1.0)


def exemplar_centre(exemplar: Exemplar) -> NDArray[np.float64]:
    """Centre of the keypoints: what turns with the animal (a box's centre does not)."""
    return np.asarray(exemplar.keypoints.xy_image)[exemplar.keypoints.labelled].mean(axis=0)


def square_about(centre: NDArray[np.float64], side: float) -> Box:
    """Square box of `side` about a point."""
    x, y = float(centre[0]), float(centre[1])
    return x - side / 2, y - side / 2, x + side / 2, y + side / 2


def crop_side(exemplar: Exemplar, margin: float) -> float:
    """Side of the second stage's square crop about an exemplar: holds it in every direction."""
    centre = exemplar_centre(exemplar)
    points = np.asarray(exemplar.keypoints.xy_image)[exemplar.keypoints.labelled]
    reach = float(np.linalg.norm(points - centre, axis=1).max())
    box = expand_box(exemplar_box(exemplar), margin=margin, square=True)
    return max(box[2] - box[0], 2 * reach * (1 + margin), 8.0)


def variant_view(reader: FeatureReader, exemplar: Exemplar, variant: Variant, frame: str, margin: float) -> ImageView:
    """The view of a variant. "whole": at the scale of whole images, centred on the exemplar; "crop": its square crop."""
    centre = exemplar_centre(exemplar)
    angle = variant.turn * np.pi / 4
    if frame == CROP:
        box = square_about(centre, crop_side(exemplar, margin))
        return reader.turned(exemplar.image, box, reader.crop_size(), angle, variant.flip)
    size = reader.size_wh(exemplar.image)
    if variant.turn == 0 and not variant.flip:
        return reader.whole(exemplar.image)
    box = (centre[0] - size[0] / 2, centre[1] - size[1] / 2, centre[0] + size[0] / 2, centre[1] + size[1] / 2)
    return reader.turned(exemplar.image, tuple(map(float, box)), reader.whole_size(size), angle, variant.flip)  # type: ignore[arg-type]


def build_bank(
    reader: FeatureReader,
    exemplars: Sequence[Exemplar],
    schema: KeypointSchema,
    variants: Sequence[Variant],
    *,
    frame: str,
    margin: float,
    weight: float | None = None,
) -> ExemplarBank:
    """Queries of the variants, from features of the turned and mirrored exemplars themselves.

    Args:
        frame: "whole" or "crop", see `variant_view`.
        weight: fusion weight, so that an unused part is not computed; None = both parts.

    Raises:
        UnreadableImageError: of an exemplar.
    """
    names = reader.wanted(weight)
    queries: dict[str, list[Tensor]] = {name: [] for name in names}
    known, offsets, lengths, weights = [], [], [], []
    for variant in variants:
        exemplar = exemplars[variant.exemplar]
        own = _variant_queries(reader, exemplar, schema, variant, frame, margin, weight)
        for name in names:
            queries[name].append(own.queries[name])
        known.append(own.known)
        offsets.append(own.offsets_input)
        lengths.append(own.length_input)
        weights.append(float(exemplar.weight))
    return ExemplarBank(
        tuple(variants),
        {name: torch.stack(q) for name, q in queries.items()},
        torch.stack(known),
        np.stack(offsets),
        np.array(lengths),
        torch.tensor(weights),
        tuple(exemplars),
    )


@dataclass(frozen=True)
class _VariantQueries:
    queries: dict[str, Tensor]
    known: Tensor
    offsets_input: NDArray[np.float64]
    length_input: float


def _variant_queries(
    reader: FeatureReader,
    exemplar: Exemplar,
    schema: KeypointSchema,
    variant: Variant,
    frame: str,
    margin: float,
    weight: float | None,
) -> _VariantQueries:
    """Vectors of one variant, from the reader's memory when this labelled exemplar was seen before."""
    labels = exemplar.keypoints
    image_hash = reader.session.source.sha256(exemplar.image)
    key = (
        image_hash,
        np.asarray(labels.xy_image).tobytes(),
        labels.labelled.tobytes(),
        labels.box,
        schema.pairs,
        variant.turn,
        variant.flip,
        frame,
        margin if frame == CROP else 0.0,
        reader.wanted(weight),
    )
    if key in reader.memo:
        return reader.memo[key]
    # One view at a time: its maps are large and needed only for K vectors.
    parts = reader.read([variant_view(reader, exemplar, variant, frame, margin)], weight)[0]
    order = list(schema.flip_index) if variant.flip else list(range(len(schema)))
    xy = np.asarray(labels.xy_image, dtype=np.float64)[order]
    labelled = labels.labelled[order]
    safe = np.where(labelled[:, None], np.nan_to_num(xy), exemplar_centre(exemplar))
    offsets = parts.transform.to_input(safe) - parts.transform.to_input(exemplar_centre(exemplar))
    scale = float(np.sqrt(abs(np.linalg.det(np.asarray(parts.transform.matrix)[:, :2]))))
    made = _VariantQueries(
        {name: _query_vectors(parts, name, safe) for name in reader.wanted(weight)},
        torch.from_numpy(np.asarray(labelled, dtype=bool)),
        offsets,
        exemplar_length(exemplar) * scale,
    )
    if len(reader.memo) > MEMO_ITEMS:
        reader.memo.clear()
    reader.memo[key] = made
    return made


def _query_vectors(parts: ViewParts, name: str, xy_image: NDArray[np.float64]) -> Tensor:
    """`[K, C]` L2-normalised vectors of one part at xy_image."""
    maps = parts.maps[name]
    cells = parts.transform.to_feature(xy_image, (maps.shape[-1], maps.shape[-2]))
    xy = torch.from_numpy(cells).to(maps)
    limit = torch.tensor([maps.shape[-1] - 1, maps.shape[-2] - 1], dtype=maps.dtype, device=maps.device)
    xy = torch.minimum(xy.clamp(min=0), limit)
    return l2_normalise(sample_features(maps[None], xy[None])[0])


def all_variants(exemplars: Sequence[int], *, rotations: int, flip: bool) -> list[Variant]:
    """Every direction of the exemplars with these indices."""
    turns = range(0, 8, 8 // rotations)
    return [Variant(e, t, f) for f in ((False, True) if flip else (False,)) for e in exemplars for t in turns]
