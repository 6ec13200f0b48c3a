"""Find one rendered instance beside a distractor of its own class: how good are mask, peak and choice?

Everything runs through `find_instance` on picture files, as a person's search would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.bodies import CATEGORIES
from benchmarks.training.scenes import HELD_OUT, SCENES_PER_IDENTITY, SceneOptions, render_scene
from kinmark.engine.api import Engine, FindRequest, ImageInput, InstanceSettings, Reference
from kinmark.engine.domain.masks import MaskRLE, mask_iou
from kinmark.engine.domain.proposals import MaskProposal

SCENE_SEEDS = HELD_OUT + 950_000
SCENE_IDENTITIES = HELD_OUT + 20_000
MIN_PIXELS = 200


@dataclass(frozen=True)
class InstanceCase:
    """A reference picture with the instance's mask, and a target with `owner` [S, S]: 0 the instance, 1 its double."""

    category: str
    reference: Path
    reference_mask: NDArray[np.bool_]
    target: Path
    owner: NDArray[np.int8]


@dataclass(frozen=True)
class InstanceOutcome:
    """IoU with the instance, whether the peak lies in it, and whether the peak is nearer to it than to its double."""

    iou: float
    peak_inside: bool
    right_one: bool


def instance_cases(folder: Path, count: int, size: int, first: int = 0) -> list[InstanceCase]:
    """Render held-out cases as PNG files under `folder`.

    `first` starts another list; from 10 000 on it shares no identity with the figures, which are reported on 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names, attempt = list(CATEGORIES), first
    cases: list[InstanceCase] = []
    while len(cases) < count:
        category, identity = names[len(cases) % len(names)], SCENE_IDENTITIES + attempt
        seed = SCENE_SEEDS + attempt * SCENES_PER_IDENTITY
        attempt += 1
        alone = render_scene(
            seed, size, SceneOptions(category=category, identity=identity, companions=(), supersample=1.5)
        )
        beside = SceneOptions(
            category=category, identity=identity, companions=(identity + 5000,), azimuth=(0.0, 6.283), supersample=1.5
        )
        target = render_scene(seed + 1, size, beside)
        pixels = [int((alone.owner == 0).sum()), *(int((target.owner == k).sum()) for k in (0, 1))]
        if min(pixels) < MIN_PIXELS:
            continue
        paths = [folder / f"{len(cases):03d}_{part}.png" for part in ("reference", "target")]
        for path, scene in zip(paths, (alone, target), strict=True):
            Image.fromarray(scene.image).save(path)
        cases.append(InstanceCase(category, paths[0], alone.owner == 0, paths[1], target.owner))
    return cases


def find_case(
    engine: Engine, case: InstanceCase, backbone: str, evidence: dict[str, float] | None, **settings: Any
) -> InstanceOutcome:
    """Search one case with the given evidence weights (None = the card's) and always take the best answer."""
    extra = {"evidence": evidence} if evidence is not None else {}
    request = FindRequest(
        request_id="quality",
        references=(Reference(ImageInput("reference", case.reference), mask=MaskRLE.encode(case.reference_mask)),),
        targets=(ImageInput("target", case.target),),
        class_name=case.category,
        settings=InstanceSettings(threshold=0.0, max_instances=1, extra=extra, **settings),
        backbone=backbone,
    )
    found = next(iter(engine.find_instance(request)))
    if not isinstance(found, MaskProposal):
        raise found.error
    return judge(found, case.owner)


def judge(found: MaskProposal, owner: NDArray[np.int8]) -> InstanceOutcome:
    """Compare a proposal with the truth of its target."""
    truth, double = owner == 0, owner == 1
    mask = found.mask.decode() if found.mask is not None else np.zeros(owner.shape, bool)
    inside = right = False
    if found.peak_xy_image is not None:
        x, y = (int(np.clip(v, 0, limit - 1)) for v, limit in zip(found.peak_xy_image, owner.shape[::-1], strict=True))
        inside = bool(truth[y, x])
        right = _distance(truth, x, y) < _distance(double, x, y)
    return InstanceOutcome(mask_iou(mask, truth), inside, right)


def _distance(mask: NDArray[np.bool_], x: int, y: int) -> float:
    """Pixels from (x, y) to the nearest pixel of the mask."""
    ys, xs = np.nonzero(mask)
    return float(np.hypot(xs - x, ys - y).min())


def summarise(outcomes: Sequence[InstanceOutcome]) -> dict[str, tuple[float, float]]:
    """Percentages with standard errors: `iou`, `peak`, `right`."""
    return _mean_and_error(_table(outcomes))


def gains(better: Sequence[InstanceOutcome], worse: Sequence[InstanceOutcome]) -> dict[str, tuple[float, float]]:
    """Mean difference in percentage points between two searches of the same cases, with the paired standard error."""
    return _mean_and_error(_table(better) - _table(worse))


def _table(outcomes: Sequence[InstanceOutcome]) -> NDArray[np.float64]:
    return np.array([(o.iou, o.peak_inside, o.right_one) for o in outcomes], np.float64) * 100


def _mean_and_error(table: NDArray[np.float64]) -> dict[str, tuple[float, float]]:
    error = table.std(0, ddof=1) / len(table) ** 0.5
    return {k: (float(m), float(e)) for k, m, e in zip(("iou", "peak", "right"), table.mean(0), error, strict=True)}
