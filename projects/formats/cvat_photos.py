"""Which photo an <image> of CVAT means: an exported project may hold several tasks with photos of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.checks import Item


class PhotoPlaces:
    """Paths of the photos of one file.

    CVAT stores the photos of an exported project in `images/<subset>/`. A photo is looked for there when it lies there, and
    when its name alone would mean the photos of several tasks.
    """

    def __init__(self, path: Path, elements: Sequence[Element]) -> None:
        self._folder = path.absolute().parent
        self._tasks: dict[str, set[tuple[str, str]]] = {}
        self._subsets: dict[tuple[str, str], set[str]] = {}
        for element in elements:
            name, subset, task = (element.get(key) or "" for key in ("name", "subset", "task_id"))
            self._tasks.setdefault(name, set()).add((subset, task))
            self._subsets.setdefault((name, subset), set()).add(task)

    def of(self, item: Item, element: Element) -> tuple[PurePosixPath, str]:
        """(relative path, pointer) as `checks.photo_path` gives them; ImportFileError where two tasks share it."""
        relative, pointer = checks.photo_path(item.text("name"), item)
        name, subset = element.get("name") or "", (element.get("subset") or "").strip()
        below = None
        if subset and not pointer:
            below, _ = checks.photo_path(f"{subset}/{relative}", item)
        if len(self._tasks.get(name, ())) > 1:
            if below is None or len(self._subsets[name, element.get("subset") or ""]) > 1:
                raise item.error(
                    said("several tasks of the file hold a photo {0}, and nothing tells which one is which", relative),
                    "Export the tasks one by one, or give each its own subset.",
                )
            return below, pointer
        there = below is not None and any(
            checks.resolve_inside(self._folder / top, below) is not None for top in ("images", ".")
        )
        return (below, pointer) if there and below is not None else (relative, pointer)
