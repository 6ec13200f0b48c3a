"""A project remembers where a person was: photo, zoom, filter, search, grid; panels stay as they were put."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from desktop.session.place import Place, place_from_setting
from tests.support.window import Driver


def test_place_survives_and_rubbish_does_not_hurt() -> None:
    place = Place("pending", "tag: x", "conf:<0.5", True, 2.5, (0.25, 0.75))
    assert place_from_setting(place.to_setting()) == place
    for rubbish in (None, 3, [], {"zoom": "x", "centre": [1]}, {"zoom": float("nan"), "grid": 1, "filter": 7},
                    {"zoom": -1, "centre": ["a", 1], "search": "x" * 400}, {"zoom": True, "centre": [9e9, 0]}):  # fmt: skip
        assert place_from_setting(rubbish) == Place()


def reopen(driver: Driver) -> None:
    folder = driver.space.folder
    driver.window.close_project()
    assert driver.window.open_project(folder)
    driver.photo_shown()


def test_the_project_remembers_the_place(proposed: Driver) -> None:
    space = proposed.space
    ids = space.session.queries.image_ids()
    space.session.write(lambda do: do.tag("good", ids[1:]))
    proposed.until(lambda: "good" in space.images.filters.more.itemText(1))
    space.images.filters.choose("pending")
    more = space.images.filters.more
    place = next(i for i in range(more.count()) if "good" in more.itemText(i))
    more.setCurrentIndex(place)
    more.activated.emit(place)
    proposed.window.search.setText("photo")
    proposed.until(lambda: space.images.search_text == "photo")
    space.images.set_grid(True)
    space.go_to(ids[2])
    proposed.photo_shown()
    space.target.canvas.set_zoom(3.0)
    space.target.canvas.centre_on_relative((0.4, 0.6))
    reopen(proposed)
    space = proposed.space
    assert space.labelling.image.id == ids[2] and space.images.grid
    assert space.images.model.ids == ids[1:] and space.images.filters.rows.current == "pending"
    assert "good" in space.images.filters.more_text and proposed.window.search.text() == "photo"
    canvas = space.target.canvas
    assert canvas.scale_factor == pytest.approx(3.0, rel=0.01) and not canvas.fitting
    assert canvas.relative_centre() == pytest.approx((0.4, 0.6), abs=0.02)
    # The next photo keeps the zoom as the settings say; fitting comes back as fitting.
    canvas.fit()
    proposed.window.search.setText("")
    proposed.until(lambda: space.images.search_text == "")
    reopen(proposed)
    assert proposed.space.target.canvas.fitting and proposed.window.search.text() == ""


def test_filters_count_their_photos_when_the_list_opens(proposed: Driver) -> None:
    space = proposed.space
    ids = space.session.queries.image_ids()
    space.session.write(lambda do: do.tag("good", ids[:3]))
    more = space.images.filters.more
    proposed.until(lambda: more.count() > 1 and "good" in more.itemText(1))
    QTest.keyClick(more, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    proposed.until(lambda: more.itemText(1).endswith("3"))
    assert more.itemText(2).endswith("0"), "no labelled photo lacks a keypoint"
    more.hidePopup()
    more.setCurrentIndex(1)
    more.activated.emit(1)
    assert space.images.model.ids == ids[:3]
    space.images.refresh()
    assert more.currentIndex() == 1, "the choice survives a refresh"
