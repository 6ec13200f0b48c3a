"""The first look (`kinmark propose --quick`) against the ordinary sweep on held-out rendered sets, and its confidence.

    python -m benchmarks.first_look [--targets 12] [--write] [--json FILE]

`--write` fits the confidence model of first looks on the other half of the sets and stores `resources/calibration/search.json`.
How fast stored maps are searched: `kinmark benchmark search`; how much a whole project takes: `kinmark benchmark sweep`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.calibration import LabelledSet, Table, all_sets, fit_prior, measure, request_of
from benchmarks.common import Row, finish, mean_and_error, parser
from kinmark.engine.api import FIRST_LOOK, EngineConfig, MatchSettings, ProposeRequest, TargetFailure
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.matching.confidence import CORRECT_WITHIN
from kinmark.engine.paths import resources_dir
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.session import EngineSession

FILE = resources_dir() / "calibration" / "search.json"


def judge_set(
    session: EngineSession, request: ProposeRequest, labelled: LabelledSet, rest: Sequence[int]
) -> tuple[list[KeypointSignals], list[bool], list[bool], list[float]]:
    """(signals, correct, present) of every proposed keypoint, and PCK@0.1 per photo."""
    signals, correct, present, per_photo = [], [], [], []
    for index, answer in zip(rest, propose_keypoints(session, request), strict=True):
        if isinstance(answer, TargetFailure):
            raise answer.error
        truth = dict(zip(labelled.schema.names, labelled.xy[index], strict=True))
        inside = labelled.xy[index][np.isfinite(labelled.xy[index][:, 0])]
        limit = CORRECT_WITHIN * float((inside.max(axis=0) - inside.min(axis=0)).max())
        own = []
        for keypoint in answer.keypoints:
            there = bool(np.isfinite(truth[keypoint.name][0]))
            near = bool(np.hypot(*(np.array([keypoint.x, keypoint.y]) - truth[keypoint.name])) <= limit)
            signals.append(keypoint.signals)
            correct.append(near)
            present.append(there)
            own += [near] if there else []
        per_photo += [float(np.mean(own))] if own else []
    return signals, correct, present, per_photo


def collect(
    session: EngineSession, backbone: str, half: int, targets: int, *, ordinary: bool
) -> tuple[Table, dict[str, list[float]], dict[str, float]]:
    """All first looks of one half of the sets; PCK per photo and processor time of both ways (ordinary: where asked)."""
    signals: list[KeypointSignals] = []
    correct: list[bool] = []
    present: list[bool] = []
    pck: dict[str, list[float]] = {"first look": [], "ordinary sweep": []}
    used = {"first look": 0.0, "ordinary sweep": 0.0}
    with TemporaryDirectory() as name:
        for labelled, shots in all_sets(Path(name), half, targets):
            request, rest = request_of(labelled, shots, targets, backbone)
            quick = replace(request, settings=MatchSettings(pipeline=FIRST_LOOK))
            started = time.process_time()
            found = judge_set(session, quick, labelled, rest)
            used["first look"] += time.process_time() - started
            signals, correct, present = signals + found[0], correct + found[1], present + found[2]
            pck["first look"] += found[3]
            if ordinary:
                started = time.process_time()
                decided = replace(request, settings=choose_settings(session, request).settings)
                pck["ordinary sweep"] += judge_set(session, decided, labelled, rest)[3]
                used["ordinary sweep"] += time.process_time() - started
            print(labelled.name, shots, f"{100 * np.mean(found[3]):.0f}", flush=True)
    group = np.full(len(signals), "all")
    return Table(signals, np.array(correct), np.array(present), group), pck, used


def main(argv: Sequence[str] | None = None) -> int:
    """Fit (with --write) and measure."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--backbone", default="embedded")
    arguments.add_argument("--targets", type=int, default=12)
    arguments.add_argument("--write", action="store_true", help="fit and store the confidence model first")
    arguments.add_argument("--no-ordinary", dest="ordinary", action="store_false")
    options = arguments.parse_args(argv)
    with TemporaryDirectory() as cache:
        session = EngineSession(EngineConfig(device="auto", cache_dir=Path(cache), threads=1))
        if options.write:
            table, *_ = collect(session, options.backbone, 0, options.targets, ordinary=False)
            model = fit_prior(table)
            FILE.write_text(json.dumps({"default": model, options.backbone: model}, indent=1) + "\n", encoding="utf-8")
        held, pck, used = collect(session, options.backbone, 1, options.targets, ordinary=options.ordinary)
        session.close()
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    rows = []
    for way, values in pck.items():
        if values:
            mean, error = mean_and_error([100 * v for v in values])
            rows.append(Row(f"PCK@0.1, {way}", mean, "%", None, f"± {error:.1f} over {len(values)} photos"))
            rows.append(
                Row(f"processor time, {way}", used[way] / len(values), "s per photo", None, "features included")
            )
    rows += measure(stored.get(options.backbone, stored["default"]), held)
    finish("first_look", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
