"""A long sweep that is paused, cancelled, undone and reopened at random: memory stays flat, no handle leaks, nothing is lost.

    python -m tests.faults.soak [--images 2000] [--json FILE]

The store, the workflow and the job control are real; the engine answers at once, so that two thousand photos take a minute
and what is measured is everything around the network. Between sessions the labels of a person are checked one by one.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.api import Calibration, DecisionRecord, ProposeRequest, SettingsChoice, TargetFailure
from kinmark.engine.domain.errors import OperationCancelled, UnreadableImageError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions
from tests.support.projects import keypoint_proposal, make_project


class InstantEngine:
    """Answers like the real one (streaming, checking `cancel` at every step, some unreadable targets), without a model."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def choose_settings(self, request: ProposeRequest, **_: Any) -> SettingsChoice:
        return SettingsChoice(request.settings)

    def calibrate(self, decisions: tuple[DecisionRecord, ...]) -> Calibration:
        return Calibration("project", len(decisions))

    def propose_keypoints(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        names = [request.schema.names[i] for i in request.only_keypoints or range(len(request.schema))]
        for target in request.targets:
            time.sleep(0.0005)
            if cancel is not None:
                cancel.check()
            image_id = int(target.image.image_id)
            if image_id % 97 == 0:
                yield TargetFailure(target.image.image_id, UnreadableImageError("Cannot read it.", "Copy it again."))
                continue
            yield keypoint_proposal(image_id, {name: self.rng.random() for name in names}, seed=self.rng.randint(0, 5))
            if progress is not None:
                progress.step()


def rss_mb() -> float:
    """Resident memory now."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def handles() -> int:
    """Open file descriptors now."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path objects needed


class Interrupter(threading.Thread):
    """Pauses and resumes the job a few times, then (mostly) cancels it."""

    def __init__(self, token: CancelToken, rng: random.Random) -> None:
        super().__init__(name="interrupter")
        self.token, self.rng, self.over = token, rng, threading.Event()

    def run(self) -> None:
        for _ in range(self.rng.randint(0, 3)):
            if self.over.wait(self.rng.uniform(0, 0.1)):
                return
            self.token.pause()
            self.over.wait(self.rng.uniform(0, 0.05))
            self.token.resume()
        if self.rng.random() < 0.8 and not self.over.wait(self.rng.uniform(0, 0.4)):
            self.token.cancel()


def session(folder: Path, rng: random.Random, truth: dict[int, float]) -> int:
    """Open, sweep until interrupted, accept and undo something, close; returns how many photos are still unseen."""
    with Project.open(folder) as project:
        _check(project, truth)
        token = CancelToken()
        interrupter = Interrupter(token, rng)
        interrupter.start()
        try:
            ids = tuple(row.id for row in project.queries.images() if row.state == "unseen")
            propose(project, InstantEngine(rng), ProposeOptions(image_ids=ids), cancel=token)  # type: ignore[arg-type]
        except OperationCancelled:
            pass
        finally:
            interrupter.over.set()
            interrupter.join()
        _work(project, rng, truth)
        return project.queries.counts().unseen


def _work(project: Project, rng: random.Random, truth: dict[int, float]) -> None:
    """What a person does in between; `truth` is what must never be lost."""
    category = project.queries.categories()[0]
    nose = category.definition_ids[0]
    free = [id_ for id_ in project.queries.image_ids() if id_ not in truth]
    if free:
        x = rng.random() * 60
        image = rng.choice(free)
        project.operations.clear_proposals(image_ids=[image])
        project.operations.add_instance(image, category.id, [NewKeypoint(nose, x, 1.0)], source_id=f"own {image}")
        truth[image] = x
    pending = project.queries.proposals(limit=5, order="confidence")
    if pending:
        # Nothing above the threshold makes no step: undo would then take back the label made above.
        accepted = project.operations.accept_proposals([rng.choice(pending).id], min_confidence=0.5)
        if accepted and project.undo() and rng.random() < 0.5:
            project.redo()


def _check(project: Project, truth: dict[int, float]) -> None:
    found = {
        i.image_id: i.keypoints[0].x for i in project.queries.iter_instances() if (i.source_id or "").startswith("own")
    }
    if found != truth:
        raise AssertionError(f"labels were lost or changed: {len(found)} of {len(truth)}")


def main(argv: list[str] | None = None) -> int:
    """Run sessions until every readable photo has a proposal; report the slope of memory and the handles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=60, help="at least this many")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    rng, truth = random.Random(3), {}
    memory: list[float] = []
    opened: list[int] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "p.kinmark"
        with make_project(folder, images=options.images) as project:
            category = project.queries.categories()[0]
            points = [NewKeypoint(d, 1.0 + i, 2.0) for i, d in enumerate(category.definition_ids)]
            photo = project.queries.image(1)
            assert photo is not None
            photo.path.parent.mkdir(parents=True, exist_ok=True)
            photo.path.write_bytes(b"there")
            project.operations.add_instance(1, category.id, points, source_id="own 1")
            truth[1] = 1.0
        unseen, unreadable = options.images, options.images // 97
        while len(memory) < options.sessions or unseen > unreadable:
            unseen = session(folder, rng, truth)
            gc.collect()
            memory.append(rss_mb())
            opened.append(handles())
        with Project.open(folder) as project:
            _check(project, truth)
            problems = project.check_integrity()
            pending = project.queries.counts().pending
    half = len(memory) // 2
    slope = float(np.polyfit(np.arange(half), memory[-half:], 1)[0])
    result = {
        "images": options.images,
        "sessions": len(memory),
        "seconds": round(time.monotonic() - start, 1),
        "pending": pending,
        "own_labels_kept": len(truth),
        "integrity_problems": problems,
        "rss_mb_first": round(memory[0], 1),
        "rss_mb_last": round(memory[-1], 1),
        "rss_slope_mb_per_session_second_half": round(slope, 4),
        "handles_first": opened[0],
        "handles_last": opened[-1],
    }
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 1 if problems or slope > 0.2 or opened[-1] > opened[0] else 0


if __name__ == "__main__":
    sys.exit(main())
