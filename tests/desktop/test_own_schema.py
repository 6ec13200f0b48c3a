"""A project with keypoints of its own: from "Your own" to the first placed keypoint, by keys and clicks alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest

from tests.support.window import Driver, figure_points


def new_project(driver: Driver, photos: Path) -> Any:
    """Makes a project with "Your own" keypoints; the schema editor that opens by itself."""
    driver.window.start_page.new.click()
    dialog = driver.window.commands.dialogs.dialog("new")
    dialog.photos.setText(str(photos))
    dialog.choose_template("custom")
    QTest.mouseClick(dialog.create_button, Qt.MouseButton.LeftButton)
    driver.until(lambda: driver.window.workspace is not None and len(driver.space.images.model.ids) == 4)
    return driver.window.commands.dialogs.dialog("schema")


@pytest.fixture
def started(make_driver: Callable[..., Driver], photos: Path) -> tuple[Driver, Any]:
    driver = make_driver()
    return driver, new_project(driver, photos)


def test_the_schema_editor_opens_by_itself_and_the_first_click_places(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    assert dialog is not None and dialog.isVisible()
    driver.until(lambda: dialog.focusWidget() is dialog.new_name)
    for name in ("nose", "tail"):
        for letter in name:
            driver.key(letter, widget=dialog.focusWidget())
        driver.key(Qt.Key.Key_Return, widget=dialog.focusWidget())
    QTest.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    dialog.reject()
    driver.photo_shown()
    driver.key(Qt.Key.Key_K)
    assert driver.window.job_bar.step.whole_text.startswith("Click nose")
    driver.click(60, 60)
    driver.click(90, 60)
    [instance] = driver.space.session.queries.instances()
    assert len(instance.keypoints) == 2


def test_keypoints_added_with_the_tool_in_hand_are_placed_by_the_next_click(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    dialog.reject()
    driver.photo_shown()
    at = driver.space.labelling
    assert "Ctrl+K" in at.next_step() and "All placed" not in at.next_step()
    driver.key(Qt.Key.Key_K)
    dialog = driver.window.commands.dialogs.dialog("schema")
    assert dialog is not None, "K without keypoints opens the place where they are named"
    assert "All placed" not in at.next_step() and "Ctrl+K" in at.next_step()
    for letter in "nose":
        driver.key(letter, widget=dialog.new_name)
    driver.key(Qt.Key.Key_Return, widget=dialog.new_name)
    dialog.save.click()
    dialog.reject()
    x, y = figure_points(0, at.image.size_wh)[0]
    driver.click(float(x), float(y))
    [instance] = driver.space.session.queries.instances()
    assert [d.name for d in at.category.definitions] == ["nose"] and len(instance.keypoints) == 1


def schema_of(driver: Driver) -> Any:
    driver.key(Qt.Key.Key_K, Qt.KeyboardModifier.ControlModifier)
    return driver.window.commands.dialogs.dialog("schema")


def type_name(driver: Driver, dialog: Any, name: str) -> None:
    for letter in name:
        driver.key(letter, widget=dialog.new_name)
    driver.key(Qt.Key.Key_Return, widget=dialog.new_name)


@pytest.mark.parametrize("how", ["escape", "cross", "project"])
def test_closing_the_schema_editor_keeps_what_was_edited(driver: Driver, how: str) -> None:
    dialog = schema_of(driver)
    type_name(driver, dialog, "tail")
    for letter in "belly":
        driver.key(letter, widget=dialog.new_name)  # without Enter
    folder = driver.space.folder
    if how == "escape":
        driver.key(Qt.Key.Key_Escape, widget=dialog)
    elif how == "cross":
        dialog.close()
    else:
        driver.window.close_project()
        assert driver.window.open_project(folder)
    assert driver.space.labelling.category.schema.names[-2:] == ("tail", "belly")
    driver.window.registry["edit.undo"].trigger()
    assert "tail" not in driver.space.labelling.category.schema.names


def test_discard_takes_the_edits_back_and_another_category_saves_them(driver: Driver) -> None:
    driver.space.session.write(lambda do: do.add_category("other"))
    dialog = schema_of(driver)
    type_name(driver, dialog, "tail")
    QTest.mouseClick(dialog.discard, Qt.MouseButton.LeftButton)
    assert "tail" not in dialog.draft.names and not dialog.save.isEnabled()
    type_name(driver, dialog, "tail")
    dialog.category.setCurrentIndex(1)
    dialog.category.activated.emit(1)
    assert dialog.row.name == "other" and dialog.draft.names == []
    assert driver.space.labelling.categories[0].schema.names[-1] == "tail"


def test_a_change_from_elsewhere_leaves_the_edits_alone(driver: Driver) -> None:
    dialog = schema_of(driver)
    type_name(driver, dialog, "tail")
    driver.space.session.write(lambda do: do.add_category("other"))
    assert dialog.draft.names[-1] == "tail" and dialog.save.isEnabled() and dialog.category.count() == 2


def test_nodes_are_dragged_kept_and_dropped_as_template(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    for name in ("nose", "tail"):
        type_name(driver, dialog, name)
    editor = dialog.editor
    start = editor._place("tail").toPoint()
    area = editor._area()
    end = area.topLeft().toPoint() + (area.center() - area.topLeft()).toPoint() / 2
    QTest.mousePress(editor, Qt.MouseButton.LeftButton, pos=start)
    QTest.mouseMove(editor, (start + end) / 2)
    QTest.mouseMove(editor, end)
    QTest.mouseRelease(editor, Qt.MouseButton.LeftButton, pos=end)
    assert editor.places["tail"] == pytest.approx((0.25, 0.25), abs=0.02) and dialog.draft.edges == []
    dialog.reject()
    dialog = schema_of(driver)
    assert dialog.editor.places["tail"] == pytest.approx((0.25, 0.25), abs=0.02)
    QTest.mouseClick(dialog.editor, Qt.MouseButton.LeftButton, pos=dialog.editor._place("nose").toPoint())
    QTest.mouseClick(dialog.editor, Qt.MouseButton.LeftButton, pos=dialog.editor._place("tail").toPoint())
    assert dialog.draft.edges == [("nose", "tail")], "two clicks still join"
    dialog.reject()
    from kinmark.desktop.session.template import layout_key, template_points

    category = driver.space.labelling.category
    points = template_points(category, (), driver.space.session.queries.setting(layout_key(category.id)))
    assert points[1] == pytest.approx((-0.5, -0.5), abs=0.05)


@pytest.mark.parametrize(
    "names",
    [
        ("leftear", "rightear"),
        ("leftear", "right_ear"),
        ("L_ear", "R_ear"),
        ("ear.l", "ear.r"),
        ("Ear.L", "ear r"),
        ("ear_left", "right_ear"),
    ],
)
def test_pairs_are_found_and_shown(started: tuple[Driver, Any], names: tuple[str, str]) -> None:
    from kinmark.desktop.widgets.twin_delegate import TWIN

    driver, dialog = started
    for name in names:
        type_name(driver, dialog, name)
    assert dialog.draft.pairs == [names] and dialog.editor.pairs == [names]
    assert [dialog.names.item(i).data(TWIN) for i in range(2)] == [names[1], names[0]]


def test_glued_letters_are_suggested_only_on_request(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    for name in ("lear", "rear"):
        type_name(driver, dialog, name)
    assert dialog.draft.pairs == []
    dialog.suggest_pairs()
    assert dialog.draft.pairs == [("lear", "rear")]


def test_two_names_for_one_side_are_not_paired() -> None:
    from kinmark.projects.schema_draft import pairs_of_mixed_names

    assert pairs_of_mixed_names(["left_ear", "l_ear", "right_ear", "brightness", "lightness", "upper_lip"]) == []


def test_a_pasted_list_of_names_is_a_list_of_keypoints(started: tuple[Driver, Any]) -> None:
    driver, dialog = started
    QGuiApplication.clipboard().setText("nose\nleft_ear\r\nright_ear\n\n")
    driver.key(Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier, dialog.new_name)
    driver.key(Qt.Key.Key_Return, widget=dialog.new_name)
    assert dialog.draft.names == ["nose", "left_ear", "right_ear"] and dialog.draft.pairs == [("left_ear", "right_ear")]
    type_name(driver, dialog, "tail base, tail tip;nose")
    assert dialog.draft.names[3:] == ["tail base", "tail tip", "nose_2"]
    QTest.mouseClick(dialog.save, Qt.MouseButton.LeftButton)
    assert len(driver.space.labelling.category.definitions) == 6
