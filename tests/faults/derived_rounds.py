"""Kill rounds for what can be made again: feature cache, small maps, vector index.

    python -m tests.faults.derived_rounds [--rounds 100] [--seed S]

A child stores photo after photo in all three and acknowledges each; the parent kills it with SIGKILL at a random moment and
opens the files again: what was acknowledged is there, what is there is right, and writing goes on behind it. (The cache may
also have lost a file: then it says so, and never gives a damaged one.)
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from kinmark.engine.api import open_vector_index
from kinmark.engine.features.cache import CacheKey, FeatureCache
from kinmark.engine.features.compress import SharedBasis
from kinmark.engine.features.small_maps import SmallMaps

CHANNELS, CELLS, PARTS = 24, (10, 8), ("one", "two")
SEARCHED_CELL = (3, 5)


def maps_of(photo: int) -> torch.Tensor:
    """`[C, h, w]`: a map whose cell SEARCHED_CELL nothing else resembles."""
    return torch.randn(CHANNELS, CELLS[1], CELLS[0], generator=torch.Generator().manual_seed(photo))


def vector_of(photo: int) -> np.ndarray:
    """`[1, 16]` of unit length."""
    vector = np.random.default_rng(photo).normal(size=(1, 16)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def bases() -> dict[str, SharedBasis]:
    """Nothing is lost: as many dimensions as channels."""
    return {name: SharedBasis.fit([maps_of(1), maps_of(2)], CHANNELS) for name in PARTS}


def child(folder: Path, first: int, acknowledge: int) -> None:
    """Store photos from `first` on until killed."""
    cache, small = FeatureCache(folder / "cache", 64 << 20), SmallMaps.open(folder / "small", CELLS, bases())
    index = open_vector_index(folder / "index", "derived")
    for photo in range(first, first + 100_000):
        cache.put(CacheKey(f"{photo:064x}", "whole", "recipe"), maps_of(photo).numpy())
        small.add([str(photo)], {name: [maps_of(photo)] for name in PARTS})
        index.put(photo, f"{photo:064x}", vector_of(photo))
        index.save()
        os.write(acknowledge, f"{photo}\n".encode())


def check(folder: Path, acknowledged: set[int]) -> list[str]:
    """What is wrong with the files."""
    wrong = []
    cache, small = FeatureCache(folder / "cache", 64 << 20), SmallMaps.open(folder / "small", CELLS, bases())
    index = open_vector_index(folder / "index", "derived")
    stored = [int(name) for name in small.rows]
    if not acknowledged <= set(stored):
        wrong.append(f"small maps lost {sorted(acknowledged - set(stored))[:5]}")
    for photo in sorted(acknowledged)[-20:]:
        features = cache.get(CacheKey(f"{photo:064x}", "whole", "recipe"))
        if features is None or not np.allclose(features, maps_of(photo).numpy(), atol=0.05):
            wrong.append(f"cache: photo {photo}")
    for photo in stored[-20:]:
        x, y = SEARCHED_CELL
        query = maps_of(photo)[:, y, x][None]
        hits = small.search(dict.fromkeys(PARTS, query), dict.fromkeys(PARTS, (0.5, 0.0)), [str(photo)])
        if tuple(hits.cells_xy[0, 0]) != SEARCHED_CELL or hits.scores[0, 0] < 0.95:
            wrong.append(f"small maps: photo {photo} holds something else")
    for photo in sorted(acknowledged)[-20:]:
        if photo not in index or index.search(vector_of(photo), 1)[0].image_id != photo:
            wrong.append(f"index: photo {photo}")
    return wrong


def run(rounds: int, seed: int) -> dict[str, object]:
    """All rounds on one folder, so that each child writes behind what the one before it left."""
    torch.set_num_threads(1)
    rng = random.Random(seed)
    acknowledged: set[int] = set()
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="kinmark-derived-") as name:
        folder = Path(name)
        for number in range(rounds):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                try:
                    child(folder, number * 100_000, writer)
                finally:
                    os._exit(1)
            os.close(writer)
            with os.fdopen(reader) as lines:
                first = lines.readline()
                time.sleep(rng.uniform(0, 0.12))
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                acknowledged |= {int(line) for line in (first, *lines) if line.endswith("\n")}
            failures += [f"round {number}: {text}" for text in check(folder, acknowledged)]
    return {"rounds": rounds, "acknowledged": len(acknowledged), "failures": failures}


def main() -> int:
    """Exit status 1 with failures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    result = run(options.rounds, options.seed)
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 1 if result["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
