"""Menu bar and tool bar from the action table."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication, QEvent, QSize, Qt
from PySide6.QtGui import QAction, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QLineEdit, QMainWindow, QMenu, QSizePolicy, QToolBar, QToolButton, QWidget

from kinmark.desktop.actions.catalogue import ACTIONS
from kinmark.desktop.actions.registry import ActionRegistry, translated
from kinmark.desktop.actions.spec import MENUS
from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.accelerators import mark_menu_bar

SEPARATED = {
    "project.import",
    "project.close",
    "edit.delete",
    "edit.copy",
    "edit.schema",
    "edit.settings",
    "view.peek",
    "view.brighter",
    "view.source",
    "view.panels",
    "go.next_unseen",
    "go.next_review",
    "go.next_point",
    "go.next_instance",
    "go.next_exemplar",
    "go.search",
    "tool.smaller",
    "tool.new_instance",
    "point.pick_1",
    "point.peak_1",
    "review.nothing",
    "review.harder",
    "engine.find",
    "engine.tune",
    "engine.pause",
    "page.models",
    "help.legend",
    "help.about",
    "edit.merge",
    "point.mark",
}
"""Actions with a line above them."""


_INSTANT = QToolButton.ToolButtonPopupMode.InstantPopup
SEARCH_PX = 150
"""What the search field should keep."""
ANY_WIDTH = 16777215  # QWIDGETSIZE_MAX


class ToolBar(QToolBar):
    """GUI thread; owned by the main window. A narrow one gives up words first, then what menus and keys do as well.

    Attributes:
        shrinking: buttons that can do without their words; name_button: the project's button, which keeps its name longer.
        leaving: groups of actions that a narrow bar does not show, the first ones first.
    """

    def __init__(self, title: str, parent: QWidget) -> None:
        super().__init__(title, parent)
        self.shrinking: list[QToolButton] = []
        self.leaving: list[list[QAction]] = []
        self.name_button: QToolButton | None = None

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def event(self, event: QEvent) -> bool:
        handled = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest:  # another project's name, a page with other buttons
            self._fit()
        return handled

    def _fit(self) -> None:
        """Words, then groups, leave when the room does not do: the search field never goes."""
        width, (needed, words, name) = self.width(), self._needed()
        self._say(self.shrinking, width >= needed + words)
        self._say([self.name_button] if self.name_button is not None else [], width >= needed)
        needed -= 0 if width >= needed else name
        for group in self.leaving:
            shown = width >= needed
            for widget in map(self.widgetForAction, group):
                if widget is not None:
                    needed -= 0 if shown else widget.sizeHint().width() + 2
                    widget.setMaximumWidth(ANY_WIDTH if shown else 0)

    @staticmethod
    def _say(buttons: list[QToolButton], words: bool) -> None:
        style = Qt.ToolButtonStyle.ToolButtonTextBesideIcon if words else Qt.ToolButtonStyle.ToolButtonIconOnly
        for button in buttons:
            if button.toolButtonStyle() != style:
                button.setToolButtonStyle(style)

    def _needed(self) -> tuple[int, int, int]:
        """Widths of everything without words, of the words of the big buttons, and of the project's name."""
        bare, words, name = 12, 0, 0
        for widget in map(self.widgetForAction, self.actions()):
            if widget is None or widget.sizeHint().width() <= 0:
                continue
            bare += (SEARCH_PX if isinstance(widget, QLineEdit) else widget.sizeHint().width()) + 2
            if isinstance(widget, QToolButton) and (widget in self.shrinking or widget is self.name_button):
                word = widget.fontMetrics().horizontalAdvance(widget.text()) + 4
                if widget.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonTextBesideIcon:
                    bare -= word
                if widget is self.name_button:
                    name = word
                else:
                    words += word
        return bare + name, words, name


class SearchField(QLineEdit):
    """A line edit that asks for enough room to show what can be searched."""

    def sizeHint(self) -> QSize:
        return QSize(270, super().sizeHint().height())


def fill_menu_bar(window: QMainWindow, registry: ActionRegistry) -> dict[str, QMenu]:
    """All menus; every action is in one."""
    menus: dict[str, QMenu] = {}
    for menu_id, text in MENUS:
        menu = window.menuBar().addMenu(translated(text))
        menu.setToolTipsVisible(True)
        menus[menu_id] = menu
        for spec in ACTIONS:
            if spec.menu == menu_id:
                if spec.id in SEPARATED:
                    menu.addSeparator()
                menu.addAction(registry[spec.id])
                if spec.id == "project.open":
                    menus["recent"] = menu.addMenu(QCoreApplication.translate("MainWindow", "Open recent"))
    mark_menu_bar(window.menuBar(), taken=_alt_letters(registry))
    return menus


def _alt_letters(registry: ActionRegistry) -> set[str]:
    """Letters that Alt starts an action with (a menu must not take them)."""
    keys = [k for action in registry.actions.values() for k in action.shortcuts() if k.count() == 1]
    texts = [k.toString(QKeySequence.SequenceFormat.PortableText) for k in keys]
    return {t[4:].lower() for t in texts if t.startswith("Alt+") and len(t) == 5}


def _drop_down(registry: ActionRegistry, main: str, others: tuple[str, ...], text: str) -> QToolButton:
    button = QToolButton()
    action = registry[main]
    button.setIcon(action.icon())
    button.setText(text)
    button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    button.setToolTip(action.toolTip())
    button.setAccessibleName(text)
    button.clicked.connect(action.trigger)
    action.changed.connect(lambda: button.setEnabled(action.isEnabled()))
    action.changed.connect(lambda: button.setToolTip(action.toolTip()))
    if others:
        menu = QMenu(button)
        for action_id in (main, *others):
            menu.addAction(registry[action_id])
        button.setMenu(menu)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
    return button


def make_tool_bar(window: QMainWindow, registry: ActionRegistry) -> tuple[ToolBar, QLineEdit, QToolButton]:
    """The tool bar, its search field and the project button."""
    bar = ToolBar(QCoreApplication.translate("MainWindow", "Tools"), window)
    bar.setObjectName("mainToolBar")
    bar.setMovable(False)
    bar.setIconSize(QSize(20, 20))
    project = _project_button(registry)
    bar.addWidget(project)
    bar.name_button = project
    bar.addSeparator()
    for name in ("select", "keypoint", "box", "brush", "eraser", "polygon", "pan"):
        bar.addAction(registry[f"tool.{name}"])
    bar.addSeparator()
    bar.addAction(registry["edit.undo"])
    bar.addAction(registry["edit.redo"])
    bar.addSeparator()
    propose = (
        "engine.propose_quick",
        "engine.propose_list",
        "engine.propose_all",
        "engine.propose_here",
        "review.harder",
        "engine.check",
    )
    bar.shrinking = [
        _drop_down(registry, "engine.propose", propose, QCoreApplication.translate("MainWindow", "Propose")),
        _drop_down(registry, "engine.find", ("page.identities",), QCoreApplication.translate("MainWindow", "Find")),
        _drop_down(registry, "engine.tune", (), QCoreApplication.translate("MainWindow", "Tune")),
        _drop_down(registry, "project.export", ("project.import",), QCoreApplication.translate("MainWindow", "Export")),
    ]
    for button in bar.shrinking:
        bar.addWidget(button)
    spacer = QWidget()
    spacer.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
    bar.addWidget(spacer)
    bar.addSeparator()
    for name in ("label", "parts", "identities", "statistics"):
        bar.addAction(registry[f"page.{name}"])
        registry[f"page.{name}"].setCheckable(True)
    bar.addSeparator()
    bar.addAction(registry["view.source"])
    bar.addAction(registry["view.panels"])
    bar.leaving = [
        [registry["view.source"], registry["view.panels"]],
        [registry["tool.eraser"], registry["tool.pan"]],  # the brush takes away with Ctrl, Space pans
        [registry[f"page.{name}"] for name in ("label", "parts", "identities", "statistics")],
        [registry["edit.undo"], registry["edit.redo"]],
    ]
    search = _search_field()
    bar.addWidget(search)
    window.addToolBar(bar)
    return bar, search, project


def _project_button(registry: ActionRegistry) -> QToolButton:
    project = QToolButton()
    project.setIcon(icon("kinmark"))
    project.setText("Kinmark")
    project.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
    project.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    project.setAccessibleName(QCoreApplication.translate("MainWindow", "Project"))
    menu = QMenu(project)
    for spec in ACTIONS:
        if spec.menu == "project" or spec.id == "edit.settings":
            menu.addAction(registry[spec.id])
    project.setMenu(menu)
    return project


def _search_field() -> SearchField:
    search = SearchField()
    search.setPlaceholderText(QCoreApplication.translate("MainWindow", "Search   conf:<0.5  lacks:nose  tag:x"))
    search.setClearButtonEnabled(True)
    search.setAccessibleName(QCoreApplication.translate("MainWindow", "Search photos"))
    search.setMaximumWidth(270)
    search.setMinimumWidth(110)
    search.addAction(icon("search"), QLineEdit.ActionPosition.LeadingPosition)
    return search
