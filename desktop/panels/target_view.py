"""The middle: source exemplar beside the target photo, with its header (name, zoom) and the tools of the canvas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QToolButton, QVBoxLayout, QWidget

from kinmark.desktop.canvas.content import CanvasContent
from kinmark.desktop.canvas.tone import Tone
from kinmark.desktop.canvas.tools.base import Tool
from kinmark.desktop.canvas.tools.keypoint import KeypointTool
from kinmark.desktop.canvas.tools.select import SelectTool
from kinmark.desktop.canvas.tools.shapes import BoxTool, BrushTool, EraserTool, PanTool, PolygonTool
from kinmark.desktop.canvas.view import CanvasView
from kinmark.desktop.error_texts import hint_of, message_of
from kinmark.desktop.io.photos import Photo, PhotoStore
from kinmark.desktop.io.watch import FileWatch
from kinmark.desktop.panels.job_bar import ElidedLabel
from kinmark.desktop.panels.mask_bar import MaskBar
from kinmark.desktop.panels.source_view import SourceView, header_height
from kinmark.desktop.panels.tone_button import ToneButton
from kinmark.desktop.session.labelling import Labelling
from kinmark.desktop.session.place import Place
from kinmark.desktop.settings import Settings
from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.rows import ImageRow

TOOLS: dict[str, type[Tool]] = {
    "select": SelectTool,
    "keypoint": KeypointTool,
    "box": BoxTool,
    "brush": BrushTool,
    "eraser": EraserTool,
    "polygon": PolygonTool,
    "pan": PanTool,
}


class TargetView(QWidget):
    """GUI thread; owned by the main window while a project is open.

    Attributes:
        canvas: the target; source: the exemplar beside it; tools: one of each; heat_wanted: heat maps are on.
    """

    def __init__(self, labelling: Labelling, photos: PhotoStore, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._at = labelling
        self._photos = photos
        self.heat_wanted = False
        self._linking = False
        self._wanted: Place | None = None
        self._bring = False
        self.linked = labelling.settings.current.link_views
        self.canvas = CanvasView()
        self.source = SourceView(labelling, photos)
        self.tools: dict[str, Tool] = {name: kind(self.canvas) for name, kind in TOOLS.items()}
        self.canvas.set_tool(self.tools["select"])
        self.name = ElidedLabel("caption")
        self.tags = ElidedLabel("dim")
        self.position = ElidedLabel("dim")
        self.zoom = QToolButton()
        self.zoom.setToolTip(self.tr("Zoom: fit or 100 %"))
        self.zoom.setAccessibleName(self.tr("Zoom"))
        self.zoom.clicked.connect(self._toggle_zoom)
        self.tone = ToneButton()
        self.tone.changed.connect(self.set_tone)
        self.mask_bar = MaskBar()
        self.mask_bar.size_wanted.connect(self.set_brush_size)
        self.mask_bar.subtract_wanted.connect(self._set_subtract)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self._build()
        self._source_on = labelling.settings.current.show_source
        self.source.setVisible(self._source_on)
        self._watch = FileWatch(self)
        self._watch.touched.connect(self._file_touched)
        self._file_gone = False
        self._shown_ns = 0
        self.canvas.set_point_size(labelling.settings.current.point_px)
        self._connect()

    def _build(self) -> None:
        target = QWidget()
        column = QVBoxLayout(target)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        header = QHBoxLayout()
        header.setContentsMargins(10, 2, 4, 2)
        header.addStrut(header_height(self))
        header.addWidget(self.name, 1)
        header.addWidget(self.tags)
        header.addWidget(self.position)
        header.addWidget(self.mask_bar)
        header.addWidget(self.tone)
        header.addWidget(self.zoom)
        column.addLayout(header)
        column.addWidget(self.canvas, 1)
        self.splitter.addWidget(self.source)
        self.splitter.addWidget(target)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 2)
        self.splitter.setSizes([300, 640])
        self.splitter.setHandleWidth(1)
        self.splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.splitter)

    def _connect(self) -> None:
        labelling = self._at
        labelling.image_changed.connect(self.show_image)
        labelling.content_changed.connect(self._content_changed)
        labelling.settings.changed.connect(self._settings_changed)
        labelling.session.changed.connect(self._project_changed)
        self.canvas.zoomed.connect(self._zoomed)
        self.canvas.cursor_moved.connect(self._cursor_moved)
        self.canvas.view_changed.connect(lambda: self._follow(self.canvas, self.source.view))
        self.source.view.view_changed.connect(lambda: self._follow(self.source.view, self.canvas))

    def _project_changed(self, changes: OpChanges, _initiator: object) -> None:
        if changes.tables & {"tag", "tag_link"}:
            self._show_tags()

    def _show_tags(self) -> None:
        image = self._at.image
        tags = self._at.session.queries.tags_of(image.id) if image is not None else ()
        self.tags.set_text("  ".join(f"#{tag}" for tag in tags))

    def _settings_changed(self, settings: Settings) -> None:
        self.canvas.set_point_size(settings.point_px)

    # -- tools -----------------------------------------------------------------------------------------------------

    def use_tool(self, name: str) -> None:
        """Take a tool in hand."""
        self.canvas.set_tool(self.tools[name])
        self._at.set_tool(name)
        self.mask_bar.show_tool(name, self._brush.radius_px)
        self.show_next_name()

    @property
    def tool_name(self) -> str:
        """The tool in hand."""
        return self.canvas.tool.name

    def show_next_name(self) -> None:
        """Tell the keypoint tool what the next click places."""
        tool = self.tools["keypoint"]
        assert isinstance(tool, KeypointTool)
        tool.next_name = self._at.focused_name
        self.canvas.viewport().update()

    @property
    def _brush(self) -> BrushTool:
        tool = self.tools["brush"]
        assert isinstance(tool, BrushTool)
        return tool

    def resize_brush(self, factor: float) -> None:
        """Grow or shrink brush and eraser together."""
        self.set_brush_size(self._brush.radius_px * factor)

    def set_brush_size(self, radius_px: float) -> None:
        """Radius of brush and eraser in pixels of the screen."""
        for name in ("brush", "eraser"):
            tool = self.tools[name]
            assert isinstance(tool, BrushTool)
            tool.resize_to(radius_px)
        self.mask_bar.show_size(self._brush.radius_px)

    def _set_subtract(self, on: bool) -> None:
        tool = self.tools["polygon"]
        assert isinstance(tool, PolygonTool)
        tool.set_subtract(on)
        self.canvas.setFocus()

    def set_source(self, on: bool) -> None:
        """Show the source beside the target, as soon as there is something to show."""
        if on != self._source_on:
            self._source_on = on
            self._show_source()

    def _show_source(self) -> None:
        """Without any label yet, the canvas has the room. Asked when another photo comes: nothing moves under the hand."""
        wanted = self._source_on and self._at.has_exemplar
        if wanted != self.source.isVisibleTo(self):
            self.source.setVisible(wanted)
            if wanted:
                self.source.refresh()

    # -- photo -----------------------------------------------------------------------------------------------------

    def show_image(self, image: ImageRow | None) -> None:
        """Show a photo: at once when it is decoded, else as soon as it is."""
        self._show_source()
        self.canvas.tool.cancel()
        self._watch.watch(image.path if image is not None else None)
        self._file_gone = False
        self._at.photo_problem = ""
        if image is None:
            self.name.set_text("")
            self.tags.set_text("")
            self.canvas.show_image(None)
            self.canvas.show_content(CanvasContent())
            self.canvas.show_message(
                self.tr("No photo here.\n\nAdd photos with Ctrl+Shift+O or drop a folder on the window.")
            )
            return
        self.name.set_text(image.file_name)
        self._show_tags()
        self.canvas.show_message("")

        def loaded(photo: Photo) -> None:
            if self._at.image is not None and self._at.image.id == image.id:
                self._shown_ns = photo.mtime_ns
                self._at.photo_problem = ""
                self.canvas.show_message("")
                self.canvas.show_image(photo.pyramid, keep_view=self._at.settings.current.keep_zoom)
                self.canvas.show_content(self._at.content())
                self._go_back()
                self._bring_now()

        def failed(error: AppError) -> None:
            if self._at.image is not None and self._at.image.id == image.id:
                self._at.photo_problem = message_of(error)
                if "FileNotFoundError" in error.details:  # what is damaged would be decoded in vain
                    self._watch.look_again()
                self.canvas.show_image(None)
                self.canvas.show_message(f"{message_of(error)}\n\n{hint_of(error)}")

        def replaced(photo: Photo) -> None:
            loaded(photo)
            self._tell_replaced(photo, image)

        if not self._photos.load(image.path, loaded, failed, on_replaced=replaced):
            self.canvas.show_image(None)

    def _tell_replaced(self, photo: Photo, image: ImageRow) -> None:
        if photo.pyramid.image_wh != image.size_wh:
            self._at.session.messages.warning(
                self.tr("The file {name} was replaced by another picture.").format(name=image.file_name),
                self.tr("Its labels may not fit any more. Check them, or restore the file."),
            )

    def _file_touched(self, path: Path) -> None:
        """The file of the shown photo changed on the disk: show what it is now, or say that it is gone."""
        image = self._at.image
        if image is None or image.path != path:
            return
        if self.canvas.pyramid is None:  # it was not there from the start
            if self._at.photo_problem:
                self.show_image(image)
            return

        def still_shown() -> bool:
            return self._at.image is not None and self._at.image.id == image.id

        def replaced(photo: Photo) -> None:
            if still_shown():
                self._file_gone = False
                self._at.photo_problem = ""
                self._shown_ns = photo.mtime_ns
                self.canvas.show_message("")
                self.canvas.show_image(photo.pyramid, keep_view=True)
                self.canvas.show_content(self._at.content())
                self._tell_replaced(photo, image)

        def same() -> None:
            if still_shown():
                self._file_gone = False
                self._at.photo_problem = ""

        def gone(error: AppError) -> None:
            if not still_shown():
                return
            self._watch.look_again()
            self._at.photo_problem = message_of(error)
            if not self._file_gone:
                self._file_gone = True
                # The picture stays: somebody is in the middle of looking at it. Nothing more is placed on it.
                self._at.session.messages.warning(message_of(error), hint_of(error))

        self._photos.look_again(path, self._shown_ns, replaced, gone, same)

    def _content_changed(self, content: CanvasContent) -> None:
        self.canvas.show_content(content)

    # -- place -----------------------------------------------------------------------------------------------------

    def place(self, place: Place) -> Place:
        """The same place with zoom and position of the canvas."""
        if self.canvas.pyramid is None:
            return place
        zoom = 0.0 if self.canvas.fitting else self.canvas.scale_factor
        x, y = self.canvas.relative_centre()
        return replace(place, zoom=round(zoom, 5), centre=(0.5, 0.5) if not zoom else (round(x, 4), round(y, 4)))

    def restore(self, place: Place) -> None:
        """Zoom there when the first photo is shown."""
        self._wanted = place if place.zoom else None

    def _go_back(self) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self.canvas.set_zoom(wanted.zoom)
            self.canvas.centre_on_relative(wanted.centre)

    # -- zoom ------------------------------------------------------------------------------------------------------

    def _zoomed(self, scale: float) -> None:
        text = f"{scale * 100:.0f} %"
        self.zoom.setText(self.tr("fit") + "  " + text if self.canvas.fitting else text)

    def _toggle_zoom(self) -> None:
        if self.canvas.fitting:
            self.canvas.set_zoom(1.0)
        else:
            self.canvas.fit()

    def set_tone(self, tone: Tone) -> None:
        """How both photos are shown until it is set otherwise; kept from photo to photo."""
        self.tone.show_tone(tone)
        self.canvas.set_tone(tone)
        self.source.view.set_tone(tone)

    def zoom_to_instance(self) -> None:
        """Fill the canvas with the selected instance."""
        selected = self._at.selected
        if selected is not None and selected.extent is not None:
            self.canvas.zoom_to_box(selected.extent)
            self.show_same_part()

    def bring_instance(self) -> None:
        """When the next photo is shown zoomed in, its instance comes to the middle; the zoom stays."""
        self._bring = True

    def _bring_now(self) -> None:
        bring, self._bring = self._bring, False
        selected = self._at.selected
        if not bring or self.canvas.fitting or selected is None or selected.extent is None:
            return
        self.canvas.centre_on(_middle(selected.extent))
        self.show_same_part()

    def show_same_part(self) -> None:
        """The source shows the part of its instance that the target shows of its own, as large."""
        selected, exemplar = self._at.selected, self.source.exemplar
        if (
            self.linked
            or selected is None
            or exemplar is None
            or selected.extent is None
            or self.source.view.pyramid is None
        ):
            return
        if self.canvas.fitting:
            self.source.view.fit()
            return
        theirs = exemplar.aligned(selected.definition_ids).box_or_extent()
        if theirs is None:
            return
        mine = selected.extent
        ratio = max(mine[2] - mine[0], mine[3] - mine[1], 1.0) / max(theirs[2] - theirs[0], theirs[3] - theirs[1], 1.0)
        x, y = self.canvas.relative_centre()
        w, h = self.canvas.image_wh
        u, v = (x * w - mine[0]) / max(mine[2] - mine[0], 1.0), (y * h - mine[1]) / max(mine[3] - mine[1], 1.0)
        view = self.source.view
        # Both panes show as much of the animal: what the smaller one cannot hold is left out evenly.
        room = min(view.viewport().width() / max(self.canvas.viewport().width(), 1), 1.0)
        self._linking = True
        view.set_zoom(self.canvas.scale_factor * ratio * room)
        view.centre_on((theirs[0] + u * (theirs[2] - theirs[0]), theirs[1] + v * (theirs[3] - theirs[1])))
        self._linking = False

    def _cursor_moved(self, x: float, y: float) -> None:
        w, h = self.canvas.image_wh
        inside = 0 <= x <= w and 0 <= y <= h
        self.position.set_text(f"{x:.1f}, {y:.1f}" if inside else "")

    def _follow(self, leader: CanvasView, follower: CanvasView) -> None:
        """Linked views show the same part of both photos at the same relative size."""
        if not self.linked or self._linking or follower.pyramid is None or leader.pyramid is None:
            return
        self._linking = True
        try:
            if leader.fitting:
                follower.fit()
            else:
                ratio = max(leader.image_wh) / max(follower.image_wh)
                follower.set_zoom(leader.scale_factor * ratio)
                follower.centre_on_relative(leader.relative_centre())
        finally:
            self._linking = False


def _middle(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
