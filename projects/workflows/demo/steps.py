"""The demo's single steps, each using the same workflows as the commands and the window."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from kinmark.engine.api import Engine
from kinmark.engine.domain.errors import BugError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import Dataset, DatasetInstance
from kinmark.projects.pictures.contact_sheet import HUMAN, Tile
from kinmark.projects.project import Project
from kinmark.projects.workflows.demo.sheet import FoundMask, ProposedPoint, Snapshot
from kinmark.projects.workflows.demo.truth import (
    Score,
    best_iou,
    instance_box,
    instance_of,
    nearest_instance,
    score_keypoints,
)
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.find import find
from kinmark.projects.workflows.find_plan import FindOptions, ReferenceSpec, image_of


def snapshot(project: Project) -> Snapshot:
    """The pending keypoints of every photo, before anything is accepted."""
    result: Snapshot = {}
    for category in project.queries.categories():
        names = {d.id: d.name for d in category.definitions}
        for proposal in project.queries.proposals(category_id=category.id, kind="keypoints"):
            result[proposal.image_id, category.name] = tuple(
                ProposedPoint(names[k.definition_id], k.x, k.y, k.confidence, k.visibility)
                for k in proposal.keypoints
                if k.x is not None and k.y is not None
            )
    return result


def score_proposals(project: Project, truth: Dataset, scores: dict[str, Score], accept_from: float) -> None:
    """Compare what is pending with the true labels (of the instance that the proposal lies on).

    Where nothing of the category is in the photo, every point that is sure enough is a wrong one.
    """
    true_images = {str(image.rel_path): image for image in truth.images}
    rows = {row.id: row for row in project.queries.iter_images()}
    labelled = {(i.image_id, i.category_id) for i in project.queries.iter_instances()}
    for category_row in project.queries.categories():
        own = {
            row_id
            for row_id, row in rows.items()
            if any(i.category == category_row.name for i in true_images[row.file_name].instances)
        }
        if category_row.name in scores:
            scores[category_row.name].there = len([i for i in own if (i, category_row.id) not in labelled])
    for (image_id, category), proposed in snapshot(project).items():
        points = {p.name: (p.x, p.y) for p in proposed if p.visibility != Visibility.ABSENT}
        if category not in scores:
            continue
        score, true = scores[category], nearest_instance(points, true_images[rows[image_id].file_name], category)
        accepted = {p.name for p in proposed if p.confidence >= accept_from and p.visibility != Visibility.ABSENT}
        if true is None:
            score.elsewhere += 1
            score.accepted += len(accepted)
        else:
            score.asked += 1
            score_keypoints(score, points, accepted, true)


def export_and_check(project: Project, coco: Path, spair: Path) -> dict[str, Any]:
    """Export both formats; COCO is read again by pycocotools, as a stranger's program would.

    Raises:
        BugError: what pycocotools reads is not what the project holds.
    """
    result: dict[str, Any] = {}
    for name, folder in (("coco", coco), ("spair", spair)):
        report = export_project(project, folder, ExportOptions(name))
        result[name] = {
            "folder": str(folder),
            "summary": report.extra["summary"],
            "images": report.images,
            "instances": report.instances,
        }
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO(str(coco / "annotations.json"))
    expected = project.queries.counts()
    if (
        len(read.anns) != expected.instances
        or sum(bool(a.get("segmentation")) for a in read.anns.values()) != expected.masks
    ):
        raise BugError(
            said(
                "pycocotools reads {0} instances from {1}; the project holds {2}.",
                len(read.anns),
                coco,
                expected.instances,
            )
        )
    return result


@dataclass(frozen=True)
class FoundIdentity:
    """How well one individual was found: its `photos` other photos, how many of them rank among the first `photos`.

    Where the labels name no individuals `photos` is 0 and nothing is measured.
    """

    identity: str
    photos: int
    searched: int
    hits_at_top: int
    mean_iou: float | None
    seconds_per_image: float
    ranking: tuple[FoundMask, ...]
    reference: Tile

    def to_json(self) -> dict[str, Any]:
        """For `kinmark demo --json`."""
        return {
            "identity": self.identity,
            "photos": self.photos,
            "searched": self.searched,
            "hits_at_top": self.hits_at_top,
            "mean_iou": self.mean_iou,
            "seconds_per_image": self.seconds_per_image,
        }


def individual_to_find(truth: Dataset, exemplars: dict[str, str]) -> DatasetInstance:
    """The first exemplar whose individual is in other photos, too; without named individuals the first one."""
    images = {str(image.rel_path): image for image in truth.images}
    candidates = [instance_of(images[file], category) for category, file in exemplars.items()]
    seen = Counter(i.identity for image in truth.images for i in image.instances if i.identity)
    return next((i for i in candidates if i.identity and seen[i.identity] > 1), candidates[0])


def find_identity(
    project: Project,
    engine: Engine,
    truth: Dataset,
    exemplars: dict[str, str],
    *,
    progress: Progress,
    cancel: CancelToken,
) -> FoundIdentity:
    """Mark the individual of one of the exemplars by its mask (or box) and look for it in all other photos."""
    true_images = {str(image.rel_path): image for image in truth.images}
    true = individual_to_find(truth, exemplars)
    exemplar = exemplars[true.category]
    name = true.identity or f"the {true.category} of {Path(exemplar).name}"
    reference = ReferenceSpec(exemplar, mask=true.mask, box=None if true.mask is not None else instance_box(true))
    options = FindOptions((reference,), name=true.category, identity=name)
    outcome = find(project, engine, options, progress=progress, cancel=cancel)
    rows = {row.id: row for row in project.queries.iter_images()}
    best: dict[int, FoundMask] = {}
    for item in outcome.results:
        meant = [i for i in true_images[item.file_name].instances if i.identity and i.identity == true.identity]
        masked = [i for i in meant if i.mask is not None]
        iou = best_iou(item.mask.decode(), masked) if item.mask is not None and masked else 0.0
        shown = FoundMask(
            rows[item.image_id], item.confidence, item.mask, masked[0].mask if masked else None, iou, bool(meant)
        )
        best.setdefault(item.image_id, shown)
    ranking = tuple(best.values())
    present = [found for found in ranking if found.there]
    measured = [found.iou for found in present if found.truth is not None]
    tile = Tile(
        image_of(project, exemplar).path,
        exemplar,
        "marked by hand: the reference",
        accent=HUMAN,
        mask_colour=HUMAN,
        mask=true.mask.decode() if true.mask else None,
        box=reference.box,
    )
    return FoundIdentity(
        name,
        len(present),
        outcome.searched,
        sum(found.there for found in ranking[: len(present)]),
        sum(measured) / len(measured) if measured else None,
        outcome.seconds / max(1, outcome.searched),
        ranking,
        tile,
    )
