"""Operations on images and image roots."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.remote import url_of
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import NewImage
from kinmark.projects.store.models import Image, ImageRoot
from kinmark.projects.store.operations.base import Op, OperationGroup


def lookup_key(rel_path: str) -> str:
    """NFC form of a relative POSIX path: macOS and Linux spell the same name differently."""
    return unicodedata.normalize("NFC", rel_path)


def stored_root(root: Path, project_folder: Path) -> tuple[str, int]:
    """(path, relative) as stored: POSIX relative to the project folder where both lie in the same tree; an address as it is."""
    url = url_of(root)
    if url is not None:
        return url, 0
    root, project_folder = root.resolve(), project_folder.resolve()
    try:
        relative = os.path.relpath(root, project_folder)
    except ValueError:  # another drive on Windows
        return root.as_posix(), 0
    # "../photos" survives moving both together; a way through the whole file system would not.
    if relative.count("..") <= 2 or root.is_relative_to(project_folder):
        return PurePosixPath(Path(relative)).as_posix(), 1
    return root.as_posix(), 0


def _is_another(image: NewImage, known: str) -> bool:
    """Whether two names of one look are two files: "é" may be one character or two, and Linux keeps both."""
    if known == image.rel_path:
        return False
    try:
        return not (image.root / known).samefile(image.root / image.rel_path)
    except OSError:
        return False


class ImageOperations(OperationGroup):
    """add, remove, relink images; see `kinmark.projects.images` for scanning folders."""

    def add_images(self, images: Sequence[NewImage], *, name: str = "") -> OpChanges:
        """Add photos; those already there (same root and name) are counted as skipped. `ids`: of the new ones, in order."""
        with self._runner.operation(name or said("Add %n images", n=len(images))) as op:
            roots: dict[Path, int] = {}
            rows: list[dict[str, Any]] = []
            seen: dict[tuple[int, str], str] = {}
            for image in images:
                root_id = roots.get(image.root) or roots.setdefault(image.root, self._root(op, image.root))
                key = lookup_key(image.rel_path)
                known = seen.get((root_id, key)) or op.value(
                    "SELECT rel_path FROM image WHERE root_id = ? AND lookup = ?", (root_id, key)
                )
                if known is not None:
                    op.skipped.append(
                        said("{0}: already in the project", image.rel_path)
                        if not _is_another(image, str(known))
                        else said(
                            "{0}: another photo has the same name in other Unicode characters; rename one",
                            image.rel_path,
                        )
                    )
                    continue
                seen[root_id, key] = image.rel_path
                rows.append(_image_row(image, root_id, key))
            op.ids = op.add(Image, rows)
            op.count = len(rows)
        return op.changes

    def add_root(self, root: Path) -> OpChanges:
        """Make sure that `root` is an image root; `ids[0]` is its id."""
        with self._runner.operation("Add an image folder") as op:
            op.ids = [self._root(op, root)]
        return op.changes

    def _root(self, op: Op, root: Path) -> int:
        path, relative = stored_root(root, self._runner.path.parent)
        found = op.value("SELECT id FROM image_root WHERE path = ? AND relative = ?", (path, relative))
        return int(found) if found is not None else op.add(ImageRoot, [{"path": path, "relative": relative}])[0]

    def remove_images(self, image_ids: Iterable[int]) -> OpChanges:
        """Take photos (the files stay) with all their labels and proposals out of the project."""
        ids = list(image_ids)
        with self._runner.operation(said("Remove %n images", n=len(ids))) as op:
            op.count = op.run(f"DELETE FROM image WHERE id IN {op.collect('chosen', ids)}")
        return op.changes

    def relink_root(self, root_id: int, folder: Path) -> OpChanges:
        """The folder of a root has moved to `folder`."""
        with self._runner.operation(said("Re-link {name}", name=folder.name)) as op:
            op.require("image_root", root_id, "image folder")
            path, relative = stored_root(folder, self._runner.path.parent)
            op.run("UPDATE image_root SET path = ?, relative = ? WHERE id = ?", (path, relative, root_id))
            op.run("UPDATE image SET file_state = 'ok' WHERE root_id = ? AND file_state = 'missing'", (root_id,))
            op.ids, op.count = [root_id], 1
        return op.changes

    def relink_image(self, image_id: int, root: Path, rel_path: str) -> OpChanges:
        """One photo was moved or renamed; its labels stay."""
        with self._runner.operation("Re-link an image") as op:
            op.require("image", image_id, "image")
            root_id, key = self._root(op, root), lookup_key(rel_path)
            other = op.value(
                "SELECT id FROM image WHERE root_id = ? AND lookup = ? AND id <> ?", (root_id, key, image_id)
            )
            if other is not None:
                raise UserInputError(
                    said("{0} is already another image of the project.", rel_path), "Remove that one first."
                )
            op.run(
                "UPDATE image SET root_id = ?, rel_path = ?, lookup = ?, file_state = 'ok' WHERE id = ?",
                (root_id, rel_path, key, image_id),
            )
            op.ids, op.count = [image_id], 1
        return op.changes

    def accept_changed_file(self, image_id: int, image: NewImage) -> OpChanges:
        """The file behind a labelled image was replaced and the person says that the labels still fit."""
        with self._runner.operation("Accept the changed file") as op:
            op.require("image", image_id, "image")
            op.run(
                "UPDATE image SET width = ?, height = ?, orientation = ?, frames = ?, sha256 = ?, size_bytes = ?, "
                "mtime_ns = ?, file_state = 'ok' WHERE id = ?",
                (
                    image.width,
                    image.height,
                    image.orientation,
                    image.frames,
                    image.sha256,
                    image.size_bytes,
                    image.mtime_ns,
                    image_id,
                ),
            )
            op.ids, op.count = [image_id], 1
        return op.changes

    def note_file_states(self, states: dict[int, str]) -> OpChanges:
        """Record what was observed on the disk (ok, changed, missing); an observation, so not on the undo list."""
        with self._runner.operation("Check the image files", undoable=False) as op:
            for image_id, state in states.items():
                op.count += op.run(
                    "UPDATE image SET file_state = ? WHERE id = ? AND file_state <> ?", (state, image_id, state)
                )
        return op.changes


def _image_row(image: NewImage, root_id: int, key: str) -> dict[str, object]:
    parts = PurePosixPath(image.rel_path).parts
    if not parts or ".." in parts or PurePosixPath(image.rel_path).is_absolute():
        raise UserInputError(
            said("The image path {0} leaves its image root.", f"{image.rel_path!r}"), "Add it from its own folder."
        )
    if image.width <= 0 or image.height <= 0:
        raise UserInputError(
            said("The image {0} has the impossible size {1} x {2}.", image.rel_path, image.width, image.height)
        )
    return {
        "root_id": root_id,
        "rel_path": image.rel_path,
        "lookup": key,
        "width": image.width,
        "height": image.height,
        "orientation": image.orientation,
        "frames": image.frames,
        "sha256": image.sha256,
        "size_bytes": image.size_bytes,
        "mtime_ns": image.mtime_ns,
        "source_id": image.source_id,
    }
