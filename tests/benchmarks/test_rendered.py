"""The pairs and judgements of the quality benchmark, on the real functions at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.rendered import keypoints as q
from benchmarks.rendered.instance_cases import InstanceOutcome, gains, instance_cases, judge, summarise
from benchmarks.training.textures import bank_image
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.descriptors import get_descriptor
from kinmark.engine.features.fusion import kernel_scores


def test_synthetic_pairs_are_held_out_and_repeatable() -> None:
    pairs = q.synthetic_pairs(3, 64)
    again = q.synthetic_pairs(3, 64)
    assert [p.category for p in pairs] == ["dog", "horse", "cat"]
    for a, b in zip(pairs, again, strict=True):
        assert np.array_equal(a.target, b.target)
        assert a.source_xy.shape == a.target_xy.shape
        assert len(a.source_xy) >= q.MIN_POINTS
        assert 5 < a.length <= 65


def test_warped_pairs_correspond_pixel_by_pixel() -> None:
    photo = bank_image(3)
    pairs = q.warped_pairs([("bank", photo)], 2, 96, seed=1)
    describe = get_descriptor("dense_sift").compute
    for pair in pairs:
        maps = [{"s": describe(p[None], (48, 48))[0]} for p in (pair.source, pair.target)]
        found = q.match_pair(pair, q.Arm("s", "s"), *maps)
        error = np.linalg.norm(found - pair.target_xy, axis=1)
        assert np.median(error) < 5


@pytest.mark.parametrize(("half", "count", "scale"), [(False, 4, 1.0), (True, 15, 2.0)])
def test_stereo_points_follow_the_disparity(half: bool, count: int, scale: float) -> None:
    left = bank_image(4)[:96, :192]
    right = np.roll(left, -6, axis=1)
    pairs = q.stereo_pairs(left, right, np.full(left.shape[:2], 6.0), 96, half=half)
    assert len(pairs) == count
    describe = get_descriptor("dense_sift").compute
    for pair in pairs:
        shift = pair.source_xy - pair.target_xy
        assert shift == pytest.approx(np.tile([6.0 * scale, 0.0], (len(shift), 1)))
    maps = [{"s": describe(p[None], (48, 48))[0]} for p in (pairs[-1].source, pairs[-1].target)]
    found = q.match_pair(pairs[-1], q.Arm("s", "s"), *maps)
    # Both tiles are cut from the same place of either picture.
    assert np.median(np.linalg.norm(found - pairs[-1].target_xy, axis=1)) < 2


def test_the_kernel_leaves_only_real_likeness() -> None:
    scores = kernel_scores(torch.tensor([1.0, 0.95, 0.7]), 0.075)
    assert scores[0] == 1
    assert 0.4 < scores[1] < 0.6
    assert scores[2] < 0.02


def test_fused_scores_weigh_both_parts() -> None:
    torch.manual_seed(0)
    maps = {n: torch.nn.functional.normalize(torch.randn(8, 5, 5), dim=0) for n in "ab"}
    xy = torch.tensor([[2.0, 3.0]])
    a, b = (q.Arm(n, n).scores(maps, maps, xy) for n in "ab")
    fused = q.Arm("f", "a", "b", 0.25, 0.1).scores(maps, maps, xy)
    assert torch.allclose(fused, 0.75 * a + 0.25 * kernel_scores(b, 0.1))
    assert fused[0, 3, 2] == pytest.approx(1.0, abs=1e-4)


def test_figures_carry_their_errors() -> None:
    good = q.PairResult("x", np.array([[True, True], [True, True]]))
    half = q.PairResult("x", np.array([[True, False], [True, False]]))
    figure = q.per_image([good, half], 0.1)
    assert (figure.value, figure.error) == pytest.approx((75.0, 25.0))
    assert q.gain([good, good], [half, good], 0.05).value == pytest.approx(25.0)
    assert q.per_point([good, half], 0.1).value == pytest.approx(75.0)


def test_cases_hold_the_instance_and_its_double(tmp_path: Path) -> None:
    case = instance_cases(tmp_path, 1, 96)[0]
    assert case.reference.is_file()
    assert case.reference_mask.sum() > 100
    assert {0, 1} <= set(np.unique(case.owner))


def test_another_list_shows_other_scenes(tmp_path: Path) -> None:
    own, again, other = (instance_cases(tmp_path / str(k), 1, 96, first)[0] for k, first in enumerate((0, 0, 20_000)))
    assert own.category == other.category
    assert own.target.read_bytes() == again.target.read_bytes() != other.target.read_bytes()
    assert not np.array_equal(own.reference_mask, other.reference_mask)


def test_judging_a_proposal() -> None:
    owner = np.full((40, 40), -1, np.int8)
    owner[5:15, 5:15], owner[5:15, 25:35] = 0, 1

    def proposal(mask: np.ndarray, peak: tuple[float, float]) -> MaskProposal:
        return MaskProposal("r", "t", 0.0, 1.0, MaskRLE.encode(mask), None, RunSpec("pdm", "toy"), peak)

    assert judge(proposal(owner == 0, (10.0, 10.0)), owner) == InstanceOutcome(1.0, True, True)
    assert judge(proposal(owner == 1, (30.0, 10.0)), owner) == InstanceOutcome(0.0, False, False)
    assert judge(proposal(owner >= 0, (17.0, 10.0)), owner) == InstanceOutcome(0.5, False, True)
    table = summarise([InstanceOutcome(1.0, True, True), InstanceOutcome(0.0, False, True)])
    assert table["iou"][0] == 50
    assert table["right"] == (100, 0)


def test_gain_is_paired() -> None:
    easy, hard = InstanceOutcome(1.0, True, True), InstanceOutcome(0.2, True, False)
    worse = [InstanceOutcome(0.9, False, True), InstanceOutcome(0.1, False, False)]
    found = gains([easy, hard], worse)
    assert found["iou"] == pytest.approx((10, 0))
    assert found["peak"] == (100, 0)
    assert found["right"] == (0, 0)
