"""Frames of clips as photos: chosen by step, by number, or as unlike each other as possible.

Frames are written to `PROJECT/frames/<clip>/<clip>-<frame>.png` (the frame's number counts from 0) and added like any photo; the
setting "videos" remembers the clip and its speed, so a photo knows clip, frame and time. Clips are only read (OpenCV). There is
no tracking: every frame is a photo of its own.
"""

from __future__ import annotations

import math
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.api import DEFAULT_BACKBONE, Engine, ImageInput, Target, TargetFailure, VectorRequest
from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.clips import clip_stem
from kinmark.projects.images import VIDEO_SUFFIXES, AddReport, add_paths
from kinmark.projects.project import Project

SETTING = "videos"
FOLDER = "frames"
MAX_FRAMES = 10_000
MAX_NAMED = 5
CANDIDATES = 6
"""Frames that are looked at for each one that "diverse" chooses, at most MAX_CANDIDATES."""
MAX_CANDIDATES = 300
_NAME = re.compile(r"-(\d{6,})\.png$")


@dataclass(frozen=True)
class FrameChoice:
    """Which frames: `kind` "every" (each n-th), "count" (n evenly spread), "diverse" (n unlike ones) or "list" (these)."""

    kind: str
    number: int = 0
    frames: tuple[int, ...] = ()


@dataclass(frozen=True)
class Clip:
    """What a clip says of itself; `frames` may be an estimate of the container."""

    path: Path
    frames: int
    fps: float
    width: int
    height: int


@dataclass(frozen=True)
class FramePreview:
    """What `add_clip` would take: the numbers, and pictures `[h, w, 3]` uint8 RGB of some of them, evenly chosen."""

    clip: Clip
    numbers: tuple[int, ...]
    pictures: tuple[tuple[int, NDArray[np.uint8]], ...]

    @property
    def choice(self) -> FrameChoice:
        """Exactly these frames."""
        return FrameChoice("list", len(self.numbers), self.numbers)


@dataclass(frozen=True)
class FrameOf:
    """Where a photo comes from: frame number (from 0) and time of a clip."""

    clip: str
    frame: int
    time_s: float | None


def is_video_path(path: Path) -> bool:
    """Whether the suffix is that of a clip."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def parse_choice(text: str) -> FrameChoice:
    """`every=30`, `count=50`, `diverse=50` or `list=0,15,30`; UserInputError for anything else."""
    kind, sign, value = text.strip().partition("=")
    hint = "Write every=30, count=50, diverse=50 or list=0,15,30."
    if not sign or kind not in ("every", "count", "diverse", "list"):
        raise UserInputError(said("{0} chooses no frames.", f"{text!r}"), hint)
    try:
        numbers = tuple(dict.fromkeys(int(v) for v in value.split(",")))
    except ValueError:
        raise UserInputError(said("{0} is no number of frames.", f"{value!r}"), hint) from None
    if kind == "list":
        if min(numbers) < 0:
            raise UserInputError("Frames are counted from 0.", hint)
        return FrameChoice(kind, len(numbers), numbers)
    if len(numbers) != 1 or not 1 <= numbers[0] <= 10**9:
        raise UserInputError(said("{0} is no number of frames.", f"{value!r}"), hint)
    return FrameChoice(kind, numbers[0])


def look_at(path: Path) -> Clip:
    """Size, speed and length of a clip; KnownError when it cannot be read."""
    import cv2

    capture = _open(path)
    try:
        frames = int(capture.get(cv2.CAP_PROP_FRAME_COUNT) or 0)
        fps = float(capture.get(cv2.CAP_PROP_FPS) or 0.0)
        ok, frame = capture.read()
        if not ok or frame is None:
            raise _unreadable(path, "it holds no frame that can be decoded")
        return Clip(
            path, max(frames, 1), fps if math.isfinite(fps) and fps > 0 else 0.0, frame.shape[1], frame.shape[0]
        )
    finally:
        capture.release()


def _unreadable(path: Path, why: str) -> KnownError:
    return KnownError(
        said("Cannot read the clip {0}: {1}.", path, why),
        "Check that it plays elsewhere, or convert it to MP4 (H.264).",
    )


def _open(path: Path):  # type: ignore[no-untyped-def]
    import cv2

    if not path.is_file():
        raise UserInputError(said("There is no file or folder {0}.", path), "Check the path.")
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        capture.release()
        raise _unreadable(path, "it is no video, or one that this build of OpenCV does not decode")
    return capture


def read_frames(
    path: Path, wanted: Iterable[int], *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """(frame number, RGB `[H, W, 3]` uint8, turned as the clip is shown) of the wanted frames, in their order.

    Frames are walked through one by one: seeking lands beside the frame in many files. Numbers beyond the end give nothing.
    """
    left = sorted(set(wanted))
    if not left:
        return
    capture = _open(path)
    try:
        number = -1
        for target in left:
            while number < target:
                if cancel is not None:
                    cancel.check()
                if not capture.grab():
                    return
                number += 1
                if progress is not None:
                    progress.step()
            ok, frame = capture.retrieve()
            if ok and frame is not None:
                yield number, np.ascontiguousarray(frame[..., ::-1])
    finally:
        capture.release()


def choose_frames(clip: Clip, choice: FrameChoice) -> list[int]:
    """Frame numbers for every choice but "diverse" (there: the candidates)."""
    if choice.kind == "list":
        return sorted(choice.frames)
    if choice.kind == "every":
        numbers = list(range(0, clip.frames, choice.number))
    else:
        count = choice.number
        if choice.kind == "diverse":
            count = max(count, min(CANDIDATES * count, MAX_CANDIDATES))
        count = min(count, clip.frames)
        numbers = sorted({int((i + 0.5) * clip.frames / count) for i in range(count)})
    if len(numbers) > MAX_FRAMES:
        raise UserInputError(
            said("{0} frames of {1} would be added; the limit is {2}.", len(numbers), clip.path.name, MAX_FRAMES),
            "Choose fewer frames.",
        )
    return numbers


def farthest(vectors: NDArray[np.float32], count: int) -> list[int]:
    """Indices of `count` rows of `[N, D]` (L2-normalised) that are far from each other.

    The first is the one nearest to all; each next one is farthest from those chosen (k-centre, greedily).
    """
    if not len(vectors):
        return []
    mean = vectors.mean(axis=0)
    chosen = [int(np.argmax(vectors @ mean))]
    distance = 1.0 - vectors @ vectors[chosen[0]]
    while len(chosen) < min(count, len(vectors)):
        distance[chosen] = -np.inf
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, 1.0 - vectors @ vectors[chosen[-1]])
    return sorted(chosen)


def preview_clip(
    path: Path,
    choice: FrameChoice,
    *,
    engine: Callable[[], Engine] | None = None,
    backbone: str = DEFAULT_BACKBONE,
    pictures: tuple[int, int] = (12, 160),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> FramePreview:
    """The frames that a choice takes; nothing is written.

    Args:
        engine: as in `add_clip`.
        pictures: how many at most, and their longer side in pixels.
    """
    clip = look_at(path)
    numbers = choose_frames(clip, choice)
    wanted = numbers if choice.kind == "diverse" else _evenly(numbers, pictures[0])
    if progress is not None:
        progress.start(f"Reading {path.name}", (max(wanted) + 1) if wanted else 0)
    small: dict[int, NDArray[np.uint8]] = {}
    with tempfile.TemporaryDirectory(prefix="kinmark-frames-") as scratch:
        files: dict[int, Path] = {}
        for number, rgb in read_frames(path, wanted, progress=progress, cancel=cancel):
            picture = Image.fromarray(rgb)
            if choice.kind == "diverse":
                files[number] = Path(scratch) / f"{number:06d}.png"
                picture.save(files[number], compress_level=1)
            picture.thumbnail((pictures[1], pictures[1]))
            small[number] = np.asarray(picture)
        if choice.kind == "diverse":
            numbers = list(_diverse(files, choice.number, engine, backbone, progress, cancel))
    if not small:
        raise _nothing_chosen(clip)
    shown = _evenly([n for n in numbers if n in small], pictures[0])
    return FramePreview(clip, tuple(numbers), tuple((n, small[n]) for n in shown))


def _evenly(numbers: list[int], count: int) -> list[int]:
    if len(numbers) <= count:
        return list(numbers)
    return [numbers[i] for i in np.linspace(0, len(numbers) - 1, count).round().astype(int)]


def _nothing_chosen(clip: Clip) -> UserInputError:
    return UserInputError(
        said("None of the chosen frames is in {0}; it has about {1}.", clip.path.name, clip.frames),
        "Choose smaller numbers.",
    )


def add_clip(
    project: Project,
    path: Path,
    choice: FrameChoice,
    *,
    engine: Callable[[], Engine] | None = None,
    backbone: str = DEFAULT_BACKBONE,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> AddReport:
    """Write the chosen frames of a clip and add them as photos (one undo step; the frames' files stay).

    Args:
        engine: opens the engine; needed for "diverse", whose frames are compared by the vectors of the index.
    """
    clip = look_at(path)
    numbers = choose_frames(clip, choice)
    target = _folder(project, path)
    with tempfile.TemporaryDirectory(prefix="kinmark-frames-") as scratch:
        if progress is not None:
            progress.start(f"Reading {path.name}", (max(numbers) + 1) if numbers else 0)
        files: dict[int, Path] = {}
        for number, rgb in read_frames(path, numbers, progress=progress, cancel=cancel):
            files[number] = Path(scratch) / f"{target.name}-{number:06d}.png"
            Image.fromarray(rgb).save(files[number], compress_level=3)
        if not files:
            raise _nothing_chosen(clip)
        taken = set(files)
        if choice.kind == "diverse":
            files = _diverse(files, choice.number, engine, backbone, progress, cancel)
        kept = _store(target, files)
    known = project.queries.setting(SETTING) or {}
    known[target.name] = {"clip": str(path.resolve()), "fps": clip.fps, "frames": clip.frames}
    project.operations.set_setting(SETTING, known)
    report = add_paths(project, kept, root=project.folder / FOLDER, progress=progress, cancel=cancel)
    missing = [number for number in numbers if number not in taken] if choice.kind == "list" else []
    if not missing:
        return report
    named = ", ".join(map(str, missing[:MAX_NAMED])) + (" ..." if len(missing) > MAX_NAMED else "")
    skipped = list(report.skipped)
    skipped.append(said("{0}: it has no frame {1}; about {2} frames are in it", path.name, named, clip.frames))
    return replace(report, skipped=tuple(skipped))


def _diverse(
    files: dict[int, Path],
    count: int,
    engine: Callable[[], Engine] | None,
    backbone: str,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> dict[int, Path]:
    if engine is None:
        raise UserInputError("Frames that are unlike each other need the engine.", "Choose every=N or count=N.")
    if len(files) <= count:
        return files
    opened = engine()
    try:
        targets = tuple(Target(ImageInput(str(number), file)) for number, file in files.items())
        request = VectorRequest(uuid.uuid4().hex, targets, backbone)
        if progress is not None:
            progress.start("Comparing frames", len(targets))
        found: dict[int, NDArray[np.float32]] = {}
        for result in opened.photo_vectors(request, progress=progress, cancel=cancel):
            if not isinstance(result, TargetFailure):
                found[int(result.image_id)] = result.vectors[0]
    finally:
        opened.close()
    numbers = sorted(found)
    chosen = farthest(np.stack([found[n] for n in numbers]), count) if numbers else []
    return {numbers[i]: files[numbers[i]] for i in chosen}


def _folder(project: Project, path: Path) -> Path:
    """`frames/<clip>`, with a number where another clip of the name was there first."""
    known = project.queries.setting(SETTING) or {}
    base = clip_stem(path.name)
    name, number = base, 2
    while name in known and known[name].get("clip") != str(path.resolve()):
        name, number = f"{base}_{number}", number + 1
    return project.folder / FOLDER / name


def _store(target: Path, files: dict[int, Path]) -> list[Path]:
    """Put the frames to their folder; frames that are there already stay as they are."""
    kept = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for file in files.values():
            place = target / file.name
            if not place.exists():
                part = place.with_suffix(".part")
                shutil.copyfile(file, part)
                part.replace(place)
            kept.append(place)
    except OSError as error:
        raise KnownError(
            said("The frames cannot be written to {0} ({1}).", target, error.strerror or error),
            "Free space or check its permissions.",
        ) from None
    return kept


def frame_of(project: Project, path: Path, clips: dict[str, dict[str, object]] | None = None) -> FrameOf | None:
    """The clip, frame and time of a photo that `add_clip` made, None for other photos.

    Args:
        clips: the setting "videos" when it was read already.
    """
    match = _NAME.search(path.name)
    if match is None or path.parent.parent != project.folder / FOLDER:
        return None
    known = clips if clips is not None else project.queries.setting(SETTING) or {}
    entry = known.get(path.parent.name)
    if not isinstance(entry, dict):
        return None
    number, fps = int(match.group(1)), entry.get("fps")
    time_s = number / fps if isinstance(fps, int | float) and fps > 0 else None
    return FrameOf(str(entry.get("clip", "")), number, time_s)


def split_clips(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """(clips, everything else)."""
    return [p for p in paths if is_video_path(p)], [p for p in paths if not is_video_path(p)]
