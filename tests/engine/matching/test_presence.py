"""Absence and sides: a shape of another size is found, what lies outside the picture is known, twins get two places."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.proposals import KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.matching.bank import ExemplarBank, Variant
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.evidence.presence import crowding, shown_share
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.pose.consensus import find_consensus
from kinmark.engine.matching.pose.sides import separate_twins
from kinmark.engine.matching.reader import ViewParts
from kinmark.engine.matching.run import MatchRun
from kinmark.engine.matching.votes import PoseHypotheses

SIZE = 64
SHAPE = np.array([[-12.0, -8], [12, -8], [-12, 8], [12, 8], [0, 0], [0, -14]])
SCHEMA = KeypointSchema(("leftear", "rightear", "leftfoot", "rightfoot", "body", "tip"), (), ((0, 1), (2, 3)))


def bumps(centres: np.ndarray, seed: int = 0) -> torch.Tensor:
    """`[K, 64, 64]`: noise with a bump at each centre (none where it lies outside)."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:SIZE, :SIZE]
    maps = rng.normal(0, 0.04, (len(centres), SIZE, SIZE))
    for k, (x, y) in enumerate(centres):
        if 0 <= x < SIZE and 0 <= y < SIZE:
            maps[k] += 0.7 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8)
    return torch.from_numpy(maps).float()


def run_of(maps: torch.Tensor, known: np.ndarray | None = None, shape: float = 1.0) -> MatchRun:
    """One upright exemplar per row of `known` (default: one that shows everything) against a 64-cell picture."""
    known = np.ones((1, len(maps)), bool) if known is None else known
    count = len(known)
    bank = ExemplarBank(
        tuple(Variant(i) for i in range(count)),
        {},
        torch.from_numpy(known),
        np.stack([SHAPE] * count),
        np.full(count, 24.0),
        torch.ones(count),
    )
    transform = ImageTransform.resize((SIZE, SIZE), (SIZE, SIZE))
    parts = ViewParts(
        {}, transform, (SIZE, SIZE), (SIZE, SIZE), RunSpec("match", "toy", "0", "empty", 0, 1, 1, (64, 64))
    )
    poses = PoseHypotheses(torch.full((count, 2), 32.0), torch.zeros(count))
    return MatchRun(
        SimpleNamespace(schema=SCHEMA),
        bank,
        parts,
        SimpleNamespace(),
        Plan(shape=shape),
        "whole",  # type: ignore[arg-type]
        maps[None].repeat(count, 1, 1, 1),
        torch.zeros(count, SIZE, SIZE),
        poses,
        torch.from_numpy(np.stack([SHAPE] * count)),
        torch.full((count,), 24.0),
    )


@pytest.mark.parametrize(("size", "turn"), [(1.0, 0.0), (1.7, 0.3), (0.6, -0.4)])
def test_shape_of_another_size_is_found(size: float, turn: float) -> None:
    matrix = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    truth = SHAPE @ matrix.T + [30, 33]
    found = find_consensus(run_of(bumps(truth)))
    assert found is not None
    assert np.linalg.norm(found.expected[0] - (truth + 0.5), axis=1).max() < 3
    assert found.length[0] == pytest.approx(24 * size, rel=0.15)


def test_what_lies_outside_the_picture_is_known() -> None:
    truth = SHAPE * 1.6 + [50, 32]  # the right half is cut off
    found = find_consensus(run_of(bumps(truth)))
    assert found is not None
    outside = found.outside((SIZE, SIZE))
    assert (outside[[1, 3]] > 0).all() and (outside[[0, 2, 4, 5]] < 0).all()


def test_no_shape_no_consensus() -> None:
    truth = SHAPE + [32, 32]
    assert find_consensus(run_of(bumps(truth), shape=0.0)) is None
    alone = np.zeros((1, 6), bool)
    alone[0, 2] = True
    assert find_consensus(run_of(bumps(truth), alone)) is None


def test_share_of_exemplars_that_show_a_keypoint() -> None:
    known = np.ones((3, 6), bool)
    known[:2, 5] = False
    known[:, 4] = [True, True, False]
    shown = shown_share(run_of(bumps(SHAPE + [32, 32]), known), None)
    assert shown[0] == pytest.approx(1.0)
    assert shown[5] < shown[4] < shown[0] and shown[5] > 0


def test_the_weaker_of_two_on_one_place_is_crowded() -> None:
    run = run_of(bumps(SHAPE + [32, 32]))
    xy = SHAPE + 32.5
    xy[2] = xy[3]  # the left foot on the right one
    raw = RawKeypoints(
        xy,
        tuple(KeypointSignals(0.5, 0.1) for _ in range(6)),
        ((),) * 6,
        np.ones(6, bool),
        (0, 0, 1, 1),
        0.0,
        0,
        0.0,
        run,
    )
    crowded = crowding(raw, np.array([0.7, 0.7, 0.3, 0.7, 0.7, 0.7]))
    assert crowded[2] == pytest.approx(1.0) and crowded[3] == 0.0


def test_twins_share_no_place() -> None:
    truth = SHAPE + [32, 32]
    maps = bumps(truth)
    maps[2] = maps[3] + 0.95 * (
        maps[2] - maps[2].mean()
    )  # the left foot likes the right one a little more than its own
    own = torch.tensor(truth).float()
    own[2] = own[3]
    apart = separate_twins(run_of(maps), maps, own)
    assert torch.linalg.vector_norm(apart - torch.tensor(truth).float(), dim=1).max() < 1.5
    untouched = separate_twins(run_of(maps), maps, torch.tensor(truth).float())
    assert torch.equal(untouched, torch.tensor(truth).float())
