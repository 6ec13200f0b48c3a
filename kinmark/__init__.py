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

from engine.domain.errors import AppError as KinmarkError
from engine.domain.errors import (
    ImportFileError,
    KnownError,
    OperationCancelled,
    ProjectError,
    UnreadableImageError,
    UserInputError,
)
from engine.domain.progress import CancelToken, Progress
from engine.installation import version_text as _version_text
from kinmark.model import Features, Match, Model
from kinmark.project import Project, create_project, open_project
from kinmark.records import Category, Exported, Found, Imported, Instance, Keypoint, Photo, Proposal

__all__ = [
    "CancelToken", "Category", "Exported", "Features", "Found", "ImportFileError", "Imported", "Instance", "Keypoint", "KinmarkError",
    "KnownError", "Match", "Model", "OperationCancelled", "Photo", "Progress", "Project", "ProjectError", "Proposal",
    "UnreadableImageError", "UserInputError", "create_project", "open_project", "version",
]  # fmt: skip


def version() -> str:
    """Version and commit, as `kinmark --version` says them."""
    return _version_text()
