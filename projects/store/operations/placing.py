"""What a person places on an object of a photo, accepted or only proposed: it is one instance, not another beside it."""

from __future__ import annotations

from collections.abc import Sequence

from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import HUMAN, InstancePart, NewInstance, NewKeypoint
from kinmark.projects.store.operations.base import Op, OperationGroup
from kinmark.projects.store.operations.instance_rows import PLACE_SQL, add_instances, keypoint_row
from kinmark.projects.store.operations.instances import check_own_definitions, definition_name
from kinmark.projects.store.operations.joining import hosts_of_keypoints


class PlacingOperations(OperationGroup):
    """place_on_proposed, mark_absent."""

    def place_on_proposed(
        self,
        part: InstancePart,
        keypoints: Sequence[NewKeypoint] = (),
        *,
        box: Box | None = None,
        mask: MaskRLE | None = None,
    ) -> OpChanges:
        """Place something on an object of which nothing is accepted yet: it becomes the instance `ids[0]`.

        What waits of it goes on waiting, for that instance. Keypoints and box are xy_image.
        """
        with self._runner.operation("Add an instance") as op:
            if len(keypoints) == 1:
                op.name = said("Place {name}", name=definition_name(op, keypoints[0].definition_id))
            op.ids, op.count = [_begin(op, part, keypoints, box, mask)], max(1, len(keypoints))
        return op.changes

    def mark_absent(self, part: InstancePart, definition_ids: Sequence[int]) -> OpChanges:
        """These keypoints are not in the photo, in one step; `ids[0]` is the instance. What waits of the others still waits."""
        with self._runner.operation("Mark a keypoint as absent") as op:
            if len(definition_ids) > 1:
                op.name = said("Mark %n keypoints as absent", n=len(definition_ids))
            absent = [NewKeypoint(id_, None, None, 0) for id_ in definition_ids]
            if part.instance_id is None:
                op.ids = [_begin(op, part, absent, None, None)]
            else:
                _place(op, part.instance_id, absent)
                op.ids = [part.instance_id]
            op.count = len(absent)
        return op.changes


def _begin(op: Op, part: InstancePart, keypoints: Sequence[NewKeypoint], box: Box | None, mask: MaskRLE | None) -> int:
    """The instance that a proposed object becomes; one with a mask but no keypoints that it lies on is the same animal."""
    if part.instance_id is not None or not part.proposal_ids:
        raise ValueError("only an object of which nothing is accepted becomes an instance")
    row = op.require("proposal", part.proposal_ids[0], "proposal")
    host = next(iter(hosts_of_keypoints(op, part.proposal_ids).values()), None) if keypoints else None
    if host is None:
        where = row["image_id"], row["category_id"]
        [host] = add_instances(op, [NewInstance(*where, tuple(keypoints), box, mask, row["identity_id"])])
    else:
        _place(op, host, keypoints)
    for proposal_id in part.proposal_ids:
        op.run("UPDATE proposal SET instance_id = ? WHERE id = ?", (host, proposal_id))
    return host


def _place(op: Op, instance_id: int, keypoints: Sequence[NewKeypoint]) -> None:
    row = op.require("instance", instance_id, "instance")
    check_own_definitions(op, row["category_id"], [keypoint.definition_id for keypoint in keypoints])
    for keypoint in keypoints:
        op.run(PLACE_SQL, tuple(keypoint_row(keypoint, row["image_id"], instance_id, HUMAN).values()))
