"""Shapes: the Gaussian says what it should, the fit finds the maximum, and the closed form of "without this one" is right."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinmark.engine.heads.ridge import contribution, gaussians, solve
from kinmark.engine.heads.shape import fit_shape, shape_model

MEAN = np.array([[20.0, 20], [40, 20], [40, 40], [20, 40], [30, 30]])
UNIT = 30.0


def maps_at(points: np.ndarray, height: float = 6.0, sigma: float = 1.5) -> torch.Tensor:
    return height * gaussians(torch.from_numpy(points), 61, 61, sigma)


def test_a_turned_and_moved_shape_is_found() -> None:
    angle = np.deg2rad(12)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    truth = (MEAN - 30) @ turn.T * 1.1 + [33, 28]
    fit = fit_shape(maps_at(truth), shape_model(MEAN[None], MEAN, UNIT))
    assert np.linalg.norm(fit.xy - truth, axis=1).max() < 1.0
    assert fit.support > 4


def test_a_keypoint_without_evidence_goes_where_the_others_put_it() -> None:
    truth = MEAN + [4, -3]
    maps = maps_at(truth)
    maps[4] = 0
    fit = fit_shape(maps, shape_model(MEAN[None], MEAN, UNIT))
    assert np.linalg.norm(fit.xy[4] - truth[4]) < 1.5
    assert fit.spread[4] > 1.5 * fit.spread[:4].max()


def test_a_false_peak_does_not_win_against_the_shape() -> None:
    maps = maps_at(MEAN)
    maps[4] = 7 * gaussians(torch.tensor([[55.0, 5.0]]), 61, 61, 1.5)[0] + 0.8 * maps[4]
    fit = fit_shape(maps, shape_model(MEAN[None], MEAN, UNIT))
    assert np.linalg.norm(fit.xy[4] - MEAN[4]) < 2


def test_where_the_others_put_a_keypoint_is_the_fit_without_it() -> None:
    maps = maps_at(MEAN + [[1, 0], [0, 2], [-1, 0], [0, -1], [3, 3]])
    model = shape_model(MEAN[None], MEAN, UNIT)
    fit = fit_shape(maps, model)
    flat = maps.clone()
    flat[4] = 0
    without = fit_shape(flat, model)
    # The flat map still has a window of its own, so the two agree only nearly.
    assert np.linalg.norm(fit.others_xy[4] - without.xy[4]) < 0.6


def test_exemplars_that_differ_make_room_where_they_differ() -> None:
    other = MEAN.copy()
    other[4] += [10, 0]
    aligned = np.stack([MEAN, other])
    model = shape_model(aligned, aligned.mean(axis=0), UNIT)
    plain = shape_model(MEAN[None], MEAN, UNIT)
    assert model.covariance[4, 4] > plain.covariance[4, 4] + 20
    assert model.covariance[9, 9] == pytest.approx(plain.covariance[9, 9], rel=0.15)


def test_unknown_keypoints_and_a_single_one() -> None:
    aligned = MEAN[None].copy()
    aligned[:, 1:] = np.nan
    model = shape_model(aligned, np.where(np.isfinite(aligned[0]), aligned[0], 30.0), UNIT)
    assert model.known.tolist() == [True, False, False, False, False]
    fit = fit_shape(maps_at(MEAN + 2), model)
    assert np.linalg.norm(fit.xy[0] - MEAN[0] - 2) < 1
    assert np.isnan(fit.spread[1:]).all()


def test_heads_of_single_labels_add_up_to_heads_of_all() -> None:
    generator = torch.Generator().manual_seed(1)
    maps = [torch.nn.functional.normalize(torch.randn(12, 9, 9, generator=generator), dim=0) for _ in range(4)]
    places = [torch.rand(3, 2, generator=generator) * 8 for _ in range(4)]
    known = torch.ones(3, dtype=torch.bool)
    one_by_one = solve([contribution([m], [p], known) for m, p in zip(maps, places, strict=True)])
    at_once = solve([contribution(maps, places, known)])
    assert float((one_by_one - at_once).abs().max()) < 1e-5


def test_a_head_learns_only_from_labels_that_show_its_keypoint() -> None:
    generator = torch.Generator().manual_seed(2)
    maps = [torch.randn(6, 7, 7, generator=generator) for _ in range(2)]
    places = [torch.tensor([[1.0, 1], [5, 5]]), torch.tensor([[2.0, 4], [0, 0]])]
    both, first = torch.tensor([True, True]), torch.tensor([True, False])
    parts = [contribution([maps[0]], [places[0]], both), contribution([maps[1]], [places[1]], first)]
    weights = solve(parts)
    assert torch.allclose(weights[:, 1], solve(parts[:1])[:, 1], atol=1e-5)
    assert not torch.allclose(weights[:, 0], solve(parts[:1])[:, 0], atol=1e-3)
    nothing = solve([contribution([maps[0]], [places[0]], torch.tensor([True, False]))])
    assert float(nothing[:, 1].abs().max()) == 0
