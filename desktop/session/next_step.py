"""The sentence of the status line: the next thing to do, with its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from PySide6.QtCore import QObject

from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.session.shown import ShownInstance
from kinmark.projects.review import HARDLY_FOUND
from kinmark.projects.store.rows import CategoryRow, ImageRow

LONGEST_NAME = 32


class Situation(Protocol):
    """What is in front of the person: the state of `Labelling` that the sentence depends on."""

    session: ProjectSession
    image: ImageRow | None
    shown: tuple[ShownInstance, ...]
    focused: int | None
    placing: bool
    tool: str
    marked: frozenset[int]
    settled: int | None
    remark: Callable[[], str]

    @property
    def category(self) -> CategoryRow | None:
        """The category of new instances."""
        ...

    @property
    def current_category(self) -> CategoryRow | None:
        """The category of the selected instance, else of new ones."""
        ...

    @property
    def selected(self) -> ShownInstance | None:
        """The selected instance."""
        ...

    @property
    def focused_name(self) -> str:
        """Name of the focused keypoint, or ""."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the focus is on the selected instance as a whole."""
        ...

    @property
    def waiting(self) -> tuple[ShownInstance, ...]:
        """Instances of the photo of which keypoints wait."""
        ...

    @property
    def has_pending(self) -> bool:
        """Whether anything in the photo waits for a decision."""
        ...

    @property
    def has_exemplar(self) -> bool:
        """Whether the current category can be proposed."""
        ...

    def next_pending(self, shown: ShownInstance, after: int | None) -> int | None:
        """Schema index of the next keypoint that waits for a decision."""
        ...

    def next_empty(self, after: int | None) -> int | None:
        """Schema index of the next keypoint without an accepted place."""
        ...


class NextStep(QObject):
    """GUI thread; owned by `Labelling`, whose state it puts into words."""

    def __init__(self, situation: Situation, parent: QObject) -> None:
        super().__init__(parent)
        self._at = situation

    def next_step(self) -> str:
        """The next thing to do, in one sentence that names the key."""
        at = self._at
        if at.image is None:
            if not at.session.queries.counts().all:
                return self.tr("Ctrl+Shift+O adds a folder of photos; or drop one on the window.")
            return self.tr("Choose a photo on the left.")
        if at.category is None:
            return self.tr("Make a category with keypoints first: Ctrl+K.")
        current = at.current_category
        if current is not None and not current.definitions and (at.placing or not at.shown):
            text = self.tr("{name} has no keypoints yet: Ctrl+K names them. Without: R draws a box, B paints a mask.")
            return text.format(name=_short(current.name))
        if at.tool in ("box", "brush", "eraser", "polygon"):
            return self._shape_step()
        selected = at.selected
        if at.marked:
            count = len(at.marked)
            return self.tr(
                "Shift+J splits the %n marked keypoints off. Y or Ctrl+click marks more, or takes a mark off.",
                "",
                count,
            )
        if selected is not None and at.focused is not None and selected.proposal(at.focused) is not None:
            return self._review_step(selected, at.focused)
        if selected is not None and selected.pending and at.focused is not None:
            return self._rest_step(selected)
        if at.placing:
            return self._placing_step()
        if at.whole:
            return self._whole_step()
        if at.settled == at.image.id and not at.has_pending and current is not None:
            text = self.tr(
                "Is every {name} of this photo labelled? U says so and goes on, Enter goes on, I labels another one."
            )
            return text.format(name=_short(current.name))
        if selected is not None and selected.mask_proposal is not None:
            return self.tr("Enter accepts the mask, X rejects it.")
        if at.has_pending:
            return self.tr("Enter goes to the next proposal, N to the next photo of the queue.")
        if not at.shown and at.has_exemplar:
            text = self.tr("Ctrl+P proposes {name}. By hand: K and follow the names, R draws a box, O: nothing here.")
            return text.format(name=_short(at.category.name))
        if not at.shown:
            return self.tr("Press K and follow the names, R to draw a box, O if nothing is here.")
        return self._settled_step(at.category.name)

    def _settled_step(self, name: str) -> str:
        """Of a photo in which nothing waits."""
        at = self._at
        counts = at.session.queries.counts()
        if not at.remark() and counts.unseen and not counts.pending and at.has_exemplar:
            category = at.category
            assert category is not None, "there is an exemplar of it"
            if at.session.queries.count_decisions(category.id, at_most=1):  # it was proposed and decided already
                text = self.tr(
                    "Nothing waits here. Ctrl+E exports what is labelled; Ctrl+P proposes {name} again, D next photo."
                )
            else:
                text = self.tr("Ctrl+P proposes {name} on the other photos. D goes to the next photo.")
            return text.format(name=_short(name))
        if at.remark():
            return at.remark()
        if counts.pending:
            return self.tr("Nothing waits here. Enter or N goes to the next photo of the queue, Ctrl+E exports.")
        if counts.unseen or counts.partly:
            return self.tr("Nothing waits here. D goes to the next photo, Ctrl+E exports what is labelled.")
        return self.tr("Every photo is done. Ctrl+E exports.")

    def _shape_step(self) -> str:
        at = self._at
        selected = at.selected
        name = _short(at.current_category.name) if at.current_category is not None else ""
        if at.tool == "box":
            if selected is not None and selected.instance is not None and selected.box is not None:
                text = self.tr(
                    "Ctrl+Shift+F finds this {name} on the other photos, Ctrl+M cuts it out, K places its keypoints."
                )
                return text.format(name=name)
            return self.tr("Drag a box around {name}.").format(name=name)
        if at.tool == "polygon":
            return self.tr(
                "Click the outline; Enter adds it to the mask, Ctrl+Enter takes it away. Backspace: one corner back."
            )
        if at.tool == "eraser":
            return self.tr("Drag to take away from the mask, with Ctrl to paint. [ and ] change the size.")
        return self.tr("Drag to paint the mask of {name}, with Ctrl to take away. [ and ] change the size.").format(
            name=name
        )

    def _placing_step(self) -> str:
        at = self._at
        name = _short(at.focused_name)
        if not name:
            if at.session.queries.counts().pending:
                return self.tr("All placed. N goes to the proposals, D to the next photo, I begins another instance.")
            return self.tr("All placed. Ctrl+P proposes them on the other photos, D next photo, I another instance.")
        if at.selected is not None and at.focused is not None and at.selected.keypoint(at.focused) is not None:
            text = self.tr(
                "{name} is placed; a click puts it elsewhere. S goes to the next keypoint, D to the next photo."
            )
            return text.format(name=name)
        if at.selected is not None and at.selected.lacks > 1:
            text = self.tr(
                "Click {name}. Right click: hidden. 0: not in the photo, Ctrl+0: nor is the rest. Backspace: one back."
            )
            return text.format(name=name)
        return self.tr("Click {name}. Right click: hidden. 0: not in the photo. Backspace: one back.").format(name=name)

    def _rest_step(self, selected: ShownInstance) -> str:
        """Something else of an instance is focused than what waits of it: it was dragged, or has no proposal."""
        at = self._at
        names = [_short(d.name) for d in selected.category.definitions]
        following = at.next_pending(selected, at.focused)
        assert following is not None, "it has pending keypoints"
        if at.placing and at.focused is not None and selected.keypoint(at.focused) is None:
            text = self.tr(
                "Click {name}, 0: not in the photo, Ctrl+0: nor is the rest. "
                "Ctrl+Enter accepts the {n} that wait ({c:.0%} right)."
            )
        else:
            text = self.tr("Enter goes to {next}, Ctrl+Enter accepts the {n} that wait ({c:.0%} right). Drag corrects.")
        return text.format(
            name=_short(at.focused_name), next=names[following], n=len(selected.pending), c=selected.expected_precision
        )

    def _whole_step(self) -> str:
        """Of a proposed instance among others."""
        at = self._at
        selected, waiting = at.selected, at.waiting
        if selected is None:
            return ""
        confidence = max((p.confidence for p in selected.proposals), default=0.0)
        if len(waiting) > 1:
            text = self.tr(
                "Enter accepts {title} ({c:.0%} sure), Shift+Enter all {n}. X rejects it, Tab goes to the next, S into its keypoints."
            )
        else:
            text = self.tr(
                "Enter accepts {title} ({c:.0%} sure), the last one here. X rejects it, S goes into its keypoints."
            )
        title = f"{_short(selected.category.name)} {selected.number + 1}"
        return text.format(title=title, c=confidence, n=len(waiting))

    def _review_step(self, selected: ShownInstance, focused: int) -> str:
        at = self._at
        if selected.instance is None and all(p.confidence < HARDLY_FOUND for p in selected.proposals):
            text = self.tr("Maybe there is no {name} here: O says so. Else Enter accepts {keypoint}, drag corrects it.")
            return text.format(
                name=_short(selected.category.name), keypoint=_short(selected.category.definitions[focused].name)
            )
        names = [_short(d.name) for d in selected.category.definitions]
        following = at.next_pending(selected, focused)
        if following is not None and following != focused:
            if selected.lacks:
                text = self.tr(
                    "Enter accepts {name} and goes to {next}, Ctrl+Enter all {n} ({c:.0%} right). "
                    "X rejects, drag corrects, Ctrl+0: the {lacks} without a proposal are not here."
                )
            elif at.session.queries.count_decisions(selected.category.id, at_most=1):  # one knows how it goes by now
                text = self.tr(
                    "Enter accepts {name} and goes to {next}, Ctrl+Enter all {n} ({c:.0%} right). "
                    "X rejects, drag corrects, Ctrl+E exports."
                )
            else:
                text = self.tr(
                    "Enter accepts {name} and goes to {next}, Ctrl+Enter all {n} ({c:.0%} right). "
                    "X rejects, drag corrects, Alt+2 takes peak 2."
                )
            return text.format(
                name=names[focused],
                next=names[following],
                n=len(selected.pending),
                c=selected.expected_precision,
                lacks=selected.lacks,
            )
        text = self.tr("Enter accepts {name}, the last one here. X rejects, drag corrects.")
        return text.format(name=names[focused])


def _short(name: str) -> str:
    """A name in a sentence: a very long one must not push the keys out of sight."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
