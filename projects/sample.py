"""The sample project: the sample collection with one labelled exemplar per category, the rest waiting to be found."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kinmark.engine.paths import data_dir


def sample_folder() -> Path:
    """Where the sample project is kept."""
    return data_dir() / "sample.kinmark"


def make_sample_project(folder: Path) -> Path:
    """Make it (pool thread): photos, categories, one labelled photo of each; complete or not there at all."""
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project
    from kinmark.projects.store.inputs import NewKeypoint
    from kinmark.projects.workflows.demo.truth import exemplar_image, read_truth, samples_dir

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="sample-") as temporary:
        made = Path(temporary) / folder.name
        truth = read_truth()
        with Project.create(made, name="Sample collection") as project, project.group("Make the sample project"):
            add_paths(project, [samples_dir()])
            shown = False
            for true in truth.categories:
                category_id = project.operations.add_category(true.name, true.schema).ids[0]
                category = project.queries.category(category_id)
                image = exemplar_image(truth, true.name)
                row = project.queries.image_named(str(image.rel_path))
                if category is None or row is None:
                    continue
                instance = image.instances[0]
                keypoints = [
                    NewKeypoint(d.id, k.x, k.y, int(k.visibility))
                    for d in category.definitions
                    if (k := instance.keypoints.get(d.name)) is not None
                ]
                project.operations.add_instance(row.id, category.id, keypoints, box=instance.box)
                if not shown:  # the window opens at a labelled photo, among its kind
                    project.operations.set_setting("window.image", row.id)
                    shown = True
        shutil.move(made, folder)
    return folder
