"""Attention capture in the same pass: hooks on the projections, no attention processor is replaced.

Queries and keys are read where `to_q` / `to_k` put them out, so PDM's features cost nothing beyond the pass itself; only
where probabilities are asked for is `softmax(q k^T)` computed a second time, and only for the asked layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said

WHAT = ("q", "k", "probs")


@dataclass(frozen=True)
class AttentionLayer:
    """One attention module of the U-Net.

    Attributes:
        name: module path, e.g. "up_blocks.3.attentions.1.transformer_blocks.0.attn1".
        kind: "self" (attn1) or "cross" (attn2).
        place: "down", "mid" or "up".
        heads: number of heads; scale: factor of q k^T.
    """

    name: str
    kind: str
    place: str
    heads: int
    scale: float


@dataclass(frozen=True)
class AttentionTap:
    """What to capture.

    Attributes:
        layers: module paths; empty = every layer of `kinds`.
        kinds: "self" and/or "cross" (ignored when `layers` are given).
        what: of "q", "k" (before the head split, `[B, tokens, inner]`) and "probs" (`[B, heads, cells, tokens]`).
        max_cells: layers with more query cells are skipped (0 = no limit).
    """

    layers: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("self",)
    what: tuple[str, ...] = ("q", "k")
    max_cells: int = 0

    def __post_init__(self) -> None:
        unknown = set(self.what) - set(WHAT)
        if unknown or not self.what:
            raise ValueError(f"AttentionTap.what must be of {WHAT}, got {self.what}")


@dataclass
class AttentionCapture:
    """What one layer gave; `grid_hw` is the feature grid of its queries. Tensors carry gradients if the pass does."""

    layer: AttentionLayer
    grid_hw: tuple[int, int] = (0, 0)
    q: Tensor | None = None
    k: Tensor | None = None
    probs: Tensor | None = None


@dataclass
class _Recorder:
    tap: AttentionTap
    wanted: tuple[AttentionLayer, ...]
    on_complete: Callable[[str], None]
    captures: dict[str, AttentionCapture] = field(default_factory=dict)
    _grids: dict[str, tuple[int, int]] = field(default_factory=dict)

    def grid_hook(self, owner: str) -> Callable[..., None]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            self._grids[owner] = (int(hidden.shape[-2]), int(hidden.shape[-1]))

        return hook

    def projection_hook(self, layer: AttentionLayer, which: str) -> Callable[..., None]:
        owner = layer.name.split(".transformer_blocks.")[0]

        def hook(_module: nn.Module, _args: tuple[Any, ...], output: Tensor) -> None:
            capture = self.captures.setdefault(layer.name, AttentionCapture(layer, self._grids.get(owner, (0, 0))))
            setattr(capture, which, output)

        return hook

    def done_hook(self, layer: AttentionLayer) -> Callable[..., None]:
        def hook(_module: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
            capture = self.captures[layer.name]
            cells = capture.q.shape[1] if capture.q is not None else 0
            if self.tap.max_cells and cells > self.tap.max_cells:
                del self.captures[layer.name]
            else:
                _finish(capture, self.tap.what)
            self.on_complete(layer.name)

        return hook


def _finish(capture: AttentionCapture, what: tuple[str, ...]) -> None:
    """Compute the probabilities if asked for and drop what was not."""
    if "probs" in what and capture.q is not None and capture.k is not None:
        layer = capture.layer
        q = capture.q.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        k = capture.k.unflatten(-1, (layer.heads, -1)).transpose(1, 2)
        capture.probs = (q @ k.transpose(-1, -2) * layer.scale).softmax(dim=-1)
    if "q" not in what:
        capture.q = None
    if "k" not in what:
        capture.k = None


def attention_layers(unet: nn.Module) -> tuple[AttentionLayer, ...]:
    """All attention layers of transformer blocks in the order of execution: down, mid, up."""
    found: list[AttentionLayer] = []
    for name, module in unet.named_modules():
        end = name.rsplit(".", 1)[-1]
        if end not in ("attn1", "attn2") or not hasattr(module, "to_q"):
            continue
        place = name.split("_", 1)[0]
        found.append(
            AttentionLayer(name, "self" if end == "attn1" else "cross", place, int(module.heads), float(module.scale))
        )
    order = {"down": 0, "mid": 1, "up": 2}
    # named_modules lists mid_block last; the sort is stable, so that the order inside each part stays.
    return tuple(sorted(found, key=lambda layer: order.get(layer.place, 3)))


def select_layers(layers: tuple[AttentionLayer, ...], tap: AttentionTap) -> tuple[AttentionLayer, ...]:
    """The layers of a tap in execution order; UserInputError for a name that the U-Net does not have."""
    if not tap.layers:
        return tuple(layer for layer in layers if layer.kind in tap.kinds)
    known = {layer.name for layer in layers}
    unknown = [name for name in tap.layers if name not in known]
    if unknown:
        raise UserInputError(
            said("This backbone has no attention layer '{0}'.", unknown[0]),
            said("Its last one is '{0}'.", layers[-1].name),
        )
    return tuple(layer for layer in layers if layer.name in tap.layers)


@contextmanager
def record_attention(
    unet: nn.Module, tap: AttentionTap, wanted: tuple[AttentionLayer, ...], on_complete: Callable[[str], None]
) -> Iterator[dict[str, AttentionCapture]]:
    """Hook the wanted layers for the duration of one forward; yields the captures, filled as the pass goes."""
    recorder = _Recorder(tap, wanted, on_complete)
    need = {"q"} | ({"k"} if {"k", "probs"} & set(tap.what) else set())
    handles: list[torch.utils.hooks.RemovableHandle] = []
    owners: set[str] = set()
    try:
        for layer in wanted:
            module = unet.get_submodule(layer.name)
            owner = layer.name.split(".transformer_blocks.")[0]
            if owner not in owners:
                owners.add(owner)
                hook = recorder.grid_hook(owner)
                handles.append(unet.get_submodule(owner).register_forward_pre_hook(hook, with_kwargs=True))
            for which in sorted(need):
                projection = module.get_submodule(f"to_{which}")
                handles.append(projection.register_forward_hook(recorder.projection_hook(layer, which)))
            handles.append(module.register_forward_hook(recorder.done_hook(layer)))
        yield recorder.captures
    finally:
        for handle in handles:
            handle.remove()
