"""Label files as published data sets write them through the newer formats and back: everything is recognised, nothing is added.

First files of the same make that are drawn here, then, where they lie beside the checkout, the published ones themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project, project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.coco_shapes import SHAPES, published_files, write_shape


def through_label_studio(source: Path, folder: Path) -> None:
    with Project.create(folder / "p.kinmark") as project:
        add_paths(project, [source.parent])
        before = import_file(project, source)
        export_project(project, folder / "out", ExportOptions("label-studio"))
        result = import_file(project, folder / "out" / "tasks.json", ImportOptions("label-studio"))
        assert (result.added, result.changed, result.images_added) == (0, 0, 0)
        assert result.kept == before.added > 0


def through_tps(source: Path, folder: Path) -> None:
    with Project.create(folder / "p.kinmark") as project:
        add_paths(project, [source.parent])
        import_file(project, source)
        export_project(project, folder / "out", ExportOptions("tps"))
        first, _ = project_dataset(project)
    with Project.create(folder / "q.kinmark") as project:
        add_paths(project, [source.parent])
        import_file(project, folder / "out", ImportOptions("tps"))
        second, _ = project_dataset(project)

    def visible(dataset, path):  # type: ignore[no-untyped-def]
        [image] = [i for i in dataset.images if i.rel_path == path]
        return sorted(
            (n.category, name, round(k.x, 6), round(k.y, 6))
            for n in image.instances
            for name, k in n.keypoints.items()
            if k.x is not None and k.y is not None and not (k.x < 0 and k.y > image.height)
        )

    assert sum(len(visible(first, i.rel_path)) for i in first.images) > 0
    for image in first.images:
        assert visible(first, image.rel_path) == visible(second, image.rel_path)


@pytest.mark.parametrize("way", [through_label_studio, through_tps])
@pytest.mark.parametrize("name", SHAPES)
def test_files_of_every_published_shape(name: str, way: Callable[[Path, Path], None], tmp_path: Path) -> None:
    way(write_shape(name, tmp_path / "photos"), tmp_path)


@pytest.mark.parametrize("way", [through_label_studio, through_tps])
def test_the_published_files_themselves(way: Callable[[Path, Path], None], shared_dir: Path, tmp_path: Path) -> None:
    for source in published_files(shared_dir):
        folder = tmp_path / source.stem
        folder.mkdir()
        way(source, folder)
