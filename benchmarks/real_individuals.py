"""The yardstick of individuals: leave-one-out retrieval on photos of named cats and of grocery articles.

    python -m benchmarks.real_individuals --data FOLDER [--sets cats_named grocery_products] [--parts DIR] [--json FILE]

Every folder of FOLDER with photos named `identity__NN.jpg` can be a set. Each photo is once the query, whole, without mask or box.
"absent refused" is the AUROC of the best score that a query reaches with photos of its individual in the collection against
without them. Beside the shipped ranking: plain pooled EfficientNet-Lite2 (one vector per photo, cosine), every part alone, and
the weights fitted on the other set alone (logistic regression over pairs of photos), since the shipped ones were fitted on
both. `--parts` keeps the compared photos of a run, so that weights can be tried again in a second.

Where FOLDER is absent the benchmark says so and ends with 0.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Row, finish, parser
from benchmarks.ranking import WAYS, compare_folder
from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig
from kinmark.engine.evaluation.instance_metrics import area_under_roc
from kinmark.engine.evaluation.instance_protocols import retrieval_report
from kinmark.engine.retrieval.ranking import LikenessParts, RankingWeights, combine_parts, standardise
from kinmark.engine.session import EngineSession

SETS = ("cats_named", "grocery_products")
FITTED = ("points", "colour", "natural")
RIDGE = 1e-3
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ComparedSet:
    """A set whose photos were compared: parts and `pooled` `[N, N]`, `identities` of the photos."""

    name: str
    parts: LikenessParts
    pooled: Matrix
    identities: tuple[str, ...]


def absent_auroc(scores: Matrix, identities: Sequence[str]) -> float:
    """AUROC of a query's best score with its individual in the collection against without."""
    names, best, labels = np.asarray(identities), [], []
    for query in range(len(names)):
        others = np.arange(len(names)) != query
        if (names[others] == names[query]).any():
            best += [scores[query][others].max(), scores[query][names != names[query]].max()]
            labels += [True, False]
    return area_under_roc(labels, best)


def fitted_weights(compared: ComparedSet) -> RankingWeights:
    """Log-odds per standard deviation of the `FITTED` parts, over all pairs of photos of one set."""
    names = np.asarray(compared.identities)
    pairs = ~np.eye(len(names), dtype=bool)
    columns = [standardise(getattr(compared.parts, part))[pairs] for part in FITTED]
    x = np.stack([*columns, np.ones(int(pairs.sum()))], axis=1)
    y = (names[:, None] == names[None])[pairs].astype(np.float64)
    w, damping = np.zeros(x.shape[1]), RIDGE * np.eye(x.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        gradient = x.T @ (p - y) / len(y) + damping @ w
        w -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x / len(y) + damping, gradient)
    return replace(RankingWeights(), **dict(zip(FITTED, w.tolist(), strict=False)))


def set_rows(compared: ComparedSet, others: Sequence[ComparedSet]) -> list[Row]:
    """mAP, recall@1 and AUROC of absence of every way of ranking one set."""
    ways = {name: combine_parts(compared.parts, weights) for name, weights in WAYS.items()}
    ways = {"plain pooled EfficientNet-Lite2": compared.pooled, **ways}
    for other in others:
        weights = fitted_weights(other)
        told = ", ".join(f"{part} {getattr(weights, part):.2f}" for part in FITTED)
        ways[f"weights fitted on {other.name} ({told})"] = combine_parts(compared.parts, weights)
    rows = []
    for name, scores in ways.items():
        report = retrieval_report(scores, compared.identities)
        absent = absent_auroc(scores, compared.identities)
        note = f"recall@1 {100 * report['recall@1']:.1f}, absent refused {absent:.3f}, {report['queries']} queries"
        rows.append(Row(f"{compared.name}: {name}", 100 * report["mAP"], "% mAP", None, note))
    return rows


def compare_set(session: EngineSession, folder: Path, backbone: str, kept: Path | None) -> ComparedSet:
    """Describe and compare one set's photos, or read what an earlier run kept."""
    if kept is not None and kept.is_file():
        with np.load(kept) as table:
            parts = LikenessParts(**{f.name: table[f.name] for f in fields(LikenessParts)})
            return ComparedSet(folder.name, parts, table["pooled"], tuple(table["identities"].tolist()))
    photos, parts, identities, _ = compare_folder(session, folder, backbone)
    cells = [p.natural for p in photos]
    vectors = np.stack([c.pooled if c is not None else np.zeros(1) for c in cells]).astype(np.float64)
    pooled = vectors @ vectors.T
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        tables = {f.name: getattr(parts, f.name) for f in fields(LikenessParts)}
        np.savez(kept, pooled=pooled, identities=np.array(identities), **tables)
    return ComparedSet(folder.name, parts, pooled, tuple(identities))


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--sets", nargs="+", default=list(SETS))
    arguments.add_argument("--parts", type=Path, default=None)
    arguments.add_argument("--backbone", default=DEFAULT_BACKBONE)
    options = arguments.parse_args(argv)
    folders = [options.data / name for name in options.sets if (options.data / name).is_dir()]
    if not folders:
        print(f"skipped: none of {', '.join(options.sets)} is in {options.data}")
        return 0
    session = EngineSession(EngineConfig(device="cpu"))
    kept = {f: None if options.parts is None else options.parts / f"{f.name}.npz" for f in folders}
    compared = [compare_set(session, folder, options.backbone, kept[folder]) for folder in folders]
    session.close()
    rows = [row for c in compared for row in set_rows(c, [o for o in compared if o is not c])]
    finish("real_individuals", rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
