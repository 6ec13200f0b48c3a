"""Instance search on rendered scenes with same-class distractors: masks, decision, retrieval, shortlist.

    python -m benchmarks.instances [--cases 60] [--identities 30] [--views 5] [--backbone embedded] [--json FILE]

Every scene is held out: its identities and surroundings never met the training set.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, mean_and_error, parser
from benchmarks.ranking import describe_folder, ranking_rows
from benchmarks.rendered.instance_cases import InstanceCase, instance_cases, judge
from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    EngineConfig,
    FindRequest,
    ImageInput,
    InstanceSettings,
    Reference,
    Target,
    TargetFailure,
    VectorRequest,
)
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.evaluation import instance_metrics as metrics
from kinmark.engine.instances.by_reference import InstanceFinder
from kinmark.engine.instances.decision import DEFAULT_THRESHOLD, confidence_of
from kinmark.engine.instances.picture import load_picture
from kinmark.engine.retrieval.index import VectorIndex
from kinmark.engine.retrieval.vectors import photo_vectors
from kinmark.engine.session import EngineSession

ATTENTION = {"attention": 1.0, "colour": 0.0, "local": 0.0, "natural": 0.0}
VARIANTS: dict[str, tuple[str, dict[str, float] | None]] = {
    "attention, appearance only": ("appearance", ATTENTION),
    "attention, semantic only": ("semantic", ATTENTION),
    "attention, fused (PDM)": ("fused", ATTENTION),
    "colour only": ("fused", {**ATTENTION, "attention": 0.0, "colour": 1.0}),
    "local descriptor only": ("fused", {**ATTENTION, "attention": 0.0, "local": 1.0}),
    "natural cells only": ("fused", {**ATTENTION, "attention": 0.0, "natural": 1.0}),
    "shipped mix": ("fused", None),
}
RETRIEVAL_SEEDS, RETRIEVAL_IDENTITIES = HELD_OUT + 990_000, HELD_OUT + 60_000
CATEGORIES = ("bird", "dog", "car", "guitar", "mouse", "horse")


def _finder(session: EngineSession, case: InstanceCase, backbone: str, settings: InstanceSettings) -> InstanceFinder:
    reference = Reference(ImageInput("reference", case.reference), mask=MaskRLE.encode(case.reference_mask))
    request = FindRequest("benchmark", (reference,), (), case.category, settings=settings, backbone=backbone)
    return InstanceFinder(session, request)


def mask_rows(
    session: EngineSession,
    cases: Sequence[InstanceCase],
    backbone: str,
    name: str,
    settings: InstanceSettings,
    *,
    absent: bool = False,
) -> list[Row]:
    """mIoU, boundary IoU, right instance and, with `absent`, the AUROC of "not here" against other cases' targets."""
    outcomes, edges, scores, labels = [], [], [], []
    started = time.process_time()
    for number, case in enumerate(cases):
        finder = _finder(session, case, backbone, settings)
        found = finder.search(ImageInput(f"target{number}", case.target))[0]
        outcomes.append(judge(found, case.owner))
        truth = case.owner == 0
        mask = found.mask.decode() if found.mask is not None else np.zeros_like(truth)
        edges.append(metrics.boundary_iou(mask, truth))
        scores.append(found.score)
        labels.append(True)
        if absent:
            other = next(c for c in [*cases[number + 1 :], *cases] if c.category == case.category and c is not case)
            regions = finder.regions(load_picture(session.source, ImageInput(f"absent{number}", other.target)))
            scores.append(regions[0].score if regions else -20.0)
            labels.append(False)
    seconds = (time.process_time() - started) / len(scores)
    rows = []
    for what, values in (
        ("mIoU", [o.iou for o in outcomes]),
        ("boundary IoU", edges),
        ("right instance", [float(o.right_one) for o in outcomes]),
        ("peak inside", [float(o.peak_inside) for o in outcomes]),
    ):
        mean, error = mean_and_error(values)
        rows.append(Row(f"{name}: {what}", 100 * mean, "%", None, f"+- {100 * error:.1f}, {len(values)} scenes"))
    if absent:
        rows.append(Row(f"{name}: not-here AUROC", 100 * metrics.area_under_roc(labels, scores), "%"))
        said = np.array([confidence_of(score) >= DEFAULT_THRESHOLD for score in scores])
        truth = np.array(labels)
        note = f"at the shipped threshold {DEFAULT_THRESHOLD}, {int((~truth).sum())} photos without it"
        rows.append(Row(f"{name}: absent things accepted", 100 * float(said[~truth].mean()), "%", None, note))
        rows.append(Row(f"{name}: present things missed", 100 * float((~said[truth]).mean()), "%"))
    rows.append(Row(f"{name}: processor time per photo", seconds, "s", None, "its reference included"))
    return rows


def render_identities(folder: Path, identities: int, views: int, size: int) -> None:
    """`identity__view.jpg` of `identities` individuals of few categories, each alone in other surroundings."""
    for number in range(identities):
        category, done, attempt = CATEGORIES[number % len(CATEGORIES)], 0, 0
        while done < views:
            options = SceneOptions(category=category, identity=RETRIEVAL_IDENTITIES + number, distractor=False)
            scene = render_scene(RETRIEVAL_SEEDS + number * 200 + attempt, size, options)
            attempt += 1
            if (scene.owner == 0).mean() >= 0.06:
                Image.fromarray(scene.image).save(folder / f"{category}{number:02d}__{done}.jpg", quality=92)
                done += 1


def retrieval_rows(session: EngineSession, folder: Path, backbone: str) -> list[Row]:
    """mAP of the shipped ranking, and of its parts alone."""
    parts, identities, _ = describe_folder(session, folder, backbone)
    return ranking_rows(parts, identities, "retrieval mAP")


def shortlist_rows(session: EngineSession, folder: Path, backbone: str) -> list[Row]:
    """How many of the photos of the same identity the shortlist holds, by its share of the collection."""
    photos = sorted(folder.glob("*.jpg"))
    targets = tuple(Target(ImageInput(str(i), p)) for i, p in enumerate(photos))
    with tempfile.TemporaryDirectory() as name:
        index, queries = VectorIndex(Path(name), "benchmark"), {}
        for result in photo_vectors(session, VectorRequest("benchmark", targets, backbone)):
            if isinstance(result, TargetFailure):
                raise result.error
            index.put(int(result.image_id), "x", result.vectors)
            queries[int(result.image_id)] = result.vectors[:1]
        rows = []
        identities = [p.stem.split("__")[0] for p in photos]
        for share in (0.1, 0.2, 0.4):
            count, kept = max(1, round(share * len(photos))), []
            for number, query in queries.items():
                near = {n.image_id for n in index.search(query, count + 1, distinctive=True)} - {number}
                same = [i for i, who in enumerate(identities) if who == identities[number] and i != number]
                kept.append(sum(i in near for i in same) / len(same))
            rows.append(Row(f"shortlist of {share:.0%}: photos of the identity kept", 100 * float(np.mean(kept)), "%"))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--cases", type=int, default=60)
    arguments.add_argument("--identities", type=int, default=30)
    arguments.add_argument("--views", type=int, default=5)
    arguments.add_argument("--size", type=int, default=256)
    arguments.add_argument("--backbone", default=DEFAULT_BACKBONE)
    arguments.add_argument("--only", choices=("masks", "inversion", "retrieval"), default=None)
    options = arguments.parse_args(argv)
    session, rows = EngineSession(EngineConfig(device="cpu")), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = instance_cases(folder / "cases", options.cases, options.size) if options.only != "retrieval" else []
        if options.only in (None, "masks"):
            for title, (mode, evidence) in VARIANTS.items():
                extra = {"evidence": evidence} if evidence else {}
                settings = InstanceSettings(mode=mode, threshold=0.0, extra=extra)
                rows += mask_rows(session, cases, options.backbone, title, settings, absent=title == "shipped mix")
        if options.only in (None, "inversion"):
            for title, steps in (("one-step", 0), ("4-step inversion", 4), ("50-step inversion", 50)):
                settings = InstanceSettings(threshold=0.0, inversion_steps=steps, extra={"evidence": ATTENTION})
                some = cases[: max(4, len(cases) // 5)]
                rows += mask_rows(session, some, options.backbone, title, settings)
        if options.only in (None, "retrieval"):
            (folder / "identities").mkdir()
            render_identities(folder / "identities", options.identities, options.views, options.size)
            rows += retrieval_rows(session, folder / "identities", options.backbone)
            rows += shortlist_rows(session, folder / "identities", options.backbone)
    session.close()
    finish("instances", rows, options.json, cases=options.cases, identities=options.identities, views=options.views)
    return 0


if __name__ == "__main__":
    sys.exit(main())
