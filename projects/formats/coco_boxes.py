"""Boxes of COCO annotations, rotated ones too."""

from __future__ import annotations

import math

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.checks import Item


def box_rotation(item: Item) -> float:
    """Degrees that an attribute says the box is turned by."""
    attributes = item.data.get("attributes")
    value = attributes.get("rotation") if isinstance(attributes, dict) else None
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) % 360 if number and value is not None else 0.0


def read_box(item: Item) -> Box | None:
    """The box of an annotation, None without one; ImportFileError for a size below zero."""
    if item.data.get("bbox") in (None, []):
        return None
    x, y, w, h = (checks.coordinate(v, item, '"bbox"') for v in item.numbers("bbox", 4))
    if w < 0 or h < 0:
        raise item.error(said('"bbox" has the negative size {0} x {1} (COCO boxes are [x, y, width, height])', w, h))
    return x, y, x + w, y + h
