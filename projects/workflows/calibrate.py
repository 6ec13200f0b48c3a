"""Confidence from a person's own record (methods/confidence.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kinmark.engine.api import FIRST_LOOK, MINIMUM_DECISIONS, Calibration, DecisionRecord, Engine
from kinmark.engine.domain.proposals import KeypointSignals, stored_signals
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow, DecisionRow

CALIBRATION_KEY = "calibration:"


def _record(row: DecisionRow, names: Mapping[int | None, str]) -> DecisionRecord | None:
    signals = stored_signals(row.detail)
    if row.confidence is None or "peak" not in signals:
        return None
    known = {name: signals[name] for name in KeypointSignals.__dataclass_fields__ if name in signals}
    known.setdefault("margin", 0.0)
    # A point that was taken away without a word may lie elsewhere; one that was set absent, or placed, says so.
    there = None if row.final_visibility is None else row.final_visibility != 0
    name = names.get(row.definition_id, "")
    return DecisionRecord(KeypointSignals(**known), row.correct, row.visibility or 0, name, there)


def _first_looks(project: Project, run_ids: set[int | None]) -> set[int | None]:
    """Runs that were first looks: these know less, and their confidence has a model of its own."""
    runs = [project.queries.run(run_id) for run_id in run_ids if run_id is not None]
    return {run.id for run in runs if run is not None and json.loads(run.spec)["method"] == FIRST_LOOK}


def project_calibration(project: Project, engine: Engine, category: CategoryRow) -> Calibration | None:
    """A calibration fitted on the decisions about this category, or None while there are fewer than `MINIMUM_DECISIONS`.

    The fit is stored with the number of decisions it was made from and made again when ten more have come.
    """
    count = project.queries.count_decisions(category.id)
    if count < MINIMUM_DECISIONS:
        return None
    key = f"{CALIBRATION_KEY}{category.id}"
    stored = project.queries.setting(key)
    if stored and count < int(stored["decisions"]) + 10:
        return Calibration("project", int(stored["decisions"]), stored["data"])
    decisions = project.queries.decisions(category_id=category.id, target="keypoints")
    quick = _first_looks(project, {row.run_id for row in decisions})
    names: dict[int | None, str] = {d.id: d.name for d in category.definitions}
    records = [_record(row, names) for row in decisions if row.run_id not in quick]
    usable = tuple(record for record in records if record is not None)
    if len(usable) < MINIMUM_DECISIONS:
        return None
    calibration = engine.calibrate(usable)
    if not project.read_only:
        project.operations.set_setting(key, {"decisions": count, "data": calibration.data})
    return Calibration("project", count, calibration.data)
