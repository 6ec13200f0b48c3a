"""Attention taps: same pass, right layers, probabilities that are what the layer used, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from kinmark.engine.backbones.attention import AttentionTap
from kinmark.engine.domain.errors import UserInputError

if TYPE_CHECKING:
    from kinmark.engine.backbones.backbone import Backbone


@pytest.fixture
def noisy() -> torch.Tensor:
    return torch.randn((2, 4, 16, 12), generator=torch.Generator().manual_seed(3))


def test_layers_run_in_the_listed_order(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    tap = AttentionTap(kinds=("self", "cross"))
    output = toy_backbone.unet_forward(noisy, 100, toy_backbone.encode_text([""]), up_blocks=(), attention=tap)
    assert list(output.attention) == [layer.name for layer in toy_backbone.layers]
    assert [layer.place for layer in toy_backbone.layers] == sorted(
        (layer.place for layer in toy_backbone.layers), key=["down", "mid", "up"].index
    )


def test_probabilities_reproduce_the_layer(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    """softmax(q k^T) v through the layer's own output projection must give the layer's own output."""
    layer = toy_backbone.last_self_attention
    module = toy_backbone.unet.get_submodule(layer.name)
    seen: dict[str, torch.Tensor] = {}
    handles = [
        module.to_v.register_forward_hook(lambda _m, _a, out: seen.__setitem__("v", out)),
        module.register_forward_hook(lambda _m, _a, out: seen.__setitem__("out", out)),
    ]
    tap = AttentionTap(layers=(layer.name,), what=("q", "probs"))
    embeds = toy_backbone.encode_text(["a cat"])
    capture = toy_backbone.unet_forward(noisy, 100, embeds, up_blocks=(), attention=tap, full=True)
    for handle in handles:
        handle.remove()
    capture = capture.attention[layer.name]
    assert capture.probs is not None and capture.q is not None and capture.k is None
    assert capture.grid_hw[0] * capture.grid_hw[1] == capture.q.shape[1]
    v = seen["v"].unflatten(-1, (layer.heads, -1)).transpose(1, 2)
    rebuilt = module.to_out[0]((capture.probs @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(rebuilt, seen["out"], atol=1e-5, rtol=1e-4)


def test_max_cells_leaves_large_layers_out(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    tap = AttentionTap(kinds=("self",), max_cells=16)
    output = toy_backbone.unet_forward(noisy, 100, toy_backbone.encode_text([""]), up_blocks=(), attention=tap)
    grids = [c.grid_hw[0] * c.grid_hw[1] for c in output.attention.values()]
    assert grids and max(grids) <= 16
    assert len(grids) < sum(layer.kind == "self" for layer in toy_backbone.layers)


def test_gradients_flow_to_the_prompt(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    embeds = toy_backbone.encode_text(["a cat"]).clone().requires_grad_()
    tap = AttentionTap(kinds=("cross",), what=("probs",))
    output = toy_backbone.unet_forward(noisy, 100, embeds, up_blocks=(), attention=tap)
    sum(c.probs[..., 1].sum() for c in output.attention.values() if c.probs is not None).backward()
    assert embeds.grad is not None and embeds.grad.abs().sum() > 0


def test_checkpointing_gives_the_same_gradient(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    grads = []
    for checkpoint in (False, True):
        embeds = toy_backbone.encode_text(["a cat"]).clone().requires_grad_()
        toy_backbone.unet_forward(noisy, 100, embeds, checkpoint=checkpoint).maps[1].square().mean().backward()
        grads.append(embeds.grad)
    torch.testing.assert_close(grads[0], grads[1], atol=1e-7, rtol=1e-4)
    assert not toy_backbone.unet.training


def test_wrong_names_are_the_users_error(toy_backbone: Backbone, noisy: torch.Tensor) -> None:
    embeds = toy_backbone.encode_text([""])
    with pytest.raises(UserInputError, match="no attention layer"):
        toy_backbone.unet_forward(noisy, 100, embeds, attention=AttentionTap(layers=("nowhere",)))
    with pytest.raises(UserInputError, match="up-blocks 0 to 2"):
        toy_backbone.unet_forward(noisy, 100, embeds, up_blocks=(7,))
    assert not any(m._forward_hooks for m in toy_backbone.unet.modules())
