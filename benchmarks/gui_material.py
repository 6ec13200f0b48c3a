"""Photos and projects that the window is measured on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def make_photos(folder: Path, count: int) -> Path:
    """`count` different photos (sample pictures, cropped and enlarged to 960 pixels: nothing is in any cache)."""
    import numpy as np
    from PIL import Image

    from kinmark.engine.paths import resources_dir

    folder.mkdir(parents=True)
    sources = sorted((resources_dir() / "samples" / "images").glob("*.jpg"))
    rng = np.random.default_rng(0)
    for index in range(count):
        with Image.open(sources[index % len(sources)]) as image:
            w, h = image.size
            left, top = int(rng.integers(0, w // 5 + 1)), int(rng.integers(0, h // 5 + 1))
            part = image.convert("RGB").crop((left, top, left + w * 4 // 5, top + h * 4 // 5)).resize((960, 720))
            part.save(folder / f"photo_{index:04d}.jpg", quality=88)
    return folder


def make_project(folder: Path, photos: Path) -> None:
    """A project with a labelled photo and pending proposals on the others."""
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project

    with Project.create(folder) as project:
        add_paths(project, [photos])
        fill_with_proposals(project, parts=12)


def fill_with_proposals(project: Any, *, parts: int, lowest: float = 0.2) -> None:
    """A labelled instance on the first photo, a pending proposal of `parts` keypoints on every other one."""
    import numpy as np

    from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
    from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, Peak
    from kinmark.engine.domain.runspec import RunSpec
    from kinmark.projects.store.inputs import NewKeypoint

    names = tuple(f"part_{n}" for n in range(parts))
    schema = KeypointSchema(names, tuple((n, n + 1) for n in range(parts - 1)))
    rng = np.random.default_rng(1)
    category_id = project.operations.add_category("thing", schema).ids[0]
    rows = project.queries.images()
    definition_ids = project.queries.category(category_id).definition_ids
    first = [NewKeypoint(d, 100.0 + 60 * n, 300.0) for n, d in enumerate(definition_ids)]
    project.operations.add_instance(rows[0].id, category_id, first)
    proposals = []
    for row in rows[1:]:
        points = []
        for name in names:
            x, y = float(rng.uniform(50, 900)), float(rng.uniform(50, 650))
            peaks = (Peak(x, y, 0.9), Peak(x + 40, y, 0.5))
            confidence = float(rng.uniform(lowest, 0.99))
            points.append(
                KeypointProposal(name, x, y, confidence, Visibility.VISIBLE, KeypointSignals(0.8, 0.1), peaks)
            )
        proposals.append(InstanceProposal("b", str(row.id), "thing", tuple(points), 0.8, None, RunSpec("match", "b")))
    for start in range(0, len(proposals), 1000):
        project.operations.add_keypoint_proposals(proposals[start : start + 1000], category_id, job="benchmark")


def make_big_project(folder: Path, root: Path, count: int, *, pending: bool = False) -> None:
    """`count` photos that are links to one file; `pending`: each but the first with a proposal of eight keypoints."""
    from kinmark.projects.project import Project
    from kinmark.projects.store.inputs import NewImage

    root.mkdir(exist_ok=True)
    source = next((folder.parent / "photos").glob("*.jpg"))
    images = []
    for index in range(count):
        name = f"image_{index:05d}.jpg"
        if not (root / name).exists():
            os.link(source, root / name)
        images.append(NewImage(root, name, 960, 720, sha256=f"{index:064x}", size_bytes=1))
    with Project.create(folder) as project:
        project.operations.add_images(images)
        if pending:
            fill_with_proposals(project, parts=8, lowest=0.85)
        else:
            project.operations.add_category("thing")
