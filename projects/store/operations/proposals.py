"""Operations on proposals: storing what a run says, accepting and rejecting it, remembering rejections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, MaskProposal
from kinmark.engine.domain.texts import said
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import checked_box
from kinmark.projects.store.models import KeypointProposalRecord, MaskProposalRecord, Proposal
from kinmark.projects.store.operations import deciding
from kinmark.projects.store.operations.base import Op, OperationGroup, to_json
from kinmark.projects.store.operations.instance_rows import check_mask, image_sizes
from kinmark.projects.store.operations.proposal_rows import (
    evidence_of,
    heirs_of,
    keypoint_row,
    number,
    refused_points,
    run_id_for,
)
from kinmark.projects.store.undo import JOB

_ALL = 2**63 - 1


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
            heirs = heirs_of(op, proposals, inherited, definitions)
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
        refused = refused_points(op, proposal, image_id, category_id, proof, definitions)
        if refused is None:
            op.skipped.append(said("image {0}: rejected before on the same evidence", image_id))
            return
        kept = self._placed_new(op, proposal, target, refused, definitions)
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
        rows = [keypoint_row(keypoint, image_id, id_, definition_id) for definition_id, keypoint in kept]
        op.add(KeypointProposalRecord, rows)
        op.ids.append(id_)

    def _placed_new(
        self,
        op: Op,
        proposal: InstanceProposal,
        target: int | None,
        refused: set[int],
        definitions: Mapping[str, int],
    ) -> list[tuple[int, KeypointProposal]]:
        """(definition, keypoint) of what is neither refused nor placed on the instance that it would complete."""
        taken = set()
        if target is not None:
            taken = {row[0] for row in op.all("SELECT definition_id FROM keypoint WHERE instance_id = ?", (target,))}
        return [
            (definitions[keypoint.name], keypoint)
            for keypoint in proposal.keypoints
            if keypoint.name in definitions
            and definitions[keypoint.name] not in refused | taken
            and math.isfinite(keypoint.confidence)
        ]

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
                    "score": number(proposal.score),
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
