"""The demo's single steps, each using the same workflows as the commands and the window."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO

from engine.api import Engine
from engine.domain.errors import BugError
from engine.domain.keypoints import Visibility
from engine.domain.progress import CancelToken, Progress
from projects.formats.dataset import Dataset, DatasetImage, DatasetInstance
from projects.pictures.contact_sheet import HUMAN, Tile
from projects.project import Project
from projects.workflows.demo.sheet import FoundMask, ProposedPoint, Snapshot
from projects.workflows.demo.truth import Score, best_iou, nearest_instance, score_keypoints
from projects.workflows.exporting import ExportOptions, export_project
from projects.workflows.find import find
from projects.workflows.find_plan import FindOptions, ReferenceSpec, image_of


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
    """Compare what is pending with the true labels (of the instance that the proposal lies on)."""
    true_images = {str(image.rel_path): image for image in truth.images}
    rows = {row.id: row for row in project.queries.iter_images()}
    for (image_id, category), proposed in snapshot(project).items():
        points = {p.name: (p.x, p.y) for p in proposed if p.visibility != Visibility.ABSENT}
        true = nearest_instance(points, true_images[rows[image_id].file_name], category)
        if true is not None:
            accepted = {p.name for p in proposed if p.confidence >= accept_from and p.visibility != Visibility.ABSENT}
            score_keypoints(scores[category], points, accepted, true)


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
            f"pycocotools reads {len(read.anns)} instances from {coco}; the project holds {expected.instances}."
        )
    return result


@dataclass(frozen=True)
class FoundIdentity:
    """How well one individual was found: its `photos` other photos, how many of them rank among the first `photos`."""

    identity: str
    photos: int
    searched: int
    hits_at_top: int
    mean_iou: float
    seconds_per_image: float
    ranking: tuple[FoundMask, ...]
    reference: Tile

    def to_json(self) -> dict[str, Any]:
        """For `kinmark demo --json`."""
        return {
            "identity": self.identity, "photos": self.photos, "searched": self.searched, "hits_at_top": self.hits_at_top,
            "mean_iou": self.mean_iou, "seconds_per_image": self.seconds_per_image,
        }  # fmt: skip


def _of_identity(image: DatasetImage, identity: str) -> list[DatasetInstance]:
    return [i for i in image.instances if i.identity == identity and i.mask is not None]


def find_identity(
    project: Project, engine: Engine, truth: Dataset, exemplar: str, *, progress: Progress, cancel: CancelToken
) -> FoundIdentity:
    """Mark the individual of the photo `exemplar` by its mask and look for it in all other photos."""
    true_images = {str(image.rel_path): image for image in truth.images}
    true = true_images[exemplar].instances[0]
    options = FindOptions((ReferenceSpec(exemplar, mask=true.mask),), name=true.category, identity=true.identity)
    outcome = find(project, engine, options, progress=progress, cancel=cancel)
    rows = {row.id: row for row in project.queries.iter_images()}
    best: dict[int, FoundMask] = {}
    for item in outcome.results:
        meant = _of_identity(true_images[item.file_name], true.identity)
        iou = best_iou(item.mask.decode(), meant) if item.mask is not None and meant else 0.0
        mask = meant[0].mask if meant else None
        best.setdefault(item.image_id, FoundMask(rows[item.image_id], item.confidence, item.mask, mask, iou))
    ranking = tuple(best.values())
    present = [found for found in ranking if found.truth is not None]
    top = ranking[: len(present)]
    reference = Tile(
        image_of(project, exemplar).path, exemplar, "marked by hand: the reference", accent=HUMAN, mask_colour=HUMAN,
        mask=true.mask.decode() if true.mask else None,
    )  # fmt: skip
    return FoundIdentity(
        true.identity, len(present), outcome.searched, sum(found.truth is not None for found in top),
        sum(found.iou for found in present) / max(1, len(present)), outcome.seconds / max(1, outcome.searched), ranking, reference,
    )  # fmt: skip
