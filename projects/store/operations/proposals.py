"""Operations on proposals: storing what a run says, accepting and rejecting it, remembering rejections."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from kinmark.engine.domain.alike import REACH, SAME_FROM, place_similarity
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.projects.several import keypoints_from_json, points_to_json, rejected_points
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import checked_box
from kinmark.projects.store.models import KeypointProposalRecord, MaskProposalRecord, Proposal, Run
from kinmark.projects.store.operations import deciding
from kinmark.projects.store.operations.base import Op, OperationGroup, now_text, to_json
from kinmark.projects.store.operations.instance_rows import check_mask, image_sizes
from kinmark.projects.store.undo import JOB

MAX_PEAKS = 5
_ALL = 2**63 - 1


def evidence_of(proposal: InstanceProposal | MaskProposal) -> str:
    """What a proposal was made from: its RunSpec and exemplars. A rejection holds for the same evidence only."""
    exemplars = sorted(getattr(proposal, "exemplar_ids", ()))
    return hashlib.sha256("\n".join([proposal.spec.fingerprint(), *exemplars]).encode()).hexdigest()[:20]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _detail(keypoint: KeypointProposal) -> str:
    signals = {name: _number(value) for name, value in vars(keypoint.signals).items()}
    peaks = [[peak.x, peak.y, peak.score] for peak in keypoint.peaks[:MAX_PEAKS]]
    source = {"source": keypoint.source} if keypoint.source else {}
    return to_json({"signals": {k: v for k, v in signals.items() if v is not None}, "peaks": peaks, **source})


def run_id_for(op: Op, spec: RunSpec, job: str, cache: dict[str, int]) -> int:
    """The `run` row of this spec within this job."""
    fingerprint = spec.fingerprint()
    if fingerprint not in cache:
        found = op.value("SELECT id FROM run WHERE job = ? AND fingerprint = ?", (job, fingerprint)) if job else None
        row = {"fingerprint": fingerprint, "spec": spec.to_json(), "job": job, "created_at": now_text()}
        cache[fingerprint] = int(found) if found is not None else op.add(Run, [row])[0]
    return cache[fingerprint]


def _placed(rows: Iterable[tuple[int, float | None, float | None, int]], order: tuple[int, ...]) -> InstanceKeypoints:
    return keypoints_from_json(points_to_json(rows), order)


def _points_of(proposal: InstanceProposal, definitions: Mapping[str, int]) -> InstanceKeypoints:
    """`[K, 2]` in the order of the definitions' ids."""
    rows = [
        (definitions[k.name], _number(k.x), _number(k.y), int(k.visibility))
        for k in proposal.keypoints
        if k.name in definitions
    ]
    return replace(_placed(rows, tuple(sorted(definitions.values()))), box=proposal.box)


def _heirs(
    op: Op, proposals: Sequence[InstanceProposal], inherited: Mapping[int, list[int]], definitions: Mapping[str, int]
) -> dict[int, int]:
    """{index of a proposal: the instance that it completes}: each instance by the most similar proposal of its image.

    The only proposal of an image completes the only instance, wherever it lies.
    """
    heirs: dict[int, int] = {}
    for image_id, instance_ids in inherited.items():
        own = [index for index, proposal in enumerate(proposals) if int(proposal.image_id) == image_id]
        if len(own) == 1 and len(instance_ids) == 1:
            heirs[own[0]] = instance_ids[0]
            continue
        for instance_id in instance_ids:
            rows = op.all("SELECT definition_id, x, y, visibility FROM keypoint WHERE instance_id = ?", (instance_id,))
            place = _placed([tuple(row) for row in rows], tuple(sorted(definitions.values())))
            alike = [
                (place_similarity(place, _points_of(proposals[index], definitions)), -index)
                for index in own
                if index not in heirs
            ]
            best = max(alike, default=(0.0, 0))
            if best[0] >= SAME_FROM:
                heirs[-best[1]] = instance_id
    return heirs


def _refused(
    op: Op, proposal: InstanceProposal, image_id: int, category_id: int, proof: str, definitions: Mapping[str, int]
) -> set[int] | None:
    """Keypoints (definition ids) that a person rejected there on the same evidence; None: the whole instance."""
    own = _points_of(proposal, definitions)
    order = tuple(sorted(definitions.values()))
    refused: set[int] = set()
    for definition_id, x, y, visibility, side_px, detail in op.all(
        "SELECT definition_id, x, y, visibility, side_px, detail FROM decision WHERE image_id = ? AND category_id = ? "
        "AND kind = 'rejected' AND target = 'keypoints' AND evidence = ?",
        (image_id, category_id, proof),
    ):
        if definition_id is None:
            points = rejected_points(detail)
            if not points or place_similarity(keypoints_from_json(points, order), own) >= SAME_FROM:
                return None
        elif definition_id in order and _same_answer(
            own, order.index(definition_id), (x, y) if visibility else (None, None), side_px
        ):
            refused.add(definition_id)
    return refused


def _same_answer(
    own: InstanceKeypoints, index: int, place: tuple[float | None, float | None], side_px: float | None
) -> bool:
    """Whether a proposed keypoint is what was rejected: in the same place, or absent again."""
    x, y = place
    if x is None or y is None or not own.labelled[index]:
        return x is None and not own.labelled[index]
    here = np.asarray(own.xy_image)[index]
    return bool(np.hypot(here[0] - x, here[1] - y) <= REACH * max(side_px or 0.0, 1.0))


class ProposalOperations(OperationGroup):
    """add, accept, reject proposals."""

    def add_keypoint_proposals(
        self,
        proposals: Sequence[InstanceProposal],
        category_id: int,
        *,
        job: str = "",
        name: str = "",
        instance_ids: Sequence[int | None] | None = None,
        evidence: Sequence[str] | None = None,
        searched: Iterable[int] = (),
    ) -> OpChanges:
        """Store proposed instances (`image_id` of each = our id as text) as pending; `ids` of those stored.

        Several of one image are several instances. Pending keypoint proposals of the same image and category are replaced,
        except those that earlier batches of the same `job` stored (and, with `instance_ids`, those that complete another
        instance). Keypoints that are already accepted on the instance that a proposal completes are left out, and so is
        what a person rejected in the same place on the same evidence.

        Args:
            job: name of the running job; its batches are one undo step however long it runs.
            instance_ids: for each proposal the accepted instance that it completes (None: a new one). Without the list, an
                earlier partial acceptance of the replaced proposal is completed (by the most similar of several).
            searched: images that were looked at for new instances: what is pending there is replaced also by nothing.
            evidence: for each proposal, instead of `evidence_of`.
        """
        with self._runner.operation(name or "Propose keypoints", merge_key=JOB + job if job else "") as op:
            definitions = {
                n: i
                for i, n in op.all(
                    "SELECT id, name FROM keypoint_definition WHERE category_id = ? ORDER BY retired DESC",
                    (category_id,),
                )
            }
            known = image_sizes(op, [int(proposal.image_id) for proposal in proposals])
            runs: dict[str, int] = {}
            replaced: set[tuple[int, int | None]] = set()
            for image_id in searched:
                if (image_id, None) not in replaced:
                    replaced.add((image_id, None))
                    self._replace(op, (image_id, category_id, "keypoints", None), job, (None,))
            inherited: dict[int, list[int]] = {}
            if instance_ids is None:
                inherited = self._replace_all(op, proposals, category_id, job, known)
            heirs = _heirs(op, proposals, inherited, definitions)
            for index, proposal in enumerate(proposals):
                image_id = int(proposal.image_id)
                if image_id not in known:
                    op.skipped.append(said("image {0}: no longer in the project", image_id))
                    continue
                run_id = run_id_for(op, proposal.spec, job, runs)
                asked = instance_ids[index] if instance_ids is not None else None
                if instance_ids is not None and (image_id, asked) not in replaced:
                    replaced.add((image_id, asked))
                    self._replace(op, (image_id, category_id, "keypoints", None), job, (asked,))
                target = asked if instance_ids is not None else heirs.get(index)
                proof = evidence[index] if evidence is not None else evidence_of(proposal)
                self._store_keypoints(op, proposal, image_id, category_id, run_id, target, proof, definitions)
            op.count = len(op.ids)
        return op.changes

    def _replace_all(
        self, op: Op, proposals: Sequence[InstanceProposal], category_id: int, job: str, known: Mapping[int, Any]
    ) -> dict[int, list[int]]:
        """Make room in every image; {image id: instances that the replaced proposals were completing}."""
        inherited: dict[int, list[int]] = {}
        for image_id in dict.fromkeys(int(proposal.image_id) for proposal in proposals):
            if image_id in known:
                inherited[image_id] = self._replace(op, (image_id, category_id, "keypoints", None), job, None)
        return inherited

    def _replace(
        self, op: Op, where: tuple[int, int, str, int | None], job: str, only: tuple[int | None] | None
    ) -> list[int]:
        rows = op.all(
            "SELECT p.id, p.instance_id FROM proposal p LEFT JOIN run r ON r.id = p.run_id WHERE p.image_id = ? "
            "AND p.category_id = ? AND p.kind = ? AND p.identity_id IS ? AND (? = '' OR COALESCE(r.job, '') <> ?)",
            (*where, job, job),
        )
        gone = [(id_, instance_id) for id_, instance_id in rows if only is None or instance_id == only[0]]
        for id_, _ in gone:
            op.run("DELETE FROM proposal WHERE id = ?", (id_,))
        return list(dict.fromkeys(instance_id for _, instance_id in gone if instance_id is not None))

    def _store_keypoints(
        self,
        op: Op,
        proposal: InstanceProposal,
        image_id: int,
        category_id: int,
        run_id: int,
        target: int | None,
        proof: str,
        definitions: Mapping[str, int],
    ) -> None:
        refused = _refused(op, proposal, image_id, category_id, proof, definitions)
        if refused is None:
            op.skipped.append(said("image {0}: rejected before on the same evidence", image_id))
            return
        taken = set()
        if target is not None:
            taken = {row[0] for row in op.all("SELECT definition_id FROM keypoint WHERE instance_id = ?", (target,))}
        kept = [
            (definitions[keypoint.name], keypoint)
            for keypoint in proposal.keypoints
            if keypoint.name in definitions
            and definitions[keypoint.name] not in refused
            and definitions[keypoint.name] not in taken
            and math.isfinite(keypoint.confidence)
        ]
        if not kept:
            op.skipped.append(said("image {0}: nothing new to propose", image_id))
            return
        x0, y0, x1, y1 = checked_box(proposal.box)
        extra = {
            "exemplar_ids": list(proposal.exemplar_ids),
            "sides_swapped": proposal.sides_swapped,
            "calibrated": proposal.calibrated,
            "seconds": proposal.seconds,
        }
        [id_] = op.add(
            Proposal,
            [
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "run_id": run_id,
                    "instance_id": target,
                    "identity_id": None,
                    "kind": "keypoints",
                    "here": 1,
                    "confidence": float(proposal.confidence),
                    "score": None,
                    "rank": 0,
                    "x0": x0,
                    "y0": y0,
                    "x1": x1,
                    "y1": y1,
                    "evidence": proof,
                    "extra": to_json(extra),
                }
            ],
        )
        op.add(
            KeypointProposalRecord,
            [
                {
                    "image_id": image_id,
                    "proposal_id": id_,
                    "definition_id": definition_id,
                    "x": _number(keypoint.x),
                    "y": _number(keypoint.y),
                    "visibility": int(keypoint.visibility)
                    if math.isfinite(keypoint.x) and math.isfinite(keypoint.y)
                    else 0,
                    "confidence": float(keypoint.confidence),
                    "detail": _detail(keypoint),
                }
                for definition_id, keypoint in kept
            ],
        )
        op.ids.append(id_)

    def add_mask_proposals(
        self,
        proposals: Sequence[MaskProposal],
        category_id: int,
        *,
        identity_id: int | None = None,
        job: str = "",
        name: str = "",
        evidence: Sequence[str] | None = None,
        instance_ids: Sequence[int] | None = None,
    ) -> OpChanges:
        """Store the outcome of a search for one instance: pending masks, and "not here" answers for the ranking.

        Those of the same image, category and identity are replaced; what was rejected on the same evidence stays away.

        Args:
            instance_ids: for each proposal the accepted instance whose mask it is.
        """
        with self._runner.operation(name or "Find an instance", merge_key=JOB + job if job else "") as op:
            known = image_sizes(op, [int(proposal.image_id) for proposal in proposals])
            runs: dict[str, int] = {}
            replaced: set[int] = set()
            for index, proposal in enumerate(proposals):
                image_id = int(proposal.image_id)
                if image_id not in known:
                    op.skipped.append(said("image {0}: no longer in the project", image_id))
                    continue
                run_id = run_id_for(op, proposal.spec, job, runs)
                if image_id not in replaced:
                    replaced.add(image_id)
                    self._replace(op, (image_id, category_id, "mask", identity_id), job, None)
                proof = evidence[index] if evidence is not None else evidence_of(proposal)
                if proposal.mask is not None:
                    check_mask(proposal.mask, known[image_id])
                    if self._mask_refused(op, image_id, category_id, identity_id, proof):
                        op.skipped.append(said("image {0}: rejected before on the same evidence", image_id))
                        continue
                owner = instance_ids[index] if instance_ids is not None else None
                self._store_mask(op, proposal, image_id, category_id, identity_id, run_id, proof, owner)
            op.count = len(op.ids)
        return op.changes

    def _mask_refused(self, op: Op, image_id: int, category_id: int, identity_id: int | None, proof: str) -> bool:
        return (
            op.one(
                "SELECT 1 FROM decision WHERE image_id = ? AND category_id = ? AND kind = 'rejected' AND target = 'mask' "
                "AND identity_id IS ? AND evidence = ?",
                (image_id, category_id, identity_id, proof),
            )
            is not None
        )

    def _store_mask(
        self,
        op: Op,
        proposal: MaskProposal,
        image_id: int,
        category_id: int,
        identity_id: int | None,
        run_id: int,
        proof: str,
        instance_id: int | None,
    ) -> None:
        x0, y0, x1, y1 = checked_box(proposal.box)
        extra = {**proposal.extra, "seconds": proposal.seconds}
        [id_] = op.add(
            Proposal,
            [
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "run_id": run_id,
                    "instance_id": instance_id,
                    "identity_id": identity_id,
                    "kind": "mask",
                    "here": int(proposal.mask is not None),
                    "confidence": float(proposal.confidence),
                    "score": _number(proposal.score),
                    "rank": proposal.rank,
                    "x0": x0,
                    "y0": y0,
                    "x1": x1,
                    "y1": y1,
                    "evidence": proof,
                    "extra": to_json({k: v for k, v in extra.items() if isinstance(v, int | str) or math.isfinite(v)}),
                }
            ],
        )
        if proposal.mask is not None:
            peak = proposal.peak_xy_image or (None, None)
            mask = proposal.mask
            op.add(
                MaskProposalRecord,
                [
                    {
                        "image_id": image_id,
                        "proposal_id": id_,
                        "height": mask.height,
                        "width": mask.width,
                        "counts": mask.counts,
                        "area": mask.area,
                        "peak_x": peak[0],
                        "peak_y": peak[1],
                    }
                ],
            )
        op.ids.append(id_)

    def accept_proposals(
        self,
        proposal_ids: Iterable[int] | None = None,
        *,
        min_confidence: float = 0.0,
        category_id: int | None = None,
        image_ids: Iterable[int] | None = None,
        kind: str | None = None,
        upto: tuple[int, int] | None = None,
        name: str = "",
    ) -> OpChanges:
        """Accept pending proposals: of the given ids, or all that fit the filters.

        Keypoints with a confidence of at least `min_confidence` are accepted one by one, the rest stays pending; masks are
        taken whole. `upto` (of `Queries.newest_proposals`) leaves out what was proposed after that question: what a person
        was shown is what is taken. `ids` are the instances that were made or completed, `count` the accepted keypoints and masks.
        """
        with self._runner.operation(name or "Accept proposals") as op:
            chosen = self._choose(op, proposal_ids, category_id, image_ids, kind)
            keypoints = op.all(
                f"SELECT id FROM keypoint_proposal WHERE proposal_id IN {chosen} AND confidence >= ? AND id <= ?",
                (min_confidence, upto[0] if upto else _ALL),
            )
            masks = op.all(
                f"SELECT id FROM proposal WHERE id IN {chosen} AND kind = 'mask' AND here = 1 AND confidence >= ? "
                "AND id <= ?",
                (min_confidence, upto[1] if upto else _ALL),
            )
            instances = deciding.accept_keypoints(op, [row[0] for row in keypoints]) if keypoints else []
            instances += deciding.accept_masks(op, [row[0] for row in masks]) if masks else []
            op.ids, op.count = instances, len(keypoints) + len(masks)
            op.name = name or _accepted(len(keypoints), len(masks))
        return op.changes

    def _choose(
        self,
        op: Op,
        proposal_ids: Iterable[int] | None,
        category_id: int | None,
        image_ids: Iterable[int] | None,
        kind: str | None,
    ) -> str:
        where: list[str] = ["1"]
        parameters: list[Any] = []
        if proposal_ids is not None:
            where.append(f"id IN {op.collect('asked', proposal_ids)}")
        if image_ids is not None:
            where.append(f"image_id IN {op.collect('asked_images', image_ids)}")
        if category_id is not None:
            where.append("category_id = ?")
            parameters.append(category_id)
        if kind is not None:
            where.append("kind = ?")
            parameters.append(kind)
        ids = op.all(f"SELECT id FROM proposal WHERE {' AND '.join(where)}", parameters)
        return op.collect("chosen", [row[0] for row in ids])

    def accept_keypoints(
        self, keypoint_proposal_ids: Iterable[int], *, positions: Mapping[int, tuple[float, float, int]] | None = None
    ) -> OpChanges:
        """Accept single keypoints of proposals; the rest stays pending.

        `positions`: {keypoint proposal id: (x, y, visibility)} where the person dragged it or took another peak.
        """
        ids = list(keypoint_proposal_ids)
        with self._runner.operation(_accepted(len(ids), 0)) as op:
            op.ids = deciding.accept_keypoints(op, ids, positions or {})
            op.count = len(ids)
        return op.changes

    def reject_proposals(
        self,
        proposal_ids: Iterable[int] | None = None,
        *,
        max_confidence: float | None = None,
        category_id: int | None = None,
        image_ids: Iterable[int] | None = None,
        kind: str | None = None,
    ) -> OpChanges:
        """Reject pending proposals (of the ids, or all that fit); remembered with their evidence.

        With `max_confidence` only keypoints (and masks) below it are rejected; else whole proposals.
        """
        with self._runner.operation("Reject proposals") as op:
            chosen = self._choose(op, proposal_ids, category_id, image_ids, kind)
            limit = math.inf if max_confidence is None else max_confidence
            keypoints = op.all(
                f"SELECT id FROM keypoint_proposal WHERE proposal_id IN {chosen} AND confidence < ?",
                (limit,),
            )
            masks = op.all(
                f"SELECT id FROM proposal WHERE id IN {chosen} AND kind = 'mask' AND here = 1 AND confidence < ?",
                (limit,),
            )
            whole = (
                []
                if max_confidence is not None
                else op.all(f"SELECT id FROM proposal WHERE id IN {chosen} AND kind = 'keypoints'")
            )
            deciding.note_whole(op, [row[0] for row in whole] + [row[0] for row in masks])
            deciding.reject_keypoints(op, [row[0] for row in keypoints])
            op.run(f"DELETE FROM proposal WHERE id IN {op.collect('chosen', [row[0] for row in masks])}")
            op.count = len(keypoints) + len(masks)
            op.name = said("Reject %n keypoints and masks" if masks else "Reject %n keypoints", n=op.count)
        return op.changes

    def reject_keypoints(self, keypoint_proposal_ids: Iterable[int]) -> OpChanges:
        """Reject single keypoints of proposals; the rest stays pending."""
        ids = list(keypoint_proposal_ids)
        name = "Reject a keypoint" if len(ids) == 1 else said("Reject %n keypoints", n=len(ids))
        with self._runner.operation(name) as op:
            deciding.reject_keypoints(op, ids)
            op.count = len(ids)
        return op.changes

    def clear_proposals(
        self,
        proposal_ids: Iterable[int] | None = None,
        *,
        category_id: int | None = None,
        image_ids: Iterable[int] | None = None,
        kind: str | None = None,
    ) -> OpChanges:
        """Drop pending proposals without an opinion about them (nothing is remembered)."""
        with self._runner.operation("Clear proposals") as op:
            chosen = self._choose(op, proposal_ids, category_id, image_ids, kind)
            op.count = op.run(f"DELETE FROM proposal WHERE id IN {chosen}")
        return op.changes


def _accepted(keypoints: int, masks: int) -> str:
    """The name of a step that accepted so many."""
    if masks:
        return (
            said("Accept %n keypoints and masks", n=keypoints + masks)
            if keypoints
            else said("Accept %n masks", n=masks)
        )
    return "Accept a keypoint" if keypoints == 1 else said("Accept %n keypoints", n=keypoints)
