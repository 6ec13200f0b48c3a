"""The project store at size: images, keypoints, paging, counting, accepting, undoing; and how it grows from 1k to 100k.

kinmark benchmark store [--images 100000] [--json FILE]
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Row, finish, parser
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage, NewInstance, NewKeypoint
from kinmark.projects.store.queries import ImageFilter

KEYPOINTS = tuple(f"k{i}" for i in range(20))
BATCH = 5000


_cpu = [0.0]
_clock: list[Callable[[], float]] = [time.perf_counter]


def use_clock(name: str) -> None:
    """ "wall", or "cpu": processor time of this process, for machines that do other work at the same time."""
    _clock[0] = time.process_time if name == "cpu" else time.perf_counter


def cpu_note(more: str = "") -> str:
    """Processor time of the last measured call: what a busy machine does not blow up."""
    return f"{more + ', ' if more else ''}CPU {_cpu[0]:.3g} s"


def timed(action: Callable[[], object], repeat: int = 1) -> float:
    """Median seconds of `repeat` calls; the processor time of the last one is kept in `cpu_note`."""
    times = []
    for _ in range(repeat):
        start, cpu = _clock[0](), time.process_time()
        action()
        times.append(_clock[0]() - start)
        _cpu[0] = time.process_time() - cpu
    return sorted(times)[len(times) // 2]


def fill(project: Project, images: int) -> dict[str, float]:
    """`images` photos, half of them labelled with 20 keypoints, `images` / 10 (at most 10 000) with pending proposals."""
    rng = random.Random(1)
    operations = project.operations
    [category] = operations.add_category("otter", KeypointSchema(KEYPOINTS, tuple((0, i) for i in range(1, 20)))).ids
    row = project.queries.category(category)
    assert row is not None
    root = project.folder.parent / "photos"
    seconds = {}
    new = [
        NewImage(root, f"d{i % 100}/{i:07d}.jpg", 4000, 3000, sha256=f"{i:064x}", size_bytes=i) for i in range(images)
    ]
    ids: tuple[int, ...] = ()

    def add() -> None:
        nonlocal ids
        ids = operations.add_images(new).ids

    seconds["add images"], seconds["add images cpu"] = timed(add), _cpu[0]
    labelled = ids[: images // 2]
    instances = [
        NewInstance(
            image,
            category,
            tuple(NewKeypoint(d, rng.random() * 4000, rng.random() * 3000, 2) for d in row.definition_ids),
            origin="imported",
        )
        for image in labelled
    ]
    seconds["import"], seconds["import cpu"] = (
        timed(lambda: operations.add_instances(instances, name="Import")),
        _cpu[0],
    )
    pending = ids[images // 2 : images // 2 + min(10_000, images // 10)]
    start = _clock[0]()
    for at in range(0, len(pending), 100):
        operations.add_keypoint_proposals([_proposal(i, rng) for i in pending[at : at + 100]], category, job="sweep")
    seconds["store proposals"] = _clock[0]() - start
    seconds["proposals"] = float(len(pending))
    return seconds


def _proposal(image_id: int, rng: random.Random) -> InstanceProposal:
    spec = RunSpec("match", "embedded")
    keypoints = tuple(
        KeypointProposal(
            name, rng.random() * 4000, rng.random() * 3000, rng.random(), Visibility.VISIBLE, KeypointSignals(0.7, 0.1)
        )
        for name in KEYPOINTS
    )
    return InstanceProposal("r", str(image_id), "otter", keypoints, 0.5, (0, 0, 4000, 3000), spec, ("1",))


def measure(images: int) -> list[Row]:
    """All figures for one size."""
    folder = Path(tempfile.mkdtemp()) / "big.kinmark"
    rows: list[Row] = []

    def row(name: str, value: float, unit: str, note: str = "") -> None:
        rows.append(Row(f"{images} images: {name}", value, unit, note=note))

    try:
        with Project.create(folder) as project:
            seconds = fill(project, images)
        accepted = images // 2 * 20
        row("add images, one step", seconds["add images"], "s", f"CPU {seconds['add images cpu']:.3g} s")
        row(f"import {accepted} keypoints, one step", seconds["import"], "s", f"CPU {seconds['import cpu']:.3g} s")
        row(
            f"store {seconds['proposals']:.0f} proposed instances",
            seconds["store proposals"],
            "s",
            "100 per transaction",
        )
        row(
            "database size",
            sum(p.stat().st_size for p in folder.glob("project.sqlite*")) / 2**20,
            "MB",
            "with undo history",
        )
        row("open to the first page and counts", timed(lambda: _open(folder)), "s", cpu_note("after a clean close"))
        (folder / "closed.json").unlink(missing_ok=True)
        row("the same after a crash", timed(lambda: _open(folder)), "s", cpu_note("integrity checked first"))
        with Project.open(folder) as project:
            _reads(project, images, row)
            _writes(project, row)
    finally:
        shutil.rmtree(folder.parent, ignore_errors=True)
    return rows


def _open(folder: Path) -> None:
    with Project.open(folder) as project:
        project.queries.counts()
        project.queries.images(limit=200)


def _reads(project: Project, images: int, row: Callable[..., None]) -> None:
    queries = project.queries
    some = queries.image_ids(ImageFilter(state="pending"))[0]
    for name, action in (
        ("page of 200 at the start", lambda: queries.images(limit=200)),
        ("page of 200 in the middle", lambda: queries.images(limit=200, offset=images // 2)),
        ("page of 200 at the end", lambda: queries.images(limit=200, offset=images - 200)),
        ("page of 200 pending", lambda: queries.images(ImageFilter(state="pending"), limit=200)),
        (
            "page of 200, least sure first",
            lambda: queries.images(ImageFilter(state="pending"), order="confidence", limit=200),
        ),
        ("counts of the filter list", queries.counts),
        ("all ids of a filter", lambda: queries.image_ids(ImageFilter(state="unseen"))),
        ("count of a text filter", lambda: queries.count_images(ImageFilter(text="d7/"))),
        (
            "one image with its proposals",
            lambda: (queries.image(some), queries.proposals(image_id=some), queries.instances(image_id=some)),
        ),
        ("one keypoint across images, 40 crops", lambda: queries.keypoint_proposals(3, limit=40)),
        ("duplicates", queries.duplicates),
    ):
        action()
        row(name, timed(action, 5) * 1000, "ms")


def _writes(project: Project, row: Callable[..., None]) -> None:
    queries, operations = project.queries, project.operations
    category = queries.categories()[0].id
    instance = queries.instances(image_id=queries.image_ids(ImageFilter(state="done"))[0])[0]
    point = instance.keypoints[0].id
    row(
        "move one keypoint (acknowledged, fsync)",
        timed(lambda: operations.move_keypoint(point, 1.0, 2.0), 9) * 1000,
        "ms",
    )
    row("undo it", timed(project.undo, 5) * 1000, "ms")
    one = queries.proposals(category_id=category, limit=1)[0]
    row("accept one image", timed(lambda: operations.accept_proposals([one.id])) * 1000, "ms")
    proposals = queries.count_proposals()
    changes = []
    seconds = timed(lambda: changes.append(operations.accept_proposals()))
    row(f"accept {proposals} proposals ({changes[0].count} keypoints)", seconds, "s", cpu_note("one step"))
    for name, action in (
        ("undo that", project.undo),
        ("redo that", project.redo),
        ("backup", project.back_up),
        ("full integrity check", project.check_integrity),
    ):
        row(name, timed(action), "s", cpu_note())


def main(argv: list[str] | None = None) -> int:
    """Entry point of `kinmark benchmark store`."""
    arguments = parser(__doc__ or "")
    arguments.add_argument("--images", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options = arguments.parse_args(argv)
    rows: list[Row] = []
    for images in options.images:
        rows += measure(images)
        print(f"{images} images measured", flush=True)
    finish("store", rows, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
