"""Schemas, RunSpec, progress and cancellation."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.runspec import RunSpec


def test_schema_refuses_what_cannot_be():
    KeypointSchema(("a", "b", "c"), edges=((0, 1),), pairs=((0, 2),))
    for bad in (
        {"names": ("a", "a")},
        {"names": ("a", "b"), "edges": ((0, 2),)},
        {"names": ("a", "b"), "pairs": ((1, 1),)},
        {"names": ("a", "b", "c"), "pairs": ((0, 1), (1, 2))},
    ):
        with pytest.raises(UserInputError):
            KeypointSchema(**bad)


def test_flip_index_swaps_pairs_only():
    assert KeypointSchema(("l", "nose", "r"), pairs=((0, 2),)).flip_index == (2, 1, 0)


def test_fingerprint_depends_on_everything_and_survives_json():
    spec = RunSpec("match", "embedded", settings={"rotations": 8, "method": "nn"}, input_wh=(512, 512))
    assert RunSpec.from_json(spec.to_json()) == spec
    assert RunSpec.from_json(spec.to_json()).fingerprint() == spec.fingerprint()
    assert spec.fingerprint() != RunSpec("match", "embedded", settings={"rotations": 4, "method": "nn"}).fingerprint()
    again = RunSpec("match", "embedded", settings={"method": "nn", "rotations": 8}, input_wh=(512, 512))
    assert again.fingerprint() == spec.fingerprint()


def test_cancel_wakes_a_paused_worker():
    token, seen = CancelToken(), []
    token.pause()

    def work() -> None:
        try:
            token.check()
        except OperationCancelled:
            seen.append("cancelled")

    worker = threading.Thread(target=work)
    worker.start()
    token.cancel()
    worker.join(5)
    assert seen == ["cancelled"]


def test_time_left_is_honest():
    progress = Progress("sweep", 100)
    progress.step(9)
    assert progress.snapshot().seconds_left is None
    progress.step(1)
    left = progress.snapshot().seconds_left
    assert left is not None and left >= 0


def test_the_door_is_light():
    """`import kinmark.engine.api` loads no torch, no Qt, no database, and no image library."""
    code = (
        "import sys, kinmark.engine, kinmark.engine.domain, kinmark.engine.api, kinmark.engine.local, kinmark.projects.cli.app\n"
        "heavy = {'torch', 'PySide6', 'sqlalchemy', 'diffusers', 'transformers', 'PIL', 'cv2', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
