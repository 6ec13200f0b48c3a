"""Images: filters, paging, counts."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.remote import is_url, path_of
from kinmark.projects.store.models import STATES
from kinmark.projects.store.queries.base import QueryGroup, marks
from kinmark.projects.store.rows import ImageRow

_COLUMNS = (
    "image.id, image.root_id, image.rel_path, image.width, image.height, image.orientation, image.sha256, image.size_bytes, "
    "image.mtime_ns, image.source_id, image.file_state, image.state, image.instance_count, image.keypoint_count, "
    "image.mask_count, image.pending_count, image.min_confidence, image.exhaustive"
)
EXHAUSTIVE: dict[str, int | None] = {"yes": 1, "no": 0, "unknown": None}
ORDERS = {
    "name": "image.root_id, image.lookup",
    "added": "image.id",
    "confidence": "image.min_confidence IS NULL, image.min_confidence, image.id",
}


@dataclass(frozen=True)
class ImageFilter:
    """Which images; every field that is set must hold.

    Attributes:
        state: unseen, pending, partly, done or nothing.
        below: the lowest pending confidence is under this (the "doubt" filter uses `DOUBT`).
        category_id: has an accepted or proposed instance of it.
        definition_id: has an accepted instance with this keypoint placed (hidden or visible).
        missing_definition_id: has an instance of the keypoint's category without this keypoint looked at.
        tag, split: by name; split "" = in no split.
        identity_id: has an accepted instance of it.
        text: part of the file name (case-insensitive).
        glob: of the file name, `*` and `?` (as SQLite GLOB).
        file_state: ok, changed or missing.
        has_instances: with (True) or without (False) accepted instances.
        exhaustive: yes (all instances are labelled, a person said), no (some are not) or unknown, of the category of
            `category_id` where it is given; unknown needs an accepted instance to ask about.
        at_least, at_most: so many accepted instances, of the category of `category_id` where it is given.
        ids: only these.
    """

    state: str | None = None
    below: float | None = None
    category_id: int | None = None
    definition_id: int | None = None
    missing_definition_id: int | None = None
    tag: str | None = None
    split: str | None = None
    identity_id: int | None = None
    text: str = ""
    glob: str = ""
    file_state: str | None = None
    has_instances: bool | None = None
    exhaustive: str | None = None
    at_least: int | None = None
    at_most: int | None = None
    root_id: int | None = None
    ids: tuple[int, ...] | None = None


def where_of(filter_: ImageFilter | None) -> tuple[str, list[Any]]:
    """SQL condition over `image` and its parameters."""
    if filter_ is None:
        return "1", []
    conditions = [*_of_the_photo(filter_), *_of_its_labels(filter_)]
    return " AND ".join(sql for sql, *_ in conditions) or "1", [value for _, *values in conditions for value in values]


def _of_the_photo(f: ImageFilter) -> Iterator[tuple[Any, ...]]:
    """(SQL, parameters ...) of what is asked about the photo itself: its state, place, name, tags and split."""
    for column, value in (("state", f.state), ("file_state", f.file_state), ("root_id", f.root_id)):
        if value is not None:
            yield f"image.{column} = ?", value
    if f.below is not None:
        yield "image.state = 'pending' AND image.min_confidence < ?", f.below
    if f.tag is not None:
        yield (
            "EXISTS (SELECT 1 FROM tag_link l JOIN tag t ON t.id = l.tag_id WHERE l.image_id = image.id AND t.name = ?)",
            f.tag,
        )
    if f.split == "":
        yield ("NOT EXISTS (SELECT 1 FROM split s WHERE s.image_id = image.id)",)
    elif f.split is not None:
        yield "EXISTS (SELECT 1 FROM split s WHERE s.image_id = image.id AND s.name = ?)", f.split
    if f.text:
        plain = f.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        yield "image.lookup LIKE ? ESCAPE '\\'", f"%{plain}%"
    if f.glob:
        yield "image.lookup GLOB ?", f.glob
    if f.ids is not None:
        yield "image.id IN (SELECT value FROM json_each(?))", json.dumps(f.ids)


def _of_its_labels(f: ImageFilter) -> Iterator[tuple[Any, ...]]:
    """(SQL, parameters ...) of what is asked about the instances and proposals on it."""
    if f.category_id is not None:
        yield (
            "(EXISTS (SELECT 1 FROM instance i WHERE i.image_id = image.id AND i.category_id = ?) OR EXISTS (SELECT 1 FROM "
            "proposal p WHERE p.image_id = image.id AND p.category_id = ? AND p.here = 1))",
            f.category_id,
            f.category_id,
        )
    if f.definition_id is not None:
        yield (
            "image.id IN (SELECT k.image_id FROM keypoint k WHERE k.definition_id = ? AND k.visibility > 0)",
            f.definition_id,
        )
    if f.missing_definition_id is not None:
        # One pass over the category's instances: asked per image, SQLite would walk all of them for each.
        yield (
            "image.id IN (SELECT i.image_id FROM instance i WHERE i.category_id = (SELECT d.category_id FROM "
            "keypoint_definition d WHERE d.id = ?) AND NOT EXISTS (SELECT 1 FROM keypoint k WHERE k.instance_id = i.id "
            "AND k.definition_id = ?))",
            f.missing_definition_id,
            f.missing_definition_id,
        )
    if f.identity_id is not None:
        yield "EXISTS (SELECT 1 FROM instance i WHERE i.image_id = image.id AND i.identity_id = ?)", f.identity_id
    if f.has_instances is not None:
        yield ("image.instance_count > 0" if f.has_instances else "image.instance_count = 0",)
    if f.exhaustive is not None:
        yield _exhaustive(f.exhaustive, f.category_id)
    if f.at_least is not None and f.at_least > 0:
        yield _at_least(f.at_least, f.category_id)
    if f.at_most is not None:
        condition, *more = _at_least(f.at_most + 1, f.category_id)
        yield f"NOT ({condition})", *more


def _at_least(count: int, category_id: int | None) -> tuple[str, *tuple[int, ...]]:
    """Images with so many accepted instances and more (`count` > 0), of the category where one is given."""
    if category_id is None:
        return "image.id IN (SELECT id FROM image WHERE instance_count >= ?)", count
    # One pass over an index: counted per image, SQLite would look up every one of them.
    own = "SELECT i.image_id FROM instance i WHERE i.category_id = ? GROUP BY i.image_id HAVING COUNT(*) >= ?"
    return f"image.id IN ({own})", category_id, count


def _exhaustive(which: str, category_id: int | None) -> tuple[str, *tuple[int, ...]]:
    """Condition and parameters of `ImageFilter.exhaustive`."""
    if which not in EXHAUSTIVE:
        raise UserInputError(
            said("{0} does not say whether all instances are labelled.", f"{which!r}"), "Use yes, no or unknown."
        )
    holds = EXHAUSTIVE[which]
    if category_id is None:
        return (
            ("image.exhaustive IS NULL AND image.instance_count > 0",)
            if holds is None
            else ("image.exhaustive = ?", holds)
        )
    told = "SELECT e.image_id FROM exhaustive e WHERE e.category_id = ?"
    if holds is not None:
        return f"image.id IN ({told} AND e.holds = ?)", category_id, holds
    there = "SELECT i.image_id FROM instance i WHERE i.category_id = ?"
    return f"image.id IN ({there}) AND image.id NOT IN ({told})", category_id, category_id


@dataclass(frozen=True)
class Counts:
    """How many images are in each state (`doubt`: pending with a confidence under 0.5), and the accepted totals.

    `partly`: labelled, but an instance lacks keypoints of its category that nobody looked at (an absent one was looked at).
    `keypoints` counts placed ones (hidden or visible). `exhaustive`: all instances are labelled, a person said;
    `not_exhaustive`: some are not.
    """

    all: int
    unseen: int
    pending: int
    done: int
    nothing: int
    doubt: int
    instances: int
    keypoints: int
    masks: int
    partly: int = 0
    exhaustive: int = 0
    not_exhaustive: int = 0


class ImageQueries(QueryGroup):
    """Images and their roots."""

    def roots(self) -> dict[int, Path]:
        """{root id: folder as it is reached from here}. No disk is asked: a window may wait for it on a dead network drive."""
        # A stored relative path has no link on its way (`operations.images.stored_root`): ".." can be taken back by name.
        return {
            row[0]: path_of(row[1])
            if is_url(row[1])
            else Path(os.path.normpath(self._folder / row[1]))
            if row[2]
            else Path(row[1])
            for row in self._all("SELECT id, path, relative FROM image_root ORDER BY id")
        }

    def root_fits(self, root_id: int, folder: Path) -> bool:
        """Whether the first photos of an image root lie below `folder` under the same names."""
        rows = self._all("SELECT rel_path FROM image WHERE root_id = ? ORDER BY lookup LIMIT 5", (root_id,))
        return bool(rows) and all((folder / row[0]).is_file() for row in rows)

    def images(
        self, filter_: ImageFilter | None = None, *, order: str = "name", limit: int | None = None, offset: int = 0
    ) -> tuple[ImageRow, ...]:
        """A page of images; `order` one of name, added, confidence."""
        if order not in ORDERS:
            raise UserInputError(
                said("Images cannot be ordered by {0}.", f"{order!r}"), said("Use one of {0}.", ", ".join(ORDERS))
            )
        where, values = where_of(filter_)
        by = _order_of(order, filter_)
        # The page is cut on a covering index first; whole rows are then read for the page only.
        sql = (
            f"SELECT {_COLUMNS} FROM image JOIN (SELECT image.id AS page_id FROM image WHERE {where} "
            f"ORDER BY {by} LIMIT ? OFFSET ?) ON page_id = image.id ORDER BY {by}"
        )
        return self._image_rows(self._all(sql, [*values, -1 if limit is None else limit, offset]))

    def _image_rows(self, rows: Sequence[Any]) -> tuple[ImageRow, ...]:
        roots = self.roots() if rows else {}
        return tuple(ImageRow(row[0], row[1], row[2], roots[row[1]] / row[2], *row[3:]) for row in rows)

    def images_by_id(self, ids: Iterable[int]) -> dict[int, ImageRow]:
        """{id: row} of those that exist."""
        wanted, found = list(ids), {}
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            rows = self._all(f"SELECT {_COLUMNS} FROM image WHERE id IN ({marks(part)})", part)
            found.update({row.id: row for row in self._image_rows(rows)})
        return found

    def image(self, image_id: int) -> ImageRow | None:
        """One image by id."""
        return self.images_by_id([image_id]).get(image_id)

    def image_named(self, name: str | Path) -> ImageRow | None:
        """By path relative to its image root (any Unicode form), by absolute path, or by a bare name that is unique."""
        text = unicodedata.normalize("NFC", Path(name).as_posix())
        if Path(name).is_absolute():
            for root_id, root in self.roots().items():
                for candidate in (Path(name), Path(name).resolve()):
                    if candidate.is_relative_to(root):
                        key = unicodedata.normalize("NFC", candidate.relative_to(root).as_posix())
                        row = self._value("SELECT id FROM image WHERE root_id = ? AND lookup = ?", (root_id, key))
                        if row is not None:
                            return self.image(row)
            return None
        ids = self._all("SELECT id FROM image WHERE lookup = ? LIMIT 2", (text,))
        if not ids and "/" not in text:
            ids = self._all("SELECT id FROM image WHERE lookup LIKE ? ESCAPE '\\' LIMIT 2", ("%/" + _like(text),))
        return self.image(ids[0][0]) if len(ids) == 1 else None

    def image_ids(self, filter_: ImageFilter | None = None, *, order: str = "name") -> tuple[int, ...]:
        """Ids of all images that fit, in order (for a model/view list: fetch once per filter, rows by page)."""
        where, values = where_of(filter_)
        rows = self._all(f"SELECT image.id FROM image WHERE {where} ORDER BY {_order_of(order, filter_)}", values)
        return tuple(row[0] for row in rows)

    def count_images(self, filter_: ImageFilter | None = None) -> int:
        """How many images fit."""
        where, values = where_of(filter_)
        return int(self._value(f"SELECT COUNT(*) FROM image WHERE {where}", values))

    def counts(self) -> Counts:
        """All numbers of the filter list in one go."""
        rows = {
            row[0]: row[1:]
            for row in self._all(
                "SELECT state, images, doubtful, instances, keypoints, masks, exhaustive, not_exhaustive FROM image_total"
            )
        }
        states = {state: rows[state][0] if state in rows else 0 for state in STATES}
        sums = [sum(row[i] for row in rows.values()) for i in range(7)]
        return Counts(
            all=sums[0],
            unseen=states["unseen"],
            pending=states["pending"],
            done=states["done"],
            nothing=states["nothing"],
            doubt=sums[1],
            instances=sums[2],
            keypoints=sums[3],
            masks=sums[4],
            partly=states["partly"],
            exhaustive=sums[5],
            not_exhaustive=sums[6],
        )

    def iter_images(self, filter_: ImageFilter | None = None, *, page: int = 1000) -> Iterator[ImageRow]:
        """All images that fit, in the order of their names, a page at a time."""
        ids = self.image_ids(filter_)
        for start in range(0, len(ids), page):
            part = ids[start : start + page]
            rows = self.images_by_id(part)
            yield from (rows[id_] for id_ in part if id_ in rows)

    def duplicates(self) -> tuple[tuple[int, ...], ...]:
        """Groups of image ids whose files have equal bytes."""
        rows = self._all(
            "SELECT sha256, id FROM image WHERE sha256 IN (SELECT sha256 FROM image WHERE sha256 <> '' GROUP BY sha256 "
            "HAVING COUNT(*) > 1) ORDER BY sha256, id"
        )
        groups: dict[str, list[int]] = {}
        for sha, id_ in rows:
            groups.setdefault(sha, []).append(id_)
        return tuple(tuple(group) for group in groups.values())

    def tags(self) -> dict[str, int]:
        """{tag name: number of images and instances that carry it}."""
        return dict(
            self._all(
                "SELECT t.name, COUNT(l.id) FROM tag t LEFT JOIN tag_link l ON l.tag_id = t.id GROUP BY t.id ORDER BY t.name"
            )
        )

    def tags_of(self, image_id: int) -> tuple[str, ...]:
        """Names of the tags on the image itself."""
        return tuple(
            row[0]
            for row in self._all(
                "SELECT t.name FROM tag_link l JOIN tag t ON t.id = l.tag_id WHERE l.image_id = ? AND l.instance_id IS NULL "
                "ORDER BY t.name",
                (image_id,),
            )
        )

    def tags_of_instance(self, instance_id: int) -> tuple[str, ...]:
        """Names of the tags on one instance."""
        return tuple(
            row[0]
            for row in self._all(
                "SELECT t.name FROM tag_link l JOIN tag t ON t.id = l.tag_id WHERE l.instance_id = ? ORDER BY t.name",
                (instance_id,),
            )
        )

    def splits(self) -> dict[int, str]:
        """{image id: split name}."""
        return dict(self._all("SELECT image_id, name FROM split"))

    def nothing_here(self) -> tuple[tuple[int, int | None], ...]:
        """(image id, category id or None for any)."""
        return tuple(
            (row[0], row[1]) for row in self._all("SELECT image_id, category_id FROM nothing_here ORDER BY id")
        )

    def exhaustive(self, *, image_id: int | None = None, category_id: int | None = None) -> dict[int, dict[int, bool]]:
        """{image id: {category id: whether all of its instances are labelled}}, where a person said so."""
        rows = self._all(
            "SELECT image_id, category_id, holds FROM exhaustive WHERE (? IS NULL OR image_id = ?) "
            "AND (? IS NULL OR category_id = ?) ORDER BY id",
            (image_id, image_id, category_id, category_id),
        )
        told: dict[int, dict[int, bool]] = {}
        for image, category, holds in rows:
            told.setdefault(image, {})[category] = bool(holds)
        return told


def _order_of(order: str, filter_: ImageFilter | None) -> str:
    if order == "confidence" and filter_ is not None and (filter_.state == "pending" or filter_.below is not None):
        # Pending images always have a confidence: this order comes straight from an index.
        return "image.min_confidence, image.id"
    return ORDERS[order]


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
