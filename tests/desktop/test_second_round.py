"""Small things that cost time: recent projects, labels beside the photos, where undo happens, what a check found is fine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton

from kinmark.desktop.panels.evidence_panel import shown_number
from kinmark.projects.project import Project
from kinmark.projects.workflows.check import Finding
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from tests.support.window import Driver, dropped, figure_points, make_photos, make_project

CONTROL = Qt.KeyboardModifier.ControlModifier


def test_recent_projects_are_in_the_menu(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path) -> None:
    driver = make_driver()
    for name in ("one", "two & three"):
        assert driver.window.open_project(make_project(tmp_path / f"{name}.kinmark", photos))
    menu = driver.window.menus["recent"]
    menu.aboutToShow.emit()
    texts = [a.text() for a in menu.actions()]
    assert texts == ["two && three", "one"] and not menu.actions()[0].isEnabled()
    menu.actions()[1].trigger()
    assert driver.window.workspace.session.name == "one"


def test_labels_beside_the_photos_are_offered(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    folder = make_photos(tmp_path / "labelled photos", 3)
    other = make_project(tmp_path / "other.kinmark", folder, labelled=2)
    with Project.open(other) as project:
        export_project(project, tmp_path / "out", ExportOptions(format="coco"))
    (tmp_path / "out" / "annotations.json").rename(folder / "labels.json")
    empty = tmp_path / "new.kinmark"
    Project.create(empty, name="new").close()
    driver = make_driver()
    assert driver.window.open_project(empty)
    driver.window.commands.project.take_dropped(dropped([folder]))
    driver.until(lambda: "3 photos added" in driver.window.message_bar.text)
    assert "labels.json" in driver.window.message_bar._hint.text()
    offer = next(b for b in driver.window.message_bar.findChildren(QPushButton) if b.text() == "Import them...")
    QTest.mouseClick(offer, Qt.MouseButton.LeftButton)
    dialog = driver.window.commands.dialogs.dialog("import")
    assert dialog.file.text() == str(folder / "labels.json") and dialog.format.currentData() == "coco"
    driver.until(dialog.take.isEnabled, 30)
    dialog.close()


def test_undo_goes_to_the_photo_where_it_happens(driver: Driver) -> None:
    space = driver.space
    first = space.labelling.image.id
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    driver.key(Qt.Key.Key_V)
    driver.key(Qt.Key.Key_D)
    driver.key(Qt.Key.Key_D)
    assert space.labelling.image.id != first
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert space.labelling.image.id == first and space.session.queries.instances() == ()
    driver.key(Qt.Key.Key_D)
    driver.key(Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert space.labelling.image.id == first and len(space.session.queries.instances()) == 1
    assert "Done again" in driver.window.job_bar.step.whole_text


def test_a_step_over_many_photos_leaves_the_view(proposed: Driver) -> None:
    space = proposed.space
    ids = list(space.images.model.ids)
    space.session.write(lambda do: do.tag("x", ids))
    space.go_to(ids[2])
    proposed.key(Qt.Key.Key_Z, CONTROL)
    assert space.labelling.image.id == ids[2]


def test_the_folder_of_an_export_is_one_click_away(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", staticmethod(lambda url: opened.append(url) or True))
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "p.kinmark", photos, labelled=1))
    driver.key(Qt.Key.Key_E, CONTROL)
    dialog = driver.window.commands.dialogs.dialog("export")
    assert dialog.show_folder.isHidden()
    dialog.place.setText(str(tmp_path / "out"))
    driver.until(lambda: dialog.state.text() == "", 30)
    dialog.export.click()
    driver.until(lambda: dialog.show_folder.isVisible(), 30)
    QTest.mouseClick(dialog.show_folder, Qt.MouseButton.LeftButton)
    assert opened == [QUrl.fromLocalFile(str(tmp_path / "out"))]
    dialog.close()
    offer = next(b for b in driver.window.message_bar.findChildren(QPushButton) if b.text() == "Open the folder")
    QTest.mouseClick(offer, Qt.MouseButton.LeftButton)
    assert len(opened) == 2


def test_a_label_that_is_fine_is_not_found_again_until_it_moves(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "p.kinmark", photos, labelled=3))
    driver.photo_shown()
    space = driver.space
    instances = space.session.queries.instances()
    findings = tuple(
        Finding("far", "", i.image_id, i.id, "figure", "left_ear", 3.0 - n, "left_ear looks odd")
        for n, i in enumerate(instances)
    )
    driver.window.commands.engine.check_done(findings)
    assert "Enter: it is fine" in driver.window.job_bar.step.whole_text
    first = space.labelling.image.id
    assert first == instances[0].image_id
    driver.key(Qt.Key.Key_Return)
    assert space.labelling.image.id == instances[1].image_id, "on to the next finding"
    driver.window.commands.engine.check_done(findings)
    assert sorted(space.queue.findings) == [instances[1].image_id, instances[2].image_id]
    ear = next(k for k in instances[0].keypoints if k.definition_id == space.labelling.category.definition_ids[1])
    space.session.write(lambda do: do.move_keypoint(ear.id, ear.x + 9, ear.y))
    driver.window.commands.engine.check_done(findings)
    assert first in space.queue.findings, "it was moved: what was said about it no longer holds"


def test_all_fine_says_so(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path) -> None:
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "p.kinmark", photos, labelled=1))
    driver.photo_shown()
    [instance] = driver.space.session.queries.instances()
    finding = Finding("far", "", instance.image_id, instance.id, "figure", "nose", 3.0, "nose looks odd")
    driver.window.commands.engine.check_done((finding,))
    driver.key(Qt.Key.Key_Return)
    driver.window.commands.engine.check_done((finding,))
    assert "called fine" in driver.window.message_bar.text


def test_the_empty_source_leaves_its_room_to_the_canvas(driver: Driver) -> None:
    target = driver.space.target
    assert not target.source.isVisible() and driver.window.registry["view.source"].isChecked()
    wide = driver.canvas.width()
    driver.key(Qt.Key.Key_K)
    for x, y in figure_points(0, driver.space.labelling.image.size_wh).tolist():
        driver.click(x, y)
    assert not target.source.isVisible() and driver.canvas.width() == wide, "nothing moves under the hand"
    driver.key(Qt.Key.Key_D)
    assert target.source.isVisible() and target.source.exemplar is not None
    driver.window.registry["view.source"].trigger()
    assert not target.source.isVisible()


def test_the_photos_a_proposal_comes_from_are_shown_and_lead_there(proposed: Driver) -> None:
    space = proposed.space
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    row = space.evidence.exemplars
    proposed.until(lambda: row.isVisible())
    first = space.images.model.ids[0]
    assert [c.image_id for c in row._crops] == [first] and row._crops[0].title == "photo_0.png"
    x0, y0, x1, y1 = row._crops[0].box
    nose = figure_points(0, (240, 180))[space.labelling.focused]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(tuple(nose), abs=0.01)
    QTest.mouseClick(row.buttons[0], Qt.MouseButton.LeftButton)
    assert space.labelling.image.id == first
    proposed.until(lambda: not row.isVisible())


def test_the_photo_that_a_point_resembles_most_comes_first(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    from tests.support.proposals import propose_figures

    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=3)
    with Project.open(folder) as project:
        ids = [row.id for row in project.queries.images()]
    propose_figures(folder, exemplars=ids[:3], sources={0: ids[2], 1: ids[1]})
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    driver.space.labelling.show_image(ids[3])
    evidence = driver.space.evidence
    for focused, first in ((0, 2), (1, 1), (2, 0)):
        driver.space.labelling.focus(focused)
        driver.until(lambda: evidence.exemplars.isVisible())
        driver.until(lambda f=first: evidence.exemplars._crops[0].image_id == ids[f])
        assert len(evidence.exemplars._crops) == 3
        told = evidence.exemplars_title.text()
        assert told == (f"Most like photo_{first}.png:" if focused < 2 else "From photo_0.png:"), told
    driver.space.labelling.focus(0)
    driver.until(lambda: evidence.exemplars._crops[0].image_id == ids[2])
    QTest.mouseClick(evidence.exemplars.buttons[0], Qt.MouseButton.LeftButton)
    assert driver.space.labelling.image.id == ids[2]


def test_the_status_line_says_how_many_of_an_instance_should_be_right(proposed: Driver) -> None:
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    selected = proposed.space.labelling.selected
    mean = sum(k.confidence for k in selected.pending.values()) / len(selected.pending)
    assert selected.expected_precision == pytest.approx(mean)
    assert f"Ctrl+Enter all 5 ({mean:.0%} right)" in proposed.window.job_bar.step.whole_text


@pytest.mark.parametrize(
    ("value", "pattern", "text"),
    [
        (-0.001, "{:.2f}", "0.00"),
        (-0.02, "{:.2f}", "-0.02"),
        (1.02, "{:.0%}", "> 100%"),
        (0.04, "{:.0%}", "4%"),
        (-0.0, "{:.2f}", "0.00"),
        (1.0, "{:.0%}", "100%"),
    ],
)
def test_figures_are_written_as_people_do(value: float, pattern: str, text: str) -> None:
    assert shown_number(value, pattern) == text


def test_one_is_one(proposed: Driver) -> None:
    space: Any = proposed.space
    proposal = space.session.queries.proposals()[0]
    space.session.write(lambda do: do.accept_proposals([proposal.id], min_confidence=proposal.keypoints[0].confidence))
    assert space.session.project.undo_name == "Accept a keypoint"


def test_each_keypoint_is_counted(proposed: Driver) -> None:
    space = proposed.space
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    proposed.key(Qt.Key.Key_0)  # the focused one is not in the photo
    focused = space.labelling.category.definitions[0].name
    proposed.window.show_page("statistics")
    table = proposed.window.page("statistics").inner.table
    proposed.until(lambda: table.rowCount() == 5, 30)
    rows = {table.item(r, 0).text(): [int(table.item(r, c).text()) for c in range(1, 6)] for r in range(5)}
    absent = [name for name, row in rows.items() if row[2] == 1]
    assert len(absent) == 1 and rows[absent[0]] == [1, 0, 1, 2, 0]
    other = next(name for name in rows if name not in absent)
    assert rows[other] == [1, 0, 0, 3, 1] and focused in rows
    assert table.height() >= 5 * table.rowHeight(0), "the page scrolls, not the table"


def test_tuning_says_how_long_it_will_take(make_driver: Callable[..., Driver], tmp_path: Path, photos: Path) -> None:
    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "p.kinmark", photos, labelled=3))
    space = driver.space
    dialogs = driver.window.commands.dialogs
    dialogs.tune(space)
    assert "first steps show" in dialogs.dialog("tune").estimate.text()
    space.session.write(lambda do: do.set_setting("window.tuning", {"steps": 120, "seconds": 96.0, "kind": "class"}))
    dialogs.tune(space)
    dialog = dialogs.dialog("tune")
    assert "120 steps" in dialog.estimate.text()
    dialog.steps.setValue(300)
    assert dialog.estimate.text() == "About 4 min for 300 steps, as fast as the last time."
    for rubbish in (3, {"steps": 0, "seconds": 1}, {"steps": "x"}, []):
        space.session.write(lambda do, r=rubbish: do.set_setting("window.tuning", r))
        dialogs.tune(space)
        assert "first steps" in dialogs.dialog("tune").estimate.text()
