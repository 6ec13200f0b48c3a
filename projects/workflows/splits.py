"""Divide the photos into train / val / test: seeded, and by group so that nothing leaks from one part to another.

Groups are joined: photos of one folder, photos that show the same identity, and near-duplicates (equal bytes, or pictures
that look the same at 9 x 8 grey cells) stay together, whichever of these were asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import load_image
from kinmark.projects.formats.base import begin, tick
from kinmark.projects.formats.splitting import assign_groups
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.rows import ImageRow

GROUPINGS = ("folder", "identity", "duplicates")
HASH_DISTANCE = 3
"""Bits of 64 that may differ; with four bands of 16 bits two such pictures share at least one band."""
GREY_DISTANCE = 8.0
_CELLS_WH = (9, 8)


@dataclass(frozen=True)
class SplitResult:
    """`counts`: images per split; `groups`: number of groups; `changes` None when only looked at."""

    assigned: dict[int, str]
    counts: dict[str, int]
    groups: int
    largest_group: int
    unreadable: tuple[str, ...] = ()
    changes: OpChanges | None = None
    extra: dict[str, int] = field(default_factory=dict)


class _Joined:
    """Union-find over image ids."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._parent = {i: i for i in ids}

    def root(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, members: Sequence[int]) -> None:
        """All members become one group, named after the smallest id."""
        roots = sorted({self.root(m) for m in members})
        for other in roots[1:]:
            self._parent[other] = roots[0]


def assign_splits(
    project: Project,
    shares: dict[str, float],
    *,
    by: Sequence[str] = GROUPINGS,
    seed: int = 0,
    only_labelled: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> SplitResult:
    """Give every image (or every labelled one) a split as one undoable step.

    Args:
        shares: split name -> share, any positive scale ({"train": 8, "val": 1, "test": 1}).
        by: what must stay together: any of GROUPINGS, () = every image for itself.
        seed: the same images, groups, shares and seed give the same answer.
    """
    if not shares or any(not (0 <= s < 1e6) for s in shares.values()) or sum(shares.values()) <= 0:
        raise UserInputError(
            "The shares of the splits must be positive numbers.", "Write for example train=8,val=1,test=1."
        )
    unknown = [b for b in by if b not in GROUPINGS]
    if unknown:
        raise UserInputError(
            said('Images cannot be grouped by "{0}".', unknown[0]), said("Use any of: {0}.", ", ".join(GROUPINGS))
        )
    rows = [r for r in project.queries.iter_images() if not only_labelled or r.instance_count]
    joined = _Joined(r.id for r in rows)
    unreadable = _join_groups(project, rows, joined, by, progress, cancel)
    groups: dict[Hashable, int] = {}
    name_of = {r.id: f"{r.root_id}/{r.file_name}" for r in rows}
    for row in rows:
        key = name_of[joined.root(row.id)]
        groups[key] = groups.get(key, 0) + 1
    chosen = assign_groups(groups, shares, seed)
    assigned = {row.id: chosen[name_of[joined.root(row.id)]] for row in rows}
    changes = None if dry_run or not assigned else project.operations.set_split(dict(assigned))
    counts = Counter(assigned.values())
    return SplitResult(
        assigned,
        {name: counts.get(name, 0) for name in shares},
        len(groups),
        max(groups.values(), default=0),
        tuple(unreadable),
        changes,
    )


def _join_groups(
    project: Project,
    rows: list[ImageRow],
    joined: _Joined,
    by: Sequence[str],
    progress: Progress | None,
    cancel: CancelToken | None,
) -> list[str]:
    known = {row.id for row in rows}
    unreadable: list[str] = []
    if "folder" in by:
        folders: dict[Hashable, list[int]] = {}
        for row in rows:
            folders.setdefault((row.root_id, PurePosixPath(row.file_name).parent), []).append(row.id)
        if len(folders) > 1:  # one folder for everything says nothing about what belongs together
            for members in folders.values():
                joined.join(members)
    if "identity" in by:
        identities: dict[int, list[int]] = {}
        for instance in project.queries.iter_instances():
            if instance.identity_id is not None and instance.image_id in known:
                identities.setdefault(instance.identity_id, []).append(instance.image_id)
        for members in identities.values():
            joined.join(members)
    if "duplicates" in by:
        by_bytes: dict[str, list[int]] = {}
        for row in rows:
            by_bytes.setdefault(row.sha256 or f"id {row.id}", []).append(row.id)
        for members in by_bytes.values():
            joined.join(members)
        for pair in near_duplicates(rows, unreadable, progress, cancel):
            joined.join(pair)
    return unreadable


def near_duplicates(
    rows: Sequence[ImageRow],
    unreadable: list[str],
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> list[tuple[int, int]]:
    """Pairs of image ids that look the same (resized, recompressed, slightly changed copies)."""
    begin(progress, "Comparing photos", len(rows))
    ids: list[int] = []
    cells: list[NDArray[np.float32]] = []
    for row in rows:
        tick(progress, cancel, row.file_name)
        try:
            cells.append(grey_cells(load_image(row.path, max_side=72).rgb))
            ids.append(row.id)
        except AppError as error:
            unreadable.append(error.user_message)
    if not ids:
        return []
    stack = np.stack(cells)
    bits = (stack[:, :, 1:] > stack[:, :, :-1]).reshape(len(ids), 64)
    bands = np.packbits(bits, axis=1).reshape(len(ids), 4, 2)
    pairs: set[tuple[int, int]] = set()
    for band in range(4):
        buckets: dict[bytes, list[int]] = {}
        for index in range(len(ids)):
            buckets.setdefault(bands[index, band].tobytes(), []).append(index)
        for members in buckets.values():
            pairs |= _alike(members, bits, stack)
    return [(ids[a], ids[b]) for a, b in sorted(pairs)]


def _alike(members: list[int], bits: NDArray[np.bool_], cells: NDArray[np.float32]) -> set[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    index = np.asarray(members)
    for place, first in enumerate(members[:-1]):
        others = index[place + 1 :]
        near = (bits[others] != bits[first]).sum(axis=1) <= HASH_DISTANCE
        close = np.abs(cells[others] - cells[first]).mean(axis=(1, 2)) <= GREY_DISTANCE
        found.update((first, int(o)) for o in others[near & close])
    return found


def grey_cells(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`[8, 9]` mean grey of a picture's cells."""
    small = Image.fromarray(rgb).convert("L").resize(_CELLS_WH, Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)
