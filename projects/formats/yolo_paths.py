"""Where the photos and label files of a YOLO data set lie; only the folder of data.yaml is looked into."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.projects.formats.yolo import label_path

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""Fields of data.yaml that name photos, and the split that they mean."""


def label_file(root: Path, image: PurePosixPath) -> Path | None:
    """The label file of a photo, its suffix in any case; None without one."""
    file = root / label_path(image)
    if file.is_file():
        return file
    other = file.with_suffix(".TXT")
    return other if other.is_file() else None


def looks_like_labels(file: Path) -> bool:
    """Whether the first line holds a class and at least four numbers."""
    try:
        with file.open("rb") as stream:
            words = stream.readline(4096).split()
        return len(words) >= 5 and all(math.isfinite(float(word)) for word in words)
    except (OSError, ValueError):
        return False


def is_folder(place: object, root: Path) -> bool:
    """Whether the text `place` is the folder `root`."""
    try:
        return isinstance(place, str) and Path(place).resolve() == root.resolve()
    except (OSError, ValueError):
        return False


def leads_out(start: Path, text: str) -> bool:
    """Whether a tail of a path exists below `start`, but is a link to somewhere else."""
    try:
        return any(tail.exists() for tail in _tails(start, text))
    except (OSError, ValueError):
        return False


def _tails(start: Path, text: str) -> list[Path]:
    """What the last parts of a path would be below `start`, the longest first; none of a path that names nothing."""
    parts = [p for p in PurePosixPath(text.replace("\\", "/")).parts if p not in ("..", ".", "/")]
    return [start.joinpath(*parts[i:]) for i in range(len(parts))]


def root_of(file: Path, data: dict[str, Any], images_root: Path | None) -> Path:
    """The folder of data.yaml; where none of its photos are below that, the folder that a person gave for them."""
    told = [data.get(key) for key in SPLITS]
    entries = [e for value in told for e in (value if isinstance(value, list) else [value]) if isinstance(e, str)]
    here = any(below(file.parent, entry) is not None for entry in entries)
    return file.parent if here or images_root is None else images_root


def below(start: Path, text: str) -> Path | None:
    """The longest tail of a path that exists below `start`.

    Exports often say "../train/images" or an absolute place of another machine: only our folder is looked into.
    """
    try:
        return next(
            (t for t in _tails(start, text) or [start] if t.exists() and t.resolve().is_relative_to(start.resolve())),
            None,
        )
    except (OSError, ValueError):
        return None
