"""A real Ray cluster of two one-core workers on loopback: equal to local, a worker killed, the head cut, its memory full.

The cluster's processes are children of the bridge's process and are ended with it, by id.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kinmark.engine.api import EngineConfig, ImageInput, Target
from kinmark.engine.domain.errors import KnownError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.local import LocalEngine
from kinmark.engine.parallel.pool import WorkersLostError
from kinmark.engine.parallel.ray_pool import RayPool
from kinmark.engine.parallel.sharded import ShardedEngine
from tests.engine.parallel.scene import comparable, config, make_request

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (pip install 'kinmark[ray]')"
)
SMALL = {"object_store_memory": 80 << 20}
"""The least that Ray takes is 75 MiB."""


def children_of(process: int) -> dict[int, str]:
    """Process id -> command line of all descendants (Linux)."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    found, wave = {}, {process}
    while wave:
        wave = {child for child, parent in parents.items() if parent in wave}
        for child in wave:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
    return found


def runs(process: int) -> bool:
    """Whether it still does something: one that nobody has fetched after its end does not."""
    try:
        return (Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[ShardedEngine]:
    made = ShardedEngine(
        config(tmp_path / "ray-cache"), RayPool(config(tmp_path / "ray-cache"), workers=2, settings=SMALL)
    )
    yield made
    made.close()


@with_ray
def test_a_small_cluster_answers_as_one_thread_loses_a_worker_and_then_its_head(
    engine: ShardedEngine, toy_pipeline_dir: Path, tmp_path: Path
) -> None:
    pool = engine.pool
    assert isinstance(pool, RayPool)
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 9)
    local = LocalEngine(config(tmp_path / "cache"))
    alone = comparable(list(local.propose_keypoints(request)))
    assert comparable(list(engine.propose_keypoints(request))) == alone
    assert engine.info().device == "cpu, 2 Ray workers"

    many = make_request(tmp_path / "many", str(toy_pipeline_dir), 24)
    expected = comparable(list(local.propose_keypoints(many)))
    local.close()
    answers = engine.propose_keypoints(many)
    found = [next(answers)]
    ray_workers = [p for p, command in children_of(pool.bridge_id).items() if command.startswith("ray::_RayWorker")]
    assert len(ray_workers) == 2
    os.kill(ray_workers[0], signal.SIGKILL)
    found += list(answers)
    assert comparable(found) == expected, "what the lost worker held was done again"

    answers = engine.propose_keypoints(
        make_request(tmp_path / "more", str(toy_pipeline_dir), 60)
    )  # new photos: no cache helps
    found = [next(answers)]
    cluster = children_of(pool.bridge_id)
    # The machine with the head is gone, with the workers on it; its agents, which outlive it, stay for the pool to end.
    gone = [
        p for p, c in cluster.items() if "gcs_server" in c or "raylet/raylet" in c or c.startswith("ray::_RayWorker")
    ]
    told = [cluster[p] for p in gone]
    # The worker that was killed before may not be replaced yet: one is enough.
    for part in ("gcs_server", "raylet/raylet", "ray::_RayWorker"):
        assert any(part in command for command in told), f"{part} runs"
    for process in gone:
        os.kill(process, signal.SIGKILL)
    pool.silence_s = 30.0
    with pytest.raises(WorkersLostError, match=r"is gone|one after the other") as caught:
        found += list(answers)
    assert "run the same command again" in caught.value.hint
    assert 1 <= len(found) < 60
    assert not [a for a in found if "workers ended" in str(getattr(a, "error", ""))], "no photo is to blame"
    engine.close()
    deadline = time.monotonic() + 15
    while any(runs(process) for process in cluster) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [c[:60] for p, c in cluster.items() if runs(p)], "nothing of the cluster is left"


FILLING = """
import sys, time, numpy, ray
ray.init(num_cpus=2, include_dashboard=False, object_store_memory=80 << 20, log_to_driver=False, _node_ip_address="127.0.0.1",
         _system_config={"automatic_object_spilling_enabled": False, "local_fs_capacity_threshold": 0.0001})
kept = []
for size in (4 << 20, 256 << 10, 32 << 10):
    try:
        while True:
            kept.append(ray.put(numpy.ones(size, numpy.uint8)))
    except ray.exceptions.RayError as error:
        pass
print("full", len(kept), ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
"""


@with_ray
def test_a_full_object_store_is_named_and_small_requests_pass_by_it(toy_pipeline_dir: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0" * 64,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }
    with subprocess.Popen(
        [sys.executable, "-c", FILLING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as filler:
        assert filler.stdin is not None and filler.stdout is not None
        try:
            word, _, address = filler.stdout.readline().split()
            assert word == "full"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("RAY_AUTH_MODE", "token")
                patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
                engine = ShardedEngine(
                    config(tmp_path / "cache"), RayPool(config(tmp_path / "cache"), address, workers=1)
                )
                try:
                    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 4)
                    assert len(list(engine.propose_keypoints(request))) == 4
                    absent = (Target(ImageInput(f"photo {i}", tmp_path / f"{i:040d}.png")) for i in range(4000))
                    large = replace(request, targets=tuple(absent))
                    with pytest.raises(KnownError, match=r"memory of the Ray cluster is full.*object-store-memory"):
                        list(engine.propose_keypoints(large))
                finally:
                    engine.close()
        finally:
            filler.stdin.close()
            filler.wait(30)


@with_ray
def test_rays_client_comes_with_the_extra() -> None:
    """`ray://HOST` is refused by Ray itself where grpc is not installed, and plain `ray` does not bring it."""
    assert importlib.util.find_spec("grpc") is not None, "pip install 'kinmark[ray]'"


@with_ray
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path) -> None:
    pool = RayPool(config(tmp_path), "127.0.0.1:1")
    pool.start()
    deadline = time.monotonic() + 120
    with pytest.raises(KnownError, match=r"The Ray cluster 127\.0\.0\.1:1 cannot be used: nothing answers there"):
        while time.monotonic() < deadline:
            assert pool.receive(0.2) == []
    assert pool.bridge_id == 0


@with_ray
def test_cancelling_while_the_cluster_starts_is_heard_at_once_and_leaves_nothing(
    engine: ShardedEngine, toy_pipeline_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, cancel = engine.pool, CancelToken()
    assert isinstance(pool, RayPool)
    request = make_request(tmp_path / "photos", str(toy_pipeline_dir), 3)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # another cluster that this machine knows of is not joined
    pool.start()
    bridge, deadline = pool.bridge_id, time.monotonic() + 120
    while not any("gcs_server" in command for command in children_of(bridge).values()):  # Ray is in the middle of it
        assert time.monotonic() < deadline
        time.sleep(0.02)
    cluster = {bridge, *children_of(bridge)}
    cancel.cancel()
    started = time.monotonic()
    with pytest.raises(OperationCancelled):
        list(engine.propose_keypoints(request, cancel=cancel))
    engine.close()
    assert time.monotonic() - started < 15, "Ray alone takes longer to start on a busy machine"
    deadline = time.monotonic() + 15
    while any(runs(process) for process in cluster) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in cluster if runs(process)]


def test_without_ray_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(KnownError, match=r"pip install 'kinmark\[ray\]'"):
        RayPool(EngineConfig(), "")
