"""The dockable panels of the main window: made empty, filled when a project opens, put back where they were."""

from __future__ import annotations

import json
from typing import Any

from PySide6.QtCore import QByteArray, QCoreApplication, QEvent, QObject, QSettings, Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import QDockWidget, QMainWindow, QMenu, QWidget

from kinmark.engine.paths import settings_dir

NARROW_PX = 1100
NARROWEST_PX = 230
"""Width below which no panel goes: its numbers would be cut off."""
WIDTHS = {"images": 270, "instances": 300, "evidence": 300, "review": 300}
HEIGHTS = {"instances": 315, "evidence": 270, "review": 175}
_SIDES = {
    "images": Qt.DockWidgetArea.LeftDockWidgetArea,
    "instances": Qt.DockWidgetArea.RightDockWidgetArea,
    "evidence": Qt.DockWidgetArea.RightDockWidgetArea,
    "review": Qt.DockWidgetArea.RightDockWidgetArea,
}


def geometry_store() -> QSettings:
    """Window geometry only; everything a person chooses is in settings.toml."""
    return QSettings(str(settings_dir() / "geometry.ini"), QSettings.Format.IniFormat)


class PanelDock(QDockWidget):
    """A panel that says when the person closed it with its own button.

    Signals:
        dismissed(): closed by hand.
    """

    dismissed = Signal()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.dismissed.emit()
        super().closeEvent(event)


class Docks(QObject):
    """GUI thread; owned by the main window.

    Attributes:
        dismissed: panels that the person put away; they stay away until the View menu brings them back.
        widths, heights: of each panel as the person wants them: a small window or another page may show them smaller, but
            they come back. Only a separator that is dragged changes them.
    """

    def __init__(self, window: QMainWindow) -> None:
        super().__init__(window)
        self.widths, self.heights = dict(WIDTHS), dict(HEIGHTS)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._size)
        self._pressed: dict[str, tuple[int, int]] = {}
        window.installEventFilter(self)
        self._window = window
        titles = {
            "images": QCoreApplication.translate("MainWindow", "Photos"),
            "instances": QCoreApplication.translate("MainWindow", "Instance"),
            "evidence": QCoreApplication.translate("MainWindow", "Evidence"),
            "review": QCoreApplication.translate("MainWindow", "Queue"),
        }
        self.docks: dict[str, QDockWidget] = {}
        self._narrow = False
        self.dismissed: set[str] = set()
        self._state: QByteArray | None = None
        for name, side in _SIDES.items():
            dock = PanelDock(titles[name], window)
            dock.dismissed.connect(lambda n=name: self._dismiss(n, True))
            dock.toggleViewAction().triggered.connect(lambda on, n=name: self._dismiss(n, not on))
            dock.setObjectName(f"dock.{name}")
            dock.setMinimumWidth(NARROWEST_PX)
            window.addDockWidget(side, dock)
            self.docks[name] = dock
        window.setCorner(Qt.Corner.BottomLeftCorner, Qt.DockWidgetArea.LeftDockWidgetArea)
        window.setCorner(Qt.Corner.BottomRightCorner, Qt.DockWidgetArea.RightDockWidgetArea)
        self.fill({})

    def fill(self, widgets: dict[str, QWidget]) -> None:
        """Put the project's panels in, where they were last (empty: no project, all docks hidden)."""
        if not widgets:
            self._keep_state()
        for name, dock in self.docks.items():
            widget = widgets.get(name)
            old = dock.widget()
            if old is not None:
                old.deleteLater()
            dock.setWidget(widget if widget is not None else QWidget())
            dock.setVisible(widget is not None and name not in self.dismissed)
        if widgets and self._state is not None:
            self._window.restoreState(self._state, 1)
            self.show_all(True)
        if widgets:
            self._size()
            self._soon.start()

    def _keep_state(self) -> None:
        """Remember places and sizes, when there is something to remember (a narrow window is an exception)."""
        if not self._narrow and any(dock.isVisible() for dock in self.docks.values()):
            self._state = self._window.saveState(1)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress:
            self._pressed = self._shown_sizes()
        elif kind == QEvent.Type.MouseButtonRelease:
            QTimer.singleShot(0, self, self._released)
        elif kind == QEvent.Type.Resize:
            self._soon.start()
        return False

    def _in_place(self) -> list[str]:
        """Panels that are shown at their own side of the window."""
        return [
            name
            for name, dock in self.docks.items()
            if dock.isVisible() and not dock.isFloating() and self._window.dockWidgetArea(dock) == _SIDES[name]
        ]

    def _shown_sizes(self) -> dict[str, tuple[int, int]]:
        return {name: (self.docks[name].width(), self.docks[name].height()) for name in self._in_place()}

    def _released(self) -> None:
        """A separator was dragged when a panel has another size than at the press (clicks on labels come here, too)."""
        if self._pressed and self._pressed != self._shown_sizes():
            self._remember()
        self._pressed = {}

    def _remember(self) -> None:
        """The person dragged something: that is how wide and high the panels are wanted."""
        tabbed = self._narrow or any(self._window.tabifiedDockWidgets(d) for d in self.docks.values())
        for name in self._in_place():
            dock = self.docks[name]
            self.widths[name] = dock.width()
            if name in self.heights and not tabbed:
                self.heights[name] = dock.height()

    def _size(self) -> None:
        """Give the shown panels the sizes that are wanted, as far as there is room."""
        shown = self._in_place()
        if self._window.isMinimized() or not shown:
            return
        self._window.resizeDocks(
            [self.docks[n] for n in shown], [self.widths[n] for n in shown], Qt.Orientation.Horizontal
        )
        right = [n for n in shown if n in self.heights]
        if not self._narrow and len(right) > 1:
            self._window.resizeDocks(
                [self.docks[n] for n in right], [self.heights[n] for n in right], Qt.Orientation.Vertical
            )

    def _dismiss(self, name: str, away: bool) -> None:
        (self.dismissed.add if away else self.dismissed.discard)(name)

    def show_all(self, on: bool) -> None:
        """All panels away, or back."""
        for name, dock in self.docks.items():
            dock.setVisible(on and name not in self.dismissed)
        self._soon.start()

    def show_right(self, on: bool) -> None:
        """The panels about one photo, only beside the canvas."""
        for name in ("instances", "evidence", "review"):
            self.docks[name].setVisible(on and name not in self.dismissed)
        self._soon.start()

    def menu(self, parent: QWidget) -> QMenu:
        """A switch for each panel."""
        menu = QMenu(QCoreApplication.translate("MainWindow", "Panels"), parent)
        for dock in self.docks.values():
            menu.addAction(dock.toggleViewAction())
        return menu

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
        self._soon.start()

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
        self._keep_state()
        if self._state is not None:
            store.setValue(f"{key}/state", self._state)
        store.setValue(f"{key}/sizes", json.dumps({"widths": self.widths, "heights": self.heights}))
        store.setValue("dismissed", sorted(self.dismissed))

    def restore(self) -> bool:
        """Bring geometry and panels of this screen back; False when it is new."""
        store = geometry_store()
        kept = store.value("dismissed")
        names = [kept] if isinstance(kept, str) else kept if isinstance(kept, list) else []
        self.dismissed = {name for name in names if name in self.docks}
        key = self._screen_key()
        kept_sizes = store.value(f"{key}/sizes")
        self.widths, self.heights = (_numbers(kept_sizes, n, d) for n, d in (("widths", WIDTHS), ("heights", HEIGHTS)))
        geometry, state = store.value(f"{key}/geometry"), store.value(f"{key}/state")
        if not isinstance(geometry, QByteArray):
            return False
        self._window.restoreGeometry(geometry)
        if isinstance(state, QByteArray):
            self._state = state
        return True


def _numbers(text: Any, part: str, usual: dict[str, int]) -> dict[str, int]:
    """Kept sizes in pixels; what is missing or makes no sense is as usual."""
    try:
        kept = json.loads(text)[part]
        return {name: kept[name] if 80 <= int(kept[name]) <= 4000 else size for name, size in usual.items()}
    except (TypeError, ValueError, KeyError):
        return dict(usual)
