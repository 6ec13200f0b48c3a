"""Where learning starts: the learner of a request's kind at its initial value (methods/prompts.md)."""

from __future__ import annotations

import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.learners import (
    ConditionalLearner,
    HiddenLearner,
    PromptLearner,
    TokenLearner,
    encode_tokens,
    template_tokens,
)
from kinmark.engine.prompts.patches import PATCHES
from kinmark.engine.prompts.sequence import init_tokens, sequence_frame
from kinmark.engine.tuning.options import TuningOptions


def make_learner(
    backbone: Backbone, kind: str, options: TuningOptions, *, category: str, seed: int, patch_width: int = 0
) -> PromptLearner:
    """The learner of a request's kind at its initial value."""
    text = backbone.spec.text_for(category)
    if kind == "hidden":
        if options.init == "random":
            generator = torch.Generator().manual_seed(seed)
            shape = (1, backbone.prompt_tokens, backbone.text_dim)
            return HiddenLearner(torch.randn(shape, generator=generator) * 0.02)
        return HiddenLearner(backbone.encode_text([text]).cpu())
    frame, strength = sequence_frame(backbone), options.strength
    base = encode_tokens(backbone, frame, template_tokens(backbone, text), strength)
    if kind == "conditional":
        room = frame.max_tokens
        conditional = min(options.conditional_tokens, room)
        config = CPMConfig(
            patch_width=patch_width,
            width=frame.width,
            pair=options.condition == "pair",
            patches=PATCHES,
            global_tokens=min(options.global_tokens, room - conditional),
            conditional_tokens=conditional,
        )
        module = ConditionalPromptModule(config, seed=seed)
        with torch.no_grad():
            if options.direct:
                # At its published start times the strength the module would be noise: it starts at the text exactly.
                module.alpha.zero_()
            if module.global_tokens is not None and options.direct:
                module.global_tokens.zero_()
            elif module.global_tokens is not None and options.init != "random":
                module.global_tokens.copy_(template_tokens(backbone, text)[:, : config.global_tokens])
        return ConditionalLearner(frame, module, base, strength, options.direct)
    if options.direct:
        count = min(options.tokens, frame.max_tokens)
        return TokenLearner(frame, torch.zeros(1, count, frame.width), base, strength, direct=True)
    if options.init == "template":
        return TokenLearner(frame, template_tokens(backbone, text).cpu(), base, strength)
    words = text if options.init == "words" else None
    count = min(options.tokens, frame.max_tokens)
    initial = init_tokens(backbone, count, text=words, seed=seed)
    # Strength amplifies what is learned, not the accident of a random start.
    return TokenLearner(frame, initial.cpu(), encode_tokens(backbone, frame, initial, strength), strength)
