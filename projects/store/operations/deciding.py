"""How proposals are decided, inside an operation: accepting and rejecting in whole-set statements, and remembering it.

A bulk acceptance is some hundred thousand rows, so nothing here goes through Python row by row except masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import longer_side
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.projects.several import points_to_json
from kinmark.projects.store.inputs import FROM_PROPOSAL, checked_point
from kinmark.projects.store.models import Decision, Instance, Mask
from kinmark.projects.store.operations.base import Op, now_text, to_json
from kinmark.projects.store.operations.instance_rows import clear_nothing_here, clear_nothing_here_since, mask_row
from kinmark.projects.store.operations.joining import host_of_mask, hosts_of_keypoints

_DECIDE = """
INSERT INTO decision (image_id, category_id, definition_id, identity_id, instance_id, run_id, kind, target, evidence,
    confidence, x, y, visibility, side_px, detail, created_at)
SELECT q.image_id, p.category_id, q.definition_id, p.identity_id, p.instance_id, p.run_id, ?, 'keypoints', p.evidence,
    q.confidence, q.x, q.y, q.visibility,
    CASE WHEN p.x0 IS NOT NULL THEN max(p.x1 - p.x0, p.y1 - p.y0) ELSE
        (SELECT max(max(e.x) - min(e.x), max(e.y) - min(e.y)) FROM keypoint_proposal e WHERE e.proposal_id = p.id) END,
    q.detail, ?
FROM keypoint_proposal q JOIN proposal p ON p.id = q.proposal_id WHERE q.id IN (SELECT id FROM temp.decided) ORDER BY q.id
"""
_PLACE_ACCEPTED = """
INSERT INTO keypoint (image_id, instance_id, definition_id, x, y, visibility, origin, run_id, confidence)
SELECT q.image_id, p.instance_id, q.definition_id, CASE WHEN q.visibility > 0 THEN q.x END,
    CASE WHEN q.visibility > 0 THEN q.y END, CASE WHEN q.x IS NULL OR q.y IS NULL THEN 0 ELSE q.visibility END, 'proposal',
    p.run_id, q.confidence
FROM keypoint_proposal q JOIN proposal p ON p.id = q.proposal_id WHERE q.id IN (SELECT id FROM temp.decided)
ORDER BY q.confidence DESC, q.id
ON CONFLICT (instance_id, definition_id) DO NOTHING
"""


def _choose_pending(op: Op, ids: Sequence[int]) -> None:
    """Put keypoint proposals into `temp.decided`; UserInputError when one is not pending any more."""
    wanted = set(ids)
    chosen = op.collect("decided", wanted)
    if op.value(f"SELECT COUNT(*) FROM keypoint_proposal WHERE id IN {chosen}") != len(wanted):
        raise UserInputError("A proposal is no longer pending.", "It was decided, replaced or undone meanwhile.")


def accept_keypoints(
    op: Op, ids: Sequence[int], positions: Mapping[int, tuple[float, float, int]] | None = None
) -> list[int]:
    """Accept pending keypoints in whole-set statements (a bulk accept is some hundred thousand rows).

    The decision keeps where the run had put a keypoint, the keypoint where the person put it.
    """
    _choose_pending(op, ids)
    instances = _make_instances(op)
    op.run(_DECIDE, ("accepted", now_text()))
    for id_, (x, y, visibility) in (positions or {}).items():
        new_x, new_y, checked = checked_point(x, y, visibility)
        op.run("UPDATE keypoint_proposal SET x = ?, y = ?, visibility = ? WHERE id = ?", (new_x, new_y, checked, id_))
    placed = op.run(_PLACE_ACCEPTED)
    if placed < len(set(ids)):
        op.skipped.append(said("{0} keypoints that were placed already were kept as they are", len(set(ids)) - placed))
    _finish_keypoints(op)
    return instances


def _make_instances(op: Op) -> list[int]:
    """Give every proposal in question an accepted instance; returns the instances, made or completed."""
    rows = op.all(
        "SELECT id, image_id, category_id, identity_id, run_id, instance_id FROM proposal WHERE id IN (SELECT proposal_id "
        "FROM keypoint_proposal WHERE id IN (SELECT id FROM temp.decided)) ORDER BY id"
    )
    hosts = hosts_of_keypoints(op, [row[0] for row in rows if row[5] is None])
    for proposal_id, host in hosts.items():
        op.run("UPDATE proposal SET instance_id = ? WHERE id = ?", (host, proposal_id))
    rows = [(*row[:5], hosts.get(row[0], row[5])) for row in rows]
    new = [row for row in rows if row[5] is None]
    ids = op.add(
        Instance,
        [
            {
                "image_id": row[1],
                "category_id": row[2],
                "identity_id": row[3],
                "x0": None,
                "y0": None,
                "x1": None,
                "y1": None,
                "origin": FROM_PROPOSAL,
                "run_id": row[4],
                "source_id": None,
                "extra": "{}",
            }
            for row in new
        ],
    )
    made = {row[0]: id_ for row, id_ in zip(new, ids, strict=True)}
    if made:
        op.connection.exec_driver_sql(
            "UPDATE proposal SET instance_id = ? WHERE id = ?", [(id_, proposal) for proposal, id_ in made.items()]
        )
        clear_nothing_here_since(op, ids[0])
    return list(dict.fromkeys(made.get(row[0], row[5]) for row in rows))


def _finish_keypoints(op: Op) -> None:
    """Remove the decided keypoints, and the proposals that have none left."""
    proposals = op.all("SELECT DISTINCT proposal_id FROM keypoint_proposal WHERE id IN (SELECT id FROM temp.decided)")
    op.run("DELETE FROM keypoint_proposal WHERE id IN (SELECT id FROM temp.decided)")
    op.run(
        f"DELETE FROM proposal WHERE id IN {op.collect('maybe_empty', [row[0] for row in proposals])} "
        "AND NOT EXISTS (SELECT 1 FROM keypoint_proposal q WHERE q.proposal_id = proposal.id)"
    )


def reject_keypoints(op: Op, ids: Sequence[int]) -> None:
    """Reject pending keypoints; each leaves a decision with what the run had said."""
    if not ids:
        return
    _choose_pending(op, ids)
    op.run(_DECIDE, ("rejected", now_text()))
    _finish_keypoints(op)


def note_whole(op: Op, proposal_ids: Sequence[int]) -> None:
    """Remember that whole proposals were rejected, and where they lay: nothing is proposed in that place again."""
    if not proposal_ids:
        return
    when = now_text()
    rows = (
        op.connection.exec_driver_sql(
            f"SELECT * FROM proposal WHERE id IN {op.collect('whole', proposal_ids)} ORDER BY id"
        )
        .mappings()
        .all()
    )
    points: dict[int, list[tuple[int, float | None, float | None, int]]] = {}
    for proposal_id, *place in op.all(
        "SELECT proposal_id, definition_id, x, y, visibility FROM keypoint_proposal "
        "WHERE proposal_id IN (SELECT id FROM temp.whole) ORDER BY id"
    ):
        points.setdefault(proposal_id, []).append((place[0], place[1], place[2], place[3]))
    op.add(
        Decision,
        [_whole_decision(dict(row), "rejected", row["instance_id"], when, points.get(row["id"], ())) for row in rows],
    )


def _whole_decision(
    row: Mapping[str, Any],
    kind: str,
    instance_id: int | None,
    when: str,
    points: Sequence[tuple[int, float | None, float | None, int]] = (),
) -> dict[str, Any]:
    has_box = row["x0"] is not None
    detail = {k: row[k] for k in ("score", "rank", "x0", "y0", "x1", "y1")}
    if points and row["instance_id"] is None:  # what completes an accepted instance is no place of its own
        detail["points"] = points_to_json(points)
    return {
        "image_id": row["image_id"],
        "category_id": row["category_id"],
        "definition_id": None,
        "identity_id": row["identity_id"],
        "instance_id": instance_id,
        "run_id": row["run_id"],
        "kind": kind,
        "target": row["kind"],
        "evidence": row["evidence"],
        "confidence": row["confidence"],
        "x": None,
        "y": None,
        "visibility": None,
        "side_px": longer_side((row["x0"], row["y0"], row["x1"], row["y1"])) if has_box else None,
        "detail": to_json(detail),
        "created_at": when,
    }


def accept_masks(op: Op, proposal_ids: Sequence[int]) -> list[int]:
    """Accept mask proposals: into the instance they complete, else into a new one."""
    when = now_text()
    rows = (
        op.connection.exec_driver_sql(
            "SELECT p.*, m.height, m.width, m.counts, m.area FROM proposal p JOIN mask_proposal m ON m.proposal_id = p.id "
            f"WHERE p.id IN {op.collect('whole', proposal_ids)} ORDER BY p.id"
        )
        .mappings()
        .all()
    )
    instances = []
    for row in rows:
        rle = MaskRLE(row["height"], row["width"], row["counts"])
        instance_id = row["instance_id"]
        if instance_id is None:
            instance_id = host_of_mask(op, row["image_id"], row["category_id"], row["identity_id"], rle)
            if instance_id is not None and row["identity_id"] is not None:
                op.run("UPDATE instance SET identity_id = ? WHERE id = ?", (row["identity_id"], instance_id))
        if instance_id is None:
            [instance_id] = op.add(
                Instance,
                [
                    {
                        "image_id": row["image_id"],
                        "category_id": row["category_id"],
                        "identity_id": row["identity_id"],
                        "x0": None,
                        "y0": None,
                        "x1": None,
                        "y1": None,
                        "origin": FROM_PROPOSAL,
                        "run_id": row["run_id"],
                        "source_id": None,
                        "extra": "{}",
                    }
                ],
            )
            clear_nothing_here(op, row["image_id"], row["category_id"])
        op.run("DELETE FROM mask WHERE instance_id = ?", (instance_id,))
        op.add(Mask, [mask_row(rle, row["image_id"], instance_id, FROM_PROPOSAL, row["run_id"])])
        op.add(Decision, [_whole_decision(dict(row), "accepted", instance_id, when)])
        instances.append(int(instance_id))
    op.run(f"DELETE FROM proposal WHERE id IN {op.collect('whole', proposal_ids)}")
    return instances
