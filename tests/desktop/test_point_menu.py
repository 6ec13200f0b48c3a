"""The menu of a keypoint in the instance panel; its own colour shows on the canvas and in the list."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QImage

from kinmark.engine.domain.errors import UserInputError
from tests.support.window import Driver


def colours_near(driver: Driver, x: float, y: float) -> np.ndarray:
    image = driver.canvas.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    pixels = np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.width(), 4)[..., 2::-1]
    at = driver.at(x, y)
    return pixels[at.y() - 9 : at.y() + 10, at.x() - 9 : at.x() + 10].reshape(-1, 3).astype(int).copy()


def has_colour(pixels: np.ndarray, colour: str) -> bool:
    wanted = QColor(colour)
    return bool((np.abs(pixels - (wanted.red(), wanted.green(), wanted.blue())).max(axis=1) < 12).any())


def test_a_keypoint_gets_its_own_colour(proposed: Driver) -> None:
    space, panel = proposed.space, proposed.space.instances
    asked: list[tuple[int, object]] = []
    panel.menu_wanted.disconnect()
    panel.menu_wanted.connect(lambda index, place: asked.append((index, place)))
    panel.view.customContextMenuRequested.emit(panel.view.visualRect(panel.model.index(1)).center())
    assert asked[0][0] == 1 and space.labelling.focused == 1
    space.labelling.focus(None)
    ear = space.labelling.shown[0].keypoint(1)
    assert not has_colour(colours_near(proposed, ear.x, ear.y), "#CC79A7")
    menu = proposed.window.commands.points.menu(space, 1)
    colours = next(a for a in menu.actions() if a.menu() is not None).menu()
    next(a for a in colours.actions() if a.text() == "#CC79A7").trigger()
    menu.deleteLater()
    assert space.session.queries.categories()[0].definitions[1].colour == "#CC79A7"
    assert has_colour(colours_near(proposed, ear.x, ear.y), "#CC79A7")
    # The filling still tells the state (placed by hand: blue).
    assert has_colour(colours_near(proposed, ear.x, ear.y), "#0072B2")
    proposed.until(lambda: panel.model.lines[1].colour == "#CC79A7")
    proposed.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not has_colour(colours_near(proposed, ear.x, ear.y), "#CC79A7")


def test_the_menu_offers_deciding_only_for_proposals(proposed: Driver) -> None:
    def names(index: int) -> list[str]:
        menu = proposed.window.commands.points.menu(proposed.space, index)
        found = [a.objectName() for a in menu.actions()]
        menu.deleteLater()
        return found

    proposed.space.labelling.focus(0)
    assert "review.accept" not in names(0) and "point.visibility" in names(0)
    proposed.key(Qt.Key.Key_D)
    proposed.photo_shown()
    assert "review.accept" in names(0) and "review.reject" in names(0)


def test_only_colours_are_taken(proposed: Driver) -> None:
    operations = proposed.space.session.project.operations
    definition = proposed.space.labelling.category.definition_ids[0]
    for wrong in ("red", "#12", "#zzzzzz", "<b>"):
        with pytest.raises(UserInputError):
            operations.colour_keypoint(definition, wrong)
