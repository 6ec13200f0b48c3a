"""Counters and states of images: follow from the other tables, refreshed after every operation for touched images."""

from __future__ import annotations

from sqlalchemy import Connection

_COUNTERS = """
UPDATE image SET
    instance_count = (SELECT COUNT(*) FROM instance i WHERE i.image_id = image.id),
    keypoint_count = (SELECT COUNT(*) FROM keypoint k WHERE k.image_id = image.id AND k.visibility > 0),
    mask_count = (SELECT COUNT(*) FROM mask m WHERE m.image_id = image.id),
    pending_count = (SELECT COUNT(*) FROM proposal p WHERE p.image_id = image.id AND p.here = 1),
    min_confidence = (SELECT MIN(confidence) FROM (
        SELECT confidence FROM keypoint_proposal q WHERE q.image_id = image.id
        UNION ALL SELECT confidence FROM proposal p WHERE p.image_id = image.id AND p.here = 1 AND p.kind = 'mask'))
WHERE {which}
"""
_STATE = """
UPDATE image SET state = CASE
    WHEN pending_count > 0 THEN 'pending'
    WHEN instance_count > 0 THEN 'done'
    WHEN EXISTS (SELECT 1 FROM nothing_here n WHERE n.image_id = image.id) THEN 'nothing'
    ELSE 'unseen' END
WHERE {which}
"""
_TOUCHED = "id IN (SELECT image_id FROM touched)"


def refresh(connection: Connection, *, everything: bool = False) -> None:
    """Recompute the derived columns of the touched images (or of all, after a repair)."""
    which = "1" if everything else _TOUCHED
    connection.exec_driver_sql(_COUNTERS.format(which=which))
    connection.exec_driver_sql(_STATE.format(which=which))
