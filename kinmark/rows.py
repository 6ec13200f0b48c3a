"""Rows of the store as the records of `import kinmark`."""

from __future__ import annotations

from kinmark.projects.project import Project as StoredProject
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow, ProposalRow
from kinmark.records import (
    VISIBILITIES,
    Category,
    Instance,
    Keypoint,
    Photo,
    Proposal,
)


class Names:
    """Ids to names for many rows, each looked up once."""

    def __init__(self, stored: StoredProject) -> None:
        self._queries = stored.queries
        self._categories = {row.id: row for row in stored.queries.categories()}
        self._identities = {row.id: row.name for row in stored.queries.identities()}
        self._definitions = {
            d.id: d.name for row in self._categories.values() for d in (*row.definitions, *row.retired)
        }
        self._images: dict[int, str] = {}

    def _photo(self, image_id: int) -> str:
        if image_id not in self._images:
            row = self._queries.image(image_id)
            self._images[image_id] = row.file_name if row is not None else ""
        return self._images[image_id]

    def _who(self, identity_id: int | None) -> str | None:
        return self._identities.get(identity_id) if identity_id is not None else None

    def instance(self, row: InstanceRow) -> Instance:
        """An accepted instance."""
        keypoints = {
            self._definitions[k.definition_id]: _keypoint(k.x, k.y, k.visibility, k.confidence) for k in row.keypoints
        }
        return Instance(
            row.id,
            self._photo(row.image_id),
            self._categories[row.category_id].name,
            self._who(row.identity_id),
            keypoints,
            row.box,
            row.mask is not None,
        )

    def proposal(self, row: ProposalRow) -> Proposal:
        """What waits for a decision."""
        keypoints = {
            self._definitions[k.definition_id]: _keypoint(k.x, k.y, k.visibility, k.confidence) for k in row.keypoints
        }
        return Proposal(
            row.id,
            self._photo(row.image_id),
            self._categories[row.category_id].name,
            "mask" if row.kind == "mask" else "keypoints",
            row.confidence,
            self._who(row.identity_id),
            keypoints,
            row.box,
        )


def photo_record(row: ImageRow) -> Photo:
    """A photo."""
    return Photo(row.id, row.file_name, row.path, row.width, row.height, row.state)


def category_record(row: CategoryRow) -> Category:
    """A category, its lines and pairs by name."""
    names = row.schema.names

    def named(links: tuple[tuple[int, int], ...]) -> tuple[tuple[str, str], ...]:
        return tuple((names[a], names[b]) for a, b in links)

    return Category(row.id, row.name, names, named(row.schema.edges), named(row.schema.pairs))


def _keypoint(x: float | None, y: float | None, visibility: int, confidence: float | None) -> Keypoint:
    nan = float("nan")
    return Keypoint(nan if x is None else x, nan if y is None else y, VISIBILITIES[int(visibility)], confidence)
