"""Real label files through the newer formats and back: everything is recognised, nothing is added."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project, project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file

REAL = ("coco/test_coco", "animalpose/test_animalpose", "ap10k/test_ap10k", "macaque/test_macaque", "zebra/test_zebra")


@pytest.mark.parametrize("name", REAL)
def test_label_studio_recognises_every_instance(name: str, shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / f"{name}.json"
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [source.parent])
        before = import_file(project, source)
        export_project(project, tmp_path / "out", ExportOptions("label-studio"))
        result = import_file(project, tmp_path / "out" / "tasks.json", ImportOptions("label-studio"))
        assert (result.added, result.changed, result.images_added) == (0, 0, 0)
        assert result.kept == before.added > 0


@pytest.mark.parametrize("name", REAL)
def test_keypoints_through_tps(name: str, shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / f"{name}.json"
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [source.parent])
        import_file(project, source)
        export_project(project, tmp_path / "out", ExportOptions("tps"))
        first, _ = project_dataset(project)
    with Project.create(tmp_path / "q.kinmark") as project:
        add_paths(project, [source.parent])
        import_file(project, tmp_path / "out", ImportOptions("tps"))
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
