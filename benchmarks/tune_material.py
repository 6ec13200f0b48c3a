"""Pictures with labels that tuning is measured on: rendered, drawn, or photographs of a COCO file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from kinmark.engine.api import Exemplar, ImageInput
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema

SIDE = 288
ALL = ("dog", "bird", "car")
PUPPET = "puppet"
TEST_SEED = 9000


def rendered_exemplars(category: str, count: int, first: int, folder: Path) -> tuple[list[Exemplar], KeypointSchema]:
    """`count` pictures of a sample category with their true keypoints, from held-out seeds beginning at `first`."""
    from PIL import Image

    from benchmarks.training.bodies import keypoint_names, twin_pairs
    from benchmarks.training.make_samples import AZIMUTH
    from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene, scene_category

    names = keypoint_names(category)
    identities = [i for i in range(HELD_OUT, HELD_OUT + 4000) if scene_category(i) == category]
    folder.mkdir(parents=True, exist_ok=True)
    found: list[Exemplar] = []
    number = first
    while len(found) < count:
        options = SceneOptions(
            category=category,
            identity=identities[number % len(identities)],
            distractor=False,
            azimuth=AZIMUTH[category],
        )
        scene = render_scene(HELD_OUT + 800_000 + number, SIDE, options)
        number += 1
        ys, xs = np.nonzero(scene.owner == 0)
        if len(xs) < 400 or int((scene.objects[0].visibility == 2).sum()) < 5:
            continue
        path = folder / f"{category}-{number}.jpg"
        Image.fromarray(scene.image).save(path, quality=95)
        body = scene.objects[0]
        xy = np.where(body.visibility[:, None] > 0, body.xy_image, np.nan).astype(np.float64)
        box = (float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
        found.append(Exemplar(ImageInput(path.stem, path), InstanceKeypoints(xy, body.visibility.astype(int), box)))
    return found, KeypointSchema(names, pairs=twin_pairs(names))


def drawn_exemplars(count: int, seed: int, folder: Path) -> tuple[list[Exemplar], KeypointSchema]:
    """`count` drawn side views of puppets (benchmarks/sequences.py): a kind of thing that the model never saw."""
    from benchmarks.sequences import side_views
    from kinmark.engine.domain.geometry import box_of_points

    film = side_views(count, seed)
    found = []
    for frame, path in zip(film.frames, film.write(folder / f"{PUPPET}{seed}"), strict=True):
        xy = np.where(frame.visibility[:, None] > 0, frame.xy_image, np.nan)
        box = box_of_points(frame.xy_image[frame.visibility > 0])
        labels = InstanceKeypoints(xy, frame.visibility.astype(int), box)
        found.append(Exemplar(ImageInput(f"{PUPPET}{seed}-{path.stem}", path), labels))
    return found, film.schema


def material(
    category: str, count: int, test: int, seed: int, folder: Path
) -> tuple[list[Exemplar], list[Exemplar], KeypointSchema]:
    """(labelled, measuring, schema) of a category; of "all", each with its own names in one schema; of drawn puppets."""
    if category == PUPPET:
        labelled, schema = drawn_exemplars(count, seed + 1, folder)
        return labelled, drawn_exemplars(test, TEST_SEED, folder)[0], schema
    categories = ALL if category == "all" else (category,)
    drawn = [
        (
            rendered_exemplars(c, count, 1000 * (seed + 1), folder / f"seed{seed}"),
            rendered_exemplars(c, test, 0, folder / "test"),
        )
        for c in categories
    ]
    if len(drawn) == 1:
        return drawn[0][0][0], drawn[0][1][0], drawn[0][0][1]
    total = sum(len(schema) for (_, schema), _ in drawn)
    labelled, measuring = [], []
    names: list[str] = []
    pairs: list[tuple[int, int]] = []
    for name, ((own, schema), (others, _)) in zip(categories, drawn, strict=True):
        first = len(names)
        names += [f"{name}/{n}" for n in schema.names]
        pairs += [(a + first, b + first) for a, b in schema.pairs]
        labelled += [_shifted(e, first, total) for e in own]
        measuring += [_shifted(e, first, total) for e in others]
    return labelled, measuring, KeypointSchema(tuple(names), pairs=tuple(pairs))


def photographed(file: Path, images: Path, category: str, count: int) -> tuple[list[Exemplar], KeypointSchema]:
    """Up to `count` labelled instances of a COCO keypoint file with at least five keypoints, and their schema."""
    from kinmark.projects.formats import coco_read
    from kinmark.projects.formats.base import ReadOptions
    from kinmark.projects.workflows.annotator import samples_of

    dataset, _ = coco_read.read(file, ReadOptions(images_root=images))
    own = next(c for c in dataset.categories if c.name == category)
    samples = [s for s in samples_of(dataset, own, images) if int(s.truth.labelled.sum()) >= 5]
    return [Exemplar(s.image, s.truth) for s in samples[:count]], own.schema


def real_material(
    data: Path, name: str, count: int, choice: int
) -> tuple[list[Exemplar], list[Exemplar], KeypointSchema]:
    """(labelled, measuring, schema) of a set of `benchmarks.real_sets`; the measuring photos of a choice are the same for every count."""
    from benchmarks.real_sets import choose, load_set

    real = load_set(data / name)
    if real is None:
        raise UserInputError(f"{data / name} shows several instances a photo.")
    exemplars = [
        Exemplar(ImageInput(f"{name}-{i}", path), InstanceKeypoints(np.where(seen[:, None], xy, np.nan), 2 * seen))
        for i, (path, xy, seen) in enumerate(zip(real.paths, real.xy, real.visible, strict=True))
    ]
    labelled, judged = choose(real, count, choice)
    return [exemplars[i] for i in labelled], [exemplars[i] for i in judged], real.schema


def _shifted(exemplar: Exemplar, first: int, total: int) -> Exemplar:
    own = exemplar.keypoints
    xy, visibility = np.full((total, 2), np.nan), np.zeros(total, dtype=int)
    xy[first : first + len(own.visibility)] = own.xy_image
    visibility[first : first + len(own.visibility)] = own.visibility
    return replace(exemplar, keypoints=InstanceKeypoints(xy, visibility, own.box))
