"""The feature cache: round trips, damage, cap, two processes, a kill in the middle, disks that cannot be written."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinmark.engine.features.cache import CacheKey, FeatureCache, decode_map, encode_map
from tests.support.forked import Child, children


def _key(index: int) -> CacheKey:
    return CacheKey(f"sha{index}", "view", "fingerprint")


def _map(seed: int, shape: tuple[int, int, int] = (8, 5, 6)) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), codec=st.sampled_from(["fp16", "int8"]))
@settings(max_examples=25, deadline=None)
def test_codecs_keep_directions(seed: int, scale: float, codec: str) -> None:
    features = _map(seed) * np.float32(scale)
    decoded = decode_map(encode_map(features, codec))
    cosine = (features * decoded).sum(0) / (np.linalg.norm(features, axis=0) * np.linalg.norm(decoded, axis=0))
    assert cosine.min() > (0.99999 if codec == "fp16" else 0.999)


def test_auto_codec_spends_bytes_only_where_needed() -> None:
    plain = _map(1, (112, 8, 8))
    outliers = plain.copy()
    outliers[3] *= 400
    assert set(encode_map(plain)) == {"int8", "scale"}
    assert set(encode_map(outliers)) == {"fp16"}
    assert set(encode_map(np.zeros((4, 2, 2), np.float32))) == {"int8", "scale"}


def test_what_put_returns_is_what_get_gives(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "c", 1 << 20)
    stored = cache.put(_key(1), _map(1))
    found = FeatureCache(tmp_path / "c", 1 << 20).get(_key(1))
    assert found is not None and np.array_equal(stored, found)
    assert cache.get(_key(2)) is None and _key(1) in cache and _key(2) not in cache


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_damaged_file_heals(tmp_path: Path, damage: str) -> None:
    cache = FeatureCache(tmp_path / "c", 1 << 20)
    cache.put(_key(1), _map(1))
    path = cache.path_of(_key(1))
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        data[-20] ^= 4
    elif damage == "empty":
        data = bytearray()
    else:
        data = bytearray(b"not a safetensors file at all, but long enough to look like one")
    path.write_bytes(bytes(data))
    assert cache.get(_key(1)) is None
    assert not path.exists()
    cache.put(_key(1), _map(1))
    assert cache.get(_key(1)) is not None


def test_values_that_are_no_numbers_are_not_stored(tmp_path: Path) -> None:
    features = _map(1)
    features[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        FeatureCache(tmp_path / "c", 1 << 20).put(_key(1), features)


def test_cap_drops_the_least_recently_used(tmp_path: Path) -> None:
    one = len(FeatureCache(tmp_path / "probe", 1 << 20).put(_key(0), _map(0)).tobytes())
    cache = FeatureCache(tmp_path / "c", 1 << 20)
    for index in range(10):
        cache.put(_key(index), _map(index))
        os.utime(cache.path_of(_key(index)), (1000 + index, 1000 + index))
    assert cache.get(_key(0)) is not None  # read: now the youngest
    cache.max_bytes = 5 * one
    kept = cache.trim()
    assert kept <= cache.max_bytes
    assert cache.get(_key(0)) is not None and cache.get(_key(9)) is not None
    assert cache.get(_key(1)) is None


def test_cap_holds_while_writing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "c", 20_000)
    for index in range(200):
        cache.put(_key(index), _map(index))
    assert cache.get(_key(199)) is not None
    total = sum(p.stat().st_size for p in (tmp_path / "c").rglob("*") if p.is_file())
    assert total <= 20_000 * 1.1


def test_stale_temporaries_are_cleared(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "c", 1 << 20)
    cache.put(_key(1), _map(1))
    stale = cache.path_of(_key(1)).parent / "x.safetensors.1-2.tmp"
    fresh = cache.path_of(_key(1)).parent / "y.safetensors.1-2.tmp"
    stale.write_bytes(b"half")
    fresh.write_bytes(b"half")
    os.utime(stale, (1, 1))
    cache.trim()
    assert not stale.exists() and fresh.exists()


def test_folder_that_cannot_be_made_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    cache = FeatureCache(tmp_path / "file" / "c", 1 << 20)
    assert np.isfinite(cache.put(_key(1), _map(1))).all()
    assert cache.get(_key(1)) is None
    assert cache.trim() == 0


def test_full_disk_is_passed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = FeatureCache(tmp_path / "c", 1 << 20)

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert np.isfinite(cache.put(_key(1), _map(1))).all()
    monkeypatch.undo()
    assert cache.get(_key(1)) is None
    assert not list((tmp_path / "c").rglob("*.tmp"))


def write_and_read(say: Callable[[str], object], folder: Path, cap: int, seed: int, turns: int) -> None:
    """What another process does with the same folder."""
    cache = FeatureCache(folder, cap)
    generator = np.random.default_rng(seed)
    say("ready")
    for _ in range(turns):
        index = int(generator.integers(0, 40))
        cache.put(_key(index), np.full((64, 24, 24), index, dtype=np.float32))
        found = cache.get(_key(int(generator.integers(0, 40))))
        assert found is None or float(found.min()) == float(found.max())


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Child]]:
    yield from children(["tests.engine.features.test_cache"])


def test_two_processes_share_one_folder_under_a_small_cap(start: Callable[..., Child], tmp_path: Path) -> None:
    writers = [start(write_and_read, tmp_path / "c", 600_000, seed, 120) for seed in (1, 2)]
    assert [writer.rest(60) for writer in writers] == [["ready"], ["ready"]]


def test_kill_in_the_middle_leaves_whole_files_only(start: Callable[..., Child], tmp_path: Path) -> None:
    folder = tmp_path / "c"
    cache = FeatureCache(folder, 1 << 30)
    for turn in range(4):
        writer = start(write_and_read, folder, 1 << 30, turn, 1_000_000)
        assert writer.line() == "ready"
        time.sleep(0.05 + 0.03 * turn)
        writer.kill()
        for index in range(40):
            path = cache.path_of(_key(index))
            if path.exists():
                found = cache.get(_key(index))
                assert found is not None, "a renamed file must be whole"
                assert float(found.min()) == float(found.max()) == index
