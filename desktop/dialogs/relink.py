"""Re-link: where do the photos lie now? Per folder, or by searching a place for the missing files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from kinmark.desktop.engine_thread.jobs import Priority
from kinmark.desktop.error_texts import text_of
from kinmark.desktop.io.pool import URGENT
from kinmark.desktop.widgets.message_bar import plain_label
from kinmark.engine import remote

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace


class RelinkDialog(QDialog):
    """GUI thread. Not modal; looking at files happens on the engine thread."""

    def __init__(self, parent: QWidget, workspace: Workspace) -> None:
        super().__init__(parent)
        self._space = workspace
        self.setWindowTitle(self.tr("Re-link moved photos"))
        self.state = plain_label(name="dim")
        self._grid = QGridLayout()
        self._grid.setColumnStretch(0, 1)
        check = QPushButton(self.tr("Check all files"))
        check.clicked.connect(lambda _: self.check())
        search = QPushButton(self.tr("Search a folder for missing photos..."))
        search.clicked.connect(lambda _: self._choose_search())
        close = QPushButton(self.tr("Close"))
        close.clicked.connect(self.accept)
        buttons = QHBoxLayout()
        buttons.addWidget(check)
        buttons.addWidget(search)
        buttons.addStretch(1)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 18, 20, 16)
        layout.setSpacing(12)
        layout.addWidget(plain_label(self.tr("Folders that the photos were added from")))
        layout.addLayout(self._grid)
        layout.addWidget(self.state)
        layout.addLayout(buttons)
        self._fill()
        self.resize(max(620, self.sizeHint().width()), self.sizeHint().height())

    def _fill(self) -> None:
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        roots = self._space.session.queries.roots()
        labels: dict[int, QLabel] = {}
        for place, (root_id, folder) in enumerate(roots.items()):
            label = labels[root_id] = plain_label(str(folder))
            button = QPushButton(self.tr("It is here now..."))
            button.clicked.connect(lambda _=False, r=root_id: self._choose(r))
            self._grid.addWidget(label, place, 0)
            self._grid.addWidget(button, place, 1)

        def look() -> list[int]:
            return [
                root_id for root_id, folder in roots.items() if remote.url_of(folder) is None and not folder.is_dir()
            ]

        def done(gone: list[int]) -> None:
            for root_id in gone:
                labels[root_id].setText(f"{roots[root_id]}  -  {self.tr('not there')}")

        # A drive that is gone may take its time to say so.
        self._space.program.pool.submit("roots", look, done, priority=URGENT)

    def _choose(self, root_id: int) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Where do these photos lie now?"))
        if folder:
            self.relink(root_id, Path(folder))

    def _choose_search(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, self.tr("Search here for the missing photos"))
        if folder:
            self._run("relink_missing", Path(folder))

    def relink(self, root_id: int, folder: Path) -> None:
        """The photos of a root lie in `folder` now."""
        self._run("relink_folder", root_id, folder)

    def check(self) -> None:
        """Look at every file: ok, changed, missing."""
        self._run("check_files")

    def _run(self, function: str, *arguments: Any) -> None:
        def run(context: Any) -> Any:
            from kinmark.projects import images

            return getattr(images, function)(context.project, *arguments)

        self.state.setText(self.tr("Looking at the files..."))
        self._space.program.engine.submit(
            self.tr("Re-linking"),
            run,
            priority=Priority.SCREEN,
            group="relink",
            replace=True,
            on_done=self._done,
            on_failed=lambda error: self.state.setText(text_of(error)),
        )

    def _done(self, report: Any) -> None:
        if hasattr(report, "lost"):
            text = self.tr("%n photos found, {m} still missing.", "", report.found).format(m=len(report.lost))
        else:
            text = self.tr("%n photos missing, {m} changed.", "", len(report.missing)).format(m=len(report.changed))
        self.state.setText(text)
        self._space.program.photos.clear()
        self._space.program.thumbnails.clear()
        self._space.images.refresh()
        image = self._space.labelling.image
        if image is not None:
            self._space.labelling.show_image(image.id)
        self._fill()
