"""Panels stay where and as large as a person put them; tags and provenance are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMenu

from tests.support.window import Driver, make_project


def test_a_dismissed_panel_stays_away_until_the_menu_brings_it_back(driver: Driver) -> None:
    window, docks = driver.window, driver.window.docks
    docks.docks["evidence"].close()
    assert not docks.docks["evidence"].isVisible()
    window.show_page("statistics")
    window.show_page("label")
    assert docks.docks["instances"].isVisible() and not docks.docks["evidence"].isVisible()
    driver.key(Qt.Key.Key_F9)
    driver.key(Qt.Key.Key_F9)
    assert docks.docks["review"].isVisible() and not docks.docks["evidence"].isVisible()
    folder = driver.space.folder
    window.close_project()
    assert window.open_project(folder)
    driver.photo_shown()
    assert docks.docks["instances"].isVisible() and not docks.docks["evidence"].isVisible()
    menu = next(
        m for m in window.menus["view"].findChildren(QMenu) + window.findChildren(QMenu) if m.title() == "Panels"
    )
    names = [action.text() for action in menu.actions()]
    menu.actions()[names.index("Evidence")].trigger()
    assert docks.docks["evidence"].isVisible() and docks.dismissed == set()


def test_panels_come_back_as_they_were_in_the_next_program(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    folder = make_project(tmp_path / "p.kinmark", photos)
    first = make_driver()
    first.window.resize(1300, 800)  # the screen of the offscreen platform is a narrow one
    assert first.window.open_project(folder)
    first.photo_shown()
    docks = first.window.docks.docks
    first.widen_panel("images", 70)
    docks["review"].close()
    first.until(lambda: docks["images"].width() > 320)
    width = docks["images"].width()
    first.window.close()
    second = make_driver()
    second.window.resize(1300, 800)
    assert second.window.open_project(folder)
    second.photo_shown()
    docks = second.window.docks.docks
    second.until(lambda: abs(docks["images"].width() - width) <= 8)
    assert docks["instances"].isVisible() and not docks["review"].isVisible()


def test_tags_are_shown_beside_the_name(driver: Driver) -> None:
    space = driver.space
    ids = space.session.queries.image_ids()
    space.session.write(lambda do: do.tag("<b>blurred</b>", ids[:1]))
    assert space.target.tags.whole_text == "#<b>blurred</b>"
    driver.key(Qt.Key.Key_D)
    assert space.target.tags.whole_text == ""


def test_an_instance_is_tagged(proposed: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    from PySide6.QtWidgets import QInputDialog

    space = proposed.space
    monkeypatch.setattr(QInputDialog, "getItem", staticmethod(lambda *_, **__: (" lame ", True)))
    modifiers = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    proposed.key(Qt.Key.Key_T, modifiers)
    instance = space.labelling.selected.instance
    assert space.session.queries.tags_of_instance(instance.id) == ("lame",)
    assert space.session.queries.tags_of(space.labelling.image.id) == ()
    proposed.until(lambda: "#lame" in space.instances.summary.text())
    proposed.key(Qt.Key.Key_T, modifiers)
    proposed.until(lambda: "#lame" not in space.instances.summary.text())
    assert space.session.queries.tags() == {}


def test_evidence_names_the_run(proposed: Driver) -> None:
    space = proposed.space
    proposed.key(Qt.Key.Key_D)
    proposed.photo_shown()
    proposed.until(lambda: "toy" in space.evidence.note.text())
    assert "1 exemplar" in space.evidence.note.text()
    proposed.key(Qt.Key.Key_Return)
    space.labelling.focus(0)
    proposed.until(lambda: "Accepted from a proposal" in space.evidence.note.text())
    assert "toy" in space.evidence.note.text()


def test_a_category_name_of_300_letters_does_not_widen_dialogs(driver: Driver) -> None:
    driver.space.session.write(lambda do: do.add_category("name " * 60))
    for name in ("schema", "tune", "export", "find"):
        getattr(driver.window.commands.dialogs, {"export": "export"}.get(name, name))(driver.space)
        dialog = driver.window.commands.dialogs.dialog(name)
        assert dialog.width() < 1200, name
        dialog.close()


def test_evidence_takes_a_share_of_the_window_and_scrolls_the_rest(proposed: Driver) -> None:
    panel = proposed.space.evidence
    proposed.key("N")
    proposed.window.resize(1360, 860)
    proposed.wait(0.05)
    assert panel._area.verticalScrollBar().maximum() == 0, "all of it fits an ordinary window"
    proposed.space.program.settings.change(font_scale=1.8)
    proposed.wait(0.2)
    panel._keep_size()
    assert panel.minimumHeight() <= 0.34 * proposed.window.height()
    assert panel._inner.minimumHeight() > panel.minimumHeight()
    proposed.space.program.settings.change(font_scale=1.0)
