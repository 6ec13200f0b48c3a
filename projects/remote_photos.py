"""Adding photos that lie at an address; after that they are photos like any other (`kinmark.engine.remote`: fetched when they are read)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kinmark.engine import remote
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import UNREADABLE_PHOTOS, is_image_path
from kinmark.projects.images import AddReport, described, duplicates_of
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage


def split_addresses(given: Sequence[str]) -> tuple[list[str], list[Path]]:
    """(addresses, paths); a `file://` address is its path."""
    addresses, paths = [], []
    for text in given:
        local = remote.local_path(text) if remote.is_url(text) else Path(text)
        if local is None:
            addresses.append(text)
        else:
            paths.append(local)
    return addresses, paths


def add_addresses(
    project: Project, addresses: Sequence[str], *, progress: Progress | None = None, cancel: CancelToken | None = None
) -> AddReport:
    """Add every photo at and below the addresses in one undoable step; each is read once, for its size and its hash.

    The addresses are allowed from now on (see `kinmark.engine.remote`). What was read before a cancellation is not added.

    Raises:
        UserInputError: an address with a password, or nothing there. KnownError: not reachable, or its driver is missing.
    """
    images: list[NewImage] = []
    skipped: list[str] = []
    for address in addresses:
        url = remote.checked_url(address)
        files = remote.list_files(url)
        remote.allow(url)
        folder = remote.path_of(url)
        root = folder.parent if len(files) == 1 and files[0].path == folder else folder
        if progress is not None:
            progress.start("Adding photos", len(files))
        for file in files:
            if cancel is not None:
                cancel.check()
            image = _described(root, file.path, str(remote.url_of(file.path)), skipped)
            if image is not None:
                images.append(image)
            if progress is not None:
                progress.step(note=file.path.name)
    changes = project.operations.add_images(images, name=said("Add %n images", n=len(images)))
    return AddReport(changes, changes.ids, (*skipped, *changes.skipped), duplicates_of(project, changes.ids))


def _described(root: Path, path: Path, url: str, skipped: list[str]) -> NewImage | None:
    if path.suffix.lower() in UNREADABLE_PHOTOS:
        skipped.append(
            said("{0}: {1} cannot be read; convert it to JPEG or PNG", url, UNREADABLE_PHOTOS[path.suffix.lower()])
        )
        return None
    if not is_image_path(path):
        skipped.append(said("{0}: not an image", url))
        return None
    return described(root, path, skipped, named=url)
