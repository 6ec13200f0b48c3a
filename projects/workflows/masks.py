"""Masks for accepted keypoint instances: each gets one proposed, cut out from limbs along its skeleton.

What was stored stays when the job is cancelled; accepting a mask gives it to its instance.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from kinmark.engine.api import Engine, SegmentRequest
from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.limbs import limb_mask
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.queries.images import ImageFilter
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow


@dataclass(frozen=True)
class MaskOptions:
    """What a person may ask for.

    Attributes:
        category: by name. targets_glob, image_ids: which photos (None = all).
        refine: "grabcut", "threshold" (the limbs themselves), or the folder of a SAM-family model.
        job: calls with the same name are one undo step ("" = this call alone).
    """

    category: str
    targets_glob: str = ""
    image_ids: tuple[int, ...] | None = None
    refine: str = "grabcut"
    job: str = ""


@dataclass
class MaskOutcome:
    """How many instances lacked a mask, how many masks wait now; what could not be done."""

    category: str
    instances: int = 0
    proposed: int = 0
    seconds: float = 0.0
    failures: list[dict[str, str]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def propose_masks(
    project: Project,
    engine: Engine,
    options: MaskOptions,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
    on_stored: Callable[[frozenset[int]], None] | None = None,
) -> MaskOutcome:
    """Propose a mask for every accepted instance of the category that has placed keypoints and no mask.

    Raises:
        UserInputError: unknown category, no instance with keypoints. OperationCancelled: after the masks so far were stored.
    """
    progress, cancel = progress or Progress(), cancel or CancelToken()
    category = project.queries.require_category(options.category)
    images = {
        r.id: r for r in project.queries.iter_images(ImageFilter(glob=options.targets_glob, ids=options.image_ids))
    }
    lacking = _lacking(project, category, images)
    outcome = MaskOutcome(category.name, sum(len(own) for own in lacking.values()))
    job, started = options.job or uuid.uuid4().hex, time.monotonic()
    progress.start(f"Masks of {category.name}", outcome.instances)
    for image_id, instances in lacking.items():
        cancel.check()
        limbs = _limbs(project, category, images[image_id], instances)
        proposals: list[tuple[int, MaskProposal]] = []
        for instance, mask in limbs:
            request = SegmentRequest(job, images[image_id].image_input, mask=mask, refine=options.refine)
            try:
                if mask.area == 0:
                    raise UserInputError("Its keypoints lie under another instance's.", "Outline it by hand.")
                proposals.append((instance.id, engine.segment(request, cancel=cancel)))
            except (KnownError, UserInputError) as error:
                outcome.failures.append({"image": images[image_id].file_name, "error": str(error)})
        stored = _store(project, category, proposals, job, outcome)
        progress.step(len(instances), note=images[image_id].path.name)
        if on_stored is not None and stored:
            on_stored(stored)
    outcome.seconds = time.monotonic() - started
    return outcome


def _lacking(project: Project, category: CategoryRow, images: dict[int, ImageRow]) -> dict[int, list[InstanceRow]]:
    """{image id: instances with keypoints and no mask}."""
    found: dict[int, list[InstanceRow]] = {}
    some = False
    for instance in project.queries.exemplar_instances(category.id):
        some = True
        if instance.mask is None and instance.image_id in images:
            found.setdefault(instance.image_id, []).append(instance)
    if not some:
        raise UserInputError(
            said("No accepted {0} has keypoints, so there is nothing to make masks for.", category.name),
            "Label or accept keypoints first; kinmark find --image finds masks without them.",
        )
    return found


def _limbs(
    project: Project, category: CategoryRow, image: ImageRow, instances: list[InstanceRow]
) -> list[tuple[InstanceRow, MaskRLE]]:
    """What the keypoints say about each outline; what lies nearer to another instance of the photo is the other's."""
    ids = category.definition_ids
    here = project.queries.instances(image_ids=[image.id], category_id=category.id)
    return [
        (
            one,
            MaskRLE.encode(
                limb_mask(
                    one.aligned(ids), category.schema, image.size_wh, [o.aligned(ids) for o in here if o.id != one.id]
                )
            ),
        )
        for one in instances
    ]


def _store(
    project: Project, category: CategoryRow, proposals: list[tuple[int, MaskProposal]], job: str, outcome: MaskOutcome
) -> frozenset[int]:
    """All masks of a photo in one transaction: those of neighbours must not replace each other."""
    if not proposals:
        return frozenset()
    changes = project.operations.add_mask_proposals(
        [mask for _, mask in proposals],
        category.id,
        job=job,
        name=said("Masks of {name}", name=category.name),
        instance_ids=[instance for instance, _ in proposals],
    )
    outcome.proposed += changes.count
    outcome.skipped.extend(changes.skipped)
    return changes.image_ids
