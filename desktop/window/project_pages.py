"""The pages of an open project; the heavy ones are made when they are first shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace


class LazyPage(QWidget):
    """A page that is built on its first show; passes Enter and X on to it."""

    def __init__(self, make: Callable[[], QWidget]) -> None:
        super().__init__()
        self._make = make
        self.inner: QWidget | None = None
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    def page_shown(self) -> None:
        """Build or refresh."""
        if self.inner is None:
            self.inner = self._make()
            self._layout.addWidget(self.inner)
            self.inner.show()
        refresh = getattr(self.inner, "page_shown", None)
        if callable(refresh):
            refresh()
        self.inner.setFocus()

    def accept(self) -> None:
        """Enter."""
        self._pass_on("accept")

    def reject(self) -> None:
        """X."""
        self._pass_on("reject")

    def remove(self) -> None:
        """Delete: the same as X for cards."""
        self._pass_on("remove")

    def _pass_on(self, command: str) -> None:
        function = getattr(self.inner, command, None)
        if callable(function):
            function()


def make_pages(
    workspace: Workspace, show_page: Callable[[str], object], find: Callable[[Workspace], object]
) -> dict[str, QWidget]:
    """All pages by name; they ask for another page with `show_page(name)`, and for a search with `find(workspace)`."""

    def parts() -> QWidget:
        from kinmark.desktop.pages.part_grid import PartGridPage

        page = PartGridPage(workspace)
        page.open_image.connect(lambda image_id: (show_page("label"), workspace.go_to(image_id)))
        return page

    def identities() -> QWidget:
        from kinmark.desktop.pages.identity_page import IdentityPage

        page = IdentityPage(workspace)
        page.open_image.connect(lambda image_id: (show_page("label"), workspace.go_to(image_id)))
        page.find_wanted.connect(lambda: find(workspace))
        return page

    def statistics() -> QWidget:
        from kinmark.desktop.pages.statistics_page import StatisticsPage

        page = StatisticsPage(workspace)
        page.open_image.connect(lambda image_id: (show_page("label"), workspace.go_to(image_id)))
        return page

    return {
        "label": workspace.target,
        "parts": LazyPage(parts),
        "identities": LazyPage(identities),
        "statistics": LazyPage(statistics),
    }
