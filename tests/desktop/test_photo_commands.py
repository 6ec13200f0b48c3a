"""Commands about whole photos: selected in the list with the mouse, run from the menu of the list or by key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from kinmark.engine.api import MatchRequest, MatchResult
from kinmark.engine.domain.errors import ModelMissingError
from kinmark.engine.domain.runspec import RunSpec
from tests.support.window import Driver, figure_points, make_project

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier


class ShiftingEngine:
    """Finds every point 5 px to the right; photos named in `missing` cannot be matched."""

    def __init__(self) -> None:
        self.missing: set[str] = set()

    def match(self, request: MatchRequest, *, cancel: Any = None) -> MatchResult:
        if request.target.image.image_id in self.missing:
            raise ModelMissingError("The model toy is not installed.", "Install it.")
        points = request.points_xy_image + np.array([5.0, 0.0])
        return MatchResult(request.request_id, points, np.ones(len(points)), (), (), RunSpec("match", "toy"))

    def close(self) -> None:
        pass


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> ShiftingEngine:
    from kinmark.desktop.program import Program

    engine = ShiftingEngine()
    monkeypatch.setattr(Program, "_make_engine", lambda self: engine)
    return engine


@pytest.fixture
def labelled(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path, engine: ShiftingEngine) -> Driver:
    """Four photos; the first one has all keypoints."""
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "figures.kinmark", photos, labelled=1))
    driver.photo_shown()
    return driver


def click_photo(driver: Driver, place: int, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
    view = driver.space.images.view
    position = view.visualRect(view.model().index(place, 0)).center()
    QTest.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifiers, position)


def place_of_shown(driver: Driver) -> int:
    place = driver.space.images.model.place_of(driver.space.labelling.image.id)
    assert isinstance(place, int)
    return place


def trigger(driver: Driver, text: str) -> None:
    menu = driver.window.commands.photos.menu(driver.space)
    action = next(a for a in menu.actions() if text in a.text())
    assert action.isEnabled()
    action.trigger()
    menu.deleteLater()


def test_ctrl_click_selects_more_without_leaving_the_photo(labelled: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = labelled.space.images.model.ids
    click_photo(labelled, 1)
    assert place_of_shown(labelled) == 1 and labelled.space.images.selected_ids() == [ids[1]]
    monkeypatch.setattr(QGuiApplication, "keyboardModifiers", staticmethod(lambda: CTRL))
    click_photo(labelled, 2, CTRL)
    click_photo(labelled, 3, CTRL)
    assert place_of_shown(labelled) == 1
    assert sorted(labelled.space.images.selected_ids()) == sorted(ids[1:])
    click_photo(labelled, 3, CTRL)
    assert sorted(labelled.space.images.selected_ids()) == sorted(ids[1:3])
    monkeypatch.undo()
    click_photo(labelled, 0)
    assert place_of_shown(labelled) == 0 and labelled.space.images.selected_ids() == [ids[0]]


def test_the_list_asks_for_its_menu(labelled: Driver) -> None:
    view, asked = labelled.space.images.view, []
    labelled.space.images.menu_wanted.disconnect()
    labelled.space.images.menu_wanted.connect(asked.append)
    view.customContextMenuRequested.emit(QPoint(5, 5))
    assert asked == [view.viewport().mapToGlobal(QPoint(5, 5))]


def test_copying_from_the_photo_before_follows_the_keypoints(labelled: Driver) -> None:
    space = labelled.space
    labelled.key(Qt.Key.Key_D)
    labelled.photo_shown()
    labelled.key(Qt.Key.Key_B, CTRL)
    labelled.until(lambda: "copied" in labelled.window.message_bar.text)
    points = figure_points(0, (240, 180))
    [made] = space.labelling.shown
    nose = made.keypoint(0)
    assert (nose.x, nose.y) == pytest.approx(tuple(points[0] + (5, 0)))
    assert space.labelling.selected_key == made.key
    labelled.key(Qt.Key.Key_Z, CTRL)
    assert space.labelling.shown == ()
    labelled.key(Qt.Key.Key_B, CTRL | SHIFT)
    nose = space.labelling.shown[0].keypoint(0)
    assert (nose.x, nose.y) == pytest.approx(tuple(points[0])), "the plain copy goes to the same place"


def test_without_a_model_the_copy_goes_to_the_same_places(labelled: Driver, engine: ShiftingEngine) -> None:
    space = labelled.space
    labelled.key(Qt.Key.Key_D)
    labelled.photo_shown()
    engine.missing.add(str(space.labelling.image.id))
    labelled.key(Qt.Key.Key_B, CTRL)
    labelled.until(lambda: "same places" in labelled.window.message_bar.text)
    nose = space.labelling.shown[0].keypoint(0)
    assert (nose.x, nose.y) == pytest.approx(tuple(figure_points(0, (240, 180))[0]))


def test_copying_to_the_selected_photos_is_one_step(labelled: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    space = labelled.space
    queries = space.session.queries
    ids = space.images.model.ids
    with monkeypatch.context() as held:
        held.setattr(QGuiApplication, "keyboardModifiers", staticmethod(lambda: CTRL))
        for place in (1, 3):
            click_photo(labelled, place, CTRL)
    space.labelling.select(space.labelling.shown[0].key)
    labelled.key(Qt.Key.Key_B, CTRL | Qt.KeyboardModifier.AltModifier)
    labelled.until(lambda: len(queries.instances()) == 3)
    assert {row.image_id for row in queries.instances()} == {ids[0], ids[1], ids[3]}
    labelled.until(lambda: not labelled.window.program.engine.busy)
    labelled.key(Qt.Key.Key_Z, CTRL)
    assert len(queries.instances()) == 1


def test_removed_photos_come_back_with_their_labels(labelled: Driver) -> None:
    space = labelled.space
    ids = space.images.model.ids
    labelled.key(Qt.Key.Key_Delete, SHIFT)
    assert space.labelling.image.id == ids[1], "the next photo is shown"
    assert space.session.queries.image_ids() == ids[1:]
    labelled.until(lambda: len(space.images.model.ids) == 3)
    assert "removed from the project" in labelled.window.message_bar.text
    labelled.key(Qt.Key.Key_Z, CTRL)
    assert space.session.queries.image_ids() == ids
    assert space.session.queries.counts().keypoints == 5


def test_rejecting_and_nothing_here_for_selected_photos(proposed: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    space = proposed.space
    queries, ids = space.session.queries, space.images.model.ids
    assert queries.counts().pending == 3
    click_photo(proposed, 1)
    trigger(proposed, "Reject the proposals")
    assert queries.counts().pending == 2
    assert "5 proposals rejected" in proposed.window.message_bar.text
    click_photo(proposed, 2)
    trigger(proposed, "Nothing here")
    assert [image_id for image_id, _ in queries.nothing_here()] == [ids[2]]
    click_photo(proposed, 0)
    trigger(proposed, "Nothing here")
    assert "left alone" in proposed.window.message_bar.text and queries.counts().keypoints == 5
    trigger(proposed, "Copy the paths")
    assert QGuiApplication.clipboard().text() == str(queries.image(ids[0]).path)
    proposed.window.registry["review.reject_list"].trigger()
    assert queries.counts().pending == 0
    proposed.key(Qt.Key.Key_Z, CTRL)
    assert queries.counts().pending == 1
