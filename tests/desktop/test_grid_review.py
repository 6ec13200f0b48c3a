"""Many photos at a glance: the grid draws what is known on the thumbnails, Enter and X decide about the selected ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QColor, QImage
from PySide6.QtTest import QTest

from kinmark.engine.domain.masks import MaskRLE
from tests.support.window import Driver

CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def grid(proposed: Driver) -> Any:
    """The list as a grid, with the keyboard."""
    images = proposed.space.images
    images.set_grid(True)
    images.view.setFocus()
    proposed.until(lambda: images.view.hasFocus())
    return images


def pixels(driver: Driver, images: Any, row: int) -> np.ndarray:
    rect = images.view.visualRect(images.model.index(row))
    image = images.view.viewport().grab(rect).toImage().convertToFormat(QImage.Format.Format_RGB32)
    array = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.width(), 4)
    return array[..., 2::-1].astype(int)


def near(array: np.ndarray, colour: str) -> int:
    wanted = QColor(colour)
    return int((np.abs(array - (wanted.red(), wanted.green(), wanted.blue())).max(axis=-1) < 40).sum())


def click(images: Any, row: int, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    centre = images.view.visualRect(images.model.index(row)).center()
    QTest.mouseClick(images.view.viewport(), Qt.MouseButton.LeftButton, modifiers, centre)


def test_keypoints_and_masks_are_drawn_on_the_tiles(proposed: Driver, grid: Any) -> None:
    ids = list(grid.model.ids)
    proposed.until(lambda: all(i in grid.overlays._known for i in ids) or grid.view.viewport().update())
    proposed.wait(0.1)
    assert near(pixels(proposed, grid, 0), "#0072B2") > 15, "placed by hand: blue"
    assert near(pixels(proposed, grid, 1), "#E69F00") > 15, "proposed: orange"
    grid.overlays._known = dict.fromkeys(grid.overlays._known)
    assert near(pixels(proposed, grid, 1), "#E69F00") < 15, "the photo itself has none of it"
    grid.overlays._known.clear()
    grid.view.viewport().update()
    space = proposed.space
    row = space.session.queries.image(ids[3])
    mask = np.zeros((row.height, row.width), dtype=bool)
    mask[20:150, 30:200] = True
    before = pixels(proposed, grid, 3)
    space.session.write(lambda do: do.add_instance(ids[3], space.labelling.category.id, mask=MaskRLE.encode(mask)))
    proposed.until(
        lambda: bool(grid.overlays.get(ids[3], row.size_wh) and grid.overlays.get(ids[3], row.size_wh).masks)
    )
    proposed.wait(0.1)
    assert np.abs(pixels(proposed, grid, 3) - before).max(axis=-1).mean() > 5


def test_enter_and_x_decide_about_the_selected_photos(proposed: Driver, grid: Any) -> None:
    queries = proposed.space.session.queries
    ids = list(grid.model.ids)
    click(grid, 1)
    click(grid, 2, CONTROL)
    assert sorted(grid.selected_ids()) == sorted(ids[1:3]) and grid.decides
    line = proposed.window.job_bar.step
    assert line.whole_text.startswith("Enter accepts what is proposed on the selected photos")
    proposed.canvas.setFocus()
    proposed.until(lambda: "selected photos" not in line.whole_text)
    grid.view.setFocus()
    proposed.until(lambda: "selected photos" in line.whole_text)
    proposed.key(Qt.Key.Key_Return, widget=grid.view)
    assert [queries.image(i).state for i in ids] == ["done", "done", "done", "pending"]
    assert grid.selected_ids() == [ids[3]], "the selection goes on"
    proposed.key(Qt.Key.Key_X, widget=grid.view)
    assert queries.image(ids[3]).pending_count == 0 and not queries.instances(image_id=ids[3])
    proposed.key(Qt.Key.Key_Z, CONTROL, widget=grid.view)
    proposed.key(Qt.Key.Key_Z, CONTROL, widget=grid.view)
    assert [queries.image(i).state for i in ids] == ["done", "pending", "pending", "pending"], "each is one step"


def test_in_the_list_enter_is_for_the_shown_photo(proposed: Driver, grid: Any) -> None:
    grid.set_grid(False)
    click(grid, 1)
    proposed.photo_shown()
    grid.view.selectionModel().select(grid.model.index(2), QItemSelectionModel.SelectionFlag.Select)
    proposed.key(Qt.Key.Key_Return, widget=grid.view)
    assert proposed.space.session.queries.counts().keypoints == 6


def test_tiles_grow_with_the_panel(proposed: Driver, grid: Any) -> None:
    small = grid._delegate.tile
    proposed.window.resize(1600, 860)
    proposed.widen_panel("images", 330)
    proposed.until(lambda: grid._delegate.tile > small + 30)
    assert grid._delegate.tile * (grid.width() // grid._delegate.tile) <= grid.width()
