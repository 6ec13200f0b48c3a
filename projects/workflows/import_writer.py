"""Writes what an import decided: categories, photos, instances, proposals, and what is said about photos."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import file_sha256
from kinmark.projects.file_names import shown
from kinmark.projects.formats.dataset import DatasetInstance
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewInstance, NewKeypoint
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.image_match import ImageMatch
from kinmark.projects.workflows.import_plan import ImportPlan, InstancePlan


class PlanWriter:
    """Writes a plan inside an open group."""

    def __init__(self, project: Project, path: Path, as_proposals: bool) -> None:
        self._project, self._path, self._as_proposals = project, path, as_proposals
        self._spec: RunSpec | None = None

    def write(self, plan: ImportPlan, progress: Progress | None, cancel: CancelToken | None) -> None:
        """Categories, images, instances, proposals, then splits, tags and "nothing here"."""
        self._write_categories(plan)
        ids = self._write_images(plan)
        categories = {row.name: row for row in self._project.queries.categories()}
        identities = self._write_identities(plan, categories)
        new: list[NewInstance] = []
        for match, plans, image_id in zip(plan.images, plan.instances, ids, strict=True):
            if cancel is not None:
                cancel.check()
            for item in plans:
                if item.verdict == "added" and not (self._as_proposals or item.instance.proposal):
                    new.append(_new_instance(item.instance, image_id, categories, identities))
                elif item.verdict == "changed":
                    self._change(item, categories, identities)
            del match
        if progress is not None:
            progress.start(said("Storing"), 0)
        if new:
            self._project.operations.add_instances(new)
        self._write_proposals(plan, ids, categories, identities)
        self._write_image_words(plan, ids, categories)

    def _write_categories(self, plan: ImportPlan) -> None:
        operations, known = self._project.operations, {row.name: row for row in self._project.queries.categories()}
        for name, category in plan.categories.items():
            if name in plan.new_categories:
                source = str(category.original_id) if category.original_id is not None else None
                extra = {**category.extra, "sigmas": list(category.sigmas)} if category.sigmas else category.extra
                operations.add_category(
                    name, category.schema, supercategory=category.supercategory, source_id=source, extra=dict(extra)
                )
            elif name in plan.changed_categories:
                operations.edit_schema(known[name].id, category.schema)

    def _write_images(self, plan: ImportPlan) -> list[int]:
        fresh = [_with_source(m) for m in plan.images if m.new is not None]
        ids = iter(self._project.operations.add_images(fresh).ids if fresh else ())
        return [m.row.id if m.row is not None else next(ids) for m in plan.images]

    def _write_identities(self, plan: ImportPlan, categories: dict[str, CategoryRow]) -> dict[str, int]:
        known = {row.name: row.id for row in self._project.queries.identities()}
        for plans in plan.instances:
            for item in plans:
                name = item.instance.identity if item.verdict == "added" or item.take_identity else ""
                if name and name not in known:
                    category = categories[item.instance.category].id
                    known[name] = self._project.operations.add_identity(name, category).ids[0]
        return known

    def _change(self, item: InstancePlan, categories: dict[str, CategoryRow], identities: dict[str, int]) -> None:
        operations, row = self._project.operations, item.existing
        if row is None:
            return
        category = categories[item.instance.category]
        if item.keypoints:
            chosen = {n: item.instance.keypoints[n] for n in item.keypoints}
            operations.set_keypoints(row.id, _keypoints(replace(item.instance, keypoints=chosen), category))
        if item.take_mask:
            operations.set_mask(row.id, item.instance.mask, origin="imported")
        if item.take_box:
            operations.set_box(row.id, item.instance.box)
        if item.take_identity and item.instance.identity in identities:
            operations.assign_identity([row.id], identities[item.instance.identity])

    def _write_proposals(
        self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow], identities: dict[str, int]
    ) -> None:
        keypoints: dict[str, list[InstanceProposal]] = {}
        masks: dict[tuple[str, int | None], list[MaskProposal]] = {}
        for plans, image_id in zip(plan.instances, ids, strict=True):
            for item in plans:
                instance = item.instance
                if not (self._as_proposals or instance.proposal):
                    continue
                if instance.keypoints:
                    keypoints.setdefault(instance.category, []).append(self._keypoint_proposal(instance, image_id))
                if instance.mask is not None:
                    key = (instance.category, identities.get(instance.identity))
                    masks.setdefault(key, []).append(self._mask_proposal(instance, image_id))
                if not instance.keypoints and instance.mask is None:
                    plan.report.add(
                        "skipped", said("image {0}", image_id), "a proposal without keypoints and mask proposes nothing"
                    )
        # One job name: several instances of one image do not replace each other.
        job = f"import:{self._run_spec().fingerprint()}"
        for name, proposals in keypoints.items():
            self._project.operations.add_keypoint_proposals(
                proposals, categories[name].id, job=job, instance_ids=[None] * len(proposals)
            )
        for (name, identity), found in masks.items():
            self._project.operations.add_mask_proposals(found, categories[name].id, identity_id=identity, job=job)

    def _run_spec(self) -> RunSpec:
        if self._spec is None:
            revision = file_sha256(self._path)[:20] if self._path.is_file() else ""
            self._spec = RunSpec("import", shown(self._path.name), revision)
        return self._spec

    def _keypoint_proposal(self, instance: DatasetInstance, image_id: int) -> InstanceProposal:
        overall = 1.0 if instance.score is None else instance.score
        rows = []
        for name, k in instance.keypoints.items():
            score = overall if k.score is None else k.score
            x, y = (k.x, k.y) if k.x is not None and k.y is not None else (math.nan, math.nan)
            rows.append(KeypointProposal(name, x, y, score, k.visibility, KeypointSignals(score, 0.0)))
        spec = self._run_spec()
        return InstanceProposal("import", str(image_id), instance.category, tuple(rows), overall, instance.box, spec)

    def _mask_proposal(self, instance: DatasetInstance, image_id: int) -> MaskProposal:
        score = 1.0 if instance.score is None else instance.score
        box = instance.box if instance.box is not None or instance.mask is None else instance.mask.box
        return MaskProposal("import", str(image_id), score, score, instance.mask, box, self._run_spec())

    def _write_image_words(self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow]) -> None:
        operations = self._project.operations
        splits = {i: m.image.split for m, i in zip(plan.images, ids, strict=True) if m.image.split}
        if splits:
            operations.set_split(dict(splits))
        tags: dict[str, list[int]] = {}
        nothing: dict[str, list[int]] = {}
        for match, image_id in zip(plan.images, ids, strict=True):
            for tag in match.image.tags:
                tags.setdefault(tag, []).append(image_id)
            for name in match.image.nothing_here:
                nothing.setdefault(name, []).append(image_id)
        for tag, images in tags.items():
            operations.tag(tag, images)
        self._write_exhaustive(plan, ids, categories)
        for name, images in nothing.items():
            if name == "*":
                operations.mark_nothing_here(images)
            elif name in categories:
                operations.mark_nothing_here(images, categories[name].id)

    def _write_exhaustive(self, plan: ImportPlan, ids: Sequence[int], categories: dict[str, CategoryRow]) -> None:
        """Where all are labelled, or not all; what a person said in the project stays."""
        for name, holds in sorted({told for match in plan.images for told in match.image.exhaustive.items()}):
            if name not in categories:
                continue
            known = self._project.queries.exhaustive(category_id=categories[name].id)
            images = []
            for match, image_id in zip(plan.images, ids, strict=True):
                if match.image.exhaustive.get(name) is not holds:
                    continue
                if known.get(image_id, {}).get(categories[name].id, holds) is holds:
                    images.append(image_id)
                else:
                    told = said("not all are labelled") if holds else said("all are labelled")
                    plan.report.add(
                        "kept", str(match.image.rel_path), said("{0}: the project says that {1}", name, told)
                    )
            self._project.operations.set_exhaustive(images, categories[name].id, holds)


def _with_source(match: ImageMatch) -> Any:
    source = str(match.image.original_id) if match.image.original_id is not None else None
    return replace(match.new, source_id=source) if match.new is not None else None


def _keypoints(instance: DatasetInstance, category: CategoryRow) -> tuple[NewKeypoint, ...]:
    rows = []
    for name, keypoint in instance.keypoints.items():
        definition = category.definition(name)
        if definition is not None:
            rows.append(NewKeypoint(definition.id, keypoint.x, keypoint.y, int(keypoint.visibility), "imported"))
    return tuple(rows)


def _new_instance(
    instance: DatasetInstance, image_id: int, categories: dict[str, CategoryRow], identities: dict[str, int]
) -> NewInstance:
    category = categories[instance.category]
    extra = dict(instance.extra) | ({"crowd": True} if instance.crowd else {})
    if instance.score is not None:
        extra["score"] = instance.score
    return NewInstance(
        image_id,
        category.id,
        _keypoints(instance, category),
        instance.box,
        instance.mask,
        identities.get(instance.identity),
        "imported",
        str(instance.original_id) if instance.original_id is not None else None,
        extra,
    )
