"""Disk cache of feature maps: disposable, size-capped, safe against two processes and a kill at any moment.

One file per map, `<2 hex>/<key>.safetensors`, written to a temporary name and renamed, so a reader sees a whole file or
none. Each file carries a checksum; a damaged one is deleted and computed again. There is no index to corrupt: age is the
file's time, which a read renews.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

log = logging.getLogger(__name__)

FORMAT = "kinmark-features-1"
SUFFIX = ".safetensors"
_TEMPORARY_AGE_S = 3600.0
_CHECK_SHARE = 1 / 16
"""The folder is measured again whenever this share of the cap has been written."""


@dataclass(frozen=True)
class CacheKey:
    """What a cached map depends on: image bytes, view, and everything in the RunSpec."""

    sha256: str
    view: str
    fingerprint: str

    @property
    def name(self) -> str:
        """32 hex digits."""
        return hashlib.sha256(f"{self.sha256}:{self.view}:{self.fingerprint}".encode()).hexdigest()[:32]


INT8_COSINE = 0.9999
"""Codec "auto" stores 8 bits only where the worst cell keeps its direction this well (wide models have outlier channels)."""


def encode_map(features: NDArray[np.float32], codec: str = "auto") -> dict[str, NDArray[np.generic]]:
    """`[C, h, w]` float32 to stored arrays: "fp16" (2 x smaller), "int8" with one scale per cell (4 x), or "auto".

    Raises:
        ValueError: unknown codec, or values that are not finite or too large for fp16.
    """
    if not np.isfinite(features).all():
        raise ValueError("a feature map with values that are not finite is not cached")
    if codec == "fp16":
        if float(np.abs(features).max(initial=0.0)) > 65000:
            raise ValueError("feature values exceed the range of fp16")
        return {"fp16": features.astype(np.float16)}
    if codec == "auto":
        small = encode_map(features, "int8")
        return small if _worst_cosine(features, decode_map(small)) >= INT8_COSINE else encode_map(features, "fp16")
    if codec == "int8":
        scale = np.maximum(np.abs(features).max(axis=0), 1e-12) / 127.0
        return {"int8": np.rint(features / scale).astype(np.int8), "scale": scale.astype(np.float32)}
    raise ValueError(f"unknown codec {codec}")


def _worst_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    length = np.sqrt(np.einsum("chw,chw->hw", a, a) * np.einsum("chw,chw->hw", b, b))
    return float(np.min(np.einsum("chw,chw->hw", a, b) / np.maximum(length, 1e-20), where=length > 1e-20, initial=1.0))


def decode_map(arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    """Inverse of `encode_map`: `[C, h, w]` float32; KeyError / ValueError when the arrays are not ours."""
    if "fp16" in arrays:
        features = arrays["fp16"].astype(np.float32)
    else:
        features = arrays["int8"].astype(np.float32) * arrays["scale"].astype(np.float32)
    if features.ndim != 3:
        raise ValueError(f"a feature map needs shape [C, h, w], got {features.shape}")
    return features


def _checksum(arrays: dict[str, NDArray[np.generic]]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


class FeatureCache:
    """Feature maps on disk. Any thread, any number of processes.

    Args:
        folder: made when needed; may be deleted at any time.
        max_bytes: cap; the least recently used files go first.
        codec: see `encode_map`.
    """

    def __init__(self, folder: Path, max_bytes: int, codec: str = "auto") -> None:
        self.folder, self.max_bytes, self.codec = Path(folder), int(max_bytes), codec
        self._written_since_check = 0
        self._checked = False
        self._broken = ""

    def path_of(self, key: CacheKey) -> Path:
        """Where the map of this key lies or would lie."""
        return self.folder / key.name[:2] / (key.name + SUFFIX)

    def get(self, key: CacheKey) -> NDArray[np.float32] | None:
        """The map `[C, h, w]` float32, or None; a damaged file is removed."""
        arrays = self.get_arrays(key)
        try:
            return None if arrays is None else decode_map(arrays)
        except Exception as error:  # noqa: BLE001 - any damage has one answer: compute again
            self._remove(self.path_of(key), error)
            return None

    def get_arrays(self, key: CacheKey) -> dict[str, NDArray[np.generic]] | None:
        """What `put_arrays` stored, or None; a damaged file is removed."""
        path = self.path_of(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        try:
            arrays = load_tensors(data)
            checksum = arrays.pop("checksum").tobytes().hex()
            if checksum != _checksum(arrays):
                raise ValueError("checksum differs")
        except Exception as error:  # noqa: BLE001 - any damage has one answer: compute again
            self._remove(path, error)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return arrays

    def _remove(self, path: Path, error: Exception) -> None:
        log.warning("removed the damaged cache file %s: %r", path, error)
        with contextlib.suppress(OSError):
            path.unlink()

    def __contains__(self, key: CacheKey) -> bool:
        return self.path_of(key).is_file()

    def put(self, key: CacheKey, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Store `[C, h, w]`; returns what a later `get` will give (so that results do not depend on cache hits).

        A cache that cannot be written (full disk, read-only folder) is reported once in the log and passed by.
        """
        # safetensors writes an array's memory as it lies, whatever its strides say.
        arrays = {name: np.ascontiguousarray(array) for name, array in encode_map(features, self.codec).items()}
        decoded = decode_map(arrays)
        self.put_arrays(key, arrays)
        return decoded

    def put_arrays(self, key: CacheKey, arrays: dict[str, NDArray[np.generic]]) -> None:
        """Store named arrays under the key, bit for bit. A cache that cannot be written is passed by, as in `put`."""
        arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        checksum = np.frombuffer(bytes.fromhex(_checksum(arrays)), dtype=np.uint8)
        data = save_tensors({**arrays, "checksum": checksum}, metadata={"format": FORMAT})
        path = self.path_of(key)
        temporary = path.with_name(f"{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            if not self._broken:
                self._broken = repr(error)
                log.warning("the feature cache %s cannot be written, going on without it: %r", self.folder, error)
            return
        self._written_since_check += len(data)
        if not self._checked or self._written_since_check > self.max_bytes * _CHECK_SHARE:
            self.trim()

    def trim(self) -> int:
        """Delete the least recently used files until 90 % of the cap is left, and stale temporaries; bytes kept."""
        self._checked, self._written_since_check = True, 0
        entries: list[tuple[float, int, Path]] = []
        now = time.time()
        for path in self.folder.glob("??/*"):
            try:
                stat = path.stat()
                if path.suffix == ".tmp":
                    if now - stat.st_mtime > _TEMPORARY_AGE_S:
                        path.unlink()
                    continue
            except OSError:
                continue
            # A time to come means that the clock was set back since: such a file would outlive every new one.
            age = stat.st_mtime if stat.st_mtime <= now + _TEMPORARY_AGE_S else 0.0
            entries.append((age, stat.st_size, path))
        total = sum(size for _, size, _ in entries)
        if total > self.max_bytes:
            for _, size, path in sorted(entries, key=lambda e: e[0]):
                # Another process may have been faster: then the file is gone all the same.
                with contextlib.suppress(OSError):
                    path.unlink()
                total -= size
                if total <= self.max_bytes * 0.9:
                    break
        return total

    def clear(self) -> None:
        """Delete every cached map."""
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                path.unlink()
