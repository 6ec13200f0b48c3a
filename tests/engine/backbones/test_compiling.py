"""torch.compile as an option: same results, hooks and gradients still work, and no compiler is no failure.

The backend "eager" traces the blocks as every backend does and needs no C++ compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kinmark.engine.backbones.attention import AttentionTap
from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.loading import load_backbone


@pytest.fixture
def compiled(toy_pipeline_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Backbone]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    yield load_backbone(toy_pipeline_dir, "cpu", "fp32")
    torch._dynamo.reset()


def noisy() -> torch.Tensor:
    return torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def test_same_features_and_hooks_and_gradients_as_before(compiled: Backbone, toy_backbone: Backbone) -> None:
    calls: list[int] = []

    def counting(module: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Callable[..., Any]:
        calls.append(1)
        return module.forward

    compiled.compile_blocks(counting)
    assert compiled.compiled is not None and len(compiled.compiled) > 4
    tap = AttentionTap(kinds=("self",), what=("q",))
    with torch.no_grad():
        embeds = toy_backbone.encode_text(["a cat"])
        ours = compiled.unet_forward(noisy(), 50, embeds).maps[1]
        plain = toy_backbone.unet_forward(noisy(), 50, embeds).maps[1]
        captures = compiled.unet_forward(noisy(), 50, embeds, attention=tap).attention
        wanted = toy_backbone.unet_forward(noisy(), 50, embeds, attention=tap).attention
    assert calls and compiled.note == ""
    torch.testing.assert_close(ours, plain)
    # Hooks inside compiled blocks would not be called.
    assert captures.keys() == wanted.keys() and captures
    for name, capture in captures.items():
        torch.testing.assert_close(capture.q, wanted[name].q)
    learned = embeds.clone().requires_grad_()
    compiled.unet_forward(noisy(), 50, learned).maps[1].sum().backward()
    assert learned.grad is not None and bool(learned.grad.abs().sum() > 0)


def test_a_compiler_that_fails_is_given_up_with_a_note(compiled: Backbone, toy_backbone: Backbone) -> None:
    def broken(_module: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Callable[..., Any]:
        raise RuntimeError("no working C++ compiler")

    compiled.compile_blocks(broken)
    embeds = toy_backbone.encode_text([""])
    with torch.no_grad():
        ours = compiled.unet_forward(noisy(), 50, embeds).maps[1]
        plain = toy_backbone.unet_forward(noisy(), 50, embeds).maps[1]
    torch.testing.assert_close(ours, plain)
    assert compiled.compiled is None and "compiled" in compiled.note


def test_what_the_computation_raises_stays_what_it_is(compiled: Backbone, toy_backbone: Backbone) -> None:
    """Memory that runs out in a compiled block is the ladder's business, not a failed compiler."""

    def hungry(_module: torch.fx.GraphModule, _inputs: list[torch.Tensor]) -> Callable[..., Any]:
        def run(*_args: Any) -> Any:
            raise torch.OutOfMemoryError("out of memory")

        return run

    compiled.compile_blocks(hungry)
    with torch.no_grad(), pytest.raises(torch.OutOfMemoryError):
        compiled.unet_forward(noisy(), 50, toy_backbone.encode_text([""]))
    assert compiled.compiled is not None
