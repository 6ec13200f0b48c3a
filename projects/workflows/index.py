"""The project's vector index: brought up to date in the background, asked for shortlists.

The index lies in `PROJECT/index/` and is disposable: whatever is missing, changed or deleted in the collection is found by
comparing content hashes, so an update after any number of changes does only the difference.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    ImageInput,
    PhotoVectors,
    Reference,
    Target,
    TargetFailure,
    VectorIndexDoor,
    VectorRequest,
    open_vector_index,
)
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import expand_box
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.project import Project

SAVE_EVERY = 500
POINT_SHARE = 0.35
"""A click without an outline stands for a box of this share of the photo's shorter side."""


@dataclass
class IndexReport:
    """What an update did."""

    photos: int = 0
    added: int = 0
    removed: int = 0
    failures: tuple[str, ...] = ()


def index_folder(project: Project, backbone: str = DEFAULT_BACKBONE) -> Path:
    """Where the index of a backbone lies."""
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in Path(backbone).name) or "backbone"
    return project.folder / "index" / safe


def update_index(
    project: Project,
    engine: Engine,
    backbone: str = DEFAULT_BACKBONE,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> IndexReport:
    """Describe what is new or changed, drop what is gone. Resumable: what was described before a cancel is kept."""
    update = IndexUpdate(project, engine, backbone, cancel=cancel)
    update.step(progress=progress, cancel=cancel)
    update.report.photos = len(update.index) if update.index is not None else 0
    return update.report


def _wanted(project: Project) -> dict[int, ImageInput]:
    return {row.id: row.image_input for row in project.queries.iter_images() if row.file_state != "missing"}


class IndexUpdate:
    """An update in pieces, so that a window lets urgent work in between; its thread owns it.

    Attributes:
        report: what was done so far; left: photos that still wait.
        index: the index, or None when the project has no readable photo.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        backbone: str = DEFAULT_BACKBONE,
        *,
        fingerprint: str | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        self.report = IndexReport()
        self.index: VectorIndexDoor | None = None
        self._project, self._engine, self._backbone = project, engine, backbone
        self._wanted = _wanted(project)
        self._changed: list[int] = []
        self._unsaved = 0
        if self._wanted and fingerprint is None:
            fingerprint = _fingerprint(engine, next(iter(self._wanted.values())), backbone, cancel)
        if fingerprint is None or not self._wanted:
            return
        self.index = open_vector_index(index_folder(project, backbone), fingerprint, read_only=False)
        changed, gone = self.index.stale({i: image.sha256 for i, image in self._wanted.items()})
        self._changed = list(changed)
        self.report.removed = self._unsaved = self.index.remove(gone)

    @property
    def left(self) -> int:
        """Photos that still wait."""
        return len(self._changed)

    def step(
        self, limit: int | None = None, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> int:
        """Describe the next `limit` photos (None: all that are left) and return how many were looked at."""
        if self.index is None:
            return 0
        part = self._changed[:limit]
        failures: list[str] = []
        try:
            request = VectorRequest(uuid.uuid4().hex, tuple(Target(self._wanted[i]) for i in part), self._backbone)
            for result in self._engine.photo_vectors(request, progress=progress, cancel=cancel):
                if isinstance(result, TargetFailure):
                    failures.append(str(result.error))
                    continue
                image_id = int(result.image_id)
                self.index.put(image_id, self._wanted[image_id].sha256, result.vectors)
                self.report.added += 1
                self._unsaved += 1
                if self._unsaved >= SAVE_EVERY:
                    self.save()
            self._changed = self._changed[len(part) :]
        finally:
            self.report.failures += tuple(failures)
            if limit is None or not self._changed:
                self.save()
        return len(part)

    def save(self) -> None:
        """Write what is new to the disk (the pieces of an update are kept together: a large index takes its time)."""
        if self.index is not None and self._unsaved and not self._project.read_only:
            self.index.save()
        self._unsaved = 0


def _fingerprint(engine: Engine, image: ImageInput, backbone: str, cancel: CancelToken | None) -> str | None:
    """Fingerprint of the vectors of this backbone now (described once; the features are cached)."""
    request = VectorRequest(uuid.uuid4().hex, (Target(image),), backbone)
    result = next(iter(engine.photo_vectors(request, cancel=cancel)))
    return None if isinstance(result, TargetFailure) else result.spec.fingerprint()


def _reference_target(project: Project, reference: Reference) -> Target:
    """The reference as a region to describe: its mask, its box, or a square around the click."""
    if reference.mask is not None or reference.box is not None:
        return Target(reference.image, box=reference.box, mask=reference.mask)
    if reference.point_xy_image is None:
        return Target(reference.image)
    row = project.queries.image(int(reference.image.image_id))
    x, y = reference.point_xy_image
    side = POINT_SHARE * min(row.size_wh) if row is not None else 100.0
    return Target(reference.image, box=expand_box((x, y, x + 1e-3, y + 1e-3), margin=side / 2 / 1e-3, square=True))


class Shortlist:
    """The photos most alike to some references, in pieces: the index is brought up to date first.

    Attributes:
        update: the update of the index; when nothing of it is left, `nearest` can be asked.

    Raises (on creation):
        UserInputError: no reference can be described.
    """

    def __init__(
        self,
        project: Project,
        engine: Engine,
        references: Sequence[Reference],
        backbone: str = DEFAULT_BACKBONE,
        *,
        cancel: CancelToken | None = None,
    ) -> None:
        targets = tuple(_reference_target(project, r) for r in references)
        request = VectorRequest(uuid.uuid4().hex, targets, backbone)
        described = [d for d in engine.photo_vectors(request, cancel=cancel) if not isinstance(d, TargetFailure)]
        if not described:
            raise UserInputError("None of the references can be read.", "Re-link or restore the photos.")
        self._queries = np.concatenate([d.vectors[:1] for d in described])
        self.update = IndexUpdate(project, engine, backbone, fingerprint=_photo_fingerprint(described), cancel=cancel)

    def nearest(self, count: int) -> list[int]:
        """Ids of the `count` photos most alike, best first."""
        index = self.update.index
        return [n.image_id for n in index.search(self._queries, count, distinctive=True)] if index is not None else []


def shortlist(
    project: Project,
    engine: Engine,
    references: Sequence[Reference],
    count: int,
    backbone: str = DEFAULT_BACKBONE,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[int]:
    """Ids of the `count` photos most alike to the references, best first; the index is updated first.

    Raises:
        UserInputError: no reference can be described.
    """
    wanted = Shortlist(project, engine, references, backbone, cancel=cancel)
    wanted.update.step(progress=progress, cancel=cancel)
    return wanted.nearest(count)


def _photo_fingerprint(described: Sequence[PhotoVectors]) -> str:
    return described[0].spec.fingerprint()
