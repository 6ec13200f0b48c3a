"""Running a correspondence archive: match every pair, keep what is done, report under a named protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import continuous_to_index, index_to_continuous
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets import EvaluationPair, read_pairs
from kinmark.engine.evaluation.pck import PairResult, PckScore, score_categories, score_pairs
from kinmark.engine.evaluation.protocols import get_protocol, judge_pair
from kinmark.engine.pipelines.pairwise import match_points
from kinmark.engine.requests import EvaluateRequest, ImageInput, MatchRequest, Target

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession


def evaluate_correspondence(
    session: EngineSession,
    request: EvaluateRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """Match all pairs and report. With `request.work_file` an interrupted run goes on where it stopped.

    Raises:
        UserInputError: unknown data set or protocol, no pair. ImportFileError: damaged archive.
    """
    protocol = get_protocol(request.protocol)
    pairs: Iterator[EvaluationPair] = read_pairs(request.dataset, request.root, request.split)
    chosen = list(islice(pairs, request.limit) if request.limit else pairs)
    if not chosen:
        raise UserInputError(
            said("{0} holds no pair of the split '{1}'.", request.root, request.split), "Name another split."
        )
    if progress is not None:
        progress.start(f"Evaluating {request.dataset}", len(chosen))
    done = _Done(request)
    results = []
    for pair in chosen:
        if cancel is not None:
            cancel.check()
        predicted = done.get(pair)
        if predicted is None:
            predicted = match_pair(session, request, pair, cancel)
            done.add(pair, predicted)
        results.append(judge_pair(pair, predicted, protocol))
        if progress is not None:
            progress.step()
    report = make_report(results, protocol.alphas)
    return {
        "dataset": request.dataset,
        "split": request.split,
        "protocol": protocol.name,
        "note": protocol.note,
        "headline": f"per {protocol.headline}",
        "method": request.settings.pipeline or request.settings.method or "kernel_softargmax",
        "backbone": request.backbone,
        "prompt": request.prompt,
        **report,
    }


def match_pair(
    session: EngineSession, request: EvaluateRequest, pair: EvaluationPair, cancel: CancelToken | None
) -> NDArray[np.float64]:
    """`[N, 2]` pixel-index predictions in the original target photo."""
    prompt = request.prompt.replace("{category}", pair.category)
    if prompt == "auto":
        template = session.backbone(request.backbone).spec.text_for(pair.category)
        prompt = f"text:{template}" if template else "empty"
    asked = MatchRequest(
        pair.name,
        ImageInput(str(pair.source), pair.source),
        index_to_continuous(pair.source_points),
        Target(ImageInput(str(pair.target), pair.target)),
        settings=request.settings,
        backbone=request.backbone,
        prompt=prompt,
        want_maps=False,
    )
    return continuous_to_index(match_points(session, asked, cancel=cancel).points_xy_image)


def make_report(results: Sequence[PairResult], alphas: Sequence[float]) -> dict[str, Any]:
    """JSON-able PCK: pooled, mean over categories, per category; bootstrap intervals over pairs."""
    overall = score_pairs(results, alphas)
    categories = score_categories(results, alphas)
    mean = {
        kind: [float(np.mean([getattr(s, kind)[i] for s in categories.values()])) for i in range(len(alphas))]
        for kind in ("per_image", "per_point")
    }
    return {
        "alphas": list(alphas),
        "pairs": overall.pairs,
        "points": overall.points,
        **_numbers(overall),
        "mean_over_categories": mean,
        "categories": {name: {"pairs": s.pairs, "points": s.points, **_numbers(s)} for name, s in categories.items()},
    }


def _numbers(score: PckScore) -> dict[str, Any]:
    data: dict[str, Any] = {
        "per_image": [_finite(v) for v in score.per_image],
        "per_point": [_finite(v) for v in score.per_point],
    }
    if score.per_image_interval:
        data["per_image_interval"] = [list(i) for i in score.per_image_interval]
        data["per_point_interval"] = [list(i) for i in score.per_point_interval]
    return data


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


class _Done:
    """Predictions on disk, one JSON line per pair, under a first line that says which run they belong to."""

    def __init__(self, request: EvaluateRequest) -> None:
        self._file, self._known = request.work_file, {}  # type: ignore[var-annotated]
        if self._file is None:
            return
        head = {
            "dataset": request.dataset,
            "split": request.split,
            "backbone": request.backbone,
            "prompt": request.prompt,
            "settings": repr(request.settings),
        }
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        if lines and lines[0] == json.dumps(head):
            for line in lines[1:]:
                try:
                    row = json.loads(line)
                    self._known[row["pair"]] = row["points"]
                except (ValueError, KeyError, TypeError):
                    break  # the line that a kill cut off; everything from there is matched again
        kept = [json.dumps(head), *(json.dumps({"pair": k, "points": v}) for k, v in self._known.items())]
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text("\n".join(kept) + "\n", encoding="utf-8")

    def get(self, pair: EvaluationPair) -> NDArray[np.float64] | None:
        points = self._known.get(pair.name)
        if points is None or len(points) != len(pair.source_points):
            return None
        return np.array(points, np.float64).reshape(-1, 2)

    def add(self, pair: EvaluationPair, points: NDArray[np.float64]) -> None:
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"pair": pair.name, "points": np.round(points, 4).tolist()}) + "\n")


def read_done(path: Path) -> int:
    """How many pairs a work file holds (0 when there is none)."""
    return max(0, len(path.read_text(encoding="utf-8").splitlines()) - 1) if path.is_file() else 0
