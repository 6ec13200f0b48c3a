"""A feature map and where its cells lie in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.domain.runspec import RunSpec


@dataclass(frozen=True)
class FeatureMap:
    """Dense features of one view of one image.

    Attributes:
        features: `[C, h, w]` float32 on the session's device; corner-aligned with the network input.
        transform: from xy_image to the network input.
        image_wh: size of the whole oriented image.
        spec: what made it.
    """

    features: Tensor
    transform: ImageTransform
    image_wh: tuple[int, int]
    spec: RunSpec

    @property
    def cells_wh(self) -> tuple[int, int]:
        """(columns, rows) of the grid."""
        return int(self.features.shape[-1]), int(self.features.shape[-2])

    def to_cells(self, xy_image: ArrayLike) -> NDArray[np.float64]:
        """xy_image `[..., 2]` to xy_feature of this map."""
        return self.transform.to_feature(xy_image, self.cells_wh)

    def to_image(self, xy_feature: ArrayLike) -> NDArray[np.float64]:
        """xy_feature `[..., 2]` of this map to xy_image."""
        return self.transform.from_feature(xy_feature, self.cells_wh)
