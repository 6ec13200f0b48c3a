"""Attention features of whole images: the projections that PDM compares, by inversion or by one seeded noising.

Thread: the engine thread. Set once (`AttentionExtractor`), ask per image; results go through the disk cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kinmark.engine.backbones.attention import AttentionLayer, AttentionTap
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import dtype_name
from kinmark.engine.backbones.prompt import Prompt
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.features.cache import CacheKey
from kinmark.engine.features.noise import image_noise
from kinmark.engine.features.views import ImageView
from kinmark.engine.instances.inversion import generate, invert, noise_schedule
from kinmark.engine.instances.settings import TURBO_STEPS, VOTES_PROMPT, ResolvedSettings
from kinmark.engine.requests import ImageInput
from kinmark.engine.session import EngineSession

FIXED_POINT_STEPS = 3
THING_WORDS = (
    "dog",
    "cat",
    "bird",
    "horse",
    "person",
    "car",
    "bicycle",
    "chair",
    "table",
    "bottle",
    "cup",
    "bag",
    "shoe",
    "toy",
    "guitar",
    "book",
)
"""Ordinary things: where their words attend together is probably a thing, and a class name competes with them."""


@dataclass(frozen=True)
class AttentionFeatures:
    """Projections of one image at one noise level, before the split into heads.

    Attributes:
        self_q, self_k: `[N, C]` float32 on the CPU; cross_q: `[N, D]`; rows are cells, row-major over `grid_hw`.
        spec: what made them.
    """

    self_q: Tensor
    self_k: Tensor
    cross_q: Tensor
    grid_hw: tuple[int, int]
    spec: RunSpec


@dataclass(frozen=True)
class ClassKeys:
    """Projected prompt tokens `[T, D]` of the cross-attention layer and the rows that hold the class name.

    `tokens` is empty when the class name is unknown to the text model: then only appearance can be compared.
    """

    keys: Tensor
    tokens: tuple[int, ...]

    @property
    def vector(self) -> Tensor:
        """The class vector c `[D]`: mean of the class tokens' keys."""
        return self.keys[list(self.tokens)].mean(dim=0)


def appearance_layers(backbone: Backbone, layer: str) -> tuple[AttentionLayer, AttentionLayer | None]:
    """The self-attention named by the card ("last" = last of the U-Net) and the cross-attention beside it.

    Raises:
        UserInputError: no such layer.
    """
    by_name = {item.name: item for item in backbone.layers}
    chosen = backbone.last_self_attention if layer == "last" else by_name.get(layer)
    if chosen is None:
        raise UserInputError(said("This backbone has no attention layer '{0}'.", layer), "Use 'last' or a module path.")
    return chosen, by_name.get(chosen.name.removesuffix("attn1") + "attn2")


def class_token_rows(tokenizer: Any, text: str, class_name: str) -> tuple[int, ...]:
    """Positions of the class name's tokens in the tokenised `text`; empty when the vocabulary does not know it.

    A name counts as unknown when it holds an unknown token, or falls into pieces of hardly more than one letter each:
    a small vocabulary spells such words out, and their letters mean nothing to the model.
    """
    if not class_name.strip():
        return ()
    pieces = tokenizer(class_name.strip(), add_special_tokens=False).input_ids
    unknown = tokenizer.unk_token_id
    letters = sum(c.isalnum() for c in class_name)
    if not pieces or unknown in pieces or letters / len(pieces) < 1.8:
        return ()
    ids = tokenizer(text, add_special_tokens=True).input_ids
    for start in range(len(ids) - len(pieces), -1, -1):
        if ids[start : start + len(pieces)] == pieces:
            return tuple(range(start, start + len(pieces)))
    return ()


class AttentionExtractor:
    """Attention features of images under one class name and one set of settings."""

    def __init__(self, session: EngineSession, backbone_id: str, settings: ResolvedSettings, class_name: str) -> None:
        self._session, self._id, self.settings, self._class_name = session, backbone_id, settings, class_name
        self.backbone = session.backbone(backbone_id)
        self.layer, self.cross = appearance_layers(self.backbone, settings.layer)
        text = VOTES_PROMPT if settings.variant == "pdm-votes" else self.backbone.spec.text_for(class_name)
        self.prompt: Prompt = session.prompt(f"text:{text}" if text else "empty", self.backbone)
        tokens = class_token_rows(self.backbone.tokenizer, text, class_name) if class_name else ()
        self.class_keys = ClassKeys(self._project_keys(self.prompt), tokens)

    @torch.no_grad()
    def _project_keys(self, prompt: Prompt) -> Tensor:
        if self.cross is None:
            return torch.zeros(1, 1)
        module = self.backbone.unet.get_submodule(self.cross.name)
        embeds = prompt.embeds.to(self.backbone.device, self.backbone.dtype)
        return module.to_k(embeds)[0].float().cpu()

    @cached_property
    def thing_keys(self) -> Tensor:
        """Class vectors `[W, D]` of those ordinary words that the text model knows (without the class name itself)."""
        rows = []
        for word in THING_WORDS if self.cross is not None else ():
            text = self.backbone.spec.text_for(word)
            tokens = class_token_rows(self.backbone.tokenizer, text, word)
            if tokens and word != self._class_name.strip().lower():
                keys = self._project_keys(self._session.prompt(f"text:{text}", self.backbone))
                rows.append(keys[list(tokens)].mean(dim=0))
        return torch.stack(rows) if rows else torch.zeros(0, 1)

    def run_spec(self, view: ImageView) -> RunSpec:
        """What the features of this view are made with now."""
        backbone, s = self.backbone, self.settings
        settings = {**s.attention_part(), "layer": self.layer.name, "dtype": dtype_name(backbone.dtype)}
        return RunSpec(
            "attention",
            backbone.spec.id,
            revision=backbone.revision,
            prompt=self.prompt.id,
            timestep=s.timestep if not s.inversion_steps else 0,
            input_wh=view.input_wh,
            seed=s.seed,
            settings=settings,
        )

    def extract(self, image: ImageInput, *, cancel: CancelToken | None = None) -> AttentionFeatures:
        """Features of one whole image; UnreadableImageError, OutOfMemoryError, OperationCancelled."""
        return self.extract_many([image], cancel=cancel)[0]

    def extract_many(
        self, images: Sequence[ImageInput], *, cancel: CancelToken | None = None
    ) -> list[AttentionFeatures]:
        """Features of whole images in their order, batched over those of equal input size."""
        views = [self._session.whole_view(image, self._id) for image in images]
        found: dict[int, AttentionFeatures] = {}
        groups: dict[tuple[int, int], list[int]] = {}
        for index, view in enumerate(views):
            cached = self._cached(view)
            if cached is None:
                groups.setdefault(view.input_wh, []).append(index)
            else:
                found[index] = cached
        extractor = self._session.extractor(self._id)
        for indices in groups.values():
            start = 0
            while start < len(indices):
                batch = max(1, extractor.ladder.batch)
                chunk = indices[start : start + batch]

                def work(size: int, chunk: list[int] = chunk) -> list[AttentionFeatures]:
                    return self._compute([views[i] for i in chunk[:size]], cancel)

                computed = extractor.ladder.run(work, cancel=cancel)
                for index, features in zip(chunk, computed, strict=False):
                    found[index] = self._store(views[index], features)
                start += len(computed)
        return [found[index] for index in range(len(views))]

    # ---- computing -------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _compute(self, views: list[ImageView], cancel: CancelToken | None) -> list[AttentionFeatures]:
        if cancel is not None:
            cancel.check()
        extractor = self._session.extractor(self._id)
        latents = extractor.latents(views)
        noisy, timestep = self._noised(views, latents, cancel)
        names = (self.layer.name,) + ((self.cross.name,) if self.cross is not None else ())
        tap = AttentionTap(layers=names, what=("q", "k"))
        output = self.backbone.unet_forward(
            noisy, timestep, self.prompt.embeds, up_blocks=(), attention=tap, pooled=self.prompt.pooled
        )
        own = output.attention[self.layer.name]
        cross = output.attention[self.cross.name] if self.cross is not None else None
        if own.q is None or own.k is None:
            raise UserInputError(said("The attention layer {0} gave no projections.", self.layer.name))
        results = []
        for row, view in enumerate(views):
            cross_q = cross.q[row] if cross is not None and cross.q is not None else own.q[row, :, :1] * 0
            parts = (own.q[row].float().cpu(), own.k[row].float().cpu(), cross_q.float().cpu())
            results.append(AttentionFeatures(*parts, own.grid_hw, self.run_spec(view)))
        return results

    def _noised(self, views: list[ImageView], latents: Tensor, cancel: CancelToken | None) -> tuple[Tensor, int]:
        """Latents at the noise level where the attention is tapped, and its timestep."""
        s, backbone = self.settings, self.backbone
        if not s.inversion_steps:
            shape = (int(latents.shape[1]), int(latents.shape[2]), int(latents.shape[3]))
            source = self._session.source
            noise = torch.stack([image_noise(source.sha256(v.image), s.seed, 0, shape) for v in views])
            return backbone.add_noise(latents, noise, s.timestep), s.timestep
        few = s.inversion_steps <= TURBO_STEPS
        steps = noise_schedule(backbone.scheduler, s.inversion_steps, spacing="trailing" if few else "leading")
        kind = str(backbone.scheduler.config.get("prediction_type", "epsilon"))

        def predict(x: Tensor, t: int) -> Tensor:
            output = backbone.unet_forward(x, t, self.prompt.embeds, up_blocks=(), full=True, pooled=self.prompt.pooled)
            return output.eps.float()  # type: ignore[union-attr]

        inverted = invert(
            predict,
            latents.float(),
            steps,
            prediction_type=kind,
            fixed_point=FIXED_POINT_STEPS if few else 1,
            cancel=cancel,
        )
        if s.variant == "pdm":
            return inverted, steps[-1].timestep
        # The released code reads the last generation step: everything but that step is generated first.
        clean = generate(predict, inverted, steps[1:], prediction_type=kind, cancel=cancel)
        return clean, steps[0].timestep

    # ---- cache -----------------------------------------------------------------------------------------------

    def _cached(self, view: ImageView) -> AttentionFeatures | None:
        cache = self._session.cache
        if cache is None:
            return None
        spec = self.run_spec(view)
        stored = cache.get(CacheKey(self._session.source.sha256(view.image), view.key(), spec.fingerprint()))
        if stored is None:
            return None
        own, cross = self._widths()
        if stored.shape[0] != 2 * own + cross:
            return None
        tokens = torch.from_numpy(np.ascontiguousarray(stored)).flatten(1).T
        q, k, c = tokens[:, :own], tokens[:, own : 2 * own], tokens[:, 2 * own :]
        grid = (int(stored.shape[1]), int(stored.shape[2]))
        return AttentionFeatures(q.contiguous(), k.contiguous(), c.contiguous(), grid, spec)

    def _widths(self) -> tuple[int, int]:
        unet = self.backbone.unet
        own = int(unet.get_submodule(self.layer.name).to_q.out_features)
        return own, int(unet.get_submodule(self.cross.name).to_q.out_features) if self.cross is not None else 1

    def _store(self, view: ImageView, features: AttentionFeatures) -> AttentionFeatures:
        cache = self._session.cache
        stacked = torch.cat([features.self_q, features.self_k, features.cross_q], dim=1)
        if cache is None or not bool(torch.isfinite(stacked).all()) or float(stacked.abs().max()) > 60000:
            return features
        key = CacheKey(self._session.source.sha256(view.image), view.key(), features.spec.fingerprint())
        cache.put(key, np.ascontiguousarray(stacked.T.reshape(-1, *features.grid_hw).numpy()))
        # The stored precision is what a later hit gives: results must not depend on who came first.
        return self._cached(view) or features
