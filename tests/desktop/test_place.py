"""A project remembers where a person was: photo, zoom, filter, search, grid; panels stay as they were put."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest

from kinmark.desktop.session.place import Place, place_from_setting
from kinmark.desktop.window.docks import HEIGHTS
from kinmark.desktop.workspace import Workspace
from tests.support.window import Driver


def test_place_survives_and_rubbish_does_not_hurt() -> None:
    place = Place("pending", "tag: x", "conf:<0.5", True, 2.5, (0.25, 0.75))
    assert place_from_setting(place.to_setting()) == place
    for rubbish in (
        None,
        3,
        [],
        {"zoom": "x", "centre": [1]},
        {"zoom": float("nan"), "grid": 1, "filter": 7},
        {"zoom": -1, "centre": ["a", 1], "search": "x" * 400},
        {"zoom": True, "centre": [9e9, 0]},
    ):
        assert place_from_setting(rubbish) == Place()


def entries(space: Workspace) -> list[str]:
    """Texts of the further filters."""
    more = space.images.filters.more
    return [more.itemText(i) for i in range(more.count())]


def reopen(driver: Driver) -> None:
    folder = driver.space.folder
    driver.window.close_project()
    assert driver.window.open_project(folder)
    driver.photo_shown()


def test_the_project_remembers_the_place(proposed: Driver) -> None:
    space = proposed.space
    ids = space.session.queries.image_ids()
    space.session.write(lambda do: do.tag("good", ids[1:]))
    proposed.until(lambda: any("good" in text for text in entries(space)))
    space.images.filters.choose("pending")
    more = space.images.filters.more
    place = next(i for i, text in enumerate(entries(space)) if "good" in text)
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
    proposed.until(lambda: any("good" in text for text in entries(space)))
    good = next(i for i, text in enumerate(entries(space)) if "good" in text)
    QTest.keyClick(more, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
    proposed.until(lambda: more.itemText(good).endswith("3"))
    lacking = entries(space)[good + 1]
    assert lacking.endswith("0"), "no labelled photo lacks a keypoint"
    more.hidePopup()
    more.setCurrentIndex(good)
    more.activated.emit(good)
    assert space.images.model.ids == ids[:3]
    space.images.refresh()
    assert more.currentIndex() == good, "the choice survives a refresh"


def sizes(driver: Driver) -> dict[str, tuple[int, int]]:
    return {name: (d.width(), d.height()) for name, d in driver.window.docks.docks.items()}


def settle(driver: Driver) -> None:
    driver.wait(0.15)


@pytest.mark.parametrize("how", ["pages", "narrow", "low", "panels", "again"])
def test_panels_have_their_sizes_back(proposed: Driver, how: str) -> None:
    """Whatever made them small or hid them: afterwards they are as wide and as high as before."""
    window = proposed.window
    window.resize(1360, 860)
    proposed.key("N")
    settle(proposed)
    before = sizes(proposed)
    if how == "pages":
        for page in ("parts", "statistics", "identities", "label"):
            window.show_page(page)
            settle(proposed)
    elif how in ("narrow", "low"):
        window.resize(*((900, 650) if how == "narrow" else (1360, 440)))
        settle(proposed)
        if how == "narrow":
            window.show_page("parts")
            settle(proposed)
            window.show_page("label")
            settle(proposed)
        window.resize(1360, 860)
    elif how == "panels":
        for _ in range(2):
            window.registry["view.panels"].trigger()
            settle(proposed)
    else:
        window.show_page("parts")
        settle(proposed)
        reopen(proposed)
        proposed.key("N")
    settle(proposed)
    after = sizes(proposed)
    for name, (w, h) in before.items():
        assert after[name][0] == pytest.approx(w, abs=6) and after[name][1] == pytest.approx(h, abs=40), (
            name,
            before,
            after,
        )
    assert after["instances"][0] >= 240


@pytest.mark.parametrize("size", [(1360, 860), (900, 650), (1360, 500)])
def test_the_numbers_of_the_evidence_are_whole(proposed: Driver, size: tuple[int, int]) -> None:
    window = proposed.window
    window.resize(*size)
    proposed.key("N")
    window.docks.docks["evidence"].raise_()
    settle(proposed)
    panel = proposed.space.evidence
    for name, value in panel._rows:
        if not value.isVisibleTo(panel):
            continue
        assert value.width() >= value.fontMetrics().horizontalAdvance(value.text()), value.text()
        right = value.mapTo(panel, value.rect().topRight()).x()
        assert right <= panel.width(), (value.text(), right, panel.width())
        assert name.text()


@pytest.mark.parametrize("page", ["label", "parts", "identities", "statistics"])
def test_pages_fit_a_window_of_900_pixels(proposed: Driver, page: str) -> None:
    window = proposed.window
    window.resize(900, 650)
    window.show_page(page)
    settle(proposed)
    assert window.centralWidget().geometry().right() < window.width()
    assert window.pages.minimumSizeHint().width() <= window.centralWidget().width()


def test_a_click_in_a_small_window_is_no_wish_for_small_panels(proposed: Driver) -> None:
    window = proposed.window
    window.resize(1360, 860)
    proposed.key("N")
    settle(proposed)
    before = sizes(proposed)
    window.resize(1360, 440)
    settle(proposed)
    QTest.mouseClick(window, Qt.MouseButton.LeftButton, pos=window.rect().bottomLeft() - QPoint(-5, 5))
    QTest.mouseClick(proposed.space.instances.summary, Qt.MouseButton.LeftButton)
    settle(proposed)
    window.resize(1360, 860)
    settle(proposed)
    assert sizes(proposed)["evidence"][1] == pytest.approx(before["evidence"][1], abs=40)
    assert window.docks.heights == HEIGHTS


def test_a_dragged_separator_is_what_comes_back(proposed: Driver) -> None:
    window = proposed.window
    window.resize(1360, 860)
    settle(proposed)
    dock = window.docks.docks["images"]
    proposed.widen_panel("images", 60)
    wide = dock.width()
    assert wide > 310, wide
    window.resize(900, 650)
    settle(proposed)
    window.resize(1360, 860)
    settle(proposed)
    assert dock.width() == pytest.approx(wide, abs=3)
    window.docks.save()
    from kinmark.desktop.window.docks import Docks, _numbers

    assert Docks(window).restore() and window.docks.widths["images"] == wide
    for rubbish in (None, "", "[]", '{"widths": {"images": "x"}}', '{"widths": {"images": 9e9}}'):
        assert _numbers(rubbish, "widths", {"images": 270}) == {"images": 270}
