"""Operations that say anew which keypoints belong to one instance: merging two, splitting one, giving a keypoint away.

Whatever waits for a decision still waits afterwards; nothing is accepted by merging or splitting. What could not be kept is
named in `skipped`, and one undo brings everything back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, box_of_points
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import InstancePart, checked_box
from kinmark.projects.store.models import Instance, Proposal
from kinmark.projects.store.operations import deciding
from kinmark.projects.store.operations.base import Op, OperationGroup, to_json

_PROPOSAL = (
    "image_id, category_id, run_id, instance_id, identity_id, kind, here, confidence, score, rank, x0, y0, x1, y1, evidence, "
    "extra"
)
_VALUES = "x = ?, y = ?, visibility = ?, origin = ?, run_id = ?, confidence = ?"


class RegroupingOperations(OperationGroup):
    """merge_instances, split_instance, give_keypoint."""

    def merge_instances(self, keep: InstancePart, others: Sequence[InstancePart]) -> OpChanges:
        """`others` are parts of the same animal as `keep`; `ids[0]` is the accepted instance, empty when nothing is accepted.

        Where two have placed the same keypoint, that of `keep` stays (an accepted one before a pending one). Masks and boxes
        are united.
        """
        with self._runner.operation("Merge two instances" if len(others) == 1 else "Merge instances") as op:
            parts = [keep, *others]
            _one_photo(op, parts)
            for other in others:
                keep = _merge(op, keep, other)
                op.count += 1
            op.ids = [keep.instance_id] if keep.instance_id is not None else []
        return op.changes

    def split_instance(self, part: InstancePart, definition_ids: Sequence[int]) -> OpChanges:
        """These keypoints are another instance's: they leave `part`; `ids[0]` is the new accepted one (none: only pending).

        Box, mask, identity and tags stay with the old one.
        """
        with self._runner.operation("Split the instance") as op:
            _one_photo(op, [part])
            chosen = op.collect("split_off", definition_ids)
            own = _definitions(op, part)
            going = own & set(definition_ids)
            if not going or going == own:
                raise UserInputError(
                    "A split needs keypoints on both sides.", "Mark those of one of the two, then split."
                )
            new_id: int | None = None
            if part.instance_id is not None:
                moved = op.all(
                    f"SELECT id FROM keypoint WHERE instance_id = ? AND definition_id IN {chosen}", (part.instance_id,)
                )
                if moved:
                    new_id = _twin(op, part.instance_id)
                    if op.one(
                        "SELECT 1 FROM instance i WHERE i.id = ? AND (i.x0 IS NOT NULL OR EXISTS (SELECT 1 FROM mask m "
                        "WHERE m.instance_id = i.id))",
                        (part.instance_id,),
                    ):
                        op.skipped.append("box and mask stay with the old instance")
                    op.run(
                        f"UPDATE keypoint SET instance_id = ? WHERE instance_id = ? AND definition_id IN {chosen}",
                        (new_id, part.instance_id),
                    )
                    op.run(
                        f"UPDATE decision SET instance_id = ? WHERE instance_id = ? AND definition_id IN {chosen}",
                        (new_id, part.instance_id),
                    )
            for proposal_id in part.proposal_ids:
                _split_proposal(op, proposal_id, new_id, chosen)
            _drop_empty(op, part)
            op.ids = [new_id] if new_id is not None else []
            op.count = len(going)
        return op.changes

    def give_keypoint(self, giver: InstancePart, definition_id: int, taker: InstancePart) -> OpChanges:
        """This keypoint belongs to `taker`. Where `taker` has placed one of that name, the two are exchanged.

        A pending keypoint that is given to an accepted instance is accepted with it.
        """
        with self._runner.operation("Give a keypoint to another instance") as op:
            _one_photo(op, [giver, taker])
            name = str(op.require("keypoint_definition", definition_id, "keypoint")["name"])
            op.name = said("Give {name} to another instance", name=name)
            accepted = _accepted(op, giver, definition_id)
            if accepted is not None:
                taker = _give_accepted(op, accepted, giver, taker, definition_id)
            else:
                _give_pending(op, giver, taker, definition_id, name)
            _drop_empty(op, giver)
            op.ids = [taker.instance_id] if taker.instance_id is not None else []
            op.count = 1
        return op.changes


def _one_photo(op: Op, parts: Sequence[InstancePart]) -> None:
    """UserInputError unless all parts are still there, of one category, in one photo, and different."""
    places = set()
    for part in parts:
        if part.instance_id is not None:
            row = op.require("instance", part.instance_id, "instance")
            places.add((row["image_id"], row["category_id"]))
        for proposal_id in part.proposal_ids:
            row = op.require("proposal", proposal_id, "proposal")
            places.add((row["image_id"], row["category_id"]))
    if len(places) != 1:
        raise UserInputError(
            "Only instances of one category in one photo can be merged or exchange keypoints.",
            "Change the category of one of them first.",
        )
    instances = [p.instance_id for p in parts if p.instance_id is not None]
    proposals = [i for p in parts for i in p.proposal_ids]
    if len(set(instances)) != len(instances) or len(set(proposals)) != len(proposals):
        raise UserInputError("An instance cannot be merged with itself.", "Choose another one.")


def _merge(op: Op, keep: InstancePart, other: InstancePart) -> InstancePart:
    if keep.instance_id is None and other.instance_id is not None:
        # What a person accepted outweighs what only waits, whichever was clicked.
        keep, other = other, keep
    if keep.instance_id is not None and other.instance_id is not None:
        _merge_accepted(op, keep.instance_id, other.instance_id)
    proposals = (*keep.proposal_ids, *other.proposal_ids)
    _join_proposals(op, keep, proposals)
    left = tuple(id_ for id_ in proposals if op.one("SELECT 1 FROM proposal WHERE id = ?", (id_,)))
    if keep.instance_id is not None and other.instance_id is not None:
        op.run("DELETE FROM instance WHERE id = ?", (other.instance_id,))
    return InstancePart(keep.instance_id, left)


def _merge_accepted(op: Op, keep_id: int, other_id: int) -> None:
    """Everything of `other_id` that `keep_id` has no place for already goes over to it."""
    own = _keypoints(op, keep_id)
    for definition_id, (id_, x, y, visibility) in _keypoints(op, other_id).items():
        before = own.get(definition_id)
        if before is not None and before[3] and visibility:
            if (before[1], before[2]) != (x, y):
                name = op.value("SELECT name FROM keypoint_definition WHERE id = ?", (definition_id,))
                op.skipped.append(said("{0}: both had placed it; that of the selected instance was kept", name))
            continue
        if before is not None and not visibility:
            continue
        if before is not None:
            op.run("DELETE FROM keypoint WHERE id = ?", (before[0],))
        op.run("UPDATE keypoint SET instance_id = ? WHERE id = ?", (keep_id, id_))
    op.run("UPDATE decision SET instance_id = ? WHERE instance_id = ?", (keep_id, other_id))
    op.run("UPDATE proposal SET instance_id = ? WHERE instance_id = ?", (keep_id, other_id))
    op.run(
        "UPDATE tag_link SET instance_id = ? WHERE instance_id = ? AND NOT EXISTS (SELECT 1 FROM tag_link t "
        "WHERE t.instance_id = ? AND t.tag_id = tag_link.tag_id)",
        (keep_id, other_id, keep_id),
    )
    _unite_boxes(op, keep_id, other_id)
    _unite_masks(op, keep_id, other_id)
    kept, gone = op.require("instance", keep_id, "instance"), op.require("instance", other_id, "instance")
    if kept["identity_id"] is None:
        op.run("UPDATE instance SET identity_id = ? WHERE id = ?", (gone["identity_id"], keep_id))
    elif gone["identity_id"] not in (None, kept["identity_id"]):
        name = op.value("SELECT name FROM identity WHERE id = ?", (gone["identity_id"],))
        op.skipped.append(said("{0}: the selected instance is another individual; its name was kept", name))
    extra = {**json.loads(gone["extra"]), **json.loads(kept["extra"])}
    op.run("UPDATE instance SET extra = ? WHERE id = ?", (to_json(extra), keep_id))


def _keypoints(op: Op, instance_id: int) -> dict[int, tuple[int, float | None, float | None, int]]:
    """{definition id: (id, x, y, visibility)}."""
    rows = op.all("SELECT definition_id, id, x, y, visibility FROM keypoint WHERE instance_id = ?", (instance_id,))
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in rows}


def _stored_box(op: Op, instance_id: int) -> Box | None:
    row = op.one("SELECT x0, y0, x1, y1 FROM instance WHERE id = ?", (instance_id,))
    return None if row is None or row[0] is None else (row[0], row[1], row[2], row[3])


def _unite_boxes(op: Op, keep_id: int, other_id: int) -> None:
    """The box around both; where only one had a box, around it and the keypoints. Without any box none is made."""
    boxes = [box for box in (_stored_box(op, keep_id), _stored_box(op, other_id)) if box is not None]
    if not boxes:
        return
    corners = [(x, y) for box in boxes for x, y in (box[:2], box[2:])]
    corners += [(x, y) for _, x, y, _ in _keypoints(op, keep_id).values() if x is not None and y is not None]
    box = box_of_points(corners)
    op.run("UPDATE instance SET x0 = ?, y0 = ?, x1 = ?, y1 = ? WHERE id = ?", (*checked_box(box), keep_id))


def _unite_masks(op: Op, keep_id: int, other_id: int) -> None:
    kept, gone = (
        op.one("SELECT id, height, width, counts FROM mask WHERE instance_id = ?", (id_,))
        for id_ in (keep_id, other_id)
    )
    if gone is None:
        return
    if kept is None:
        op.run("UPDATE mask SET instance_id = ? WHERE id = ?", (keep_id, gone[0]))
        return
    both = MaskRLE.encode(MaskRLE(*kept[1:]).decode() | MaskRLE(*gone[1:]).decode())
    op.run("UPDATE mask SET counts = ?, area = ? WHERE id = ?", (both.counts, both.area, kept[0]))


def _join_proposals(op: Op, keep: InstancePart, proposal_ids: Sequence[int]) -> None:
    """All pending parts are of one instance now; a keypoint that it has already, or that waits twice, is rejected."""
    if not proposal_ids:
        return
    taken = set(_keypoints(op, keep.instance_id)) if keep.instance_id is not None else set()
    into: int | None = None
    for proposal_id in proposal_ids:
        rows = op.all(
            "SELECT id, definition_id FROM keypoint_proposal WHERE proposal_id = ? ORDER BY id", (proposal_id,)
        )
        twice = [row[0] for row in rows if row[1] in taken]
        taken |= {row[1] for row in rows}
        deciding.reject_keypoints(op, twice)
        if op.one("SELECT 1 FROM proposal WHERE id = ?", (proposal_id,)) is None:
            continue
        if keep.instance_id is not None:
            op.run("UPDATE proposal SET instance_id = ? WHERE id = ?", (keep.instance_id, proposal_id))
        elif op.value("SELECT kind FROM proposal WHERE id = ?", (proposal_id,)) != "keypoints":
            continue  # a mask that waits is decided by itself; accepted, it finds its keypoints
        elif into is None:
            into = proposal_id
        else:
            op.run("UPDATE keypoint_proposal SET proposal_id = ? WHERE proposal_id = ?", (into, proposal_id))
            _unite_proposals(op, into, proposal_id)


def _unite_proposals(op: Op, into: int, other: int) -> None:
    """`into` stands for both: the box around them, the mean confidence of its keypoints."""
    op.run(
        "UPDATE proposal SET x0 = min(proposal.x0, o.x0), y0 = min(proposal.y0, o.y0), x1 = max(proposal.x1, o.x1), "
        "y1 = max(proposal.y1, o.y1) FROM (SELECT x0, y0, x1, y1 FROM proposal WHERE id = ?) AS o WHERE id = ? AND proposal.x0 IS NOT NULL "
        "AND o.x0 IS NOT NULL",
        (other, into),
    )
    op.run("DELETE FROM proposal WHERE id = ?", (other,))
    _average(op, into)


def _average(op: Op, proposal_id: int) -> None:
    op.run(
        "UPDATE proposal SET confidence = (SELECT AVG(q.confidence) FROM keypoint_proposal q WHERE q.proposal_id = proposal.id) "
        "WHERE id = ? AND EXISTS (SELECT 1 FROM keypoint_proposal q WHERE q.proposal_id = proposal.id)",
        (proposal_id,),
    )


def _definitions(op: Op, part: InstancePart) -> set[int]:
    """Keypoints of which the part knows something."""
    known: set[int] = set(_keypoints(op, part.instance_id)) if part.instance_id is not None else set()
    for proposal_id in part.proposal_ids:
        known |= {
            row[0]
            for row in op.all("SELECT definition_id FROM keypoint_proposal WHERE proposal_id = ?", (proposal_id,))
        }
    return known


def _twin(op: Op, instance_id: int) -> int:
    """Another instance of the same category in the same photo, empty."""
    row = op.require("instance", instance_id, "instance")
    [new_id] = op.add(
        Instance,
        [
            {
                "image_id": row["image_id"],
                "category_id": row["category_id"],
                "identity_id": None,
                "x0": None,
                "y0": None,
                "x1": None,
                "y1": None,
                "origin": row["origin"],
                "run_id": row["run_id"],
                "source_id": None,
                "extra": "{}",
            }
        ],
    )
    return new_id


def _split_proposal(op: Op, proposal_id: int, instance_id: int | None, chosen: str) -> None:
    """The chosen keypoints wait in a proposal of their own, completing `instance_id` where there is one."""
    going = op.all(
        f"SELECT id FROM keypoint_proposal WHERE proposal_id = ? AND definition_id IN {chosen}", (proposal_id,)
    )
    if not going:
        return
    new_id = _copy_proposal(op, proposal_id, instance_id)
    ids = [(new_id, row[0]) for row in going]
    op.connection.exec_driver_sql("UPDATE keypoint_proposal SET proposal_id = ? WHERE id = ?", ids)
    for id_ in (proposal_id, new_id):
        _fit_proposal(op, id_)


def _copy_proposal(op: Op, proposal_id: int, instance_id: int | None) -> int:
    row = op.require("proposal", proposal_id, "proposal")
    values: dict[str, Any] = {name: row[name] for name in _PROPOSAL.split(", ")}
    return op.add(Proposal, [{**values, "instance_id": instance_id}])[0]


def _fit_proposal(op: Op, proposal_id: int) -> None:
    """Box and confidence of what is left in it."""
    points = op.all("SELECT x, y FROM keypoint_proposal WHERE proposal_id = ? AND visibility > 0", (proposal_id,))
    if points:
        box = checked_box(box_of_points([(x, y) for x, y in points]))
        op.run("UPDATE proposal SET x0 = ?, y0 = ?, x1 = ?, y1 = ? WHERE id = ?", (*box, proposal_id))
    _average(op, proposal_id)


def _accepted(op: Op, part: InstancePart, definition_id: int) -> int | None:
    """Id of the accepted keypoint, if the part has one."""
    if part.instance_id is None:
        return None
    found = op.value(
        "SELECT id FROM keypoint WHERE instance_id = ? AND definition_id = ?", (part.instance_id, definition_id)
    )
    return None if found is None else int(found)


def _pending(op: Op, part: InstancePart, definition_id: int) -> tuple[int, int] | None:
    """(id, proposal id) of the pending keypoint, if the part has one."""
    for proposal_id in part.proposal_ids:
        found = op.value(
            "SELECT id FROM keypoint_proposal WHERE proposal_id = ? AND definition_id = ?", (proposal_id, definition_id)
        )
        if found is not None:
            return int(found), proposal_id
    return None


def _give_accepted(op: Op, id_: int, giver: InstancePart, taker: InstancePart, definition_id: int) -> InstancePart:
    waiting = _pending(op, taker, definition_id)
    if waiting is not None:
        deciding.reject_keypoints(op, [waiting[0]])
    if taker.instance_id is None:
        assert giver.instance_id is not None
        taker = InstancePart(_twin(op, giver.instance_id), taker.proposal_ids)
        for proposal_id in taker.proposal_ids:
            op.run("UPDATE proposal SET instance_id = ? WHERE id = ?", (taker.instance_id, proposal_id))
    other = _accepted(op, taker, definition_id)
    if other is not None:
        _exchange(op, id_, other)
    else:
        op.run("UPDATE keypoint SET instance_id = ? WHERE id = ?", (taker.instance_id, id_))
        op.run(
            "UPDATE decision SET instance_id = ? WHERE instance_id = ? AND definition_id = ?",
            (taker.instance_id, giver.instance_id, definition_id),
        )
    return taker


def _exchange(op: Op, first: int, second: int) -> None:
    """The values of two keypoints change places (their rows stay: the unique index allows no moment with two of one name)."""
    rows = [
        tuple(op.one("SELECT x, y, visibility, origin, run_id, confidence FROM keypoint WHERE id = ?", (id_,)))
        for id_ in (first, second)
    ]
    for id_, values in ((first, rows[1]), (second, rows[0])):
        op.run(f"UPDATE keypoint SET {_VALUES} WHERE id = ?", (*values, id_))


def _give_pending(op: Op, giver: InstancePart, taker: InstancePart, definition_id: int, name: str) -> None:
    waiting = _pending(op, giver, definition_id)
    if waiting is None:
        raise UserInputError(said("{0} has no place on this instance.", name), "Focus a keypoint that it has.")
    if _accepted(op, taker, definition_id) is not None:
        raise UserInputError(
            said("The other instance has its {0} already.", name),
            "Accept or reject this one first, then exchange the two.",
        )
    other = _pending(op, taker, definition_id)
    if taker.instance_id is not None:
        if other is not None:
            deciding.reject_keypoints(op, [other[0]])
        moved = _copy_proposal(op, waiting[1], taker.instance_id)
        op.run("UPDATE keypoint_proposal SET proposal_id = ? WHERE id = ?", (moved, waiting[0]))
        deciding.accept_keypoints(op, [waiting[0]])
        return
    into = next(iter(taker.proposal_ids))
    if other is None:
        op.run("UPDATE keypoint_proposal SET proposal_id = ? WHERE id = ?", (into, waiting[0]))
    else:
        rows = [
            tuple(op.one("SELECT x, y, visibility, confidence, detail FROM keypoint_proposal WHERE id = ?", (id_,)))
            for id_ in (waiting[0], other[0])
        ]
        for id_, values in ((waiting[0], rows[1]), (other[0], rows[0])):
            op.run(
                "UPDATE keypoint_proposal SET x = ?, y = ?, visibility = ?, confidence = ?, detail = ? WHERE id = ?",
                (*values, id_),
            )
    for id_ in (waiting[1], into):
        _fit_proposal(op, id_)


def _drop_empty(op: Op, part: InstancePart) -> None:
    """What has no keypoint, box or mask left is no instance."""
    for proposal_id in part.proposal_ids:
        op.run(
            "DELETE FROM proposal WHERE id = ? AND kind = 'keypoints' AND NOT EXISTS (SELECT 1 FROM keypoint_proposal q "
            "WHERE q.proposal_id = proposal.id)",
            (proposal_id,),
        )
    op.run(
        "DELETE FROM instance WHERE id = ? AND x0 IS NULL AND NOT EXISTS (SELECT 1 FROM keypoint k WHERE k.instance_id = "
        "instance.id) AND NOT EXISTS (SELECT 1 FROM mask m WHERE m.instance_id = instance.id) AND NOT EXISTS (SELECT 1 FROM "
        "proposal p WHERE p.instance_id = instance.id)",
        (part.instance_id,),
    )
