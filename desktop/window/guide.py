"""The guided first run: one sentence at a time on the sample project, each done by doing it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer
from PySide6.QtGui import QIcon, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QWidget

from kinmark.desktop.theme.icons import icon
from kinmark.desktop.widgets.job_card import FIND
from kinmark.desktop.widgets.message_bar import plain_label

if TYPE_CHECKING:
    from kinmark.desktop.workspace import Workspace

LOOK_MS = 300
NARROW_PX = 620


@dataclass(frozen=True)
class GuideStep:
    """What to do, and how it is known to be done."""

    text: str
    done: Callable[[Workspace], bool]


def _boxed(workspace: Workspace) -> bool:
    selected = workspace.labelling.selected
    return selected is not None and selected.instance is not None and selected.box is not None


class GuideBar(QFrame):
    """GUI thread; above the pages while somebody is guided."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("guide")
        self.count = plain_label()
        self.count.setWordWrap(False)
        self.text = plain_label()
        self.leave = QPushButton()
        self.leave.setAutoDefault(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 6, 8, 6)
        row.setSpacing(10)
        row.addWidget(self.count)
        row.addWidget(self.text, 1)
        row.addWidget(self.leave)
        self._word = ""
        self.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def say(self, count: str, text: str, leave: str) -> None:
        """What to do now, and what the button that ends the tour is called."""
        self.count.setText(count)
        self.text.setText(text)
        self._word = leave
        self._fit()
        self.show()

    def _fit(self) -> None:
        """In a narrow window the sentence needs the room of the button's words."""
        narrow = self.width() < NARROW_PX
        self.leave.setText("" if narrow else self._word)
        self.leave.setIcon(icon("cross") if narrow else QIcon())
        self.leave.setToolTip(self._word if narrow else "")
        self.leave.setAccessibleName(self._word)


class Guide(QObject):
    """GUI thread; owned by the main window. `start` when the sample project is open; ends with it."""

    def __init__(self, bar: GuideBar, workspace: Callable[[], Workspace | None], parent: QObject) -> None:
        super().__init__(parent)
        self._workspace, self.bar = workspace, bar
        self.steps: tuple[GuideStep, ...] = ()
        self.place = 0
        self._timer = QTimer(self)
        self._timer.setInterval(LOOK_MS)
        self._timer.timeout.connect(self._look)
        bar.leave.clicked.connect(lambda _: self.end())

    def start(self, job: str) -> None:
        """Guide through one of the two jobs."""
        workspace = self._workspace()
        if workspace is None:
            return
        self.steps = self._find_steps(workspace) if job == FIND else self._keypoint_steps(workspace)
        self.place = 0
        self._timer.start()
        self._show()

    def end(self) -> None:
        """The tour is over."""
        self._timer.stop()
        self.steps = ()
        self.bar.hide()

    def _look(self) -> None:
        workspace = self._workspace()
        if workspace is None or not self.steps:
            self.end()
            return
        if self.place < len(self.steps) - 1 and self.steps[self.place].done(workspace):
            self.place += 1
            self._show()

    def _show(self) -> None:
        last = self.place == len(self.steps) - 1
        count = self.tr("{n} of {all}").format(n=self.place + 1, all=len(self.steps))
        self.bar.say(count, self.steps[self.place].text, self.tr("Done") if last else self.tr("Leave the tour"))

    def _keypoint_steps(self, workspace: Workspace) -> tuple[GuideStep, ...]:
        queries = workspace.session.queries
        before = queries.count_decisions()
        start = workspace.labelling.image.id if workspace.labelling.image is not None else None

        def moved(w: Workspace) -> bool:
            image = w.labelling.image
            return image is not None and image.id != start and w.labelling.has_pending

        return (
            GuideStep(
                self.tr(
                    "This one was labelled by hand. Press Ctrl+P: its keypoints are proposed on all photos of its kind."
                ),
                lambda w: w.session.queries.counts().pending > 0,
            ),
            GuideStep(self.tr("Press N: it goes to the photo that needs you most."), moved),
            GuideStep(
                self.tr(
                    "Enter accepts a keypoint, Ctrl+Enter the whole animal. Drag what is wrong. Ctrl+Z takes anything back."
                ),
                lambda w: w.session.queries.count_decisions() > before,
            ),
            GuideStep(
                self.tr(
                    "That is all there is to it. Ctrl+E exports what you accepted; Ctrl+N begins with your own photos."
                ),
                lambda w: False,
            ),
        )

    def _find_steps(self, workspace: Workspace) -> tuple[GuideStep, ...]:
        queries = workspace.session.queries
        known, before = len(queries.identities()), queries.count_decisions()
        return (
            GuideStep(
                self.tr(
                    "One individual is to be found again. Press R and draw a box around it, or take the one that is selected."
                ),
                _boxed,
            ),
            GuideStep(
                self.tr("Press Ctrl+Shift+F, give it a name and press Enter: it is searched on the other photos."),
                lambda w: len(w.session.queries.identities()) > known,
            ),
            GuideStep(
                self.tr(
                    "Suggestions come here, most alike first. Enter confirms, Delete denies; both teach the search."
                ),
                lambda w: w.session.queries.count_decisions() > before,
            ),
            GuideStep(
                self.tr("That is all there is to it. Ctrl+E exports the masks; Ctrl+N begins with your own photos."),
                lambda w: False,
            ),
        )
