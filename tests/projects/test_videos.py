"""Frames of clips become photos that know clip, frame number and time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.imaging import load_image
from kinmark.projects.cli.app import run
from kinmark.projects.formats.clips import frame_name
from kinmark.projects.project import Project
from kinmark.projects.videos import (
    FrameChoice,
    add_clip,
    choose_frames,
    farthest,
    frame_of,
    look_at,
    parse_choice,
    preview_clip,
    read_frames,
)
from kinmark.projects.workflows.exporting import project_dataset

FPS, COUNT = 25.0, 40


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 64 x 48; the grey value is six times the frame's number."""
    path = tmp_path_factory.mktemp("clips") / "my clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (64, 48))
    for number in range(COUNT):
        writer.write(np.full((48, 64, 3), 6 * number, np.uint8))
    writer.release()
    return path


def _number(path: Path) -> int:
    return round(float(load_image(path).rgb.mean()) / 6)


def test_frames_are_read_by_their_numbers(clip: Path) -> None:
    info = look_at(clip)
    assert (info.frames, info.fps, info.width, info.height) == (COUNT, FPS, 64, 48)
    got = list(read_frames(clip, [30, 0, 7, 7, 99]))
    assert [n for n, _ in got] == [0, 7, 30]
    assert [round(float(rgb.mean()) / 6) for _, rgb in got] == [0, 7, 30]
    assert got[0][1].shape == (48, 64, 3) and got[0][1].dtype == np.uint8


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("every=15", [0, 15, 30]), ("count=4", [5, 15, 25, 35]), ("count=999", list(range(40))), ("list=9,2", [2, 9])],
)
def test_choices(clip: Path, text: str, numbers: list[int]) -> None:
    assert choose_frames(look_at(clip), parse_choice(text)) == numbers


@pytest.mark.parametrize("text", ["", "every", "every=0", "every=x", "each=3", "list=-1", "count=1,2", "count=-5"])
def test_other_choices_are_refused(text: str) -> None:
    with pytest.raises(UserInputError):
        parse_choice(text)


def test_photos_know_clip_frame_and_time(clip: Path, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_clip(project, clip, FrameChoice("every", 10))
        rows = list(project.queries.iter_images())
        assert [r.file_name for r in rows] == [f"my_clip/my_clip-{n:06d}.png" for n in (0, 10, 20, 30)]
        assert [_number(r.path) for r in rows] == [0, 10, 20, 30] and len(report.image_ids) == 4
        frame = frame_of(project, rows[2].path)
        assert frame is not None and (frame.frame, frame.time_s) == (20, 0.8) and frame.clip == str(clip.resolve())
        dataset, _ = project_dataset(project)
        assert dataset.images[2].extra["video"]["frame"] == 20
        assert frame_name(str(clip), 20) == dataset.images[2].rel_path
        again = add_clip(project, clip, FrameChoice("every", 20))
        assert not again.image_ids and len(again.skipped) == 2
        project.undo()
        assert project.queries.count_images() == 0
    assert frame_of is not None


def test_another_clip_of_the_name_gets_a_folder_of_its_own(clip: Path, tmp_path: Path) -> None:
    other = tmp_path / "deep" / clip.name
    other.parent.mkdir()
    other.write_bytes(clip.read_bytes())
    with Project.create(tmp_path / "p.kinmark") as project:
        add_clip(project, clip, FrameChoice("count", 1))
        add_clip(project, other, FrameChoice("count", 1))
        assert {r.file_name.split("/")[0] for r in project.queries.iter_images()} == {"my_clip", "my_clip_2"}


def test_damaged_clips_and_frames_beyond_the_end(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"\0" * 1000)
    with Project.create(tmp_path / "p.kinmark") as project:
        with pytest.raises(KnownError, match=r"bad\.mp4"):
            add_clip(project, tmp_path / "bad.mp4", FrameChoice("count", 1))
        with pytest.raises(UserInputError, match="about 40"):
            add_clip(project, clip, parse_choice("list=500"))
        with pytest.raises(UserInputError, match="need the engine"):
            add_clip(project, clip, FrameChoice("diverse", 3))
        assert project.queries.count_images() == 0 and not list((project.folder / "frames").rglob("*.png"))


def test_chosen_frames_that_the_clip_does_not_have_are_named(clip: Path, tmp_path: Path) -> None:
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_clip(project, clip, parse_choice("list=3,40,41"))
        assert len(report.image_ids) == 1 and "no frame 40, 41; about 40" in report.skipped[-1]
        assert add_clip(project, clip, parse_choice("list=5")).skipped == ()


def test_a_preview_says_what_is_added(clip: Path, tmp_path: Path) -> None:
    shown = preview_clip(clip, parse_choice("every=3"), pictures=(4, 32))
    assert shown.numbers == tuple(range(0, 40, 3)) and [n for n, _ in shown.pictures] == [0, 12, 27, 39]
    assert {p.shape for _, p in shown.pictures} == {(24, 32, 3)}
    assert [round(float(p.mean()) / 6) for _, p in shown.pictures] == [0, 12, 27, 39]
    with Project.create(tmp_path / "p.kinmark") as project:
        add_clip(project, clip, shown.choice)
        assert [int(r.file_name[-10:-4]) for r in project.queries.iter_images()] == list(shown.numbers)
    with pytest.raises(UserInputError, match="about 40"):
        preview_clip(clip, parse_choice("list=500"))


def test_farthest_takes_one_of_each_kind() -> None:
    rng = np.random.default_rng(0)
    centres = np.eye(8)[:4]
    rows = np.concatenate([centres[[i]] + 0.01 * rng.standard_normal((n, 8)) for i, n in enumerate((50, 5, 2, 1))])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kinds = np.repeat(range(4), (50, 5, 2, 1))
    chosen = farthest(rows.astype(np.float32), 4)
    assert sorted(kinds[chosen]) == [0, 1, 2, 3] and len(set(farthest(rows.astype(np.float32), 99))) == 58
    assert farthest(np.zeros((0, 8), np.float32), 3) == []


def test_diverse_frames_are_unlike_each_other(tmp_path: Path) -> None:
    """30 frames of one scene, then 3 and 3 of two others: the three chosen are one of each."""
    from kinmark.engine.api import EngineConfig, open_engine

    path = tmp_path / "scenes.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), FPS, (96, 96))
    y, x = np.mgrid[:96, :96]
    scenes = (
        np.stack([x * 2, y * 2, 255 - x * 2], -1),
        np.where(((x // 8 + y // 8) % 2)[..., None] > 0, [0, 0, 255], [255, 255, 0]),
        np.where((np.hypot(x - 48, y - 48) < 30)[..., None], [0, 255, 0], [40, 40, 40]),
    )
    for scene, count in zip(scenes, (30, 3, 3), strict=True):
        for _ in range(count):
            writer.write(scene.astype(np.uint8))
    writer.release()
    with Project.create(tmp_path / "p.kinmark") as project:
        config = EngineConfig(device="cpu", cache_dir=tmp_path / "cache", threads=1)
        add_clip(project, path, FrameChoice("diverse", 3), engine=lambda: open_engine(config))
        numbers = [int(r.file_name[-10:-4]) for r in project.queries.iter_images()]
    shown = preview_clip(path, FrameChoice("diverse", 3), engine=lambda: open_engine(config))
    assert list(shown.numbers) == numbers == [n for n, _ in shown.pictures]
    kinds = [0 if n < 30 else 1 if n < 33 else 2 for n in numbers]
    assert kinds == [0, 1, 2]


def test_the_command(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = str(tmp_path / "p.kinmark")
    assert run(["new", project]) == 0
    assert run(["add", project, str(clip)]) == 0
    assert "a clip; choose its frames" in capsys.readouterr().err
    assert run(["add", project, str(clip), "--frames", "count=3"]) == 0
    assert "3 photos added" in capsys.readouterr().out
    assert run(["add", project, str(clip), "--frames", "some=3"]) == 3
    assert run(["add", project, str(tmp_path), "--frames", "count=3"]) == 3
    assert run(["undo", project]) == 0
    with Project.open(tmp_path / "p.kinmark") as opened:
        assert opened.queries.count_images() == 0
