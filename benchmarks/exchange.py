"""Time and memory of imports and exports as label files grow: whether they stay linear.

    python -m benchmarks.exchange [--sizes 10000,30000,100000] [--formats coco,cvat,labelme] [--json FILE]

Files of so many annotations (8 keypoints each, 50 on a photo) are written, imported into a fresh project that knows the
photos, imported a second time (everything is recognised), and exported. Seconds are processor time of this process, so that
other work on the machine does not count.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.registry import get_format
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, ImportResult, import_file

PER_PHOTO = 50
MOST_GROWTH = 1.5
NAMES = tuple(f"part{n}" for n in range(8))
SIZE = (640, 480)
FILES = {"coco": "annotations.json", "cvat": "annotations.xml"}
"""Where the label file lies in an export; other formats are folders."""


def dataset(annotations: int) -> Dataset:
    """`annotations` instances of one category on photos of `SIZE`, places drawn with a seed."""
    rng = np.random.default_rng(annotations)
    images = []
    for number in range(-(-annotations // PER_PHOTO)):
        count = min(PER_PHOTO, annotations - number * PER_PHOTO)
        places = np.round(rng.uniform(20, 400, (count, len(NAMES), 2)), 2)
        instances = tuple(
            DatasetInstance(
                "animal",
                {n: DatasetKeypoint(Visibility.VISIBLE, *xy) for n, xy in zip(NAMES, points.tolist(), strict=True)},
                (*points.min(axis=0).tolist(), *points.max(axis=0).tolist()),
            )
            for points in places
        )
        images.append(DatasetImage(PurePosixPath(f"photos/{number:05d}.png"), *SIZE, instances))
    return Dataset((DatasetCategory("animal", KeypointSchema(NAMES)),), tuple(images), "exchange")


def timed(project: Project, file: Path, format_: str) -> tuple[ImportResult, float]:
    """The import's result and its processor time in seconds."""
    before = time.process_time()
    result = import_file(project, file, ImportOptions(format_))
    return result, time.process_time() - before


def measure(format_: str, annotations: int, folder: Path) -> list[Row]:
    """Seconds of both imports and of the export."""
    data = dataset(annotations)
    for image in data.images:
        place = folder / image.rel_path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE, len(place.name)).save(place)
    told = replace(data, images=tuple(replace(i, source_path=str(folder / i.rel_path)) for i in data.images))
    get_format(format_).writer(told, folder / "labels")
    file = folder / "labels" / FILES.get(format_, "")
    with Project.create(folder / "p.kinmark") as project:
        add_paths(project, [folder / "photos"], root=folder)
        first, seconds = timed(project, file, format_)
        second, again = timed(project, file, format_)
        if (first.added, second.added, second.kept) != (annotations, 0, annotations):
            raise RuntimeError(f"not everything came in: {first} {second}")
        before = time.process_time()
        export_project(project, folder / "out", ExportOptions("coco"))
        export = time.process_time() - before
    name = f"{format_}, {annotations:,} annotations"
    return [
        Row(f"{name}: import", seconds, "s", note=f"CPU, {1e6 * seconds / annotations:.0f} us each"),
        Row(f"{name}: import again", again, "s", note="CPU, all recognised"),
        Row(f"{name}: COCO export", export, "s", note="CPU"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when an annotation of the largest file takes over 1.5 times that of the smallest."""
    arguments = parser((__doc__ or "").splitlines()[0])
    arguments.add_argument("--sizes", default="10000,30000,100000")
    arguments.add_argument("--formats", default="coco", help="of coco, cvat, labelme")
    options = arguments.parse_args(argv)
    sizes = sorted(int(size) for size in options.sizes.split(","))
    rows: list[Row] = []
    worst = 0.0
    for format_ in options.formats.split(","):
        each = []
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="kinmark-exchange-") as scratch:
                found = measure(format_, size, Path(scratch))
            rows += found
            each.append(found[0].value / size)
        growth = each[-1] / max(each[0], 1e-12)
        rows.append(
            Row(f"{format_}: time of one annotation, largest to smallest file", growth, "x", note="1 is linear")
        )
        worst = max(worst, growth)
    finish("exchange", rows, options.json)
    return int(worst > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
