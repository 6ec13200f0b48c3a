"""Picture pairs with known correspondences, and what dense descriptors make of them.

Three sets: held-out rendered scenes (same category, other identity, other view: semantic matching), warped real photos
(local matching under changes of view and light), and a rectified stereo pair. All matching goes through the project's
own functions (`kinmark.engine.matching`, `kinmark.engine.features.fusion`); distances are measured in the square network frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.training.bodies import CATEGORIES
from benchmarks.training.scenes import HELD_OUT, SCENES_PER_IDENTITY, Scene, SceneOptions, render_scene
from benchmarks.training.views import apply_homography, jitter_colours, random_homography, warp_image
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.evaluation.pck import PairResult, hits
from kinmark.engine.features.descriptors import get_descriptor, parse_parts
from kinmark.engine.features.fusion import DenseDescriptor, join_blocks, kernel_scores, l2_normalise
from kinmark.engine.features.views import render_pixels, to_network
from kinmark.engine.matching.sampling import sample_features
from kinmark.engine.matching.selection import select
from kinmark.engine.matching.similarity import similarity_maps

Picture = NDArray[np.uint8]
Points = NDArray[np.floating]
Maps = dict[str, Tensor]
"""Part name -> `[C, h, w]`, all parts of one picture on one grid."""

ALPHAS = (0.05, 0.1)
MIN_POINTS = 3
MAX_TURN = np.pi / 3
DEVELOPMENT = 50_000
WARP_HARDNESS = 0.7
PAIR_SEEDS = HELD_OUT + 900_000
PAIR_IDENTITIES = HELD_OUT + 10_000


@dataclass(frozen=True)
class PicturePair:
    """Two square RGB pictures [S, S, 3], N corresponding points xy_image [N, 2] each, and PCK's L in pixels."""

    name: str
    category: str
    source: Picture
    target: Picture
    source_xy: Points
    target_xy: Points
    length: float


# ---- sets --------------------------------------------------------------------------------------------------------


def synthetic_pairs(count: int, size: int, first: int = 0) -> list[PicturePair]:
    """Held-out pairs of named categories: two identities, views up to 60 degrees apart; points visible in both.

    The first view goes round the object freely; elevation, roll, pose, light and surroundings are drawn anew for the
    second. L = the longer side of the target's box. `first` starts another, disjoint list (settings are chosen on
    `first = DEVELOPMENT`, figures are reported on 0).
    """
    names, attempt = list(CATEGORIES), first
    pairs: list[PicturePair] = []
    while len(pairs) < count:
        category = names[len(pairs) % len(names)]
        turn = np.random.default_rng([PAIR_SEEDS, attempt]).uniform((0, -MAX_TURN), (2 * np.pi, MAX_TURN))
        scenes = [_pair_scene(2 * attempt + k, category, size, float(turn[: k + 1].sum())) for k in (0, 1)]
        attempt += 1
        a, b = (s.objects[0] for s in scenes)
        both = (a.visibility == 2) & (b.visibility == 2)
        ys, xs = np.nonzero(scenes[1].owner == 0)
        if both.sum() < MIN_POINTS or len(xs) < 50:
            continue
        length = float(max(np.ptp(xs), np.ptp(ys)) + 1)
        pairs.append(
            PicturePair(
                f"{category}-{attempt - 1}",
                category,
                scenes[0].image,
                scenes[1].image,
                a.xy_image[both].astype(np.float64),
                b.xy_image[both].astype(np.float64),
                length,
            )
        )
    return pairs


def _pair_scene(number: int, category: str, size: int, azimuth: float) -> Scene:
    options = SceneOptions(
        category=category, identity=PAIR_IDENTITIES + number, azimuth=(azimuth, azimuth), supersample=1.5
    )
    return render_scene(PAIR_SEEDS + number * SCENES_PER_IDENTITY, size, options)


def warped_pairs(photos: Sequence[tuple[str, Picture]], count: int, size: int, seed: int = 0) -> list[PicturePair]:
    """Random crops of photos against a turned, sheared, recoloured view of themselves; L = the picture's side."""
    pairs: list[PicturePair] = []
    rng = np.random.default_rng([seed, 17])
    while len(pairs) < count:
        name, photo = photos[len(pairs) % len(photos)]
        side = min(photo.shape[:2])
        views = []
        for k in (0, 1):
            span = float(side * rng.uniform(0.55, 0.8))
            centre = np.array([photo.shape[1], photo.shape[0]]) / 2 + rng.uniform(-0.12, 0.12, 2) * side
            h = random_homography(rng, centre.astype(np.float32), span, size, WARP_HARDNESS if k else 0.2)
            blurred = cv2.GaussianBlur(photo, (0, 0), max(0.1, 0.35 * span / size)) if span > 1.4 * size else photo
            picture = warp_image(blurred, h, size)
            views.append((jitter_colours(picture, rng, WARP_HARDNESS) if k else picture, h))
        between = (views[1][1] @ np.linalg.inv(views[0][1])).astype(np.float32)
        xy = rng.uniform(0.04 * size, 0.96 * size, (60, 2)).astype(np.float32)
        moved = apply_homography(between, xy)
        inside = ((moved > 0.02 * size) & (moved < 0.98 * size)).all(1)
        if inside.sum() < 10:
            continue
        xy, moved = xy[inside][:24].astype(np.float64), moved[inside][:24].astype(np.float64)
        pairs.append(PicturePair(f"{name}-{len(pairs)}", name, views[0][0], views[1][0], xy, moved, float(size)))
    return pairs


def stereo_pairs(
    left: Picture, right: Picture, disparity: NDArray[np.floating], size: int, *, half: bool = False
) -> list[PicturePair]:
    """Square tiles of a rectified pair (`right x = left x - disparity`); L = the tile's side in the network frame.

    Four tiles of the picture's whole height, or with `half` 3 rows of 5 tiles of half of it: twice as large in the network's
    frame, so that the two cameras see more different things, and points leave the tile more often.
    """
    height, width = left.shape[:2]
    side = height // 2 if half else height
    rng, pairs = np.random.default_rng(29 if half else 23), []
    rows, columns = (3, 5) if half else (1, 4)
    corners = [
        (x, y)
        for y in np.linspace(0, height - side, rows).astype(int)
        for x in np.linspace(0, width - side, columns).astype(int)
    ]
    for k, (x0, y0) in enumerate(corners):
        xy = rng.uniform(0.05 * side, 0.95 * side, (400, 2))
        shift = disparity[(xy[:, 1] + y0).astype(int), (xy[:, 0] + x0).astype(int)]
        moved = xy - np.stack([shift, np.zeros_like(shift)], 1)
        good = np.isfinite(shift) & (moved[:, 0] > 0.02 * side)
        xy, moved = xy[good][:75] * size / side, moved[good][:75] * size / side
        window = slice(y0, y0 + side), slice(x0, x0 + side)
        tiles = [cv2.resize(p[window], (size, size), interpolation=cv2.INTER_AREA) for p in (left, right)]
        pairs.append(PicturePair(f"stereo-{k}", "stereo", tiles[0], tiles[1], xy, moved, float(size)))
    return pairs


# ---- descriptors -------------------------------------------------------------------------------------------------


@dataclass
class Describer:
    """Makes the parts of pictures: diffusion features of named backbones, and dense descriptors.

    Attributes:
        backbones: part name -> backbone ("model", "untrained").
        parts: names of second descriptors, plain or sums (`kinmark.engine.features.descriptors.parse_parts`).
        category_prompts: use the card's prompt with the picture's category; else the empty prompt.
    """

    backbones: dict[str, Backbone]
    parts: tuple[str, ...] = ("dense_sift", "colour")
    category_prompts: bool = True
    timestep: int | None = None
    up_block: int | None = None
    noise_seed: int = field(default=0, repr=False)
    _opened: dict[str, DenseDescriptor] = field(default_factory=dict, repr=False)

    @torch.no_grad()
    def describe(self, picture: Picture, category: str = "") -> Maps:
        """All parts of one picture on the grid of the diffusion map."""
        maps = {name: self._diffusion(b, picture, category) for name, b in self.backbones.items()}
        h, w = next(iter(maps.values())).shape[-2:]
        for name in self.parts:
            maps[name] = self._descriptor(name, picture, (w, h))
        return {name: l2_normalise(m[None])[0] for name, m in maps.items()}

    def _descriptor(self, name: str, picture: Picture, cells_wh: tuple[int, int]) -> Tensor:
        """A descriptor, or the sum of several, each on the picture at its own size."""
        parts, maps = parse_parts(name), []
        for part in parts:
            if part.name not in self._opened:
                self._opened[part.name] = get_descriptor(part.name)
            seen = picture if part.scale == 1 else _resized(picture, part.scale)
            maps.append(self._opened[part.name].compute(seen[None], cells_wh).float())
        return maps[0][0] if len(maps) == 1 else join_blocks(maps, [part.weight for part in parts])[0]

    def _diffusion(self, backbone: Backbone, picture: Picture, category: str) -> Tensor:
        spec = backbone.spec
        plain = self.timestep is not None or self.up_block is not None
        extra = () if self.up_block is not None else spec.extra_blocks
        blocks = [(spec.up_block if self.up_block is None else self.up_block, 1 - sum(b.weight for b in extra))]
        blocks += [(b.block, b.weight) for b in extra]
        scales = () if plain else spec.extra_scales
        sizes = [(1.0, 1 - sum(s.weight for s in scales)), *((s.factor, s.weight) for s in scales)]
        maps: list[Tensor] = []
        for factor, _ in sizes:
            maps += self._pass(backbone, _resized(picture, factor), category, [block for block, _ in blocks])
        weights = [share * weight for _, share in sizes for _, weight in blocks]
        return join_blocks(maps, weights)[0] if len(maps) > 1 else maps[0][0]

    def _pass(self, backbone: Backbone, picture: Picture, category: str, blocks: list[int]) -> list[Tensor]:
        spec = backbone.spec
        t = spec.timestep if self.timestep is None else self.timestep
        latents = backbone.encode_latents(to_network(picture[None]))
        if not (spec.clean and self.timestep is None):
            generator = torch.Generator().manual_seed(self.noise_seed)
            latents = backbone.add_noise(latents, torch.randn(latents.shape, generator=generator), t)
        text = spec.text_for(category) if self.category_prompts else ""
        output = backbone.unet_forward(latents, t, backbone.encode_text([text]), up_blocks=tuple(blocks))
        return [output.maps[b].float() for b in blocks]


def _resized(picture: Picture, factor: float) -> Picture:
    """The picture at `factor` times its size, as the extractor renders its views."""
    side = round(picture.shape[0] * factor / 16) * 16
    return render_pixels(
        picture, ImageTransform.resize((picture.shape[1], picture.shape[0]), (side, side)), picture.shape[1::-1]
    )


@torch.no_grad()
def untrained(backbone: Backbone, seed: int = 0) -> Backbone:
    """The same backbone with a freshly initialised U-Net (its own VAE and text encoder stay), changed in place."""
    torch.manual_seed(seed)
    for module in backbone.unet.modules():
        reset: Callable[[], None] | None = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return backbone


# ---- figures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """One way to match: a part, or two parts fused as the engine fuses them: weight of the second, its kernel's width."""

    name: str
    first: str
    second: str = ""
    weight: float = 0.0
    kernel_width: float = 0.0

    def scores(self, source: Maps, target: Maps, xy_feature: Tensor) -> Tensor:
        """Similarity maps [N, h, w] of query points [N, 2] (cells of the source map)."""
        first = _cosines(source[self.first], target[self.first], xy_feature)
        if not self.second:
            return first
        second = _cosines(source[self.second], target[self.second], xy_feature)
        if self.kernel_width:
            second = kernel_scores(second, self.kernel_width)
        return (1 - self.weight) * first + self.weight * second


def _cosines(source: Tensor, target: Tensor, xy_feature: Tensor) -> Tensor:
    return similarity_maps(sample_features(source[None], xy_feature[None].to(source))[0], target)


@torch.no_grad()
def match_pair(pair: PicturePair, arm: Arm, source: Maps, target: Maps, method: str = "kernel_softargmax") -> Points:
    """Predicted target points xy_image [N, 2] of a pair from the parts of its two pictures."""
    size = pair.source.shape[1], pair.source.shape[0]
    transform = ImageTransform.resize(size, size)
    grid = source[arm.first].shape[-2:]
    xy = torch.from_numpy(transform.to_feature(pair.source_xy, (grid[1], grid[0])))
    maps = arm.scores(source, target, xy)
    found = select(maps, method).double().numpy()
    return np.asarray(transform.from_feature(found, (maps.shape[-1], maps.shape[-2])))


def evaluate_pairs(
    pairs: Sequence[PicturePair], describer: Describer, arms: Sequence[Arm], method: str = "kernel_softargmax"
) -> dict[str, list[PairResult]]:
    """Arm name -> one result per pair (hits at 0.05 and 0.1)."""
    results: dict[str, list[PairResult]] = {arm.name: [] for arm in arms}
    for pair in pairs:
        category = pair.category if pair.category in CATEGORIES else ""
        source, target = describer.describe(pair.source, category), describer.describe(pair.target, category)
        for arm in arms:
            found = match_pair(pair, arm, source, target, method)
            correct = hits(found, pair.target_xy, pair.length, ALPHAS)
            results[arm.name].append(PairResult(pair.category, correct, pair.name))
    return results


@dataclass(frozen=True)
class Figure:
    """A share in percent with its standard error over pairs."""

    value: float
    error: float


def per_image(results: Sequence[PairResult], alpha: float) -> Figure:
    """Mean over pairs of the share of correct points."""
    share = np.array([r.hits[ALPHAS.index(alpha)].mean() for r in results]) * 100
    return Figure(float(share.mean()), float(share.std(ddof=1) / len(share) ** 0.5))


def per_point(results: Sequence[PairResult], alpha: float) -> Figure:
    """All points pooled; the error is the bootstrap's over pairs."""
    k = ALPHAS.index(alpha)
    good = np.array([r.hits[k].sum() for r in results], float)
    total = np.array([r.hits.shape[1] for r in results], float)
    draw = np.random.default_rng(0).integers(0, len(good), (500, len(good)))
    spread = good[draw].sum(1) / total[draw].sum(1)
    return Figure(float(100 * good.sum() / total.sum()), float(100 * spread.std()))


def gain(results: Sequence[PairResult], other: Sequence[PairResult], alpha: float) -> Figure:
    """Paired difference per image: how much better the first is, with its standard error."""
    k = ALPHAS.index(alpha)
    d = np.array([a.hits[k].mean() - b.hits[k].mean() for a, b in zip(results, other, strict=True)]) * 100
    return Figure(float(d.mean()), float(d.std(ddof=1) / len(d) ** 0.5))
