"""Shared fixtures: the reference vectors, the optional `../shared` folder, no leaked threads, no writes outside tmp_path."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["KINMARK_PLUGINS"] = "off"  # what a developer has installed besides is not what is tested

# A busy machine is no failure: neither deadlines nor the pace of generation decide a test.
# The test command tries the same examples every time; `pytest --hypothesis-profile=explore` looks for new ones, and what
# it finds becomes an @example.
settings.register_profile("kinmark", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=2000, print_blob=True
)
settings.load_profile("kinmark")

REPOSITORY = Path(__file__).resolve().parent.parent

_LIBRARY_THREADS = ("ThreadPoolExecutor", "pydevd", "QtThread", "tqdm", "Dummy-", "loky", "asyncio", "fsspecIO")


LONG = (
    "engine/parallel/",
    "engine/tuning/",
    "e2e/",
    "projects/cli/test_engine_option.py",
    "test_plugins.py",
    "engine/heads/",
    "engine/pipelines/",
    "faults/",
    "fuzz/",
    "benchmarks/",
    "engine/faults/",
    "engine/instances/",
    "security/",
    "projects/cli/",
)
"""Files that take long, longest first: begun last, one would keep a worker busy while the others have nothing to do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; the order within a file stays."""

    def rank(item: pytest.Item) -> int:
        name = item.path.relative_to(REPOSITORY / "tests").as_posix()
        return next((n for n, beginning in enumerate(LONG) if name.startswith(beginning)), len(LONG))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root folder."""
    return REPOSITORY


@pytest.fixture(scope="session")
def reference_dir() -> Path:
    """Inputs and outputs of published programs on a tiny pipeline: `tests/reference`, described in its README."""
    return REPOSITORY / "tests" / "reference"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Small published data sets (`../shared/data`) that may be read but not copied; tests skip where they are absent."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(
            "published photos with labels may not be copied here, and ../shared/data is not beside this checkout"
        )
    return folder


@pytest.fixture(autouse=True)
def isolated_user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, caches and downloads of a test go to its own folder."""
    monkeypatch.setenv("KINMARK_HOME", str(tmp_path / "kinmark-home"))


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    """Fail when a test leaves one of our threads running (library pools are daemons by design)."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while True:
        left = [
            t
            for t in threading.enumerate()
            if t not in before and t.is_alive() and not t.name.startswith(_LIBRARY_THREADS)
        ]
        if not left:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"threads left running: {[t.name for t in left]}")
        left[0].join(0.05)
