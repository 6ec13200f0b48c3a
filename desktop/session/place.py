"""Where a person was in a project: photo, zoom, filter, search, list or grid. Kept in the project's settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MAX_TEXT = 300


@dataclass(frozen=True)
class Place:
    """One place; the defaults are those of a project that was never shown.

    Attributes:
        filter, more: the chosen line of the filter list, and the text of the second list; search: of the search field.
        grid: tiles instead of rows.
        zoom: screen pixels per photo pixel, 0 = fitted; centre: middle of the view as fractions of the photo.
    """

    filter: str = "all"
    more: str = ""
    search: str = ""
    grid: bool = False
    zoom: float = 0.0
    centre: tuple[float, float] = (0.5, 0.5)

    def to_setting(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "centre": list(self.centre)}


def place_from_setting(data: object) -> Place:
    """From what a project holds; anything that does not fit becomes the default (projects come from strangers too)."""
    if not isinstance(data, Mapping):
        return Place()
    plain = Place()
    texts = {
        k: data[k] for k in ("filter", "more", "search") if isinstance(data.get(k), str) and len(data[k]) <= MAX_TEXT
    }
    zoom, centre = data.get("zoom"), data.get("centre")
    good_zoom = _is_number(zoom) and 0 < zoom <= 64  # type: ignore[operator]
    good_centre = isinstance(centre, list) and len(centre) == 2 and all(_is_number(c) and -1 <= c <= 2 for c in centre)
    return Place(
        **texts,
        grid=data.get("grid") is True,
        zoom=float(zoom) if good_zoom else plain.zoom,  # type: ignore[arg-type]
        centre=(float(centre[0]), float(centre[1])) if good_centre else plain.centre,  # type: ignore[index]
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
