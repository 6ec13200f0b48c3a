"""Operations on accepted instances: adding, moving, visibility, mirroring, copying, masks, boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, apply_affine
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import HUMAN, NewInstance, NewKeypoint, checked_box, checked_point
from kinmark.projects.store.models import Mask
from kinmark.projects.store.operations.base import Op, OperationGroup, to_json
from kinmark.projects.store.operations.instance_rows import (
    PLACE_SQL,
    add_instances,
    check_mask,
    clear_nothing_here,
    image_sizes,
    keypoint_row,
    mask_row,
)


def _mapped(matrix: np.ndarray, x: float | None, y: float | None) -> tuple[float | None, float | None]:
    if x is None or y is None:
        return None, None
    point = apply_affine(matrix, (x, y))
    return float(point[0]), float(point[1])


def check_own_definitions(op: Op, category_id: int, definition_ids: Sequence[int]) -> None:
    """UserInputError when a keypoint is not of the category."""
    own = {row[0] for row in op.all("SELECT id FROM keypoint_definition WHERE category_id = ?", (category_id,))}
    if not set(definition_ids) <= own:
        raise UserInputError("A keypoint does not belong to the category of its instance.")


def definition_name(op: Op, definition_id: int) -> str:
    """Name of a keypoint, for the name of an undo step."""
    return str(op.require("keypoint_definition", definition_id, "keypoint")["name"])


class InstanceOperations(OperationGroup):
    """add, edit and remove instances, their keypoints, boxes and masks."""

    def add_instance(
        self,
        image_id: int,
        category_id: int,
        keypoints: Sequence[NewKeypoint] = (),
        *,
        box: Box | None = None,
        mask: MaskRLE | None = None,
        identity_id: int | None = None,
        origin: str = HUMAN,
        source_id: str | None = None,
    ) -> OpChanges:
        """Label one object; `ids[0]` is the instance. See `keypoints_of` for keypoints given as arrays."""
        new = NewInstance(image_id, category_id, tuple(keypoints), box, mask, identity_id, origin, source_id, {})
        return self.add_instances([new], name="Add an instance")

    def add_instances(self, instances: Sequence[NewInstance], *, name: str = "") -> OpChanges:
        """Label many objects in one step; `ids` in the order of `instances`."""
        with self._runner.operation(name or said("Add %n instances", n=len(instances))) as op:
            op.ids = add_instances(op, instances)
            op.count = len(op.ids)
        return op.changes

    def remove_instances(self, instance_ids: Iterable[int]) -> OpChanges:
        """Delete instances with their keypoints and masks. That all are labelled in their photos is not said any more."""
        ids = list(instance_ids)
        with self._runner.operation(
            "Remove an instance" if len(ids) == 1 else said("Remove %n instances", n=len(ids))
        ) as op:
            op.run(
                "DELETE FROM exhaustive WHERE holds = 1 AND EXISTS (SELECT 1 FROM instance i WHERE i.image_id = "
                "exhaustive.image_id AND i.category_id = exhaustive.category_id "
                f"AND i.id IN {op.collect('chosen', ids)})"
            )
            op.count = op.run(f"DELETE FROM instance WHERE id IN {op.collect('chosen', ids)}")
        return op.changes

    def place_keypoint(
        self,
        instance_id: int,
        definition_id: int,
        x: float | None,
        y: float | None,
        visibility: int = 2,
        *,
        origin: str = HUMAN,
    ) -> OpChanges:
        """Set a keypoint whether it exists or not (x, y None with visibility 0); a person's word, so origin human."""
        with self._runner.operation("Place a keypoint") as op:
            row = op.require("instance", instance_id, "instance")
            op.name = said("Place {name}", name=definition_name(op, definition_id))
            new = NewKeypoint(definition_id, x, y, visibility, origin)
            check_own_definitions(op, row["category_id"], [definition_id])
            values = keypoint_row(new, row["image_id"], instance_id, origin)
            op.run(PLACE_SQL, tuple(values.values()))
            op.ids = [
                int(
                    op.value(
                        "SELECT id FROM keypoint WHERE instance_id = ? AND definition_id = ?",
                        (instance_id, definition_id),
                    )
                )
            ]
            op.count = 1
        return op.changes

    def set_keypoints(
        self, instance_id: int, keypoints: Sequence[NewKeypoint], *, name: str = "Edit keypoints"
    ) -> OpChanges:
        """Set several keypoints of an instance in one step (those not named stay)."""
        with self._runner.operation(name) as op:
            row = op.require("instance", instance_id, "instance")
            check_own_definitions(op, row["category_id"], [keypoint.definition_id for keypoint in keypoints])
            for keypoint in keypoints:
                op.run(PLACE_SQL, tuple(keypoint_row(keypoint, row["image_id"], instance_id, HUMAN).values()))
            op.ids, op.count = [instance_id], len(keypoints)
        return op.changes

    def move_keypoint(self, keypoint_id: int, x: float, y: float, *, merge_key: str = "") -> OpChanges:
        """Drag an existing keypoint. Steps with the same non-empty `merge_key` (arrow-key nudges) undo as one.

        The origin stays (an accepted proposal that was corrected is still one; calibration measures the distance).
        """
        with self._runner.operation("Move a keypoint", merge_key=merge_key) as op:
            row = op.require("keypoint", keypoint_id, "keypoint")
            op.name = said("Move {name}", name=definition_name(op, row["definition_id"]))
            new_x, new_y, visibility = checked_point(x, y, row["visibility"] or 2)
            op.run(
                "UPDATE keypoint SET x = ?, y = ?, visibility = ? WHERE id = ?", (new_x, new_y, visibility, keypoint_id)
            )
            op.ids, op.count = [keypoint_id], 1
        return op.changes

    def set_visibility(self, keypoint_id: int, visibility: int) -> OpChanges:
        """2 visible, 1 hidden, 0 absent (its position is dropped)."""
        with self._runner.operation("Change visibility") as op:
            row = op.require("keypoint", keypoint_id, "keypoint")
            x, y, checked = checked_point(row["x"], row["y"], visibility)
            op.run("UPDATE keypoint SET x = ?, y = ?, visibility = ? WHERE id = ?", (x, y, checked, keypoint_id))
            op.ids, op.count = [keypoint_id], 1
        return op.changes

    def remove_keypoints(self, keypoint_ids: Iterable[int]) -> OpChanges:
        """Back to "not looked at"."""
        ids = list(keypoint_ids)
        with self._runner.operation(
            "Remove a keypoint" if len(ids) == 1 else said("Remove %n keypoints", n=len(ids))
        ) as op:
            op.count = op.run(f"DELETE FROM keypoint WHERE id IN {op.collect('chosen', ids)}")
        return op.changes

    def transform_instance(self, instance_id: int, matrix: np.ndarray, *, name: str = "Move the instance") -> OpChanges:
        """Map all keypoints and the box by a `[2, 3]` affine matrix in xy_image (Alt-drag moves, turns, scales).

        The mask is not resampled: it stays where it was painted.
        """
        with self._runner.operation(name) as op:
            row = op.require("instance", instance_id, "instance")
            for id_, x, y in op.all(
                "SELECT id, x, y FROM keypoint WHERE instance_id = ? AND x IS NOT NULL", (instance_id,)
            ):
                new = apply_affine(matrix, (x, y))
                new_x, new_y, _ = checked_point(float(new[0]), float(new[1]), 2)
                op.run("UPDATE keypoint SET x = ?, y = ? WHERE id = ?", (new_x, new_y, id_))
            if row["x0"] is not None:
                x0, y0, x1, y1 = row["x0"], row["y0"], row["x1"], row["y1"]
                corners = apply_affine(matrix, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
                low, high = corners.min(axis=0), corners.max(axis=0)
                self._write_box(op, instance_id, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))
            op.ids, op.count = [instance_id], 1
        return op.changes

    def mirror_instance(self, instance_id: int) -> OpChanges:
        """Mirror the keypoints left-right about the middle of the instance and swap the names of the pairs."""
        with self._runner.operation("Mirror the instance") as op:
            op.require("instance", instance_id, "instance")
            low, high = op.one(
                "SELECT MIN(x), MAX(x) FROM keypoint WHERE instance_id = ? AND visibility > 0", (instance_id,)
            )
            if low is not None:
                op.run(
                    "UPDATE keypoint SET x = ? - x WHERE instance_id = ? AND x IS NOT NULL", (low + high, instance_id)
                )
            self._swap(op, instance_id)
            op.ids, op.count = [instance_id], 1
        return op.changes

    def swap_sides(self, instance_id: int) -> OpChanges:
        """Exchange left and right of every pair; nothing moves in the picture."""
        with self._runner.operation("Swap left and right") as op:
            op.require("instance", instance_id, "instance")
            op.ids, op.count = [instance_id], self._swap(op, instance_id)
        return op.changes

    def _swap(self, op: Op, instance_id: int) -> int:
        twin = {}
        for left, right in op.all(
            "SELECT p.left_id, p.right_id FROM side_pair p JOIN instance i ON i.category_id = p.category_id WHERE i.id = ?",
            (instance_id,),
        ):
            twin[left], twin[right] = right, left
        rows = [
            dict(row)
            for row in op.connection.exec_driver_sql(
                "SELECT id, image_id, instance_id, definition_id, x, y, visibility, origin, run_id, confidence "
                "FROM keypoint WHERE instance_id = ? ORDER BY id",
                (instance_id,),
            ).mappings()
            if row["definition_id"] in twin
        ]
        # The values change places, not the definition ids: a transient clash with the unique index cannot happen.
        there = {row["definition_id"]: row["id"] for row in rows}
        for row in rows:
            values = (row["x"], row["y"], row["visibility"], row["origin"], row["run_id"], row["confidence"])
            other = there.get(twin[row["definition_id"]])
            if other is not None:
                op.run(
                    "UPDATE keypoint SET x = ?, y = ?, visibility = ?, origin = ?, run_id = ?, confidence = ? WHERE id = ?",
                    (*values, other),
                )
            else:
                op.run("UPDATE keypoint SET definition_id = ? WHERE id = ?", (twin[row["definition_id"]], row["id"]))
        return len(rows)

    def copy_instance(
        self,
        instance_id: int,
        image_id: int,
        *,
        keypoints: Sequence[NewKeypoint] | None = None,
        box: Box | None = None,
        matrix: np.ndarray | None = None,
    ) -> OpChanges:
        """Copy an instance to another image; `ids[0]` is the new one.

        `keypoints`: positions warped by the correspondences of the engine (see workflows), `box`: the one that was warped
        with them; without them the positions are
        mapped by `matrix` (`[2, 3]`, xy_image to xy_image), else scaled by the sizes of the two images. Masks are copied
        only between images of the same size without a warp.
        """
        with self._runner.operation("Copy the instance") as op:
            row = op.require("instance", instance_id, "instance")
            op.require("image", image_id, "image")
            sizes = image_sizes(op, (row["image_id"], image_id))
            source, target = sizes[row["image_id"]], sizes[image_id]
            if matrix is None:
                matrix = np.array([[target[0] / source[0], 0, 0], [0, target[1] / source[1], 0]], dtype=np.float64)
            mask = None
            if keypoints is None:
                keypoints = [
                    NewKeypoint(d, *_mapped(matrix, x, y), visibility=v)
                    for d, x, y, v in op.all(
                        "SELECT definition_id, x, y, visibility FROM keypoint WHERE instance_id = ? ORDER BY id",
                        (instance_id,),
                    )
                ]
                box = self._mapped_box(row, matrix)
                mask = self._same_size_mask(op, instance_id, matrix, source == target)
            new = NewInstance(image_id, row["category_id"], tuple(keypoints), box, mask, row["identity_id"], HUMAN)
            op.ids, op.count = add_instances(op, [new]), 1
        return op.changes

    def _mapped_box(self, row: Mapping[str, Any], matrix: np.ndarray) -> Box | None:
        if row["x0"] is None:
            return None
        corners = apply_affine(matrix, [(row["x0"], row["y0"]), (row["x1"], row["y1"])])
        return float(corners[0, 0]), float(corners[0, 1]), float(corners[1, 0]), float(corners[1, 1])

    def _same_size_mask(self, op: Op, instance_id: int, matrix: np.ndarray, same_size: bool) -> MaskRLE | None:
        if not same_size or not np.array_equal(np.asarray(matrix), np.eye(2, 3)):
            return None
        row = op.one("SELECT height, width, counts FROM mask WHERE instance_id = ?", (instance_id,))
        return MaskRLE(*row) if row else None

    def set_mask(self, instance_id: int, mask: MaskRLE | None, *, origin: str = HUMAN) -> OpChanges:
        """Set or remove (None) the mask of an instance."""
        with self._runner.operation("Edit the mask" if mask is not None else "Remove the mask") as op:
            row = op.require("instance", instance_id, "instance")
            old = op.value("SELECT id FROM mask WHERE instance_id = ?", (instance_id,))
            if mask is None:
                op.run("DELETE FROM mask WHERE instance_id = ?", (instance_id,))
            else:
                check_mask(mask, image_sizes(op, [row["image_id"]])[row["image_id"]])
                values = mask_row(mask, row["image_id"], instance_id, origin)
                if old is None:
                    op.add(Mask, [values])
                else:
                    op.run(
                        "UPDATE mask SET height = ?, width = ?, counts = ?, area = ?, origin = ?, run_id = NULL WHERE id = ?",
                        (mask.height, mask.width, mask.counts, mask.area, origin, old),
                    )
            op.ids, op.count = [instance_id], 1
        return op.changes

    def set_box(self, instance_id: int, box: Box | None) -> OpChanges:
        """Set or remove the box of an instance (xy_image)."""
        with self._runner.operation("Edit the box") as op:
            op.require("instance", instance_id, "instance")
            self._write_box(op, instance_id, box)
            op.ids, op.count = [instance_id], 1
        return op.changes

    def _write_box(self, op: Op, instance_id: int, box: Box | None) -> None:
        op.run("UPDATE instance SET x0 = ?, y0 = ?, x1 = ?, y1 = ? WHERE id = ?", (*checked_box(box), instance_id))

    def set_category(self, instance_id: int, category_id: int) -> OpChanges:
        """Move an instance to another category; keypoints of the same name go along, others are removed."""
        with self._runner.operation("Change the category") as op:
            row = op.require("instance", instance_id, "instance")
            op.require("category", category_id, "category")
            names = {
                name: id_
                for id_, name in op.all(
                    "SELECT id, name FROM keypoint_definition WHERE category_id = ?", (category_id,)
                )
            }
            for id_, name in op.all(
                "SELECT k.id, d.name FROM keypoint k JOIN keypoint_definition d ON d.id = k.definition_id "
                "WHERE k.instance_id = ?",
                (instance_id,),
            ):
                if name in names:
                    op.run("UPDATE keypoint SET definition_id = ? WHERE id = ?", (names[name], id_))
                else:
                    op.run("DELETE FROM keypoint WHERE id = ?", (id_,))
                    op.skipped.append(said("{0}: not a keypoint of the new category", name))
            op.run("UPDATE instance SET category_id = ? WHERE id = ?", (category_id, instance_id))
            clear_nothing_here(op, row["image_id"], category_id)
            op.ids, op.count = [instance_id], 1
        return op.changes

    def set_extra(self, instance_id: int, extra: dict[str, Any]) -> OpChanges:
        """Replace the free data of an instance (iscrowd, attributes of formats)."""
        with self._runner.operation("Edit attributes") as op:
            op.require("instance", instance_id, "instance")
            op.run("UPDATE instance SET extra = ? WHERE id = ?", (to_json(extra), instance_id))
            op.ids, op.count = [instance_id], 1
        return op.changes
