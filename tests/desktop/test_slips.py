"""Slips and surprises: delete pressed twice, a photo file that goes away, a locked project, a search word nobody knows."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from kinmark.desktop.session.templates import TEMPLATES
from tests.support.window import Driver, figure_points, make_project

CONTROL = Qt.KeyboardModifier.ControlModifier


def test_drop_template_has_the_layout_of_the_preset(driver: Driver) -> None:
    space = driver.space
    template = next(t for t in TEMPLATES if t.id == "animal17")
    space.session.write(lambda do: do.add_category("animal", template.schema))
    space.labelling.choose_category(space.labelling.categories[-1].id)
    driver.key(Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
    [instance] = space.session.queries.instances()
    points = instance.aligned(space.labelling.categories[-1].definition_ids).xy_image
    wanted = np.array(template.layout)
    for axis in (0, 1):
        assert np.corrcoef(points[:, axis], wanted[:, axis])[0, 1] > 0.999


@pytest.mark.parametrize("corner", [(0.0, 0.0), (1.0, 0.1), (0.5, 1.0)])
def test_a_template_dropped_at_the_edge_moves_inside_and_keeps_its_form(
    driver: Driver, corner: tuple[float, float]
) -> None:
    space = driver.space
    template = next(t for t in TEMPLATES if t.id == "animal17")
    space.session.write(lambda do: do.add_category("animal", template.schema))
    space.labelling.choose_category(space.labelling.categories[-1].id)
    width, height = space.labelling.image.size_wh
    space.editor.drop_template(corner[0] * width, corner[1] * height)
    [instance] = space.session.queries.instances()
    points = instance.aligned(space.labelling.categories[-1].definition_ids).xy_image
    assert (points >= 0).all() and (points <= (width, height)).all()
    for axis in (0, 1):
        assert np.corrcoef(points[:, axis], np.array(template.layout)[:, axis])[0, 1] > 0.999


def test_delete_twice_leaves_the_instance(driver: Driver) -> None:
    at, queries = driver.space.labelling, driver.space.session.queries
    driver.key(Qt.Key.Key_K)
    for x, y in figure_points(0, at.image.size_wh).tolist():
        driver.click(x, y)
    driver.key(Qt.Key.Key_V)
    at.select(at.shown[0].key, 2)
    driver.key(Qt.Key.Key_Delete)
    assert len(queries.instances()[0].keypoints) == 4
    driver.key(Qt.Key.Key_Delete)
    assert len(queries.instances()[0].keypoints) == 4
    assert "Ctrl+Del removes the whole instance" in driver.window.message_bar._hint.text()
    driver.key(Qt.Key.Key_Delete, CONTROL)
    assert queries.instances() == ()
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert len(queries.instances()[0].keypoints) == 4


@pytest.mark.parametrize("what", ["click", "template", "box", "enter", "bulk of the photo"])
def test_a_photo_whose_file_is_gone_takes_nothing(proposed: Driver, tmp_path: Path, what: str) -> None:
    space = proposed.space
    queries = space.session.queries
    proposed.key(Qt.Key.Key_D)
    image = space.labelling.image
    proposed.until(lambda: space.program.photos.cached(image.path) is not None and proposed.canvas.pyramid is not None)
    proposed.wait(0.3)  # a second reading of the same file may be on its way
    before = queries.counts().keypoints, queries.counts().instances
    file = image.path
    away = file.rename(tmp_path / "away.png")  # as a drive that is unplugged: it comes back unchanged
    proposed.until(lambda: space.labelling.photo_problem)

    def act() -> None:
        if what == "click":
            proposed.key(Qt.Key.Key_K)
            space.labelling.start_new_instance()
            proposed.click(20, 20)
        elif what == "template":
            proposed.key(Qt.Key.Key_K, Qt.KeyboardModifier.ShiftModifier)
        elif what == "box":
            proposed.key(Qt.Key.Key_R)
            space.labelling.select(None)
            proposed.drag((10, 10), (60, 60))
        else:
            proposed.key(
                Qt.Key.Key_Return,
                Qt.KeyboardModifier.ShiftModifier if what != "enter" else Qt.KeyboardModifier.NoModifier,
            )

    act()
    assert (queries.counts().keypoints, queries.counts().instances) == before
    assert "until its file is back" in proposed.window.message_bar._hint.text(), proposed.window.message_bar.text
    away.rename(file)
    proposed.until(lambda: not space.labelling.photo_problem)
    act()
    assert (queries.counts().keypoints, queries.counts().instances) != before


def test_a_photo_that_was_missing_from_the_start_takes_nothing(proposed: Driver, tmp_path: Path) -> None:
    space = proposed.space
    ids = space.session.queries.image_ids()
    file = space.session.queries.image(ids[2]).path
    away = file.rename(tmp_path / "away.png")
    space.program.photos.clear()
    space.go_to(ids[2])
    proposed.until(lambda: space.labelling.photo_problem)
    before = space.session.queries.counts().keypoints
    proposed.key(Qt.Key.Key_Return)
    assert space.session.queries.counts().keypoints == before and space.labelling.image.id == ids[2]
    away.rename(file)
    proposed.until(lambda: not space.labelling.photo_problem and proposed.canvas.pyramid is not None)
    proposed.key(Qt.Key.Key_Return)
    assert space.session.queries.counts().keypoints == before + 1


def test_messages_of_a_project_end_with_it(driver: Driver) -> None:
    folder = driver.space.folder
    driver.window.program.messages.info("Twelve instances proposed.")
    assert driver.window.message_bar.isVisible()
    driver.window.close_project()
    assert not driver.window.message_bar.isVisible()
    driver.window.program.messages.warning("Something about the start page.")
    assert driver.window.open_project(folder)
    assert not driver.window.message_bar.isVisible()


def hold(folder: str, ready: object, leave: object) -> None:
    from kinmark.projects.project import Project

    with Project.open(Path(folder)):
        ready.set()  # type: ignore[attr-defined]
        leave.wait(60)  # type: ignore[attr-defined]


def test_a_locked_project_can_be_tried_again_or_opened_read_only(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    folder = make_project(tmp_path / "p.kinmark", photos)
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(folder), ready, leave))
    other.start()
    try:
        assert ready.wait(60)
        driver = make_driver()
        window = driver.window
        assert not window.open_project(folder)
        buttons = {b.text(): b for b in window.message_bar.findChildren(QPushButton) if b.isVisible()}
        assert {"Open read-only", "Try again"} <= set(buttons)
        QTest.mouseClick(buttons["Try again"], Qt.MouseButton.LeftButton)
        assert window.workspace is None, "it is still locked"
        QTest.mouseClick(buttons["Open read-only"], Qt.MouseButton.LeftButton)
        assert window.workspace is not None and window.workspace.session.read_only
        window.close_project()
        assert not window.open_project(folder)
    finally:
        leave.set()
        other.join(60)
    QTest.mouseClick(buttons["Try again"], Qt.MouseButton.LeftButton)
    assert window.workspace is not None and not window.workspace.session.read_only


def test_the_search_knows_what_a_photo_has_and_what_it_lacks(driver: Driver) -> None:
    space, search = driver.space, driver.window.search
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)  # nose only
    driver.key(Qt.Key.Key_V)
    labelled = space.labelling.image.id

    def found(text: str) -> tuple[int, ...]:
        search.setFocus()
        search.selectAll()
        QTest.keyClicks(search, text)
        driver.until(lambda: space.images.search_text == text)
        return tuple(space.images.model.ids)

    assert found("kp:nose") == (labelled,) and found("kp:left_ear") == ()
    assert found("lacks:left_ear") == (labelled,) and found("lacks:nose") == ()
    assert not space.images._note.isVisible()
    assert found("keypoint:nose") == ()
    assert space.images._note.isVisible() and "keypoint:nose" in space.images._note.text()
    found("photo")
    assert not space.images._note.isVisible() and len(space.images.model.ids) == 4
