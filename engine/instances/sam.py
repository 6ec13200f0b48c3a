"""Masks by a SAM-family model through transformers: any model of its mask-generation map, from a local folder.

Thread: the engine thread. Nothing is downloaded here. Several spread points, background points, the box of a first mask
and the evidence map as a dense prior are given where the model takes them (ALGORITHMS 5).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from engine.domain.errors import ModelCorruptError, ModelMissingError
from engine.domain.geometry import Box
from engine.instances.picture import BoolMask, Picture
from engine.paths import data_dir
from engine.session import EngineSession

log = logging.getLogger(__name__)

POINTS = 8
CLASSES = {
    "sam": ("SamModel", "SamProcessor"),
    "sam_hq": ("SamHQModel", "SamHQProcessor"),
    "sam2": ("Sam2Model", "Sam2Processor"),
    "edgetam": ("EdgeTamModel", "Sam2Processor"),
}
PRIOR_LOGIT = 8.0
"""Range of the evidence map as a mask prior: SAM's own low-resolution masks are logits of about +-8."""


def segmenter_folder(name: str) -> Path:
    """Folder of a segmenter by path, or by name under the user's `segmenters/`; ModelMissingError."""
    for path in (Path(name).expanduser(), data_dir() / "segmenters" / name):
        if path.is_dir():
            return path
    raise ModelMissingError(
        f"There is no segmenter '{name}'.",
        "Give the folder of a SAM model in transformers' layout, or use grabcut.",
    )


def spread_points(values: NDArray[np.float32], region: BoolMask, count: int = POINTS) -> list[tuple[int, int]]:
    """Up to `count` points (column, row) inside the region's core: the peak first, then farthest from all before.

    Args:
        values: evidence at the region's size; region: boolean of the same size.
    """
    distance = cv2.distanceTransform(np.pad(region, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    core = region & (distance >= 0.4 * distance.max()) & (values >= np.median(values[region]) if region.any() else True)
    if not core.any():
        core = region
    if not core.any():
        return []
    rows, columns = np.nonzero(core)
    start = int(np.argmax(values[rows, columns]))
    chosen = [start]
    nearest = np.full(len(rows), np.inf)
    while len(chosen) < min(count, len(rows)):
        last = chosen[-1]
        nearest = np.minimum(nearest, np.hypot(rows - rows[last], columns - columns[last]))
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < 2:
            break
        chosen.append(farthest)
    return [(int(columns[i]), int(rows[i])) for i in chosen]


def background_points(values: NDArray[np.float32], region: BoolMask, count: int = 3) -> list[tuple[int, int]]:
    """Points (column, row) well outside the region with the least evidence, far from each other."""
    wide = cv2.dilate(region.astype(np.uint8), np.ones((9, 9), np.uint8), iterations=2) > 0
    if wide.all():
        return []
    return spread_points(1 - values, ~wide, count)


@dataclass
class Segmenter:
    """A loaded SAM-family model. `kind` is its `model_type`."""

    kind: str
    model: Any
    processor: Any
    folder: Path
    _seen: tuple[str, dict[str, Any]] | None = field(default=None, repr=False)

    @torch.no_grad()
    def segment(
        self,
        rgb: NDArray[np.uint8],
        points: list[tuple[int, int]],
        labels: list[int],
        *,
        box: Box | None = None,
        prior: NDArray[np.float32] | None = None,
        key: str = "",
    ) -> tuple[BoolMask, float]:
        """Best mask by predicted IoU and that prediction.

        Args:
            rgb: uint8 `[H, W, 3]`; points: (column, row) pixels; labels: 1 = on the thing, 0 = background.
            box: pixels; prior: map in [0, 1] of any size as a dense hint; key: equal keys share the image embedding.
        """
        boxes = [[list(box)]] if box is not None else None
        inputs = self.processor(
            images=rgb,
            input_points=[[[list(map(float, p)) for p in points]]] if points else None,
            input_labels=[[labels]] if points else None,
            input_boxes=boxes if self.kind not in ("sam", "sam_hq") else ([[list(box)]] if box is not None else None),
            return_tensors="pt",
        )
        call: dict[str, Any] = {k: inputs[k] for k in ("input_points", "input_labels", "input_boxes") if k in inputs}
        call.update(self._embedding(inputs["pixel_values"], key))
        if prior is not None:
            call["input_masks"] = self._prior(prior)
        output = self.model(**call, multimask_output=True)
        scores = output.iou_scores.reshape(-1)
        masks = self._full_size(output.pred_masks, inputs, rgb.shape[:2])
        best = int(scores.argmax())
        return masks[best], float(scores[best])

    def _embedding(self, pixels: torch.Tensor, key: str) -> dict[str, Any]:
        """The image embedding, computed once per picture (set once, ask many)."""
        if key and self._seen is not None and self._seen[0] == key:
            return self._seen[1]
        if self.kind == "sam_hq":
            embeddings, intermediate = self.model.get_image_embeddings(pixels)
            made = {"image_embeddings": embeddings, "intermediate_embeddings": intermediate}
        else:
            made = {"image_embeddings": self.model.get_image_embeddings(pixels)}
        self._seen = (key, made)
        return made

    def _prior(self, prior: NDArray[np.float32]) -> torch.Tensor:
        config = self.model.config
        size = getattr(config.prompt_encoder_config, "mask_input_size", None) or 4 * int(
            getattr(config.prompt_encoder_config, "image_embedding_size", 64)
        )
        side = (size, size) if isinstance(size, int) else (int(size[1]), int(size[0]))
        scaled = cv2.resize(prior, side, interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy((scaled * 2 - 1) * PRIOR_LOGIT)[None, None].float()

    def _full_size(self, masks: torch.Tensor, inputs: Any, size_hw: tuple[int, int]) -> list[BoolMask]:
        originals = inputs["original_sizes"]
        if "reshaped_input_sizes" in inputs:
            full = self.processor.post_process_masks(masks, originals, inputs["reshaped_input_sizes"])
        else:
            full = self.processor.post_process_masks(masks, originals)
        return [np.asarray(m, dtype=bool) for m in full[0].reshape(-1, *size_hw)]

    def from_map(self, picture: Picture, values: NDArray[np.float32], rough: BoolMask) -> BoolMask:
        """Mask from an evidence map: spread points and prior first, then again with the first mask's box."""
        large = cv2.resize(values, picture.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        positive = spread_points(large, rough)
        if not positive:
            return rough
        negative = background_points(large, rough)
        points, labels = positive + negative, [1] * len(positive) + [0] * len(negative)
        key = str(picture.image.path)
        first, _ = self.segment(picture.rgb, points, labels, prior=values, key=key)
        if not first.any():
            return rough
        rows, columns = np.nonzero(first)
        box = float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
        second, _ = self.segment(picture.rgb, points, labels, box=box, key=key)
        return second if second.any() else first


def load_segmenter(name: str, session: EngineSession) -> Segmenter:
    """Load a SAM-family folder (safetensors, `local_files_only`).

    Raises:
        ModelMissingError: no such folder. ModelCorruptError: another kind of model, pickled or incomplete weights.
    """
    folder = segmenter_folder(name)
    kind = _kind_of(folder)
    model_class, processor_class = CLASSES[kind]
    if not list(folder.glob("*.safetensors")):
        raise ModelCorruptError(
            f"The segmenter folder {folder} holds no safetensors weights.",
            "Pickled weights are not loaded; get the safetensors version of the model.",
        )
    import transformers

    try:
        model, report = getattr(transformers, model_class).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
        processor = getattr(transformers, processor_class).from_pretrained(folder, local_files_only=True)
    except Exception as error:  # noqa: BLE001 - libraries raise anything on damaged folders
        raise ModelCorruptError(
            f"The segmenter in {folder} cannot be loaded.", "Download it again.", repr(error)[:2000]
        ) from None
    missing = [k for k in report.get("missing_keys", ()) if "position_ids" not in k]
    if missing:
        raise ModelCorruptError(
            f"The segmenter in {folder} lacks weights ({len(missing)} tensors, first: {missing[0]}).",
            "Download it again.",
        )
    return Segmenter(kind, model.eval().requires_grad_(False), processor, folder)


def _kind_of(folder: Path) -> str:
    """`model_type` of the folder's config if it is a SAM-family image model; ModelCorruptError else."""
    try:
        kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelCorruptError(
            f"The segmenter folder {folder} has no readable config.json.",
            "Give the folder of a SAM model.",
            repr(error),
        ) from None
    kind = kind.removesuffix("_video") if kind.endswith("_video") and kind.removesuffix("_video") in CLASSES else kind
    if kind not in CLASSES:
        raise ModelCorruptError(
            f"The folder {folder} holds a model of the kind '{kind}', which cannot segment.",
            f"Known kinds: {', '.join(sorted(CLASSES))}.",
        )
    return kind
