"""CVAT projects of several tasks, and the drawings of their skeletons: nothing lands on another task's photo."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.formats.cvat_read import read
from tests.support.exchange import cvat, photo, take_in


def _circle(number: int, name: str = "") -> str:
    told = f' data-label-name="{name}"' if name else ""
    return f'<circle r="1.5" stroke="black" data-type="element node" data-element-id="{number}" data-node-id="{number}"{told}></circle>'


@pytest.mark.parametrize("named", [True, False])
def test_lines_of_a_skeleton_join_the_joints_that_their_nodes_are(tmp_path: Path, named: bool) -> None:
    line = '<line x1="1" y1="1" stroke="black" data-type="edge" data-node-from="{}" stroke-width="0.5" data-node-to="{}"></line>'
    circles = [_circle(n, name if named else "") for n, name in enumerate(("tail", "nose", "l&amp;r"), start=1)]
    svg = escape(line.format(2, 3) + line.format(1, 2) + line.format(1, 9) + "".join(circles))
    labels = f"<label><name>dog</name><type>skeleton</type><svg>{svg}</svg></label>" + "".join(
        f"<label><name>{name}</name><parent>dog</parent></label>" for name in ("nose", "l&amp;r", "tail")
    )
    dataset, _ = read(cvat(tmp_path / "a.xml", "", labels))
    schema = dataset.categories[0].schema
    joined = [(schema.names[a], schema.names[b]) for a, b in schema.edges]
    # Without names a node is the joint of its number.
    assert joined == ([("nose", "l&r"), ("tail", "nose")] if named else [("l&r", "tail"), ("nose", "l&r")])


def test_what_is_no_joint_of_a_skeleton_is_counted(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    body = '<skeleton label="dog"><points label="nose" points="5,6"/><box label="ear" xtl="1" ytl="1" xbr="2" ybr="2"/></skeleton>'
    cvat(tmp_path / "a.xml", body)
    assert "1 x <box> of a skeleton" in take_in(tmp_path, "a.xml", "cvat").said


def _track(number: int, label: str, task: str, right: int) -> str:
    return (
        f'<track id="{number}" label="{label}" {task}><box frame="0" keyframe="1" outside="0" occluded="0" '
        f'xtl="1" ytl="2" xbr="{right}" ybr="40"/></track>'
    )


def _video_project(path: Path, *tracks: str) -> None:
    tasks = "".join(
        f"<task><id>{n}</id><name>t{n}</name><subset>{subset}</subset><source>{clip}.mp4</source>"
        f"<original_size><width>{width}</width><height>100</height></original_size></task>"
        for n, clip, width, subset in ((1, "one", 200, "Train"), (2, "two", 300, "Test"))
    )
    path.write_text(
        f"<annotations><version>1.1</version><meta><project><name>p</name><tasks>{tasks}</tasks></project></meta>"
        f"{''.join(tracks)}</annotations>"
    )


def test_tasks_count_their_frames_by_themselves(tmp_path: Path) -> None:
    for clip, width in (("one", 200), ("two", 300)):
        photo(tmp_path / "frames" / clip / f"{clip}-000000.png", width)
    _video_project(tmp_path / "a.xml", _track(0, "dog", 'task_id="1"', 30), _track(1, "cat", 'task_id="2"', 250))
    got = take_in(tmp_path, "a.xml", "cvat", photos="frames")
    found = {name: ([n.category for n in i.instances], i.split) for name, i in got.images.items()}
    assert found == {"one/one-000000.png": (["dog"], "Train"), "two/two-000000.png": (["cat"], "Test")}
    _video_project(tmp_path / "b.xml", _track(0, "dog", "", 30))
    with pytest.raises(ImportFileError, match=r"track 0.*several tasks"):
        take_in(tmp_path, "b.xml", "cvat", photos="frames")


def _two_tasks(path: Path, *subsets: str) -> None:
    images = "".join(
        f'<image id="{n}" name="a.png" subset="{subset}" task_id="{n}" width="200" height="100"><box label="{label}" xtl="1" '
        'ytl="2" xbr="30" ybr="40"/></image>'
        for n, (subset, label) in enumerate(zip(subsets, ("dog", "cat"), strict=True))
    )
    path.write_text(f"<annotations><version>1.1</version><meta/>{images}</annotations>")


@pytest.mark.parametrize("folders", [("Train", "Validation"), ("train", "VALIDATION")])
@pytest.mark.parametrize("photos", [None, "images"])
def test_photos_of_one_name_lie_in_the_folders_of_their_subsets(
    tmp_path: Path, folders: tuple[str, str], photos: str | None
) -> None:
    for number, folder in enumerate(folders):
        photo(tmp_path / "images" / folder / "a.png", seed=number)
    _two_tasks(tmp_path / "a.xml", "Train", "Validation")
    got = take_in(tmp_path, "a.xml", "cvat", photos=photos)
    assert {name: [n.category for n in i.instances] for name, i in got.images.items()} == {
        f"{folders[0]}/a.png": ["dog"],
        f"{folders[1]}/a.png": ["cat"],
    }


def test_labels_of_two_tasks_never_land_on_one_photo(tmp_path: Path) -> None:
    photo(tmp_path / "a.png")
    _two_tasks(tmp_path / "a.xml", "Train", "Validation")
    assert take_in(tmp_path, "a.xml", "cvat").result.nothing
    _two_tasks(tmp_path / "b.xml", "Train", "Train")
    with pytest.raises(ImportFileError, match=r"several tasks of the file hold a photo a\.png"):
        take_in(tmp_path, "b.xml", "cvat")
