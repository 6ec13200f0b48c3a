"""A proposed animal of which some keypoints are missing: what a person places goes on it, and the status line says how to go on."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import Qt

from tests.support.proposals import propose_figures
from tests.support.window import Driver, figure_points

CONTROL = Qt.KeyboardModifier.ControlModifier
PAWS = (3, 4)


@pytest.fixture
def half(proposed: Driver) -> Driver:
    """The first photo of the queue; the paws of its figure are not proposed."""
    space = proposed.space
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    waiting = space.labelling.selected
    ids = [waiting.proposal(index).id for index in PAWS]
    space.session.write(lambda do: do.reject_keypoints(ids))
    return proposed


def instances(driver: Driver) -> Any:
    return driver.space.session.queries.instances(image_id=driver.space.labelling.image.id)


def focus(driver: Driver, name: str) -> None:
    """Go through the keypoints with S until `name` is focused."""
    for _ in range(6):
        if driver.space.labelling.focused_name == name:
            return
        driver.key(Qt.Key.Key_S)
    raise AssertionError(name)


@pytest.mark.parametrize("how", ["click", "absent"])
def test_what_is_placed_belongs_to_the_proposed_animal(half: Driver, how: str) -> None:
    at = half.space.labelling
    half.key(Qt.Key.Key_K)
    focus(half, "left_paw")
    step = half.window.job_bar.step.whole_text
    assert step.startswith("Click left_paw") and "Ctrl+Enter accepts the 3 that wait" in step, step
    if how == "click":
        half.click(30, 40)
    else:
        half.key(Qt.Key.Key_0)
    [shown] = at.shown
    assert len(shown.accepted) == 1 and len(shown.pending) == 3, "one animal, the rest of it still waits"
    [instance] = instances(half)
    assert instance.keypoints[0].visibility == (2 if how == "click" else 0)
    half.key(Qt.Key.Key_Z, CONTROL)
    assert instances(half) == () and len(at.shown) == 1 and len(at.shown[0].pending) == 3


@pytest.mark.parametrize("tool", ["box", "brush"])
def test_a_box_or_mask_belongs_to_the_proposed_animal(half: Driver, tool: str) -> None:
    at = half.space.labelling
    half.key(Qt.Key.Key_R if tool == "box" else Qt.Key.Key_B)
    half.drag((30, 30), (150, 140))
    [shown] = at.shown
    assert len(shown.pending) == 3 and (shown.instance.box if tool == "box" else shown.instance.mask) is not None
    half.key(Qt.Key.Key_V)
    half.key(Qt.Key.Key_Return, CONTROL)
    image = shown.instance.image_id
    [instance] = half.space.session.queries.instances(image_id=image)
    assert len(instance.keypoints) == 3


def test_the_rest_is_absent_in_one_key(half: Driver) -> None:
    at, queries = half.space.labelling, half.space.session.queries
    image = at.image.id
    assert "Ctrl+0: the 2 without a proposal are not here" in half.window.job_bar.step.whole_text
    half.key(Qt.Key.Key_0, CONTROL)
    [instance] = instances(half)
    assert sorted(k.visibility for k in instance.keypoints) == [0, 0] and len(at.selected.pending) == 3
    assert half.space.session.project.undo_name == "Mark 2 keypoints as absent"
    assert "Ctrl+0" not in half.window.job_bar.step.whole_text
    half.key(Qt.Key.Key_Return, CONTROL)
    assert queries.image(image).state == "done" and at.image.id != image
    half.key(Qt.Key.Key_Z, CONTROL)
    half.key(Qt.Key.Key_Z, CONTROL)
    assert instances(half) == () and queries.image(image).state == "pending"


def test_the_rest_of_a_labelled_one_is_absent_and_nothing_selected_is_told(driver: Driver) -> None:
    at, queries = driver.space.labelling, driver.space.session.queries
    driver.key(Qt.Key.Key_K)
    driver.key(Qt.Key.Key_0, CONTROL)
    assert driver.window.message_bar.text == "No instance is selected." and queries.instances() == ()
    driver.click(60, 60)
    driver.click(80, 60)
    assert "Ctrl+0: nor is the rest" in driver.window.job_bar.step.whole_text
    driver.key(Qt.Key.Key_0, CONTROL)
    assert queries.image(at.image.id).state == "done"
    assert driver.window.job_bar.step.whole_text.startswith("All placed")
    driver.key(Qt.Key.Key_0, CONTROL)
    assert "placed or proposed" in driver.window.message_bar.text


def test_a_click_after_the_last_keypoint_moves_nothing(driver: Driver) -> None:
    at = driver.space.labelling
    driver.key(Qt.Key.Key_K)
    points = figure_points(0, at.image.size_wh).tolist()
    for x, y in points:
        driver.click(x, y)
    driver.click(12, 12)
    [instance] = instances(driver)
    for row, (x, y) in zip(instance.keypoints, points, strict=True):
        assert (row.x, row.y) == pytest.approx((x, y), abs=driver.pixel_px())
    assert driver.window.job_bar.step.whole_text.startswith("All placed")
    driver.key(Qt.Key.Key_Backspace)
    assert len(instances(driver)[0].keypoints) == 4 and at.focused_name == "right_paw"
    driver.click(*points[4])
    focus(driver, "nose")
    assert "nose is placed; a click puts it elsewhere" in driver.window.job_bar.step.whole_text
    driver.click(12, 12)
    nose = next(k for k in instances(driver)[0].keypoints if k.definition_id == at.category.definition_ids[0])
    assert (nose.x, nose.y) == pytest.approx((12, 12), abs=driver.pixel_px()), "chosen on purpose it is put elsewhere"


def test_after_a_drag_with_the_keypoint_tool_the_line_says_what_waits(proposed: Driver) -> None:
    at = proposed.space.labelling
    proposed.key(Qt.Key.Key_K)
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    wrong = at.selected.proposal(3)
    proposed.drag((wrong.x, wrong.y), (wrong.x + 14, wrong.y))
    step = proposed.window.job_bar.step.whole_text
    assert step.startswith("Enter goes to right_paw, Ctrl+Enter accepts the 4 that wait"), step
    proposed.key(Qt.Key.Key_Return)
    assert at.focused_name == "right_paw"


def test_the_line_follows_what_a_sweep_brings_to_the_other_photos(driver: Driver) -> None:
    at = driver.space.labelling
    driver.key(Qt.Key.Key_K)
    for x, y in figure_points(0, at.image.size_wh).tolist():
        driver.click(x, y)
    assert "Ctrl+P proposes them" in driver.window.job_bar.step.whole_text
    propose_figures(driver.space.folder)  # as the engine's own connection does
    driver.until(lambda: driver.window.job_bar.step.whole_text.startswith("All placed. N goes to the proposals"), 10)
