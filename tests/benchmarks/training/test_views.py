"""Training views carry their labels; batches give true correspondences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.training.batches import BatchSource
from benchmarks.training.render_sets import open_set, render_set
from benchmarks.training.scenes import render_scene
from benchmarks.training.views import apply_homography, make_view, warp_image


@pytest.fixture(scope="module")
def toy_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "toy"
    render_set(folder, 0, 24, 64, hard=0.5)
    return folder


def test_points_follow_the_warp() -> None:
    scene = render_scene(7, 128)
    view = make_view(scene, np.random.default_rng(3), 64)
    main = scene.objects[0]
    expected = apply_homography(view.scene_to_view, main.surface_xy)
    assert view.points[32:] == pytest.approx(expected, abs=1e-3)
    inside = view.points[view.visible]
    assert ((inside >= 0) & (inside < 64)).all()


def test_warping_uses_continuous_coordinates() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[10:12, 20:22] = 255  # a square whose centre is xy_image (21, 11)
    double = np.diag([2.0, 2.0, 1.0]).astype(np.float32)
    ys, xs = np.nonzero(warp_image(picture, double, 80)[..., 0] > 127)
    assert (xs.mean() + 0.5, ys.mean() + 0.5) == pytest.approx((42, 22), abs=0.3)


def test_an_interrupted_set_continues_and_refuses_another_recipe(tmp_path: Path, toy_set: Path) -> None:
    folder = tmp_path / "part"
    render_set(folder, 0, 24, 64, hard=0.5)
    state = folder / "set.json"
    state.write_text(state.read_text().replace('"done": 24', '"done": 10'))
    np.load(folder / "images.npy", mmap_mode="r+")[20:] = 0
    render_set(folder, 0, 24, 64, hard=0.5)
    assert np.array_equal(open_set(folder).images, open_set(toy_set).images)
    with pytest.raises(ValueError, match="another set"):
        render_set(folder, 5, 24, 64, hard=0.5)


def test_batches_correspond(toy_set: Path) -> None:
    source = BatchSource([toy_set], size=64, groups=2, views=2, queries=40)
    data, kinds = open_set(toy_set), set()
    for step in range(12):
        batch = source.draw(np.random.default_rng([1, step]))
        assert batch.rows.shape == (4, 2)
        for j in range(4):
            for k in np.nonzero(batch.query_kind[j])[0]:
                i = batch.query_image[j, k]
                kinds.add(int(batch.query_kind[j, k]))
                assert batch.category[i] == batch.category[j]
                if batch.query_kind[j, k] == 2:
                    a, b = (data.warp[batch.rows[n][1]] for n in (i, j))
                    moved = apply_homography((b @ np.linalg.inv(a)).astype(np.float32), batch.query_xy[j, k : k + 1])
                    assert moved[0] == pytest.approx(batch.target_xy[j, k], abs=0.05)
                else:
                    slot = np.abs(batch.points[j] - batch.target_xy[j, k]).sum(1).argmin()
                    assert batch.points[i, slot] == pytest.approx(batch.query_xy[j, k], abs=1e-4)
                    assert batch.visible[i, slot] and batch.visible[j, slot]
    assert kinds == {1, 2}
