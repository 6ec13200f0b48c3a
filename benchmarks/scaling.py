"""Sweeps past one thread: photos per second with 1 and 2 workers, what one store can take, and a model up to 64 workers.

    kinmark benchmark scaling [--photos 60] [--writes 4000] [--workers 2] [--json FILE]

Workers are processes with one torch thread each. The store's figure needs no model: workers that answer at once (fakes in this
process) give real proposals of 10 keypoints, and the processor time of this process per photo is what handing out, receiving and
writing cost. The model is the smaller of (workers times one worker's pace) and what the one writer takes.
"""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common import Row, finish, parser
from benchmarks.sweep import CATEGORY, make_project
from kinmark.engine.api import EngineConfig, ProposeRequest, Target, engine_factory
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.installation import release_text
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.parallel.dispatch import Dispatcher
from kinmark.engine.parallel.messages import Answered, Control, Job, Opened, Ready, Reply, Shard
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage, NewKeypoint
from kinmark.projects.workflows.propose import ProposeOptions, propose

KEYPOINTS = tuple(f"k{i}" for i in range(10))
MODELLED = (1, 2, 4, 8, 16, 32, 64)


class FakeWorkers:
    """Workers that answer at once; every message passes through pickle as it would through a pipe."""

    def __init__(self, count: int) -> None:
        self.name, self.count = f"{count} fake workers", count
        self._replies: deque[tuple[int, bytes]] = deque()

    def start(self) -> None:
        """They are ready."""
        for worker in range(self.count):
            self._reply(worker, Ready(f"fake {worker}", release_text()))

    def _reply(self, worker: int, reply: Reply) -> None:
        self._replies.append((worker, pickle.dumps(reply)))

    def send(self, worker: int, message: Job | Shard | Control) -> None:
        """To one of them."""
        message = pickle.loads(pickle.dumps(message))  # noqa: S301 - our own bytes
        if isinstance(message, Job):
            self._reply(worker, Opened(message.id, ("fake",), "cpu", "fp32", "fake"))
        elif isinstance(message, Shard):
            for position, place in zip(message.positions, message.places, strict=True):
                assert isinstance(place, Target)
                self._reply(worker, Answered(message.job, ((position, (proposal(place.image.image_id, position),)),)))

    def receive(self, timeout_s: float) -> list[tuple[int, Reply]]:
        """Everything since the last call."""
        replies, self._replies = self._replies, deque()
        return [(worker, pickle.loads(data)) for worker, data in replies]  # noqa: S301 - our own bytes

    def replace(self) -> None:
        """Never asked for."""
        raise AssertionError("nobody is lost here")

    def close(self) -> None:
        """Nothing to end."""


def proposal(image_id: str, seed: int) -> InstanceProposal:
    """As large as a real one: 10 keypoints with their evidence and three places each."""
    signals = KeypointSignals(peak=0.8, margin=0.1, cycle=0.02, agreement=0.9, present=0.97, shape=0.1, pose=0.7)
    points = tuple(
        KeypointProposal(name, 10.0 + seed % 97 + i, 20.0 + i, 0.8, Visibility.VISIBLE, signals)
        for i, name in enumerate(KEYPOINTS)
    )
    spec = RunSpec("match", "fake", settings={"plan": Plan().to_json(), "exemplars": ["1"]})
    return InstanceProposal("bench", image_id, "otter", points, 0.8, (1.0, 2.0, 300.0, 200.0), spec, ("1",))


class _FakeEngine:
    """The engine protocol's two calls that a sweep makes, over fake workers."""

    def __init__(self, workers: int) -> None:
        self.pool, self.ready = FakeWorkers(workers), set[int]()

    def choose_settings(self, request: ProposeRequest, **_: Any) -> Any:
        from kinmark.engine.api import SettingsChoice

        return SettingsChoice(Plan().to_settings(), exemplars=1, reason="fake")

    def propose_keypoints(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[Any]:
        answers = Dispatcher(self.pool, 1, request, self.ready, progress=progress, cancel=cancel).answers()
        for answer in answers:
            yield replace(answer, request_id=request.request_id, category=request.category)

    def calibrate(self, records: Any) -> Any:
        raise AssertionError("nothing was decided yet")


def writer_rows(base: Path, photos: int, workers: int) -> tuple[list[Row], float]:
    """What one store takes; processor seconds of this process per photo."""
    with Project.create(base / "writer.kinmark") as project:
        [category] = project.operations.add_category("otter", KeypointSchema(KEYPOINTS)).ids
        row = project.queries.category(category)
        assert row is not None
        root = base / "none"
        root.mkdir()
        new = [NewImage(root, f"{i:07d}.jpg", 4000, 3000, sha256=f"{i:064x}", size_bytes=i) for i in range(photos + 1)]
        ids = project.operations.add_images(new).ids
        (root / "0000000.jpg").write_bytes(b"there")  # the labelled photo must be there, and is not read
        project.operations.add_instance(
            ids[0], category, [NewKeypoint(d, 5.0 + i, 6.0) for i, d in enumerate(row.definition_ids)]
        )
        started, cpu = time.perf_counter(), time.process_time()
        [outcome] = propose(project, _FakeEngine(workers), ProposeOptions("otter"))  # type: ignore[arg-type]
        wall, used = time.perf_counter() - started, time.process_time() - cpu
    if outcome.proposals != photos:
        raise SystemExit(f"{outcome.proposals} of {photos} proposals were stored")
    size = len(pickle.dumps(Answered(1, ((0, (proposal("1", 1),)),))))
    return [
        Row(
            "one store takes",
            photos / used,
            "photos per second",
            note=f"10 keypoints each, {workers} fake workers, processor time",
        ),
        Row(
            "the same, by the clock",
            photos / wall,
            "photos per second",
            note="flushes to the disk and other work included",
        ),
        Row("what a worker sends per photo", size / 1000, "kB"),
    ], used / photos


def pace(project: Project, base: Path, ids: tuple[int, ...], where: str, workers: int) -> float:
    """Photos per second of wall time of one sweep, after the workers have loaded their models on two photos."""
    config = EngineConfig(device="cpu", cache_dir=base / f"cache-{where.replace(':', '-')}", threads=workers)
    engine = engine_factory(where, config).open()
    try:
        propose(project, engine, ProposeOptions(CATEGORY, image_ids=ids[: 2 * workers]))
        project.undo()
        started = time.perf_counter()
        [outcome] = propose(project, engine, ProposeOptions(CATEGORY, image_ids=ids[2 * workers :]))
        taken = time.perf_counter() - started
        project.undo()
    finally:
        engine.close()
    return outcome.proposals / taken


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--photos", type=int, default=60)
    options.add_argument("--writes", type=int, default=4000)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--ray", action="store_true", help="also over a Ray cluster on this machine")
    arguments = options.parse_args(argv)
    rows: list[Row] = []
    with TemporaryDirectory(prefix="kinmark-scaling-") as name:
        base = Path(name)
        with make_project(base, arguments.photos) as project:
            ids = tuple(i for i in project.queries.image_ids() if not project.queries.instances(image_id=i))
            alone = pace(project, base, ids, "local", 1)
            rows.append(Row("this thread", alone, "photos per second"))
            one = pace(project, base, ids, "processes:1", 1)
            rows.append(Row("1 worker process", one, "photos per second", one / alone))
            many = pace(project, base, ids, f"processes:{arguments.workers}", arguments.workers)
            rows.append(Row(f"{arguments.workers} worker processes", many, "photos per second", many / alone))
            if arguments.ray:
                cluster = pace(project, base, ids, "ray", arguments.workers)
                rows.append(Row("Ray on this machine", cluster, "photos per second", cluster / alone))
        written, each = writer_rows(base, arguments.writes, arguments.workers)
    rows += written
    for workers in MODELLED:
        free, bound = workers * one, 1 / each
        note = "the writer is the limit" if bound < free else f"the writer is busy {free / bound:.1%} of the time"
        rows.append(
            Row(f"modelled: {workers} workers", min(free, bound), "photos per second", min(free, bound) / one, note)
        )
    rows.append(
        Row(
            "modelled: the writer saturates at", 1 / (each * one), "workers", note="of one core each, like the one here"
        )
    )
    finish("scaling", rows, arguments.json, photos=arguments.photos, writes=arguments.writes)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
