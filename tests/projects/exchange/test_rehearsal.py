"""What an export says before it writes is what happens: names, splits, what is left out, and that nothing could be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.cli.app import run
from kinmark.projects.formats.registry import FORMATS
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export
from tests.support.exchange import photo

WRITABLE = [name for name, spec in FORMATS.items() if spec.writes and not spec.optional]


def _collection(folder: Path, *, labelled: bool = True) -> Project:
    """Photos of clashing names and kinds; in each a dog, some with a mask, some in part, one crowd, one too small."""
    names = ["a.jpg", "a.png", "sub dir/a.jpg", "b b.png", "c.jpg", "d.jpg", "e.jpg", "f.jpg"]
    for number, name in enumerate(names):
        photo(folder / "in" / name, 60, 40, seed=number)
    photo(folder / "in" / "tiny.png", 8, 8)
    project = Project.create(folder / "p.kinmark")
    add_paths(project, [folder / "in"])
    schema = KeypointSchema(("left_ear", "right_ear", "tail"), ((0, 2),), ((0, 1),))
    category = project.operations.add_category("dog", schema).ids[0]
    project.operations.add_category("bare bone")
    if not labelled:
        return project
    row = next(r for r in project.queries.categories() if r.id == category)
    pixels = np.zeros((40, 60), dtype=bool)
    pixels[5:20, 10:30] = True
    pixels[8:12, 15:20] = False
    for number, image in enumerate(project.queries.iter_images()):
        points = tuple(
            NewKeypoint(d.id, 3.5 + n, 4.25, Visibility.HIDDEN if n == 2 else Visibility.VISIBLE, "human")
            for n, d in enumerate(row.definitions)
        )
        mask = MaskRLE.encode(pixels) if (number % 2 or not number) and image.width == 60 else None
        extra = {"crowd": True} if number == 3 else {}
        some = points if number != 4 else points[:1]
        project.operations.add_instances(
            [NewInstance(image.id, category, some, (2.0, 2.0, 7.5, 7.5), mask, None, "human", None, extra)]
        )
    return project


@pytest.mark.parametrize("format_", WRITABLE)
def test_an_export_decides_nothing_that_was_not_told_before(tmp_path: Path, format_: str) -> None:
    options = ExportOptions(format_)
    with _collection(tmp_path) as project:
        try:
            told = preview_export(project, options)
        except UserInputError as error:
            with pytest.raises(UserInputError) as caught:
                export_project(project, tmp_path / "out", options)
            assert caught.value.user_message == error.user_message and not (tmp_path / "out").exists()
            return
        report = export_project(project, tmp_path / "out", options)
    counted = any(
        "left out" in item.reason for item in told
    )  # "3 x instances without keypoints" stands for each of them
    unsaid = [
        item
        for item in report.items
        if item not in told
        and item.kind != "note"
        and not (counted and item.reason.endswith("nothing that this format holds"))
    ]
    # A library that is missing here is no decision about the data.
    assert [i for i in unsaid if i.where != ".h5"] == []


@pytest.mark.parametrize("format_", ["spair", "pf-pascal", "pf-willow", "cub", "perseg", "masks", "tps", "deeplabcut"])
def test_a_dry_run_ends_as_the_export_would(tmp_path: Path, format_: str) -> None:
    with _collection(tmp_path, labelled=False):
        pass
    args = ["export", str(tmp_path / "p.kinmark"), str(tmp_path / "out"), "--format", format_]
    assert run([*args, "--dry-run"]) == 3
    assert run(args) == 3 and not (tmp_path / "out").exists()


def test_new_names_are_told_before(tmp_path: Path) -> None:
    with _collection(tmp_path) as project:
        for format_, words in (
            ("spair", "new name of a photo"),
            ("cub", "new name of a photo"),
            ("yolo-pose", "names of photos"),
            ("labelme", "name of a label file"),
            ("deeplabcut", "is written as the video"),
            ("masks", "its mask is called"),
        ):
            said = [f"{i.where}: {i.reason}" for i in preview_export(project, ExportOptions(format_))]
            assert any(words in line for line in said), (format_, said)
