"""Diffusion features of views (methods/features.md): VAE once, seeded noises, cut U-Net, fusion slot, disk cache.

Thread: the engine thread.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import dtype_name
from kinmark.engine.backbones.memory import MemoryLadder
from kinmark.engine.backbones.prompt import ConditionalPrompt, Prompt
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.features.cache import CacheKey, FeatureCache
from kinmark.engine.features.descriptors import DescriptorPart, get_descriptor, parse_parts
from kinmark.engine.features.fusion import DenseDescriptor, join_blocks
from kinmark.engine.features.joining import fused_map, joined_map
from kinmark.engine.features.maps import FeatureMap
from kinmark.engine.features.noise import image_noise
from kinmark.engine.features.recipe import Recipe, block_weights, scale_weights
from kinmark.engine.features.sizes import descriptor_sizes, scaled_size, stride_of
from kinmark.engine.features.views import ImageSource, ImageView, render_view, to_network, with_input

log = logging.getLogger(__name__)
OF_THE_SPEC = "spec"
"""Value of `descriptor` that means: what the backbone's card says."""


class FeatureExtractor:
    """Features of views of images, computed or from the cache.

    Args:
        backbone: loaded model.
        cache: None = always compute (and keep full float32 precision).
        source: decodes images; shared so that crops of one image decode it once.
        ladder: batch size and what happens when memory runs out.
    """

    def __init__(
        self,
        backbone: Backbone,
        cache: FeatureCache | None = None,
        source: ImageSource | None = None,
        ladder: MemoryLadder | None = None,
    ) -> None:
        self.backbone, self.cache = backbone, cache
        self.source = source or ImageSource()
        self.ladder = ladder or MemoryLadder(backbone)
        self.computed = 0
        self._descriptors: dict[tuple[str, str, torch.dtype], DenseDescriptor] = {}

    # ---- public ----------------------------------------------------------------------------------------------

    def extract(
        self,
        views: Sequence[ImageView],
        *,
        prompt: Prompt,
        recipe: Recipe | None = None,
        descriptor: str | None = OF_THE_SPEC,
        fusion_weight: float | None = None,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> list[FeatureMap]:
        """Fused (or plain) feature maps of the views, in their order.

        Args:
            views: regions of images; sizes may differ.
            prompt: of `EngineSession.prompt`.
            recipe: of `recipe()`; None = the backbone's card.
            descriptor: "spec", a registered name, or None / "" for diffusion features alone.
            fusion_weight: of the descriptor; None = the card's. 0 leaves it out, 1 leaves the diffusion map out.
            cancel: checked before every forward; progress: gets notes, not steps.

        Raises:
            UnreadableImageError, ModelCorruptError (features that are no numbers), OutOfMemoryError, OperationCancelled.
        """
        name, weight = self._fusion(descriptor, fusion_weight)
        diffusion: list[FeatureMap] = []
        if weight < 1.0 or not name:
            chosen = recipe or self.recipe()
            diffusion = self.diffusion_maps(views, prompt, chosen, cancel=cancel, progress=progress)
        if not name or weight == 0.0:
            return diffusion
        described = self.descriptor_maps(views, name, cancel=cancel, progress=progress)
        pairs = zip(diffusion, described, strict=True) if diffusion else ()
        return [fused_map(d, s, weight) for d, s in pairs] or described

    def recipe(
        self, *, timestep: int | None = None, up_block: int | None = None, ensemble: int | None = None, seed: int = 0
    ) -> Recipe:
        """Resolve None against the card; UserInputError for impossible values."""
        spec = self.backbone.spec
        blocks = tuple((b.block, b.weight) for b in spec.extra_blocks) if up_block is None else ()
        scales = tuple((s.factor, s.weight) for s in spec.extra_scales) if up_block is None else ()
        steps = len(self.backbone.scheduler.alphas_cumprod)
        recipe = Recipe(
            timestep=spec.timestep if timestep is None else int(timestep),
            up_block=spec.up_block if up_block is None else int(up_block),
            ensemble=spec.ensemble if ensemble is None else int(ensemble),
            seed=seed,
            extra_blocks=blocks,
            clean=spec.clean and timestep is None,
            extra_scales=scales,
        )
        if not 0 <= recipe.timestep < steps:
            raise UserInputError(said("The timestep must lie between 0 and {0}, got {1}.", steps - 1, recipe.timestep))
        if recipe.ensemble < 1:
            raise UserInputError(said("The ensemble must be at least 1, got {0}.", recipe.ensemble))
        return replace(recipe, ensemble=1) if recipe.clean else recipe

    # ---- the two parts ---------------------------------------------------------------------------------------

    def diffusion_maps(
        self,
        views: Sequence[ImageView],
        prompt: Prompt,
        recipe: Recipe,
        *,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> list[FeatureMap]:
        """Diffusion part of every view, from the cache or computed in batches of equal input size."""
        results: dict[int, FeatureMap] = {}
        missing: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, view in enumerate(views):
            found = self._cached(view, self.run_spec(view, prompt, recipe))
            if found is None:
                missing[view.input_wh].append(index)
            else:
                results[index] = found
        for indices in missing.values():
            self._compute_all(views, indices, prompt, recipe, results, cancel, progress)
        return [results[index] for index in range(len(views))]

    def descriptor_maps(
        self,
        views: Sequence[ImageView],
        name: str,
        *,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> list[FeatureMap]:
        """Second-descriptor part of every view; several parts (`fusion.parse_parts`) are joined on one grid."""
        parts = self.available_parts(name)
        sizes = [descriptor_sizes(self.backbone, view) for view in views]
        joined: list[list[FeatureMap]] = []
        for part in parts:
            seen = [(round(w * part.scale), round(h * part.scale)) for (w, h), _ in sizes]
            joined.append(self.dense_maps(views, part.name, seen, [cells for _, cells in sizes], cancel=cancel))
        if len(parts) == 1:
            return joined[0]
        return [joined_map(parts, maps) for maps in zip(*joined, strict=True)]

    def available_parts(self, name: str) -> tuple[DescriptorPart, ...]:
        """The parts of a descriptor whose weights are installed; what is missing is said once and left out.

        Raises:
            ModelMissingError: nothing is left.
        """
        parts = parse_parts(name)
        if len(parts) == 1:
            return parts
        kept: list[DescriptorPart] = []
        missing: ModelMissingError | None = None
        for part in parts:
            try:
                self.descriptor(part.name)
            except ModelMissingError as error:
                missing = error
                self._say_missing(part.name, error)
                continue
            kept.append(part)
        if missing is not None and not kept:
            raise missing
        return tuple(kept)

    def descriptor_version(self, name: str) -> str:
        """What names the numbers of a descriptor: versions of the parts that are available, with their shares."""
        parts = self.available_parts(name)
        return "+".join(f"{self.descriptor(p.name).version}@{p.scale:g}*{p.weight:g}" for p in parts)

    def descriptor(self, name: str) -> DenseDescriptor:
        """A dense descriptor on the backbone's device, opened once and dropped with this extractor."""
        where = (name, str(self.backbone.device), self.backbone.dtype)  # the memory ladder may have moved it
        if where not in self._descriptors:
            self._descriptors = {key: kept for key, kept in self._descriptors.items() if key[0] != name}
            self._descriptors[where] = get_descriptor(name, self.backbone.device, self.backbone.dtype)
        return self._descriptors[where]

    def dense_maps(
        self,
        views: Sequence[ImageView],
        name: str,
        seen_wh: Sequence[tuple[int, int]],
        cells_wh: Sequence[tuple[int, int]],
        *,
        keep: bool = True,
        cancel: CancelToken | None = None,
    ) -> list[FeatureMap]:
        """One dense descriptor of every view, seen at its own size on its own grid; from the cache or in batches.

        `keep` False passes the cache by: for views that hardly anybody will ask for again.
        """
        method = self.descriptor(name)
        results: dict[int, FeatureMap] = {}
        missing: dict[tuple[tuple[int, int], tuple[int, int]], list[int]] = defaultdict(list)
        work: list[tuple[ImageView, RunSpec]] = []
        for index, view in enumerate(views):
            settings = {"cells_wh": list(cells_wh[index])}
            spec = RunSpec("descriptor", name, method.version, prompt="", input_wh=seen_wh[index], settings=settings)
            scaled = with_input(view, seen_wh[index])
            work.append((scaled, spec))
            found = self._cached(scaled, spec, view) if keep else None
            if found is None:
                missing[(seen_wh[index], cells_wh[index])].append(index)
            else:
                results[index] = found
        for (_, cells), indices in missing.items():
            start = 0
            while start < len(indices):
                if cancel is not None:
                    cancel.check()
                chunk = indices[start : start + min(method.batch, self.ladder.batch)]
                try:
                    maps = method.compute(self.pixels([work[i][0] for i in chunk]), cells).float().cpu().numpy()
                except (RuntimeError, MemoryError) as error:
                    self.ladder.step_down(error)
                    continue
                for own, index in zip(maps, chunk, strict=True):
                    store = self._store if keep else self._plain
                    results[index] = store(*work[index], own, views[index])
                start += len(chunk)
        return [results[index] for index in range(len(views))]

    def _say_missing(self, name: str, error: ModelMissingError) -> None:
        text = said("{0} Proposals are less good without it. {1}", error.user_message, error.hint)
        if text not in self.ladder.events:
            self.ladder.report(text)
            log.warning("%s left out: %s", name, error)

    def run_spec(self, view: ImageView, prompt: Prompt, recipe: Recipe) -> RunSpec:
        """What the diffusion part of this view is made with now (device ladder included)."""
        backbone = self.backbone
        settings: dict[str, Any] = {"dtype": dtype_name(backbone.dtype)}
        if recipe.extra_blocks:
            settings["extra_blocks"] = [list(block) for block in recipe.extra_blocks]
        if recipe.extra_scales:
            settings["extra_scales"] = [list(scale) for scale in recipe.extra_scales]
        if recipe.clean:
            settings["clean"] = True
        return RunSpec(
            method="features",
            backbone=backbone.spec.id,
            revision=backbone.revision,
            prompt=prompt.id,
            timestep=recipe.timestep,
            up_block=recipe.up_block,
            ensemble=self.ladder.ensemble(recipe.ensemble),
            input_wh=view.input_wh,
            seed=recipe.seed,
            settings=settings,
        )

    # ---- computing -------------------------------------------------------------------------------------------

    def _compute_all(
        self,
        views: Sequence[ImageView],
        indices: list[int],
        prompt: Prompt,
        recipe: Recipe,
        results: dict[int, FeatureMap],
        cancel: CancelToken | None,
        progress: Progress | None,
    ) -> None:
        start = 0
        while start < len(indices):
            if cancel is not None:
                cancel.check()
            count = max(1, self.ladder.batch // self.ladder.ensemble(recipe.ensemble))
            chunk = [views[i] for i in indices[start : start + count]]
            try:
                maps = self._finite_maps(chunk, prompt, recipe, cancel, progress)
            except (RuntimeError, MemoryError) as error:
                self.ladder.step_down(error, ensemble=recipe.ensemble, progress=progress)
                continue
            for offset, view in enumerate(chunk):
                spec = self.run_spec(view, prompt, recipe)
                results[indices[start + offset]] = self._store(view, spec, maps[offset].cpu().numpy())
            self.computed += len(chunk)
            start += len(chunk)

    def _finite_maps(
        self,
        chunk: list[ImageView],
        prompt: Prompt,
        recipe: Recipe,
        cancel: CancelToken | None,
        progress: Progress | None,
    ) -> Tensor:
        """`[B, C, h, w]` float32; half precision that overflows is repeated in float32 before anything is refused."""
        maps = self.compute(chunk, prompt, recipe, cancel=cancel)
        if bool(torch.isfinite(maps).all()):
            return maps
        backbone = self.backbone
        if backbone.dtype != torch.float32:
            if progress is not None:
                progress.note(said("{0} overflowed: going on in fp32.", dtype_name(backbone.dtype)))
            self.ladder.events.append(said("{0} overflowed: going on in fp32.", dtype_name(backbone.dtype)))
            backbone.to(backbone.device, torch.float32)
            maps = self.compute(chunk, prompt, recipe, cancel=cancel)
            if bool(torch.isfinite(maps).all()):
                return maps
        raise ModelCorruptError(
            said("{0} gave features that are not numbers for {1}.", backbone.spec.title, chunk[0].image.path),
            said("Its weights or the prompt '{0}' are damaged: verify the model, or use another prompt.", prompt.id),
        )

    @torch.no_grad()
    def compute(
        self, views: Sequence[ImageView], prompt: Prompt, recipe: Recipe, *, cancel: CancelToken | None = None
    ) -> Tensor:
        """`[B, C, h, w]` float32 of views of one input size, without cache and ladder: mean over the ensemble, blocks
        and scales joined."""
        maps: list[Tensor] = []
        weights: list[float] = []
        for factor, weight in scale_weights(recipe):
            scaled = [self.scaled_view(view, factor) for view in views]
            maps += self._means(scaled, prompt, recipe, cancel)
            weights += [weight * share for share in block_weights(recipe)]
        return maps[0] if len(maps) == 1 else join_blocks(maps, weights)

    def _means(
        self, views: Sequence[ImageView], prompt: Prompt, recipe: Recipe, cancel: CancelToken | None
    ) -> list[Tensor]:
        """One map `[B, C, h, w]` per up-block of the recipe, averaged over the ensemble."""
        pixels = self.pixels(views)
        latents = self.backbone.encode_latents(to_network(pixels))
        embeds = self._embeds(prompt, pixels)
        hashes = [self.source.sha256(view.image) for view in views]
        members = self.ladder.ensemble(recipe.ensemble)
        blocks = (recipe.up_block, *(block for block, _ in recipe.extra_blocks))
        step = max(1, self.ladder.batch // len(views))
        total: list[Tensor] = []
        for first in range(0, members, step):
            if cancel is not None:
                cancel.check()
            group = range(first, min(first + step, members))
            noisy = self._noisy(latents, hashes, recipe, group)
            conditions = embeds if len(embeds) == 1 else embeds.repeat(len(group), 1, 1)
            output = self.backbone.unet_forward(
                noisy, recipe.timestep, conditions, up_blocks=blocks, pooled=prompt.pooled
            )
            sums = [output.maps[b].float().unflatten(0, (len(group), len(views))).sum(dim=0) for b in blocks]
            total = sums if not total else [a + b for a, b in zip(total, sums, strict=True)]
        return [t / members for t in total]

    def scaled_view(self, view: ImageView, factor: float) -> ImageView:
        """The same region at the input size of a scale of the recipe."""
        return with_input(view, scaled_size(self.backbone, view.input_wh, factor))

    def latents(self, views: Sequence[ImageView]) -> Tensor:
        """Scaled posterior means `[B, 4, h, w]` of views of one input size."""
        return self.backbone.encode_latents(to_network(self.pixels(views)))

    def pixels(self, views: Sequence[ImageView]) -> NDArray[np.uint8]:
        """Rendered views of one input size, uint8 RGB `[B, H, W, 3]`."""
        return np.stack([render_view(view, self.source.size_wh(view.image), self.source) for view in views])

    def _embeds(self, prompt: Prompt, pixels: NDArray[np.uint8]) -> Tensor:
        """`[1, T, D]`, or `[B, T, D]` of a prompt that depends on the image; a pair's prompt has to be made first."""
        if not isinstance(prompt, ConditionalPrompt):
            return prompt.embeds
        if prompt.pair:
            raise UserInputError(
                said("The prompt '{0}' is made for pairs of images, not for single ones.", prompt.id),
                "Use it for matching, or choose another prompt.",
            )
        return torch.cat([prompt.for_images(picture).embeds for picture in pixels])

    def _noisy(self, latents: Tensor, hashes: list[str], recipe: Recipe, members: range) -> Tensor:
        """`[members * B, 4, h, w]`, member-major."""
        if recipe.clean:
            return latents.repeat(len(members), 1, 1, 1)
        shape = (int(latents.shape[1]), int(latents.shape[2]), int(latents.shape[3]))
        noise = torch.stack([image_noise(sha, recipe.seed, m, shape) for m in members for sha in hashes])
        return self.backbone.add_noise(latents.repeat(len(members), 1, 1, 1), noise, recipe.timestep)

    # ---- helpers ---------------------------------------------------------------------------------------------

    def _fusion(self, descriptor: str | None, weight: float | None) -> tuple[str, float]:
        card = self.backbone.spec.fusion
        name = card.descriptor if descriptor == OF_THE_SPEC else (descriptor or "")
        return (name, card.weight if weight is None else float(weight)) if name else ("", 0.0)

    @property
    def stride(self) -> int:
        """Input pixels per cell of the diffusion map (of the finest joined block)."""
        return stride_of(self.backbone)

    def _key(self, view: ImageView, spec: RunSpec) -> CacheKey:
        return CacheKey(self.source.sha256(view.image), view.key(), spec.fingerprint())

    def _cached(self, view: ImageView, spec: RunSpec, owner: ImageView | None = None) -> FeatureMap | None:
        features = self.cache.get(self._key(view, spec)) if self.cache is not None else None
        return None if features is None else self._map(owner or view, spec, features)

    def _store(
        self, view: ImageView, spec: RunSpec, features: NDArray[np.float32], owner: ImageView | None = None
    ) -> FeatureMap:
        if self.cache is not None:
            features = self.cache.put(self._key(view, spec), features)
        return self._map(owner or view, spec, features)

    def _plain(
        self, view: ImageView, spec: RunSpec, features: NDArray[np.float32], owner: ImageView | None = None
    ) -> FeatureMap:
        return self._map(owner or view, spec, features)

    def _map(self, view: ImageView, spec: RunSpec, features: NDArray[np.float32]) -> FeatureMap:
        tensor = torch.from_numpy(np.ascontiguousarray(features)).to(self.backbone.device)
        return FeatureMap(tensor, view.transform, self.source.size_wh(view.image), spec)
