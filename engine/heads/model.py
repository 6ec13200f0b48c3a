"""KeypointHeads: everything that the exemplars teach, ready to be asked about a view of a target.

Thread: the engine thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.domain.errors import ModelMissingError
from kinmark.engine.domain.geometry import ImageTransform, apply_affine, invert_affine
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.features.views import ImageView
from kinmark.engine.heads import ridge
from kinmark.engine.heads.frame import (
    HeadFrame,
    about_centre,
    compose,
    fit_alike,
    into_frame,
    is_mirror_image,
    labelled_points,
    make_frame,
    mean_shape,
    mirroring,
    misfit,
    realigned,
)
from kinmark.engine.heads.ridge import contribution, denial, solve
from kinmark.engine.heads.shape import ShapeModel, shape_model
from kinmark.engine.heads.store import HeadStore, Taught
from kinmark.engine.requests import Exemplar, ImageInput

if TYPE_CHECKING:
    from kinmark.engine.domain.progress import CancelToken
    from kinmark.engine.features.extractor import FeatureExtractor

Floats = NDArray[np.float64]
STRIDE = 8
FINER = 2
"""Evidence is brought to a grid so many times finer than the features'."""
JITTERS = (
    (0.0, 1.0, (0.0, 0.0)),
    (10.0, 1.08, (0.04, -0.03)),
    (-10.0, 0.93, (-0.03, 0.04)),
    (5.0, 0.9, (0.03, 0.05)),
    (-5.0, 1.12, (-0.05, -0.03)),
    (14.0, 1.0, (-0.04, 0.03)),
)
"""(degrees, scale, shift) of the views of every exemplar: a target is never aligned perfectly either."""
CELL_VIEWS = 3
"""Views of each exemplar whose cells are kept to compare with, of at most CELL_EXEMPLARS exemplars."""
CELL_EXEMPLARS = 12
SIFT_SHARE = 0.3
SYMMETRIC = 0.12
"""A mirrored exemplar (names exchanged) that fits the frame as well as this (longer sides, root mean square) teaches, too."""
ANGLE, SIZE, PLACE = 0.2, 0.15, 0.08
"""Least spreads of how instances stand in their photos."""
LOOSE, BOUND = 0.8, 4.0
LOCAL_PART = "dense_sift"
PLAIN_PARTS = (LOCAL_PART, "colour")
"""Descriptors that have learned nothing: heads need one that has."""


@dataclass(frozen=True)
class HeadFeatures:
    """Which dense features the heads read: a natural-image part and, where the backbone has it, a local one."""

    extractor: FeatureExtractor
    natural: str
    local: str = ""

    @property
    def version(self) -> str:
        """Names the numbers."""
        parts = [self.extractor.descriptor(self.natural).version]
        parts += [self.extractor.descriptor(self.local).version] if self.local else []
        return "+".join(parts)

    def read(
        self, views: Sequence[ImageView], cancel: CancelToken | None = None, *, keep: bool = True, local: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Maps `[B, C, h, w]` of views of one size, natural and (if `local`) local, on the CPU; `keep`: in the feature cache."""
        natural = self._read(self.natural, views, cancel, keep)
        return natural, (self._read(self.local, views, cancel, keep) if local and self.local else None)

    def read_local(self, views: Sequence[ImageView], cancel: CancelToken | None = None) -> Tensor | None:
        """The local maps alone, past the feature cache; None where the backbone has none."""
        return self._read(self.local, views, cancel, False) if self.local else None

    def _read(self, name: str, views: Sequence[ImageView], cancel: CancelToken | None, keep: bool) -> Tensor:
        side = views[0].input_wh[0]
        cells = [((side - 1) // STRIDE + 1,) * 2] * len(views)
        sizes = [view.input_wh for view in views]
        found = self.extractor.dense_maps(views, name, sizes, cells, keep=keep, cancel=cancel)
        return torch.stack([m.features.float().cpu() for m in found])


@dataclass(frozen=True)
class PosePrior:
    """How instances stand in their photos, as the exemplars show it: mean and spread of angle (radians), log size (of the photo)
    and place (of the photo's sides). A spread of infinity says nothing."""

    angle: float
    angle_spread: float
    size: float
    size_spread: float
    place: Floats
    place_spread: float

    def cost(self, into: Floats, frame: HeadFrame, image_wh: tuple[int, int]) -> float:
        """Half the squared deviations of a pose `[2, 3]` (xy_image to frame), each bounded: evidence may win."""
        angle, size, place = pose_facts(into, frame, image_wh)
        turn = np.angle(np.exp(1j * (angle - self.angle)))
        terms = [
            turn / self.angle_spread,
            (size - self.size) / self.size_spread,
            *((place - self.place) / self.place_spread),
        ]
        return float(sum(min(t * t / 2, BOUND) for t in terms))


def pose_facts(into: Floats, frame: HeadFrame, image_wh: tuple[int, int]) -> tuple[float, float, Floats]:
    """Angle, log of the longer side in photos, and place of the frame's centre (0..1 inside) of a pose."""
    wh = np.asarray(image_wh, np.float64)
    scale = float(np.sqrt(abs(np.linalg.det(into[:, :2]))))
    centre = apply_affine(invert_affine(into), np.full(2, (frame.side - 1) / 2)) / wh
    column = into[:, 0] * np.sign(np.linalg.det(into[:, :2]))  # a mirrored pose by the angle before its mirroring
    return float(np.arctan2(column[1], column[0])), float(np.log(frame.unit / scale / np.sqrt(wh.prod()))), centre


def pose_prior(poses: Sequence[Floats], frame: HeadFrame, sizes: Sequence[tuple[int, int]]) -> PosePrior:
    """From the exemplars' poses; one exemplar says little, several that agree say much."""
    facts = [pose_facts(p, frame, s) for p, s in zip(poses, sizes, strict=True)]
    few = 1 + 2 / len(facts)
    phasors = np.exp(1j * np.array([f[0] for f in facts]))
    mean = phasors.mean()
    deviation = float(np.sqrt(max(0.0, -2 * np.log(max(abs(mean), 1e-6)))))
    size = np.array([f[1] for f in facts])
    place = np.stack([f[2] for f in facts])
    alike = len(set(sizes)) == 1
    return PosePrior(
        float(np.angle(mean)),
        max(deviation, ANGLE) * few if deviation < LOOSE else float("inf"),
        float(size.mean()),
        max(float(size.std()), SIZE) * few,
        place.mean(axis=0),
        max(float(place.std(axis=0).max()), PLACE) * few if alike else float("inf"),
    )


@dataclass(frozen=True)
class KeypointHeads:
    """Heads of one category.

    Attributes:
        frame: where instances stand alike; poses: how they stand in their photos.
        shape: where the keypoints are in the frame (xy_feature of the finer grid).
        weights: `[C + 1, K]`; cells, local: `[V, K, C]` vectors of the exemplars' keypoints; cells_known: `[V, K]`.
        exemplars: how many taught.
    """

    frame: HeadFrame
    poses: PosePrior
    shape: ShapeModel
    weights: Tensor
    cells: Tensor
    local: Tensor | None
    cells_known: Tensor
    exemplars: int
    features: HeadFeatures

    @property
    def finer_stride(self) -> float:
        """Input pixels per cell of the evidence."""
        return STRIDE / FINER

    def evidence(self, natural: Tensor, local: Tensor | None) -> tuple[Tensor, Tensor]:
        """Standardised maps `[B, K, h, w]` on the finer grid: of the heads, and of the best cell over the exemplars."""
        answers = ridge.apply(self.weights, natural)
        scores = _best_cells(self.cells, natural, self.cells_known)
        if local is not None and self.local is not None:
            scores = scores + SIFT_SHARE * _best_cells(self.local, local, self.cells_known)
        return standardised(_finer(answers)), standardised(_finer(scores))


def head_features(extractor: FeatureExtractor, descriptor: str) -> HeadFeatures | None:
    """The parts of a backbone's descriptor that heads read; None where no natural-image part is installed."""
    try:
        names = [part.name for part in extractor.available_parts(descriptor)]
        natural = next((name for name in names if name not in PLAIN_PARTS), "")
    except ModelMissingError:
        return None
    if not natural:
        return None
    return HeadFeatures(extractor, natural, LOCAL_PART if LOCAL_PART in names else "")


def fit_heads(
    features: HeadFeatures,
    schema: KeypointSchema,
    exemplars: Sequence[Exemplar],
    store: HeadStore,
    *,
    cancel: CancelToken | None = None,
) -> KeypointHeads:
    """Heads from all exemplars; only those that the store does not know are read.

    Args:
        exemplars: with at least one labelled keypoint each, on readable photos, in a stable order (the frame is that of the
            first complete one).
    """
    source = features.extractor.source
    sizes = [source.size_wh(e.image) for e in exemplars]
    frame = make_frame(exemplars, sizes)
    placed = [placements(frame, schema, e, s) for e, s in zip(exemplars, sizes, strict=True)]
    if sum(map(bool, placed)) < 2:  # of two that differ nobody knows which is the odd one
        placed = [own or [_upright(frame, e, s)] for own, e, s in zip(placed, exemplars, sizes, strict=True)]
    taught = []
    for exemplar, poses in zip(exemplars, placed, strict=True):
        if not poses:
            continue
        key = _key(exemplar, source.sha256(exemplar.image), frame, features.version, schema)
        found = store.get(key)
        if found is None:
            found = _teach(features, schema, exemplar, frame, poses, cancel)
            store.put(key, found)
        taught.append(found)
    rows = np.concatenate([t.aligned for t in taught])
    aligned = realigned(rows)
    finer = FINER / STRIDE
    shape = shape_model(aligned * finer, mean_shape(frame, aligned) * finer, frame.unit * finer)
    step = -(-len(taught) // CELL_EXEMPLARS)
    compared = taught[::step]
    known = torch.cat([t.shown.expand(len(t.cells), -1) for t in compared])
    local = torch.cat([t.local for t in compared if t.local is not None]) if features.local else None
    stand = [(own[0][0], size) for own, size in zip(placed, sizes, strict=True) if own]
    prior = pose_prior([into for into, _ in stand], frame, [size for _, size in stand])
    return KeypointHeads(
        frame,
        prior,
        shape,
        solve([p for t in taught for p in (t.part, *t.denials)]),
        torch.cat([t.cells for t in compared]),
        local,
        known,
        len(taught),
        features,
    )


Placement = tuple[Floats, Floats]
"""`[2, 3]` from xy_image to the frame, and the exemplar's points `[K, 2]` (xy_image) under the names they have there."""


def placements(frame: HeadFrame, schema: KeypointSchema, exemplar: Exemplar, size: tuple[int, int]) -> list[Placement]:
    """How an exemplar lies on the frame: as it is, mirrored with left and right exchanged (it faces the other way), or both (a body
    that is its own mirror image). Without left and right one that is seen from its other side (the other hand, a leaf turned over)
    is simply mirrored. With them it is empty for such a one, or one labelled the other way round: whatever it taught would be in
    the wrong place."""
    mirrored = _mirrored_pose(frame, schema, labelled_points(exemplar), size)
    if mirrored is not None and is_mirror_image(frame, exemplar, schema.flip_index):
        return [mirrored[:2]]
    if is_mirror_image(frame, exemplar):
        return []
    plain = _upright(frame, exemplar, size)
    if schema.pairs and mirrored is not None and mirrored[2] <= SYMMETRIC:
        return [plain, mirrored[:2]]
    return [plain]


def _upright(frame: HeadFrame, exemplar: Exemplar, size: tuple[int, int]) -> Placement:
    return into_frame(frame, exemplar, size).matrix, labelled_points(exemplar)


def head_view(image: ImageInput, into: Floats, side: int) -> ImageView:
    """The view of an image by an affine `[2, 3]` from xy_image to xy_input."""
    rows = tuple((float(a), float(b), float(c) + 0.5) for a, b, c in into)
    return ImageView(image, ImageTransform(rows, (side, side)))  # type: ignore[arg-type]


def _key(exemplar: Exemplar, sha: str, frame: HeadFrame, version: str, schema: KeypointSchema) -> str:
    labels = exemplar.keypoints
    told = (labels.box, exemplar.absent, exemplar.denied)
    facts = (sha, labelled_points(exemplar).tobytes(), told, frame.key, version, schema.pairs)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _teach(
    features: HeadFeatures,
    schema: KeypointSchema,
    exemplar: Exemplar,
    frame: HeadFrame,
    poses: Sequence[Placement],
    cancel: CancelToken | None,
) -> Taught:
    jitters = JITTERS if len(poses) == 1 else JITTERS[: 1 + len(JITTERS) // 2]
    views, places, matrices = [], [], []
    for into, own in poses:
        for degrees, scale, shift in jitters:
            matrix = compose(about_centre(frame, degrees=degrees, scale=scale, shift=shift), into)
            matrices.append(matrix)
            views.append(head_view(exemplar.image, matrix, frame.side))
            places.append(torch.from_numpy(apply_affine(matrix, np.nan_to_num(own)) / STRIDE).float())
    chosen = [p * len(jitters) + j for p in range(len(poses)) for j in range(CELL_VIEWS // len(poses))]
    # What they teach is kept, not they.
    natural, _ = features.read(views, cancel, keep=False, local=False)
    local = features.read_local([views[i] for i in chosen], cancel)
    shown = torch.from_numpy(np.all([np.isfinite(own[:, 0]) for _, own in poses], axis=0))
    absent = torch.zeros_like(shown)
    absent[list(exemplar.absent)] = True
    flip, exchanged = list(schema.flip_index), [_is_mirrored(into) for into, _ in poses]
    lacking = ~shown
    for other in exchanged:
        lacking = lacking & (absent[flip] if other else absent)
    for xy in places:
        xy[lacking] = torch.nan
    part = contribution(list(natural), places, shown | lacking)
    denials = []
    for given, x, y in exemplar.denied:
        keypoint = flip[given] if exchanged[0] else given
        near = [torch.from_numpy(apply_affine(m, np.array([x, y])) / STRIDE).float() for m in matrices[: len(jitters)]]
        denials.append(denial(list(natural[: len(jitters)]), near, keypoint, len(shown)))
    aligned = np.stack(
        [np.where(np.isfinite(own), apply_affine(into, np.nan_to_num(own)), np.nan) for into, own in poses]
    )
    cells = torch.stack([vectors_at(natural[i], places[i].nan_to_num(0.0)) for i in chosen])
    near_local = None
    if local is not None:
        near_local = torch.stack([vectors_at(m, places[i].nan_to_num(0.0)) for m, i in zip(local, chosen, strict=True)])
    return Taught(aligned, part, tuple(denials), shown, cells, near_local)


def _mirrored_pose(
    frame: HeadFrame, schema: KeypointSchema, points: Floats, size: tuple[int, int]
) -> tuple[Floats, Floats, float] | None:
    """The mirrored photo with left and right exchanged on the frame, and how badly it fits (longer sides); None with too few points
    in common."""
    mirror = mirroring(size)
    own = points[list(schema.flip_index)]
    both = np.isfinite(own[:, 0]) & frame.known
    if both.sum() < 3:
        return None
    seen = apply_affine(mirror, np.nan_to_num(own))
    fit = fit_alike(seen[both], frame.points[both])
    return compose(fit.matrix, mirror), own, misfit(frame, np.where(both[:, None], seen, np.nan))


def _is_mirrored(into: Floats) -> bool:
    return float(np.linalg.det(into[:, :2])) < 0


def vectors_at(maps: Tensor, xy: Tensor) -> Tensor:
    """`[N, C]` unit vectors of `[C, h, w]` at xy_feature `[N, 2]`, the border's outside."""
    size = torch.tensor([max(maps.shape[-1] - 1, 1), max(maps.shape[-2] - 1, 1)], dtype=torch.float32)
    grid = (xy / size * 2 - 1)[None, :, None]
    found = F.grid_sample(maps[None], grid, align_corners=True, padding_mode="border")[0, :, :, 0].T
    return F.normalize(found, dim=1)


def _best_cells(vectors: Tensor, maps: Tensor, known: Tensor) -> Tensor:
    """`[B, K, h, w]`: the highest cosine over the vectors `[V, K, C]` that are known `[V, K]`."""
    unit = F.normalize(maps, dim=1).flatten(2)
    scores = torch.matmul(vectors.flatten(0, 1), unit).unflatten(1, known.shape)
    scores.masked_fill_(~known[None, :, :, None], -1.0)
    return scores.amax(dim=1).unflatten(2, maps.shape[-2:])


def _finer(maps: Tensor) -> Tensor:
    size = ((maps.shape[-2] - 1) * FINER + 1, (maps.shape[-1] - 1) * FINER + 1)
    return F.interpolate(maps, size=size, mode="bicubic", align_corners=True)


def standardised(maps: Tensor) -> Tensor:
    """Every map in standard deviations from its own mean."""
    mean = maps.mean(dim=(-2, -1), keepdim=True)
    spread = maps.std(dim=(-2, -1), keepdim=True)
    return (maps - mean) / (spread + 1e-6)
