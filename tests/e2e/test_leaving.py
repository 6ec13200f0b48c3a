"""The window is closed, or its process is told to end, at every stage of a job: quickly, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinmark.projects.project import Project
from tests.support.window import Driver, make_project

pytestmark = pytest.mark.e2e


def allowed_s() -> float:
    """Two seconds; on a machine with more work than processors the wall clock says little, so more there."""
    return 2.0 if os.getloadavg()[0] < (os.cpu_count() or 1) else 60.0


def checked(folder: Path) -> tuple[int, int]:
    """(keypoints, pending) of a sound project that opens for writing: nobody holds its lock any more."""
    with Project.open(folder) as project:
        assert project.check_integrity() == []
        counts = project.queries.counts()
        project.operations.set_setting("probe", 1)
    return counts.keypoints, counts.pending


@pytest.mark.parametrize(
    ("stage", "ending"), [("labelled", "SIGTERM"), ("asking", "SIGINT"), ("importing", "close"), ("stored", "SIGTERM")]
)
def test_the_process_ends_in_time_and_keeps_everything(
    photos: Path, toy_dir: Path, tmp_path: Path, repository: Path, stage: str, ending: str
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1, backbone=str(toy_dir))
    command = [sys.executable, "-m", "tests.support.window_process", str(folder), stage, ending]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120, check=False)
    left = time.monotonic()
    assert done.returncode == (0 if ending == "close" else 128 + getattr(signal, ending)), done.stderr
    assert "Traceback" not in done.stderr and "QThread" not in done.stderr
    [line] = [line.split() for line in done.stdout.splitlines() if line.startswith("leaving ")]
    assert left - float(line[1]) < allowed_s()
    keypoints, pending = checked(folder)
    assert keypoints == 5 + (stage == "labelled") and pending >= int(line[2])


def begin(driver: Driver, stage: str) -> Callable[[], bool]:
    """Start the work of a stage; gives the question whether it is reached."""
    window, space = driver.window, driver.space
    engine, queries = window.program.engine, space.session.queries
    if stage == "tuning":
        window.commands.dialogs.tune(space)
        dialog = window.commands.dialogs.dialog("tune")
        dialog.steps.setValue(5000)
        dialog.start()
        return lambda: bool(driver.space.tuning.points)
    if stage == "heat map":
        window.registry["view.heat"].trigger()
        space.labelling.focus(0)
        return lambda: engine.busy_with("heat")
    if stage == "finding":
        space.labelling.select(space.labelling.shown[0].key)
        space.name_identity("Pip")
        space.jobs.find_identity("Pip")
        return lambda: engine.busy_with("find:Pip")
    space.jobs.propose_all(category="figure")
    if stage == "waiting":
        return lambda: True
    if stage == "running":
        return lambda: running(engine)
    if stage == "stored":
        return lambda: queries.counts().pending > 0
    assert stage == "paused"

    def paused() -> bool:
        if running(engine):
            engine.shown_job.cancel.pause()
            return True
        return False

    return paused


def running(engine: Any) -> bool:
    job = engine.shown_job
    return job is not None and job.progress.snapshot().total > 0


@pytest.mark.parametrize("stage", ["waiting", "running", "stored", "paused", "heat map", "finding", "tuning"])
def test_closing_at_every_stage(
    make_driver: Callable[..., Driver], photos: Path, toy_dir: Path, tmp_path: Path, stage: str
) -> None:
    folder = make_project(
        tmp_path / "figures.kinmark", photos, labelled=4 if stage == "tuning" else 2, backbone=str(toy_dir)
    )
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    reached = begin(driver, stage)
    driver.until(reached, 120)
    seen = driver.space.session.queries.counts()
    worker = driver.window.program.engine._worker
    before = time.monotonic()
    driver.window.close()
    assert time.monotonic() - before < allowed_s()
    # Inside a library (loading it) the thread may take longer than the window; the next test wants it gone.
    worker._thread.join(60)
    keypoints, pending = checked(folder)
    assert keypoints == seen.keypoints and pending >= seen.pending
