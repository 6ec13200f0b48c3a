"""What is known about a photo, drawn over its thumbnail: keypoints, skeleton, masks. Read when a tile is first painted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PySide6.QtCore import QLineF, QObject, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPen, QTransform

from kinmark.desktop.canvas.content import InstanceContent
from kinmark.desktop.canvas.items import mark_size
from kinmark.desktop.canvas.outline import mask_path
from kinmark.desktop.io.pool import IoPool
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.shown import instance_content, shown_instances
from kinmark.desktop.theme.colours import STATE_COLOURS, instance_colour
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.store.changes import OpChanges

AT_ONCE = 24
KEPT = 2000
MASK_SIDE = 160
SMALL_POINT_PX = 5.0


@dataclass(frozen=True)
class TileOverlay:
    """Instances of one photo of `image_wh` pixels; `masks` are (instance number, outline in xy_image, pending)."""

    image_wh: tuple[int, int]
    instances: tuple[InstanceContent, ...]
    masks: tuple[tuple[int, QPainterPath, bool], ...] = ()


class TileOverlays(QObject):
    """GUI thread; owned by the image panel.

    Signals:
        ready(): more of what was asked for is known.
    """

    ready = Signal()

    def __init__(self, labelling: Labelling, pool: IoPool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._at, self._pool = labelling, pool
        self._known: dict[int, TileOverlay] = {}
        self._wanted: dict[int, tuple[int, int]] = {}
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._read)
        labelling.session.changed.connect(self._changed)

    def get(self, image_id: int, image_wh: tuple[int, int]) -> TileOverlay | None:
        """The overlay, or None and `ready` later."""
        found = self._known.get(image_id)
        if found is None:
            self._wanted[image_id] = image_wh
            if not self._soon.isActive():
                self._soon.start()
        return found

    def _changed(self, changes: OpChanges, _initiator: object) -> None:
        if changes.schema_changed:
            self._known.clear()
        for id_ in changes.image_ids:
            self._known.pop(id_, None)

    def _read(self) -> None:
        """A few photos at a time: the window must not wait for a page of them."""
        ids = list(self._wanted)[-AT_ONCE:]  # what is on screen now was asked for last
        sizes = {id_: self._wanted.pop(id_) for id_ in ids}
        queries, at = self._at.session.queries, self._at
        instances, proposals = queries.instances(image_ids=ids), queries.proposals(image_id=ids)
        if len(self._known) > KEPT:
            self._known.clear()
        for id_ in ids:
            shown = shown_instances(
                categories=at.categories,
                identities=(),
                instances=[i for i in instances if i.image_id == id_],
                proposals=[p for p in proposals if p.image_id == id_],
            )
            contents = tuple(instance_content(s, at.settings.current.doubt_below) for s in shown)
            self._known[id_] = TileOverlay(sizes[id_], contents)
            self._outline(id_, contents)
        self.ready.emit()
        if self._wanted:
            self._soon.start()

    def _outline(self, image_id: int, contents: tuple[InstanceContent, ...]) -> None:
        """Masks are unpacked on a file thread."""
        masks = [(c.number, c.mask, c.mask_pending) for c in contents if c.mask is not None]
        if not masks:
            return
        before = self._known[image_id]

        def done(paths: tuple[tuple[int, QPainterPath, bool], ...]) -> None:
            if self._known.get(image_id) is before:
                self._known[image_id] = replace(before, masks=paths)
                self.ready.emit()

        self._pool.submit(f"tile:{image_id}", lambda: _outlines(masks), done)


def _outlines(masks: list[tuple[int, MaskRLE, bool]]) -> tuple[tuple[int, QPainterPath, bool], ...]:
    return tuple((number, mask_path(mask.decode(), MASK_SIDE), pending) for number, mask, pending in masks)


def draw_overlay(painter: QPainter, target: QRectF, overlay: TileOverlay) -> None:
    """Draw over the thumbnail that fills `target`."""
    scale = target.width() / max(overlay.image_wh[0], 1)
    place = QTransform(scale, 0, 0, scale, target.left(), target.top())
    painter.save()
    painter.setClipRect(target.adjusted(-4, -4, 4, 4))
    for number, path, pending in overlay.masks:
        outline = place.map(path)
        fill = QColor(instance_colour(number))
        fill.setAlphaF(0.3)
        painter.fillPath(outline, fill)
        for colour, width in ((QColor(0, 0, 0, 170), 2.4), (instance_colour(number).lighter(125), 1.2)):
            pen = QPen(colour, width)
            if pending and width < 2:
                pen.setStyle(Qt.PenStyle.DashLine)
            painter.strokePath(outline, pen)
    for instance in overlay.instances:
        if len(instance.names):
            _draw_points(painter, instance, instance.xy_image * scale + (target.left(), target.top()))
    painter.restore()


def _draw_points(painter: QPainter, instance: InstanceContent, points: np.ndarray) -> None:
    drawn = instance.drawn
    colour = QColor(instance_colour(instance.number))
    colour.setAlphaF(0.75)
    lines = [QLineF(*points[a].tolist(), *points[b].tolist()) for a, b in instance.edges if drawn[a] and drawn[b]]
    if lines:
        painter.setPen(QPen(colour, 1.0))
        painter.drawLines(lines)
    # Dots with a dark rim: the rings and triangles of the canvas would hide an animal of forty pixels.
    radius = mark_size(points[drawn], SMALL_POINT_PX) / 2
    painter.setPen(QPen(QColor(0, 0, 0, 200), 0.9))
    for index in np.flatnonzero(drawn):
        painter.setBrush(STATE_COLOURS[instance.states[index]])
        painter.drawEllipse(QPointF(*points[index].tolist()), radius, radius)
