"""Contents for the pictures that need no model: pictures must not depend on the machine they are made on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, MaskProposal, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.workflows.demo.truth import instance_box, read_truth


def _keypoint(
    rng: np.random.Generator, name: str, xy: tuple[float, float], side: float, hidden: bool
) -> KeypointProposal:
    """The true place, shaken the more the less sure it is."""
    confidence = float(np.clip(rng.beta(5, 1.6), 0.08, 0.98))
    spread = side * 0.02 / max(confidence, 0.2)
    x, y = xy[0] + rng.normal(0, spread), xy[1] + rng.normal(0, spread)
    far = rng.normal(0, side * 0.2, (3, 2)) * [[0], [1], [1]]
    peaks = tuple(Peak(x + far[n, 0], y + far[n, 1], 0.9 - 0.15 * n) for n in range(3))
    signals = KeypointSignals(confidence, 0.12, 0.04, 0.8, 0.1, 0.05)
    return KeypointProposal(name, x, y, confidence, Visibility.HIDDEN if hidden else Visibility.VISIBLE, signals, peaks)


def propose_keypoints(project: Any) -> None:
    """Pending proposals on every photo without a label."""
    rng = np.random.default_rng(7)
    spec = RunSpec("match", "embedded")
    for category in project.queries.categories():
        proposals = []
        for image in read_truth().images:
            row = project.queries.image_named(str(image.rel_path))
            if row is None or row.instance_count:
                continue
            for instance in image.instances[:1]:
                if instance.category != category.name:
                    continue
                box = instance_box(instance)
                side = max(box[2] - box[0], box[3] - box[1])
                points = tuple(
                    _keypoint(rng, name, (k.x, k.y), side, int(k.visibility) == 1)
                    for name, k in instance.keypoints.items()
                    if k.x is not None and k.y is not None
                )
                proposals.append(InstanceProposal("m", str(row.id), category.name, points, 0.8, box, spec, ("1",)))
        if proposals:
            project.operations.add_keypoint_proposals(proposals, category.id, job="pictures")


def find_dog(project: Any) -> None:
    """An identity with one confirmed instance and suggestions on the other photos of dogs."""
    rng = np.random.default_rng(8)
    dog = project.queries.category("dog")
    identity = project.operations.add_identity("Pip", dog.id).ids[0]
    done = project.queries.instances(category_id=dog.id)
    project.operations.assign_identity([done[0].id], identity)
    masks = []
    spec = RunSpec("pdm", "embedded")
    for image in read_truth().images:
        row = project.queries.image_named(str(image.rel_path))
        for instance in image.instances[:1]:
            if instance.category == "dog" and instance.mask is not None and row is not None and not row.instance_count:
                likeness = float(np.clip(rng.beta(2, 2), 0.05, 0.97))
                masks.append(MaskProposal("m", str(row.id), likeness, likeness, instance.mask, instance.mask.box, spec))
    project.operations.add_mask_proposals(masks, dog.id, identity_id=identity, job="pictures-find")


def decide(project: Any, share: float = 0.4) -> None:
    """A person's work of some hours: sure proposals mostly accepted, unsure ones mostly rejected."""
    rng = np.random.default_rng(9)
    accepted, rejected = [], []
    for proposal in project.queries.proposals():
        for keypoint in proposal.keypoints:
            if keypoint.confidence is None or rng.random() > share:
                continue
            right = rng.random() < keypoint.confidence**0.7
            (accepted if right else rejected).append(keypoint.id)
    project.operations.accept_keypoints(accepted)
    project.operations.reject_keypoints(rejected)


def tuned_prompt() -> tuple[Any, Any]:
    """A curve and a verdict as a tuning on the sample project gives them."""
    from kinmark.desktop.session.tuning import TunedPrompt
    from kinmark.engine.api import TuneProgress

    rng = np.random.default_rng(10)
    points = []
    for step in range(0, 301, 5):
        held_out = 0.52 + 0.14 * (1 - np.exp(-step / 90)) + rng.normal(0, 0.006) if step % 50 == 0 else float("nan")
        loss = 2.6 * np.exp(-step / 120) + 0.9 + rng.normal(0, 0.05)
        points.append(TuneProgress(step, 300, float(loss), float(held_out)))
    tuned = TunedPrompt(
        "prompt:pictures", "dog", "class", 0.66, 0.71, (0.63, 0.78), 300, 212.0, "4 photos", True, (0.52, 0.66)
    )
    return tuple(points), tuned


def gallery(project: Any) -> tuple[Any, ...]:
    """Before and after on four photos of dogs."""
    from kinmark.desktop.io.thumbnails import make_crop
    from kinmark.desktop.session.tune_gallery import SIDE, GalleryPicture
    from kinmark.engine.domain.geometry import expand_box

    rng = np.random.default_rng(11)
    pictures = []
    for image in read_truth().images:
        row = project.queries.image_named(str(image.rel_path))
        for instance in image.instances[:1]:
            if instance.category != "dog" or row is None or len(pictures) == 4:
                continue
            box = instance_box(instance)
            truth = np.array([(k.x, k.y) for k in instance.keypoints.values() if k.x is not None], dtype=float)
            side = max(box[2] - box[0], box[3] - box[1])
            region = expand_box(box, margin=0.1, square=True)
            before = truth + rng.normal(0, side * 0.11, truth.shape)
            after = truth + rng.normal(0, side * 0.055, truth.shape)
            crop = make_crop(Path(row.path), region, SIDE)
            pictures.append(GalleryPicture(Path(row.path), box, region, crop, truth, before, after))
    return tuple(pictures)


def findings(project: Any) -> tuple[Any, ...]:
    """What a check of the labels may say about the labelled photos."""
    from kinmark.projects.workflows.check import Finding

    found = []
    for instance in project.queries.instances()[:3]:
        category = next(c for c in project.queries.categories() if c.id == instance.category_id)
        image = project.queries.image(instance.image_id)
        name = category.definitions[min(3, len(category.definitions) - 1)].name
        reason = f"{name} fits better where its left/right twin is"
        found.append(Finding("swapped", image.file_name, image.id, instance.id, category.name, name, 2.1, reason))
    return tuple(found)
