"""Procedural scenes: pure functions of their seed, labels that agree with the picture."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.training.bodies import BUILDERS, CATEGORIES, keypoint_names, twin_pairs
from benchmarks.training.primitives import BOX, CYLINDER, ELLIPSOID, Primitive, cast, look_at
from benchmarks.training.scenes import HELD_OUT, SceneOptions, identity_of, render_scene, surface_table
from benchmarks.training.skeletons import SKELETONS
from benchmarks.training.textures import bank_image

SIZE = 96


def test_a_scene_is_a_pure_function_of_its_seed() -> None:
    first = render_scene(1234, SIZE)
    render_scene(99, SIZE)  # whatever was rendered in between must not matter
    bank_image.cache_clear()
    second = render_scene(1234, SIZE)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.owner, second.owner)
    assert np.array_equal(first.objects[0].xy_image, second.objects[0].xy_image)
    assert not np.array_equal(first.image, render_scene(1235, SIZE).image)


@pytest.mark.parametrize("category", list(CATEGORIES))
def test_visible_keypoints_lie_on_their_own_body(category: str) -> None:
    seen = 0
    for seed in (HELD_OUT + 40, HELD_OUT + 44):
        scene = render_scene(seed, SIZE, SceneOptions(category=category, distractor=True))
        for index, found in enumerate(scene.objects):
            visible = found.visibility == 2
            cells = np.floor(found.xy_image[visible]).astype(int)
            assert (scene.owner[cells[:, 1], cells[:, 0]] == index).all()
            dense = np.floor(found.surface_xy[found.surface_visible]).astype(int)
            assert (scene.owner[dense[:, 1], dense[:, 0]] == index).all()
            seen += int(visible.sum())
    assert seen > 8


def test_named_categories_have_11_to_17_keypoints_and_mirror_twins() -> None:
    assert len(CATEGORIES) >= 8
    for category in CATEGORIES:
        names = keypoint_names(category)
        assert 10 <= len(names) <= 18, category
        for a, b in twin_pairs(names):
            assert names[a].replace("left", "right") == names[b]
    for category, edges in SKELETONS.items():
        assert {name for edge in edges for name in edge} <= set(keypoint_names(category))


def test_scenes_of_one_identity_share_its_number_and_differ_in_pose() -> None:
    assert identity_of(400) == identity_of(403) != identity_of(404)
    a, b = render_scene(400, SIZE), render_scene(401, SIZE)
    assert a.objects[0].category == b.objects[0].category
    assert a.objects[0].identity == b.objects[0].identity
    assert not np.allclose(a.objects[0].xy_image, b.objects[0].xy_image)


def test_every_category_keeps_its_order_of_parts_between_identities() -> None:
    for number, category in enumerate(BUILDERS):
        pick, unit = surface_table(category)
        assert pick.shape == (96,), (number, category)
        assert np.isfinite(unit).all()


@pytest.mark.parametrize(("kind", "half"), [(ELLIPSOID, 0.5), (BOX, 0.5), (CYLINDER, 0.5)])
def test_rays_meet_solids_where_geometry_says(kind: int, half: float) -> None:
    prim = Primitive(
        kind, np.eye(3, dtype=np.float32) * half, np.zeros(3, np.float32), np.full(3, half, np.float32), 0, 0
    )
    camera = look_at(np.array([4.0, 0, 0], np.float32), np.zeros(3, np.float32), 0.0, 60.0, 65)
    hits = cast([prim], camera)
    assert hits.index[32, 32] == 0
    assert hits.depth[32, 32] == pytest.approx(4.0 - half, abs=0.02)
    assert hits.normal[32, 32] == pytest.approx(np.array([1.0, 0, 0]), abs=0.05)
    assert hits.index[0, 0] == -1
    xy, depth = camera.project(np.array([[half, 0, 0]], np.float32))
    assert xy[0] == pytest.approx(np.array([32.5, 32.5]), abs=1e-3)
    assert depth[0] == pytest.approx(4.0 - half, abs=1e-4)
