"""Masks by a SAM-family model through transformers: any model of its mask-generation map, from a local folder.

Thread: the engine thread. Nothing is downloaded here. Several spread points, background points, the box of a first mask
and the evidence map as a dense prior are given where the model takes them (methods/instances.md).
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

from kinmark.engine.backbones.catalogue import SEGMENTER, helper, installed_folder
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.engine.instances.picture import BoolMask, Picture
from kinmark.engine.paths import data_dir
from kinmark.engine.session import EngineSession

log = logging.getLogger(__name__)

POINTS = 8
CLASSES = {
    "sam": "SamModel",
    "sam_hq": "SamHQModel",
    "sam2": "Sam2Model",
    "edgetam": "EdgeTamModel",
    "sam3_tracker": "Sam3TrackerModel",
}
"""`model_type` -> class. The video kinds share their weights' names with the image kinds and load as those."""
KEEPS_ASPECT = ("sam", "sam_hq")
"""These were trained on the longer side scaled and the rest padded; the newer ones squash to a square."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PRIOR_LOGIT = 8.0
"""Range of the evidence map as a mask prior: SAM's own low-resolution masks are logits of about +-8."""


def segmenter_folder(name: str) -> Path:
    """Folder of a segmenter by path, or by name under the user's `segmenters/`; ModelMissingError."""
    known = helper(name)
    if known is not None and known.kind == SEGMENTER:
        return installed_folder(name)
    for path in (Path(name).expanduser(), data_dir() / "segmenters" / name):
        if path.is_dir():
            return path
    raise ModelMissingError(
        said("There is no segmenter '{0}'.", name),
        "Give one of `kinmark models list`, the folder of a SAM model in transformers' layout, or use grabcut.",
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
    """A loaded SAM-family model. `kind` is its `model_type`, `size` its square input in pixels.

    Pictures are prepared here and not by the library's processors: those of the newer kinds need torchvision.
    """

    kind: str
    model: Any
    size: int
    folder: Path
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    _seen: tuple[str, dict[str, Any]] | None = field(default=None, repr=False)

    def _scale(self, size_hw: tuple[int, int]) -> tuple[float, float]:
        """Input pixels per picture pixel along x and y."""
        if self.kind in KEEPS_ASPECT:
            ratio = self.size / max(size_hw)
            return ratio, ratio
        return self.size / size_hw[1], self.size / size_hw[0]

    def _pixels(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        """`[1, 3, S, S]` normalised; what the aspect ratio leaves over is zero."""
        sx, sy = self._scale((rgb.shape[0], rgb.shape[1]))
        width, height = max(1, round(rgb.shape[1] * sx)), max(1, round(rgb.shape[0] * sy))
        shrinking = min(sx, sy) < 1
        small = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
        normal = (small.astype(np.float32) / 255 - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        canvas = np.zeros((self.size, self.size, 3), np.float32)
        canvas[:height, :width] = normal
        return torch.from_numpy(canvas).permute(2, 0, 1)[None].contiguous()

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
            box: pixels; prior: map in [0, 1] over the picture as a dense hint; key: equal keys share the embedding.
        """
        height, width = int(rgb.shape[0]), int(rgb.shape[1])
        sx, sy = self._scale((height, width))
        call = self._embedding(rgb, key)
        if points:
            scaled = [[(x + 0.5) * sx, (y + 0.5) * sy] for x, y in points]
            call["input_points"] = torch.tensor([[scaled]], dtype=torch.float32)
            call["input_labels"] = torch.tensor([[labels]], dtype=torch.int64)
        if box is not None:
            corners = [box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy]
            call["input_boxes"] = torch.tensor([[corners]], dtype=torch.float32)
        if prior is not None:
            call["input_masks"] = self._prior(prior, (height, width))
        output = self.model(**call, multimask_output=True)
        scores = output.iou_scores.reshape(-1)
        best = int(scores.argmax())
        low = output.pred_masks.reshape(-1, *output.pred_masks.shape[-2:])[best].float()
        return self._to_picture(low, (height, width)), float(scores[best])

    def _to_picture(self, logits: torch.Tensor, size_hw: tuple[int, int]) -> BoolMask:
        """Low-resolution logits `[h, w]` of the square input to a mask of the picture."""
        square = torch.nn.functional.interpolate(logits[None, None], (self.size, self.size), mode="bilinear")[0, 0]
        sx, sy = self._scale(size_hw)
        used = square[: max(1, round(size_hw[0] * sy)), : max(1, round(size_hw[1] * sx))]
        full = torch.nn.functional.interpolate(used[None, None], size_hw, mode="bilinear")[0, 0]
        return np.asarray(full.numpy() > 0)

    def _embedding(self, rgb: NDArray[np.uint8], key: str) -> dict[str, Any]:
        """The image embedding, computed once per picture (set once, ask many); a fresh dict each time."""
        if not key or self._seen is None or self._seen[0] != key:
            pixels = self._pixels(rgb)
            if self.kind == "sam_hq":
                embeddings, intermediate = self.model.get_image_embeddings(pixels)
                made = {"image_embeddings": embeddings, "intermediate_embeddings": intermediate}
            else:
                made = {"image_embeddings": self.model.get_image_embeddings(pixels)}
            self._seen = (key, made)
        return dict(self._seen[1])

    def _prior(self, prior: NDArray[np.float32], size_hw: tuple[int, int]) -> torch.Tensor:
        """The map as mask logits on the prompt encoder's grid (four cells per embedding cell)."""
        config = self.model.config.prompt_encoder_config
        patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
        side = 4 * (self.size // patch)
        sx, sy = self._scale(size_hw)
        ratio = side / self.size
        width, height = max(1, round(size_hw[1] * sx * ratio)), max(1, round(size_hw[0] * sy * ratio))
        canvas = np.zeros((side, side), np.float32)
        canvas[:height, :width] = cv2.resize(prior, (width, height), interpolation=cv2.INTER_LINEAR)
        return torch.from_numpy((canvas * 2 - 1) * PRIOR_LOGIT)[None, None].float()

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
    if not list(folder.glob("*.safetensors")):
        raise ModelCorruptError(
            said("The segmenter folder {0} holds no safetensors weights.", folder),
            "Pickled weights are not loaded; get the safetensors version of the model.",
        )
    import transformers

    try:
        model, report = getattr(transformers, CLASSES[kind]).from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # noqa: BLE001 - libraries raise anything on damaged folders
        # A torchvision of another build than torch fails with a RuntimeError while timm is imported.
        if isinstance(error, ImportError) or "torchvision" in str(error):
            raise ModelMissingError(
                said(
                    "The segmenter in {0} needs a package that is not installed, or that does not fit the installed torch.",
                    folder,
                ),
                "EdgeTAM's image encoder comes from timm, which needs the torchvision build that belongs to the installed "
                "torch (docs/guide/instances.md says how). SAM, SAM-HQ and SAM 2 need nothing more.",
                str(error),
            ) from None
        raise ModelCorruptError(
            said("The segmenter in {0} cannot be loaded.", folder), "Download it again.", repr(error)[:2000]
        ) from None
    missing = sorted(k for k in report.get("missing_keys", ()) if "position_ids" not in k)
    if missing:
        raise ModelCorruptError(
            said("The segmenter in {0} lacks weights ({1} tensors, first: {2}).", folder, len(missing), missing[0]),
            "Download it again.",
        )
    size = model.config.prompt_encoder_config.image_size
    side = int(size if isinstance(size, int) else size[0])
    mean, std = _normalisation(folder)
    return Segmenter(kind, model.eval().requires_grad_(False), side, folder, mean, std)


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the folder's preprocessor; the family's usual ones without a readable file."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        try:
            data = json.loads((folder / name).read_text(encoding="utf-8"))
            data = data.get("image_processor", data)
            mean, std = tuple(map(float, data["image_mean"])), tuple(map(float, data["image_std"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
        if len(mean) == len(std) == 3 and min(std) > 0:
            return mean, std
    return MEAN, STD


def _kind_of(folder: Path) -> str:
    """`model_type` of the folder's config if it is a SAM-family image model; ModelCorruptError else."""
    try:
        kind = str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
    except (OSError, ValueError, AttributeError) as error:
        raise ModelCorruptError(
            said("The segmenter folder {0} has no readable config.json.", folder),
            "Give the folder of a SAM model.",
            repr(error),
        ) from None
    kind = kind.removesuffix("_video") if kind.endswith("_video") and kind.removesuffix("_video") in CLASSES else kind
    kind = "sam3_tracker" if kind == "sam3_video" else kind  # what is published as one holds the tracker's weights
    if kind not in CLASSES:
        raise ModelCorruptError(
            said("The folder {0} holds a model of the kind '{1}', which cannot segment.", folder, kind),
            said("Known kinds: {0}.", ", ".join(sorted(CLASSES))),
        )
    return kind
