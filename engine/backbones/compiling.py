"""torch.compile of a U-Net's blocks as an option: off by default, and given up with a note when it does not work here.

Compiled are the transformer and residual blocks, never the U-Net as a whole: the cut leaves its forward by an exception in a
hook, and hooks on compiled modules are not seen. What hooks the inside of a block (attention) or needs gradients
therefore runs uncompiled, with the same weights and the same results.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from kinmark.engine.paths import cache_dir

log = logging.getLogger(__name__)

BLOCKS = ("BasicTransformerBlock", "ResnetBlock2D")
VARIANTS = 128
"""How often one piece of code is compiled before torch goes on uncompiled: all blocks of a kind share theirs, and photos
come in several proportions."""


class CompiledBlocks:
    """The compiled blocks of one U-Net. Thread: the engine thread.

    Args:
        unet: its weights may be moved and cast afterwards.
        backend: of torch.compile, by name or as a function.
    """

    def __init__(self, unet: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
        _set_up()
        self._modules = [module for module in unet.modules() if type(module).__name__ in BLOCKS]
        for module in self._modules:
            module.compile(backend=backend)
        self._calls = [module._compiled_call_impl for module in self._modules]

    def __len__(self) -> int:
        return len(self._modules)

    def take_off(self) -> None:
        """Run the blocks as they are from now on."""
        for module in self._modules:
            module._compiled_call_impl = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The blocks as they are for the duration (hooks inside them are seen, gradients flow as usual)."""
        self.take_off()
        try:
            yield
        finally:
            for module, call in zip(self._modules, self._calls, strict=True):
                module._compiled_call_impl = call


def _set_up() -> None:
    # Compiled code is loaded from there again: a folder of the user's own, not a shared temporary one.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_dir() / "compiled"))
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor

    # No pool of compiler processes beside the program.
    inductor.compile_threads = 1
    dynamo.config.recompile_limit = max(dynamo.config.recompile_limit, VARIANTS)


def is_compiler_failure(error: BaseException) -> bool:
    """Whether torch.compile itself failed (no C++ compiler, an operation it cannot handle), not what was computed."""
    from torch._dynamo.exc import TorchDynamoException

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TorchDynamoException) or type(seen).__module__.startswith(
            ("torch._inductor", "torch._dynamo")
        ):
            return not isinstance(seen.__cause__, torch.OutOfMemoryError)
        seen = seen.__cause__
    return False
