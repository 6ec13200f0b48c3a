"""Commands that open another window. Each dialog is imported when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QDialog

from kinmark.desktop.widgets.accelerators import DialogAccelerators
from kinmark.desktop.widgets.scrolled import keep_on_screen
from kinmark.desktop.window.clip_commands import ClipCommands

if TYPE_CHECKING:
    from kinmark.desktop.services.project_session import ProjectSession
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.workspace import Workspace
    from kinmark.projects.formats.recognise import Recognised


WITHOUT_PROJECT = ("new", "settings", "models", "keys", "shortcuts", "legend", "doctor", "about")
"""Windows that do not belong to the open project."""


class DialogCommands(QObject):
    """GUI thread; owned by the main window's commands."""

    def __init__(self, window: Frame, add_images: Callable[[list[Path]], object]) -> None:
        super().__init__(window)
        self._window, self._add_images = window, add_images
        self.open: dict[str, QDialog] = {}
        self.clips = ClipCommands(window, self._show)

    def _show(self, name: str, dialog: QDialog) -> QDialog:
        """Show a window beside the work (not modal); a second wish brings the first one to the front."""
        old = self.open.pop(name, None)
        if old is not None:
            old.close()
        self.open[name] = dialog
        DialogAccelerators(dialog)
        dialog.finished.connect(lambda _: self.open.pop(name, None) and dialog.deleteLater())
        dialog.show()
        keep_on_screen(dialog)
        dialog.raise_()
        return dialog

    def new_project(self, photos: Path | None = None) -> None:
        """Make a project."""
        from kinmark.desktop.dialogs.new_project import NewProjectDialog

        dialog = NewProjectDialog(self._window, self._window.program.messages, self._window.program.pool, photos)
        dialog.created.connect(self._project_created)
        self._show("new", dialog)

    def _project_created(self, folder: Path, photos: Path | None) -> None:
        if not self._window.open_project(folder) or self._window.workspace is None:
            return
        if photos is not None:
            self._add_images([photos])
        if not any(c.definitions for c in self._window.workspace.labelling.categories):
            self.schema(self._window.workspace)

    def open_sample(self) -> None:
        """Open the sample project (made on the first wish)."""
        self._window.start_page.open_sample()

    def relink(self, workspace: Workspace) -> None:
        """Moved photos."""
        from kinmark.desktop.dialogs.relink import RelinkDialog

        self._show("relink", RelinkDialog(self._window, workspace))

    def import_labels(self, workspace: Workspace, found: Recognised | None = None) -> None:
        """Import; `found`: labels that were dropped on the window."""
        from kinmark.desktop.dialogs.import_dialog import ImportDialog

        dialog = ImportDialog(self._window, workspace)
        self._show("import", dialog)
        if found is not None:
            dialog.fill_in(found)

    def export(self, workspace: Workspace) -> None:
        """Export."""
        from kinmark.desktop.dialogs.export_dialog import ExportDialog

        self._show("export", ExportDialog(self._window, workspace))

    def schema(self, workspace: Workspace) -> None:
        """Categories and keypoints."""
        from kinmark.desktop.dialogs.schema_dialog import SchemaDialog

        self._show("schema", SchemaDialog(self._window, workspace))

    def accept_queue(self, workspace: Workspace) -> None:
        """Accept everything sure, after showing what that is."""
        from kinmark.desktop.dialogs.bulk_accept import BulkAcceptDialog

        self._show("bulk", BulkAcceptDialog(self._window, workspace))

    def find(self, workspace: Workspace) -> None:
        """Search the selected instance elsewhere."""
        from kinmark.desktop.dialogs.find_dialog import FindDialog

        dialog = FindDialog(self._window, workspace)
        dialog.searching.connect(self._show_identity)
        self._show("find", dialog)

    def _show_identity(self, name: str) -> None:
        self._window.show_page("identities")
        choose = getattr(getattr(self._window.page("identities"), "inner", None), "choose_name", None)
        if callable(choose):
            choose(name)

    def tune(self, workspace: Workspace) -> None:
        """Tune a prompt."""
        from kinmark.desktop.dialogs.tune_dialog import TuneDialog

        self._show("tune", TuneDialog(self._window, workspace))

    def settings(self) -> None:
        """Settings."""
        from kinmark.desktop.dialogs.settings_dialog import SettingsDialog

        dialog = SettingsDialog(self._window, self._window.program.settings)
        dialog.shortcuts_wanted.connect(self.shortcuts)
        self._show("settings", dialog)

    def models(self) -> None:
        """Models."""
        from kinmark.desktop.dialogs.models_dialog import ModelsDialog

        def session() -> ProjectSession | None:
            workspace = self._window.workspace
            return workspace.session if workspace is not None else None

        self._show("models", ModelsDialog(self._window, self._window.program, session))

    def keys(self) -> None:
        """Keys of the current view."""
        from kinmark.desktop.dialogs.keys_dialog import KeysDialog

        dialog = KeysDialog(self._window, self._window.registry, self._window.page_name)
        dialog.change_wanted.connect(self.shortcuts)
        self._show("keys", dialog)

    def shortcuts(self) -> None:
        """Change keys."""
        from kinmark.desktop.dialogs.shortcuts_dialog import ShortcutsDialog

        self._show("shortcuts", ShortcutsDialog(self._window, self._window.registry))

    def legend(self) -> None:
        """What the marks mean."""
        from kinmark.desktop.dialogs.legend_dialog import LegendDialog

        self._show("legend", LegendDialog(self._window))

    def doctor(self) -> None:
        """Diagnostics."""
        from kinmark.desktop.dialogs.doctor_dialog import DoctorDialog

        self._show("doctor", DoctorDialog(self._window, self._window.program.engine))

    def about(self) -> None:
        """Version and licences."""
        from kinmark.desktop.dialogs.about_dialog import AboutDialog

        self._show("about", AboutDialog(self._window))

    def close_those_of_the_project(self) -> None:
        """The project closes: its windows go first, and save what is edited in them."""
        for name in [n for n in self.open if n not in WITHOUT_PROJECT]:
            dialog = self.open.pop(name, None)
            if dialog is not None:
                leave = getattr(dialog, "leave", dialog.close)
                leave()

    def dialog(self, name: str) -> Any:
        """An open dialog by name (tests, screenshots)."""
        return self.open.get(name)
