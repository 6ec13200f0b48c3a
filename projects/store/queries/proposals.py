"""Pending proposals, runs, decisions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import stored_signals
from kinmark.projects.several import rejected_points
from kinmark.projects.store.queries.annotations import box_of
from kinmark.projects.store.queries.base import QueryGroup, marks
from kinmark.projects.store.rows import (
    DecisionRow,
    KeypointProposalRow,
    PeakRow,
    ProposalRow,
    RunRow,
    StepRow,
    WeakPlace,
)
from kinmark.projects.store.undo import JOB, PERSON

_PROPOSAL = (
    "id, image_id, category_id, run_id, instance_id, identity_id, kind, here, confidence, score, rank, "
    "x0, y0, x1, y1, evidence, extra"
)
_KEYPOINT = "id, image_id, proposal_id, definition_id, x, y, visibility, confidence, detail"
NO_ACTIONS = (
    "Propose {name}",
    "Propose {name} with the tuned prompt",
    "Propose keypoints",
    "Find {name}",
    "Find an instance",
    "Import {name}",
    "Merge the project {name}",
    "Make the sample project",
    "Add %n images",
    "Add an image folder",
    "Add frames of {name}",
    "Re-link {name}",
    "Re-link %n images",
    "Re-link an image",
    "Accept the changed file",
    "Add the category {name}",
    "Add the keypoint {name}",
)
"""Templates of steps that place and decide nothing by hand."""
PROPOSAL_ORDERS = {"id": "id", "confidence": "confidence DESC, id", "uncertain": "confidence, id", "rank": "rank, id"}


class ProposalQueries(QueryGroup):
    """What waits for a decision, and what was decided."""

    def proposals(
        self,
        *,
        image_id: int | Iterable[int] | None = None,
        category_id: int | None = None,
        identity_id: int | None = None,
        kind: str | None = None,
        ids: Iterable[int] | None = None,
        not_here: bool = False,
        order: str = "id",
        limit: int | None = None,
    ) -> tuple[ProposalRow, ...]:
        """Pending proposals that fit, with keypoints and masks; `not_here` includes the "not here" answers.

        image_id: of one photo, or of several.

        `order`: id, confidence (highest first), uncertain (lowest first) or rank.
        """
        where, values = ["1"] if not_here else ["here = 1"], []
        for column, value in (
            ("category_id", category_id),
            ("identity_id", identity_id),
            ("kind", kind),
        ):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        images = None if image_id is None else [image_id] if isinstance(image_id, int) else image_id
        for column, wanted in (("id", ids), ("image_id", images)):
            if wanted is not None:
                # json_each takes lists of any length through one bound parameter.
                where.append(f"{column} IN (SELECT value FROM json_each(?))")
                values.append(json.dumps([int(value) for value in wanted]))
        sql = f"SELECT {_PROPOSAL} FROM proposal WHERE {' AND '.join(where)} ORDER BY {PROPOSAL_ORDERS[order]} LIMIT ?"
        return self._proposal_rows(self._all(sql, [*values, -1 if limit is None else limit]))

    def proposal(self, proposal_id: int) -> ProposalRow | None:
        """One pending proposal by id."""
        rows = self.proposals(ids=[proposal_id], not_here=True)
        return rows[0] if rows else None

    def _proposal_rows(self, rows: Sequence[Any]) -> tuple[ProposalRow, ...]:
        keypoints: dict[int, list[KeypointProposalRow]] = {}
        masks: dict[int, MaskRLE] = {}
        ids = [row[0] for row in rows]
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            for row in self._all(
                f"SELECT {_KEYPOINT} FROM keypoint_proposal WHERE proposal_id IN ({marks(part)}) ORDER BY id",
                part,
            ):
                keypoints.setdefault(row[2], []).append(_keypoint(row))
            for row in self._all(
                f"SELECT proposal_id, height, width, counts FROM mask_proposal WHERE proposal_id IN ({marks(part)})",
                part,
            ):
                masks[row[0]] = MaskRLE(row[1], row[2], row[3])
        return tuple(
            ProposalRow(
                *(
                    *row[:7],
                    bool(row[7]),
                    *row[8:11],
                    box_of(*row[11:15]),
                    row[15],
                    json.loads(row[16]),
                    tuple(keypoints.get(row[0], ())),
                    masks.get(row[0]),
                )
            )
            for row in rows
        )

    def weak_places(self, image_ids: Iterable[int]) -> tuple[WeakPlace, ...]:
        """Of each pending proposal of these photos; the least sure first. Reads no evidence, as `proposals` does."""
        box = ", ".join(f"p.{name}" for name in ("x0", "y0", "x1", "y1"))
        rows = self._all(
            f"SELECT p.id, p.image_id, {box}, p.confidence, k.confidence, k.x, k.y FROM proposal p LEFT JOIN "
            "keypoint_proposal k ON k.proposal_id = p.id WHERE p.here = 1 AND p.image_id IN (SELECT value FROM "
            "json_each(?)) ORDER BY p.id, k.id",
            (json.dumps([int(value) for value in image_ids]),),
        )
        found = []
        for _, of_one in groupby(rows, key=lambda row: row[0]):
            points = list(of_one)
            first = points[0]
            least = min((row[7] for row in points if row[7] is not None), default=first[6])
            there = min((row for row in points if row[8] is not None), key=lambda row: row[7], default=None)
            place = (there[8], there[9]) if there is not None else None
            found.append((least, WeakPlace(first[1], box_of(*first[2:6]), place)))
        return tuple(place for _, place in sorted(found, key=lambda pair: pair[0]))

    def keypoint_proposals(
        self, definition_id: int, *, below: float | None = None, limit: int = 100, offset: int = 0
    ) -> tuple[KeypointProposalRow, ...]:
        """One keypoint across images, least sure first (the part grid)."""
        rows = self._all(
            f"SELECT {_KEYPOINT} FROM keypoint_proposal WHERE definition_id = ? AND confidence < ? "
            "ORDER BY confidence, id LIMIT ? OFFSET ?",
            (definition_id, 2.0 if below is None else below, limit, offset),
        )
        return tuple(_keypoint(row) for row in rows)

    def count_proposals(
        self, *, category_id: int | None = None, kind: str | None = None, identity_id: int | None = None
    ) -> int:
        """Pending proposals (without "not here")."""
        return int(
            self._value(
                "SELECT COUNT(*) FROM proposal WHERE here = 1 AND (? IS NULL OR category_id = ?) AND (? IS NULL OR kind = ?) "
                "AND (? IS NULL OR identity_id = ?)",
                (category_id, category_id, kind, kind, identity_id, identity_id),
            )
        )

    def pending_confidences(
        self, *, category_id: int | None = None, definition_id: int | None = None
    ) -> dict[int, float]:
        """{image id: lowest pending confidence} of the category, or of one keypoint."""
        if definition_id is not None:
            rows = self._all(
                "SELECT image_id, MIN(confidence) FROM keypoint_proposal WHERE definition_id = ? GROUP BY image_id",
                (definition_id,),
            )
        elif category_id is not None:
            rows = self._all(
                "SELECT p.image_id, MIN(COALESCE((SELECT MIN(q.confidence) FROM keypoint_proposal q "
                "WHERE q.proposal_id = p.id), p.confidence)) FROM proposal p WHERE p.here = 1 AND p.category_id = ? "
                "GROUP BY p.image_id",
                (category_id,),
            )
        else:
            rows = self._all("SELECT id, COALESCE(min_confidence, 0) FROM image WHERE state = 'pending'")
        return {row[0]: row[1] for row in rows}

    def hardly_found(self, below: float) -> tuple[int, ...]:
        """Pending images where no new instance reaches the mean confidence `below`, the best of them first."""
        rows = self._all(
            "SELECT image_id FROM proposal WHERE here = 1 GROUP BY image_id "
            "HAVING MAX(CASE WHEN instance_id IS NULL THEN confidence ELSE 1 END) < ? ORDER BY MAX(confidence) DESC, image_id",
            (below,),
        )
        return tuple(row[0] for row in rows)

    def pending_by_signal(self, signal: str, *, category_id: int | None = None) -> tuple[int, ...]:
        """Pending images, worst first by `disagreement` (lowest agreement of exemplars) or `sides` (look swapped)."""
        if signal == "sides":
            rows = self._all(
                "SELECT image_id FROM proposal WHERE here = 1 AND kind = 'keypoints' AND (? IS NULL OR category_id = ?) "
                "GROUP BY image_id ORDER BY MAX(json_extract(extra, '$.sides_swapped')) DESC, image_id",
                (category_id, category_id),
            )
        else:
            rows = self._all(
                "SELECT q.image_id FROM keypoint_proposal q JOIN proposal p ON p.id = q.proposal_id "
                "WHERE ? IS NULL OR p.category_id = ? GROUP BY q.image_id "
                "ORDER BY MIN(COALESCE(json_extract(q.detail, '$.signals.agreement'), 1.0)), MIN(q.confidence), q.image_id",
                (category_id, category_id),
            )
        return tuple(row[0] for row in rows)

    def images_with_proposals(self, category_id: int) -> frozenset[int]:
        """Images where keypoints of the category wait for a decision."""
        rows = self._all(
            "SELECT DISTINCT image_id FROM proposal WHERE category_id = ? AND kind = 'keypoints' AND here = 1",
            (category_id,),
        )
        return frozenset(row[0] for row in rows)

    def pending_counts(self) -> dict[int, int]:
        """{category id: pending proposals}."""
        return dict(
            tuple(row)
            for row in self._all("SELECT category_id, COUNT(*) FROM proposal WHERE here = 1 GROUP BY category_id")
        )

    def preview_accept(
        self,
        min_confidence: float,
        *,
        category_id: int | None = None,
        image_ids: Iterable[int] | None = None,
        lowest: int = 5,
        upto: tuple[int, int] | None = None,
    ) -> tuple[int, float, tuple[KeypointProposalRow, ...]]:
        """What accepting all from `min_confidence` up would do: (keypoints, their mean confidence = expected precision,
        the `lowest` least sure of them). `upto`: as for `accept_proposals`."""
        source = (
            "FROM keypoint_proposal q JOIN proposal p ON p.id = q.proposal_id WHERE q.confidence >= ? "
            "AND (? IS NULL OR p.category_id = ?)"
        )
        values: list[Any] = [min_confidence, category_id, category_id]
        if image_ids is not None:
            source += " AND q.image_id IN (SELECT value FROM json_each(?))"
            values.append(json.dumps(list(image_ids)))
        if upto is not None:
            source += " AND q.id <= ?"
            values.append(upto[0])
        count, mean = self._one(f"SELECT COUNT(*), COALESCE(AVG(q.confidence), 0) {source}", values)
        columns = ", ".join(f"q.{name}" for name in _KEYPOINT.split(", "))
        rows = self._all(f"SELECT {columns} {source} ORDER BY q.confidence, q.id LIMIT ?", [*values, lowest])
        return int(count), float(mean), tuple(_keypoint(row) for row in rows)

    def preview_masks(
        self, min_confidence: float, *, category_id: int | None = None, upto: tuple[int, int] | None = None
    ) -> tuple[int, float]:
        """Pending masks from `min_confidence` up: how many, and their mean confidence (0 without any)."""
        count, mean = self._one(
            "SELECT COUNT(*), COALESCE(AVG(confidence), 0) FROM proposal WHERE kind = 'mask' AND here = 1 "
            "AND confidence >= ? AND (? IS NULL OR category_id = ?) AND (? IS NULL OR id <= ?)",
            (min_confidence, category_id, category_id, *((upto[1],) * 2 if upto else (None, None))),
        )
        return int(count), float(mean)

    def newest_proposals(self) -> tuple[int, int]:
        """Ids of the newest pending keypoint and the newest proposal (0 without any). Ids are never given twice, so they tell
        what was there at this moment from what comes later."""
        keypoint, proposal = self._one(
            "SELECT COALESCE((SELECT MAX(id) FROM keypoint_proposal), 0), COALESCE((SELECT MAX(id) FROM proposal), 0)",
            (),
        )
        return int(keypoint), int(proposal)

    def highest_confidence(self, category_id: int | None = None) -> float | None:
        """Of all pending keypoints (of the category); None when nothing is pending."""
        value = self._value(
            "SELECT MAX(q.confidence) FROM keypoint_proposal q JOIN proposal p ON p.id = q.proposal_id "
            "WHERE ? IS NULL OR p.category_id = ?",
            (category_id, category_id),
        )
        return None if value is None else float(value)

    def run(self, run_id: int) -> RunRow | None:
        """Provenance by id."""
        row = self._one("SELECT id, fingerprint, spec, job, created_at FROM run WHERE id = ?", (run_id,))
        return RunRow(*row) if row else None

    def decisions(
        self,
        *,
        category_id: int | None = None,
        kind: str | None = None,
        target: str | None = None,
        identity_id: int | None = None,
        definition_id: int | None = None,
    ) -> tuple[DecisionRow, ...]:
        """The record of decisions, oldest first, with where the accepted keypoints are now (for calibration)."""
        rows = self._all(
            "SELECT d.id, d.image_id, d.category_id, d.definition_id, d.identity_id, d.instance_id, d.run_id, d.kind, d.target, "
            "d.evidence, d.confidence, d.x, d.y, d.visibility, d.side_px, d.detail, k.x, k.y, k.visibility "
            "FROM decision d LEFT JOIN keypoint k ON k.instance_id = d.instance_id AND k.definition_id = d.definition_id "
            "WHERE (? IS NULL OR d.category_id = ?) AND (? IS NULL OR d.kind = ?) AND (? IS NULL OR d.target = ?) "
            "AND (? IS NULL OR d.identity_id = ?) AND (? IS NULL OR d.definition_id = ?) ORDER BY d.id",
            (
                category_id,
                category_id,
                kind,
                kind,
                target,
                target,
                identity_id,
                identity_id,
                definition_id,
                definition_id,
            ),
        )
        return tuple(DecisionRow(*(*row[:15], json.loads(row[15]), *row[16:])) for row in rows)

    def count_decisions(self, category_id: int | None = None, *, at_most: int | None = None) -> int:
        """Number of decisions about single keypoints (calibration starts at 30); counting ends at `at_most`."""
        return int(
            self._value(
                "SELECT COUNT(*) FROM (SELECT 1 FROM decision WHERE definition_id IS NOT NULL AND (? IS NULL OR category_id = ?) "
                "LIMIT ?)",
                (category_id, category_id, -1 if at_most is None else at_most),
            )
        )

    def rejected_images(self, identity_id: int) -> tuple[int, ...]:
        """Images that a person said do not show this identity (hard negatives)."""
        return tuple(
            row[0]
            for row in self._all(
                "SELECT DISTINCT image_id FROM decision WHERE identity_id = ? AND kind = 'rejected' ORDER BY image_id",
                (identity_id,),
            )
        )

    def rejected_places(self, category_id: int, image_ids: Iterable[int]) -> tuple[tuple[int, list[list[float]]], ...]:
        """(image id, points) of keypoint proposals of the category that were rejected as a whole; points as
        `several.points_to_json` wrote them."""
        rows = self._all(
            "SELECT image_id, detail FROM decision WHERE category_id = ? AND kind = 'rejected' AND target = 'keypoints' "
            "AND definition_id IS NULL AND image_id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (category_id, json.dumps([int(value) for value in image_ids])),
        )
        places = ((row[0], rejected_points(row[1])) for row in rows)
        return tuple(place for place in places if place[1])

    def history(self, limit: int = 100) -> tuple[StepRow, ...]:
        """The undo list, newest first; `undone` ones can be redone."""
        rows = self._all("SELECT id, name, undone, rows, created_at FROM undo_step ORDER BY id DESC LIMIT ?", (limit,))
        return tuple(StepRow(row[0], row[1], bool(row[2]), row[3], row[4]) for row in rows)

    def count_actions(self) -> int:
        """Steps of a person that place or decide something (each is one undo step): no job, nothing about photos, files, schema."""
        rows = self._all(
            "SELECT COUNT(*) FROM undo_step WHERE undone = 0 AND origin = ? AND merge_key NOT LIKE ? "
            f"AND COALESCE(json_extract(said, '$.template'), name) NOT IN ({marks(NO_ACTIONS)})",
            (PERSON, f"{JOB}%", *NO_ACTIONS),
        )
        return int(rows[0][0])


def _keypoint(row: Sequence[Any]) -> KeypointProposalRow:
    detail = json.loads(row[8])
    peaks = tuple(PeakRow(*peak) for peak in detail.get("peaks", ()))
    return KeypointProposalRow(*(*row[:8], peaks, stored_signals(detail), detail.get("source", "")))
