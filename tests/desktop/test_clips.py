"""Frames of a clip by the window: chosen, looked at, added; exactly what was shown becomes photos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from kinmark.desktop.dialogs.clip_dialog import ClipDialog
from tests.support.window import Driver, dropped

COUNT = 12


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """12 frames of 64 x 48, one more grey than the other; ten a second."""
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(COUNT):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    return path


def _frames(driver: Driver) -> list[str]:
    return [row.file_name for row in driver.space.session.queries.iter_images() if row.file_name.startswith("walk")]


def _dialog(driver: Driver) -> ClipDialog:
    dialog = driver.window.commands.dialogs.open["clip"]
    assert isinstance(dialog, ClipDialog)
    return dialog


def _captions(dialog: ClipDialog) -> list[str]:
    return [dialog.pictures.item(i).text() for i in range(dialog.pictures.count())]


def test_frames_are_shown_before_they_are_added(driver: Driver, clip: Path) -> None:
    driver.window.registry["project.add_clip"].trigger()
    dialog = _dialog(driver)
    assert not dialog.look.isEnabled() and not dialog.take.isEnabled()
    QTest.keyClicks(dialog.file, str(clip))
    dialog.number.setValue(4)
    QTest.mouseClick(dialog.look, Qt.MouseButton.LeftButton)
    driver.until(lambda: dialog.pictures.count() == 4)
    assert _captions(dialog) == ["1  (0:00.1)", "4  (0:00.4)", "7  (0:00.7)", "10  (0:01.0)"]
    picture = dialog.pictures.item(3).icon().pixmap(64, 48).toImage()
    assert picture.pixelColor(32, 24).red() == pytest.approx(200, abs=8)
    assert dialog.state.text().startswith("4 frames would be added of about 12, 64 x 48")
    QTest.mouseClick(dialog.take, Qt.MouseButton.LeftButton)
    driver.until(lambda: len(_frames(driver)) == 4)
    assert _frames(driver) == [f"walk/walk-{n:06d}.png" for n in (1, 4, 7, 10)]
    assert "clip" not in driver.window.commands.dialogs.open


def test_another_wish_takes_the_pictures_away(driver: Driver, clip: Path) -> None:
    driver.window.registry["project.add_clip"].trigger()
    dialog = _dialog(driver)
    dialog.file.setText(str(clip))
    dialog.kind.setCurrentIndex(dialog.kind.findData("every"))
    assert dialog.number.value() == 30
    dialog.number.setValue(5)
    dialog.start()
    driver.until(lambda: dialog.pictures.count() == 3)
    dialog.number.setValue(6)
    assert dialog.pictures.count() == 0 and dialog.state.text() == ""
    QTest.mouseClick(dialog.take, Qt.MouseButton.LeftButton)  # without another look
    driver.until(lambda: len(_frames(driver)) == 2)
    assert _frames(driver) == ["walk/walk-000000.png", "walk/walk-000006.png"]


def test_a_clip_that_is_dropped_opens_its_window(driver: Driver, clip: Path, tmp_path: Path) -> None:
    clips = driver.window.commands.dialogs.clips
    assert not clips.take(dropped([tmp_path / "photos"])) and "clip" not in driver.window.commands.dialogs.open
    assert clips.take(dropped([clip]))
    dialog = _dialog(driver)
    driver.until(lambda: dialog.pictures.count() == COUNT)  # 50 are asked for, the clip has 12


def test_a_broken_clip_is_said_in_the_window(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42 and nothing more")
    driver.window.commands.dialogs.clips.open(driver.space, tmp_path / "broken.mp4")
    dialog = _dialog(driver)
    driver.until(lambda: "Cannot read the clip" in dialog.state.text())
    assert dialog.pictures.count() == 0 and dialog.look.isEnabled()
