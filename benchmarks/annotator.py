"""The simulated annotator over K: how many actions a labelled set takes with proposals, against by hand.

    python -m benchmarks.annotator [--exemplars 1,3,5,10] [--category dog,bird] [--data FOLDER] [--json FILE]

The hard sample collection, and with `--data` every COCO file one folder below (`<set>/test_*.json` or
`<set>/keypoints.json`, photos beside it). All K share one engine, so features are computed once. Per row: actions against
by hand, and what they were: accepting an instance, correcting or placing a point, rejecting one that is not there,
pointing at one of several.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import Row, finish, parser
from benchmarks.hard import hard_samples
from kinmark.engine.api import DEFAULT_BACKBONE, EngineConfig, open_engine
from kinmark.engine.domain.errors import UserInputError
from kinmark.projects.workflows.annotator import SimulateOptions
from kinmark.projects.workflows.simulate import simulate


def data_sets(data: Path | None) -> Iterator[tuple[str, Path, Path]]:
    """(name, COCO file, photos)."""
    samples = hard_samples()
    yield "samples", samples / "annotations.json", samples
    if data is not None:
        for file in sorted((*data.glob("*/test_*.json"), *data.glob("*/keypoints.json"))):
            yield file.parent.name, file, file.parent


def rows_of(name: str, count: int, report: dict[str, Any]) -> list[Row]:
    """One row per category."""
    rows = []
    for own in report["categories"]:
        saved = own["manual_actions"] - own["actions"]
        rows.append(
            Row(
                f"{name}, {own['category']}, K = {count}",
                own["actions"] / max(1, own["correct_keypoints"]),
                "actions per correct keypoint",
                note=(
                    f"after K {own['later_ratio']:.2f}; {own['actions']} instead of {own['manual_actions']} "
                    f"({saved:+d} saved) for {own['instances']} instances: "
                    f"{own['accepts']} accepted, {own['corrections']} placed or moved, {own['rejections']} rejected, "
                    f"{own['pointings']} pointed; {own['proposed_right']} of {own['proposed']} proposed points right"
                ),
            )
        )
    return rows


def main(argv: list[str] | None = None) -> int:
    """Run all sets for all K."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--exemplars", default="1,3,5,10", help="K, separated by commas")
    arguments.add_argument("--category", default="", help="only these, separated by commas")
    arguments.add_argument("--data", type=Path, default=None, help="folder of further labelled sets")
    arguments.add_argument("--only-data", action="store_true", help="leave the sample collection out")
    arguments.add_argument("--backbone", default=DEFAULT_BACKBONE)
    arguments.add_argument("--tune", action="store_true", help="tune a class prompt on the K first")
    arguments.add_argument("--threads", type=int, default=0)
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    with TemporaryDirectory() as folder:
        cache = Path(folder)
        engine = open_engine(EngineConfig(cache_dir=cache / "cache", threads=options.threads, prompt_dirs=(cache,)))
        for name, file, images in data_sets(options.data):
            if options.only_data and name == "samples":
                continue
            for category in options.category.split(","):
                for count in (int(k) for k in options.exemplars.split(",")):
                    asked = SimulateOptions(count, category, options.backbone, tune=options.tune)
                    try:
                        report = simulate(engine, file, images, asked, work_dir=cache)
                    except UserInputError as error:
                        print(f"{name}, {category or 'all'}, K = {count}: {error}", flush=True)
                        continue
                    rows += rows_of(name, count, report)
                    for row in rows[-len(report["categories"]) :]:
                        print(f"{row.name}: {row.value:.3f} {row.note}", flush=True)
        engine.close()
    finish("annotator", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
