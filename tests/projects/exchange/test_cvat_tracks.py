"""CVAT for video: keyframes are labels of their frames, everything else is said."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.project import Project
from kinmark.projects.videos import FrameChoice, add_clip
from kinmark.projects.workflows.exporting import project_dataset
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import photo, places, take_in

LABELS = (
    "<label><name>wit</name></label><label><name>dog</name><type>skeleton</type></label>"
    "<label><name>nose</name><parent>dog</parent></label><label><name>tail</name><parent>dog</parent></label>"
)
META = (
    f"<meta><task><name>t</name><labels>{LABELS}</labels><original_size><width>64</width><height>48</height>"
    "</original_size></task><source>walk.avi</source></meta>"
)


def _box(frame: int, keyframe: int, outside: int, left: float) -> str:
    return (
        f'<box frame="{frame}" keyframe="{keyframe}" outside="{outside}" occluded="0" xtl="{left}" ytl="20" xbr="40" '
        'ybr="30.5" z_order="0"></box>'
    )


def _joint(name: str, keyframe: int, place: str, hidden: int = 0) -> str:
    return f'<points label="{name}" keyframe="{keyframe}" outside="0" occluded="{hidden}" points="{place}"/>'


def _file(folder: Path, meta: str = META) -> Path:
    wit = "".join([_box(0, 1, 0, 10), _box(1, 0, 0, 11.5), _box(2, 1, 0, 13), _box(3, 1, 1, 13)])
    skeleton = "".join(
        f'<skeleton frame="{frame}" keyframe="{key}" z_order="0">{_joint("nose", key, f"{5 + frame}.00,6.00")}'
        f"{_joint('tail', key, '9.00,9.50', 1)}</skeleton>"
        for frame, key in ((0, 1), (1, 0))
    )
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "annotations.xml"
    file.write_text(
        f'<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>{meta}'
        f'<track id="0" label="wit" source="manual">{wit}</track><track id="1" label="dog">{skeleton}</track></annotations>'
    )
    return file


def test_keyframes_are_labels_of_the_exported_pictures(tmp_path: Path) -> None:
    _file(tmp_path / "t")
    for frame in range(4):
        photo(tmp_path / "t" / "images" / f"frame_{frame:06d}.PNG", 64, 48, seed=frame)
    got = take_in(tmp_path, "t/annotations.xml", "cvat")
    assert list(got.images) == ["images/frame_000000.PNG", "images/frame_000002.PNG"]
    wit, dog, later = got.instances
    assert (wit.category, wit.box, wit.identity) == ("wit", pytest.approx((10, 20, 40, 30.5)), "wit track 0")
    assert (dog.category, places(dog)) == ("dog", {"nose": (5, 6), "tail": (9, 9.5)})
    assert dog.keypoints["tail"].visibility == 1 and dog.identity == "dog track 1"
    assert (later.box, later.identity) == (pytest.approx((13, 20, 40, 30.5)), "wit track 0")
    assert "2 x interpolated shape of a track: keyframes are labels" in got.said


def test_frames_of_a_clip_of_the_project_get_the_keyframes(tmp_path: Path) -> None:
    file = _file(tmp_path / "t")
    clip = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 5, (64, 48))  # type: ignore[attr-defined]
    for number in range(4):
        writer.write(np.full((48, 64, 3), 40 + 50 * number, np.uint8))
    writer.release()
    with Project.create(tmp_path / "p.kinmark") as project:
        add_clip(project, clip, FrameChoice("list", frames=(0,)))
        result = import_file(project, file, ImportOptions("cvat"))
        dataset, _ = project_dataset(project)
    assert {i.rel_path.name: len(i.instances) for i in dataset.images} == {"walk-000000.png": 2}
    said = "\n".join(f"{i.kind}: {i.where}: {i.reason}" for i in result.report.items)
    assert result.skipped == 1 and "frame of walk.avi" in said and "--frames list=" in said


def test_tracks_without_a_size_of_their_frames_are_refused(tmp_path: Path) -> None:
    _file(tmp_path / "t", meta=f"<meta><task><name>t</name><labels>{LABELS}</labels></task></meta>")
    with pytest.raises(ImportFileError, match="tells no size of the frames"):
        take_in(tmp_path, "t/annotations.xml", "cvat")
