"""Commands about whole photos: tag, remove, copy labels between them; the menu of the photo list."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QPoint, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QInputDialog, QMenu

from kinmark.desktop.error_texts import in_language, text_of
from kinmark.engine.domain.errors import AppError

if TYPE_CHECKING:
    from kinmark.desktop.window.frame import Frame
    from kinmark.desktop.window.several_commands import SeveralCommands
    from kinmark.desktop.workspace import Workspace

ROWS_OF_A_PHOTO = 12
"""Rows that go with a photo (labels, proposals, states), for telling large steps from small ones."""


class PhotoCommands(QObject):
    """GUI thread; owned by the main window's commands."""

    def __init__(self, window: Frame, several: SeveralCommands, propose: Callable[..., object]) -> None:
        """`propose(workspace, image_ids=...)` sweeps some photos."""
        super().__init__(window)
        self._window, self._several, self._propose = window, several, propose

    @staticmethod
    def _chosen(workspace: Workspace) -> list[int]:
        """The photos selected in the list, else the shown one."""
        image = workspace.labelling.image
        return workspace.images.selected_ids() or ([image.id] if image is not None else [])

    # -- menu ------------------------------------------------------------------------------------------------------

    def show_menu(self, at: QPoint) -> None:
        """The menu of the photo list at a global position."""
        workspace = self._window.workspace
        if workspace is not None:
            self.menu(workspace).popup(at)

    def table(self) -> dict[str, Callable[[Workspace], object]]:
        """What each action does with an open project."""
        return {
            "edit.copy_previous": self.copy_previous,
            "edit.copy_plain": lambda w: self.copy_previous(w, plain=True),
            "edit.copy_selected": self.copy_to_selected,
            "edit.tag": self.tag,
            "edit.tag_instance": self.tag_instance,
            "edit.remove_photos": self.remove,
            "review.reject_list": self.reject_list,
        }

    def menu(self, workspace: Workspace) -> QMenu:
        """What can be done with the selected photos; gone when it closes."""
        menu = QMenu(self._window)
        menu.aboutToHide.connect(menu.deleteLater)
        menu.setToolTipsVisible(True)
        ids, image = self._chosen(workspace), workspace.labelling.image
        registry = self._window.registry
        for action_id in ("edit.tag", "edit.copy_selected"):
            menu.addAction(registry[action_id])
        if len(ids) == 1:
            place = menu.addAction(self.tr("Show in its folder"))
            place.triggered.connect(lambda *_: self._show_folder(workspace, ids[0]))
        name = menu.addAction(self.tr("Copy the paths"))
        name.triggered.connect(lambda *_: self._copy_paths(workspace, ids))
        menu.addSeparator()
        here = menu.addAction(self.tr("Propose on the selected photos"))
        here.triggered.connect(lambda *_: self._propose(workspace, image_ids=ids))
        take = menu.addAction(self.tr("Accept the proposals of the selected photos as they stand"))
        take.triggered.connect(lambda *_: self.accept(workspace, ids))
        reject = menu.addAction(self.tr("Reject the proposals of the selected photos"))
        reject.triggered.connect(lambda *_: self.reject(workspace, ids))
        nothing = menu.addAction(self.tr("Nothing here, on the selected photos"))
        nothing.triggered.connect(lambda *_: self.nothing(workspace, ids))
        several = self._several
        complete = menu.addAction(self.tr("All are labelled, on the selected photos"))
        complete.triggered.connect(lambda *_: several.photos(workspace, ids, True))
        not_all = menu.addAction(self.tr("Not all are labelled, on the selected photos"))
        not_all.triggered.connect(lambda *_: several.photos(workspace, ids, False))
        menu.addSeparator()
        menu.addAction(registry["edit.remove_photos"])
        for action in (here, take, reject, nothing, complete, not_all):
            action.setEnabled(bool(ids) and not workspace.session.read_only)
        registry["edit.copy_selected"].setEnabled(image is not None and not workspace.session.read_only)
        return menu

    @staticmethod
    def _show_folder(workspace: Workspace, image_id: int) -> None:
        row = workspace.session.queries.image(image_id)
        if row is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(row.path.parent)))

    @staticmethod
    def _copy_paths(workspace: Workspace, ids: list[int]) -> None:
        rows = workspace.session.queries.images_by_id(ids)
        QGuiApplication.clipboard().setText("\n".join(str(rows[i].path) for i in ids if i in rows))

    # -- photos ----------------------------------------------------------------------------------------------------

    def tag(self, workspace: Workspace) -> None:
        """Add or remove a tag of the selected photos."""
        from kinmark.projects.store.queries.images import ImageFilter

        ids = self._chosen(workspace)
        if not ids:
            return
        name = self._ask_tag(workspace, self.tr("Tag for %n photos (the same tag again takes it off):", "", len(ids)))
        if not name:
            return
        carrying = set(workspace.session.queries.image_ids(ImageFilter(tag=name)))
        if carrying.issuperset(ids):
            title = self.tr("Untag %n photos", "", len(ids))
            workspace.session.write_sized(len(ids), title, lambda do: do.untag(name, ids), self)
        else:
            title = self.tr("Tag %n photos", "", len(ids))
            workspace.session.write_sized(len(ids), title, lambda do: do.tag(name, ids), self)

    def tag_instance(self, workspace: Workspace) -> None:
        """Add or remove a tag of the selected instance."""
        selected = workspace.labelling.selected
        if selected is None or selected.instance is None:
            workspace.program.messages.info(self.tr("Select an accepted instance first."))
            return
        instance_id = selected.instance.id
        name = self._ask_tag(workspace, self.tr("Tag for this instance (the same tag again takes it off):"))
        if not name:
            return
        if name in workspace.session.queries.tags_of_instance(instance_id):
            workspace.session.write(lambda do: do.untag(name, instance_ids=[instance_id]), self)
        else:
            workspace.session.write(lambda do: do.tag(name, instance_ids=[instance_id]), self)

    def _ask_tag(self, workspace: Workspace, question: str) -> str:
        known = list(workspace.session.queries.tags())
        text, ok = QInputDialog.getItem(self._window, self.tr("Tag"), question, known, editable=True)
        return text.strip() if ok else ""

    def remove(self, workspace: Workspace) -> None:
        """Take the selected photos out of the project; the files stay."""
        ids = self._chosen(workspace)
        if not ids:
            return
        image, gone = workspace.labelling.image, set(ids)
        if image is not None and image.id in gone:
            workspace.go_to(_neighbour(list(workspace.images.model.ids), image.id, gone))
        text = self.tr("%n photos removed from the project; their files stay.", "", len(ids))
        hint = self.tr("Ctrl+Z brings them back with all labels.")
        workspace.session.write_sized(
            len(ids) * ROWS_OF_A_PHOTO,
            self.tr("Remove %n photos", "", len(ids)),
            lambda do: do.remove_images(ids),
            self,
            done=lambda _: workspace.program.messages.info(text, hint),
        )

    def nothing(self, workspace: Workspace, ids: list[int]) -> None:
        """Looked at: the category is on none of these photos."""
        category = workspace.labelling.category
        category_id = category.id if category is not None else None

        def done(changes: Any) -> None:
            if changes.skipped:
                text = self.tr("%n photos have labels and were left alone.", "", len(changes.skipped))
                workspace.program.messages.info(text)

        workspace.session.write_sized(
            len(ids) * ROWS_OF_A_PHOTO,
            self.tr("Nothing here on %n photos", "", len(ids)),
            lambda do: do.mark_nothing_here(ids, category_id),
            self,
            done=done,
        )

    def accept(self, workspace: Workspace, ids: list[int]) -> None:
        """Accept everything proposed on these photos as it stands."""
        messages, hint = workspace.program.messages, self.tr("Ctrl+Z takes all of them back.")
        pending = sum(row.pending_count for row in workspace.session.queries.images_by_id(ids).values())
        if not pending:
            messages.info(self.tr("Nothing is proposed on the selected photos."))
            return
        workspace.reviewer.accept_photos(
            self.tr("Accept the proposals of %n photos", "", len(ids)),
            tuple(ids),
            lambda count: messages.info(self.tr("%n proposals accepted.", "", count), hint if count else ""),
        )

    def reject_list(self, workspace: Workspace) -> None:
        """Reject everything pending on the photos that the list shows."""
        self.reject(workspace, list(workspace.images.model.ids))

    def reject(self, workspace: Workspace, ids: list[int]) -> None:
        """Reject everything pending on these photos."""
        messages, hint = workspace.program.messages, self.tr("Ctrl+Z takes all of them back.")
        workspace.reviewer.reject_photos(
            self.tr("Reject the proposals of %n photos", "", len(ids)),
            tuple(ids),
            lambda count: messages.info(self.tr("%n proposals rejected.", "", count), hint if count else ""),
        )

    # -- copying labels --------------------------------------------------------------------------------------------

    def copy_previous(self, workspace: Workspace, *, plain: bool = False) -> None:
        """Copy the instances of the photo shown before into this one, once; `plain`: to the same places."""
        other, image = workspace.previous_image, workspace.labelling.image
        if other is None or image is None or other == image.id:
            return
        if plain:
            workspace.copier.copy_from_image(other)
            return
        ids = [row.id for row in workspace.session.queries.instances(image_id=other)]
        if not ids:
            workspace.program.messages.info(self.tr("The photo shown before has no labels to copy."))
            return

        def instead(reason: str) -> None:
            workspace.copier.copy_from_image(other)
            text = self.tr("Copied to the same places: the model could not follow the keypoints.")
            workspace.program.messages.warning(text, reason)

        self._copy(workspace, ids, [image.id], instead)

    def copy_to_selected(self, workspace: Workspace) -> None:
        """Copy the selected instance to the photos selected in the list."""
        selected, image = workspace.labelling.selected, workspace.labelling.image
        targets = [i for i in workspace.images.selected_ids() if image is None or i != image.id]
        if selected is None or selected.instance is None or not targets:
            workspace.program.messages.info(
                self.tr("Select an accepted instance, and in the list the photos to copy it to (Ctrl+click)."),
            )
            return

        def instead(reason: str) -> None:
            text = self.tr("Not copied: the model could not follow the keypoints.")
            workspace.program.messages.warning(text, reason)

        self._copy(workspace, [selected.instance.id], targets, instead)

    def _copy(self, workspace: Workspace, instance_ids: list[int], image_ids: list[int], instead: Any) -> None:
        """Warp by the model in the background; `instead(reason)` when that gave nothing."""

        def done(outcome: Any) -> None:
            if self._window.workspace is not workspace:
                return
            workspace.session.poll()
            if not outcome.instance_ids:
                instead(in_language(outcome.skipped[0]) if outcome.skipped else "")
                return
            shown = workspace.labelling.image
            made = next((s for s in workspace.labelling.shown if s.key == f"i{outcome.instance_ids[0]}"), None)
            if shown is not None and shown.id in image_ids and made is not None:
                workspace.labelling.select(made.key)
            text = self.tr("%n instances copied.", "", len(outcome.instance_ids))
            hint = self.tr("Each keypoint went where the model finds the same place. Ctrl+Z takes it back.")
            workspace.program.messages.info(text, in_language(outcome.skipped[0]) if outcome.skipped else hint)

        def failed(error: AppError) -> None:
            if self._window.workspace is workspace:
                instead(text_of(error))

        workspace.jobs.copy_warped(instance_ids, image_ids, done, failed)


def _neighbour(ids: list[int], current: int, gone: set[int]) -> int | None:
    """The photo to show when `gone` leave the list: the next one that stays, else the one before."""
    place = ids.index(current) if current in ids else 0
    later = [i for i in ids[place:] if i not in gone]
    earlier = [i for i in ids[:place] if i not in gone]
    return later[0] if later else earlier[-1] if earlier else None
