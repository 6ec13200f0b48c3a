"""Counters and states of images, and the totals over all images: they follow from the other tables.

The columns of touched images are refreshed at the end of every operation; the totals follow by triggers on those columns.
"""

from __future__ import annotations

from sqlalchemy import Connection

from kinmark.projects.store.models import DOUBT, STATES

_REFRESH = """
UPDATE image SET
    instance_count = fresh.instances, keypoint_count = fresh.keypoints, mask_count = fresh.masks,
    pending_count = fresh.pending, min_confidence = fresh.lowest,
    state = CASE WHEN fresh.pending > 0 THEN 'pending' WHEN fresh.lacking THEN 'partly' WHEN fresh.instances > 0 THEN 'done'
        WHEN fresh.looked THEN 'nothing' ELSE 'unseen' END,
    exhaustive = CASE WHEN fresh.some_missing THEN 0 WHEN fresh.said AND NOT fresh.unsaid THEN 1 END
FROM (SELECT chosen.id AS id,
    (SELECT COUNT(*) FROM instance i WHERE i.image_id = chosen.id) AS instances,
    (SELECT COUNT(*) FROM keypoint k WHERE k.image_id = chosen.id AND k.visibility > 0) AS keypoints,
    (SELECT COUNT(*) FROM mask m WHERE m.image_id = chosen.id) AS masks,
    (SELECT COUNT(*) FROM proposal p WHERE p.image_id = chosen.id AND p.here = 1) AS pending,
    (SELECT MIN(confidence) FROM (
        SELECT confidence FROM keypoint_proposal q WHERE q.image_id = chosen.id
        UNION ALL SELECT confidence FROM proposal p WHERE p.image_id = chosen.id AND p.here = 1 AND p.kind = 'mask'
    )) AS lowest,
    EXISTS (SELECT 1 FROM instance i JOIN keypoint_definition d ON d.category_id = i.category_id AND d.retired = 0
        WHERE i.image_id = chosen.id AND NOT EXISTS (
            SELECT 1 FROM keypoint k WHERE k.instance_id = i.id AND k.definition_id = d.id)) AS lacking,
    EXISTS (SELECT 1 FROM nothing_here n WHERE n.image_id = chosen.id) AS looked,
    EXISTS (SELECT 1 FROM exhaustive e WHERE e.image_id = chosen.id AND e.holds = 0) AS some_missing,
    EXISTS (SELECT 1 FROM exhaustive e WHERE e.image_id = chosen.id AND e.holds = 1) AS said,
    EXISTS (SELECT 1 FROM instance i WHERE i.image_id = chosen.id AND NOT EXISTS (SELECT 1 FROM exhaustive e
        WHERE e.image_id = chosen.id AND e.category_id = i.category_id AND e.holds = 1)) AS unsaid
    FROM ({chosen}) AS chosen) AS fresh
WHERE image.id = fresh.id
"""
_TOTALS = ("images", "doubtful", "instances", "keypoints", "masks", "exhaustive", "not_exhaustive")


def refresh(connection: Connection, *, everything: bool = False, tables: frozenset[str] = frozenset()) -> None:
    """Recompute the derived columns of the touched images (or of all, after a repair).

    `tables` that were touched: with other keypoints in a schema, every labelled image may lack one or be complete now.
    """
    chosen = "SELECT id FROM image" if everything else "SELECT DISTINCT image_id AS id FROM touched"
    if not everything and "keypoint_definition" in tables:
        chosen += " UNION SELECT id FROM image WHERE instance_count > 0"
    connection.exec_driver_sql(_REFRESH.format(chosen=chosen))


def install(connection: Connection) -> None:
    """Create the temporary triggers that keep `image_total` on the writing connection."""
    rows = ", ".join(f"('{state}'{', 0' * len(_TOTALS)})" for state in STATES)
    # Looked for first: an INSERT that changes nothing would wait for the write lock all the same.
    if connection.exec_driver_sql("SELECT COUNT(*) FROM image_total").scalar() != len(STATES):
        connection.exec_driver_sql(f"INSERT OR IGNORE INTO image_total (state, {', '.join(_TOTALS)}) VALUES {rows}")
        # A new project, or one written before a state was added: its images may be in that state.
        refresh(connection, everything=True)
        recount(connection)
    watched = "state, min_confidence, instance_count, keypoint_count, mask_count, exhaustive"
    for name, event, changes in (
        ("insert", "INSERT", _change("new", "+")),
        ("delete", "DELETE", _change("old", "-")),
        ("update", f"UPDATE OF {watched}", _change("old", "-") + _change("new", "+")),
    ):
        connection.exec_driver_sql(
            f"CREATE TEMP TRIGGER IF NOT EXISTS total_{name} AFTER {event} ON main.image BEGIN {changes} END"
        )


def _change(row: str, sign: str) -> str:
    doubtful = f"({row}.state = 'pending' AND COALESCE({row}.min_confidence, 1) < {DOUBT})"
    said = f"COALESCE({row}.exhaustive, 0)", f"COALESCE(1 - {row}.exhaustive, 0)"
    values = ("1", doubtful, f"{row}.instance_count", f"{row}.keypoint_count", f"{row}.mask_count", *said)
    sets = ", ".join(f"{column} = {column} {sign} {value}" for column, value in zip(_TOTALS, values, strict=True))
    return f"UPDATE image_total SET {sets} WHERE state = {row}.state; "


def recount(connection: Connection) -> None:
    """Recompute the totals from the images (after a repair)."""
    connection.exec_driver_sql("UPDATE image_total SET " + ", ".join(f"{column} = 0" for column in _TOTALS))
    connection.exec_driver_sql(
        "UPDATE image_total SET images = s.n, doubtful = s.d, instances = s.i, keypoints = s.k, masks = s.m, "
        "exhaustive = s.e, not_exhaustive = s.o FROM (SELECT "
        "state, COUNT(*) AS n, SUM(instance_count) AS i, SUM(keypoint_count) AS k, SUM(mask_count) AS m, "
        "COALESCE(SUM(exhaustive), 0) AS e, COALESCE(SUM(1 - exhaustive), 0) AS o, "
        f"SUM(state = 'pending' AND COALESCE(min_confidence, 1) < {DOUBT}) AS d FROM image GROUP BY state) AS s "
        "WHERE image_total.state = s.state"
    )
