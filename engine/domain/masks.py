"""Instance masks: boolean `[H, W]`, stored as compressed COCO column-major RLE (pycocotools)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said

MAX_MASK_PIXELS = 2_000_000_000


@dataclass(frozen=True)
class MaskRLE:
    """A mask of an image of `height` x `width` pixels; `counts` is COCO's compressed ASCII string."""

    height: int
    width: int
    counts: str

    @staticmethod
    def encode(mask: NDArray[np.bool_]) -> MaskRLE:
        """From boolean `[H, W]`; raises ValueError for any other number of dimensions."""
        array = np.asarray(mask)
        if array.ndim != 2:
            raise ValueError(f"a mask needs shape [H, W], got {array.shape}")
        rle = coco_mask.encode(np.asfortranarray(array.astype(np.uint8)))
        return MaskRLE(array.shape[0], array.shape[1], rle["counts"].decode("ascii"))

    def to_coco(self) -> dict[str, object]:
        """COCO's compressed RLE object with `counts` as str."""
        return {"size": [self.height, self.width], "counts": self.counts}

    def _as_bytes(self) -> dict[str, object]:
        return {"size": [self.height, self.width], "counts": self.counts.encode("ascii")}

    def validate(self) -> None:
        """Raise UserInputError unless the runs cover exactly height * width pixels."""
        if self.height <= 0 or self.width <= 0 or self.height * self.width > MAX_MASK_PIXELS:
            raise UserInputError(said("A mask has the impossible size {0} x {1}.", self.width, self.height))
        if sum(runs_of_counts(self.counts)) != self.height * self.width:
            raise UserInputError(
                said("A mask's run lengths do not add up to its size {0} x {1}.", self.width, self.height)
            )

    def decode(self) -> NDArray[np.bool_]:
        """Boolean `[H, W]`."""
        return np.asarray(coco_mask.decode(self._as_bytes()), dtype=bool)

    @property
    def area(self) -> int:
        """Number of true pixels."""
        return int(coco_mask.area(self._as_bytes()))

    @property
    def box(self) -> Box:
        """Tight box in xy_image; (0, 0, 0, 0) for an empty mask."""
        x, y, w, h = (float(v) for v in coco_mask.toBbox(self._as_bytes()))
        return x, y, x + w, y + h


def runs_of_counts(counts: str) -> list[int]:
    """Run lengths of a compressed COCO counts string (LEB128-like, delta to the run before the last).

    Checked in plain Python because the C decoder trusts its input. Raises UserInputError on a malformed string.
    """
    runs: list[int] = []
    if not counts.isascii():  # "?" in place of a stranger would count as a run
        raise UserInputError("A mask's run-length text holds a character that cannot stand there.")
    position, data = 0, counts.encode("ascii")
    while position < len(data):
        value, shift, more = 0, 0, True
        while more:
            if position >= len(data) or shift > 60:
                raise UserInputError("A mask's run-length text is cut off or damaged.")
            char = data[position] - 48
            if not 0 <= char < 64:
                raise UserInputError("A mask's run-length text holds a character that cannot stand there.")
            value |= (char & 0x1F) << shift
            more = bool(char & 0x20)
            position += 1
            shift += 5
            if not more and char & 0x10:
                value |= -1 << shift
        if len(runs) > 2:
            value += runs[-2]
        if value < 0:
            raise UserInputError("A mask's run-length text holds a negative run.")
        runs.append(value)
    return runs


def mask_from_runs(runs: list[int], height: int, width: int) -> NDArray[np.bool_]:
    """Uncompressed column-major runs (zeros first) to boolean `[H, W]`; UserInputError when they do not fit."""
    if any((not isinstance(r, int)) or r < 0 for r in runs) or sum(runs) != height * width:
        raise UserInputError(said("A mask's run lengths do not add up to its size {0} x {1}.", width, height))
    values = np.arange(len(runs)) % 2 == 1
    flat = np.repeat(values, np.asarray(runs, dtype=np.int64))
    return flat.reshape((width, height)).T.copy()


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Intersection over union of two boolean `[H, W]`; 1 when both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 1.0
