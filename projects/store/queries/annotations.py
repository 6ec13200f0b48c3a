"""Accepted truth: categories, instances, keypoints, masks, identities."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.store.queries.base import QueryGroup, marks
from kinmark.projects.store.rows import CategoryRow, DefinitionRow, IdentityRow, InstanceRow, KeypointRow, MaskRow

_INSTANCE = "id, image_id, category_id, identity_id, x0, y0, x1, y1, origin, run_id, source_id, extra"
_KEYPOINT = "id, image_id, instance_id, definition_id, x, y, visibility, origin, run_id, confidence"


def box_of(x0: float | None, y0: float | None, x1: float | None, y1: float | None) -> Box | None:
    """The stored corners as a box, None when there is none."""
    return None if x0 is None or y0 is None or x1 is None or y1 is None else (x0, y0, x1, y1)


class AnnotationQueries(QueryGroup):
    """Categories, instances and identities."""

    def categories(self) -> tuple[CategoryRow, ...]:
        """All categories in display order."""
        definitions = self._grouped(
            "SELECT category_id, id, name, position, colour, retired FROM keypoint_definition "
            "ORDER BY category_id, position, id"
        )
        edges = self._grouped(
            "SELECT category_id, from_id, to_id FROM skeleton_edge ORDER BY category_id, position, id"
        )
        pairs = self._grouped("SELECT category_id, left_id, right_id FROM side_pair ORDER BY category_id, id")
        result = []
        for id_, name, supercategory, colour, position, source_id, extra, instances in self._all(
            "SELECT id, name, supercategory, colour, position, source_id, extra, instances FROM category "
            "ORDER BY position, id"
        ):
            rows = [DefinitionRow(d, n, p, c, bool(r)) for d, n, p, c, r in definitions.get(id_, ())]
            result.append(
                CategoryRow(
                    id_,
                    name,
                    supercategory,
                    colour,
                    position,
                    source_id,
                    json.loads(extra),
                    tuple(row for row in rows if not row.retired),
                    tuple(row for row in rows if row.retired),
                    tuple((a, b) for a, b in edges.get(id_, ())),
                    tuple((a, b) for a, b in pairs.get(id_, ())),
                    instances,
                )
            )
        return tuple(result)

    def _grouped(self, sql: str) -> dict[int, list[tuple[Any, ...]]]:
        groups: dict[int, list[tuple[Any, ...]]] = {}
        for row in self._all(sql):
            groups.setdefault(row[0], []).append(tuple(row[1:]))
        return groups

    def category(self, which: int | str) -> CategoryRow | None:
        """By id or by name."""
        return next((c for c in self.categories() if c.id == which or c.name == which), None)

    def require_category(self, name: str | None) -> CategoryRow:
        """The category of that name; without a name the only one. UserInputError lists what there is."""
        known = self.categories()
        if name is None and len(known) == 1:
            return known[0]
        found = next((c for c in known if c.name == name), None)
        if found is not None:
            return found
        names = ", ".join(c.name for c in known) or "none yet"
        if name is None:
            raise UserInputError("Which category is meant is not said.", said("Name one of: {0}.", names))
        raise UserInputError(said("There is no category {0}.", name), said("The project has: {0}.", names))

    def instances(
        self,
        *,
        image_id: int | None = None,
        image_ids: Iterable[int] | None = None,
        category_id: int | None = None,
        identity_id: int | None = None,
        ids: Iterable[int] | None = None,
    ) -> tuple[InstanceRow, ...]:
        """Accepted instances that fit all given filters, with keypoints and masks, ordered by id."""
        where, values = ["1"], []
        for column, value in (("image_id", image_id), ("category_id", category_id), ("identity_id", identity_id)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        chosen = ids if ids is not None else image_ids
        if chosen is None:
            return self._load(" AND ".join(where), values)
        column, wanted = "id" if ids is not None else "image_id", list(dict.fromkeys(chosen))
        found: list[InstanceRow] = []
        for start in range(0, len(wanted), 500):
            part = wanted[start : start + 500]
            found += self._load(" AND ".join([*where, f"{column} IN ({marks(part)})"]), [*values, *part])
        return tuple(sorted(found, key=lambda row: row.id))

    def instance(self, instance_id: int) -> InstanceRow | None:
        """One instance by id."""
        rows = self._load("id = ?", [instance_id])
        return rows[0] if rows else None

    def images_of_other_categories(self, category_id: int) -> set[int]:
        """Images with an accepted instance of any other category."""
        rows = self._all("SELECT DISTINCT image_id FROM instance WHERE category_id <> ?", (category_id,))
        return {row[0] for row in rows}

    def iter_instances(self, *, category_id: int | None = None, page: int = 2000) -> Iterator[InstanceRow]:
        """All instances ordered by id, a page at a time."""
        last = 0
        while True:
            where = "id > ?" + (" AND category_id = ?" if category_id is not None else "")
            values = [last] if category_id is None else [last, category_id]
            rows = self._load(f"{where} ORDER BY id LIMIT {int(page)}", values)
            if not rows:
                return
            yield from rows
            last = rows[-1].id

    def _load(self, where: str, values: Sequence[Any]) -> tuple[InstanceRow, ...]:
        order = "" if "ORDER BY" in where else " ORDER BY id"
        rows = self._all(f"SELECT {_INSTANCE} FROM instance WHERE {where}{order}", values)
        keypoints: dict[int, list[KeypointRow]] = {}
        masks: dict[int, MaskRow] = {}
        ids = [row[0] for row in rows]
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            for row in self._all(
                f"SELECT {_KEYPOINT} FROM keypoint WHERE instance_id IN ({marks(part)}) ORDER BY id", part
            ):
                keypoints.setdefault(row[2], []).append(KeypointRow(*row))
            for row in self._all(
                "SELECT id, instance_id, height, width, counts, area, origin, run_id FROM mask "
                f"WHERE instance_id IN ({marks(part)})",
                part,
            ):
                masks[row[1]] = MaskRow(row[0], row[1], MaskRLE(row[2], row[3], row[4]), row[5], row[6], row[7])
        return tuple(
            InstanceRow(
                row[0],
                row[1],
                row[2],
                row[3],
                box_of(*row[4:8]),
                row[8],
                row[9],
                row[10],
                json.loads(row[11]),
                tuple(keypoints.get(row[0], ())),
                masks.get(row[0]),
            )
            for row in rows
        )

    def exemplar_instances(self, category_id: int) -> tuple[InstanceRow, ...]:
        """Accepted instances of the category with at least one placed keypoint: the sources of proposals."""
        return self.instances(ids=self.exemplar_ids(category_id))

    def exemplar_ids(self, category_id: int, *, limit: int | None = None) -> tuple[int, ...]:
        """Ids of the (first `limit`) exemplars of the category: cheap also where there are ten thousand."""
        rows = self._all(
            "SELECT id FROM instance WHERE category_id = ? AND EXISTS (SELECT 1 FROM keypoint k WHERE "
            "k.instance_id = instance.id AND k.visibility > 0) ORDER BY id LIMIT ?",
            (category_id, -1 if limit is None else limit),
        )
        return tuple(row[0] for row in rows)

    def keypoint_counts(self, category_id: int | None = None) -> dict[int, tuple[int, int, int]]:
        """{definition id: (visible, hidden, absent)} of the accepted keypoints."""
        rows = self._all(
            "SELECT definition_id, SUM(visibility = 2), SUM(visibility = 1), SUM(visibility = 0) FROM keypoint "
            "WHERE ? IS NULL OR definition_id IN (SELECT id FROM keypoint_definition WHERE category_id = ?) "
            "GROUP BY definition_id",
            (category_id, category_id),
        )
        return {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in rows}

    def pending_keypoint_counts(self) -> dict[int, int]:
        """{definition id: pending proposals of it}."""
        return dict(self._all("SELECT definition_id, COUNT(*) FROM keypoint_proposal GROUP BY definition_id"))

    def instances_per_photo(self, category_id: int) -> dict[int, int]:
        """{accepted instances in a photo: photos with so many}, for the photos that hold any."""
        return dict(
            tuple(row)
            for row in self._all(
                "SELECT n, COUNT(*) FROM (SELECT COUNT(*) AS n FROM instance WHERE category_id = ? GROUP BY image_id) "
                "GROUP BY n ORDER BY n",
                (category_id,),
            )
        )

    def most_in_a_photo(self, category_id: int) -> int:
        """The most accepted instances of the category in one photo; where none holds two, that costs nothing."""
        if self._value("SELECT EXISTS (SELECT 1 FROM image WHERE instance_count > 1)"):
            return int(
                self._value(
                    "SELECT COALESCE(MAX(n), 0) FROM (SELECT COUNT(*) AS n FROM instance WHERE category_id = ? GROUP BY image_id)",
                    (category_id,),
                )
            )
        return int(self._value("SELECT EXISTS (SELECT 1 FROM instance WHERE category_id = ?)", (category_id,)))

    def instance_counts(self) -> dict[int, int]:
        """{category id: accepted instances}."""
        return dict(tuple(row) for row in self._all("SELECT category_id, COUNT(*) FROM instance GROUP BY category_id"))

    def identities(self, category_id: int | None = None) -> tuple[IdentityRow, ...]:
        """Identities with the numbers of accepted and proposed instances."""
        rows = self._all(
            "SELECT i.id, i.name, i.category_id, i.note, (SELECT COUNT(*) FROM instance n WHERE n.identity_id = i.id), "
            "(SELECT COUNT(*) FROM proposal p WHERE p.identity_id = i.id AND p.here = 1) FROM identity i "
            "WHERE ? IS NULL OR i.category_id = ? ORDER BY i.name, i.id",
            (category_id, category_id),
        )
        return tuple(IdentityRow(*row) for row in rows)

    def identity(self, which: int | str) -> IdentityRow | None:
        """By id or by name."""
        return next((row for row in self.identities() if row.id == which or row.name == which), None)
