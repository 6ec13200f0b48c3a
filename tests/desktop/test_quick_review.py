"""Reviewing quickly: the instance in one key, the zoom kept from photo to photo, the menu on the canvas, marks that speak."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QContextMenuEvent, QImage, QPainter
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMenu

from kinmark.desktop.canvas.items import mark_size
from kinmark.desktop.canvas.marks import MarkLook, draw_mark
from kinmark.desktop.states import PointState
from tests.support.window import Driver

CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


def start(driver: Driver) -> Any:
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    return driver.space


def test_one_key_accepts_the_instance_as_it_stands(proposed: Driver) -> None:
    space = start(proposed)
    image = space.labelling.image.id
    assert "Ctrl+Enter all 5" in space.labelling.next_step()
    proposed.key(Qt.Key.Key_Return, CONTROL)
    [instance] = space.session.queries.instances(image_id=image)
    assert len(instance.keypoints) == 5 and space.session.queries.image(image).state == "done"
    assert space.labelling.image.id != image, "on to the next photo of the queue"
    proposed.key(Qt.Key.Key_Z, CONTROL)
    assert space.session.queries.instances(image_id=image) == ()


def test_what_sure_means_is_said_when_the_rest_waits(proposed: Driver) -> None:
    space = start(proposed)
    proposed.key(Qt.Key.Key_Return, SHIFT)
    step = proposed.window.job_bar.step.whole_text
    assert "at least 90% sure" in step and "Ctrl+Enter" in step and space.labelling.has_pending


def test_n_keeps_the_zoom_and_brings_the_instance_to_the_middle(proposed: Driver) -> None:
    space = start(proposed)
    proposed.key(Qt.Key.Key_Z)
    proposed.canvas.zoom_by(1.5)
    proposed.canvas.pan_by(90, -60)
    scale = proposed.canvas.scale_factor
    before = space.labelling.image.id
    proposed.key(Qt.Key.Key_N)
    proposed.until(lambda: space.labelling.image.id != before)
    proposed.photo_shown()
    assert proposed.canvas.scale_factor == pytest.approx(scale) and not proposed.canvas.fitting
    x0, y0, x1, y1 = space.labelling.selected.extent
    w, h = space.labelling.image.size_wh
    u, v = proposed.canvas.relative_centre()
    assert (u * w, v * h) == pytest.approx(((x0 + x1) / 2, (y0 + y1) / 2), abs=2 / scale + 1)
    # The source shows the same part of its own instance.
    source = space.target.source
    theirs = source.exemplar.aligned(space.labelling.category.definition_ids).box_or_extent()
    su, sv = source.view.relative_centre()
    assert not source.view.fitting
    assert su * source.image.width == pytest.approx((theirs[0] + theirs[2]) / 2, abs=6)
    assert sv * source.image.height == pytest.approx((theirs[1] + theirs[3]) / 2, abs=6)


def test_fitting_stays_fitting(proposed: Driver) -> None:
    start(proposed)
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    assert proposed.canvas.fitting


def open_menu(driver: Driver) -> dict[str, Any]:
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    found = {a.objectName(): a for a in menu.actions() if a.objectName()}
    found["menu"] = menu
    return found


def test_the_menu_of_a_keypoint_an_instance_and_the_photo(proposed: Driver) -> None:
    space = start(proposed)
    ear = space.labelling.selected.proposal(1)
    proposed.click(ear.x, ear.y, Qt.MouseButton.RightButton)
    menu = open_menu(proposed)
    assert space.labelling.focused == 1
    assert {
        "review.accept",
        "review.reject",
        "hidden",
        "point.absent",
        "review.accept_instance",
        "point.mirror",
        "go.source",
    } <= set(menu)
    menu["hidden"].trigger()
    menu["menu"].close()
    [instance] = space.session.queries.instances(image_id=space.labelling.image.id)
    assert instance.keypoints[0].visibility == 1
    proposed.click(ear.x, ear.y, Qt.MouseButton.RightButton)
    menu = open_menu(proposed)
    assert menu["hidden"].isChecked() and "review.accept" not in menu and "edit.delete" in menu
    menu["edit.delete_instance"].trigger()
    menu["menu"].close()
    assert space.session.queries.instances(image_id=space.labelling.image.id) == ()
    proposed.click(3, 3, Qt.MouseButton.RightButton)
    menu = open_menu(proposed)
    assert "review.nothing" in menu and "edit.delete" not in menu
    menu["menu"].close()


def test_the_menu_key_opens_it_too_and_leads_to_the_source(proposed: Driver) -> None:
    space = start(proposed)
    place = proposed.canvas.rect().center()
    event = QContextMenuEvent(QContextMenuEvent.Reason.Keyboard, place, proposed.canvas.mapToGlobal(place))
    QApplication.sendEvent(proposed.canvas, event)
    menu = open_menu(proposed)
    assert "review.accept" in menu
    menu["go.source"].trigger()
    menu["menu"].close()
    assert space.labelling.image.id == space.target.source.image.id


def silhouette(side: str, state: PointState, size: float = 9.0) -> np.ndarray:
    image = QImage(40, 40, QImage.Format.Format_RGB32)
    image.fill(0x808080)
    painter = QPainter(image)
    draw_mark(painter, QPointF(20, 20), state, MarkLook(size_px=size, side=side))
    painter.end()
    pixels = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(40, 40, 4)[..., :3].astype(int)
    return np.abs(pixels - 0x80).max(axis=-1) > 40


@pytest.mark.parametrize("state", [PointState.HUMAN, PointState.ACCEPTED, PointState.PENDING, PointState.DOUBTFUL])
@pytest.mark.parametrize("size", [6.0, 9.0])
def test_left_and_right_have_shapes_of_their_own(qapp: object, state: PointState, size: float) -> None:
    left, middle, right = (silhouette(s, state, size) for s in ("l", "", "r"))
    for a, b in ((left, right), (left, middle), (right, middle)):
        assert (a ^ b).sum() / (a | b).sum() > 0.2
    columns = np.flatnonzero(left.any(axis=0))
    heights = left[:, columns].sum(axis=0)
    assert heights[:3].sum() < heights[-3:].sum(), "left points to the left"


def test_marks_are_smaller_on_small_animals() -> None:
    square = np.array([(0.0, 0.0), (1.0, 1.0)])
    assert mark_size(square * 400, 9.0) == 9.0 == mark_size(square * 160, 9.0)
    assert mark_size(square * 80, 9.0) == 4.5 and mark_size(square * 10, 9.0) == 4.0
    assert mark_size(square[:1], 12.0) == 12.0


def test_badges_of_the_peaks_say_the_keys(proposed: Driver) -> None:
    start(proposed)
    assert proposed.canvas._marks.peak_keys == ("Alt+1", "Alt+2", "Alt+3")
    keys = dict(proposed.window.registry.keys)
    keys["point.peak_2"] = ("F2",)
    proposed.window.registry.apply_keys(keys)
    assert proposed.canvas._marks.peak_keys[1] == "F2"


def test_the_ghost_is_no_mark_and_leaves_with_the_pointer(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    QTest.mouseMove(driver.canvas.viewport(), QPoint(60, 60))
    driver.until(lambda: driver.space.target.tools["keypoint"]._ghost is not None)
    colours = driver.canvas.viewport().grab().toImage()
    blue = [(x, y) for x in range(50, 70) for y in range(50, 70) if colours.pixelColor(x, y).name() == "#0072b2"]
    assert blue == []
    QApplication.sendEvent(driver.canvas, QEvent(QEvent.Type.Leave))
    assert driver.space.target.tools["keypoint"]._ghost is None
