"""Real worker processes: equal to the local engine bit by bit, killed in the middle, cancelled, and none left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.api import FindRequest, MatchSettings, Reference, VectorRequest
from kinmark.engine.domain.errors import KnownError, OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.local import LocalEngine
from kinmark.engine.parallel.factory import EngineFactory
from kinmark.engine.parallel.processes import ProcessPool
from kinmark.engine.parallel.sharded import ShardedEngine
from tests.engine.parallel.scene import comparable, config, make_request

pytestmark = pytest.mark.usefixtures("isolated_user_folders")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory):
    """Two worker processes, started once."""
    folder = tmp_path_factory.mktemp("sharded-cache")
    made = ShardedEngine(
        config(folder),
        ProcessPool(
            config(folder).__class__(device="cpu", dtype="fp32", cache_dir=folder, cache_bytes=64 << 20, threads=2), 2
        ),
    )
    yield made
    made.close()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory):
    """One thread that holds its models from test to test, as the workers do; its cache is its own."""
    made = LocalEngine(config(tmp_path_factory.mktemp("local-cache")))
    yield made
    made.close()


def test_proposals_are_those_of_the_local_engine(
    engine: ShardedEngine, local: LocalEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 9)
    progress = Progress()
    ours = list(engine.propose_keypoints(request, progress=progress))
    theirs = list(local.propose_keypoints(request))
    assert comparable(ours) == comparable(theirs)
    assert any("truncated" in str(getattr(a, "error", "")) for a in ours), "the damaged photo is reported, not fatal"
    assert progress.snapshot().done == 9
    assert "2 processes" in engine.info().device


def test_settings_that_are_open_are_decided_once_by_the_caller(
    engine: ShardedEngine, local: LocalEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 4, MatchSettings(method="nn"))
    ours = list(engine.propose_keypoints(request))
    theirs = list(local.propose_keypoints(request))
    assert comparable(ours) == comparable(theirs)


def test_found_instances_and_descriptors_are_those_of_the_local_engine(
    engine: ShardedEngine, local: LocalEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    asked = make_request(tmp_path / "photos", str(toy_pipeline_dir), 3)
    images = tuple(target.image for target in asked.targets)
    find = FindRequest(
        "f",
        (Reference(asked.exemplars[0].image, box=(20.0, 20, 90, 90)),),
        images,
        "toy",
        backbone=str(toy_pipeline_dir),
    )
    assert comparable(list(engine.find_instance(find))) == comparable(list(local.find_instance(find)))
    describe = VectorRequest("d", asked.targets, str(toy_pipeline_dir))
    ours, theirs = list(engine.photo_vectors(describe)), list(local.photo_vectors(describe))
    assert [a.image_id for a in ours] == [a.image_id for a in theirs]
    good = [(a, b) for a, b in zip(ours, theirs, strict=True) if hasattr(a, "vectors")]
    assert len(good) == 2
    for a, b in good:
        np.testing.assert_array_equal(a.vectors, b.vectors)


def test_a_worker_killed_in_the_middle_costs_nothing(
    engine: ShardedEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 24)
    pool = engine.pool
    assert isinstance(pool, ProcessPool)
    pool.start()
    before = set(pool.process_ids.values())
    answers = engine.propose_keypoints(request)
    found = [next(answers)]
    os.kill(next(iter(pool.process_ids.values())), signal.SIGKILL)
    found += list(answers)
    assert [a.image_id for a in found] == [str(i) for i in range(2, 26)]
    assert len([a for a in found if not hasattr(a, "error")]) == 23
    assert set(pool.process_ids.values()) - before, "another took its place"


def test_cancelling_is_heard_and_the_workers_serve_the_next_request(
    engine: ShardedEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 30)
    cancel = CancelToken()
    seen = 0
    with pytest.raises(OperationCancelled):
        for _ in engine.propose_keypoints(request, cancel=cancel):
            seen += 1
            cancel.cancel()
    assert 1 <= seen < 30
    assert len(list(engine.propose_keypoints(make_request(tmp_path / "again", str(toy_pipeline_dir), 3)))) == 3


def test_errors_of_the_request_arrive_as_they_are(
    engine: ShardedEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 4)
    (tmp_path / "photos" / "0.png").unlink()
    with pytest.raises(KnownError, match=r"0\.png.*the file is not there"):
        list(engine.propose_keypoints(request))


def test_closing_leaves_no_process(toy_pipeline_dir: Path, tmp_path: Path) -> None:
    pool = ProcessPool(config(tmp_path / "cache"), 2)
    pool.start()
    ids = list(pool.process_ids.values())
    pool.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in ids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in ids)
    pool.close()


@pytest.mark.parametrize(
    ("text", "kind", "workers", "address"),
    [
        ("local", "local", 0, ""),
        ("processes", "processes", 0, ""),
        ("processes:3", "processes", 3, ""),
        ("ray", "ray", 0, ""),
        ("ray:node1:6379", "ray", 0, "node1:6379"),
        ("ray:node1", "ray", 0, "node1:6379"),
        ("ray:[fd00::1]:6380", "ray", 0, "[fd00::1]:6380"),
        ("ray://node1:10002", "ray", 0, "ray://node1:10002"),
        ("ray://node1", "ray", 0, "ray://node1:10001"),
    ],
)
def test_the_way_is_read(text: str, kind: str, workers: int, address: str) -> None:
    factory = EngineFactory.parse(text)
    assert (factory.kind, factory.workers, factory.address) == (kind, workers, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "local:2",
        "local:x",
        "processes:0",
        "processes:x",
        "processes:-1",
        "ray:node1:",
        "ray:node1:0",
        "ray::6379",
        "ray://",
        "ray://a/b:1",
        "dask",
    ],
)
def test_a_way_that_is_none_is_refused_with_what_can_be_written(text: str) -> None:
    with pytest.raises(UserInputError, match="Write "):
        EngineFactory.parse(text)
