"""One tuning job: features with gradients, steps, held-out PCK. A step is a pure function of (state, step number).

Thread: the engine thread. No random state is carried from step to step, so that a job continued from a checkpoint gives
what it would have given without the interruption, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from kinmark.engine.domain.geometry import Box, rescale_corner_aligned
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.fusion import join_blocks, kernel_scores
from kinmark.engine.features.recipe import Recipe, block_weights, scale_weights
from kinmark.engine.features.views import render_view, to_network
from kinmark.engine.matching.selection import select
from kinmark.engine.prompts.learners import PromptLearner
from kinmark.engine.prompts.patches import PatchSource
from kinmark.engine.requests import TuneRequest
from kinmark.engine.tuning.heldout import HeldOut
from kinmark.engine.tuning.joint import JointScore
from kinmark.engine.tuning.loss import cross_entropy_of_maps, similarity_maps
from kinmark.engine.tuning.material import (
    Key,
    Labelled,
    Material,
    Variant,
    base_region,
    make_variant,
    use_crops,
    variant_points,
)
from kinmark.engine.tuning.noise import extraction_noise, step_noise
from kinmark.engine.tuning.options import TuningOptions

if TYPE_CHECKING:
    from kinmark.engine.backbones.backbone import Backbone

_FP16_LOSS_SCALE = 1024.0
VIEWS_FOR_STATISTICS = 16


class TuningRun:
    """Material and arithmetic of one job; `kinmark.engine.tuning.job` decides when to stop and what to keep.

    Attributes:
        learner: what is learned; adam: its optimiser; done: finished steps; average: moving average of its parameters (CPU).
        joint: what the loss goes through instead of the plain score of pairs, or None.
        micro: pairs per forward; checkpointing: both change after memory ran out, never the result.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        request: TuneRequest,
        options: TuningOptions,
        material: Material,
        learner: PromptLearner,
        patches: PatchSource | None,
        joint: JointScore | None = None,
    ) -> None:
        self.extractor, self.request, self.options = extractor, request, options
        self.instances, self.split, self.pairs = material.instances, material.split, list(material.pairs)
        self.schema: KeypointSchema = request.schema
        self.learner, self.patch_source = learner, patches
        self.start = {k: v.detach().clone() for k, v in learner.state_dict().items()}
        self.average: dict[str, Tensor] = {}
        self.adam = torch.optim.Adam(learner.groups(options.lr, options.lr_linear), lr=options.lr)
        self.recipe: Recipe = extractor.recipe(timestep=options.timestep)
        self.joint = joint
        self.crop = (
            joint.crop if joint is not None and options.view == "auto" else use_crops(material.instances, options.view)
        )
        self.done = 0
        self.micro = options.batch
        self.checkpointing = bool(options.checkpointing)
        self._variants: dict[Key, Variant] = {}
        self._latents: dict[Key, tuple[Tensor, ...]] = {}
        self._patches: dict[Key, Tensor] = {}
        self._described: dict[Key, Tensor] = {}

    @property
    def backbone(self) -> Backbone:
        """The frozen model."""
        return self.extractor.backbone

    @property
    def blocks(self) -> tuple[int, ...]:
        """Up-blocks whose maps are joined."""
        return (self.recipe.up_block, *(block for block, _ in self.recipe.extra_blocks))

    @property
    def kernel_width(self) -> float:
        """Of the second descriptor's scores, as the app matches (0 = plain cosine)."""
        return float(self.backbone.spec.fusion.extra.get("kernel_width", 0.0))

    # ---- material --------------------------------------------------------------------------------------------

    def variant(self, key: Key) -> Variant:
        """View of a key (made once)."""
        if key not in self._variants:
            item, spec = self.instances[key[0]], self.backbone.spec
            self._variants[key] = make_variant(
                item,
                key[1],
                region=self._region(item),
                crop=self.crop,
                input_wh=spec.input_wh,
                options=self.options,
                seed=self.request.seed,
            )
        return self._variants[key]

    def _region(self, item: Labelled) -> Box:
        keep_aspect = self.backbone.spec.resize == "fit"
        if self.joint is None:
            return base_region(item, self.crop, keep_aspect)
        return base_region(item, self.crop, keep_aspect, self.joint.crop_margin)

    def length_cells(self, key: Key, cells_wh: tuple[int, int]) -> float:
        """Longer side of the instance's box in cells of the view's map (mean of both directions)."""
        transform = self.variant(key).view.transform
        scale = float(np.sqrt(abs(np.linalg.det(np.asarray(transform.matrix)[:, :2]))))
        per_input = rescale_corner_aligned([1.0, 1.0], transform.input_wh, cells_wh)
        return self.instances[key[0]].length * scale * float(per_input.mean())

    def _pixels(self, key: Key, factor: float = 1.0) -> NDArray[np.uint8]:
        variant, item = self.variant(key), self.instances[key[0]]
        view = self.extractor.scaled_view(variant.view, factor)
        return variant.recolour(render_view(view, item.image_wh, self.extractor.source))

    def load(self, keys: Sequence[Key]) -> None:
        """Encode what is not there yet: latents, patch features, second descriptor. Kept for the whole job."""
        missing = [k for k in dict.fromkeys(keys) if k not in self._latents]
        step = max(1, self.extractor.ladder.batch)
        for start in range(0, len(missing), step):
            chunk = missing[start : start + step]
            encoded = []
            for number, (factor, _) in enumerate(scale_weights(self.recipe)):
                pixels = np.stack([self._pixels(k, factor) for k in chunk])
                encoded.append(self.backbone.encode_latents(to_network(pixels)).cpu())
                if self.patch_source is not None and number == 0:
                    self._patches.update(zip(chunk, self.patch_source.patches(pixels).cpu(), strict=True))
            self._latents.update(zip(chunk, zip(*encoded, strict=True), strict=True))

    def described(self, key: Key) -> Tensor | None:
        """Second-descriptor map `[C, h, w]` of a view, None without a fusion slot."""
        card = self.backbone.spec.fusion
        if not card.descriptor or card.weight <= 0:
            return None
        if key not in self._described:
            maps = self.extractor.descriptor_maps([self.variant(key).view], card.descriptor)
            self._described[key] = maps[0].features.cpu()
        return self._described[key]

    def points(self, key: Key, cells_wh: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Keypoints of a view in cells (see `variant_points`)."""
        return variant_points(self.instances[key[0]], self.variant(key), self.schema, cells_wh)

    # ---- features --------------------------------------------------------------------------------------------

    def maps(
        self, keys: Sequence[Key], embeds: Tensor, noises: Sequence[Tensor] | None, checkpoint: bool = False
    ) -> Tensor:
        """Maps `[n, C, h, w]` float32 of views under `embeds` `[1 or n, T, D]`, up-blocks and input sizes joined as the
        extractor does; differentiable. `noises`: `[n, 4, h, w]` per input size."""
        found: list[Tensor] = []
        weights: list[float] = []
        for number, (_, weight) in enumerate(scale_weights(self.recipe)):
            noisy = torch.stack([self._latents[k][number] for k in keys]).to(self.backbone.device)
            if noises is not None:
                noisy = self.backbone.add_noise(noisy, noises[number], self.recipe.timestep)
            output = self.backbone.unet_forward(
                noisy, self.recipe.timestep, embeds, up_blocks=self.blocks, checkpoint=checkpoint
            )
            found += [output.maps[b].float() for b in self.blocks]
            weights += [weight * share for share in block_weights(self.recipe)]
        return found[0] if len(found) == 1 else join_blocks(found, weights)

    def similarity(
        self, src: Tensor, tgt: Tensor, sources: Sequence[Key], targets: Sequence[Key], xy: Tensor, fused: bool
    ) -> Tensor:
        """`[n, N, h, w]` of points `xy` `[n, N, 2]` (cells of `src`) over the target cells; `fused`: with the second
        descriptor, whose scores pass the kernel of the matching."""
        diffusion = similarity_maps(src, tgt, xy, self.options.loss)
        described = [self.described(k) for k in (*sources, *targets)] if fused else []
        kept = [d for d in described if d is not None]
        if not kept or len(kept) < len(described):
            return diffusion
        first, second = (torch.stack(part).to(src.device) for part in (kept[: len(sources)], kept[len(sources) :]))
        ratio = [(n - 1) / max(m - 1, 1) for n, m in zip(first.shape[:-3:-1], src.shape[:-3:-1], strict=True)]
        scores = similarity_maps(first, second, xy * xy.new_tensor(ratio), self.options.loss)
        if self.kernel_width > 0:
            scores = kernel_scores(scores, self.kernel_width)
        if scores.shape[-2:] != diffusion.shape[-2:]:
            scores = interpolate(scores, size=diffusion.shape[-2:], mode="bilinear", align_corners=True)
        weight = self.backbone.spec.fusion.weight
        return (1.0 - weight) * diffusion + weight * scores

    def _step_noise(self, step: int, keys: Sequence[Key]) -> list[Tensor] | None:
        if self.recipe.clean:
            return None
        names = [f"{self.instances[i].key}:{v}" for i, v in keys]
        return step_noise(self.request.seed, step, names, [self._latents[key] for key in keys])

    @torch.no_grad()
    def fit_joint(self, embeds: Tensor, cancel: CancelToken | None = None) -> None:
        """Statistics of the joint score from the plain views, under `embeds` `[1, T, D]` if the prompt is one of pairs, else
        under the learner's own start. To be called before the first step, also of a job that is continued."""
        if self.joint is not None:
            step = max(1, len(self.instances) // VIEWS_FOR_STATISTICS)
            keys = [(i, 0) for i in range(0, len(self.instances), step)][:VIEWS_FOR_STATISTICS]
            self.joint.fit(self, self._eval_maps(keys, embeds if self.learner.pair else None, cancel), keys)

    # ---- learning --------------------------------------------------------------------------------------------

    def batch_of(self, step: int) -> list[tuple[Key, Key]]:
        """Pairs of views of one step (0-based): shuffled anew in every round over the pairs."""
        count, size = len(self.pairs), self.options.batch
        chosen = []
        for position in range(step * size, (step + 1) * size):
            epoch = position // count
            order = np.random.default_rng([self.request.seed, epoch]).permutation(count)
            i, j = self.pairs[order[position % count]]
            rng = np.random.default_rng([self.request.seed, 1, position])
            v, w = rng.integers(0, self.options.variants, 2)
            chosen.append(((i, int(v)), (j, int(w))))
        return chosen

    def step(self, cancel: CancelToken | None = None) -> float:
        """One Adam step over `options.batch` pairs; nothing has changed when it raises. Returns the loss."""
        batch = self.batch_of(self.done)
        self.load([k for pair in batch for k in pair])
        self.adam.zero_grad(set_to_none=True)
        scale = _FP16_LOSS_SCALE if self.backbone.dtype == torch.float16 else 1.0
        total = 0.0
        for start in range(0, len(batch), self.micro):
            if cancel is not None:
                cancel.check()
            part = batch[start : start + self.micro]
            loss = self._pair_loss(part) * (len(part) / len(batch))
            if cancel is not None:
                cancel.check()
            (loss * scale).backward()
            total += float(loss.detach())
        for parameter in self.learner.parameters():
            if parameter.grad is not None:
                parameter.grad = torch.nan_to_num(parameter.grad / scale)
        self.adam.step()
        self._pull_to_start()
        self.done += 1
        self._follow()
        return total

    @torch.no_grad()
    def _follow(self) -> None:
        """Moving average of what is learned; young averages follow faster, so that the start is soon forgotten."""
        decay = min(self.options.average, self.done / (self.done + 9))
        if decay <= 0:
            return
        for name, parameter in self.learner.named_parameters():
            now = parameter.detach().cpu()
            kept = self.average.setdefault(name, now.clone())
            kept.lerp_(now, 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The learner holds the average inside (without averaging: what it is)."""
        now = {name: p.detach().clone() for name, p in self.learner.named_parameters()}
        try:
            self._put(self.average)
            yield
        finally:
            self._put(now)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.learner.named_parameters():
            if name in values:
                parameter.copy_(values[name].to(parameter.device))

    @torch.no_grad()
    def _pull_to_start(self) -> None:
        share = self.options.weight_decay_to_start
        if share > 0:
            for name, parameter in self.learner.named_parameters():
                parameter.lerp_(self.start[name].to(parameter.device), share)

    def _pair_loss(self, pairs: Sequence[tuple[Key, Key]]) -> Tensor:
        sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
        if self.learner.pair:
            embeds = self._condition(sources, targets)
            keys, embeds = [*sources, *targets], torch.cat([embeds, embeds])
        else:
            keys = list(dict.fromkeys([*sources, *targets]))
            embeds = self._condition(keys, None)
        maps = self.maps(keys, embeds, self._step_noise(self.done, keys), self.checkpointing)
        if self.joint is not None:
            return self.joint.loss(self, maps, keys, self._groups(keys, pairs))
        if self.options.every_pair and not self.learner.pair:
            pairs = [(k, m) for k, m in combinations(keys, 2) if self._pairable(k[0], m[0])]
            sources, targets = [s for s, _ in pairs], [t for _, t in pairs]
        if self.learner.pair:
            src, tgt = maps[: len(pairs)], maps[len(pairs) :]
        else:
            place = {k: n for n, k in enumerate(keys)}
            src, tgt = maps[[place[k] for k in sources]], maps[[place[k] for k in targets]]
        cells = (int(maps.shape[-1]), int(maps.shape[-2]))
        points = [[self.points(k, cells) for k in side] for side in (sources, targets)]
        xy = [torch.from_numpy(np.stack([p for p, _ in side])).to(maps.device) for side in points]
        seen = [torch.from_numpy(np.stack([v for _, v in side])).to(maps.device) for side in points]
        valid = seen[0] & seen[1]
        fused = self.options.fused_loss
        forth = self.similarity(src, tgt, sources, targets, xy[0], fused)
        loss = cross_entropy_of_maps(forth, xy[1], valid, self.options.loss)
        if not self.options.both_directions:
            return loss
        back = self.similarity(tgt, src, targets, sources, xy[1], fused)
        return (loss + cross_entropy_of_maps(back, xy[0], valid, self.options.loss)) / 2

    def _groups(self, keys: Sequence[Key], pairs: Sequence[tuple[Key, Key]]) -> list[tuple[list[int], int]]:
        """Targets with the views that are their exemplars, as places in `keys`; a prompt of pairs joins nothing."""
        both = self.options.both_directions
        if self.learner.pair:
            forth = [([n], len(pairs) + n) for n in range(len(pairs))]
            return forth + [([target], source) for (source,), target in forth] if both else forth
        sources: dict[Key, list[Key]] = {key: [] for key in keys}
        if self.options.every_pair:
            for key in keys:
                sources[key] = [other for other in keys if self._pairable(other[0], key[0])]
        else:
            for first, second in pairs:
                sources[second].append(first)
                if both:
                    sources[first].append(second)
        place = {key: n for n, key in enumerate(keys)}
        return [([place[s] for s in dict.fromkeys(found)], place[key]) for key, found in sources.items() if found]

    def _condition(self, keys: Sequence[Key], targets: Sequence[Key] | None) -> Tensor:
        """Prompt of the views (or of the pairs): `[1 or n, T, D]`."""
        if not self.learner.conditional:
            return self.learner.embeds(self.backbone)
        source = torch.stack([self._patches[k] for k in keys])
        target = None if targets is None else torch.stack([self._patches[k] for k in targets])
        return self.learner.embeds(self.backbone, source, target)

    # ---- held-out figure ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def evaluate(
        self,
        targets: Sequence[int],
        *,
        embeds: Tensor | None = None,
        fused: bool = True,
        views: int = 1,
        cancel: CancelToken | None = None,
    ) -> HeldOut:
        """PCK@0.1 (L = longer side of the target's box) from the plain views of training instances to `targets`.

        Args:
            embeds: `[1, T, D]` of another prompt (before); None = the learner's now.
            fused: with the second descriptor, as the app matches.
            views: of each target: the plain one, then mirrored, turned and recoloured ones.
        """
        train = list(self.split.train)
        if self.options.sources and len(train) > self.options.sources:
            train = train[: self.options.sources]
        if embeds is None and self.learner.pair:
            return self._evaluate_pairs(train, targets, fused, views, cancel)
        keys = list(dict.fromkeys([*((i, 0) for i in train), *((j, v) for j in targets for v in range(views))]))
        found = dict(zip(keys, self._eval_maps(keys, embeds, cancel), strict=True))
        results = []
        for j in targets:
            per_source = [
                self._errors(found[(i, 0)], found[(j, v)], (i, 0), (j, v), fused)
                for v in range(views)
                for i in train
                if self._pairable(i, j)
            ]
            results.append(np.concatenate(per_source) if per_source else np.zeros(0))
        return HeldOut(tuple(results))

    def _pairable(self, i: int, j: int) -> bool:
        return self.instances[i].exemplar.image.image_id != self.instances[j].exemplar.image.image_id

    def _eval_maps(self, keys: Sequence[Key], embeds: Tensor | None, cancel: CancelToken | None) -> list[Tensor]:
        self.load(keys)
        maps: list[Tensor] = []
        size = max(1, min(self.extractor.ladder.batch, 16))
        for start in range(0, len(keys), size):
            if cancel is not None:
                cancel.check()
            chunk = list(keys[start : start + size])
            condition = embeds if embeds is not None else self._condition(chunk, None)
            maps += list(self.maps(chunk, condition, self._eval_noise(chunk)))
        return maps

    def _eval_noise(self, keys: Sequence[Key]) -> list[Tensor] | None:
        """The noise that extraction uses (its first member), so that figures speak of the features of the app."""
        if self.recipe.clean:
            return None
        hashes = [self.extractor.source.sha256(self.instances[i].exemplar.image) for i, _ in keys]
        return extraction_noise(hashes, self._latents[keys[0]])

    def _evaluate_pairs(
        self, train: Sequence[int], targets: Sequence[int], fused: bool, views: int, cancel: CancelToken | None
    ) -> HeldOut:
        """A pair prompt makes other features of an image for every pair: two forwards per pair."""
        self.load([*((i, 0) for i in train), *((j, v) for j in targets for v in range(views))])
        results = []
        for j in targets:
            per_source = []
            for i, v in product([i for i in train if self._pairable(i, j)], range(views)):
                if cancel is not None:
                    cancel.check()
                keys: list[Key] = [(i, 0), (j, v)]
                maps = self.maps(keys, self._condition(keys[:1], keys[1:]), self._eval_noise(keys))
                per_source.append(self._errors(maps[0], maps[1], keys[0], keys[1], fused))
            results.append(np.concatenate(per_source) if per_source else np.zeros(0))
        return HeldOut(tuple(results))

    def _errors(self, src: Tensor, tgt: Tensor, source: Key, target: Key, fused: bool) -> NDArray[np.float64]:
        """Distances as shares of L of the keypoints that both views show; a mirrored view has left and right traded."""
        cells_src = (int(src.shape[-1]), int(src.shape[-2]))
        cells_tgt = (int(tgt.shape[-1]), int(tgt.shape[-2]))
        xy, seen = self.points(source, cells_src)
        shared = seen & self.points(target, cells_tgt)[1]
        if not shared.any():
            return np.zeros(0)
        query = torch.from_numpy(xy[shared])[None].to(src.device)
        scores = self.similarity(src[None], tgt[None], [source], [target], query, fused)[0]
        found = select(scores, self.options.eval_method)
        variant, item = self.variant(target), self.instances[target[0]]
        predicted = variant.view.transform.from_feature(found.cpu().numpy(), cells_tgt)
        order = np.asarray(self.schema.flip_index if variant.flip else range(len(self.schema)))
        truth = item.exemplar.keypoints.xy_image[order][shared]
        return np.linalg.norm(predicted - truth, axis=1) / item.length
