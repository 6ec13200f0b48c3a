"""Pieces of matching on hand-made maps: peaks, pose votes, fusion, whitening, scenes, label checks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from kinmark.engine.api import ImageInput
from kinmark.engine.matching.bank import WHOLE
from kinmark.engine.matching.peaks import max_within, top_peaks
from kinmark.engine.matching.plan.context import MatchContext
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.plan.scene import detect_fixed_scene
from kinmark.engine.matching.reader import DESCRIPTOR
from kinmark.engine.matching.sampling import l2_normalise
from kinmark.engine.matching.similarity import fuse_exemplars, inside_region, restrict
from kinmark.engine.matching.votes import best_poses, pose_votes
from kinmark.engine.matching.whitening import Whitener, fit_whitener, identity_whitener
from kinmark.engine.pipelines.label_check import CheckWeights, Witnesses, exchanged_layouts, judge_labels
from kinmark.engine.pipelines.label_layout import layout_residuals


def bump(width: int, height: int, x: float, y: float, value: float = 1.0, sigma: float = 1.5) -> torch.Tensor:
    xs, ys = torch.arange(width).float(), torch.arange(height).float()
    return value * torch.exp(-((xs - x) ** 2 + (ys[:, None] - y) ** 2) / (2 * sigma**2))


def test_peaks_are_distinct_sub_cell_and_ordered() -> None:
    found = top_peaks((bump(30, 20, 7.3, 5.2) + bump(30, 20, 20, 12, 0.6))[None], k=3, radius_cells=2)
    np.testing.assert_allclose(found.xy[0, 0].numpy(), [7.3, 5.2], atol=0.1)
    np.testing.assert_allclose(found.xy[0, 1].numpy(), [20, 12], atol=0.1)
    assert float(found.margin[0]) == pytest.approx(0.36, abs=0.06)


def test_pose_votes_find_the_shape_among_stray_peaks() -> None:
    offsets = torch.tensor([[[6.0, 0], [-6, 0], [0, 4]]])
    maps = torch.stack([bump(40, 30, 26, 12) + bump(40, 30, 5, 25, 1.3), bump(40, 30, 14, 12), bump(40, 30, 20, 16)])
    poses = best_poses(pose_votes(maps[None], torch.ones(1, 3, dtype=torch.bool), offsets, slack_cells=1))
    np.testing.assert_allclose(poses.centre[0].numpy(), [20, 12], atol=1.01)
    turned = pose_votes(maps[None], torch.ones(1, 3, dtype=torch.bool), -offsets, slack_cells=1)
    assert float(turned.max()) < float(poses.score[0])


def test_fusing_respects_missing_exemplars() -> None:
    a, b = torch.zeros(1, 2, 2), torch.ones(1, 2, 2)
    unknown = torch.full((1, 2, 2), float("-inf"))
    assert fuse_exemplars(torch.stack([a, b])).max() == 1
    assert torch.equal(fuse_exemplars(torch.stack([b, unknown]), how="mean"), b)
    assert not torch.isfinite(fuse_exemplars(torch.stack([unknown, unknown]), how="mean")).any()
    weighted = fuse_exemplars(torch.stack([a, b]), torch.tensor([3.0, 1.0]), how="mean")
    assert float(weighted[0, 0, 0]) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="median"):
        fuse_exemplars(torch.stack([a, b]), how="median")


def test_restriction_keeps_something() -> None:
    centres = torch.stack(torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="xy"), dim=-1).double() + 0.5
    inside = inside_region(centres, box=(0, 0, 2, 3))
    maps = torch.ones(1, 3, 4)
    assert torch.isfinite(restrict(maps, inside)).sum() == 6
    assert torch.isfinite(restrict(maps, inside & False)).all()


def test_whitening_lowers_what_is_common() -> None:
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(16, generator=generator) * 4
    cells = common + torch.randn(500, 16, generator=generator)
    plain, white = identity_whitener(16), fit_whitener(cells)
    a, b = cells[:50], cells[50:100]
    unit = torch.nn.functional.normalize
    before = (plain(unit(a)) * plain(unit(b))).sum(-1).mean()
    after = (white(unit(a)) * white(unit(b))).sum(-1).mean()
    assert float(before) > 0.8 and abs(float(after)) < 0.1


def make_frames(folder: Path, moving_camera: bool) -> list[ImageInput]:
    generator = np.random.default_rng(1)
    images = []
    for index in range(6):
        seed = index if moving_camera else 0
        floor = cv2.GaussianBlur(np.random.default_rng(seed).normal(128, 60, (60, 80)), (0, 0), 3) * 3 - 256
        frame = floor + generator.normal(0, 2, floor.shape)
        cv2.circle(frame, (10 + 10 * index, 30), 6, 255.0, -1)
        path = folder / f"{moving_camera}{index}.png"
        cv2.imwrite(str(path), frame.clip(0, 255).astype(np.uint8))
        images.append(ImageInput(str(index), path))
    return images


def test_fixed_camera_is_noticed_and_shows_what_moved(tmp_path: Path) -> None:
    images = make_frames(tmp_path, moving_camera=False)
    scene = detect_fixed_scene(images, [(80, 60)] * 6)
    assert scene is not None
    front = scene.foreground(images[2])
    there, elsewhere = scene.at(front, np.array([30.5, 30.5])), scene.at(front, np.array([70.5, 8.0]))
    assert there > 0.8 and elsewhere < 0.2
    assert detect_fixed_scene(make_frames(tmp_path, moving_camera=True), [(80, 60)] * 6) is None
    assert detect_fixed_scene(images, [(80, 60)] * 5 + [(81, 60)]) is None


def test_moved_and_swapped_labels_are_found() -> None:
    generator = np.random.default_rng(0)
    shape = np.array([[0.0, 0], [40, 0], [60, 25], [10, 40], [30, 60], [-20, 30]])
    points = []
    for index in range(8):
        angle, scale = generator.uniform(-0.5, 0.5), generator.uniform(0.8, 1.2)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        points.append(shape @ turn.T + generator.normal(0, 1, shape.shape) + 100 * index)
    xy = np.stack(points)
    xy[2, 4] += [30, -25]
    xy[5, [2, 3]] = xy[5, [3, 2]]
    flip = [0, 1, 3, 2, 4, 5]
    lengths = np.full(8, 80.0)
    layout, expected = layout_residuals(xy, lengths)
    looks = np.full((8, 6, 6), 0.3) + np.eye(6) * 0.3
    looks[2, 4, 4] = looks[5, 2, 2] = looks[5, 3, 3] = 0.1
    looks[5, 2, 3] = looks[5, 3, 2] = 0.6
    there = np.full((8, 6), 0.6)
    witnesses = Witnesses(layout, looks, there, *exchanged_layouts(xy, lengths, flip))
    found = {(row, k, kind) for row, k, kind, _ in judge_labels(witnesses, xy, lengths, flip, CheckWeights())}
    assert found == {(2, 4, "far"), (5, 2, "swapped"), (5, 3, "swapped")}
    assert np.linalg.norm(expected[2, 4] - (xy[2, 4] - [30, -25])) < 5


def test_the_largest_value_within_a_radius_is_that_of_max_pooling() -> None:
    generator = torch.Generator().manual_seed(5)
    maps = torch.randn(2, 3, 11, 7, generator=generator)
    maps[0, 1, :4] = float("-inf")
    for radius in (0, 1, 2, 3, 6, 20):
        border = functional.pad(maps, (radius,) * 4, value=float("-inf"))
        expected = functional.max_pool2d(border, 2 * radius + 1, stride=1)
        assert torch.equal(max_within(maps, radius), expected)


@pytest.mark.parametrize(("rounded", "tolerance"), [(False, 1e-5), (True, 0.01)])
def test_whitening_a_map_is_whitening_its_cells(
    monkeypatch: pytest.MonkeyPatch, rounded: bool, tolerance: float
) -> None:
    monkeypatch.setattr("kinmark.engine.matching.whitening.cpu_has_bf16", lambda: rounded)
    generator = torch.Generator().manual_seed(6)
    cells = torch.randn(400, 12, generator=generator)
    maps = 5 * torch.randn(12, 4, 5, generator=generator)
    for whitener in (fit_whitener(cells), identity_whitener(12)):
        one_by_one = whitener(l2_normalise(maps.flatten(1).T)).T.reshape(12, 4, 5)
        own = whitener.maps(maps)
        assert own.dtype == torch.float32 and torch.allclose(own, one_by_one, atol=tolerance)
    assert torch.allclose(identity_whitener(12).maps(maps), l2_normalise(maps, dim=0), atol=1e-6)


def test_a_map_is_whitened_once_and_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counting(Whitener):
        def maps(self, maps: torch.Tensor) -> torch.Tensor:
            made.append(len(maps))
            return super().maps(maps)

    monkeypatch.setattr("kinmark.engine.matching.plan.context.KEEP_BYTES", 3 * 4 * 6 * 4)
    context = MatchContext(None, (), ())  # type: ignore[arg-type]
    whitener = Counting(torch.zeros(4), torch.eye(4))
    monkeypatch.setattr(MatchContext, "whitener", lambda *_: whitener)
    maps = [torch.randn(4, 2, 3) for _ in range(5)]
    ask = lambda n: context.whitened(WHOLE, DESCRIPTOR, Plan(), maps[n])  # noqa: E731
    first = ask(0)
    assert ask(0) is first and len(made) == 1
    for n in range(1, 3):
        ask(n)
    assert ask(0) is first and len(made) == 3
    ask(3)  # the one that nobody asked for longest goes
    assert ask(0) is first and len(made) == 4
    ask(1)
    assert len(made) == 5
