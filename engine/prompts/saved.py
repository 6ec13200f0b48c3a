"""A saved prompt becomes something the U-Net can be given, after checking that it belongs to this backbone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.prompt import SAVED_PREFIX, ConditionalPrompt, Prompt
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError
from kinmark.engine.domain.texts import said
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.files import list_prompts, read_card, read_tensors
from kinmark.engine.prompts.learners import ConditionalLearner
from kinmark.engine.prompts.patches import open_patches
from kinmark.engine.prompts.sequence import sequence_frame

AUTO_KINDS = ("class", "hidden", "single")


def check_belongs(card: PromptCard, backbone: Backbone, where: Path | str) -> None:
    """PromptFileError unless the prompt was made for this backbone, revision and width."""
    mine = backbone.spec.id
    if card.backbone != mine:
        raise PromptFileError(
            said("The prompt {0} was made for the backbone '{1}', not for '{2}'.", card.id, card.backbone, mine),
            said("Choose the backbone '{0}', or tune a prompt for this one.", card.backbone),
            str(where),
        )
    if card.revision and card.revision != backbone.revision:
        raise PromptFileError(
            said(
                "The prompt {0} was made for other weights of '{1}' ({2}, here {3}).",
                card.id,
                mine,
                card.revision,
                backbone.revision,
            ),
            "Tune it again for these weights.",
            str(where),
        )
    if card.width and card.width != backbone.text_dim:
        raise PromptFileError(
            said("The prompt {0} is {1} wide, but '{2}' needs {3}.", card.id, card.width, mine, backbone.text_dim),
            "Choose the backbone that it was made for.",
            str(where),
        )


def load_saved(path: Path, backbone: Backbone) -> Prompt:
    """The prompt at a folder or exported file, on the backbone's device.

    Raises:
        PromptFileError: damaged, of another backbone, or a point prompt (these are used by "optimise" only).
    """
    card = read_card(path)
    check_belongs(card, backbone, path)
    if card.kind == "point":
        raise PromptFileError(
            said("The prompt {0} was optimised for one keypoint and makes no features.", card.id),
            "It is used by itself with the method 'optimise'.",
        )
    tensors = read_tensors(path)
    try:
        return assemble_prompt(card, tensors, backbone)
    except (KeyError, TypeError, RuntimeError) as error:
        raise PromptFileError(
            said("The prompt file {0} does not hold what its card says.", path),
            "Tune or import the prompt again.",
            repr(error),
        ) from None


def assemble_prompt(card: PromptCard, tensors: dict[str, Tensor], backbone: Backbone) -> Prompt:
    """The prompt of a card and its tensors as the U-Net is given it, saved or not yet."""
    if card.kind == "conditional":
        return _conditional(card, tensors, backbone)
    return Prompt(SAVED_PREFIX + card.id, hidden_states(card, tensors, backbone), backbone.pooled_text(""))


@torch.no_grad()
def hidden_states(card: PromptCard, tensors: dict[str, Tensor], backbone: Backbone) -> Tensor:
    """`[1, T, D]` of a prompt that does not depend on images, in the backbone's dtype."""
    if "embeds" in tensors:
        embeds = tensors["embeds"]
    elif "sequence" in tensors:
        embeds = backbone.encode_tokens(tensors["sequence"])
    else:
        embeds = backbone.encode_tokens(sequence_frame(backbone).assemble(tensors["tokens"].to(backbone.device)))
    shape = (1, backbone.prompt_tokens, backbone.text_dim)
    if tuple(embeds.shape) != shape:
        raise PromptFileError(
            said("The prompt {0} has the shape {1}, this backbone needs {2}.", card.id, tuple(embeds.shape), shape),
            "Choose the backbone that it was made for.",
        )
    return embeds.to(backbone.device, backbone.dtype)


def _conditional(card: PromptCard, tensors: dict[str, Tensor], backbone: Backbone) -> ConditionalPrompt:
    module = ConditionalPromptModule(CPMConfig(**card.module))
    own = {k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")}
    module.load_state_dict(own)
    base = tensors.get("base", torch.zeros(1, backbone.prompt_tokens, backbone.text_dim))
    strength = float(card.settings.get("strength", 1.0))
    frame, frozen = sequence_frame(backbone), module.requires_grad_(False).eval()
    direct = bool(card.settings.get("direct", False))
    learner = ConditionalLearner(frame, frozen, base, strength, direct).to(backbone.device)
    patches = open_patches(str(card.settings.get("patch_option", "backbone")), backbone)
    if patches.width != module.config.patch_width:
        raise PromptFileError(
            said(
                "The prompt {0} needs patch features {1} wide; {2} gives {3}.",
                card.id,
                module.config.patch_width,
                patches.name,
                patches.width,
            ),
            "Use the model that it was trained with.",
        )

    @torch.no_grad()
    def embeds(source: Tensor, target: Tensor | None) -> Tensor:
        return learner.embeds(backbone, source, target).to(backbone.dtype)

    empty = backbone.encode_text([""])
    return ConditionalPrompt(
        SAVED_PREFIX + card.id,
        empty,
        backbone.pooled_text(""),
        pair=module.config.pair,
        patches=patches.patches,
        make=embeds,
    )


def kept_prompt(category: str, backbone: Backbone, folders: Iterable[Path]) -> Prompt | None:
    """What "auto" takes for a category: the newest kept class or hidden prompt of it, else a single prompt; or None.

    A person's decision (`settings["auto"]`) counts more than what was measured (`PromptCard.measured_better`).
    Conditional prompts are never taken unasked: their features depend on the pair and cannot be cached per image.
    """
    found = [
        (path, card)
        for path, card in list_prompts(folders)
        if card.kind in AUTO_KINDS
        and (card.category == category if card.kind != "single" else not card.category)
        and (card.backbone, card.revision) == (backbone.spec.id, backbone.revision)
        and card.settings.get("auto", card.measured_better)
    ]
    found.sort(key=lambda item: item[1].kind == "single")
    for path, _ in found:
        try:
            return load_saved(path, backbone)
        except PromptFileError:
            continue
    return None
