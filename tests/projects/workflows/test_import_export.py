"""Import and export through a real project: merging, previews, undo, proposals, EXIF, what reaches the disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.engine.domain.errors import ImportFileError, OperationCancelled, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.formats import coco
from kinmark.projects.formats.base import ReadOptions, WriteOptions
from kinmark.projects.formats.dataset import Dataset
from kinmark.projects.formats.registry import get_format
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export, project_dataset
from kinmark.projects.workflows.importing import ImportOptions, LabelImport, import_file, preview
from tests.support.coco_shapes import SHAPES, published_files, write_shape
from tests.support.datasets import sample_dataset, write_picture
from tests.support.spair_readers import READERS, sd4match_reader


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return tmp_path / "photos"


@pytest.fixture
def dataset(photos: Path) -> Dataset:
    return sample_dataset(photos)


@pytest.fixture
def file(dataset: Dataset, tmp_path: Path) -> Path:
    coco.write(dataset, tmp_path / "file")
    return tmp_path / "file" / coco.FILE_NAME


@pytest.fixture
def project(tmp_path: Path):
    with Project.create(tmp_path / "p.kinmark") as opened:
        yield opened


def _content(project: Project) -> tuple[int, int, int]:
    counts = project.queries.counts()
    return counts.all, counts.instances, counts.keypoints


def test_everything_comes_back_out_of_the_project(project: Project, dataset: Dataset, file: Path, photos: Path) -> None:
    result = import_file(project, file, ImportOptions(images_root=photos))
    assert (result.added, result.images_added, result.skipped) == (8, 8, 0)
    back, items = project_dataset(project)
    assert not items
    assert back.categories[0].schema == dataset.categories[0].schema
    mine = {i.rel_path: i for i in dataset.images}
    assert {i.rel_path for i in back.images} == set(mine)
    for image in back.images:
        original, found = mine[image.rel_path].instances[0], image.instances[0]
        assert found.keypoints == original.keypoints
        assert (found.mask, found.identity, found.category) == (original.mask, original.identity, original.category)
        assert found.box == pytest.approx(original.box)


@pytest.mark.parametrize("name", SHAPES)
def test_files_of_every_published_shape_pass_through_the_project_unchanged(
    name: str, project: Project, tmp_path: Path
) -> None:
    _passes_through_unchanged(write_shape(name, tmp_path / "photos"), project, tmp_path)


def test_the_published_files_themselves_pass_through_a_project_unchanged(shared_dir: Path, tmp_path: Path) -> None:
    for source in published_files(shared_dir):
        folder = tmp_path / source.stem
        folder.mkdir()
        with Project.create(folder / "p.kinmark") as project:
            _passes_through_unchanged(source, project, folder)


def _passes_through_unchanged(source: Path, project: Project, tmp_path: Path) -> None:
    add_paths(project, [source.parent])
    import_file(project, source)
    export_project(project, tmp_path / "out")
    before, after = json.loads(source.read_text()), json.loads((tmp_path / "out" / coco.FILE_NAME).read_text())
    for part in ("images", "annotations", "categories"):
        rows = {row["id"]: row for row in after[part]}
        assert len(rows) == len(before[part])
        for row in before[part]:
            assert row == {key: rows[row["id"]][key] for key in row}


def test_importing_twice_changes_nothing_and_undo_takes_it_all_back(project: Project, file: Path, photos: Path) -> None:
    add_paths(project, [photos])
    before = _content(project)
    import_file(project, file)
    full = _content(project)
    again = import_file(project, file)
    assert (again.added, again.changed, again.kept) == (0, 0, 8)
    assert _content(project) == full
    project.undo()
    assert _content(project) == before
    project.redo()
    assert _content(project) == full


def test_the_dry_run_writes_nothing(project: Project, file: Path, photos: Path) -> None:
    result = preview(project, file, ImportOptions(images_root=photos))
    assert (result.added, result.images_added) == (8, 8) and result.changes is None
    assert _content(project) == (0, 0, 0) and project.undo_name is None


def test_merging_adds_keypoints_and_never_replaces_accepted_ones(
    project: Project, file: Path, photos: Path, tmp_path: Path
) -> None:
    data = json.loads(file.read_text())
    for annotation in data["annotations"]:
        annotation["keypoints"][6:9] = [0, 0, 0]
    import_file(project, file, ImportOptions(images_root=photos))
    row = next(iter(project.queries.iter_instances()))
    moved = next(k for k in row.keypoints if k.x is not None)
    project.operations.move_keypoint(moved.id, 1.25, 2.5)
    project.operations.remove_keypoints([row.keypoints[-1].id])
    again = import_file(project, file)
    assert (again.changed, again.kept, again.added) == (1, 7, 0)
    after = project.queries.instance(row.id)
    assert after is not None and len(after.keypoints) == len(row.keypoints)
    assert next(k for k in after.keypoints if k.id == moved.id).x == 1.25
    assert any(item.kind == "kept" for item in again.report.items)
    forced = import_file(project, file, ImportOptions(overwrite=True))
    assert forced.changed == 1
    restored = project.queries.instance(row.id)
    assert (
        restored is not None
        and next(k for k in restored.keypoints if k.definition_id == moved.definition_id).x == moved.x
    )


def test_proposals_stay_proposals(project: Project, file: Path, photos: Path, tmp_path: Path) -> None:
    import_file(project, file, ImportOptions(images_root=photos, as_proposals=True))
    assert project.queries.counts().instances == 0
    assert project.queries.count_proposals(kind="keypoints") == 8
    export_project(project, tmp_path / "plain")
    assert not json.loads((tmp_path / "plain" / coco.FILE_NAME).read_text())["annotations"]
    export_project(project, tmp_path / "all", ExportOptions(with_proposals=True))
    rows = json.loads((tmp_path / "all" / coco.FILE_NAME).read_text())["annotations"]
    assert len(rows) == 8 + 6 and all(row["proposal"] is True and 0 <= row["score"] <= 1 for row in rows)
    with_points = [row for row in rows if row["num_keypoints"]]
    assert len(with_points) == 8 and all(len(row["keypoint_scores"]) == 5 for row in with_points)
    with Project.create(tmp_path / "q.kinmark") as other:
        import_file(other, tmp_path / "all" / coco.FILE_NAME, ImportOptions(images_root=photos))
        assert other.queries.counts().instances == 0 and other.queries.count_proposals() == 14


def test_ids_are_stable_from_export_to_export(project: Project, file: Path, photos: Path, tmp_path: Path) -> None:
    import_file(project, file, ImportOptions(images_root=photos))
    image = next(project.queries.iter_images())
    category = project.queries.require_category("horse")
    project.operations.add_instance(image.id, category.id, box=(1.0, 2.0, 9.0, 9.0))
    export_project(project, tmp_path / "a")
    first = json.loads((tmp_path / "a" / coco.FILE_NAME).read_text())
    project.operations.remove_instances([next(iter(project.queries.iter_instances())).id])
    export_project(project, tmp_path / "b")
    second = json.loads((tmp_path / "b" / coco.FILE_NAME).read_text())
    ids = {json.dumps(a["bbox"]) + str(a["image_id"]): a["id"] for a in first["annotations"]}
    assert len(second["annotations"]) == len(first["annotations"]) - 1
    assert all(ids[json.dumps(a["bbox"]) + str(a["image_id"])] == a["id"] for a in second["annotations"])


def test_a_bad_file_leaves_nothing_behind(project: Project, file: Path, photos: Path, tmp_path: Path) -> None:
    data = json.loads(file.read_text())
    data["annotations"][-1]["keypoints"][2] = 7
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(data))
    with pytest.raises(ImportFileError, match=r"broken\.json \(annotation 8\)"):
        import_file(project, broken, ImportOptions(images_root=photos))
    assert _content(project) == (0, 0, 0) and not project.queries.categories()
    result = import_file(project, broken, ImportOptions(images_root=photos, skip_bad=True))
    assert (result.added, result.skipped) == (7, 0) and any(i.kind == "skipped" for i in result.report.items)


def test_cancelling_leaves_nothing_behind(project: Project, file: Path, photos: Path) -> None:
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        import_file(project, file, ImportOptions(images_root=photos), cancel=cancel)
    assert _content(project) == (0, 0, 0)


def test_an_import_in_steps_stores_nothing_before_the_last(project: Project, file: Path, photos: Path) -> None:
    progress, before = Progress(), project.undo_name
    importing = LabelImport(project, file, ImportOptions(images_root=photos), progress=progress)
    seen = []
    while importing.result is None:
        assert (_content(project), project.undo_name) == ((0, 0, 0), before)
        importing.step(3)
        seen.append(progress.snapshot().done)
    assert seen[1:4] == [3, 6, 8] and len(seen) == 5  # reading, three times some photos, storing
    assert importing.result.added == 8 and _content(project)[:2] == (8, 8)
    project.undo()
    assert _content(project) == (0, 0, 0)


def test_an_import_may_be_stopped_between_two_steps(project: Project, file: Path, photos: Path) -> None:
    cancel = CancelToken()
    importing = LabelImport(project, file, ImportOptions(images_root=photos), cancel=cancel)
    for _ in range(3):
        importing.step(3)
    cancel.cancel()
    with pytest.raises(OperationCancelled):
        importing.step(3)
    assert _content(project) == (0, 0, 0) and project.undo_name is None


def test_an_import_is_stopped_while_it_is_stored(
    project: Project, file: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = CancelToken()
    importing = LabelImport(project, file, ImportOptions(images_root=photos), cancel=cancel)
    importing.step()
    importing.step()
    add = project.operations.add_instances

    def late(*given: Any, **named: Any) -> Any:
        cancel.cancel()  # a person stops it while SQLite is at work: seen at its next look
        return add(*given, **named)

    monkeypatch.setattr("kinmark.projects.store.operations.base.CHECK_EVERY", 1)
    monkeypatch.setattr(project.operations, "add_instances", late)
    with pytest.raises(OperationCancelled):
        importing.step()
    assert _content(project) == (0, 0, 0) and project.undo_name is None


def test_what_changed_between_two_steps_is_decided_again(project: Project, file: Path, photos: Path) -> None:
    with Project.open(project.folder) as other:  # the window, while the engine's thread imports
        importing = LabelImport(project, file, ImportOptions(images_root=photos))
        importing.step()
        importing.step(5)
        there = sorted(photos.rglob("*.*"))[1]
        add_paths(other, [there], root=photos)
        importing.step()
        importing.step()
        assert importing.result is not None
        assert (importing.result.images_added, importing.result.images_matched) == (7, 1)
        assert importing.result.added == 8
    labelled, items = project_dataset(project)
    assert not items and len(labelled.images) == 8
    told = {
        str(i.rel_path): i
        for i in get_format("coco").reader(file, ReadOptions(images_root=photos), None, None)[0].images
    }
    for image in labelled.images:
        theirs = told[str(image.rel_path)]
        assert [i.box for i in image.instances] == [i.box for i in theirs.instances]


def test_a_photo_labelled_between_two_steps_is_not_labelled_twice(project: Project, file: Path, photos: Path) -> None:
    with Project.open(project.folder) as other:
        importing = LabelImport(project, file, ImportOptions(images_root=photos))
        importing.step()
        importing.step()
        import_file(other, file, ImportOptions(images_root=photos))
        content, step = _content(other), other.undo_name
        importing.step()
    assert importing.result is not None
    assert (importing.result.added, importing.result.kept) == (0, 8)
    assert _content(project) == content and project.undo_name == step


def test_labels_of_unrotated_pictures_are_asked_about_then_turned(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "turned"
    write_picture(folder / "a.jpg", 30, 50, 1, orientation=6)  # oriented 30 x 50, stored 50 x 30
    mask = np.zeros((30, 50), dtype=bool)
    mask[2:5, 10:20] = True
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 50, "height": 30}],
        "categories": [{"id": 1, "name": "cup", "keypoints": ["rim"], "skeleton": []}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "keypoints": [10.25, 2.0, 2],
                "bbox": [10, 2, 10, 3],
                "iscrowd": 0,
                "segmentation": MaskRLE.encode(mask).to_coco(),
            }
        ],
    }
    (tmp_path / "raw.json").write_text(json.dumps(data))
    with pytest.raises(UserInputError, match="EXIF"):
        import_file(project, tmp_path / "raw.json", ImportOptions(images_root=folder))
    import_file(project, tmp_path / "raw.json", ImportOptions(images_root=folder, exif="rotate"))
    row = next(iter(project.queries.iter_instances()))
    # Orientation 6: the stored top-left corner is shown at the top right, so (x, y) -> (30 - y, x).
    assert (row.keypoints[0].x, row.keypoints[0].y) == (28.0, 10.25)
    assert row.box == (25.0, 10.0, 28.0, 20.0)
    assert row.mask is not None and np.array_equal(row.mask.rle.decode(), np.rot90(mask, -1))


def test_other_pictures_than_the_labels_are_refused(project: Project, file: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    for relative in ("a/photo 0 é.png", "b/photo 0 é.png"):
        write_picture(wrong / relative, 61, 40, 0)
    with pytest.raises(UserInputError, match="61 x 40, the file says 60 x 40"):
        import_file(project, file, ImportOptions(images_root=wrong))


def test_spair_from_a_project(project: Project, file: Path, photos: Path, tmp_path: Path) -> None:
    import_file(project, file, ImportOptions(images_root=photos))
    assert any("sub-pixel" in item.where for item in preview_export(project, ExportOptions("spair")))
    report = export_project(project, tmp_path / "out", ExportOptions("spair"))
    root = tmp_path / "out" / "SPair-71k"
    assert report.extra["pairs"]["test"] > 0
    for reader in READERS.values():
        assert reader(root)
    for split in ("trn", "val", "test"):
        assert sd4match_reader(root, split)


def test_two_roots_with_the_same_names_stay_apart(project: Project, tmp_path: Path) -> None:
    for root in ("one", "two"):
        write_picture(tmp_path / root / "x.png", 20, 10, 0)
        add_paths(project, [tmp_path / root])
    report = export_project(project, tmp_path / "out", ExportOptions(write=WriteOptions(copy_images=True)))
    names = {i["file_name"] for i in json.loads((tmp_path / "out" / coco.FILE_NAME).read_text())["images"]}
    assert names == {"one/x.png", "two/x.png"} and report.extra["summary"].startswith("2 images, 0 instances")
    assert (tmp_path / "out" / "one" / "x.png").is_file()


def test_half_surrogate_pairs_do_not_reach_the_database(
    project: Project, file: Path, photos: Path, tmp_path: Path
) -> None:
    data = json.loads(file.read_text())
    data["annotations"][0]["note"] = "\ud800 left over"
    data["annotations"][2]["deep"] = json.loads("[" * 300 + "]" * 300)
    data["annotations"][1]["identity"] = "\udfff"
    data["images"][0]["tags"] = ["\ud83d"]
    (tmp_path / "odd.json").write_text(json.dumps(data))
    import_file(project, tmp_path / "odd.json", ImportOptions(images_root=photos))
    export_project(project, tmp_path / "out")
    rows = {a["id"]: a for a in json.loads((tmp_path / "out" / coco.FILE_NAME).read_text())["annotations"]}
    assert rows[1]["note"] == "? left over" and rows[2]["identity"] == "?"


@pytest.mark.parametrize(
    ("kind", "instances"),
    [
        ("spair", 8),
        ("labelme", 8),
        ("cvat", 8),
        ("yolo-pose", 8),
        ("yolo-seg", 6),
        ("deeplabcut", 8),
        ("cub", 8),
        ("voc", 8),
        ("perseg", 6),
        ("pf-pascal", 8),
    ],
)
def test_every_export_can_be_imported_into_a_new_project(
    kind: str, instances: int, dataset: Dataset, project: Project, tmp_path: Path
) -> None:
    spec, out = get_format(kind), tmp_path / "out"
    spec.writer(dataset, out, WriteOptions(copy_images=True))
    result = import_file(project, out / "annotations.xml" if kind == "cvat" else out, ImportOptions(kind))
    assert (result.added, result.skipped) == (instances, 0)
    assert project.queries.counts().instances == instances
    project.undo()
    assert _content(project) == (0, 0, 0)
