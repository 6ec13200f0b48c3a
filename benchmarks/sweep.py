"""Proposing over a whole project: the first look and the ordinary sweep, cold and with everything cached.

    kinmark benchmark sweep [--photos 1000] [--ordinary 150] [--json FILE]

The photos are random crops of the sample collection's dogs, each of other content; one is labelled. Processor time of one thread, from
the workflow's call to the proposals in the store. The ordinary sweep is measured on fewer photos, because its features take long.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser
from kinmark.engine.api import FIRST_LOOK, Engine, EngineConfig, MatchSettings, open_engine
from kinmark.engine.paths import resources_dir
from kinmark.projects.project import Project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions

CATEGORY = "dog"
CUT = 0.08
"""Largest share that a crop takes off each side."""


def make_photos(folder: Path, count: int) -> tuple[Path, dict]:
    """`count` crops in `folder`, and the sample's own annotation of its first dog (COCO), whose photo is copied whole."""
    samples = resources_dir() / "samples"
    data = json.loads((samples / "annotations.json").read_text(encoding="utf-8"))
    [category] = [c for c in data["categories"] if c["name"] == CATEGORY]
    own = [a for a in data["annotations"] if a["category_id"] == category["id"]]
    names = {i["id"]: i["file_name"] for i in data["images"]}
    files = sorted({names[a["image_id"]] for a in own})
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        picture = Image.open(samples / files[index % len(files)]).convert("RGB")
        width, height = picture.size
        x0, y0, x1, y1 = generator.uniform(0, CUT, 4) * [width, height, width, height]
        picture.crop((int(x0), int(y0), int(width - x1), int(height - y1))).resize((480, 360)).save(
            folder / f"photo_{index:05d}.jpg", quality=90
        )
    first = own[0]
    source = samples / names[first["image_id"]]
    (folder / "labelled.jpg").write_bytes(source.read_bytes())
    image = next(i for i in data["images"] if i["id"] == first["image_id"])
    return folder, {
        "images": [{**image, "file_name": "labelled.jpg"}],
        "annotations": [first],
        "categories": [category],
    }


def make_project(base: Path, count: int) -> Project:
    """A project of the crops with one labelled photo."""
    from kinmark.projects.images import add_paths

    folder, labels = make_photos(base / "photos", count)
    (base / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    project = Project.create(base / "sweep.kinmark")
    add_paths(project, [folder])
    import_file(project, base / "labels.json", ImportOptions(images_root=folder))
    return project


def timed(project: Project, engine: Engine, options: ProposeOptions) -> tuple[float, int]:
    """Processor seconds of one sweep and its number of photos; the proposals are taken back afterwards."""
    started = time.process_time()
    [outcome] = propose(project, engine, options)
    used = time.process_time() - started
    project.undo()
    return used, outcome.proposals


def measure(base: Path, photos: int, ordinary: int) -> list[Row]:
    """All rows."""
    rows: list[Row] = []
    cache = base / "cache"
    with make_project(base, photos) as project:
        ids = tuple(i for i in project.queries.image_ids() if not project.queries.instances(image_id=i))
        quick = ProposeOptions(CATEGORY, settings=MatchSettings(pipeline=FIRST_LOOK), image_ids=ids)
        full = ProposeOptions(CATEGORY, image_ids=ids[:ordinary])

        def row(name: str, options: ProposeOptions, baseline: float | None = None) -> float:
            engine = open_engine(EngineConfig(device="cpu", cache_dir=cache, threads=1))
            try:
                engine.warm_up()
                used, count = timed(project, engine, options)
            finally:
                engine.close()
            each = used / count * 1000
            ratio = baseline / each if baseline else None
            rows.append(Row(name, each, "s per 1000 photos", ratio, f"{count} photos"))
            print(name, f"{each:.1f}", flush=True)
            return each

        cold = row("ordinary sweep, first time", full)
        base_line = row("ordinary sweep, features cached", full)
        row("first look, first time", quick, cold)
        row("first look, small maps stored", quick, base_line)
        small = sum(f.stat().st_size for f in (cache / "small").rglob("*") if f.is_file())
        rows.append(Row("small maps", small / photos / 1e6, "MB per photo"))
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--photos", type=int, default=1000)
    options.add_argument("--ordinary", type=int, default=150)
    arguments = options.parse_args(argv)
    with TemporaryDirectory(prefix="kinmark-sweep-") as name:
        rows = measure(Path(name), arguments.photos, arguments.ordinary)
    finish("sweep", rows, arguments.json, clock="cpu", threads=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
