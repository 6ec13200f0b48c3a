"""Parity of the correspondence loss with the reference vectors, and its published defects fixed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.domain.geometry import rescale_corner_aligned
from kinmark.engine.tuning.loss import LossConfig, correspondence_loss, gaussian_kernel


@pytest.fixture(scope="module")
def vectors(reference_dir: Path) -> dict[str, np.ndarray]:
    with np.load(reference_dir / "sd4match_loss.npz", allow_pickle=False) as data:
        return {k: data[k] for k in data.files}


def _cells(xy: np.ndarray, image_hw: np.ndarray, feature: np.ndarray) -> torch.Tensor:
    image_wh = (int(image_hw[1]), int(image_hw[0]))
    return torch.from_numpy(rescale_corner_aligned(xy, image_wh, feature.shape[:1:-1])).float()


def _case(v: dict[str, np.ndarray], case: str, config: LossConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    src = torch.from_numpy(v[f"{case}_src_feat"]).requires_grad_()
    tgt = torch.from_numpy(v[f"{case}_trg_feat"]).requires_grad_()
    hw = v[f"{case}_img_hw"]
    src_xy, tgt_xy = _cells(v[f"{case}_src_kps"], hw, src), _cells(v[f"{case}_trg_kps"], hw, tgt)
    valid = torch.arange(src_xy.shape[1])[None] < torch.from_numpy(v[f"{case}_npts"])[:, None]
    return correspondence_loss(src, tgt, src_xy, tgt_xy, valid, config), src, tgt


@pytest.mark.parametrize("case", "ABCD")
@pytest.mark.parametrize("floor", [0.0, 1e-30])
def test_loss_and_gradients_agree_with_the_reference(vectors: dict[str, np.ndarray], case: str, floor: float) -> None:
    config = LossConfig(normalise=bool(vectors[f"{case}_l2_norm"]), probability_floor=floor)
    loss, src, tgt = _case(vectors, case, config)
    assert loss.item() == pytest.approx(float(vectors[f"{case}_loss"]), rel=1e-4)
    loss.backward()
    np.testing.assert_allclose(src.grad.numpy(), vectors[f"{case}_grad_src"], atol=1e-5, rtol=1e-3)
    np.testing.assert_allclose(tgt.grad.numpy(), vectors[f"{case}_grad_trg"], atol=1e-5, rtol=1e-3)


def test_kernel_is_the_published_density(vectors: dict[str, np.ndarray]) -> None:
    _, weight = gaussian_kernel(LossConfig())
    np.testing.assert_allclose(weight.view(7, 7).numpy(), vectors["kernel"], atol=1e-7)


@pytest.mark.parametrize("where", ["inside", "border"])
def test_underflow_is_finite_unless_the_published_defect_is_asked_for(
    vectors: dict[str, np.ndarray], where: str
) -> None:
    src = torch.from_numpy(vectors["underflow_src_feat"])
    tgt = torch.from_numpy(vectors["underflow_trg_feat"]).requires_grad_()
    hw = np.array([128, 128])
    src_xy = _cells(vectors["underflow_src_kps"], hw, src)
    tgt_xy = _cells(vectors[f"underflow_{where}_trg_kps"], hw, src)
    valid = torch.ones(1, 4, dtype=torch.bool)
    published = correspondence_loss(
        src, tgt, src_xy, tgt_xy, valid, LossConfig(normalise=False, probability_floor=0.0)
    ).item()
    expected = float(vectors[f"underflow_{where}_loss"])
    assert (np.isinf(published) and np.isinf(expected)) or (np.isnan(published) and np.isnan(expected))
    ours = correspondence_loss(src, tgt, src_xy, tgt_xy, valid, LossConfig(normalise=False))
    assert torch.isfinite(ours)
    ours.backward()
    assert torch.isfinite(tgt.grad).all()


def test_border_keypoints_weigh_as_much_as_others_when_renormalised() -> None:
    maps = torch.randn(1, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    flat = torch.zeros_like(maps)
    valid = torch.ones(1, 1, dtype=torch.bool)
    middle, corner = torch.tensor([[[4.0, 4.0]]]), torch.tensor([[[1.0, 1.0]]])

    def loss(at: torch.Tensor, renormalise: bool) -> float:
        return correspondence_loss(maps, flat, middle, at, valid, LossConfig(renormalise_kernel=renormalise)).item()

    assert loss(corner, False) < 0.8 * loss(middle, False)
    assert loss(corner, True) == pytest.approx(loss(middle, True), rel=1e-5)


def test_pairs_without_points_do_not_count() -> None:
    generator = torch.Generator().manual_seed(1)
    src, tgt = torch.randn(2, 4, 6, 6, generator=generator), torch.randn(2, 4, 6, 6, generator=generator)
    xy = torch.full((2, 3, 2), 2.5)
    valid = torch.tensor([[True, True, False], [False, False, False]])
    both = correspondence_loss(src, tgt, xy, xy, valid)
    one = correspondence_loss(src[:1], tgt[:1], xy[:1], xy[:1], valid[:1])
    assert both.item() == pytest.approx(one.item())
