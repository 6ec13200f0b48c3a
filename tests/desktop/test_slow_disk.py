"""Photos and labels on a drive that answers late or never: the window's own thread asks the disk nothing about them."""

from __future__ import annotations

import builtins
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from kinmark.projects.project import Project
from tests.desktop.test_dropping import drop
from tests.support.window import Driver, make_photos, make_project


class Asked(list[str]):
    """What the window's thread asked about the files below a folder, and from where."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = os.path.realpath(folder)

    def watch(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        """Note the calls of one function; the answer stays the same."""
        real = getattr(owner, name)

        def watched(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            here = threading.current_thread() is threading.main_thread()
            if here and isinstance(path, str | os.PathLike) and os.fspath(path).startswith(self.folder):
                self.append(f"{name} {os.fspath(path)}")
            return real(path, *args, **kwargs)

        monkeypatch.setattr(owner, name, watched)


@pytest.fixture
def asked(driver: Driver, photos: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Of the photos' folder, while a window with its project is open."""
    found = Asked(photos)
    for name in ("stat", "lstat", "scandir", "listdir", "readlink", "access"):
        found.watch(monkeypatch, os, name)
    found.watch(monkeypatch, builtins, "open")
    return found


def test_the_watch_sees_what_it_should(asked: Asked, photos: Path) -> None:
    assert (photos / "photo_0.png").exists() and len(asked) == 1
    (photos / "photo_0.png").resolve()
    with (photos / "photo_0.png").open("rb"):
        pass
    assert len(asked) > 2


def test_looking_at_photos_filtering_and_searching(driver: Driver, asked: Asked) -> None:
    space, window = driver.space, driver.window
    for _ in range(5):
        driver.key(Qt.Key.Key_PageDown)
        driver.photo_shown()
    driver.click(60, 60)
    window.search.setText("photo_1")
    driver.until(lambda: len(space.images.model.ids) == 1)
    window.search.setText("")
    driver.until(lambda: len(space.images.model.ids) == 4)
    for page in ("parts", "identities", "statistics", "label"):
        window.show_page(page)
        driver.wait(0.1)
    window.registry["edit.undo"].trigger()
    assert list(asked) == []


def test_windows_that_name_folders(driver: Driver, asked: Asked, photos: Path) -> None:
    window, dialogs = driver.window, driver.window.commands.dialogs
    dialogs.find(driver.space)
    dialogs.dialog("find").close()
    dialogs.relink(driver.space)
    dialogs.dialog("relink").close()
    window.registry["project.import"].trigger()
    dialog = dialogs.dialog("import")
    dialog.file.setFocus()
    QTest.keyClicks(dialog.file, str(photos / "nothing.json"))
    QTest.mouseClick(dialog.look, Qt.MouseButton.LeftButton)
    driver.until(lambda: "nothing.json" in dialog.report.toPlainText())
    dialog.close()
    dialogs.new_project()
    new = dialogs.dialog("new")
    new.photos.setFocus()
    QTest.keyClicks(new.photos, str(photos))
    driver.until(lambda: new.create_button.isEnabled() and new.problem.text() == str(new.folder))
    new.close()
    assert list(asked) == []


def test_dropping_photos_and_labels(driver: Driver, asked: Asked, photos: Path) -> None:
    extra = make_photos(photos / "more", 2, (64, 48))
    asked.clear()
    drop(driver, extra)
    driver.until(lambda: len(driver.space.session.queries.image_ids()) == 6)
    assert list(asked) == []


def test_two_things_dropped_one_after_the_other_both_arrive(driver: Driver, photos: Path, tmp_path: Path) -> None:
    drop(driver, make_photos(tmp_path / "one", 1, (64, 48)))
    drop(driver, make_photos(tmp_path / "two", 1, (72, 48)))
    driver.until(lambda: len(driver.space.session.queries.image_ids()) == 6)


def test_a_new_project_says_what_is_wrong_while_it_is_typed(driver: Driver, tmp_path: Path) -> None:
    dialogs = driver.window.commands.dialogs
    dialogs.new_project()
    dialog = dialogs.dialog("new")
    dialog.place.setText(str(tmp_path / "nowhere"))
    driver.until(lambda: "place to save in is not there" in dialog.problem.text())
    assert not dialog.create_button.isEnabled()
    dialog.place.setText(str(tmp_path))
    dialog.photos.setText(str(tmp_path / "none"))
    dialog.place.setText(str(tmp_path))
    driver.until(lambda: "folder of photos is not there" in dialog.problem.text())
    dialog.photos.setText("")
    dialog.place.setText(str(tmp_path))
    QTest.keyClicks(dialog.name, "figures") if not dialog.name.clear() else None
    driver.until(lambda: "is there already" in dialog.problem.text())
    dialog.name.clear()
    assert dialog.problem.text() == "Give the project a name." and not dialog.create_button.isEnabled()
    dialog.close()


def test_a_folder_that_is_gone_is_named_when_the_disk_has_answered(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos)
    photos.rename(tmp_path / "elsewhere")
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.window.commands.dialogs.relink(driver.space)
    dialog = driver.window.commands.dialogs.dialog("relink")
    driver.until(lambda: dialog._grid.itemAtPosition(0, 0).widget().text().endswith("not there"))
    assert str(photos.resolve()) in dialog._grid.itemAtPosition(0, 0).widget().text()
    dialog.close()


def test_roots_are_named_without_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the project is reached through a link; the names are those that the disk would give."""
    photos = make_photos(tmp_path / "set" / "photos", 1)
    make_project(tmp_path / "set" / "figures.kinmark", photos)
    (tmp_path / "link").symlink_to(tmp_path / "set", target_is_directory=True)
    with Project.open(tmp_path / "link" / "figures.kinmark") as project:
        asked = Asked(tmp_path)
        for name in ("stat", "lstat", "readlink"):
            asked.watch(monkeypatch, os, name)
        [root] = project.queries.roots().values()
        [image] = project.queries.images()
        assert list(asked) == []
        assert root == photos.resolve() and image.path == photos.resolve() / "photo_0.png"
        assert project.queries.image_named(tmp_path / "link" / "photos" / "photo_0.png") == image
