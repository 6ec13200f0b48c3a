"""Ranking folders of photos: the shipped ranking against its parts and simple baselines, with paired differences.

    python -m benchmarks.ranking FOLDER [FOLDER ...] [--backbone embedded] [--json FILE]

Folders as `kinmark evaluate --dataset folder` takes them (`identity__anything.jpg`); `python -m benchmarks.albums` makes some. Each
difference is the shipped ranking's mAP minus a baseline's, with a 95 % interval from 5 000 draws of identities (not of photos:
photos of one thing succeed and fail together).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Row, finish, parser
from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, ImageInput, InstanceSettings
from kinmark.engine.evaluation.instance_protocols import retrieval_report
from kinmark.engine.evaluation.instance_sets import read_identity_folder
from kinmark.engine.instances.attention import AttentionExtractor
from kinmark.engine.instances.settings import resolve
from kinmark.engine.retrieval.photo import PhotoFeatures, describe_photo
from kinmark.engine.retrieval.ranking import LikenessParts, RankingWeights, combine_parts, likeness_parts
from kinmark.engine.session import EngineSession

_NONE = RankingWeights(0.0, 0.0, 0.0, 0.0, 0, points=0.0, natural=0.0)
WAYS: dict[str, RankingWeights] = {
    "colour histogram": replace(_NONE, colour=1.0),
    "pooled learned features": replace(_NONE, learned=1.0),
    "interest points that agree (RootSIFT)": replace(_NONE, points=1.0),
    "local descriptor": replace(_NONE, local=1.0),
    "local descriptor that agrees on a place": replace(_NONE, consistent=1.0),
    "deep cells of a network of photographs": replace(_NONE, natural=1.0),
    "without the network of photographs": RankingWeights(natural=0.0),
    "all, without neighbours": RankingWeights(neighbours=0),
    "shipped": RankingWeights(),
}
DRAWS = 5000


def rankings(parts: LikenessParts, identities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Report of every way (see `retrieval_report`)."""
    return {name: retrieval_report(combine_parts(parts, weights), identities) for name, weights in WAYS.items()}


def paired_interval(ours: Mapping[str, float], other: Mapping[str, float]) -> tuple[float, float, float]:
    """(mean difference, 2.5 %, 97.5 %) of per-identity mAPs, by drawing identities with replacement."""
    difference = np.array([ours[k] - other[k] for k in ours])
    draws = np.random.default_rng(0).integers(0, len(difference), (DRAWS, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)


def ranking_rows(parts: LikenessParts, identities: Sequence[str], prefix: str) -> list[Row]:
    """mAP of every way; the note has recall@1 and how much the shipped one is above it."""
    reports, rows = rankings(parts, identities), []
    baseline = max(reports["colour histogram"]["mAP"], 1e-9)
    for name, report in reports.items():
        note = f"+- {100 * (report['mAP_standard_error'] or 0):.1f}, recall@1 {100 * report['recall@1']:.1f}"
        if name == "shipped":
            note += f", {report['queries']} queries"
        else:
            mean, low, high = paired_interval(reports["shipped"]["per_identity_mAP"], report["per_identity_mAP"])
            note += f"; shipped {100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
        rows.append(Row(f"{prefix}: {name}", 100 * report["mAP"], "%", report["mAP"] / baseline, note))
    return rows


def compare_folder(
    session: EngineSession, folder: Path, backbone: str
) -> tuple[list[PhotoFeatures], LikenessParts, list[str], list[float]]:
    """(photos, parts, identities, processor seconds per photo of describing and of comparing); masks are not used."""
    extractor = AttentionExtractor(session, backbone, resolve(InstanceSettings(), session.backbone(backbone).spec), "")
    labelled = read_identity_folder(folder)
    started = time.process_time()
    photos = [
        describe_photo(session.source, ImageInput(p.path.name, p.path), extractor=extractor, natural=session.natural())
        for p in labelled
    ]
    described = time.process_time()
    parts = likeness_parts(photos)
    taken = [(described - started) / len(photos), (time.process_time() - described) / len(photos)]
    return photos, parts, [p.identity for p in labelled], taken


def describe_folder(
    session: EngineSession, folder: Path, backbone: str
) -> tuple[LikenessParts, list[str], list[float]]:
    """`compare_folder` without the photos."""
    return compare_folder(session, folder, backbone)[1:]


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("folders", type=Path, nargs="+")
    arguments.add_argument("--backbone", default=DEFAULT_BACKBONE)
    options = arguments.parse_args(argv)
    session, rows = EngineSession(EngineConfig(device="cpu")), []
    for folder in options.folders:
        parts, identities, taken = describe_folder(session, folder, options.backbone)
        rows += ranking_rows(parts, identities, folder.name)
        for what, value in zip(("describing", "comparing"), taken, strict=True):
            note = f"{len(identities)} photos"
            rows.append(Row(f"{folder.name}: processor time of {what} per photo", value, "s", None, note))
    session.close()
    finish("ranking", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
