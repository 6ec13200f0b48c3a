"""File names of an export: unique, ASCII, flat; and the map that says which is which (methods/formats.md#names)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import Report
from kinmark.projects.formats.spair_names import ascii_word

NAME_MAP = "name_map.json"


def flat_stems(paths: Iterable[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Photo path -> unique ASCII stem: the file's own where it is free, else with its folders, else numbered."""
    result: dict[PurePosixPath, str] = {}
    used: set[str] = set()
    for path in paths:
        own = ascii_word(path.stem)[:80] or "image"
        long = ascii_word("_".join([*path.parent.parts, path.stem]))[-120:] or own
        candidate, number = own, 2
        if candidate.lower() in used:
            candidate = long
        while candidate.lower() in used:
            candidate, number = f"{long}_{number}", number + 1
        used.add(candidate.lower())
        result[path] = candidate
    return result


def say_renamed(stems: dict[PurePosixPath, str], report: Report) -> None:
    """Count the photos that get another name."""
    renamed = [(path, stem) for path, stem in stems.items() if stem != str(path.with_suffix(""))]
    if renamed:
        path, stem = renamed[0]
        told = said("{0} is called {1} there", path, stem)
        report.count("changed", "new name of a photo", told, said("{0} has all", NAME_MAP), len(renamed))


def name_map_bytes(stems: dict[PurePosixPath, str]) -> bytes:
    """The map as JSON: exported stem -> photo path."""
    return json.dumps({stem: str(path) for path, stem in stems.items()}, ensure_ascii=True, indent=1).encode("ascii")
