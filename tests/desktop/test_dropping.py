"""Dropping labels on the window: the import dialog opens with file and format filled in, and its preview is made."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from kinmark.desktop.engine_thread.jobs import Priority
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import LabelImport
from tests.support.exchange import coco, photo
from tests.support.window import Driver, make_project


def drop(driver: Driver, *paths: Path) -> None:
    """Drag files over the window and let them go, as a file manager does."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    place = driver.window.rect().center()
    buttons, modifiers = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(place, Qt.DropAction.CopyAction, data, buttons, modifiers)
    QApplication.sendEvent(driver.window, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(
        driver.window, QDropEvent(QPointF(place), Qt.DropAction.CopyAction, data, buttons, modifiers)
    )


def exported(tmp_path: Path, photos: Path, format_: str, name: str) -> Path:
    """Labels of the first photo, written by another project."""
    folder = make_project(tmp_path / "other.kinmark", photos, labelled=1)
    with Project.open(folder) as project:
        export_project(project, tmp_path / name, ExportOptions(format=format_))
    return tmp_path / name


def test_a_dropped_label_file_is_previewed_and_imported(driver: Driver, tmp_path: Path, photos: Path) -> None:
    file = exported(tmp_path, photos, "coco", "labels") / "annotations.json"
    drop(driver, file)
    dialogs = driver.window.commands.dialogs
    driver.until(lambda: dialogs.dialog("import") is not None)
    dialog = dialogs.dialog("import")
    assert dialog.file.text() == str(file) and dialog.format.currentData() == "coco"
    driver.until(lambda: dialog.report.toPlainText())
    assert "1 added" in dialog.report.toPlainText()
    queries = driver.space.session.queries
    assert queries.instances() == (), "a preview writes nothing"
    driver.until(dialog.take.isEnabled)
    QTest.mouseClick(dialog.take, Qt.MouseButton.LeftButton)
    driver.until(lambda: len(queries.instances()) == 1)
    assert len(queries.image_ids()) == 4


def test_what_the_screen_waits_for_comes_between_the_steps_of_an_import(
    driver: Driver, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported(tmp_path, photos, "coco", "labels") / "annotations.json"
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    step = LabelImport.step

    def watched(self: LabelImport, limit: int | None = None) -> None:
        order.append("import")
        begun.set()
        assert go_on.wait(30)
        step(self, limit)

    monkeypatch.setattr(LabelImport, "step", watched)
    driver.window.registry["project.import"].trigger()
    dialog = driver.window.commands.dialogs.dialog("import")
    dialog.file.setText(str(file))
    dialog.start(dry=False)
    assert begun.wait(30)
    driver.space.program.engine.submit("Look", lambda context: order.append("screen"), priority=Priority.SCREEN)
    go_on.set()
    driver.until(lambda: len(driver.space.session.queries.instances()) == 1)
    assert order[:2] == ["import", "screen"] and order.count("import") == 3


def test_a_dropped_data_set_folder_and_photos(driver: Driver, tmp_path: Path, photos: Path) -> None:
    folder = exported(tmp_path, photos, "voc", "set")
    extra = tmp_path / "more"
    extra.mkdir()
    (extra / "new.png").write_bytes((photos / "photo_0.png").read_bytes() + b"\0")
    drop(driver, folder, extra)
    dialogs = driver.window.commands.dialogs
    driver.until(lambda: dialogs.dialog("import") is not None)
    assert dialogs.dialog("import").format.currentData() == "voc"
    driver.until(lambda: len(driver.space.session.queries.image_ids()) == 5)
    dialogs.dialog("import").close()


def test_the_format_follows_a_typed_file_once(driver: Driver, tmp_path: Path, photos: Path) -> None:
    file = exported(tmp_path, photos, "cvat", "labels") / "annotations.xml"
    driver.window.registry["project.import"].trigger()
    dialog = driver.window.commands.dialogs.dialog("import")
    dialog.file.setFocus()
    QTest.keyClicks(dialog.file, str(file))
    driver.key(Qt.Key.Key_Tab, widget=dialog.file)
    driver.until(lambda: dialog.format.currentData() == "cvat")
    dialog.format.setCurrentIndex(0)
    dialog._chosen()
    assert dialog.format.currentIndex() == 0, "a format chosen by hand stays"
    dialog.close()


@pytest.mark.parametrize("place", ["canvas", "source", "photos", "instances", "evidence", "review", "empty"])
def test_photos_can_be_dropped_wherever_the_window_is(driver: Driver, tmp_path: Path, place: str) -> None:
    """The text on the empty canvas invites to it; the event goes to the widget under the mouse, as in a real drag."""
    space = driver.space
    if place == "empty":
        space.session.write(lambda do: do.remove_images(list(space.images.model.ids)))
        driver.until(lambda: not space.images.model.ids)
        assert "drop a folder" in driver.canvas.message
    under = {
        "canvas": driver.canvas.viewport(),
        "empty": driver.canvas.viewport(),
        "source": space.target.source.view.viewport(),
        "photos": space.images.view.viewport(),
        "instances": space.instances.view.viewport(),
        "evidence": space.evidence,
        "review": space.review.view.viewport(),
    }[place]
    extra = tmp_path / "more"
    extra.mkdir()
    (extra / "new.png").write_bytes((tmp_path / "photos" / "photo_0.png").read_bytes() + b"\0")
    before = len(space.session.queries.image_ids())
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(extra))])
    spot, buttons, modifiers = QPoint(9, 9), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    for kind in (QDragEnterEvent, QDragMoveEvent):
        event = kind(spot, Qt.DropAction.CopyAction, data, buttons, modifiers)
        QApplication.sendEvent(under, event)
        assert event.isAccepted(), (place, kind.__name__)
    QApplication.sendEvent(under, QDropEvent(QPointF(spot), Qt.DropAction.CopyAction, data, buttons, modifiers))
    driver.until(lambda: len(space.session.queries.image_ids()) == before + 1)


def test_labels_of_some_photos_are_turned_by_a_pattern(driver: Driver, tmp_path: Path) -> None:
    """As `--exif rotate=cam1/*` on the command line: the same file holds labels of turned and of unrotated photos."""
    folder = tmp_path / "mixed"
    for number, name in enumerate(("cam1/a.jpg", "cam2/b.jpg")):
        photo(folder / name, 100, 200, seed=number, orientation=6)
    coco(folder / "labels.json", ["cam1/a.jpg", "cam2/b.jpg"], [10.25, 5.25, 2, 0, 0, 0], size=(0, 0))
    driver.window.registry["project.import"].trigger()
    dialog = driver.window.commands.dialogs.dialog("import")
    dialog.file.setFocus()
    QTest.keyClicks(dialog.file, str(folder / "labels.json"))
    dialog.exif.setFocus()
    driver.key(Qt.Key.Key_End, widget=dialog.exif)
    assert dialog.exif.currentData() == "keep" and not dialog.exif_else.isEnabled()
    driver.key(Qt.Key.Key_Tab, widget=dialog.exif)
    assert dialog.exif_photos.hasFocus()
    QTest.keyClicks(dialog.exif_photos, "cam1/*, cam9/*")
    assert dialog.exif_else.currentData() == "rotate"
    QTest.mouseClick(dialog.look, Qt.MouseButton.LeftButton)
    driver.until(dialog.report.toPlainText)
    text = dialog.report.toPlainText()
    assert "a.jpg: labels turned by its EXIF orientation 6" in text and 'flagged: pattern "cam9/*": no path' in text
    driver.until(dialog.take.isEnabled)
    QTest.mouseClick(dialog.take, Qt.MouseButton.LeftButton)
    queries = driver.space.session.queries
    driver.until(lambda: len(queries.instances()) == 2)
    places = {}
    for instance in queries.instances():
        row = queries.image(instance.image_id)
        assert row is not None
        places[Path(row.file_name).name] = (instance.keypoints[0].x, instance.keypoints[0].y)
    assert places["b.jpg"] == (10.25, 5.25) and places["a.jpg"] == (94.75, 10.25)
    dialog.close()
