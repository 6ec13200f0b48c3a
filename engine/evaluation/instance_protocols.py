"""`evaluate --dataset folder|perseg|permis|permir|davis`: personalised segmentation and retrieval by named protocols.

Every result says its protocol (methods/evaluation.md): PerSeg's mIoU (per object, then mean), PerMIS's pooled ratio, boundary IoU with its
distance, PerMIR's mAP and Recall@k over the other frames of all videos, DAVIS J and F.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation import instance_metrics as metrics
from kinmark.engine.evaluation import instance_sets as sets
from kinmark.engine.instances.attention import AttentionExtractor
from kinmark.engine.instances.by_reference import InstanceFinder
from kinmark.engine.instances.find import find_instance
from kinmark.engine.instances.picture import load_picture
from kinmark.engine.instances.settings import resolve
from kinmark.engine.requests import (
    DEFAULT_BACKBONE,
    FindRequest,
    ImageInput,
    InstanceSettings,
    Reference,
    TargetFailure,
)
from kinmark.engine.retrieval.photo import describe_photo
from kinmark.engine.retrieval.ranking import RankingWeights, rank_collection
from kinmark.engine.session import EngineSession

RECALLS = (1, 5, 10, 50)
MIN_TARGET_SHARE = 0.005
"""PerMIR / PerMIS leave out masks under 0.5 % of the frame."""


@dataclass(frozen=True)
class InstanceEvaluation:
    """How to run: settings of the search, which backbone, at most so many objects (0 = all)."""

    backbone: str = DEFAULT_BACKBONE
    settings: InstanceSettings = InstanceSettings()
    limit: int = 0
    weights: RankingWeights | None = None


def evaluate_instances(
    session: EngineSession,
    dataset: str,
    root: Path,
    *,
    options: InstanceEvaluation | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Run one data set and return its JSON-able report.

    Args:
        dataset: "folder", "perseg", "permis", "permir" or "davis".
        root: of the data set.

    Raises:
        UserInputError: unknown data set, nothing in the folder. ImportFileError: damaged annotations.
    """
    options = options or InstanceEvaluation()
    runs: dict[str, Callable[..., dict[str, Any]]] = {
        "folder": evaluate_folder,
        "perseg": evaluate_perseg,
        "permis": evaluate_permis,
        "permir": evaluate_permir,
        "davis": evaluate_davis,
    }
    if dataset not in runs:
        raise UserInputError(said("Unknown data set '{0}'.", dataset), said("Use one of: {0}.", ", ".join(runs)))
    started = time.monotonic()
    with session.guarded():
        report = runs[dataset](session, Path(root), options, progress or Progress(), cancel or CancelToken())
    return (
        {"dataset": dataset, "root": str(root), "backbone": options.backbone}
        | report
        | {"seconds": time.monotonic() - started}
    )


# ---- retrieval ---------------------------------------------------------------------------------------------------


def retrieval_report(
    scores: NDArray[np.float64], identities: Sequence[str], queries: Sequence[int] | None = None
) -> dict[str, Any]:
    """mAP and Recall@k with every photo once the query and all others the gallery.

    Identities with a single photo cannot be found again: they stay in the gallery as distractors but are no queries.
    """
    names = np.asarray(identities)
    chosen = range(len(names)) if queries is None else queries
    precisions: list[float] = []
    hits: dict[int, list[bool]] = {k: [] for k in RECALLS}
    per_identity: dict[str, list[float]] = {}
    for query in chosen:
        gallery = np.arange(len(names)) != query
        labels = names[gallery] == names[query]
        if not labels.any():
            continue
        row = scores[query][gallery]
        precision = metrics.average_precision(labels, row)
        precisions.append(precision)
        per_identity.setdefault(str(names[query]), []).append(precision)
        for k in RECALLS:
            hits[k].append(metrics.hit_at(labels, row, k))
    if not precisions:
        raise UserInputError("No identity has two photos, so nothing can be searched.", "Add more photos per identity.")
    return {
        "mAP": float(np.mean(precisions)),
        # One query has no spread: JSON has no NaN.
        "mAP_standard_error": metrics.standard_error(precisions) if len(precisions) > 1 else None,
        **{f"recall@{k}": float(np.mean(hits[k])) for k in RECALLS},
        "queries": len(precisions),
        "per_identity_mAP": {k: float(np.mean(v)) for k, v in sorted(per_identity.items())},
    }


def _extractor(session: EngineSession, options: InstanceEvaluation) -> AttentionExtractor | None:
    settings = resolve(options.settings, session.backbone(options.backbone).spec)
    if settings.weights.attention <= 0:
        return None
    return AttentionExtractor(session, options.backbone, settings, "")


def evaluate_folder(
    session: EngineSession, root: Path, options: InstanceEvaluation, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """Leave-one-out retrieval over photos named `identity__*`: whole photo as reference unless it has a mask."""
    photos = sets.read_identity_folder(root)
    extractor = _extractor(session, options)
    progress.start("Describing photos", len(photos))
    features, identities, failures = [], [], []
    for photo in photos:
        cancel.check()
        image = ImageInput(photo.path.name, photo.path)
        try:
            mask = sets.read_mask(photo.mask, session.source.size_wh(image)) if photo.mask else None
            features.append(
                describe_photo(
                    session.source, image, mask=mask, extractor=extractor, natural=session.natural(), cancel=cancel
                )
            )
            identities.append(photo.identity)
        except UnreadableImageError as error:
            failures.append({"image": photo.path.name, "error": str(error)})
        progress.step(note=photo.path.name)
    progress.start("Comparing photos", len(features))

    def on_row() -> None:
        cancel.check()
        progress.step()

    scores = rank_collection(features, options.weights, on_row=on_row)
    return {
        "protocol": "leave-one-out retrieval, every photo once the query, all others the gallery; AP as a step sum",
        "photos": len(features),
        "identities": len(set(identities)),
        "masks": sum(p.mask is not None for p in photos),
        **retrieval_report(scores, identities),
        "failures": failures,
    }


def evaluate_permir(
    session: EngineSession, root: Path, options: InstanceEvaluation, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """PerMIR: query = the frame with the largest mask, gallery = the other two frames of all videos, by PDM's score."""
    videos = [
        v
        for v in _limited(sets.read_prepared(root), options.limit)
        if min(m.mean() for m in v.masks) >= MIN_TARGET_SHARE
    ]
    if len(videos) < 2:
        raise UserInputError("PerMIR needs at least two videos with masks of 0.5 % of the frame.", "Add videos.")
    gallery = [(v.name, frame) for v in videos for frame in v.frames[1:]]
    progress.start("Searching frames", len(videos) * len(gallery))
    precisions, hits = [], {k: [] for k in RECALLS}  # type: ignore[var-annotated]
    for video in videos:
        finder = InstanceFinder(session, _request(video.frames[0], video.masks[0], video.class_name, options), cancel)
        scores = []
        for name, frame in gallery:
            cancel.check()
            regions = finder.regions(load_picture(session.source, ImageInput(name, frame)), cancel)
            scores.append(regions[0].score if regions else -20.0)
            progress.step(note=name)
        labels = np.array([name == video.name for name, _ in gallery])
        precisions.append(metrics.average_precision(labels, scores))
        for k in RECALLS:
            hits[k].append(metrics.hit_at(labels, scores, k))
    return {
        "protocol": "PerMIR: query = largest mask of three frames, gallery = the other two frames of all videos",
        "mAP": float(np.mean(precisions)),
        **{f"recall@{k}": float(np.mean(hits[k])) for k in RECALLS},
        "queries": len(precisions),
        "gallery": len(gallery),
    }


# ---- segmentation ------------------------------------------------------------------------------------------------


def _limited(items: list[Any], limit: int) -> list[Any]:
    return items[:limit] if limit > 0 else items


def _request(
    reference: Path, mask: NDArray[np.bool_], class_name: str, options: InstanceEvaluation, targets: Sequence[Path] = ()
) -> FindRequest:
    # Each target is known to show the object: the decision is not what these protocols measure.
    settings = InstanceSettings(**{**vars(options.settings), "threshold": 0.0})
    image = ImageInput(str(reference), reference)
    return FindRequest(
        "evaluate",
        (Reference(image, mask=MaskRLE.encode(mask)),),
        tuple(ImageInput(str(t), t) for t in targets),
        class_name,
        settings=settings,
        backbone=options.backbone,
    )


def _masks(
    session: EngineSession, task: sets.SegmentationTask, options: InstanceEvaluation, cancel: CancelToken
) -> list[NDArray[np.bool_]]:
    """The proposed mask of every target of a task (empty when there is none)."""
    request = _request(task.reference, task.reference_mask, task.class_name, options, [t for t, _ in task.targets])
    found: dict[str, NDArray[np.bool_]] = {}
    for result in find_instance(session, request, cancel=cancel):
        if isinstance(result, TargetFailure):
            raise result.error
        if result.rank == 0 and result.mask is not None:
            found[result.image_id] = result.mask.decode()
    return [found.get(str(path), np.zeros_like(truth)) for path, truth in task.targets]


def evaluate_perseg(
    session: EngineSession, root: Path, options: InstanceEvaluation, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """PerSeg: IoU and accuracy pooled per object, then averaged over objects; boundary IoU per image, then the same."""
    tasks = _limited(sets.read_perseg(root), options.limit)
    progress.start("Segmenting objects", len(tasks))
    per_object, accuracy, edges = {}, [], []
    for task in tasks:
        predictions = _masks(session, task, options, cancel)
        rows = [metrics.overlap(p, t) for p, (_, t) in zip(predictions, task.targets, strict=True)]
        per_object[task.name] = metrics.pooled_iou(rows)
        accuracy.append(metrics.pooled_accuracy(rows))
        edges.append(np.mean([metrics.boundary_iou(p, t) for p, (_, t) in zip(predictions, task.targets, strict=True)]))
        progress.step(note=task.name)
    return {
        "protocol": "PerSeg: sum of intersections / sum of unions per object, then mean over objects; reference 00 left out",
        "mIoU": float(np.mean(list(per_object.values()))),
        "mAcc": float(np.mean(accuracy)),
        "bIoU": float(np.mean(edges)),
        "bIoU_protocol": "Boundary IoU, d = round(0.02 * diagonal), mean per object, then over objects",
        "objects": len(per_object),
        "per_object_IoU": per_object,
    }


def evaluate_permis(
    session: EngineSession, root: Path, options: InstanceEvaluation, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """PerMIS: frame 0 -> frame 1, one pooled ratio over the set; the mean per image beside it."""
    videos = [
        v
        for v in _limited(sets.read_prepared(root), options.limit)
        if v.masks[1].mean() >= MIN_TARGET_SHARE and v.masks[0].any()
    ]
    if not videos:
        raise UserInputError(
            said("No video in {0} has a target of 0.5 % of the frame.", root), "Prepare the set again."
        )
    progress.start("Segmenting frames", len(videos))
    rows, means, edges = [], [], []
    for video in videos:
        target = (video.frames[1], video.masks[1])
        task = sets.SegmentationTask(video.name, video.class_name, video.frames[0], video.masks[0], (target,))
        [prediction] = _masks(session, task, options, cancel)
        rows.append(metrics.overlap(prediction, video.masks[1]))
        means.append(metrics.jaccard(prediction, video.masks[1]))
        edges.append(metrics.boundary_iou(prediction, video.masks[1]))
        progress.step(note=video.name)
    return {
        "protocol": "PerMIS: frame 0 -> frame 1, sum of intersections / sum of unions over the whole set",
        "pooled_IoU": metrics.pooled_iou(rows),
        "mean_IoU": float(np.mean(means)),
        "bIoU": float(np.mean(edges)),
        "pairs": len(rows),
    }


def evaluate_davis(
    session: EngineSession, root: Path, options: InstanceEvaluation, progress: Progress, cancel: CancelToken
) -> dict[str, Any]:
    """DAVIS 2017: J and F per object over frames (first and last left out), then mean over objects."""
    tasks = _limited(sets.read_davis(root), options.limit)
    progress.start("Segmenting videos", len(tasks))
    regions, contours = {}, {}
    for task in tasks:
        predictions = _masks(session, task, options, cancel)
        pairs = [(p, t) for p, (_, t) in zip(predictions, task.targets, strict=True)]
        regions[task.name] = float(np.mean([metrics.jaccard(p, t) for p, t in pairs]))
        contours[task.name] = float(np.mean([metrics.contour_f(p, t) for p, t in pairs]))
        progress.step(note=task.name)
    j, f = float(np.mean(list(regions.values()))), float(np.mean(list(contours.values())))
    return {
        "protocol": "DAVIS 2017 semi-supervised: J and F per object, first and last frame left out; each frame on its own",
        "J": j,
        "F": f,
        "J&F": (j + f) / 2,
        "objects": len(regions),
        "per_object_J": regions,
    }
