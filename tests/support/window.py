"""Driving the real window with real mouse and key events."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from PySide6.QtCore import QEventLoop, QPoint, Qt, QTimer, QUrl
from PySide6.QtTest import QTest

from kinmark.desktop.io.dropped import Dropped
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewKeypoint

NAMES = ("nose", "left_ear", "right_ear", "left_paw", "right_paw")
SCHEMA = KeypointSchema(NAMES, ((0, 1), (0, 2), (0, 3), (0, 4)), ((1, 2), (3, 4)))


def dropped(paths: Iterable[Path]) -> Dropped:
    """What the window is given when `paths` are dropped on it."""
    return Dropped([QUrl.fromLocalFile(str(path)) for path in paths])


def figure_points(index: int, size_wh: tuple[int, int]) -> np.ndarray:
    """`[5, 2]` places of the drawn figure's parts in photo `index` (xy_image)."""
    w, h = size_wh
    rng = np.random.default_rng(index)
    centre = np.array([w, h]) * (0.45 + 0.1 * rng.random(2))
    unit = min(w, h) * (0.25 + 0.03 * rng.random())
    return centre + unit * np.array([(0, 0), (-0.7, -0.8), (0.7, -0.8), (-0.8, 0.9), (0.8, 0.9)])


def make_photos(folder: Path, count: int = 4, size_wh: tuple[int, int] = (240, 180)) -> Path:
    """Photos of a figure with five differently coloured parts."""
    folder.mkdir(parents=True, exist_ok=True)
    colours = [(220, 60, 60), (60, 200, 60), (60, 60, 220), (230, 200, 40), (40, 210, 210)]
    for index in range(count):
        rng = np.random.default_rng(100 + index)
        noise = rng.integers(90, 130, (size_wh[1] // 8 + 1, size_wh[0] // 8 + 1, 3), dtype=np.uint8)
        image = Image.fromarray(noise).resize(size_wh, Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        points = figure_points(index, size_wh)
        for x, y in points[1:]:
            draw.line([tuple(points[0]), (x, y)], fill=(200, 200, 200), width=5)
        for (x, y), colour in zip(points, colours, strict=True):
            draw.ellipse([x - 9, y - 9, x + 9, y + 9], fill=colour, outline=(20, 20, 20))
        image.save(folder / f"photo_{index}.png")
    return folder


def make_project(folder: Path, photos: Path, *, labelled: int = 0, backbone: str = "") -> Path:
    """A project with a category "figure"; the first `labelled` photos have all keypoints."""
    with Project.create(folder, name=folder.stem) as project:
        add_paths(project, [photos])
        category_id = project.operations.add_category("figure", SCHEMA).ids[0]
        category = project.queries.category(category_id)
        assert category is not None
        if backbone:
            project.operations.set_setting("backbone", backbone)
        for index, row in enumerate(project.queries.images(limit=labelled) if labelled else ()):
            points = figure_points(index, row.size_wh)
            keypoints = [
                NewKeypoint(d, float(x), float(y)) for d, (x, y) in zip(category.definition_ids, points, strict=True)
            ]
            project.operations.add_instance(row.id, category_id, keypoints)
    return folder


def leave(window: Any) -> None:
    """Close a window with its cross and wait for its engine thread: inside a library (being loaded) it cannot be interrupted."""
    worker = window.program.engine._worker
    window.close()
    if worker is not None:
        worker._thread.join(60)


class Driver:
    """Hands and eyes on a window."""

    def __init__(self, window: Any) -> None:
        self.window = window

    @property
    def space(self) -> Any:
        assert self.window.workspace is not None
        return self.window.workspace

    @property
    def canvas(self) -> Any:
        return self.space.target.canvas

    def wait(self, seconds: float) -> None:
        loop = QEventLoop()
        QTimer.singleShot(int(seconds * 1000), loop.quit)
        loop.exec()

    def until(self, ready: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for something the program promised; fails loudly when it does not come."""
        loop = QEventLoop()
        timer = QTimer()
        timer.setInterval(15)
        timer.timeout.connect(lambda: loop.quit() if ready() else None)
        deadline = QTimer()
        deadline.setSingleShot(True)
        deadline.timeout.connect(loop.quit)
        deadline.start(int(seconds * 1000))
        timer.start()
        if not ready():
            loop.exec()
        timer.stop()
        deadline.stop()
        assert ready(), "the awaited thing did not happen"

    def photo_shown(self) -> None:
        """Wait until the current photo is decoded and drawn."""
        image = self.space.labelling.image
        assert image is not None
        self.until(lambda: self.canvas.pyramid is not None and self.canvas.image_wh == image.size_wh)

    def at(self, x: float, y: float) -> QPoint:
        """Viewport position of an image point."""
        from PySide6.QtCore import QPointF

        return self.canvas.viewportTransform().map(QPointF(x, y)).toPoint()

    def click(
        self,
        x: float,
        y: float,
        button: Qt.MouseButton = Qt.MouseButton.LeftButton,
        modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        QTest.mouseClick(self.canvas.viewport(), button, modifiers, self.at(x, y))

    def double_click(self, x: float, y: float) -> None:
        QTest.mouseDClick(
            self.canvas.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, self.at(x, y)
        )

    def drag(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
    ) -> None:
        viewport = self.canvas.viewport()
        a, b = self.at(*start), self.at(*end)
        QTest.mousePress(viewport, Qt.MouseButton.LeftButton, modifiers, a)
        for step in range(1, 6):
            middle = QPoint(a.x() + (b.x() - a.x()) * step // 5, a.y() + (b.y() - a.y()) * step // 5)
            _move(viewport, middle, modifiers)
        QTest.mouseRelease(viewport, Qt.MouseButton.LeftButton, modifiers, b)

    def key(
        self, key: Qt.Key | str, modifiers: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier, widget: Any = None
    ) -> None:
        target = widget if widget is not None else self.canvas
        if not target.window().isActiveWindow():
            # What a window manager does when a person goes back to a window.
            target.window().activateWindow()
            self.until(target.window().isActiveWindow)
        QTest.keyClick(target, key, modifiers)

    def widen_panel(self, name: str, by: int) -> None:
        """Drag the separator right of a panel on the left."""
        dock = self.window.docks.docks[name]
        self.wait(0.1)
        edge = dock.geometry().topRight() + QPoint(1, 200)
        QTest.mousePress(self.window, Qt.MouseButton.LeftButton, pos=edge)
        for share in (0.5, 1.0):
            QTest.mouseMove(self.window, edge + QPoint(round(by * share), 0))
            self.wait(0.1)
        QTest.mouseRelease(self.window, Qt.MouseButton.LeftButton, pos=edge + QPoint(by, 0))
        self.wait(0.1)

    def import_labels(self, labels: Path, photos: Path) -> int:
        """Bring a label file in through the dialog, after its preview; the number of accepted instances then."""
        queries = self.space.session.queries
        before = queries.counts().instances
        self.window.registry["project.import"].trigger()
        dialog = self.window.commands.dialogs.dialog("import")
        dialog.file.setText(str(labels))
        dialog.images.setText(str(photos))
        dialog.look.click()
        self.until(lambda: dialog.state.text() == "" and dialog.report.toPlainText() and dialog.take.isEnabled(), 60)
        assert queries.counts().instances == before, "the preview wrote something"
        preview = dialog.report.toPlainText()
        dialog.take.click()
        self.until(lambda: dialog.report.toPlainText() != preview and dialog.take.isEnabled(), 60)
        dialog.close()
        self.space.session.poll()
        return int(queries.counts().instances)

    def export_coco(self, out: Path) -> dict[str, Any]:
        """Export through the dialog, and read what lies in the folder then."""
        self.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
        dialog = self.window.commands.dialogs.dialog("export")
        dialog.place.setText(str(out))
        self.until(lambda: dialog.state.text() == "", 60)
        dialog.export.click()
        self.until(lambda: (out / "annotations.json").exists() and dialog.export.isEnabled(), 60)
        dialog.close()
        return dict(json.loads((out / "annotations.json").read_text(encoding="utf-8")))

    def pixel_px(self) -> float:
        """Image pixels per screen pixel: how exactly a click can hit."""
        return 1.0 / self.canvas.scale_factor


def _move(viewport: Any, position: QPoint, modifiers: Qt.KeyboardModifier) -> None:
    from PySide6.QtCore import QEvent, QPointF
    from PySide6.QtGui import QMouseEvent
    from PySide6.QtWidgets import QApplication

    event = QMouseEvent(
        QEvent.Type.MouseMove,
        QPointF(position),
        QPointF(viewport.mapToGlobal(position)),
        Qt.MouseButton.NoButton,
        Qt.MouseButton.LeftButton,
        modifiers,
    )
    QApplication.sendEvent(viewport, event)
