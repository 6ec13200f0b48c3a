"""SD4Match's conditional prompting module (CPM): a prompt made from what the images show (methods/prompts.md).

Prompt = G learned global embeddings + C conditional ones: `tanh(alpha) * (position + pooled patch features)`.
"pair" sees both images and serves both; "image" sees one. Checked against `sd4match_cpm`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said


@dataclass(frozen=True)
class CPMConfig:
    """Shape of a module.

    Attributes:
        pair: condition on both images of a pair (one prompt for both), else on one image.
        pooled: the condition is one vector per image (a CLIP or DINO head) instead of patch features.
        patches: N patch features per image (ignored when `pooled`).
        patch_width: channels of a patch feature (or of the pooled vector).
        width: of a token embedding.
        global_tokens, conditional_tokens: G and C.
    """

    patch_width: int
    width: int
    pair: bool = True
    pooled: bool = False
    patches: int = 256
    global_tokens: int = 25
    conditional_tokens: int = 50

    def to_dict(self) -> dict[str, int | bool]:
        """JSON-able."""
        return asdict(self)


class ConditionalPromptModule(nn.Module):
    """Conditions `[B, N, W]` (one image) or two of them (a pair) to learned vectors `[B, G + C, D]`.

    Parameters keep the roles of the published ones; `REFERENCE_NAMES` maps their names.
    """

    REFERENCE_NAMES = {
        "global_embeds": "global_tokens",
        "positional_embedding": "position",
        "alpha_cond": "alpha",
        "linear_C.weight": "channels.weight",
        "linear_C.bias": "channels.bias",
        "linear.weight": "channels.weight",
        "linear.bias": "channels.bias",
        "linear_N.weight": "mix.weight",
        "linear_N.bias": "mix.bias",
    }

    def __init__(self, config: CPMConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        generator = torch.Generator().manual_seed(seed)
        inputs = config.patch_width * (2 if config.pair else 1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.channels = nn.Linear(inputs, config.width)
            self.mix = nn.Linear(config.patches, config.patches) if config.pair and not config.pooled else None
        shape = (1, config.conditional_tokens, config.width)
        self.position = nn.Parameter(torch.randn(shape, generator=generator) * 0.02)
        # tanh(alpha) starts near zero: training begins at the global prompt alone.
        self.alpha = nn.Parameter(torch.randn(shape, generator=generator) * 0.01)
        if config.global_tokens:
            tokens = torch.randn((1, config.global_tokens, config.width), generator=generator) * 0.02
            self.global_tokens: nn.Parameter | None = nn.Parameter(tokens)
        else:
            self.register_parameter("global_tokens", None)

    def forward(self, source: Tensor, target: Tensor | None = None) -> Tensor:
        """Learned vectors `[B, G + C, D]` of patch features `[B, N, W]` (or `[B, W]` when pooled).

        Raises UserInputError when a pair module gets one image, or the features have another shape.
        """
        config = self.config
        if config.pair != (target is not None):
            raise UserInputError(
                "This conditional prompt was made for " + ("pairs of images." if config.pair else "single images.")
            )
        features = source if target is None else torch.cat([source, target], dim=-1)
        expected = self.channels.in_features
        if features.shape[-1] != expected or (not config.pooled and features.shape[1] != config.patches):
            raise UserInputError(
                said(
                    "The conditional prompt needs {0} patch features of width {1}, got {2}.",
                    config.patches,
                    config.patch_width,
                    tuple(source.shape[1:]),
                ),
                "Use the patch features (DINOv2 or the backbone's own) that it was made with.",
            )
        hidden = self.channels(features)
        if config.pooled:
            pooled = hidden.unsqueeze(1)
        else:
            if self.mix is not None:
                hidden = self.mix(hidden.transpose(1, 2)).transpose(1, 2)
            pooled = F.adaptive_max_pool1d(hidden.transpose(1, 2), config.conditional_tokens).transpose(1, 2)
        conditional = torch.tanh(self.alpha) * (self.position + pooled)
        if self.global_tokens is None:
            return conditional
        return torch.cat([self.global_tokens.expand(len(conditional), -1, -1), conditional], dim=1)

    def parameter_groups(self, lr: float, lr_linear: float) -> list[dict[str, object]]:
        """Adam groups: the learned vectors at `lr`, the linear layers at `lr_linear` (published: a tenth)."""
        linear = [p for n, p in self.named_parameters() if n.startswith(("channels", "mix"))]
        vectors = [p for n, p in self.named_parameters() if not n.startswith(("channels", "mix"))]
        return [{"params": vectors, "lr": lr}, {"params": linear, "lr": lr_linear}]

    def load_reference(self, state: dict[str, Tensor]) -> None:
        """Take over parameters under the published names; raises RuntimeError when names or shapes do not fit."""
        self.load_state_dict({self.REFERENCE_NAMES[name]: value for name, value in state.items()})
