"""Operations on categories and their keypoint schemas; definitions keep their ids, so labels survive every edit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.texts import said
from kinmark.projects.several import AUTO, checked_instances
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.models import Category, KeypointDefinition, SidePair, SkeletonEdge
from kinmark.projects.store.operations.base import Op, OperationGroup, to_json

MAX_NAME = 300


def checked_name(name: str, what: str) -> str:
    """The name without surrounding blanks; UserInputError when empty, too long or with control characters."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or any(ord(char) < 32 for char in name):
        raise UserInputError(
            said("{0} cannot be the name of a {1}.", f"{name[:40]!r}", what),
            said("Use 1 to {0} printable characters.", MAX_NAME),
        )
    return name


class SchemaOperations(OperationGroup):
    """add_category, rename_category, edit_schema and its single steps."""

    def add_category(
        self,
        name: str,
        schema: KeypointSchema | None = None,
        *,
        supercategory: str = "",
        colour: str = "",
        source_id: str | None = None,
        extra: dict[str, Any] | None = None,
        instances: str = AUTO,
    ) -> OpChanges:
        """A new category with its keypoints; `ids[0]` is its id. UserInputError when the name is taken."""
        name = checked_name(name, "category")
        with self._runner.operation(said("Add the category {name}", name=name)) as op:
            if op.one("SELECT 1 FROM category WHERE name = ?", (name,)):
                raise UserInputError(
                    said("There is already a category {0}.", name), "Choose another name, or edit that category."
                )
            position = int(op.value("SELECT COALESCE(MAX(position) + 1, 0) FROM category"))
            op.ids = op.add(
                Category,
                [
                    {
                        "name": name,
                        "supercategory": supercategory,
                        "colour": colour,
                        "position": position,
                        "source_id": source_id,
                        "extra": to_json(extra or {}),
                        "instances": checked_instances(instances),
                    }
                ],
            )
            if schema is not None and len(schema):
                self._write_schema(op, op.ids[0], schema, {})
            op.count = 1
        return op.changes

    def rename_category(self, category_id: int, name: str) -> OpChanges:
        """Rename; labels stay."""
        name = checked_name(name, "category")
        with self._runner.operation(said("Rename a category to {name}", name=name)) as op:
            op.require("category", category_id, "category")
            if op.one("SELECT 1 FROM category WHERE name = ? AND id <> ?", (name, category_id)):
                raise UserInputError(said("There is already a category {0}.", name), "Choose another name.")
            op.run("UPDATE category SET name = ? WHERE id = ?", (name, category_id))
            op.ids, op.count = [category_id], 1
        return op.changes

    def set_instances(self, category_id: int, instances: str) -> OpChanges:
        """How many of the category a photo may hold: "auto" (learned from the labels), "one", or a number."""
        word = checked_instances(instances)
        with self._runner.operation("Change the number of instances") as op:
            row = op.require("category", category_id, "category")
            op.name = said("Change the number of {name} in a photo", name=row["name"])
            op.run("UPDATE category SET instances = ? WHERE id = ? AND instances <> ?", (word, category_id, word))
            op.ids, op.count = [category_id], 1
        return op.changes

    def remove_category(self, category_id: int) -> OpChanges:
        """Remove a category with all its instances and proposals (one undo brings everything back)."""
        with self._runner.operation("Remove a category") as op:
            row = op.require("category", category_id, "category")
            op.name = said("Remove the category {name}", name=row["name"])
            op.count = op.run("DELETE FROM category WHERE id = ?", (category_id,))
        return op.changes

    def edit_schema(
        self,
        category_id: int,
        schema: KeypointSchema,
        *,
        renamed: dict[str, str] | None = None,
        colours: dict[str, str] | None = None,
    ) -> OpChanges:
        """Make the category's schema equal to `schema` in one step.

        Keypoints are recognised by name (`renamed`: old name -> new name); new names are added, missing ones are retired
        (their labels stay and come back when the name returns), order, skeleton and pairs are replaced.
        """
        with self._runner.operation("Edit the schema") as op:
            row = op.require("category", category_id, "category")
            op.name = said("Edit the schema of {name}", name=row["name"])
            self._write_schema(op, category_id, schema, renamed or {})
            for name, colour in (colours or {}).items():
                op.run(
                    "UPDATE keypoint_definition SET colour = ? WHERE category_id = ? AND name = ?",
                    (colour, category_id, name),
                )
            op.ids, op.count = [category_id], 1
        return op.changes

    def _write_schema(self, op: Op, category_id: int, schema: KeypointSchema, renamed: dict[str, str]) -> None:
        for name in schema.names:
            checked_name(name, "keypoint")
        known = {
            name: id_
            for id_, name in op.all(
                "SELECT id, name FROM keypoint_definition WHERE category_id = ? ORDER BY retired DESC, id",
                (category_id,),
            )
        }
        unknown = [old for old in renamed if old not in known]
        if unknown:
            raise UserInputError(
                said("There is no keypoint {0} to rename.", unknown[0]), "Use the names of the category."
            )
        by_new = {
            renamed.get(name, name): id_
            for name, id_ in known.items()
            if name not in renamed.values() or name in renamed
        }
        ids: list[int] = []
        for position, name in enumerate(schema.names):
            if name in by_new:
                op.run(
                    "UPDATE keypoint_definition SET name = ?, position = ?, retired = 0 WHERE id = ?",
                    (name, position, by_new[name]),
                )
                ids.append(by_new[name])
            else:
                ids += op.add(
                    KeypointDefinition,
                    [{"category_id": category_id, "name": name, "position": position, "colour": "", "retired": 0}],
                )
        for id_ in known.values():
            if id_ not in ids:
                op.run("UPDATE keypoint_definition SET retired = 1 WHERE id = ?", (id_,))
        self._write_links(op, category_id, ids, schema)

    def _write_links(self, op: Op, category_id: int, ids: Sequence[int], schema: KeypointSchema) -> None:
        op.run("DELETE FROM skeleton_edge WHERE category_id = ?", (category_id,))
        op.run("DELETE FROM side_pair WHERE category_id = ?", (category_id,))
        op.add(
            SkeletonEdge,
            [
                {"category_id": category_id, "from_id": ids[a], "to_id": ids[b], "position": i}
                for i, (a, b) in enumerate(schema.edges)
            ],
        )
        op.add(SidePair, [{"category_id": category_id, "left_id": ids[a], "right_id": ids[b]} for a, b in schema.pairs])

    def add_keypoint(self, category_id: int, name: str, *, colour: str = "") -> OpChanges:
        """Append a keypoint to the schema (or bring back a retired one); `ids[0]` is its definition id."""
        name = checked_name(name, "keypoint")
        with self._runner.operation(said("Add the keypoint {name}", name=name)) as op:
            op.require("category", category_id, "category")
            row = op.one(
                "SELECT id, retired FROM keypoint_definition WHERE category_id = ? AND name = ?", (category_id, name)
            )
            position = int(
                op.value(
                    "SELECT COALESCE(MAX(position) + 1, 0) FROM keypoint_definition WHERE category_id = ? AND retired = 0",
                    (category_id,),
                )
            )
            if row is not None and not row[1]:
                raise UserInputError(said("There is already a keypoint {0}.", name), "Choose another name.")
            if row is not None:
                op.run("UPDATE keypoint_definition SET retired = 0, position = ? WHERE id = ?", (position, row[0]))
                op.ids = [int(row[0])]
            else:
                op.ids = op.add(
                    KeypointDefinition,
                    [{"category_id": category_id, "name": name, "position": position, "colour": colour, "retired": 0}],
                )
            op.count = 1
        return op.changes

    def colour_keypoint(self, definition_id: int, colour: str) -> OpChanges:
        """Give a keypoint its own colour ("#rrggbb"; "" takes it away). UserInputError for anything else."""
        if colour and not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise UserInputError(said("{0} is no colour.", f"{colour!r}"), "Write it as #rrggbb.")
        with self._runner.operation("Colour a keypoint") as op:
            row = op.require("keypoint_definition", definition_id, "keypoint")
            op.name = said("Colour the keypoint {name}", name=row["name"])
            op.run("UPDATE keypoint_definition SET colour = ? WHERE id = ?", (colour, definition_id))
            op.ids, op.count = [definition_id], 1
        return op.changes

    def rename_keypoint(self, definition_id: int, name: str) -> OpChanges:
        """Rename a keypoint; its id and labels stay."""
        name = checked_name(name, "keypoint")
        with self._runner.operation(said("Rename a keypoint to {name}", name=name)) as op:
            row = op.require("keypoint_definition", definition_id, "keypoint")
            taken = op.one(
                "SELECT 1 FROM keypoint_definition WHERE category_id = ? AND name = ? AND id <> ?",
                (row["category_id"], name, definition_id),
            )
            if taken:
                raise UserInputError(
                    said("There is already a keypoint {0} (maybe retired).", name), "Choose another name."
                )
            op.run("UPDATE keypoint_definition SET name = ? WHERE id = ?", (name, definition_id))
            op.ids, op.count = [definition_id], 1
        return op.changes

    def reorder_keypoints(self, category_id: int, definition_ids: Iterable[int]) -> OpChanges:
        """Give the active keypoints the order of `definition_ids` (all of them)."""
        order = list(definition_ids)
        with self._runner.operation("Reorder the keypoints") as op:
            active = {
                row[0]
                for row in op.all(
                    "SELECT id FROM keypoint_definition WHERE category_id = ? AND retired = 0", (category_id,)
                )
            }
            if set(order) != active or len(order) != len(active):
                raise UserInputError("The new order must name every keypoint of the category once.")
            for position, id_ in enumerate(order):
                op.run("UPDATE keypoint_definition SET position = ? WHERE id = ?", (position, id_))
            op.ids, op.count = order, len(order)
        return op.changes

    def retire_keypoint(self, definition_id: int) -> OpChanges:
        """Ask for this keypoint no more; its labels are kept and come back when it is added again."""
        with self._runner.operation("Retire a keypoint") as op:
            row = op.require("keypoint_definition", definition_id, "keypoint")
            op.name = said("Retire the keypoint {name}", name=row["name"])
            op.run("UPDATE keypoint_definition SET retired = 1 WHERE id = ?", (definition_id,))
            op.ids, op.count = [definition_id], 1
        return op.changes

    def set_pairs(self, category_id: int, pairs: Sequence[tuple[int, int]]) -> OpChanges:
        """Replace the left/right pairs (definition ids)."""
        with self._runner.operation("Edit the left/right pairs") as op:
            self._check_definitions(op, category_id, [id_ for pair in pairs for id_ in pair], unique=True)
            op.run("DELETE FROM side_pair WHERE category_id = ?", (category_id,))
            op.ids = op.add(SidePair, [{"category_id": category_id, "left_id": a, "right_id": b} for a, b in pairs])
            op.count = len(pairs)
        return op.changes

    def set_skeleton(self, category_id: int, edges: Sequence[tuple[int, int]]) -> OpChanges:
        """Replace the skeleton edges (definition ids)."""
        with self._runner.operation("Edit the skeleton") as op:
            self._check_definitions(op, category_id, [id_ for edge in edges for id_ in edge], unique=False)
            if any(a == b for a, b in edges):
                raise UserInputError("A skeleton edge must join two different keypoints.")
            op.run("DELETE FROM skeleton_edge WHERE category_id = ?", (category_id,))
            op.ids = op.add(
                SkeletonEdge,
                [
                    {"category_id": category_id, "from_id": a, "to_id": b, "position": i}
                    for i, (a, b) in enumerate(edges)
                ],
            )
            op.count = len(edges)
        return op.changes

    def _check_definitions(self, op: Op, category_id: int, ids: Sequence[int], *, unique: bool) -> None:
        known = {row[0] for row in op.all("SELECT id FROM keypoint_definition WHERE category_id = ?", (category_id,))}
        if not set(ids) <= known:
            raise UserInputError("A keypoint of another category cannot be used here.")
        if unique and len(set(ids)) != len(ids):
            raise UserInputError("A keypoint stands in more than one left/right pair.", "Keep one pair for it.")
