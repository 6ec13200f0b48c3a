"""Where the keypoints of a category lie in the schema's picture: on a labelled photo, else where a person or a template put them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kinmark.desktop.session.template import layout_key, template_points
from kinmark.engine.domain.geometry import Box
from kinmark.projects.store.queries import Queries
from kinmark.projects.store.rows import CategoryRow, ImageRow

LOOKED_AT = 40
"""Exemplars among which the most completely labelled one is taken."""
MARGIN = 0.08


@dataclass(frozen=True)
class SchemaPicture:
    """Places of keypoints by name, as shares of the picture's sides.

    Attributes:
        fixed: names of those that a label puts there; image, box: the part of a photo behind them (None: nothing).
    """

    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()
    image: ImageRow | None = None
    box: Box = (0.0, 0.0, 1.0, 1.0)


def schema_picture(queries: Queries, row: CategoryRow) -> SchemaPicture:
    """The picture of a category."""
    best, count = None, 1
    for instance in queries.instances(ids=queries.exemplar_ids(row.id, limit=LOOKED_AT)):
        labelled = int(instance.aligned(row.definition_ids).labelled.sum())
        if labelled > count:
            best, count = instance, labelled
    image = queries.image(best.image_id) if best is not None else None
    if best is None or image is None:
        return SchemaPicture(_silhouette(row, queries.setting(layout_key(row.id))))
    keypoints = best.aligned(row.definition_ids)
    x0, y0, x1, y1 = keypoints.box_or_extent()
    margin = MARGIN * max(x1 - x0, y1 - y0)
    x0, y0 = max(0.0, x0 - margin), max(0.0, y0 - margin)
    x1, y1 = min(float(image.width), x1 + margin), min(float(image.height), y1 + margin)
    places = {
        definition.name: (float(xy[0] - x0) / (x1 - x0), float(xy[1] - y0) / (y1 - y0))
        for definition, xy, there in zip(row.definitions, keypoints.xy_image, keypoints.labelled, strict=True)
        if there
    }
    return SchemaPicture(places, frozenset(places), image, (x0, y0, x1, y1))


def _silhouette(row: CategoryRow, kept: object) -> dict[str, tuple[float, float]]:
    """Places without a labelled photo: as arranged by hand, else a template with the same names, else an ellipse."""
    if not row.definitions:
        return {}
    points = template_points(row, (), kept) * 0.5 + 0.5
    return {d.name: (float(x), float(y)) for d, (x, y) in zip(row.definitions, points, strict=True)}
