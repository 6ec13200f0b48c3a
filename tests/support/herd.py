"""Photos with three of a kind, and a small real implementation of the engine's protocol that finds them.

The animals are crosses of three coloured dots; the engine knows where they were drawn. What the program does with several
answers of one photo can be checked exactly with it; the network's own answers are measured in benchmarks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kinmark.engine.api import EngineInfo, SettingsChoice
from kinmark.engine.domain.alike import is_taken
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema, Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint

NAMES = ("head", "body", "tail")
SCHEMA = KeypointSchema(NAMES, ((0, 1), (1, 2)))
SIZE_WH = (320, 200)
SPEC = RunSpec("match", "toy", settings={"labelled": 1})
SHAPE = np.array([(-26.0, -6.0), (0.0, 4.0), (28.0, 0.0)])
SURE = (0.93, 0.81, 0.64)


def places(index: int) -> np.ndarray:
    """`[3, 2]` middles of the animals of photo `index` (xy_image), left to right."""
    rng = np.random.default_rng(index)
    return np.array([(60.0, 60.0), (160.0, 130.0), (258.0, 70.0)]) + rng.uniform(-12, 12, (3, 2))


def animals(index: int) -> np.ndarray:
    """`[3, 3, 2]` keypoints of the animals of photo `index`."""
    return places(index)[:, None] + SHAPE[None]


def make_herd(folder: Path, count: int = 3) -> Path:
    """Photos herd_0.png ... with three animals each."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = Image.new("RGB", SIZE_WH, (96, 110, 92))
        draw = ImageDraw.Draw(image)
        for animal in animals(index):
            draw.line([tuple(p) for p in animal], fill=(210, 205, 190), width=7)
            for (x, y), colour in zip(animal, ((200, 70, 60), (70, 70, 200), (220, 190, 60)), strict=True):
                draw.ellipse([x - 6, y - 6, x + 6, y + 6], fill=colour, outline=(20, 20, 20))
        image.save(folder / f"herd_{index}.png")
    return folder


def make_project(folder: Path, photos: Path, *, labelled: int = 0, instances: str = "auto") -> Path:
    """A project with the category "newt"; `labelled` animals of the first photo have all keypoints."""
    with Project.create(folder, name=folder.stem) as project:
        add_paths(project, [photos])
        category_id = project.operations.add_category("newt", SCHEMA, instances=instances).ids[0]
        category = project.queries.category(category_id)
        assert category is not None
        first = project.queries.images(limit=1)[0]
        for animal in animals(0)[:labelled]:
            points = [NewKeypoint(d, *map(float, xy)) for d, xy in zip(category.definition_ids, animal, strict=True)]
            project.operations.add_instance(first.id, category_id, points)
    return folder


def propose_herd(folder: Path, indices: tuple[int, ...] = (1, 2)) -> None:
    """Three pending newts on each of the photos of these indices, sure as SURE."""
    with Project.open(folder) as project:
        [category] = project.queries.categories()
        rows = project.queries.images()
        proposals = [
            proposal_at(str(rows[i].id), category.name, animal, SURE[n], "test")
            for i in indices
            for n, animal in enumerate(animals(i))
        ]
        project.operations.add_keypoint_proposals(proposals, category.id, job="herd")


def proposal_at(image_id: str, category: str, points: np.ndarray, sure: float, request_id: str) -> InstanceProposal:
    """One newt proposed at `points` `[3, 2]`."""
    keypoints = tuple(
        KeypointProposal(name, float(x), float(y), sure, Visibility.VISIBLE, KeypointSignals(sure, 0.2))
        for name, (x, y) in zip(NAMES, points, strict=True)
    )
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return InstanceProposal(request_id, image_id, category, keypoints, sure, (x0, y0, x1, y1), SPEC, ("1",))


class HerdEngine:
    """Proposes what was drawn and is not taken, at most `limit` a target, best first."""

    def choose_settings(self, request, *, progress=None, cancel=None):
        return SettingsChoice(request.settings, (), len(request.exemplars), "given")

    def propose_keypoints(self, request, *, progress=None, cancel=None) -> Iterator[InstanceProposal]:
        for target in request.targets:
            if cancel is not None:
                cancel.check()
            index = int(target.image.path.stem.split("_")[1])
            free = [
                (points, sure)
                for points, sure in zip(animals(index), SURE, strict=True)
                if not is_taken(InstanceKeypoints(points, np.full(len(points), 2)), target.taken)
            ]
            for points, sure in free[: target.limit]:
                yield proposal_at(target.image.image_id, request.category, points, sure, request.request_id)
            if progress is not None:
                progress.step()

    def info(self):
        return EngineInfo("cpu", "float32", "toy")

    def close(self):
        pass
