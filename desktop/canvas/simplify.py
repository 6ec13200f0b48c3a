"""Fewer vertices for a traced outline (Douglas and Peucker 1973)."""

from __future__ import annotations

import numpy as np

from kinmark.engine.domain.geometry import FloatArray


def simplify_ring(ring: FloatArray, tolerance: float) -> FloatArray:
    """Closed `[N, 2]` ring to `[M, 2]`, no vertex further than `tolerance` from the old outline; at least 3 stay."""
    if len(ring) <= 4:
        return ring
    far = int(np.hypot(*(ring - ring[0]).T).argmax())
    first = _simplify(np.concatenate([ring[: far + 1]]), tolerance)
    second = _simplify(np.concatenate([ring[far:], ring[:1]]), tolerance)
    result = np.concatenate([first[:-1], second[:-1]])
    return result if len(result) >= 3 else ring


def _simplify(line: FloatArray, tolerance: float) -> FloatArray:
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    stack = [(0, len(line) - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 2:
            continue
        direction = line[b] - line[a]
        length = max(float(np.hypot(*direction)), 1e-12)
        offset = line[a + 1 : b] - line[a]
        distance = np.abs(direction[0] * offset[:, 1] - direction[1] * offset[:, 0]) / length
        worst = int(distance.argmax())
        if distance[worst] > tolerance:
            middle = a + 1 + worst
            keep[middle] = True
            stack += [(a, middle), (middle, b)]
    return line[keep]
