"""How many planted label errors `kinmark check` names, and how many of its findings are true (`kinmark benchmark check`).

    kinmark benchmark check [--seeds 5] [--first-seed 100] [--plain] [--json FILE]

A tenth of the sample collection's labels is damaged, one kind of error at a time and then all kinds together; the damaged set
is imported into a project and checked as a person would check it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.common import Row, finish, parser
from benchmarks.hard import hard_samples
from benchmarks.planted import KINDS, Planted, Score, plant
from kinmark.engine.api import DEFAULT_BACKBONE, Engine, EngineConfig, open_engine

if TYPE_CHECKING:
    from kinmark.projects.workflows.check import Finding

SHARE = 0.1
SCENARIOS: dict[str, dict[str, float]] = {
    "displaced": {"displaced": SHARE},
    "swapped sides": {"all sides": SHARE / 2, "one pair": SHARE / 2},
    "mask": {"mask": SHARE},
    "duplicate": {"duplicate": SHARE},
    "all kinds": {"displaced": SHARE * 0.4, "all sides": 0.02, "one pair": 0.02, "mask": 0.04, "duplicate": 0.04},
}
KEYPOINT_KINDS = ("far", "outside-image", "same-place", "outside-mask", "swapped")


def findings_of(planted: Planted, images: Path, folder: Path, engine: Engine | None, backbone: str) -> list[Finding]:
    """Import the damaged file into a new project in `folder` and check it; `source` of a finding is set to the file's ids."""
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.check import CheckOptions, check
    from kinmark.projects.workflows.importing import ImportOptions, import_file

    file = folder / "damaged.json"
    file.write_text(json.dumps(planted.data), encoding="utf-8")
    with Project.create(folder / "damaged.kinmark") as project:
        import_file(project, file, ImportOptions(images_root=images))
        found = check(project, engine, CheckOptions(backbone=backbone, looks=engine is not None))  # type: ignore[arg-type]
        sources = {
            i.id: int(i.source_id or 0)
            for c in project.queries.categories()
            for i in project.queries.iter_instances(category_id=c.id)
        }
        names = {c.name: c.schema.names for c in project.queries.categories()}
    from dataclasses import replace

    return [
        replace(
            f,
            instance_id=sources[f.instance_id],
            keypoint=str(names[f.category].index(f.keypoint)) if f.keypoint else "",
        )
        for f in found
    ]


def count(planted: Planted, findings: Sequence[Finding], scores: dict[str, Score]) -> None:
    """Add one damaged set to the scores of the kinds that were planted in it, and of any wrong keypoint."""
    places = {
        (f.instance_id, int(f.keypoint)): f.kind for f in reversed(findings) if f.keypoint and f.kind in KEYPOINT_KINDS
    }
    wrong_sides = planted.whole | planted.pairs
    if planted.displaced:
        reported = {unit for unit, kind in places.items() if kind != "swapped" and unit not in planted.swapped}
        hit = reported & planted.displaced
        scores["displaced"].add(reported, hit, planted.displaced, hit)
    if wrong_sides:
        reported_sides = {unit[0] for unit, kind in places.items() if kind == "swapped"}
        scores["swapped sides"].add(
            reported_sides, reported_sides & wrong_sides, wrong_sides, reported_sides & wrong_sides
        )
        scores["all sides"].add((), (), planted.whole, reported_sides & planted.whole)
        scores["one pair"].add((), (), planted.pairs, reported_sides & planted.pairs)
    if planted.masks:
        masks = {f.instance_id for f in findings if f.kind == "wrong-mask"}
        scores["mask"].add(masks, masks & planted.masks, planted.masks, masks & planted.masks)
    if planted.duplicates:
        reported_twins = {f.instance_id for f in findings if f.kind == "duplicate"}
        copies = {c for c, original in planted.duplicates.items() if {c, original} & reported_twins}
        known = set(planted.duplicates) | set(planted.duplicates.values())
        scores["duplicate"].add(reported_twins, reported_twins & known, planted.duplicates, copies)


def measure(
    seeds: Sequence[int],
    *,
    plain: bool = False,
    scenarios: Sequence[str] = tuple(SCENARIOS),
    backbone: str = DEFAULT_BACKBONE,
    samples: Path | None = None,
) -> dict[str, dict[str, Score]]:
    """Scenario -> kind -> counts over all seeds; `samples`: a collection with `annotations.json` (None: the hard one)."""
    samples = samples or hard_samples()
    data = json.loads((samples / "annotations.json").read_text(encoding="utf-8"))
    results: dict[str, dict[str, Score]] = {}
    with TemporaryDirectory() as scratch:
        engine = None if plain else open_engine(EngineConfig(device="cpu", cache_dir=Path(scratch) / "cache"))
        try:
            for scenario in scenarios:
                scores = {name: Score() for name in (*KINDS, "swapped sides")}
                results[scenario] = scores
                for seed in seeds:
                    planted = plant(data, SCENARIOS[scenario], seed)
                    with TemporaryDirectory(dir=scratch) as folder:
                        count(planted, findings_of(planted, samples, Path(folder), engine, backbone), scores)
        finally:
            if engine is not None:
                engine.close()
    return results


def rows_of(results: dict[str, dict[str, Score]]) -> list[Row]:
    """Precision and recall of everything that was planted."""
    rows = []
    for scenario, scores in results.items():
        for kind, score in scores.items():
            if not score.planted:
                continue
            name = kind if kind == scenario else f"{scenario}, {kind}"
            if score.precision is not None:
                rows.append(Row(f"{name}: precision", score.precision, "share", None, f"of {score.reported} reported"))
            rows.append(Row(f"{name}: recall", score.recall or 0.0, "share", None, f"of {score.planted} planted"))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--seeds", type=int, default=5, help="damaged sets per scenario")
    options.add_argument("--first-seed", type=int, default=100)
    options.add_argument("--plain", action="store_true", help="only what needs no model")
    options.add_argument("--scenarios", default=",".join(SCENARIOS))
    arguments = options.parse_args(argv)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    scenarios = [s.strip() for s in arguments.scenarios.split(",")]
    if arguments.plain:
        scenarios = [s for s in scenarios if s in ("mask", "duplicate")]
    started = time.perf_counter()
    rows = rows_of(measure(list(seeds), plain=arguments.plain, scenarios=scenarios))
    rows.append(
        Row("time per check of 47 instances", (time.perf_counter() - started) / len(seeds) / len(scenarios), "s")
    )
    finish("check", rows, arguments.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
