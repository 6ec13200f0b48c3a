"""Frames of clips by their names: `<clip>/<clip>-<frame>.png`, the frame counted from 0."""

from __future__ import annotations

from pathlib import PurePosixPath

from kinmark.projects.formats.spair_names import ascii_word


def clip_stem(clip: str) -> str:
    """The folder that a clip's frames get."""
    return ascii_word(PurePosixPath(clip.replace("\\", "/")).stem) or "clip"


def frame_name(clip: str, number: int) -> PurePosixPath:
    """Where a frame of a clip stands in a project."""
    stem = clip_stem(clip)
    return PurePosixPath(stem, f"{stem}-{number:06d}.png")
