"""The classes of a YOLO data set, their keypoints and pairs, from data.yaml."""

from __future__ import annotations

from typing import Any

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.dataset import DatasetCategory, Report
from kinmark.projects.formats.schemas import guess_pairs, unique_names


def read_classes(top: Item, pose: bool, report: Report) -> tuple[list[DatasetCategory], int, int]:
    """The classes, and the two numbers of kpt_shape (0, 0 for outlines)."""
    raw = top.required("names")
    entries = dict(enumerate(raw)) if isinstance(raw, list) else _by_number(raw)
    if not isinstance(entries, dict) or not entries:
        raise top.error('"names" must list the classes')
    told = top.data.get("nc")
    if isinstance(told, int) and told != len(entries):
        report.add(
            "flagged",
            "data.yaml",
            said('"nc" says {0} classes, "names" lists {1}; the names are taken', told, len(entries)),
        )
    numbers = sorted(checks.whole(k, top, 'a key of "names"', low=0, high=100_000) for k in entries)
    if numbers != list(range(len(numbers))):
        raise top.error(
            '"names" must number the classes 0, 1, 2 ...',
            "Give every number up to the last one a name, also unused ones.",
        )
    names = unique_names([Item(top.path, "names", {"n": entries[i]}).text("n") for i in numbers], "names", report)
    if not pose:
        return [DatasetCategory(name) for name in names], 0, 0
    if "kpt_shape" not in top.data:
        raise top.error(
            'the field "kpt_shape" is missing',
            "Sets without keypoints (boxes, outlines) are read with --format yolo-seg; a pose set needs kpt_shape: [17, 3].",
        )
    shape = [checks.whole(v, top, '"kpt_shape"', low=1, high=checks.MAX_KEYPOINTS) for v in top.items("kpt_shape")]
    if len(shape) != 2 or shape[1] not in (2, 3):
        raise top.error('"kpt_shape" must be [number of keypoints, 2 or 3]')
    pairs = _flip_pairs(top, shape[0])
    own_pairs = Item(top.path, "kinmark_pairs", top.data.get("kinmark_pairs") or {})
    result = []
    for i, name in enumerate(names):
        points = _keypoint_names(top, i, name, shape[0], report)
        chosen = pairs or guess_pairs(points)
        if name in own_pairs.data:
            chosen = tuple(
                (
                    checks.whole(a, top, "a pair", low=0, high=len(points) - 1),
                    checks.whole(b, top, "a pair", low=0, high=len(points) - 1),
                )
                for a, b in (e for e in own_pairs.items(name) if isinstance(e, list) and len(e) == 2)
            )
        result.append(DatasetCategory(name, KeypointSchema(tuple(points), pairs=chosen)))
    return result, shape[0], shape[1]


def _by_number(table: Any) -> Any:
    """A table of classes whose numbers may be texts ("0")."""
    if not isinstance(table, dict):
        return table
    return {int(k) if isinstance(k, str) and k.isascii() and k.isdigit() else k: v for k, v in table.items()}


def _keypoint_names(top: Item, index: int, name: str, count: int, report: Report) -> list[str]:
    """Of `kpt_names`: a list for all classes, or one for each class by its number or name."""
    table = _by_number(top.data.get("kpt_names"))
    raw = table.get(index, table.get(name)) if isinstance(table, dict) else table
    if not isinstance(raw, list) or len(raw) != count:
        if raw is not None:
            found = len(raw) if isinstance(raw, list) else 0
            report.add(
                "skipped",
                said("kpt_names of class {0}", index),
                said("{0} names for {1} keypoints; called kp0, kp1 ...", found, count),
            )
        return [f"kp{i}" for i in range(count)]
    names = [Item(top.path, "kpt_names", {"n": n}).text("n") for n in raw]
    while names and names[-1] == f"unused_{len(names) - 1}":
        names.pop()
    return unique_names(names, "kpt_names", report)


def _flip_pairs(top: Item, count: int) -> tuple[tuple[int, int], ...]:
    raw = top.data.get("flip_idx")
    if not isinstance(raw, list) or not raw:
        return ()
    flip = [checks.whole(v, top, '"flip_idx"', low=0, high=count - 1) for v in raw]
    if len(flip) != count or any(flip[flip[i]] != i for i in range(count)):
        raise top.error('"flip_idx" must exchange keypoints in pairs')
    return tuple((i, j) for i, j in enumerate(flip) if i < j)
