"""Evaluation: a published data set through the engine, or a project's own labels by cross-validation; reports as files."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.api import (
    DEFAULT_BACKBONE,
    Engine,
    EvaluateRequest,
    Exemplar,
    MatchSettings,
    ProposeRequest,
    Target,
    TargetFailure,
)
from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.geometry import longer_side
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.domain.texts import said
from kinmark.projects.project import Project
from kinmark.projects.store.rows import CategoryRow
from kinmark.projects.workflows.propose_plan import categories_to_propose, exemplars_of

ALPHAS = (0.05, 0.1, 0.15, 0.2)
FOLDS = 5


@dataclass(frozen=True)
class ProjectEvaluation:
    """Cross-validate on a project: `folds` groups of photos, each found from the others."""

    category: str = ""
    folds: int = FOLDS
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    settings: MatchSettings = MatchSettings()


def evaluate_dataset(
    engine: Engine,
    request: EvaluateRequest,
    out: Path | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Run it; with `out` also `report.json`, `report.md`, a plot, and the file from which a stopped run goes on."""
    if out is not None:
        request = replace(request, work_file=out / "pairs.jsonl")
    report = engine.evaluate(request, progress=progress, cancel=cancel)
    if out is not None:
        write_report(report, out)
    return report


def evaluate_project(
    project: Project,
    engine: Engine,
    options: ProjectEvaluation | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """PCK of a project's own labels; every instance is proposed from those of the other folds.

    Raises:
        UserInputError: fewer than two labelled photos of a category.
    """
    options = options or ProjectEvaluation()
    results = []
    for category in categories_to_propose(project, options.category):
        results.append(_evaluate_category(project, engine, category, options, progress, cancel))
    return {
        "protocol": "project: original pixels, L = longer side of the instance's box, <=",
        "alphas": list(ALPHAS),
        "backbone": options.backbone,
        "prompt": options.prompt,
        "categories": results,
    }


def _evaluate_category(
    project: Project,
    engine: Engine,
    category: CategoryRow,
    options: ProjectEvaluation,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> dict[str, Any]:
    exemplars = exemplars_of(project, category)
    photos = sorted({e.image.image_id for e in exemplars})
    if len(photos) < 2:
        raise UserInputError(
            said("Cross-validation of {0} needs labels on two photos, there are {1}.", category.name, len(photos)),
            "Label or import some more first.",
        )
    folds = min(options.folds, len(photos))
    group = {photo: index % folds for index, photo in enumerate(photos)}
    distances: list[np.ndarray] = []
    failures: list[str] = []
    for fold in range(folds):
        held = [e for e in exemplars if group[e.image.image_id] == fold]
        rest = tuple(e for e in exemplars if group[e.image.image_id] != fold)
        request = ProposeRequest(
            f"evaluate-{fold}",
            category.name,
            category.schema,
            rest,
            tuple(_target(e, exemplars) for e in held),
            options.settings,
            options.backbone,
            options.prompt,
        )
        answers = engine.propose_keypoints(request, progress=progress, cancel=cancel)
        for exemplar, answer in zip(held, answers, strict=True):
            if isinstance(answer, TargetFailure):
                failures.append(str(answer.error))
            else:
                distances.append(relative_errors(exemplar, answer, category))
    return {
        "category": category.name,
        "instances": len(distances),
        "folds": folds,
        **pck(distances),
        "failures": failures,
    }


def _target(exemplar: Exemplar, exemplars: tuple[Exemplar, ...]) -> Target:
    """The photo, or the instance's box where the photo shows several."""
    fellows = sum(e.image.image_id == exemplar.image.image_id for e in exemplars)
    return Target(exemplar.image, box=exemplar.keypoints.box_or_extent() if fellows > 1 else None)


def relative_errors(exemplar: Exemplar, answer: InstanceProposal, category: CategoryRow) -> np.ndarray:
    """`[N]` distance of every labelled keypoint relative to the box's longer side; infinite when not proposed."""
    placed = {k.name: (k.x, k.y) for k in answer.keypoints if k.visibility != Visibility.ABSENT}
    length = max(longer_side(exemplar.keypoints.box_or_extent()), 1e-6)
    errors = []
    for index in np.flatnonzero(exemplar.keypoints.labelled):
        place = placed.get(category.schema.names[index])
        truth = np.asarray(exemplar.keypoints.xy_image)[index]
        errors.append(np.inf if place is None else float(np.linalg.norm(np.asarray(place) - truth)) / length)
    return np.array(errors)


def pck(distances: list[np.ndarray]) -> dict[str, Any]:
    """PCK at every alpha, per point and per image, with a 95 % bootstrap interval of the former over images."""
    used = [d for d in distances if len(d)]
    if not used:
        return {"keypoints": 0, "per_point": [], "per_image": []}
    hits = [np.stack([d <= a for a in ALPHAS]) for d in used]
    points = np.array([h.shape[1] for h in hits], float)
    right = np.array([h.sum(axis=1) for h in hits], float)
    draw = np.random.default_rng(0).integers(0, len(used), (1000, len(used)))
    samples = right[draw].sum(axis=1) / points[draw].sum(axis=1)[:, None]
    return {
        "keypoints": int(points.sum()),
        "per_point": (right.sum(axis=0) / points.sum()).tolist(),
        "per_point_interval": np.percentile(samples, [2.5, 97.5], axis=0).T.tolist(),
        "per_image": (right / points[:, None]).mean(axis=0).tolist(),
    }


def write_report(report: dict[str, Any], out: Path) -> list[Path]:
    """`report.json`, `report.md` and, where there are PCK figures, `pck.png` in the folder `out`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        files = [out / "report.json", out / "report.md"]
        files[0].write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")
        files[1].write_text(to_markdown(report), encoding="utf-8")
        if isinstance(report.get("per_image"), list):
            files.append(_plot(report, out / "pck.png"))
    except OSError as error:
        raise KnownError(
            said("The report cannot be written to {0}.", out), "Choose another folder.", repr(error)
        ) from None
    return files


def to_markdown(report: dict[str, Any]) -> str:
    """A table a person can read."""
    lines = [f"# {report.get('dataset', 'Evaluation')}", ""]
    plain = {k: v for k, v in report.items() if not isinstance(v, (dict, list))}
    lines += [f"- {k}: {v}" for k, v in plain.items()]
    if isinstance(report.get("per_image"), list):
        heads = [f"{kind} @{a:g}" for kind in ("image", "point") for a in report["alphas"]]
        lines += ["", "| category | pairs | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
        rows = [("all", report), *report.get("categories", {}).items()]
        for name, row in rows:
            values = [f"{100 * v:.1f}" if v is not None else "-" for v in (*row["per_image"], *row["per_point"])]
            lines.append(f"| {name} | {row['pairs']} | " + " | ".join(values) + " |")
    return "\n".join(lines) + "\n"


def _plot(report: dict[str, Any], path: Path) -> Path:
    """Bars of PCK per category at the middle alpha, drawn with Pillow (no plotting library in the program)."""
    from PIL import Image, ImageDraw

    index = min(1, len(report["alphas"]) - 1)
    rows = [("all", report), *report.get("categories", {}).items()]
    width, step, left = 640, 22, 160
    image = Image.new("RGB", (width, 40 + step * len(rows)), "white")
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), f"PCK@{report['alphas'][index]:g} per image, {report['protocol']}", fill="black")
    for number, (name, row) in enumerate(rows):
        y, value = 36 + step * number, row["per_image"][index] or 0.0
        draw.text((10, y), str(name)[:24], fill="black")
        draw.rectangle((left, y, left + value * (width - left - 60), y + 14), fill="#0072b2")
        draw.text((left + value * (width - left - 60) + 6, y), f"{100 * value:.1f}", fill="black")
    image.save(path)
    return path
