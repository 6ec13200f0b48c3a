"""Keypoint schemas on their way in: unique names, 0- and 1-based skeletons, left/right pairs guessed from names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import DatasetCategory, Report

_SIDES = (
    (re.compile(r"left", re.IGNORECASE), "right"),
    (re.compile(r"(?<![A-Za-z])[Ll](?![A-Za-z])"), "r"),
    (re.compile(r"(?<=[a-z])L(?![a-z])"), "R"),
    (re.compile(r"(?<![A-Za-z])L(?=[A-Z][a-z])"), "R"),
)
COCO_PERSON = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
COCO_SIGMAS = (
    0.026,
    0.025,
    0.025,
    0.035,
    0.035,
    0.079,
    0.079,
    0.072,
    0.072,
    0.062,
    0.062,
    0.107,
    0.107,
    0.087,
    0.087,
    0.089,
    0.089,
)
DEFAULT_SIGMA = 0.05


def _match_case(replacement: str, original: str) -> str:
    if original.isupper():
        return replacement.upper()
    return replacement.capitalize() if original[:1].isupper() else replacement.lower()


def guess_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Index pairs (left, right) of names that differ only in left/right or L/R, each index at most once."""
    place = {name: i for i, name in enumerate(names)}
    used: set[int] = set()
    pairs: list[tuple[int, int]] = []
    for i, name in enumerate(names):
        for pattern, other in _SIDES:
            twin = pattern.sub(lambda m, other=other: _match_case(other, m.group()), name)  # type: ignore[misc]
            j = place.get(twin)
            if twin != name and j is not None and i not in used and j not in used:
                pairs.append((i, j))
                used.update((i, j))
                break
    return tuple(pairs)


def unique_names(names: Sequence[str], where: str, report: Report) -> list[str]:
    """Names made unique by "#2", "#3", and empty ones numbered; each change is reported."""
    seen: set[str] = set()
    result: list[str] = []
    for place, name in enumerate(names, start=1):
        if not name.strip():
            report.add("changed", where, said('the keypoint {0} has no name; it is now "kp{0}"', place))
            name = f"kp{place}"
        candidate, number = name, 2
        while candidate in seen:
            candidate, number = f"{name}#{number}", number + 1
        if candidate != name:
            report.add(
                "changed",
                where,
                said('the keypoint name "{0}" stands twice; the later one is now "{1}"', name, candidate),
            )
        seen.add(candidate)
        result.append(candidate)
    return result


def skeleton_edges(
    edges: Sequence[tuple[int, int]], count: int, where: str, report: Report
) -> tuple[tuple[int, int], ...]:
    """1-based COCO edges to 0-based ones; a 0 entry tells that the file counts from 0 (reported). Bad edges are left out."""
    base = 0 if any(0 in edge for edge in edges) else 1
    if base == 0:
        report.add("changed", where, "the skeleton counts keypoints from 0 although COCO counts from 1; read as such")
    result: list[tuple[int, int]] = []
    for a, b in edges:
        edge = (a - base, b - base)
        if not (0 <= edge[0] < count and 0 <= edge[1] < count) or a == b:
            report.add(
                "skipped", where, said("the skeleton edge [{0}, {1}] does not join two keypoints of the category", a, b)
            )
        elif edge not in result:
            result.append(edge)
    return tuple(result)


def suggested_sigmas(schema: KeypointSchema, own: Sequence[float] = ()) -> list[float]:
    """OKS sigmas for pycocotools' `params.kpt_oks_sigmas`: the data's own, COCO's for COCO people, else 0.05 each."""
    if len(own) == len(schema):
        return list(own)
    if schema.names == COCO_PERSON:
        return list(COCO_SIGMAS)
    return [DEFAULT_SIGMA] * len(schema)


class SchemaCollector:
    """Gathers categories and keypoint names in the order they are met, for formats that declare no schema."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._declared: dict[str, DatasetCategory] = {}
        self._names: dict[str, list[str]] = {}

    def declare(self, category: DatasetCategory) -> None:
        """A category with a known schema; the first declaration counts."""
        self._declared.setdefault(category.name, category)
        self.see(category.name, category.schema.names)

    def see(self, category: str, names: Iterable[str]) -> None:
        """Keypoint names met on an instance of the category."""
        known = self._names.setdefault(category, [])
        known += [n for n in names if n not in known]

    def order(self, category: str) -> Sequence[str]:
        """The names met so far."""
        return self._names[category]

    def categories(self) -> tuple[DatasetCategory, ...]:
        """Declared schemas (with further names at the end), others with pairs guessed from the names."""
        result = []
        for name, names in self._names.items():
            declared = self._declared.get(name)
            if declared is None:
                result.append(DatasetCategory(name, KeypointSchema(tuple(names), pairs=guess_pairs(names))))
                continue
            schema = KeypointSchema(tuple(names), declared.schema.edges, declared.schema.pairs)
            result.append(replace(declared, schema=schema))
        return tuple(result)
