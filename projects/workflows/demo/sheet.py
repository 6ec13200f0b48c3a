"""The demo's contact sheet: exemplar, proposals against the truth, and the identity that was found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.formats.dataset import Dataset, DatasetImage
from kinmark.projects.pictures.contact_sheet import ACCEPTED, DOUBT, DrawnPoint, Section, Tile, draw_contact_sheet
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow, ImageRow
from kinmark.projects.workflows.demo.truth import instance_of, placed

DOUBT_BELOW = 0.35
TILES_PER_CATEGORY, TILES_OF_OTHERS = 11, 3


@dataclass(frozen=True)
class ProposedPoint:
    """One proposed keypoint as it was before anything was accepted."""

    name: str
    x: float
    y: float
    confidence: float
    visibility: int


Snapshot = dict[tuple[int, str], tuple[ProposedPoint, ...]]
"""(image id, category) to the proposed keypoints."""


@dataclass(frozen=True)
class FoundMask:
    """One photo of the ranking with the proposed mask (None: "not here"); `there`: the individual is in the photo."""

    image: ImageRow
    confidence: float
    mask: MaskRLE | None
    truth: MaskRLE | None
    iou: float
    there: bool


def _style(point: ProposedPoint, accept_from: float) -> str:
    if point.confidence >= accept_from:
        return "accepted"
    return "doubt" if point.confidence < DOUBT_BELOW else "pending"


def _edges(
    category: CategoryRow, points: dict[str, tuple[float, float]]
) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    names = category.schema.names
    return tuple(
        (points[names[a]], points[names[b]])
        for a, b in category.schema.edges
        if names[a] in points and names[b] in points
    )


def _exemplar_tile(image: ImageRow, category: CategoryRow, true: DatasetImage) -> Tile:
    instance = instance_of(true, category.name)
    points = placed(instance)
    drawn = tuple(
        DrawnPoint(x, y, "human", instance.keypoints[name].visibility == Visibility.HIDDEN)
        for name, (x, y) in points.items()
    )
    return Tile(
        image.path, image.file_name, "labelled by hand: the exemplar", drawn, _edges(category, points), accent="#0072B2"
    )


def _proposal_tile(
    image: ImageRow, category: CategoryRow, true: DatasetImage, proposed: tuple[ProposedPoint, ...], accept_from: float
) -> Tile:
    shown = [point for point in proposed if point.visibility != Visibility.ABSENT]
    points = {point.name: (point.x, point.y) for point in shown}
    crosses = [
        DrawnPoint(x, y, "truth")
        for instance in true.instances
        if instance.category == category.name
        for x, y in placed(instance).values()
    ]
    dots = [DrawnPoint(p.x, p.y, _style(p, accept_from), p.visibility == Visibility.HIDDEN) for p in shown]
    sure = sum(point.confidence >= accept_from for point in shown)
    subtitle = f"{sure} of {len(proposed)} keypoints accepted at {accept_from:.0%}"
    if not any(instance.category == category.name for instance in true.instances):
        subtitle = f"no {category.name} here; {sure} keypoints accepted"
    elif not proposed:
        subtitle = f"not asked for {category.name}"
    return Tile(image.path, image.file_name, subtitle, (*crosses, *dots), _edges(category, points))


def _found_tile(found: FoundMask, rank: int, measured: bool) -> Tile:
    colour = ACCEPTED if found.iou >= 0.5 or not measured else DOUBT
    there = ("in the photo" if found.there else "not in the photo") if measured else ""
    answer = f"mask IoU {found.iou:.2f}" if found.mask is not None and found.truth is not None else there
    return Tile(
        found.image.path,
        f"{rank}. {found.image.file_name}",
        "; ".join(filter(None, (f"{found.confidence:.0%} sure", answer))),
        mask=found.mask.decode() if found.mask else None,
        mask_colour=colour,
        truth_mask=found.truth.decode() if found.truth else None,
        accent=ACCEPTED if found.there else "",
    )


@dataclass(frozen=True)
class Ranking:
    """What the search found: the reference, the individual's name, and the photos, best first."""

    reference: Tile
    identity: str
    found: tuple[FoundMask, ...]


def draw_demo_sheet(
    project: Project,
    truth: Dataset,
    exemplars: dict[str, str],
    snapshot: Snapshot,
    accept_from: float,
    ranking: Ranking,
    out: Path,
) -> Path:
    """One section per category and one for the individual; returns the PNG."""
    true_images = {str(image.rel_path): image for image in truth.images}
    rows = {row.file_name: row for row in project.queries.iter_images()}
    sections = []
    for category in project.queries.categories():
        if category.name not in exemplars:
            continue
        first = exemplars[category.name]
        tiles = [_exemplar_tile(rows[first], category, true_images[first])]
        shown: dict[bool, list[ImageRow]] = {True: [], False: []}
        for name, row in rows.items():
            there = any(i.category == category.name for i in true_images[name].instances)
            if name != first and (there or snapshot.get((row.id, category.name))):
                shown[there].append(row)
        wrong = shown[False][:TILES_OF_OTHERS]
        for row in (*shown[True][: TILES_PER_CATEGORY - len(wrong)], *wrong):
            proposed = snapshot.get((row.id, category.name), ())
            tiles.append(_proposal_tile(row, category, true_images[row.file_name], proposed, accept_from))
        sections.append(Section(f"Keypoints: {category.name}", tuple(tiles), "one photo labelled, the others proposed"))
    measured = any(item.there for item in ranking.found)
    best = tuple(_found_tile(item, rank + 1, measured) for rank, item in enumerate(ranking.found[:TILES_PER_CATEGORY]))
    note = f"marked once, ranked over all photos (first {len(best)})"
    sections.append(Section(f"One individual: {ranking.identity}", (ranking.reference, *best), note))
    return draw_contact_sheet("Kinmark demo", tuple(sections), out)
