"""What the canvas shows, as frozen data. Built by the session, compared by identity, never changed in place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from kinmark.desktop.states import PointState
from kinmark.engine.domain.geometry import Box, FloatArray
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import Peak, SimilarityMap


@dataclass(frozen=True)
class InstanceContent:
    """One instance (accepted, proposed, or half of each) of the shown image.

    Attributes:
        key: the session's name for it (stable while the image is shown).
        title: what the panel calls it.
        names: keypoint names, K of them.
        xy_image: `[K, 2]` float64, NaN where nothing is drawn.
        states: K states; visibility: `[K]` int (`Visibility`); confidence: `[K]` float64, NaN where none.
        edges: skeleton as index pairs; sides: per keypoint "l", "r" or "".
        box: xy_image, or None; mask: or None; mask_pending: the mask is a proposal.
        sure: confidence of an instance of which nothing is accepted yet, else None.
        number: position among the image's instances (chooses the colour).
        colours: per keypoint its own colour "#rrggbb" or "" (drawn as the outline of its mark), or () for none.
    """

    key: str
    title: str
    names: tuple[str, ...] = ()
    xy_image: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    states: tuple[PointState, ...] = ()
    visibility: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    confidence: np.ndarray = field(default_factory=lambda: np.zeros(0))
    edges: tuple[tuple[int, int], ...] = ()
    sides: tuple[str, ...] = ()
    box: Box | None = None
    mask: MaskRLE | None = None
    mask_pending: bool = False
    sure: float | None = None
    number: int = 0
    colours: tuple[str, ...] = ()

    @property
    def drawn(self) -> np.ndarray:
        """`[K]` bool: has a place on the photo."""
        has_state = np.array([s.is_drawn for s in self.states], dtype=bool)
        return has_state & np.isfinite(self.xy_image).all(axis=-1) if len(self.states) else has_state

    def with_points(self, xy_image: FloatArray) -> InstanceContent:
        """A copy with moved points (while dragging)."""
        return replace(self, xy_image=xy_image)

    def colour_of(self, index: int) -> str:
        """The own colour of keypoint `index`, or ""."""
        return self.colours[index] if index < len(self.colours) else ""

    def side_of(self, index: int) -> str:
        """ "l", "r", or "" in the middle."""
        return self.sides[index] if index < len(self.sides) else ""

    def is_hidden(self, index: int) -> bool:
        """Whether keypoint `index` is marked as hidden."""
        return int(self.visibility[index]) == int(Visibility.HIDDEN)


@dataclass(frozen=True)
class CanvasContent:
    """Everything drawn over one photo.

    Attributes:
        image_wh: oriented size in pixels.
        instances: in drawing order.
        selected: key of the selected instance, or None; focused: index of its focused keypoint, or None.
        heat: similarity map of the focused keypoint, or None; peaks: its other candidates, best first.
        editable: boxes get handles.
        marked: keypoints of the selected instance that a split will take.
    """

    image_wh: tuple[int, int] = (0, 0)
    instances: tuple[InstanceContent, ...] = ()
    selected: str | None = None
    focused: int | None = None
    heat: SimilarityMap | None = None
    peaks: tuple[Peak, ...] = ()
    editable: bool = True
    marked: frozenset[int] = frozenset()

    @property
    def several(self) -> bool:
        """Whether instances must be told apart."""
        return len(self.instances) > 1

    def instance(self, key: str | None) -> InstanceContent | None:
        """The instance called `key`, or None."""
        return next((i for i in self.instances if i.key == key), None)

    @property
    def selected_instance(self) -> InstanceContent | None:
        """The selected instance, or None."""
        return self.instance(self.selected)

    @property
    def focused_xy(self) -> tuple[float, float] | None:
        """The place of the focused keypoint (xy_image) when it is drawn."""
        instance, focused = self.selected_instance, self.focused
        if instance is None or focused is None or focused >= len(instance.names) or not instance.drawn[focused]:
            return None
        x, y = instance.xy_image[focused].tolist()
        return x, y


@dataclass(frozen=True)
class Overlays:
    """Which layers are shown (the View menu)."""

    points: bool = True
    skeleton: bool = True
    masks: bool = True
    boxes: bool = True
    heat: bool = True
    names: bool = False
    peek: bool = False
