"""Masks of COCO annotations: polygons, run lengths as text and as lists."""

from __future__ import annotations

from pycocotools import mask as coco_mask

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import clause, said
from kinmark.projects.formats import checks
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import DatasetImage, Report
from kinmark.projects.formats.polygons import MAX_POINTS, polygons_to_mask


def read_mask(item: Item, image: DatasetImage, report: Report) -> MaskRLE | None:
    """The mask of an annotation in the size of its image, None without one; ImportFileError names what is wrong."""
    segmentation = item.data.get("segmentation")
    if segmentation is None or segmentation == []:
        return None
    if isinstance(segmentation, dict):
        return _read_rle(Item(item.path, item.where, segmentation), image)
    polygons = _read_polygons(item, report)
    item.data = {**item.data, "segmentation": polygons}
    if not polygons:
        return None
    try:
        return polygons_to_mask(polygons, image.height, image.width)
    except ValueError as error:
        raise item.error(said("its polygons cannot be drawn: {0}", error)) from None


def _read_polygons(item: Item, report: Report) -> list[list[float]]:
    raw = item.items("segmentation")
    if raw and not isinstance(raw[0], list):
        report.count("changed", "polygon that is not inside a list of polygons", item.where, "read as one polygon")
        raw = [raw]
    if sum(len(ring) for ring in raw if isinstance(ring, list)) > 2 * MAX_POINTS:
        raise item.error(said("its polygons have more than {0} points", MAX_POINTS))
    polygons: list[list[float]] = []
    for ring in raw:
        if not isinstance(ring, list) or len(ring) % 2:
            raise item.error("each polygon must be a list with an even count of numbers")
        if not ring:
            continue  # [[]] stands for no outline
        if len(ring) < 6:
            why = "it encloses nothing: three points are needed"
            report.count("skipped", "polygon of one or two points", item.where, why)
            continue
        polygons.append([checks.coordinate(v, item, "a polygon") for v in ring])
    return polygons


def _read_rle(item: Item, image: DatasetImage) -> MaskRLE:
    height, width = (
        checks.whole(v, item, "the RLE size", low=1, high=checks.MAX_SIDE) for v in item.numbers("size", 2)
    )
    if (height, width) != (image.height, image.width):
        raise item.error(
            said("the RLE size [{0}, {1}] is not the image's [{2}, {3}]", height, width, image.height, image.width)
        )
    counts = item.required("counts")
    if isinstance(counts, str):
        mask = MaskRLE(height, width, counts)
        try:
            mask.validate()
        except AppError as error:
            raise item.error(clause(error.user_message), _bytes_hint(counts)) from None
        return mask
    if not isinstance(counts, list):
        raise item.error('the RLE "counts" must be text or a list')
    runs = [checks.whole(v, item, "an RLE run", low=0, high=height * width) for v in counts]
    if sum(runs) != height * width:
        raise item.error(said("the RLE runs add up to {0}, the image has {1} pixels", sum(runs), height * width))
    packed = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return MaskRLE(height, width, packed["counts"].decode("ascii"))


def _bytes_hint(counts: str) -> str:
    return "The text is that of Python bytes: leave b' and ' away." if counts.startswith(("b'", 'b"')) else ""
