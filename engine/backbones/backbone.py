"""One loaded diffusion backbone: text, latents and the cut U-Net, on real diffusers/transformers classes.

Thread: owned by the engine thread. Every weight is frozen; gradients flow to the prompt embeddings where the docstring
says so. Shapes: B batch, D text width, C channels, (h, w) grid of a map or latent.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kinmark.engine.backbones import text
from kinmark.engine.backbones.attention import (
    AttentionCapture,
    AttentionLayer,
    AttentionTap,
    attention_layers,
    record_attention,
    select_layers,
)
from kinmark.engine.backbones.compiling import CompiledBlocks, is_compiler_failure
from kinmark.engine.backbones.devices import memory_format
from kinmark.engine.backbones.registry import BackboneSpec
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said

log = logging.getLogger(__name__)


class _Enough(Exception):
    """Leaves the U-Net's forward once everything that was asked for has been computed."""


@dataclass
class UNetOutput:
    """`maps` up-block index -> `[B, C, h, w]`; `attention` layer name -> capture; `eps` `[B, 4, h, w]` if asked for."""

    maps: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[str, AttentionCapture] = field(default_factory=dict)
    eps: Tensor | None = None


@dataclass
class Backbone:
    """A frozen latent-diffusion model.

    Attributes:
        spec: its registry entry bound to a folder; `revision` names the weights (12 hex digits or a commit).
        unet, vae, text_encoder, tokenizer, scheduler: real library classes; the `_2` ones only for SDXL.
        compiled: the compiled blocks after `compile_blocks`; `note` says when that did not work.
    """

    spec: BackboneSpec
    revision: str
    device: torch.device
    dtype: torch.dtype
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    text_encoder_2: Any = None
    tokenizer_2: Any = None
    compiled: CompiledBlocks | None = None
    note: str = ""
    _texts: dict[str, tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for module in self.modules():
            module.requires_grad_(False)
            module.eval()
        self._layers = attention_layers(self.unet)
        self._precise_text: nn.Module | None = None

    def modules(self) -> list[nn.Module]:
        """The networks, in loading order."""
        candidates = (self.unet, self.vae, self.text_encoder, self.text_encoder_2)
        return [module for module in candidates if module is not None]

    @property
    def latent_factor(self) -> int:
        """Pixels per latent cell along each axis."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def text_dim(self) -> int:
        """Width D of the prompt embedding that the U-Net expects."""
        return int(self.unet.config.cross_attention_dim)

    @property
    def prompt_tokens(self) -> int:
        """Length of a prompt in tokens (77)."""
        return int(self.tokenizer.model_max_length)

    @property
    def layers(self) -> tuple[AttentionLayer, ...]:
        """All attention layers in execution order (down, mid, up)."""
        return self._layers

    @property
    def last_self_attention(self) -> AttentionLayer:
        """The last layer of the U-Net that has self-attention (PDM's appearance features)."""
        return [layer for layer in self._layers if layer.kind == "self"][-1]

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Backbone:
        """Move every network (in place); cached text embeddings are dropped."""
        self.device, self.dtype = device, dtype or self.dtype
        for module in self.modules():
            # The plain method: diffusers' own one warns at every change of precision, whether it matters or not.
            nn.Module.to(module, device=device, dtype=self._vae_dtype() if module is self.vae else self.dtype)
        nn.Module.to(self.unet, memory_format=memory_format(self.device, self.dtype))
        self._texts.clear()
        return self

    def compile_blocks(self, backend: str | Callable[..., Any] = "inductor") -> None:
        """Compile the U-Net's blocks at their first use (minutes for large models); see `kinmark.engine.backbones.compiling`."""
        self.compiled = CompiledBlocks(self.unet, backend)

    def _vae_dtype(self) -> torch.dtype:
        # SDXL's VAE overflows in fp16; its config says so.
        if self.dtype == torch.float16 and getattr(self.vae.config, "force_upcast", False):
            return torch.float32
        return self.dtype

    # ---- text -------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """Hidden states `[B, 77, D]` of plain texts, in the backbone's dtype; cached per text."""
        for content in texts:
            if content not in self._texts:
                self._texts[content] = self._encode_one(content)
        return torch.cat([self._texts[content][0] for content in texts])

    def _encode_one(self, content: str) -> tuple[Tensor, Tensor | None]:
        ids = text.token_ids(self.tokenizer, [content]).to(self.device)
        if self.text_encoder_2 is None:
            return text.encode_ids(self.text_encoder, ids), None
        second = text.token_ids(self.tokenizer_2, [content]).to(self.device)
        hidden_1, _ = text.encode_ids_penultimate(self.text_encoder, ids)
        hidden_2, pooled = text.encode_ids_penultimate(self.text_encoder_2, second)
        return torch.cat([hidden_1, hidden_2], dim=-1), pooled

    def pooled_text(self, content: str = "") -> Tensor | None:
        """SDXL's pooled text embedding `[1, P]`; None for models without one."""
        self.encode_text([content])
        return self._texts[content][1]

    def token_embedding(self, ids: Tensor) -> Tensor:
        """Token + position embeddings `[B, T, D]` of ids `[B, T]` (positions 0..T-1) of the (first) text model."""
        return text.embed_ids(self.text_encoder, ids.to(self.device))

    def encode_tokens(self, token_embeddings: Tensor, *, precise: bool = False) -> Tensor:
        """Assembled sequences `[B, 77, D]` through the causal transformer and final norm -> `[B, 77, D]`; differentiable.

        `precise`: in float32 whatever the backbone's precision (a second copy of the text encoder is kept then).

        Raises:
            UserInputError: the model has two text encoders (learned tokens are defined for one).
        """
        if self.text_encoder_2 is not None:
            raise UserInputError(
                said("Token prompts cannot be used with {0}.", self.spec.title),
                "Use a prompt of the kind 'hidden states'.",
            )
        if precise and self.dtype != torch.float32:
            encoder = self._precise_text_encoder()
            return text.encode_embeddings(encoder, token_embeddings.to(self.device, torch.float32))
        return text.encode_embeddings(self.text_encoder, token_embeddings.to(self.device, self.dtype))

    def _precise_text_encoder(self) -> nn.Module:
        kept = self._precise_text
        if kept is None or next(kept.parameters()).device != self.device:
            self._precise_text = kept = copy.deepcopy(self.text_encoder).to(self.device, torch.float32)
        return kept

    # ---- latents ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode_latents(self, images: Tensor) -> Tensor:
        """Images `[B, 3, H, W]` in [-1, 1] -> scaled posterior mode `[B, 4, h, w]` in the backbone's dtype.

        The input is made NCHW-contiguous: PyTorch's CPU GroupNorm loses accuracy on channels-last strides.
        """
        config = self.vae.config
        dtype = self._vae_dtype()
        layout = torch.contiguous_format
        z = self.vae.encode(images.to(self.device, dtype).contiguous(memory_format=layout)).latent_dist.mode()
        mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
        if mean is not None and std is not None:
            shape = (1, -1, 1, 1)
            z = (z - torch.tensor(mean, device=z.device, dtype=z.dtype).view(shape)) / torch.tensor(
                std, device=z.device, dtype=z.dtype
            ).view(shape)
        return (z * config.scaling_factor).to(self.dtype)

    def add_noise(self, latents: Tensor, noise: Tensor, t: int) -> Tensor:
        """`sqrt(a_t) z + sqrt(1 - a_t) eps` with the scheduler's alphas, computed in float32."""
        alpha = self.scheduler.alphas_cumprod[int(t)].to(latents.device, torch.float32)
        mixed = alpha.sqrt() * latents.float() + (1 - alpha).sqrt() * noise.to(latents.device, torch.float32)
        return mixed.to(latents.dtype)

    # ---- U-Net ------------------------------------------------------------------------------------------------

    def unet_forward(
        self,
        noisy: Tensor,
        t: int,
        prompt_embeds: Tensor,
        *,
        up_blocks: tuple[int, ...] = (1,),
        attention: AttentionTap | None = None,
        checkpoint: bool = False,
        full: bool = False,
        pooled: Tensor | None = None,
    ) -> UNetOutput:
        """Run the U-Net only as far as needed (methods/features.md). Differentiable in `noisy` and `prompt_embeds`.

        Args:
            noisy: `[B, 4, h, w]`.
            t: timestep.
            prompt_embeds: `[1 or B, T, D]`.
            up_blocks: indices whose outputs are wanted (0 is the coarsest).
            attention: what to capture in the same pass.
            checkpoint: gradient checkpointing (less memory, one more forward); ignored with `attention`, whose
                captured tensors would be missing from the recomputation.
            full: run to the end and return `eps` (inversion).
            pooled: SDXL's pooled text; the empty text's when None.

        Raises:
            UserInputError: the backbone has no such up-block or attention layer.
        """
        count = len(self.unet.up_blocks)
        bad = [k for k in up_blocks if not 0 <= k < count]
        if bad:
            raise UserInputError(said("{0} has up-blocks 0 to {1}, not {2}.", self.spec.title, count - 1, bad[0]))
        noisy = noisy.to(self.device, self.dtype).contiguous(memory_format=memory_format(self.device, self.dtype))
        embeds = prompt_embeds.to(self.device, self.dtype).expand(noisy.shape[0], -1, -1)
        kwargs = self._conditions(noisy, pooled)

        def run() -> UNetOutput:
            with self._checkpointing(checkpoint and attention is None):
                return self._cut_forward(noisy, t, embeds, kwargs, up_blocks, attention, full)

        if self.compiled is None:
            return run()
        if attention is not None or torch.is_grad_enabled():
            with self.compiled.paused():
                return run()
        try:
            return run()
        except Exception as error:
            if not is_compiler_failure(error):
                raise
            self._give_up_compiling(error)
            return run()

    def _give_up_compiling(self, error: Exception) -> None:
        assert self.compiled is not None
        self.compiled.take_off()
        self.compiled = None
        self.note = said("The model could not be compiled here: going on without.")
        log.warning("%s: %s %s", self.spec.id, self.note, repr(error)[:500])

    def _cut_forward(
        self,
        noisy: Tensor,
        t: int,
        embeds: Tensor,
        kwargs: dict[str, Any],
        up_blocks: tuple[int, ...],
        attention: AttentionTap | None,
        full: bool,
    ) -> UNetOutput:
        """One forward that ends when all wanted maps and layers have been computed (`full`: at the end)."""
        output = UNetOutput()
        wanted = select_layers(self._layers, attention) if attention is not None else ()
        pending: set[object] = set(up_blocks) | {layer.name for layer in wanted}

        def reached(what: object) -> None:
            pending.discard(what)
            if not pending and not full:
                raise _Enough

        with self._maps_into(output, up_blocks, reached):
            tap = attention or AttentionTap()
            with record_attention(self.unet, tap, wanted, reached) as captures:
                output.attention = captures
                try:
                    sample = self.unet(noisy, torch.tensor(t, device=self.device), embeds, **kwargs).sample
                    output.eps = sample if full else None
                except _Enough:
                    pass
        return output

    def _conditions(self, noisy: Tensor, pooled: Tensor | None) -> dict[str, Any]:
        if getattr(self.unet.config, "addition_embed_type", None) != "text_time":
            return {}
        pooled = pooled if pooled is not None else self.pooled_text()
        if pooled is None:
            raise UserInputError(said("{0} needs a second text encoder for its pooled prompt.", self.spec.title))
        height, width = (side * self.latent_factor for side in noisy.shape[-2:])
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=self.device, dtype=self.dtype)
        batch = noisy.shape[0]
        return {
            "added_cond_kwargs": {
                "text_embeds": pooled.to(self.device, self.dtype).expand(batch, -1),
                "time_ids": sizes.expand(batch, -1),
            }
        }

    @contextmanager
    def _maps_into(self, output: UNetOutput, up_blocks: tuple[int, ...], reached: Any) -> Iterator[None]:
        def hook_for(index: int) -> Any:
            def hook(_module: nn.Module, _args: Any, result: Tensor) -> None:
                output.maps[index] = result
                reached(index)

            return hook

        handles = [self.unet.up_blocks[k].register_forward_hook(hook_for(k)) for k in set(up_blocks)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _checkpointing(self, wanted: bool) -> Iterator[None]:
        if not wanted:
            yield
            return
        self.unet.enable_gradient_checkpointing()
        # diffusers checkpoints only modules in training mode; there is no dropout or batch norm that would change.
        self.unet.train()
        try:
            yield
        finally:
            self.unet.eval()
            self.unet.disable_gradient_checkpointing()
