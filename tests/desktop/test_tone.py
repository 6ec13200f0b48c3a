"""Brightness, contrast and inversion of the view: keys, sliders, reset; neither file nor overlays change."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtTest import QTest

from kinmark.desktop.canvas.pyramid import ImagePyramid
from kinmark.desktop.canvas.tone import Tone, draw_toned
from tests.support.window import Driver

CTRL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
ALT = Qt.KeyboardModifier.AltModifier


def test_table_turns_about_mid_grey() -> None:
    assert (Tone().table() == np.arange(256)).all()
    assert (Tone(invert=True).table() == np.arange(255, -1, -1)).all()
    bright, hard, soft = Tone(0.5).table(), Tone(contrast=1).table(), Tone(contrast=-1).table()
    assert bright[0] == 128 and bright[200] == 255
    assert hard[0] == 0 and hard[255] == 255 and hard[160] == 255 and hard[90] == 0
    assert soft[0] == 96 and soft[255] == 159
    assert Tone(0.95).changed(brightness=0.1).brightness == 1.0
    assert Tone(0.1).changed(brightness=-0.1).plain


def photo(w: int = 60, h: int = 40) -> ImagePyramid:
    ramp = np.tile(np.linspace(0, 255, w).astype(np.uint8)[None, :, None], (h, 1, 3))
    return ImagePyramid.build(np.ascontiguousarray(ramp))


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_toned_pixels_are_the_plain_ones_looked_up(qapp: object, ratio: float) -> None:
    pyramid, tone = photo(), Tone(0.2, 0.5, True)
    shown = []
    for draw in (
        lambda p, area: pyramid.draw(p, area, ratio),
        lambda p, area: draw_toned(p, pyramid, area, ratio, tone),
    ):
        canvas = QImage(round(80 * ratio), round(60 * ratio), QImage.Format.Format_RGB32)
        canvas.setDevicePixelRatio(ratio)
        canvas.fill(QColor(1, 2, 3))
        painter = QPainter(canvas)
        painter.translate(7, 5)
        draw(painter, QRectF(-10, -10, 200, 200))
        painter.end()
        shown.append(np.frombuffer(canvas.constBits(), dtype=np.uint8).reshape(canvas.height(), -1, 4)[..., :3].copy())
    plain, toned = shown
    n = round(ratio)
    inside = (slice(5 * n + n, 45 * n - n), slice(7 * n + n, 67 * n - n))
    difference = np.abs(tone.table()[plain[inside]].astype(int) - toned[inside].astype(int))
    assert difference.max() <= 1
    assert (toned[: 4 * n] == plain[: 4 * n]).all(), "the ground around the photo keeps its colour"


def grab(driver: Driver) -> np.ndarray:
    image = driver.canvas.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return np.frombuffer(image.constBits(), dtype=np.uint8).reshape(image.height(), image.width(), 4)[..., :3].copy()


def test_keys_sliders_and_reset(driver: Driver) -> None:
    path = driver.space.labelling.image.path
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    target = driver.space.target
    plain = grab(driver)
    driver.key(Qt.Key.Key_Up, CTRL)
    driver.key(Qt.Key.Key_Up, CTRL)
    assert target.canvas.tone == target.source.view.tone == Tone(0.2)
    brighter = grab(driver)
    assert brighter.mean() > plain.mean() + 5
    driver.key(Qt.Key.Key_Down, CTRL)
    driver.key(Qt.Key.Key_Up, CTRL | SHIFT)
    driver.key(Qt.Key.Key_Down, CTRL | SHIFT)
    assert target.canvas.tone == Tone(0.1)
    # It stays from photo to photo, and the button says so.
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()
    assert target.canvas.tone == Tone(0.1) and target.tone.isChecked() and "+10%" in target.tone.toolTip()
    driver.key(Qt.Key.Key_I, CTRL | ALT)
    assert target.canvas.tone.invert and target.tone.invert.isChecked()
    driver.key(Qt.Key.Key_A)
    driver.photo_shown()
    driver.key(Qt.Key.Key_0, CTRL | ALT)
    assert (grab(driver) == plain).all() and not target.tone.isChecked()
    target.tone.menu().popup(target.tone.mapToGlobal(target.tone.rect().bottomLeft()))
    QTest.keyClick(target.tone.contrast, Qt.Key.Key_PageUp)
    assert target.canvas.tone == Tone(contrast=0.1)
    QTest.mouseClick(target.tone.reset, Qt.MouseButton.LeftButton)
    assert target.canvas.tone.plain
    target.tone.menu().close()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_overlays_keep_their_colours(driver: Driver) -> None:
    from kinmark.engine.domain.geometry import Box

    space = driver.space
    box: Box = (60.0, 40.0, 180.0, 140.0)
    space.editor.set_box(None, box)
    grey = Tone(-1.0)
    space.target.set_tone(grey)
    space.target.canvas.fit()
    shown = grab(driver).astype(int)
    x, y = driver.at(120, 40).x(), driver.at(120, 40).y()
    line = shown[y - 2 : y + 3, x]
    assert line.max() > 150, "the box is drawn over the darkened photo in its own colour"
    assert shown[driver.at(120, 90).y(), driver.at(120, 90).x()].max() < 120
