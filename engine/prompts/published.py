"""Prompts made by the published SD4Match code (`caption.pt`, `ckpt.pt`), read safely and converted.

Only `torch.load(weights_only=True)` touches such a file: it rebuilds tensors and refuses everything else, so a prepared
file cannot run code. What is kept is safetensors.
"""

from __future__ import annotations

import datetime
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError
from kinmark.engine.domain.texts import said
from kinmark.engine.prompts.cpm import ConditionalPromptModule, CPMConfig
from kinmark.engine.prompts.files import MAX_BYTES, make_id
from kinmark.engine.prompts.heads import is_head, open_head

SUFFIXES = (".pt", ".pth", ".ckpt")
_ALL = ("single", "all", "general", "prompt")
_MAX_ENTRIES = 2000
_PATCH_WIDTHS = (384, 768, 1024, 1536)


@dataclass(frozen=True)
class Converted:
    """One prompt found in a published file: card (with its final id) and tensors."""

    card: PromptCard
    tensors: dict[str, Tensor]


def read_published(
    path: Path, *, backbone: str, revision: str, patches: str = "", timestep: int = 261, up_block: int = 1
) -> list[Converted]:
    """Every prompt in a published file.

    Args:
        path: `caption.pt` (category -> assembled 77-token sequence) or `ckpt.pt` (parameters of a conditional module or
            learned tokens, possibly nested and prefixed).
        backbone, revision: what the prompt is for; the file does not say it ("" revision = not installed, unchecked).
        patches: "dino:<folder>" for a conditional module, whose patch features it does not contain; "dino-head:<folder>" or
            "clip-head:<folder>" for its variants on one vector per image.

    Raises:
        PromptFileError: unreadable, refused, or holding no known prompt. UserInputError: `patches` is missing.
    """
    tensors = flatten_tensors(safe_load(path))
    common = _Common(path, backbone, revision, timestep, up_block)
    module = _by_suffix(tensors)
    if "alpha_cond" in module and "positional_embedding" in module:
        return [_conditional(module, common, patches)]
    found = [_tokens(name, value, common) for name, value in tensors.items() if _is_prompt(value)]
    if not found:
        raise PromptFileError(
            said("{0} holds no prompt of the published code.", path), "Expected caption.pt or ckpt.pt."
        )
    return found


@dataclass(frozen=True)
class _Common:
    path: Path
    backbone: str
    revision: str
    timestep: int
    up_block: int

    def card(self, **fields: Any) -> PromptCard:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return PromptCard(
            id="unnamed",
            backbone=self.backbone,
            revision=self.revision,
            timestep=self.timestep,
            up_block=self.up_block,
            created=now,
            **fields,
        )


def safe_load(path: Path) -> Any:
    """The file's content through torch's restricted reader; PromptFileError for anything else than tensors."""
    try:
        size = path.stat().st_size
        if size == 0 or size > MAX_BYTES:
            raise PromptFileError(
                said("{0} is empty or larger than {1} MB.", path, MAX_BYTES >> 20), "Choose a prompt file."
            )
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > 2 * MAX_BYTES:
                    raise PromptFileError(said("{0} unpacks to far more than a prompt.", path), "Choose a prompt file.")
        return torch.load(path, map_location="cpu", weights_only=True)
    except PromptFileError:
        raise
    except pickle.UnpicklingError as error:
        raise PromptFileError(
            said("{0} holds more than tensors and was not opened, because that could run code.", path),
            "Ask for a safetensors file, or for a file that holds tensors only.",
            repr(error)[:2000],
        ) from None
    except Exception as error:  # noqa: BLE001 - damaged archives raise many types
        raise PromptFileError(
            said("{0} cannot be read.", path), "Check that it is a torch file.", repr(error)[:2000]
        ) from None


def flatten_tensors(data: Any, prefix: str = "", depth: int = 0) -> dict[str, Tensor]:
    """Dotted name -> float32 tensor of nested dicts and lists; anything that is no tensor is passed by."""
    if depth > 6:
        return {}
    if isinstance(data, Tensor):
        return {prefix or "prompt": data.detach().float().clone()} if data.is_floating_point() else {}
    items: list[tuple[Any, Any]] = []
    if isinstance(data, dict):
        items = list(data.items())
    elif isinstance(data, list | tuple):
        items = list(enumerate(data))
    found: dict[str, Tensor] = {}
    for key, value in items[:_MAX_ENTRIES]:
        found |= flatten_tensors(value, f"{prefix}.{key}" if prefix else str(key), depth + 1)
    return found


def _by_suffix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of a conditional module under their published names, whatever stands before them."""
    known = ConditionalPromptModule.REFERENCE_NAMES
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        for suffix in known:
            if name == suffix or name.endswith("." + suffix):
                found[suffix] = value
    return found


def _is_prompt(value: Tensor) -> bool:
    if value.dim() == 2:
        value = value[None]
    ok = value.dim() == 3 and value.shape[0] == 1 and 1 <= value.shape[1] <= 77 and 8 <= value.shape[2] <= 8192
    return bool(ok and torch.isfinite(value).all())


def _tokens(name: str, value: Tensor, common: _Common) -> Converted:
    value = value if value.dim() == 3 else value[None]
    whole = value.shape[1] == 77
    category = name.rsplit(".", 1)[-1].replace("_", " ")
    kind = "single" if category.lower() in _ALL or category.isdigit() else "class"
    category = "" if kind == "single" else category
    tensors = {"sequence" if whole else "tokens": value.contiguous()}
    card = common.card(
        kind=kind,
        category=category,
        tokens=int(value.shape[1]),
        width=int(value.shape[2]),
        source=f"imported from {common.path.name} of the published SD4Match code"
        + (" (assembled 77-token sequence)" if whole else " (learned tokens)"),
    )
    return Converted(_named(card, tensors), tensors)


def _conditional(state: dict[str, Tensor], common: _Common, patches: str) -> Converted:
    if not patches:
        raise UserInputError(
            said("{0} holds a conditional prompt, which needs the patch features it was trained with.", common.path),
            "Name the DINOv2 folder: --dino FOLDER (Head variants: --dino-head or --clip-head FOLDER).",
        )
    weight = state.get("linear_C.weight", state.get("linear.weight"))
    if weight is None or weight.dim() != 2:
        raise PromptFileError(said("{0} lacks the linear layer of the conditional prompt.", common.path))
    if is_head(patches):
        return _head(state, common, patches)
    pair = "linear_C.weight" in state
    if not pair and weight.shape[1] not in _PATCH_WIDTHS:
        raise PromptFileError(
            said(
                "The conditional prompt in {0} is a 'Head' variant: it takes one vector of {1} numbers per image, and the file does "
                "not say which network made it.",
                common.path,
                weight.shape[1],
            ),
            "Name the folder of that network: --dino-head FOLDER or --clip-head FOLDER.",
        )
    config = CPMConfig(
        patch_width=int(weight.shape[1]) // (2 if pair else 1),
        width=int(weight.shape[0]),
        pair=pair,
        patches=int(state["linear_N.weight"].shape[0]) if "linear_N.weight" in state else 256,
        global_tokens=int(state["global_embeds"].shape[1]) if "global_embeds" in state else 0,
        conditional_tokens=int(state["alpha_cond"].shape[1]),
    )
    return _converted(state, common, patches, config)


def _head(state: dict[str, Tensor], common: _Common, patches: str) -> Converted:
    """A variant on one vector per image; whether it takes one image or two is told by the width of its linear layer."""
    width = open_head(patches).width
    given = int(state["linear.weight"].shape[1]) if "linear.weight" in state else 0
    if given not in (width, 2 * width):
        raise PromptFileError(
            said(
                "The conditional prompt in {0} takes {1} numbers per image; the network in {2} gives {3}.",
                common.path,
                given or "patch features, not",
                patches.split(":", 1)[1],
                width,
            ),
            "Name the network that it was trained with.",
        )
    config = CPMConfig(
        patch_width=width,
        width=int(state["linear.weight"].shape[0]),
        pair=given == 2 * width,
        pooled=True,
        global_tokens=int(state["global_embeds"].shape[1]) if "global_embeds" in state else 0,
        conditional_tokens=int(state["alpha_cond"].shape[1]),
    )
    return _converted(state, common, patches, config)


def _converted(state: dict[str, Tensor], common: _Common, patches: str, config: CPMConfig) -> Converted:
    module = ConditionalPromptModule(config)
    try:
        module.load_reference(state)
    except (RuntimeError, KeyError) as error:
        raise PromptFileError(
            said("The conditional prompt in {0} has an unknown shape.", common.path),
            "Only the published variants are known.",
            repr(error)[:2000],
        ) from None
    tensors = {f"module.{name}": value.clone() for name, value in module.state_dict().items()}
    kind_note = f"{'pair' if config.pair else 'image'} variant" + (", one vector per image" if config.pooled else "")
    card = common.card(
        kind="conditional",
        tokens=config.global_tokens + config.conditional_tokens,
        width=config.width,
        source=f"imported from {common.path.name} of the published SD4Match code (CPM, {kind_note})",
        module=config.to_dict(),
        patches=patches,
        settings={"patch_option": patches},
    )
    return Converted(_named(card, tensors), tensors)


def _named(card: PromptCard, tensors: dict[str, Tensor]) -> PromptCard:
    from dataclasses import replace

    return replace(card, id=make_id(card.kind, card.category, tensors))
