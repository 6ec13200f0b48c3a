"""Hit-testing, outlines and whole-instance gestures as functions on arrays: no window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinmark.desktop.canvas.content import CanvasContent, InstanceContent
from kinmark.desktop.canvas.hit import (
    box_handles,
    drag_box_handle,
    hit_box,
    hit_point,
    instances_at,
    nearest_edge,
    nearest_point,
    place_labels,
)
from kinmark.desktop.canvas.outline import fill_polygon, stamp_disc, stamp_stroke, trace_borders
from kinmark.desktop.canvas.pyramid import ImagePyramid, halve
from kinmark.desktop.canvas.simplify import simplify_ring
from kinmark.desktop.canvas.transforms import shifted_instance, turned_instance
from kinmark.desktop.canvas.viridis import heat_image, viridis
from kinmark.desktop.states import PointState
from kinmark.engine.domain.masks import MaskRLE

IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])
S = PointState


def instance(
    key: str, points: list[tuple[float, float]], states: list[PointState] | None = None, **more: object
) -> InstanceContent:
    count = len(points)
    return InstanceContent(
        key,
        key,
        tuple(f"k{i}" for i in range(count)),
        np.array(points, dtype=float).reshape(-1, 2),
        tuple(states or [S.HUMAN] * count),
        np.full(count, 2),
        np.full(count, np.nan),
        **more,  # type: ignore[arg-type]
    )


def content(*instances: InstanceContent, selected: str | None = None, focused: int | None = None) -> CanvasContent:
    return CanvasContent((100, 100), instances, selected, focused)


def test_nearest_point_ignores_nan_and_far_ones() -> None:
    points = [(0, 0), (np.nan, np.nan), (10, 0)]
    assert nearest_point(points=points, cursor=(8, 0), radius_px=5) == (2, 2.0)
    assert nearest_point(points=points, cursor=(50, 50), radius_px=5) is None
    assert nearest_point(points=np.zeros((0, 2)), cursor=(0, 0), radius_px=5) is None


def test_hit_prefers_the_focused_then_the_selected_one() -> None:
    a, b = instance("a", [(10, 10), (14, 10)]), instance("b", [(11, 10)])
    assert hit_point(content=content(a, b), matrix=IDENTITY, cursor=(11.4, 10)).key == "b"  # type: ignore[union-attr]
    hit = hit_point(content=content(a, b, selected="a"), matrix=IDENTITY, cursor=(11.4, 10))
    assert hit is not None and (hit.key, hit.index) == ("a", 0)
    hit = hit_point(content=content(a, b, selected="a", focused=1), matrix=IDENTITY, cursor=(11.4, 10))
    assert hit is not None and (hit.key, hit.index) == ("a", 1)


def test_absent_and_empty_keypoints_cannot_be_hit() -> None:
    a = instance("a", [(10, 10), (20, 20)], [S.ABSENT, S.EMPTY])
    assert hit_point(content=content(a), matrix=IDENTITY, cursor=(10, 10)) is None


def test_hit_radius_is_in_screen_pixels_at_any_zoom() -> None:
    a = instance("a", [(10, 10)])
    for scale in (0.1, 1.0, 12.0):
        matrix = IDENTITY * scale
        inside = (10 * scale + 10, 10 * scale)
        outside = (10 * scale + 13, 10 * scale)
        assert hit_point(content=content(a), matrix=matrix, cursor=inside) is not None
        assert hit_point(content=content(a), matrix=matrix, cursor=outside) is None


@pytest.mark.parametrize("handle", range(8))
def test_dragging_a_handle_moves_only_its_sides(handle: int) -> None:
    box = (10.0, 20.0, 50.0, 60.0)
    x, y = box_handles(box)[handle]
    assert drag_box_handle(box, handle, (x, y)) == box
    moved = drag_box_handle(box, handle, (x + 3, y + 4))
    expected = np.array(box)
    if handle in (0, 6, 7):
        expected[0] += 3
    if handle in (2, 3, 4):
        expected[2] += 3
    if handle in (0, 1, 2):
        expected[1] += 4
    if handle in (4, 5, 6):
        expected[3] += 4
    assert moved == pytest.approx(tuple(expected))


def test_dragging_a_handle_over_the_other_side_keeps_the_box_ordered() -> None:
    assert drag_box_handle((10, 10, 20, 20), 4, (5, 4)) == (5, 4, 10, 10)


def test_box_hits_handles_of_the_selected_and_borders_of_the_smallest() -> None:
    big, small = instance("big", [], box=(0, 0, 90, 90)), instance("small", [], box=(40, 40, 60, 60))
    hit = hit_box(content=content(big, small, selected="small"), matrix=IDENTITY, cursor=(60, 60))
    assert hit is not None and (hit.key, hit.handle) == ("small", 4)
    hit = hit_box(content=content(big, small), matrix=IDENTITY, cursor=(50, 40))
    assert hit is not None and (hit.key, hit.handle) == ("small", -1)
    assert hit_box(content=content(big, small), matrix=IDENTITY, cursor=(20, 20)) is None


def test_instances_at_uses_masks_where_there_are_any() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[10:20, 10:20] = True
    masked = instance("m", [], mask=MaskRLE.encode(mask), box=(0, 0, 100, 100))
    boxed = instance("b", [], box=(5, 5, 40, 40))
    both = content(masked, boxed)
    assert instances_at(content=both, xy_image=(15.5, 15.5)) == ("m", "b")
    assert instances_at(content=both, xy_image=(30, 30)) == ("b", "m")
    assert instances_at(content=both, xy_image=(99, 99)) == ("m",)


def test_nearest_edge_of_a_polygon() -> None:
    found = nearest_edge(polygon=[(0, 0), (10, 0), (10, 10), (0, 10)], cursor=(10.5, 4), radius_px=2)
    assert found is not None and found[0] == 1 and found[1].tolist() == [10, 4]
    assert nearest_edge(polygon=[(0, 0), (10, 0), (10, 10)], cursor=(40, 40), radius_px=2) is None


def test_labels_never_overlap_and_the_important_one_wins() -> None:
    anchors = np.array([(50.0, 50.0), (52.0, 50.0), (51.0, 52.0)])
    sizes = np.full((3, 2), (60.0, 14.0))
    places = place_labels(anchors=anchors, sizes=sizes, priority=[0, 5, 0], obstacles=np.zeros((0, 2)))
    assert places[1] is not None
    shown = [(p[0], p[1], p[0] + 60, p[1] + 14) for p in places if p is not None]
    for i, a in enumerate(shown):
        for b in shown[i + 1 :]:
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(2, 14))
def test_outline_filled_again_is_the_mask(seed: int, height: int, width: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    again = np.zeros_like(mask)
    for ring in trace_borders(mask):
        again ^= fill_polygon(ring, (width, height))
    assert (again == mask).all()


def test_stroke_has_no_gaps_and_erases_what_it_painted() -> None:
    mask = np.zeros((60, 60), dtype=bool)
    stamp_stroke(mask, (5, 30), (55, 30), 4, True)
    assert mask[30, 5:55].all() and not mask[20].any()
    stamp_stroke(mask, (5, 30), (55, 30), 5, False)
    assert not mask.any()
    stamp_disc(mask, (-50, -50), 3, True)
    assert not mask.any()


def test_simplified_ring_stays_within_its_tolerance() -> None:
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles)], axis=1)
    few = simplify_ring(ring, 1.0)
    assert 6 <= len(few) < 60
    for point in ring:
        found = nearest_edge(polygon=few, cursor=point, radius_px=1.01)
        assert found is not None


def test_moving_and_turning_a_whole_instance() -> None:
    a = instance("a", [(10, 10), (20, 10), (np.nan, np.nan)], [S.HUMAN, S.HUMAN, S.EMPTY], box=(5, 5, 25, 15))
    moved = shifted_instance(a, 3, -2)
    assert moved.xy_image[:2].tolist() == [[13, 8], [23, 8]] and moved.box == (8, 3, 28, 13)
    turned = turned_instance(a, angle_deg=90)
    assert turned is not None
    np.testing.assert_allclose(turned.xy_image[:2], [[15, 5], [15, 15]], atol=1e-9)
    grown = turned_instance(a, scale=2)
    assert grown is not None and grown.xy_image[:2].tolist() == [[5, 10], [25, 10]]
    assert turned_instance(instance("e", [])) is None


def test_pyramid_picks_the_smallest_level_that_is_sharp_enough(qapp: object) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (1200, 2400, 3), dtype=np.uint8)
    pyramid = ImagePyramid.build(rgb)
    assert [level.width() for level in pyramid.levels] == [2400, 1200, 600, 300]
    assert pyramid.level_for(1.0).width() == 2400
    assert pyramid.level_for(0.5).width() == 1200
    assert pyramid.level_for(0.1).width() == 300
    colour = pyramid.levels[0].pixelColor(7, 5)
    assert (colour.red(), colour.green(), colour.blue()) == tuple(int(v) for v in rgb[5, 7])
    assert halve(np.full((3, 5, 3), 200, dtype=np.uint8)).shape == (1, 2, 3)


def test_heat_colours_follow_viridis_and_survive_infinities() -> None:
    assert viridis(np.array([0.0, 1.0])).tolist() == [[68, 1, 84], [253, 231, 37]]
    values = np.array([[0.0, 1.0], [-np.inf, np.nan]], dtype=np.float32)
    assert heat_image(values).width() == 2
    assert heat_image(np.full((2, 2), np.nan)).isNull()
