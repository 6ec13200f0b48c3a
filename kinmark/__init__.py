"""Kinmark as a library: mark once, find its kin everywhere.

    import kinmark

    with kinmark.create_project("otters.kinmark") as project:
        project.add_photos("photos")
        project.add_category("otter", ["nose", "l_ear", "r_ear", "tail"], pairs=[("l_ear", "r_ear")])
        project.label("day1/001.jpg", "otter", {"nose": (412, 230), "l_ear": (380, 198), "r_ear": (440, 190)})
        project.propose("otter")
        project.accept(min_confidence=0.9)
        project.export("out", "coco")

Everything here is a thin, typed layer over the classes that the window and the command line use, so a project may be opened
by either afterwards. Coordinates are pixels of the photo as it is shown (EXIF applied), x first, the origin at the corner of
the top-left pixel. Importing this loads no torch. Not thread-safe: use an object in the thread that made it.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if not (Path(__file__).parent / "engine").is_dir():
    # In a checkout the packages lie beside this folder, so that a reader sees the layers at the top of the tree
    # (docs/adr/0019-one-package-where-it-is-installed.md). In an installed package they lie in it.
    __path__.append(str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from kinmark.engine.domain.errors import AppError as KinmarkError
    from kinmark.engine.domain.errors import (
        ImportFileError,
        KnownError,
        OperationCancelled,
        ProjectError,
        UnreadableImageError,
        UserInputError,
    )
    from kinmark.engine.domain.progress import CancelToken, Progress
    from kinmark.model import Features, Match, Model
    from kinmark.project import Project, create_project, open_project
    from kinmark.records import Category, Exported, Found, Imported, Instance, Keypoint, Photo, Proposal, Reference

__all__ = [
    "CancelToken",
    "Category",
    "Exported",
    "Features",
    "Found",
    "ImportFileError",
    "Imported",
    "Instance",
    "Keypoint",
    "KinmarkError",
    "KnownError",
    "Match",
    "Model",
    "OperationCancelled",
    "Photo",
    "Progress",
    "Project",
    "ProjectError",
    "Proposal",
    "Reference",
    "UnreadableImageError",
    "UserInputError",
    "create_project",
    "open_project",
    "version",
]

_PLACES = {
    "engine.domain.errors": (
        "ImportFileError",
        "KnownError",
        "OperationCancelled",
        "ProjectError",
        "UnreadableImageError",
        "UserInputError",
    ),
    "engine.domain.progress": ("CancelToken", "Progress"),
    "model": ("Features", "Match", "Model"),
    "project": ("Project", "create_project", "open_project"),
    "records": ("Category", "Exported", "Found", "Imported", "Instance", "Keypoint", "Photo", "Proposal", "Reference"),
}
"""Module below this one: what is taken from there when it is first asked for. Whoever imports a part of the program alone, as
a worker or the command line does, does not load the rest."""
_PLACE_OF = {name: (place, name) for place, names in _PLACES.items() for name in names}
_PLACE_OF["KinmarkError"] = ("engine.domain.errors", "AppError")


def __getattr__(name: str) -> object:
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    place, own_name = _PLACE_OF[name]
    value: object = getattr(import_module(f"{__name__}.{place}"), own_name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def version() -> str:
    """Version and commit, as `kinmark --version` says them."""
    from kinmark.engine.installation import version_text

    return version_text()
