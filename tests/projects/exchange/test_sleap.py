"""SLEAP, NWB and JABS through sleap-io (skipped without `kinmark[sleap]`): frames of clips, users and predictions, the way back."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.projects.formats.recognise import recognise
from kinmark.projects.formats.registry import get_format
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.datasets import sample_dataset
from tests.support.exchange import coco, photo, places, take_in

if importlib.util.find_spec("sleap_io") is None:
    pytest.skip("sleap-io is not installed (kinmark[sleap])", allow_module_level=True)
pytestmark = pytest.mark.filterwarnings("ignore")


def _clip_labels(folder: Path) -> Path:
    """Frames 3 and 9 of a clip: a labelled fly with a track, one that was predicted and corrected, one only predicted."""
    import sleap_io as sio

    skeleton = sio.Skeleton(["head", "wing_L", "wing_R"], name="fly")
    skeleton.add_edge("head", "wing_L")
    skeleton.add_symmetry("wing_L", "wing_R")
    video = sio.Video(filename="D:/data/run 1.mp4", open_backend=False)
    guess = sio.PredictedInstance.from_numpy(np.array([[9.0, 9], [20, 20], [30, 30]]), skeleton=skeleton, score=0.4)
    user = sio.Instance.from_numpy(
        np.array([[10.0, 12.5], [np.nan, np.nan], [30, 31]]),
        skeleton=skeleton,
        track=sio.Track("A"),
        from_predicted=guess,
    )
    user.points["visible"][2] = False
    alone = sio.PredictedInstance.from_numpy(
        np.array([[1.0, 2], [3, 4], [5, 6]]), skeleton=skeleton, point_scores=np.array([0.9, 0.8, 0.7]), score=0.8
    )
    frames = [sio.LabeledFrame(video, 3, [user, guess]), sio.LabeledFrame(video, 9, [alone])]
    file = folder / "labels.slp"
    sio.save_slp(sio.Labels(frames), str(file), verbose=False)
    return file


def test_frames_of_clips_are_the_photos_that_were_taken_from_them(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "run_1" / "run_1-000003.png")
    file = _clip_labels(tmp_path)
    got = take_in(tmp_path, file, "sleap", photos="in")
    [instance] = got.instances
    assert places(instance) == {"head": (10.5, 13.0), "wing_L": None, "wing_R": (30.5, 31.5)}
    assert instance.keypoints["wing_R"].visibility == Visibility.HIDDEN and instance.identity == "A"
    assert got.categories == {"fly": ("head", "wing_L", "wing_R")}
    assert "1 x frame of run 1.mp4" in got.said and "first: frame 9" in got.said
    assert "1 x predicted instance that a person corrected" in got.said
    photo(tmp_path / "in" / "run_1" / "run_1-000009.png", seed=2)
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, file, ImportOptions("sleap"))
        [row] = project.queries.proposals()
        assert row.confidence == pytest.approx(0.8) and (row.keypoints[0].x, row.keypoints[0].y) == (1.5, 2.5)
        category = project.queries.require_category("fly")
        assert category.schema.edges == ((0, 1),) and category.schema.pairs == ((1, 2),)


@pytest.mark.parametrize(("name", "file"), [("sleap", "labels.slp"), ("nwb", "labels.nwb")])
def test_photos_go_out_and_come_back(tmp_path: Path, name: str, file: str) -> None:
    dataset = sample_dataset(tmp_path / "photos", count=6)
    spec = get_format(name)
    report = spec.writer(dataset, tmp_path / "out")
    assert (report.images, report.instances) == (6, 6)
    back, _ = spec.reader(tmp_path / "out" / file)
    assert back.categories[0].name == "horse" and back.categories[0].schema.edges == dataset.categories[0].schema.edges
    mine = {i.rel_path.as_posix(): i.instances[0] for i in dataset.images}
    assert len(back.images) == 6
    for image in back.images:
        [found] = image.instances
        before = mine["/".join(image.rel_path.parts[-2:])]
        for point, k in before.keypoints.items():
            other = found.keypoints[point]
            assert (other.x is None) == (k.x is None)
            if k.x is not None:
                assert (other.x, other.y) == pytest.approx((k.x, k.y), abs=1e-4)
            if name == "sleap":
                assert other.visibility == k.visibility and found.identity == before.identity


def test_labels_of_a_project_and_back_into_it(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    coco(tmp_path / "in" / "c.json", ["a.png"], [10.25, 10.5, 2, 0, 0, 0])
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "c.json")
        export_project(project, tmp_path / "out", ExportOptions("sleap"))
        result = import_file(project, tmp_path / "out" / "labels.slp", ImportOptions("sleap"))
        assert (result.images_matched, result.images_added) == (1, 0)


def test_frames_of_clips_go_out_as_such(tmp_path: Path) -> None:
    import cv2
    import sleap_io as sio

    from kinmark.projects.store.inputs import NewInstance, NewKeypoint
    from kinmark.projects.videos import add_clip, parse_choice

    clip = tmp_path / "c.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), 10 * number, np.uint8))
    writer.release()
    with Project.create(tmp_path / "p.kinmark") as project:
        from kinmark.engine.domain.keypoints import KeypointSchema

        add_clip(project, clip, parse_choice("list=4,7"))
        [category] = project.operations.add_category("fly", KeypointSchema(("head",))).ids
        row = project.queries.require_category("fly")
        images = list(project.queries.iter_images())
        project.operations.add_instances(
            [
                NewInstance(i.id, category, (NewKeypoint(row.definition_ids[0], 5.5 + n, 6.5),))
                for n, i in enumerate(images)
            ]
        )
        export_project(project, tmp_path / "out", ExportOptions("sleap"))
        labels = sio.load_slp(str(tmp_path / "out" / "labels.slp"), open_videos=False)
        assert sorted(f.frame_idx for f in labels) == [4, 7]
        assert Path(labels.videos[0].filename) == clip.resolve()
        again = import_file(project, tmp_path / "out" / "labels.slp", ImportOptions("sleap"))
        assert (again.kept, again.added, again.skipped) == (2, 0, 0)


def test_jabs_poses_are_proposals(tmp_path: Path) -> None:
    import h5py

    photo(tmp_path / "in" / "cage" / "cage-000001.png")
    points = np.zeros((2, 12, 2), np.uint16)
    points[1] = np.stack([np.arange(12) + 10, np.arange(12) + 50], axis=-1)  # y, x
    file: Any = tmp_path / "cage_pose_est_v2.h5"
    with h5py.File(file, "w") as content:
        group = content.create_group("poseest")
        group.attrs["version"] = [2, 0]
        group["points"], group["confidence"] = points, np.full((2, 12), 0.5, np.float32)
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, file, ImportOptions("jabs"))
        [row] = project.queries.proposals()
        assert len(row.keypoints) == 12 and (row.keypoints[0].x, row.keypoints[0].y) == (50.5, 10.5)


def test_damaged_and_linked_files_are_refused(tmp_path: Path) -> None:
    import h5py

    (tmp_path / "a.slp").write_bytes(b"no hdf5")
    with pytest.raises(ImportFileError, match="no HDF5 file"):
        get_format("sleap").reader(tmp_path / "a.slp")
    with h5py.File(tmp_path / "b.slp", "w") as content:
        content["points"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(ImportFileError, match="points outside"):
        get_format("sleap").reader(tmp_path / "b.slp")
    with h5py.File(tmp_path / "c.slp", "w"):
        pass
    with pytest.raises(ImportFileError, match="sleap-io cannot read it"):
        get_format("sleap").reader(tmp_path / "c.slp")


def test_analysis_files_of_a_clip_are_proposals(tmp_path: Path) -> None:
    import sleap_io as sio

    photo(tmp_path / "frames" / "walk" / "walk-000005.png")
    skeleton = sio.Skeleton(["head", "tail"], edges=[("head", "tail")], name="fly")
    video = sio.Video(filename=str(tmp_path / "walk.mp4"), open_backend=False)
    video.backend_metadata["shape"] = (20, 100, 200, 3)
    track = sio.Track("A")
    frames = []
    for number in (3, 5):
        xy = np.array([[1.0, 2.0], [3.0 + number, 4.0]])
        scores = np.array([0.5, 0.75])
        instance = sio.PredictedInstance.from_numpy(
            xy, skeleton=skeleton, point_scores=scores, score=0.875, track=track
        )
        frames.append(sio.LabeledFrame(video=video, frame_idx=number, instances=[instance]))
    file = tmp_path / "walk.analysis.h5"
    sio.save_analysis_h5(sio.Labels(frames), str(file))
    found = recognise(file)
    assert found is not None and found.format == "sleap"
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "frames"])
        result = import_file(project, file, ImportOptions("sleap"))
        [row] = project.queries.proposals()
    assert row.confidence == 0.875
    assert [(k.x, k.y, k.confidence) for k in row.keypoints] == [(1.5, 2.5, 0.5), (8.5, 4.5, 0.75)]
    assert any("frame of walk.mp4" in i.where for i in result.report.items)
