"""Matcher: one target against the exemplars, in one or two stages, as raw keypoints with their evidence.

Thread: the engine thread. A matcher is made for one set of exemplars; any plan can be run on it, so that choosing the
settings and proposing share all features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.features.fusion import kernel_scores
from kinmark.engine.features.views import ImageView
from kinmark.engine.heads.model import head_features
from kinmark.engine.matching.bank import CROP, WHOLE, ExemplarBank, all_variants, build_bank, square_about
from kinmark.engine.matching.evidence.gather import RawKeypoints, read_keypoints
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.reader import DESCRIPTOR, ViewParts
from kinmark.engine.matching.run import MatchInputs, MatchRun, best_run
from kinmark.engine.matching.similarity import cell_centres_xy_image, inside_region, restrict
from kinmark.engine.matching.votes import best_poses, pose_votes
from kinmark.engine.requests import ImageInput, Target

CANDIDATES = 2
LARGER = (1.35, 1.75)
"""Sides of a view of a whole photo, in photos: what fills more of the photo than in the exemplars looks as large as there."""
CROP_SIZES = (0.75, 1.35)
"""Further sides of the second stage's crop about the best place."""


@dataclass
class Matcher(MatchInputs):
    """Set once (exemplars, features, context), ask many (targets, plans)."""

    _banks: dict[tuple, ExemplarBank] = field(default_factory=dict)

    def bank(self, frame: str, plan: Plan, without: frozenset[int] = frozenset()) -> ExemplarBank:
        """The plan's variants in a frame; larger banks made before are reused."""
        key = (frame, plan.crop_margin if frame == CROP else 0.0)
        for (f, margin, rotations, flip, weight), bank in self._banks.items():
            serves = rotations % plan.rotations == 0 and (flip or not plan.flip)
            needed = set(self.reader.wanted(plan.fusion_weight))
            if (f, margin) == key and serves and needed <= set(self.reader.wanted(weight)):
                return bank.select(rotations=plan.rotations, flip=plan.flip, without=without)
        variants = all_variants(range(len(self.exemplars)), rotations=plan.rotations, flip=plan.flip)
        bank = build_bank(
            self.reader,
            self.exemplars,
            self.schema,
            variants,
            frame=frame,
            margin=plan.crop_margin,
            weight=self.context.reading_weight(plan),
        )
        self._banks[(*key, plan.rotations, plan.flip, self.context.reading_weight(plan))] = bank
        return bank.select(rotations=plan.rotations, flip=plan.flip, without=without)

    def predict(self, target: Target, plan: Plan, *, without: frozenset[int] = frozenset()) -> RawKeypoints:
        """Keypoints of the target; `without` leaves the exemplars with these indices out.

        Raises:
            UnreadableImageError: the target cannot be decoded.
        """
        if target.box is not None and (plan.stages == 2 or plan.crop_boxes):
            x0, y0, x1, y1 = target.box
            side = max(x1 - x0, y1 - y0) * (1 + 2 * plan.crop_margin)
            found = [(np.array([(x0 + x1) / 2, (y0 + y1) / 2]), side)]
            return self._second_stage(target, plan, found, without)
        bank = self.bank(WHOLE, plan, without)
        if plan.stages == 1:
            return read_keypoints(self._best_view(self.whole_views(target, plan), target, plan, bank, WHOLE))
        first = self.whole_runs(target, replace(plan, sizes=1), bank)[0]
        found = first.places(plan.crop_margin, CANDIDATES)
        if plan.sizes > 1:
            found += [(found[0][0], found[0][1] * size) for size in CROP_SIZES]
        return self._second_stage(target, plan, found, without)

    def whole_matches(
        self, images: Sequence[ImageInput], plan: Plan, cancel: CancelToken | None = None
    ) -> Iterator[MatchRun]:
        """Every readable image matched whole at one size, one stage; an unreadable one is left out (reported in its turn)."""
        for image in images:
            if cancel is not None:
                cancel.check()
            try:
                parts = self.reader.read([self.reader.whole(image)], self.context.reading_weight(plan))[0]
            except UnreadableImageError:
                continue
            yield self.match(self.bank(WHOLE, plan), parts, Target(image), plan, WHOLE)

    def whole_runs(self, target: Target, plan: Plan, bank: ExemplarBank) -> list[MatchRun]:
        """The whole photo matched at every size of the plan."""
        parts = self.reader.read(self.whole_views(target, plan), self.context.reading_weight(plan))
        return [self.match(bank, part, target, plan, WHOLE) for part in parts]

    def whole_views(self, target: Target, plan: Plan) -> list[ImageView]:
        """The whole photo at one size, or at three: as it is, and as a smaller part of a larger view."""
        views = [self.reader.whole(target.image)]
        if plan.sizes > 1:
            width, height = self.reader.size_wh(target.image)
            for factor in LARGER:
                x, y = width * (factor - 1) / 2, height * (factor - 1) / 2
                transform = ImageTransform.crop(
                    (-x, -y, width + x, height + y), self.reader.whole_size((width, height))
                )
                views.append(ImageView(target.image, transform))
        return views

    def _best_view(
        self, views: Sequence[ImageView], target: Target, plan: Plan, bank: ExemplarBank, frame: str
    ) -> MatchRun:
        """The view whose best pose fits best. Where the natural part is there, it tells that alone, at a third of the time."""
        if len(views) > 1 and 0 < plan.fusion_weight < 1 and plan.heads and self.has_natural_part:
            natural = replace(plan, fusion_weight=1.0)
            parts = self.reader.read(views, 1.0)
            scores = [float(self.match(bank, p, target, natural, frame).poses.score.max()) for p in parts]
            views = [views[int(np.argmax(scores))]]
        parts = self.reader.read(views, self.context.reading_weight(plan))
        return best_run([self.match(bank, part, target, plan, frame) for part in parts])

    @property
    def has_natural_part(self) -> bool:
        """Whether the second descriptor has a part that has seen photographs, which keypoint heads read."""
        return head_features(self.reader.extractor, self.reader.descriptor) is not None

    def _second_stage(
        self, target: Target, plan: Plan, found: list[tuple[NDArray[np.float64], float]], without: frozenset[int]
    ) -> RawKeypoints:
        bank = self.bank(CROP, plan, without)
        views = [self._crop(target, centre, side) for centre, side in found]
        return read_keypoints(self._best_view(views, target, plan, bank, CROP))

    def _crop(self, target: Target, centre: NDArray[np.float64], side: float) -> ImageView:
        # Snapped, so that plans which find the same place share the features of its crop.
        side = float(np.exp(np.round(np.log(side) * 12) / 12))
        grid = side / 16
        centre = np.round(np.asarray(centre) / grid) * grid
        return ImageView(target.image, ImageTransform.crop(square_about(centre, side), self.reader.crop_size()))

    def match(self, bank: ExemplarBank, parts: ViewParts, target: Target, plan: Plan, frame: str) -> MatchRun:
        """All variants against one view."""
        sims = self.similarities(bank, parts, plan, frame)
        sims = self._with_priors(sims, parts, target, plan)
        per_input = torch.from_numpy(parts.cells_per_input)
        offsets = torch.from_numpy(bank.offsets_input) * per_input
        length = torch.from_numpy(bank.length_input * float(parts.cells_per_input.mean()))
        slack = max(1, round(float(length.median()) * plan.slack * 0.67))
        votes = pose_votes(sims, bank.known, offsets, slack_cells=slack)
        region = self.region(parts, target)
        poses = best_poses(restrict(votes, region) if region is not None else votes)
        return MatchRun(self, bank, parts, target, plan, frame, sims, votes, poses, offsets, length)

    def similarities(self, bank: ExemplarBank, parts: ViewParts, plan: Plan, frame: str) -> Tensor:
        """`[V, K, h, w]`: weighted sum of the parts' cosines on the common grid."""
        weights = {name: w for name, w in self.context.part_weights(plan).items() if name in parts.maps}
        total: Tensor | None = None
        variants, count = bank.known.shape
        width, height = parts.cells_wh
        for name, weight in weights.items():
            whitener = self.context.whitener(frame, name, plan)
            queries = whitener(bank.queries[name]).flatten(0, 1)
            maps = self.context.whitened(frame, name, plan, parts.maps[name])
            sims = (queries @ maps.flatten(1)).reshape(variants * count, 1, *maps.shape[-2:])
            if name == DESCRIPTOR and plan.whiten == 0 and self.reader.kernel_width:
                sims = kernel_scores(sims, self.reader.kernel_width)
            if sims.shape[-2:] != (height, width):
                sims = functional.interpolate(sims, size=(height, width), mode="bilinear", align_corners=True)
            total = weight * sims if total is None else total + weight * sims
        if total is None:
            raise ValueError("no part of the features is in use")
        return total.reshape(variants, count, height, width)

    def region(self, parts: ViewParts, target: Target) -> Tensor | None:
        """`[h, w]` bool: cells inside the box or mask that was asked for; None where the whole photo was."""
        if target.box is None and target.mask is None:
            return None
        centres = cell_centres_xy_image(parts.transform, parts.cells_wh)
        mask = None if target.mask is None else torch.from_numpy(target.mask.decode())
        return inside_region(centres, box=target.box, mask=mask)

    def _with_priors(self, sims: Tensor, parts: ViewParts, target: Target, plan: Plan) -> Tensor:
        centres = cell_centres_xy_image(parts.transform, parts.cells_wh)
        region = self.region(parts, target)
        if plan.foreground > 0 and self.context.scene is not None:
            front = torch.from_numpy(self.context.foreground_at(target.image, centres.numpy())).to(sims)
            share = torch.from_numpy(self.context.foreground_of_keypoints).to(sims)
            sims = sims + plan.foreground * share[:, None, None] * (front - 1)
        if plan.location > 0 and self.context.location is not None:
            sims = sims + plan.location * (self.context.location.at(centres.numpy()).to(sims) - 1)
        outside = inside_region(centres, image_wh=parts.image_wh)
        sims = restrict(sims, outside)
        return sims if region is None else restrict(sims, region)
