""" "All are labelled" leaves the project and comes back, as our words and as LVIS's; what cannot say it is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from kinmark.projects.formats.registry import FORMATS, get_format
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export, project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file
from kinmark.projects.workflows.merging import merge_project
from tests.support.herd import animals, make_herd, make_project


@pytest.fixture
def herd(tmp_path: Path) -> Iterator[Project]:
    """Five photos: 1 complete with three newts, 2 not complete with one, 3 nobody said with one, 4 nothing here, 5 unseen."""
    folder = make_project(tmp_path / "newts.kinmark", make_herd(tmp_path / "photos", 5), labelled=3)
    with Project.open(folder) as project:
        [category] = project.queries.categories()
        ids = [row.id for row in project.queries.images()]
        for index in (1, 2):
            points = [
                NewKeypoint(d, *map(float, xy))
                for d, xy in zip(category.definition_ids, animals(index)[0], strict=True)
            ]
            project.operations.add_instance(ids[index], category.id, points)
        project.operations.set_exhaustive(ids[:1], category.id, True)
        project.operations.set_exhaustive(ids[1:2], category.id, False)
        project.operations.mark_nothing_here(ids[3:4], category.id)
        yield project


def said(project: Project) -> dict[str, dict[str, bool]]:
    names = {row.id: row.file_name for row in project.queries.images()}
    kinds = {c.id: c.name for c in project.queries.categories()}
    return {names[i]: {kinds[k]: v for k, v in own.items()} for i, own in project.queries.exhaustive().items()}


@pytest.mark.parametrize("name", ["coco", "labelme", "label-studio"])
def test_it_comes_back(herd: Project, name: str, tmp_path: Path) -> None:
    report = export_project(herd, tmp_path / "out", ExportOptions(format=name))
    assert not any("unlabelled" in item.where for item in report.items)
    found = tmp_path / "out"
    if get_format(name).reads == "file":
        found = next(p for p in sorted(found.glob("*.json")))
    with Project.create(tmp_path / "again.kinmark") as again:
        add_paths(again, [tmp_path / "photos"])
        import_file(again, found, ImportOptions(format=name))
        assert said(again) == said(herd) == {"herd_0.png": {"newt": True}, "herd_1.png": {"newt": False}}
        assert len(again.queries.instances()) == 5 and len(again.queries.nothing_here()) == 1
        assert again.undo() is not None and again.queries.exhaustive() == {}


def test_coco_says_it_as_lvis_does(herd: Project, tmp_path: Path) -> None:
    export_project(herd, tmp_path / "out")
    coco = COCO(str(tmp_path / "out" / "annotations.json"))
    [category] = coco.getCatIds()
    images = sorted(coco.loadImgs(coco.getImgIds()), key=lambda image: image["file_name"])
    assert [image["not_exhaustive_category_ids"] for image in images] == [[], [category], [category], [], []]
    assert [image["neg_category_ids"] for image in images] == [[], [], [], [category], []]
    assert [len(coco.getAnnIds(imgIds=[image["id"]])) for image in images] == [3, 1, 1, 0, 0]


def test_a_file_of_lvis_says_what_is_complete(herd: Project, tmp_path: Path) -> None:
    export_project(herd, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="ascii"))
    for image in data["images"]:
        del image["all_labelled"]
        image.pop("nothing_here", None)
    (tmp_path / "lvis.json").write_text(json.dumps(data), encoding="ascii")
    with Project.create(tmp_path / "again.kinmark") as again:
        add_paths(again, [tmp_path / "photos"])
        import_file(again, tmp_path / "lvis.json", ImportOptions())
        expected = {"herd_0.png": {"newt": True}, "herd_1.png": {"newt": False}, "herd_2.png": {"newt": False}}
        assert said(again) == expected and len(again.queries.nothing_here()) == 1


def test_nothing_is_written_where_the_question_does_not_arise(tmp_path: Path) -> None:
    folder = make_project(tmp_path / "newts.kinmark", make_herd(tmp_path / "photos", 2), labelled=1)
    with Project.open(folder) as project:
        export_project(project, tmp_path / "out")
        preview = preview_export(project, ExportOptions(format="yolo-pose"))
    data = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="ascii"))
    assert not any("all_labelled" in image or "neg_category_ids" in image for image in data["images"])
    assert not any("unlabelled" in item.where for item in preview)


def test_every_format_says_it_or_names_the_loss(herd: Project) -> None:
    dataset, _ = project_dataset(herd)
    for spec in FORMATS.values():
        if not spec.writes:
            continue
        lines = [f"{item.kind} {item.where}" for item in spec.common_losses(dataset)]
        told = [line for line in lines if "unlabelled" in line or "all are labelled" in line]
        expected = ["flagged 2 x photos that may hold unlabelled instances", 'lost 1 x "all are labelled"']
        assert told == ([] if spec.exhaustive else expected), spec.name


def test_what_a_person_said_in_the_project_stays(herd: Project, tmp_path: Path) -> None:
    export_project(herd, tmp_path / "out")
    [category] = herd.queries.categories()
    first = herd.queries.images()[0].id
    herd.operations.set_exhaustive([first], category.id, False)
    result = import_file(herd, tmp_path / "out" / "annotations.json", ImportOptions())
    assert said(herd)["herd_0.png"] == {"newt": False}
    assert any(item.kind == "kept" and "not all are labelled" in item.reason for item in result.report.items)


def test_it_comes_along_when_projects_are_merged(herd: Project, tmp_path: Path) -> None:
    with Project.create(tmp_path / "ann.kinmark") as ann:
        add_paths(ann, [tmp_path / "photos"])
        merge_project(ann, herd)
        assert said(ann) == said(herd)
