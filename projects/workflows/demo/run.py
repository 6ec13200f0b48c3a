"""Labelled photos -> project -> one exemplar per category -> propose -> find -> accept -> export -> measure."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinmark.engine.api import EngineConfig, EngineInfo, open_engine
from kinmark.engine.domain.errors import BugError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import DatasetImage
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.demo import steps
from kinmark.projects.workflows.demo.photos import DemoPhotos, sample_photos
from kinmark.projects.workflows.demo.sheet import Ranking, draw_demo_sheet
from kinmark.projects.workflows.demo.truth import Score, exemplar_image, instance_of, samples_dir
from kinmark.projects.workflows.propose import CategoryOutcome, propose
from kinmark.projects.workflows.propose_options import ProposeOptions

MARKER = ".kinmark-demo"
ACCEPT_FROM = 0.8


@dataclass
class DemoResult:
    """What the demo made and measured."""

    out: Path
    project: Path
    sheet: Path
    coco: Path
    spair: Path
    categories: dict[str, Score] = field(default_factory=dict)
    outcomes: dict[str, CategoryOutcome] = field(default_factory=dict)
    exemplars: dict[str, str] = field(default_factory=dict)
    found: steps.FoundIdentity | None = None
    exported: dict[str, Any] = field(default_factory=dict)
    engine: EngineInfo | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """For `kinmark demo --json`."""
        rows = {}
        for name, score in self.categories.items():
            outcome = self.outcomes[name]
            rows[name] = {
                "exemplar": self.exemplars[name],
                "proposals": outcome.proposals,
                "keypoints": outcome.keypoints,
                "accepted_keypoints": score.accepted,
                "pck_0.1": score.pck,
                "accepted_precision": score.precision,
                "seconds_per_image": outcome.seconds / max(1, outcome.targets),
                "settings": outcome.reason,
                "photos_there": score.there,
                "asked_there": score.asked,
                "asked_elsewhere": score.elsewhere,
                "apart": outcome.apart,
            }
        return {
            "project": str(self.project),
            "contact_sheet": str(self.sheet),
            "coco": str(self.coco),
            "spair": str(self.spair),
            "categories": rows,
            "identity": self.found.to_json() if self.found else None,
            "exported": self.exported,
            "device": self.engine.device if self.engine else "",
            "dtype": self.engine.dtype if self.engine else "",
            "backbone": self.engine.backbone if self.engine else "",
            "seconds": self.seconds,
            "notes": list(self.notes),
        }


def prepare_folder(out: Path) -> None:
    """An empty folder for the demo; an earlier demo's results are replaced, anything else is left alone.

    Raises:
        UserInputError: `out` holds something that no demo made.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARKER).exists())):
        raise UserInputError(said("{0} exists and was not made by the demo.", out), "Choose another folder with --out.")
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARKER).write_text("Made by `kinmark demo`; replaced by its next run.\n", encoding="utf-8")


def label_exemplar(project: Project, category: CategoryRow, image: DatasetImage) -> str:
    """Do what a person does first: place the keypoints of one photo (here: taken from the true labels)."""
    row = project.queries.image_named(str(image.rel_path))
    if row is None:
        raise BugError(said("The photo {0} is not in the demo project.", image.rel_path))
    true = instance_of(image, category.name)
    keypoints = [
        NewKeypoint(definition.id, k.x, k.y, int(k.visibility))
        for definition in category.definitions
        if (k := true.keypoints.get(definition.name)) is not None
    ]
    project.operations.add_instance(row.id, category.id, keypoints, box=true.box, mask=true.mask)
    return row.file_name


def _set_up(project: Project, photos: DemoPhotos, result: DemoResult) -> None:
    add_paths(project, photos.paths, root=photos.root)
    for true in photos.truth.categories:
        category_id = project.operations.add_category(true.name, true.schema, supercategory=true.supercategory).ids[0]
        category = project.queries.category(category_id)
        if category is not None:
            result.exemplars[true.name] = label_exemplar(project, category, exemplar_image(photos.truth, true.name))


def run_demo(
    out: Path, photos: DemoPhotos | None = None, *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> DemoResult:
    """Run every step of the main job; every failing step raises.

    Args:
        out: folder for the project, the exports and the contact sheet (made; an earlier demo there is replaced).
        photos: None = the sample collection.

    Raises:
        UserInputError: `out` holds something else. KnownError: a step cannot be done on this machine.
    """
    started = time.monotonic()
    progress, cancel = progress or Progress(), cancel or CancelToken()
    photos = photos or sample_photos()
    out = out.absolute()
    prepare_folder(out)
    truth, name = photos.truth, "sample" if photos.root == samples_dir() else "demo"
    result = DemoResult(
        out, out / f"{name}.kinmark", out / "contact-sheet.png", out / "coco", out / "spair", notes=photos.notes
    )
    engine = open_engine(EngineConfig(cache_dir=out / "cache"))
    with Project.create(result.project, name=photos.name) as project:
        try:
            _set_up(project, photos, result)
            for outcome in propose(project, engine, ProposeOptions(), progress=progress, cancel=cancel):
                result.outcomes[outcome.category], result.categories[outcome.category] = outcome, Score()
            steps.score_proposals(project, truth, result.categories, ACCEPT_FROM)
            found = steps.find_identity(project, engine, truth, result.exemplars, progress=progress, cancel=cancel)
            result.found, drawn = found, steps.snapshot(project)
            project.operations.accept_proposals(min_confidence=ACCEPT_FROM)
            result.engine = engine.info()
        finally:
            engine.close()
        result.exported = steps.export_and_check(project, result.coco, result.spair)
        ranking = Ranking(found.reference, found.identity, found.ranking)
        draw_demo_sheet(project, truth, result.exemplars, drawn, ACCEPT_FROM, ranking, result.sheet)
    result.seconds = time.monotonic() - started
    return result
