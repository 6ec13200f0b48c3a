"""What the disk, other programs and people do to an open window: a clear message, and the work goes on."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6 import QtGui
from PySide6.QtCore import QAbstractItemModel, QAbstractListModel, QModelIndex, QPoint, Qt
from PySide6.QtGui import QAction, QGuiApplication, QTextDocument
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractItemView, QApplication, QLabel, QLineEdit, QMessageBox, QWidget

from kinmark.desktop.dialogs.crash_dialog import CrashDialog
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint
from tests.support.proposals import propose_figures
from tests.support.window import SCHEMA, Driver, dropped, figure_points, make_photos, make_project

# -- the shown photo ---------------------------------------------------------------------------------------------------


def test_a_photo_that_vanishes_while_it_is_shown_stays_on_screen_and_is_told(driver: Driver, photos: Path) -> None:
    file = photos / "photo_0.png"
    kept = file.read_bytes()
    file.unlink()
    driver.until(lambda: "photo_0.png" in driver.window.message_bar.text)
    assert "not there" in driver.window.message_bar.text
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    assert driver.space.session.queries.counts().keypoints == 0 and driver.canvas.pyramid is not None

    # It comes back as another picture of the same size: that one is shown, nothing is asked.
    image = Image.new("RGB", driver.space.labelling.image.size_wh, (10, 200, 10))
    image.save(file)
    driver.until(lambda: driver.canvas.pyramid.levels[0].pixelColor(5, 5).green() == 200)
    assert "replaced" not in driver.window.message_bar.text
    file.write_bytes(kept)
    driver.until(lambda: driver.canvas.pyramid.levels[0].pixelColor(5, 5).green() != 200)


def test_a_photo_that_is_replaced_by_one_of_another_size_while_shown_is_told(driver: Driver, photos: Path) -> None:
    Image.new("RGB", (100, 50), (10, 200, 10)).save(photos / "other.png")
    (photos / "other.png").replace(photos / "photo_0.png")
    driver.until(lambda: "replaced" in driver.window.message_bar.text)
    assert driver.canvas.image_wh == (100, 50)
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()


def test_half_a_file_while_it_is_being_copied_ends_well(driver: Driver, photos: Path) -> None:
    file = photos / "photo_0.png"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 3])
    driver.until(lambda: "truncated" in driver.window.message_bar.text)
    file.write_bytes(data)
    driver.until(lambda: driver.space.program.photos.cached(file) is not None)
    assert driver.canvas.pyramid is not None


# -- the project folder ------------------------------------------------------------------------------------------------


def test_a_project_folder_that_goes_away_is_told_and_nothing_is_lost(driver: Driver, tmp_path: Path) -> None:
    space, folder = driver.space, driver.space.folder
    away = tmp_path / "away.kinmark"
    folder.rename(away)
    space.folder_watch.look()
    driver.until(lambda: "not there any more" in driver.window.message_bar.text)
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    assert space.session.queries.counts().keypoints == 1
    away.rename(folder)
    space.folder_watch.look()
    driver.until(lambda: "is back" in driver.window.message_bar.text)
    driver.click(90, 90)
    driver.window.close_project()
    with Project.open(folder) as project:
        assert project.queries.counts().keypoints == 2 and project.check_integrity() == []


def test_a_drive_that_fails_is_told_for_each_step_and_work_goes_on_afterwards(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinmark.projects.store.operations.base import Runner

    whole = Runner.operation

    def broken(self: Runner, *arguments: object, **more: object) -> object:
        from kinmark.projects.store.database import translated_errors

        with translated_errors(driver.space.folder / "project.sqlite", "Saving"):
            raise OSError(5, "Input/output error")

    driver.key(Qt.Key.Key_K)
    monkeypatch.setattr(Runner, "operation", broken)
    driver.click(60, 60)
    driver.until(lambda: "cannot be reached" in driver.window.message_bar.text)
    assert driver.space.session.queries.counts().keypoints == 0
    monkeypatch.setattr(Runner, "operation", whole)
    driver.click(60, 60)
    assert driver.space.session.queries.counts().keypoints == 1


HOLDER = """
import sys
from pathlib import Path
from kinmark.projects.project import Project
with Project.open(Path(sys.argv[1])) as project:
    print("open", flush=True)
    sys.stdin.readline()
    project.operations.mark_nothing_here([project.queries.image_named("photo_3.png").id])
    print("written", flush=True)
    sys.stdin.readline()
"""


def test_two_windows_of_two_processes_on_one_project(
    make_driver: Callable[..., Driver], photos: Path, tmp_path: Path, repository: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1)
    propose_figures(folder)
    command = [sys.executable, "-c", HOLDER, str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=repository, **pipes) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "open\n"
        driver = make_driver()
        assert not driver.window.open_project(folder)
        assert str(holder.pid) in driver.window.message_bar.text or "open" in driver.window.message_bar.text
        driver.window.message_bar._other.click()
        driver.photo_shown()
        space = driver.space
        assert space.session.read_only and "read-only" in driver.window.windowTitle()
        driver.key(Qt.Key.Key_N)
        driver.photo_shown()
        driver.key(Qt.Key.Key_Return)
        assert "read-only" in driver.window.message_bar.text or "read" in driver.window.message_bar.text
        assert space.session.queries.counts().keypoints == 5
        driver.window.message_bar.hide()
        driver.window.commands.project.take_dropped(dropped([make_photos(tmp_path / "more", 1)]))
        driver.until(lambda: "read-only" in driver.window.message_bar.text, 60)
        assert driver.window.findChildren(CrashDialog) == []
        # What the other window does is seen here.
        done = space.session.queries.image_named("photo_3.png").id
        space.go_to(done)
        assert holder.stdin is not None and space.labelling.image.state != "nothing"
        holder.stdin.write("\n")
        holder.stdin.flush()
        driver.until(lambda: space.labelling.image.state == "nothing", 60)
        holder.communicate("\n", timeout=60)
    assert driver.window.open_project(folder)
    driver.photo_shown()
    assert not driver.space.session.read_only


# -- dropping ----------------------------------------------------------------------------------------------------------


def make_rubbish(folder: Path) -> None:
    """Everything that a folder can hold beside photos."""
    folder.mkdir()
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "paper.jpg").write_bytes(b"%PDF-1.4 nothing")
    (folder / "empty.png").write_bytes(b"")
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "line\nbreak.png").write_bytes(b"no picture")
    (folder / ("n" * 250 + ".jpg")).write_bytes(b"\xff\xd8\xff")
    (folder / "._resource.jpg").write_bytes(b"\0" * 10)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(folder / "s.jpg"))


def test_mixed_rubbish_adds_only_the_photos(driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_rubbish(tmp_path / "drop")
    make_photos(tmp_path / "drop" / "photos", 2)
    driver.window.commands.project.take_dropped(dropped([tmp_path / "drop", tmp_path / "drop" / "paper.pdf"]))
    driver.until(lambda: "2 photos added" in driver.window.message_bar.text, 60)
    assert driver.space.session.queries.counts().all == 6


def test_a_pdf_on_the_start_page_is_refused_with_what_to_do(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    driver = make_driver()
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4 nothing")
    driver.window.commands.project.take_dropped(dropped([tmp_path / "paper.pdf"]))
    driver.until(lambda: "Nothing that was dropped is a photo" in driver.window.message_bar.text)
    assert driver.window.commands.dialogs.dialog("new") is None


def test_a_path_that_vanished_between_drop_and_look_is_told(driver: Driver, tmp_path: Path) -> None:
    driver.window.commands.project.take_dropped(dropped([tmp_path / "gone.jpg"]))
    driver.until(lambda: "gone.jpg" in driver.window.message_bar.text, 60)


def test_thousands_of_dropped_files_leave_the_window_alive(driver: Driver, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    Image.new("RGB", (4, 4), (9, 9, 9)).save(folder / "0.png")
    one = (folder / "0.png").read_bytes()
    for number in range(1, 2000):
        (folder / f"{number}.png").write_bytes(one + number.to_bytes(4, "big"))
    driver.window.commands.project.take_dropped(dropped(sorted(folder.iterdir())))
    # What is on screen gets in between the files.
    heard: list[object] = []
    driver.window.program.engine.submit("here", lambda context: heard.append(1), priority=0, quiet=True)
    driver.until(lambda: heard, 60)
    assert driver.space.session.queries.counts().all in (4, 2004)
    driver.until(
        lambda: "2,000 photos" in driver.window.message_bar.text or "2000" in driver.window.message_bar.text, 120
    )
    assert driver.space.session.queries.counts().all == 2004
    driver.until(lambda: len(driver.space.images.model.ids) == 2004)


# -- names -------------------------------------------------------------------------------------------------------------

HOSTILE = "<b>bold</b><img src='file:///etc/hostname'>&amp;"
NAMES = (HOSTILE, "\u202eשלום " + "😀" * 20, "x" * 298)


def rich(text: str) -> bool:
    """Whether Qt would show `text` as something else than its letters where the format is guessed."""
    if not QtGui.Qt.mightBeRichText(text):
        return False
    document = QTextDocument()
    document.setHtml(text)
    # Our own escaping (`plain_tip`) shows the name as it is; interpreted, "bold" would stand there without its tags.
    return "bold" in document.toPlainText() and "<b>bold" not in document.toPlainText()


def shown_texts(model: QAbstractItemModel, parent: QModelIndex | None = None) -> Iterator[str]:
    parent = parent if parent is not None else QModelIndex()
    columns = 1 if isinstance(model, QAbstractListModel) else model.columnCount(parent)
    for row in range(min(model.rowCount(parent), 50)):
        for column in range(columns):
            yield str(model.index(row, column, parent).data(Qt.ItemDataRole.ToolTipRole) or "")


def check_plain(window: QWidget) -> int:
    """No label, tooltip, question or list of `window` interprets a name; returns how many texts were looked at."""
    looked = 0
    for widget in [window, *window.findChildren(QWidget)]:
        where = f"{type(window).__name__}/{type(widget).__name__}"
        assert not rich(widget.toolTip()), f"{where}: {widget.toolTip()!r}"
        if isinstance(widget, QLabel):
            looked += 1
            interprets = widget.textFormat() != Qt.TextFormat.PlainText and rich(widget.text())
            assert not interprets, f"{where}: {widget.text()!r}"
        if isinstance(widget, QMessageBox):
            assert widget.textFormat() == Qt.TextFormat.PlainText or not rich(widget.text()), where
        if isinstance(widget, QAbstractItemView) and widget.model() is not None:
            for text in shown_texts(widget.model()):
                looked += 1
                assert not rich(text), f"{where}: {text!r}"
    for action in window.findChildren(QAction):
        assert not rich(action.toolTip()), f"{action.text()}: {action.toolTip()!r}"
    return looked


@pytest.fixture(params=NAMES, ids=["html", "rtl emoji", "long"])
def named(request: pytest.FixtureRequest, make_driver: Callable[..., Driver], tmp_path: Path) -> Driver:
    """A project in which everything that can have a name has this one."""
    name: str = request.param
    safe = name.replace("/", "\u2215")[:60]
    photos = tmp_path / safe
    make_photos(photos, 4)
    for index in range(4):
        (photos / f"photo_{index}.png").rename(photos / f"{index}{safe}.png")
    folder = tmp_path / f"{safe}.kinmark"
    with Project.create(folder, name=name) as project:
        add_paths(project, [photos])
        category_id = project.operations.add_category(name, SCHEMA).ids[0]
        category = project.queries.category(category_id)
        assert category is not None
        for definition_id in category.definition_ids:
            project.operations.rename_keypoint(definition_id, f"{definition_id}{name}")
        identity = project.operations.add_identity(name, category_id).ids[0]
        other = project.operations.add_identity("2" + name, category_id).ids[0]
        rows = project.queries.images()
        for row, who in zip(rows[:2], (identity, other), strict=True):
            places = figure_points(0, row.size_wh).tolist()
            points = [NewKeypoint(d, x, y) for d, (x, y) in zip(category.definition_ids, places, strict=True)]
            made = project.operations.add_instance(row.id, category_id, points, box=(20, 20, 200, 150)).ids[0]
            project.operations.assign_identity([made], who)
        project.operations.tag(name, [rows[0].id])
    propose_figures(folder, category=name)
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    return driver


def test_no_window_interprets_a_name(named: Driver) -> None:
    window, space = named.window, named.space
    d = window.commands.dialogs
    driver_pages = ("label", "parts", "identities", "statistics")
    space.labelling.select(space.labelling.shown[0].key, 0)
    named.wait(0.3)
    looked = check_plain(window)
    for page in driver_pages:
        window.show_page(page)
        named.wait(0.1)
        looked += check_plain(window)
    window.show_page("label")
    openers = (
        d.new_project,
        d.settings,
        d.models,
        d.keys,
        d.legend,
        d.about,
        d.shortcuts,
        lambda: d.schema(space),
        lambda: d.export(space),
        lambda: d.import_labels(space),
        lambda: d.accept_queue(space),
        lambda: d.find(space),
        lambda: d.tune(space),
        lambda: d.relink(space),
    )
    for opener in openers:
        opener()
        named.wait(0.05)
    looked += sum(check_plain(dialog) for dialog in list(d.open.values()))
    for dialog in list(d.open.values()):
        dialog.close()
    # Messages with the name in them, the undo entry, the menu of the photo list, and the start page with its card.
    space.program.messages.warning(space.session.name, space.labelling.image.file_name)
    named.key(Qt.Key.Key_N)
    named.key(Qt.Key.Key_Return)
    looked += check_plain(window)
    window.close_project()
    named.wait(0.3)
    looked += check_plain(window)
    assert looked > 100
    assert not any(isinstance(w, QMessageBox) for w in QApplication.topLevelWidgets() if w.isVisible())


def test_questions_show_names_as_they_are(named: Driver) -> None:
    from PySide6.QtCore import QTimer

    seen: list[int] = []

    def look() -> None:
        box = QApplication.activeModalWidget()
        if box is not None:
            for label in box.findChildren(QLabel):
                assert label.textFormat() == Qt.TextFormat.PlainText or not rich(label.text()), label.text()
            seen.append(1)
            box.close()

    space = named.space
    d = named.window.commands.dialogs
    named.window.show_page("identities")
    page = named.window.page("identities").inner
    d.schema(space)
    for question in (page.merge, page.rename, d.dialog("schema").rename_category, d.dialog("schema").remove_category):
        QTimer.singleShot(50, look)
        question()
    assert len(seen) == 4


# -- clipboard ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rubbish",
    ["", "x" * 1_000_000, "\0\1\2\x1b[31m\u2028\u202e", "<b>a</b>\n\tb\r\nc", '{"shapes": [', "😀" * 5000],
    ids=["nothing", "a megabyte", "control", "lines", "json", "emoji"],
)
def test_rubbish_from_the_clipboard(driver: Driver, rubbish: str) -> None:
    QGuiApplication.clipboard().setText(rubbish)
    space = driver.space
    driver.canvas.setFocus()
    driver.key(Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    assert space.session.queries.counts().instances == 0
    control = Qt.KeyboardModifier.ControlModifier
    driver.window.registry["edit.schema"].trigger()
    schema = driver.window.commands.dialogs.dialog("schema")
    fields: list[QLineEdit] = [driver.window.search, schema.new_name]
    for field in fields:
        driver.key(Qt.Key.Key_V, control, widget=field)
        driver.key(Qt.Key.Key_Return, widget=field)
    driver.wait(0.3)
    assert len(space.images.model.ids) <= 4 and driver.window.grab().width() > 0
    schema.close()
    driver.window.search.clear()
    driver.until(lambda: len(space.images.model.ids) == 4)
    QTest.mouseClick(driver.canvas.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
    QGuiApplication.clipboard().clear()


def test_only_a_locked_project_is_offered_for_reading(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    """Its name says nothing about it: "open_field" is not open elsewhere, it is damaged."""
    from kinmark.engine.domain.errors import ProjectLockedError
    from kinmark.projects.store.database import DATABASE_NAME

    folder = tmp_path / "open_field.kinmark"
    folder.mkdir()
    (folder / DATABASE_NAME).write_bytes(b"no database")
    driver = make_driver()
    assert not driver.window.open_project(folder)
    bar = driver.window.message_bar
    assert "damaged" in bar.text or "is not a Kinmark project" in bar.text
    assert not bar._other.isVisible()
    driver.window._offer_after_failure(folder, ProjectLockedError("Somebody works on it."))
    assert bar._other.isVisible() and bar._other.text() == "Open read-only"
