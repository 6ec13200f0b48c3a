"""Labelling by hand: every gesture of the canvas and every editing key becomes one named operation."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QObject

from kinmark.desktop.canvas import intents as it
from kinmark.desktop.session.labelling import NEW, Labelling
from kinmark.desktop.session.shown import ShownInstance
from kinmark.desktop.states import PointState
from kinmark.engine.domain.geometry import Box, Similarity, fit_similarity
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import NewInstance, NewKeypoint

_CYCLE = {2: 1, 1: 0, 0: 2}


class Editor(QObject):
    """GUI thread; one per open project. Writes through the session, moves the focus of `Labelling` on."""

    def __init__(self, labelling: Labelling) -> None:
        super().__init__(labelling)
        self._at = labelling
        self._session = labelling.session
        self._placed: list[tuple[int, int]] = []
        self._last_place: dict[int, tuple[float, float]] = {}
        self._nudges = 0
        self._nudged: tuple[object, ...] = ()

    # -- intents of the canvas -------------------------------------------------------------------------------------

    def handle(self, intent: object) -> bool:
        """Do what a canvas intent asks for; False for those that are about reviewing."""
        if isinstance(intent, it.CHANGING) and not self._at.photo_is_there():
            self._at.refresh_content()  # a drag's preview goes back
            return True
        with self._at.batch():
            return self._handle(intent)

    def _handle(self, intent: object) -> bool:
        at = self._at
        match intent:
            case it.FocusPoint(key, index):
                at.select(key, index)
            case it.MarkPoint(key, index):
                at.select(key, at.focused if key == at.selected_key else None)
                at.mark(index)
            case it.SelectInstance(key):
                at.select(key)
            case it.PlacePoint(x, y, hidden):
                self.place(x, y, Visibility.HIDDEN if hidden else Visibility.VISIBLE)
            case it.StepBack():
                self.step_back()
            case it.MovePoint(key, index, x, y):
                self.move(key, index, x, y)
            case it.Nudge(dx, dy):
                self.nudge(dx, dy)
            case it.ToggleHidden(key, index):
                self.toggle_hidden(key, index)
            case it.MoveInstance(key, points, box):
                self.move_instance(key, points, box)
            case it.SetBox(key, box):
                self.set_box(key, box)
            case it.SetMask(key, mask):
                self.set_mask(key, mask)
            case _:
                return False
        return True

    def _find(self, key: str | None) -> ShownInstance | None:
        return next((s for s in self._at.shown if s.key == key), None)

    # -- keypoints -------------------------------------------------------------------------------------------------

    def place(self, x: float, y: float, visibility: int) -> None:
        """Put the focused keypoint here and focus the next one that is missing."""
        at = self._at
        category, image = at.current_category, at.image
        if image is None or category is None or not category.definitions:
            return
        index = at.focused if at.focused is not None else at.next_empty(None)
        if index is None or index >= len(category.definitions):
            return
        definition_id = category.definition_ids[index]
        selected = at.selected
        changes: OpChanges | None
        if selected is None:
            point = NewKeypoint(definition_id, x, y, int(visibility))
            changes = self._session.write(lambda do: do.add_instance(image.id, category.id, [point]), self)
            if changes is not None and changes.ids:
                self._at.selected_key = f"i{changes.ids[0]}"
        else:
            changes = self._put(selected, index, x, y, int(visibility))
        if changes is None:
            return
        if changes.ids and (selected is None or selected.instance is None):
            at.reload()  # the new instance has its key only now
        self._placed.append((image.id, index))
        at.focus(at.next_empty(index))  # None after the last one: a further click is no wish to move it

    def _put(
        self, shown: ShownInstance, index: int, x: float | None, y: float | None, visibility: int
    ) -> OpChanges | None:
        """Place a keypoint of an instance by hand, whatever it was before."""
        definition_id = shown.definition_ids[index]
        proposal = shown.proposal(index)
        if proposal is not None and shown.keypoint(index) is None:
            position = (x or 0.0, y or 0.0, visibility)
            return self._session.write(
                lambda do: do.accept_keypoints([proposal.id], positions={proposal.id: position}), self
            )
        if shown.instance is None:
            part, point = shown.part, NewKeypoint(definition_id, x, y, visibility)
            return self._session.write(lambda do: do.place_on_proposed(part, [point]), self)
        instance_id = shown.instance.id
        return self._session.write(lambda do: do.place_keypoint(instance_id, definition_id, x, y, visibility), self)

    def mark_rest_absent(self) -> int:
        """Keypoints of the selected instance that nobody placed or proposed are not in the photo; how many these are."""
        at, selected = self._at, self._at.selected
        if selected is None:
            text = self.tr("No instance is selected.")
            self._session.messages.info(text, self.tr("Place a keypoint first; O says that nothing is here."))
            return 0
        rest = [d for i, d in enumerate(selected.definition_ids) if at.state(i) is PointState.EMPTY]
        part = selected.part
        if not rest:
            self._session.messages.info(self.tr("Every keypoint of this instance is placed or proposed."))
        if (
            not rest
            or not at.photo_is_there()
            or self._session.write(lambda do: do.mark_absent(part, rest), self) is None
        ):
            return 0
        at.reload()
        at.focus(self._following(at.focused) if at.focused is not None and selected.pending else at.next_empty(None))
        return len(rest)

    def mark_absent(self) -> None:
        """The focused keypoint is not in the photo."""
        at = self._at
        selected, index = at.selected, at.focused
        if index is None:
            return
        if selected is None:
            if at.selected_key == NEW:
                at.focus(at.next_empty(index))
            return
        if self._put(selected, index, None, None, 0) is not None:
            at.reload()
            at.focus(at.next_empty(index) if at.placing else self._following(index))

    def _following(self, index: int) -> int | None:
        selected = self._at.selected
        following = self._at.next_pending(selected, index) if selected is not None else None
        return following if following is not None else index

    def step_back(self) -> None:
        """Take the keypoint placed last in this photo back."""
        at = self._at
        if at.image is None or not self._placed or self._placed[-1][0] != at.image.id:
            return
        _, index = self._placed.pop()
        selected = at.selected
        row = selected.keypoint(index) if selected is not None else None
        if selected is None or row is None or selected.instance is None:
            return
        instance_id, only = selected.instance.id, len(selected.accepted) == 1 and not selected.instance.mask
        if only:
            self._session.write(lambda do: do.remove_instances([instance_id]), self)
            at.select(NEW, index)
        else:
            self._session.write(lambda do: do.remove_keypoints([row.id]), self)
            at.focus(index)

    def move(self, key: str, index: int, x: float, y: float) -> None:
        """A keypoint was dragged: a correction when it was a proposal."""
        shown = self._find(key)
        if shown is None:
            return
        row = shown.keypoint(index)
        if row is not None:
            self._session.write(lambda do: do.move_keypoint(row.id, x, y), self)
        elif (proposal := shown.proposal(index)) is not None:
            visibility = proposal.visibility or int(Visibility.VISIBLE)
            if self._put(shown, index, x, y, visibility) is not None:
                self._at.reload()
        self._at.refresh_content()

    def nudge(self, dx: float, dy: float) -> None:
        """Arrow keys: several in a row undo as one."""
        at = self._at
        selected, index = at.selected, at.focused
        if selected is None or index is None or at.image is None:
            return
        row = selected.keypoint(index) or selected.proposal(index)
        if row is None or row.x is None or row.y is None:
            return
        x = min(max(row.x + dx, 0.0), float(at.image.width))
        y = min(max(row.y + dy, 0.0), float(at.image.height))
        accepted = selected.keypoint(index)
        if accepted is None:
            self.move(selected.key, index, x, y)
            return
        merge = f"nudge:{accepted.id}:{self._nudges}"
        self._session.write(lambda do: do.move_keypoint(accepted.id, x, y, merge_key=merge), self)

    def end_nudges(self) -> None:
        """When the focus went elsewhere, the next nudges are another undo step."""
        at = self._at
        place = (at.image.id if at.image is not None else None, at.selected_key, at.focused)
        if place != self._nudged:
            self._nudged = place
            self._nudges += 1

    def toggle_hidden(self, key: str, index: int) -> None:
        """Visible <-> hidden (right click)."""
        shown = self._find(key)
        if shown is None:
            return
        self._at.select(key, index)
        row = shown.keypoint(index)
        if row is not None:
            visible = row.visibility == Visibility.VISIBLE
            self._set_visibility(shown, index, int(Visibility.HIDDEN if visible else Visibility.VISIBLE))
        elif (proposal := shown.proposal(index)) is not None and proposal.x is not None:
            self._put(shown, index, proposal.x, proposal.y, 1 if proposal.visibility == 2 else 2)
            self._at.reload()

    def cycle_visibility(self) -> None:
        """Q: visible -> hidden -> absent -> visible (where it was)."""
        at = self._at
        selected, index = at.selected, at.focused
        if selected is None or index is None:
            return
        row = selected.keypoint(index)
        if row is not None:
            self._set_visibility(selected, index, _CYCLE[row.visibility])
            return
        proposal = selected.proposal(index)
        if proposal is not None and self._put(selected, index, proposal.x, proposal.y, _CYCLE[proposal.visibility]):
            at.reload()

    def _set_visibility(self, shown: ShownInstance, index: int, visibility: int) -> None:
        row = shown.keypoint(index)
        if row is None or shown.instance is None:
            return
        if row.x is not None and row.y is not None:
            self._last_place[row.id] = (row.x, row.y)
            self._session.write(lambda do: do.set_visibility(row.id, visibility), self)
            return
        x, y = self._last_place.get(row.id) or self._guess(shown)
        instance_id, definition_id = shown.instance.id, shown.definition_ids[index]
        self._session.write(lambda do: do.place_keypoint(instance_id, definition_id, x, y, visibility), self)

    def _guess(self, shown: ShownInstance) -> tuple[float, float]:
        box = shown.extent
        if box is not None:
            return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert self._at.image is not None
        return self._at.image.width / 2, self._at.image.height / 2

    # -- instances -------------------------------------------------------------------------------------------------

    def delete(self) -> None:
        """The focused keypoint, or the selected instance when none is focused; pending ones are rejected."""
        at = self._at
        selected = at.selected
        if selected is None:
            return
        index = at.focused
        row = selected.keypoint(index) if index is not None and at.state(index) is not PointState.EMPTY else None
        if row is not None:
            self._session.write(lambda do: do.remove_keypoints([row.id]), self)
        elif index is not None and (proposal := selected.proposal(index)) is not None:
            self._session.write(lambda do: do.reject_keypoints([proposal.id]), self)
        elif index is not None:
            # Delete twice is a slip of the finger: the whole instance goes only when it is meant.
            name = selected.category.definitions[index].name
            self._session.messages.info(
                self.tr("{name} has no place here.").format(name=name),
                self.tr("Ctrl+Del removes the whole instance."),
            )
        else:
            self.delete_instance()

    def delete_instance(self) -> None:
        """The selected instance with all its keypoints and its mask; a proposal is rejected."""
        selected = self._at.selected
        if selected is None:
            return
        if selected.instance is not None:
            instance_id = selected.instance.id
            self._session.write(lambda do: do.remove_instances([instance_id]), self)
        else:
            ids = [p.id for p in selected.proposals]
            self._session.write(lambda do: do.reject_proposals(ids), self)

    def mirror(self) -> None:
        """Swap left and right; on a proposal the pairs are accepted exchanged."""
        selected = self._at.selected
        if selected is None:
            return
        if selected.instance is not None and selected.accepted:
            instance_id = selected.instance.id
            self._session.write(lambda do: do.swap_sides(instance_id), self)
            return
        positions: dict[int, tuple[float, float, int]] = {}
        for left, right in selected.category.pair_ids:
            a, b = selected.pending.get(left), selected.pending.get(right)
            if a is not None and b is not None:
                positions[a.id] = (b.x or 0.0, b.y or 0.0, b.visibility)
                positions[b.id] = (a.x or 0.0, a.y or 0.0, a.visibility)
        if positions:
            ids = list(positions)
            self._session.write(lambda do: do.accept_keypoints(ids, positions=positions), self)
            self._at.reload()

    def move_instance(self, key: str, points: np.ndarray, box: Box | None) -> None:
        """The whole instance was moved, turned or scaled: one similarity for everything that has a place."""
        shown = self._find(key)
        if shown is None:
            return
        if shown.instance is None:
            self._accept_moved(shown, points)
            return
        before, after = [], []
        for index in range(len(shown.definition_ids)):
            row = shown.keypoint(index)
            if row is not None and row.x is not None and row.y is not None and np.isfinite(points[index]).all():
                before.append((row.x, row.y))
                after.append(points[index])
        if len(before) >= 2:
            change = fit_similarity(before, after)
        elif before:
            change = Similarity(shift=(float(after[0][0] - before[0][0]), float(after[0][1] - before[0][1])))
        elif box is not None and shown.box is not None:
            change = _box_change(shown.box, box)
        else:
            return
        instance_id = shown.instance.id
        self._session.write(lambda do: do.transform_instance(instance_id, change.matrix), self)

    def _accept_moved(self, shown: ShownInstance, points: np.ndarray) -> None:
        positions = {}
        for index in range(len(shown.definition_ids)):
            proposal = shown.proposal(index)
            if proposal is not None and np.isfinite(points[index]).all():
                x, y = (float(v) for v in points[index])
                positions[proposal.id] = (x, y, proposal.visibility or 2)
        if positions:
            ids = list(positions)
            self._session.write(lambda do: do.accept_keypoints(ids, positions=positions), self)
            self._at.reload()

    def set_box(self, key: str | None, box: Box) -> None:
        """A box was drawn or changed."""
        at = self._at
        shown, category, image = self._find(key), at.category, at.image
        if shown is not None and shown.instance is not None:
            instance_id = shown.instance.id
            self._session.write(lambda do: do.set_box(instance_id, box), self)
        elif image is not None and category is not None:
            changes = self._add(shown, image.id, category.id, box=box)
            if changes is not None and changes.ids:
                at.reload()
                at.select(f"i{changes.ids[0]}")

    def set_mask(self, key: str | None, mask: np.ndarray) -> None:
        """A mask was painted."""
        at = self._at
        shown, category, image = self._find(key), at.category, at.image
        rle = MaskRLE.encode(mask) if mask.any() else None
        if shown is not None and shown.mask_proposal is not None and shown.instance is None:
            proposal_id = shown.mask_proposal.id
            changes = self._session.write(lambda do: do.accept_proposals([proposal_id]), self)
            if changes is not None and changes.ids:
                made = changes.ids[0]
                self._session.write(lambda do: do.set_mask(made, rle), self)
        elif shown is not None and shown.instance is not None:
            instance_id = shown.instance.id
            self._session.write(lambda do: do.set_mask(instance_id, rle), self)
        elif image is not None and category is not None and rle is not None:
            changes = self._add(shown, image.id, category.id, mask=rle)
            if changes is not None and changes.ids:
                at.reload()
                at.select(f"i{changes.ids[0]}")

    def _add(
        self,
        shown: ShownInstance | None,
        image_id: int,
        category_id: int,
        *,
        box: Box | None = None,
        mask: MaskRLE | None = None,
    ) -> OpChanges | None:
        """A box or mask on an object that only waits makes an instance of it, elsewhere a new one."""
        if shown is None:
            return self._session.write(lambda do: do.add_instance(image_id, category_id, box=box, mask=mask), self)
        part = shown.part
        return self._session.write(lambda do: do.place_on_proposed(part, box=box, mask=mask), self)

    # -- template -----------------------------------------------------------------------------------------------------

    def drop_template(self, x: float, y: float) -> None:
        """All keypoints of the category at once around (x, y): the mean shape of the labelled instances.

        Near the photo's edge the whole shape moves inside; it keeps its form.
        """
        from kinmark.desktop.session.template import dropped_points, layout_key, template_points

        at = self._at
        category, image = at.category, at.image
        if category is None or image is None or not category.definitions or not at.photo_is_there():
            return
        queries = self._session.queries
        labelled = queries.instances(ids=queries.exemplar_ids(category.id, limit=50))
        points = template_points(category, labelled, queries.setting(layout_key(category.id)))
        placed = dropped_points(points, (x, y), image.size_wh)
        keypoints = tuple(
            NewKeypoint(d, float(px), float(py), 2) for d, (px, py) in zip(category.definition_ids, placed, strict=True)
        )
        new = NewInstance(image.id, category.id, keypoints)
        changes = self._session.write(lambda do: do.add_instances([new], name="Drop the template"), self)
        if changes is not None and changes.ids:
            at.reload()
            at.select(f"i{changes.ids[0]}", 0)


def _box_change(before: Box, after: Box) -> Similarity:
    scale = (after[2] - after[0]) / max(before[2] - before[0], 1e-9)
    return Similarity(scale, 0.0, (after[0] - scale * before[0], after[1] - scale * before[1]))
