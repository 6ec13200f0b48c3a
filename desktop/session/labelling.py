"""What is current: photo, instances, selection, focus, the next keypoint to place. Reads only; `Editor` and
`Reviewer` write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PySide6.QtCore import QObject, Signal

from kinmark.desktop.canvas.content import CanvasContent
from kinmark.desktop.services.project_session import ProjectSession
from kinmark.desktop.session.next_step import NextStep
from kinmark.desktop.session.shown import ShownInstance, canvas_content, shown_instances
from kinmark.desktop.settings import SettingsStore
from kinmark.desktop.states import PointState
from kinmark.engine.domain.proposals import SimilarityMap
from kinmark.projects.places import instance_limit
from kinmark.projects.several import AUTO
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.rows import CategoryRow, ImageRow

NEW = "new"
"""Selection key of the instance that the next placed keypoint will create."""


class Labelling(QObject):
    """GUI thread; one per open project.

    Attributes:
        image: the shown photo; shown: its instances; selected_key: `ShownInstance.key`, NEW or None.
        focused: schema index of the focused keypoint, or None.
        tool: name of the tool in hand; placing: it is the keypoint tool.
        photo_problem: why the shown photo cannot be looked at now ("" = it can).
        marked: schema indices of the selected instance's keypoints that a split will take.
        settled: id of the photo whose last proposal was decided while nobody said whether all of them are labelled.

    Signals:
        image_changed(ImageRow | None): another photo.
        content_changed(CanvasContent): anything drawn changed.
        selection_changed(): selection or focus moved.
        categories_changed(): categories or schemas changed.
        step_changed(str): the sentence for the status line.
    """

    image_changed = Signal(object)
    content_changed = Signal(object)
    selection_changed = Signal()
    categories_changed = Signal()
    step_changed = Signal(str)

    def __init__(self, session: ProjectSession, settings: SettingsStore, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.settings = settings
        self.image: ImageRow | None = None
        self.shown: tuple[ShownInstance, ...] = ()
        self.selected_key: str | None = None
        self.focused: int | None = None
        self.placing = False
        self.tool = "select"
        self.heat: SimilarityMap | None = None
        self.marked: frozenset[int] = frozenset()
        self.settled: int | None = None
        self._several: dict[int, bool] = {}
        self._words = NextStep(self, self)
        self._holding = 0
        self._held = False
        self.photo_problem = ""
        self.remark: Callable[[], str] = lambda: ""
        """What somebody else has to say about the photo when nothing waits in it (the label check)."""
        self.categories: tuple[CategoryRow, ...] = session.queries.categories()
        self._category_id: int | None = self._kept_category()
        session.changed.connect(self._project_changed)
        settings.changed.connect(self._settings_changed)

    # -- categories ------------------------------------------------------------------------------------------------

    def _kept_category(self) -> int | None:
        kept = self.session.queries.setting("window.category")
        ids = [c.id for c in self.categories]
        return kept if kept in ids else (ids[0] if ids else None)

    @property
    def category(self) -> CategoryRow | None:
        """The category of new instances."""
        return next((c for c in self.categories if c.id == self._category_id), None)

    def choose_category(self, category_id: int) -> None:
        """New instances are of this category from now on."""
        if category_id == self._category_id:
            return
        self._category_id = category_id
        if not self.session.read_only and self.session.busy is None:
            self.session.write(lambda do: do.set_setting("window.category", category_id), self)
        if self.selected_key == NEW:
            self.focused = 0
        self._announce()

    # -- photo -----------------------------------------------------------------------------------------------------

    def show_image(self, image_id: int | None) -> None:
        """Show another photo; selects what needs a decision first."""
        self.image = self.session.queries.image(image_id) if image_id is not None else None
        self.heat, self.marked, self.settled = None, frozenset(), None
        self.selected_key, self.focused = None, None
        self._read()
        self._select_first()
        self.image_changed.emit(self.image)
        self._announce()

    def _read(self) -> None:
        if self.image is None:
            self.shown = ()
            return
        queries = self.session.queries
        instances = queries.instances(image_id=self.image.id)
        identities = queries.identities() if any(i.identity_id for i in instances) else ()
        self.shown = shown_instances(
            categories=self.categories,
            identities=identities,
            instances=instances,
            proposals=queries.proposals(image_id=self.image.id),
        )

    def _select_first(self) -> None:
        waiting = [s for s in self.shown if s.has_pending]
        pending = next((s for s in waiting if s.category.id == self._category_id), waiting[0] if waiting else None)
        first = pending or (self.shown[0] if self.shown else None)
        if self.placing and first is None:
            self.selected_key, self.focused = (NEW, 0) if self.category else (None, None)
            return
        self.selected_key = first.key if first else None
        if first is not None:
            self.focused = self.entry(first)
            if self.focused is None and self.placing:
                self.focused = self.next_empty(None)

    def reload(self) -> None:
        """Read the shown photo again (rows changed)."""
        if self.image is None:
            return
        self.image = self.session.queries.image(self.image.id)
        before = self.selected
        self._read()
        if self.selected_key not in (None, NEW) and self.selected is None:
            self.selected_key = self._successor(before)
        selected = self.selected
        if selected is not None and self.focused is not None and self.focused >= len(selected.definition_ids):
            self.focused = None
        if self.image is None:
            self.image_changed.emit(None)
        self._announce()

    def _successor(self, before: ShownInstance | None) -> str | None:
        """The selected instance under its new key: a proposal that became accepted, or the other way round."""
        known = {p.id for p in before.proposals} if before else set()
        for candidate in self.shown:
            if known & {p.id for p in candidate.proposals}:
                return candidate.key
        if before is not None and before.number < len(self.shown):
            same = self.shown[before.number]
            if same.category.id == before.category.id:
                return same.key
        return self.shown[0].key if self.shown else None

    def _project_changed(self, changes: OpChanges, _initiator: object) -> None:
        if changes.schema_changed:
            self._several.clear()
            self.categories = self.session.queries.categories()
            if self.category is None:
                self._category_id = self.categories[0].id if self.categories else None
            self.categories_changed.emit()
        if self.image is not None and (changes.schema_changed or self.image.id in changes.image_ids):
            self.reload()
        elif changes.schema_changed:
            self._announce()
        else:
            self.step_changed.emit(self.next_step())  # it counts what waits on the other photos
        if changes.schema_changed and self.placing and self.focused is None:
            self._take_up_placing()
            self._announce()

    # -- selection and focus ---------------------------------------------------------------------------------------

    @property
    def selected(self) -> ShownInstance | None:
        """The selected instance (None also while a new one is about to be placed)."""
        return next((s for s in self.shown if s.key == self.selected_key), None)

    @property
    def current_category(self) -> CategoryRow | None:
        """Of the selected instance, else of new ones."""
        selected = self.selected
        return selected.category if selected is not None else self.category

    @property
    def focused_name(self) -> str:
        """Name of the focused keypoint, or ""."""
        category = self.current_category
        if category is None or self.focused is None or self.focused >= len(category.definitions):
            return ""
        return category.definitions[self.focused].name

    def state(self, index: int) -> PointState:
        """Of a keypoint of the selected instance."""
        selected = self.selected
        if selected is None or index >= len(selected.definition_ids):
            return PointState.EMPTY
        return selected.state(index, self.settings.current.doubt_below)

    def select(self, key: str | None, focused: int | None = None) -> None:
        """Select an instance and, maybe, one of its keypoints."""
        if key != self.selected_key or focused != self.focused:
            self.heat = None
        if key != self.selected_key:
            self.marked = frozenset()
        self.selected_key, self.focused = key, focused
        self._announce()

    def focus(self, index: int | None) -> None:
        """Focus a keypoint of the selected instance."""
        self.select(self.selected_key, index)

    def focus_step(self, step: int) -> None:
        """Next (+1) or previous (-1) keypoint, around the end."""
        category = self.current_category
        if category is None or not category.definitions:
            return
        if self.selected_key is None and self.shown:
            self.selected_key = self.shown[0].key
        count = len(category.definitions)
        here = self.focused if self.focused is not None else (-1 if step > 0 else count)
        self.focus((here + step) % count)

    def select_step(self, step: int) -> None:
        """Next (+1) or previous (-1) instance, around the end."""
        if not self.shown:
            return
        keys = [s.key for s in self.shown]
        here = keys.index(self.selected_key) if self.selected_key in keys else (-1 if step > 0 else len(keys))
        target = self.shown[(here + step) % len(keys)]
        self.select(target.key, self.entry(target))

    def several(self, category: CategoryRow) -> bool:
        """Whether a photo may hold several of the category: said so, learned from the labels, or seen in this photo."""
        if category.id not in self._several:
            limit = instance_limit(self.session.queries, category) if category.definitions else 1
            self._several[category.id] = limit > 1
        here = [s for s in self.shown if s.category.id == category.id]
        if category.instances == AUTO and sum(s.instance is not None for s in here) > 1:
            self._several[category.id] = True  # learned from what was labelled meanwhile
        return self._several[category.id] or len(here) > 1

    @property
    def whole(self) -> bool:
        """Whether the focus is on the selected instance as a whole: Enter accepts it, X rejects it."""
        selected = self.selected
        return (
            selected is not None and self.focused is None and bool(selected.pending) and self.several(selected.category)
        )

    def entry(self, shown: ShownInstance) -> int | None:
        """What is focused first in an instance: its first pending keypoint; where there are several, it as a whole (None)."""
        if shown.instance is None and shown.pending and self.several(shown.category):
            return None
        return self.next_pending(shown, None)

    @property
    def waiting(self) -> tuple[ShownInstance, ...]:
        """Instances of the photo of which keypoints wait."""
        return tuple(s for s in self.shown if s.pending)

    def exhaustive(self, category_id: int) -> bool | None:
        """Whether all of the category in the shown photo are labelled, as a person said; None: nobody said."""
        if self.image is None:
            return None
        said = self.session.queries.exhaustive(image_id=self.image.id, category_id=category_id)
        return said.get(self.image.id, {}).get(category_id)

    def mark(self, index: int) -> None:
        """Mark a keypoint of the selected instance for a split, or take the mark off."""
        selected = self.selected
        if selected is not None and index < len(selected.definition_ids) and self.state(index) is not PointState.EMPTY:
            self.marked = self.marked ^ {index}
            self._announce()

    def start_new_instance(self) -> None:
        """The next placed keypoint starts another instance."""
        if self.category is not None:
            self.select(NEW, 0 if self.category.definitions else None)

    def next_pending(self, shown: ShownInstance, after: int | None) -> int | None:
        """Schema index of the next keypoint that waits for a decision, searching around the end."""
        count = len(shown.definition_ids)
        start = -1 if after is None else after
        for step in range(1, count + 1):
            index = (start + step) % count
            if shown.proposal(index) is not None and shown.keypoint(index) is None:
                return index
        return None

    def next_empty(self, after: int | None) -> int | None:
        """Schema index of the next keypoint without an accepted place, searching around the end."""
        category, selected = self.current_category, self.selected
        if category is None:
            return None
        count = len(category.definitions)
        start = -1 if after is None else after
        for step in range(1, count + 1):
            index = (start + step) % count
            if selected is None or selected.keypoint(index) is None:
                return index
        return None

    def photo_is_there(self) -> bool:
        """Whether the photo can be looked at; when it cannot, that is told: nothing is placed on what nobody sees."""
        if self.photo_problem:
            self.session.messages.warning(
                self.photo_problem, self.tr("Nothing is placed or accepted on it until its file is back.")
            )
        return not self.photo_problem

    @property
    def has_pending(self) -> bool:
        """Whether anything in the photo waits for a decision."""
        return any(s.has_pending for s in self.shown)

    def set_tool(self, name: str) -> None:
        """Another tool is in hand."""
        with self.batch():
            changed, self.tool = name != self.tool, name
            self.set_placing(name == "keypoint")
            if changed:
                self._announce()

    def set_placing(self, on: bool) -> None:
        """The keypoint tool was taken or put away."""
        if on == self.placing:
            return
        self.placing = on
        if on:
            self._take_up_placing()
        if not on and self.selected_key == NEW:
            self.selected_key, self.focused = (self.shown[0].key if self.shown else None), None
        self._announce()

    def _take_up_placing(self) -> None:
        """Choose the instance and the keypoint that the next click is for."""
        if self.selected_key is None:
            if self.shown:
                self.selected_key = self.shown[0].key
            elif self.category is not None:
                self.selected_key = NEW
        if self.focused is None or self.state(self.focused) is not PointState.EMPTY:
            self.focused = self.next_empty(None)

    # -- announcing ------------------------------------------------------------------------------------------------

    def content(self) -> CanvasContent:
        """For the canvas."""
        return canvas_content(
            self.image,
            self.shown,
            selected=self.selected_key,
            focused=self.focused,
            doubt_below=self.settings.current.doubt_below,
            heat=self.heat,
            marked=self.marked,
        )

    def show_heat(self, heat: SimilarityMap | None) -> None:
        """The similarity map of the focused keypoint came (or went)."""
        self.heat = heat
        self.refresh_content()

    def _settings_changed(self, _settings: object) -> None:
        self.refresh_content()

    def refresh_content(self) -> None:
        """Draw again."""
        self.content_changed.emit(self.content())

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Several changes inside are announced (and drawn) once, at the end."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            if not self._holding and self._held:
                self._held = False
                self._announce()

    def _announce(self) -> None:
        if self._holding:
            self._held = True
            return
        self.refresh_content()
        self.selection_changed.emit()
        self.step_changed.emit(self.next_step())

    def next_step(self) -> str:
        """The next thing to do, in one sentence that names the key."""
        return self._words.next_step()

    @property
    def has_exemplar(self) -> bool:
        """Whether the current category can be proposed."""
        return self.category is not None and bool(self.session.queries.exemplar_ids(self.category.id, limit=1))
