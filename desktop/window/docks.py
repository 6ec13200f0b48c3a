"""The dockable panels of the main window: made empty, filled when a project opens, put back where they were."""

from __future__ import annotations

from PySide6.QtCore import QByteArray, QCoreApplication, QSettings, Qt
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

from engine.paths import settings_dir

NARROW_PX = 1100
_SIDES = {
    "images": Qt.DockWidgetArea.LeftDockWidgetArea,
    "instances": Qt.DockWidgetArea.RightDockWidgetArea,
    "evidence": Qt.DockWidgetArea.RightDockWidgetArea,
    "review": Qt.DockWidgetArea.RightDockWidgetArea,
}


def geometry_store() -> QSettings:
    """Window geometry only; everything a person chooses is in settings.toml."""
    return QSettings(str(settings_dir() / "geometry.ini"), QSettings.Format.IniFormat)


class Docks:
    """GUI thread; owned by the main window."""

    def __init__(self, window: QMainWindow) -> None:
        self._window = window
        titles = {
            "images": QCoreApplication.translate("MainWindow", "Photos"),
            "instances": QCoreApplication.translate("MainWindow", "Instance"),
            "evidence": QCoreApplication.translate("MainWindow", "Evidence"),
            "review": QCoreApplication.translate("MainWindow", "Queue"),
        }
        self.docks: dict[str, QDockWidget] = {}
        self._narrow = False
        for name, side in _SIDES.items():
            dock = QDockWidget(titles[name], window)
            dock.setObjectName(f"dock.{name}")
            dock.setMinimumWidth(200)
            window.addDockWidget(side, dock)
            self.docks[name] = dock
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        self.fill({})

    def fill(self, widgets: dict[str, QWidget]) -> None:
        """Put the project's panels in (empty: no project, all docks hidden)."""
        for name, dock in self.docks.items():
            widget = widgets.get(name)
            old = dock.widget()
            if old is not None:
                old.deleteLater()
            dock.setWidget(widget if widget is not None else QWidget())
            dock.setVisible(widget is not None)
        if widgets:
            self._window.resizeDocks(
                [self.docks["images"], self.docks["instances"]], [270, 300], Qt.Orientation.Horizontal
            )
            self._window.resizeDocks(
                [self.docks["instances"], self.docks["evidence"], self.docks["review"]],
                [420, 200, 220],
                Qt.Orientation.Vertical,
            )

    def show_all(self, on: bool) -> None:
        """All panels away, or back."""
        for dock in self.docks.values():
            dock.setVisible(on)

    def show_right(self, on: bool) -> None:
        """The panels about one photo, only beside the canvas."""
        for name in ("instances", "evidence", "review"):
            self.docks[name].setVisible(on)

    def fit_width(self, width: int) -> None:
        """Below 1100 pixels the right panels share one place as tabs."""
        narrow = width < NARROW_PX
        if narrow == self._narrow:
            return
        self._narrow = narrow
        first, evidence, review = (self.docks[n] for n in ("instances", "evidence", "review"))
        if narrow:
            self._window.tabifyDockWidget(first, evidence)
            self._window.tabifyDockWidget(first, review)
            first.raise_()
        else:
            area = Qt.DockWidgetArea.RightDockWidgetArea
            visible = {d: d.isVisible() or d.widget().isEnabled() for d in (first, evidence, review)}
            for dock in (first, evidence, review):
                self._window.removeDockWidget(dock)
                self._window.addDockWidget(area, dock)
                dock.setVisible(visible[dock])
            self._window.resizeDocks([first, evidence, review], [420, 200, 220], Qt.Orientation.Vertical)

    @property
    def narrow(self) -> bool:
        """Whether the window is narrow."""
        return self._narrow

    def _screen_key(self) -> str:
        screen = self._window.screen()
        size = screen.size()
        return f"{screen.name()}_{size.width()}x{size.height()}"

    def save(self) -> None:
        """Remember geometry and panels of this screen."""
        store = geometry_store()
        key = self._screen_key()
        store.setValue(f"{key}/geometry", self._window.saveGeometry())
        store.setValue(f"{key}/state", self._window.saveState(1))

    def restore(self) -> bool:
        """Bring geometry and panels of this screen back; False when it is new."""
        store = geometry_store()
        key = self._screen_key()
        geometry, state = store.value(f"{key}/geometry"), store.value(f"{key}/state")
        if not isinstance(geometry, QByteArray):
            return False
        self._window.restoreGeometry(geometry)
        if isinstance(state, QByteArray):
            self._window.restoreState(state, 1)
        return True
