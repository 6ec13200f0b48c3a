"""A project and its verbs. Each writing verb is one transaction and one undo step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.model import Model
from kinmark.projects.formats.dataset import Report
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project as StoredProject
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.store.rows import CategoryRow, ImageRow, InstanceRow
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.find import find
from kinmark.projects.workflows.find_plan import FindOptions, ReferenceSpec
from kinmark.projects.workflows.importing import ImportOptions, import_file
from kinmark.projects.workflows.propose import propose
from kinmark.projects.workflows.propose_options import ProposeOptions
from kinmark.projects.workflows.telling_apart import left_out_text
from kinmark.records import (
    VISIBILITIES,
    Box,
    Category,
    Exported,
    Found,
    Imported,
    Instance,
    Keypoint,
    Mask,
    Photo,
    Proposal,
    Reference,
)
from kinmark.rows import Names, category_record, photo_record

Placed = Keypoint | tuple[float, float] | None
"""A keypoint as given to `label`: (x, y) visible, a `Keypoint`, or None for absent."""


def create_project(folder: Path | str, *, name: str = "", model: Model | None = None) -> Project:
    """Make a new project folder (NAME.kinmark). UserInputError when something is there already."""
    return Project(StoredProject.create(folder, name=name), model)


def open_project(folder: Path | str, *, read_only: bool = False, model: Model | None = None) -> Project:
    """Open a project folder. ProjectError: no project, damaged, newer than this program, or being written elsewhere."""
    return Project(StoredProject.open(folder, read_only=read_only), model)


class Project:
    """An open project; a context manager. Made by `create_project` and `open_project`.

    Args:
        model: what proposes and finds; None = one of its own with the embedded model, made when it is first needed.

    Attributes:
        notes: what the last call left out (photos that cannot be read, files that are none), a sentence each.
    """

    def __init__(self, stored: StoredProject, model: Model | None = None) -> None:
        self._stored, self._model, self._own_model = stored, model, model is None
        self.notes: tuple[str, ...] = ()

    # ---- what is there ---------------------------------------------------------------------------------------

    @property
    def stored(self) -> StoredProject:
        """The class behind it (`kinmark.projects.project.Project`), for what has no verb here."""
        return self._stored

    @property
    def folder(self) -> Path:
        """NAME.kinmark."""
        return self._stored.folder

    @property
    def model(self) -> Model:
        """What proposes and finds."""
        if self._model is None:
            self._model = Model(prompt_dirs=(self._stored.prompts_dir,))
        return self._model

    def photos(self) -> list[Photo]:
        """All photos, by name."""
        return [photo_record(row) for row in self._stored.queries.iter_images()]

    def categories(self) -> list[Category]:
        """All categories with their keypoints."""
        return [category_record(row) for row in self._stored.queries.categories()]

    def instances(self, category: str = "", *, photo: str | Path | int | None = None) -> Iterator[Instance]:
        """Accepted instances, all or those of a category or photo."""
        category_id = self._category(category).id if category else None
        if photo is not None:
            rows: Iterable[InstanceRow] = self._stored.queries.instances(
                image_id=self._photo(photo).id, category_id=category_id
            )
        else:
            rows = self._stored.queries.iter_instances(category_id=category_id)
        look = Names(self._stored)
        return (look.instance(row) for row in rows)

    def proposals(self, category: str = "", *, photo: str | Path | int | None = None) -> list[Proposal]:
        """What waits for a decision, most confident first."""
        rows = self._stored.queries.proposals(
            category_id=self._category(category).id if category else None,
            image_id=self._photo(photo).id if photo is not None else None,
            order="confidence",
        )
        look = Names(self._stored)
        return [look.proposal(row) for row in rows]

    def mask(self, instance: Instance | int) -> Mask | None:
        """An accepted instance's mask, `[height, width]` bool, or None when it has none."""
        row = self._stored.queries.instance(instance if isinstance(instance, int) else instance.id)
        return row.mask.rle.decode() if row is not None and row.mask is not None else None

    # ---- labelling -------------------------------------------------------------------------------------------

    def add_photos(
        self, *paths: Path | str, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> list[Photo]:
        """Add files, or folders with everything below; returns the new ones. Photos stay where they are.

        What is no photo is left out and named in `notes`; all or nothing when cancelled.

        Raises:
            UserInputError: a path that is not there, or no photo among all.
        """
        added = add_paths(self._stored, paths, progress=progress, cancel=cancel)
        self.notes = added.skipped
        rows = self._stored.queries.images_by_id(added.image_ids)
        if not added.image_ids and added.skipped and not self._stored.queries.counts().all:
            raise UserInputError(
                said("None of these is a photo: {0}.", ", ".join(added.skipped[:3])), "Give photos or a folder."
            )
        return [photo_record(rows[id_]) for id_ in added.image_ids]

    def add_category(
        self,
        name: str,
        keypoints: Sequence[str] = (),
        *,
        skeleton: Iterable[tuple[str, str]] = (),
        pairs: Iterable[tuple[str, str]] = (),
    ) -> Category:
        """A kind of thing with its keypoints, skeleton lines and left/right pairs, by name.

        Raises:
            UserInputError: the name is taken, a keypoint comes twice, or a line or pair names none of them.
        """
        names = tuple(keypoints)

        def indices(links: Iterable[tuple[str, str]], what: str) -> tuple[tuple[int, int], ...]:
            made = []
            for one, other in links:
                for word in (one, other):
                    if word not in names:
                        raise UserInputError(
                            said('The {0} {1}, {2} names "{3}", which is no keypoint.', what, one, other, word)
                        )
                made.append((names.index(one), names.index(other)))
            return tuple(made)

        schema = KeypointSchema(names, indices(skeleton, "skeleton line"), indices(pairs, "pair"))
        return category_record(self._category_id(self._stored.operations.add_category(name, schema).ids[0]))

    def label(
        self,
        photo: str | Path | int,
        category: str,
        keypoints: Mapping[str, Placed] | None = None,
        *,
        box: Box | None = None,
        mask: Mask | None = None,
        identity: str = "",
    ) -> Instance:
        """Label one instance as a person would: what is given here is accepted truth and an exemplar at once.

        Args:
            photo: name, path or id of a photo of the project.
            keypoints: by name; (x, y), a `Keypoint` (hidden), or None for one that is not in the picture. Names left out
                are "not looked at".
            box, mask: of the instance; the mask is `[height, width]` bool of the photo.
            identity: who it is; made when new.

        Raises:
            UserInputError: an unknown photo, category or keypoint, a mask of another size, numbers that are none.
        """
        image, kind = self._photo(photo), self._category(category)
        ids = {definition.name: definition.id for definition in kind.definitions}
        unknown = [name for name in keypoints or () if name not in ids]
        if unknown:
            raise UserInputError(
                said("{0} has no keypoint {1}.", category, unknown[0]), said("It has: {0}.", ", ".join(ids))
            )
        placed = tuple(_new_keypoint(ids[name], value) for name, value in (keypoints or {}).items())
        encoded = _encoded(mask, image)
        with self._stored.group(f"Label {category}"):
            identity_id = self._identity(identity, kind.id) if identity else None
            made = self._stored.operations.add_instance(
                image.id, kind.id, placed, box=box, mask=encoded, identity_id=identity_id
            )
        row = self._stored.queries.instance(made.ids[0])
        assert row is not None
        return Names(self._stored).instance(row)

    # ---- proposing, finding, deciding -------------------------------------------------------------------------

    def propose(
        self,
        category: str = "",
        *,
        photos: Iterable[str | Path | int] | None = None,
        prompt: str = "auto",
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> list[Proposal]:
        """Propose keypoints on the other photos from the labelled ones; returns what waits afterwards, best first.

        Photos that fail are left out and named in `notes`; so are, in numbers, photos that were not asked because they clearly
        look like another category (never those of `photos`). What was stored stays when it is cancelled.

        Args:
            category: "" = every category with a labelled photo. photos: only on these.
            progress: written while it runs, to be read by another thread. cancel: set it from any thread.

        Raises:
            UserInputError: nothing is labelled. KnownError: a model is missing, memory ran out.
        """
        ids = tuple(self._photo(photo).id for photo in photos) if photos is not None else None
        options = ProposeOptions(category=category, image_ids=ids, backbone=self.model.backbone, prompt=prompt)
        outcomes = propose(self._stored, self.model.engine, options, progress=progress, cancel=cancel)
        self.notes = tuple(
            text
            for one in outcomes
            for text in (
                left_out_text(one.category, one.apart, one.apart_pending),
                *(f["error"] for f in one.failures),
                *one.skipped,
            )
            if text
        )
        waiting = self.proposals(category)
        names = {self._photo(id_).file_name for id_ in ids} if ids is not None else None
        return [p for p in waiting if p.kind == "keypoints" and (names is None or p.photo in names)]

    def find(
        self,
        *references: Reference,
        kind: str = "",
        identity: str = "",
        everywhere: bool = False,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> list[Found]:
        """Find one individual in the other photos: a ranking with a mask each, or "not here". Masks wait as proposals.

        Args:
            references: where it is seen; none: an identity with accepted instances, or the word `kind` alone.
            kind: what it is ("dog"); identity: who it is, remembered.
            everywhere: score every photo instead of a shortlist in large collections.

        Raises:
            UserInputError: an unknown photo, a mask of another size, nothing that says who is meant.
        """
        options = FindOptions(
            tuple(self._reference(one) for one in references),
            name=kind,
            identity=identity,
            exhaustive=everywhere,
            backbone=self.model.backbone,
        )
        outcome = find(self._stored, self.model.engine, options, progress=progress, cancel=cancel)
        self.notes = (*(failure["error"] for failure in outcome.failures), *outcome.skipped)
        return [
            Found(
                row.file_name,
                row.mask is not None,
                row.confidence,
                row.score,
                row.box if row.mask is not None else None,
                row.mask.decode() if row.mask is not None else None,
            )
            for row in outcome.results
        ]

    def accept(
        self, proposals: Iterable[Proposal | int] | None = None, *, min_confidence: float = 0.0, category: str = ""
    ) -> int:
        """Accept proposals (of the list, or all that fit); returns how many keypoints and masks became labels."""
        return self._stored.operations.accept_proposals(
            _ids(proposals),
            min_confidence=min_confidence,
            category_id=self._category(category).id if category else None,
        ).count

    def reject(self, proposals: Iterable[Proposal | int]) -> int:
        """Reject proposals; the same are not proposed again on the same evidence. Returns how many."""
        return self._stored.operations.reject_proposals(_ids(proposals) or []).count

    def undo(self) -> bool:
        """Take back the last step of this project, also one of the window; False when there is none."""
        return self._stored.undo() is not None

    def redo(self) -> bool:
        """Bring back the step undone last; False when there is none."""
        return self._stored.redo() is not None

    # ---- exchange --------------------------------------------------------------------------------------------

    def import_labels(
        self,
        path: Path | str,
        format: str = "coco",
        *,
        images: Path | str | None = None,
        as_proposals: bool = False,
        skip_bad: bool = False,
    ) -> Imported:
        """Merge a label file into the project (one undo step); where both have a value, the project's stays.

        Raises:
            ImportFileError: the file is damaged (names file and item). UserInputError: an unknown format, sizes that
                contradict.
        """
        root = Path(images) if images is not None else None
        done = import_file(
            self._stored,
            Path(path),
            ImportOptions(format, images_root=root, as_proposals=as_proposals, skip_bad=skip_bad),
        )
        return Imported(done.added, done.changed, done.kept, done.skipped, done.images_added, _notes(done.report))

    def export(self, out: Path | str, format: str = "coco", *, with_proposals: bool = False) -> Exported:
        """Write the accepted labels (and pending ones, marked) to the folder `out`; the project does not change."""
        report = export_project(self._stored, Path(out), ExportOptions(format, with_proposals=with_proposals))
        files = tuple(Path(file) for file in report.files)
        return Exported(files, report.images, report.instances, _notes(report))

    # ---- closing ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Give back the project's lock, and its model unless it was given from outside. May be called twice."""
        if self._own_model and self._model is not None:
            self._model.close()
        self._stored.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- names to rows ---------------------------------------------------------------------------------------

    def _photo(self, which: str | Path | int) -> ImageRow:
        queries = self._stored.queries
        row = queries.image(which) if isinstance(which, int) else queries.image_named(which)
        if row is None and not isinstance(which, int) and Path(which).is_file():
            row = queries.image_named(Path(which).absolute())  # a path as seen from the present folder
        if row is None:
            raise UserInputError(
                said("There is no photo {0} in the project.", which),
                "Give its path, or its name below the folder it came from.",
            )
        return row

    def _reference(self, one: Reference) -> ReferenceSpec:
        image = self._photo(one.photo)
        return ReferenceSpec(image.id, _encoded(one.mask, image), one.box, one.point)

    def _category(self, name: str) -> CategoryRow:
        return self._stored.queries.require_category(name)

    def _category_id(self, id_: int) -> CategoryRow:
        row = self._stored.queries.category(id_)
        assert row is not None
        return row

    def _identity(self, name: str, category_id: int) -> int:
        row = self._stored.queries.identity(name)
        return row.id if row is not None else self._stored.operations.add_identity(name, category_id).ids[0]


def _new_keypoint(definition_id: int, value: Placed) -> NewKeypoint:
    if value is None or (isinstance(value, Keypoint) and value.visibility == "absent"):
        return NewKeypoint(definition_id, None, None, 0)
    point = value if isinstance(value, Keypoint) else Keypoint(float(value[0]), float(value[1]))
    if not (math.isfinite(point.x) and math.isfinite(point.y)):
        raise UserInputError(
            said("({0}, {1}) is no place.", point.x, point.y), "Give two numbers, or None for an absent keypoint."
        )
    if point.visibility not in VISIBILITIES:
        raise UserInputError(
            said('There is no visibility "{0}".', point.visibility), said("One of: {0}.", ", ".join(VISIBILITIES))
        )
    return NewKeypoint(definition_id, point.x, point.y, VISIBILITIES.index(point.visibility))


def _encoded(mask: Mask | None, image: ImageRow) -> MaskRLE | None:
    if mask is not None and np.shape(mask) != (image.height, image.width):
        raise UserInputError(
            said(
                "The mask has the size {0}, the photo {1} (height, width).", np.shape(mask), (image.height, image.width)
            ),
            "Give a mask of the photo as it is shown.",
        )
    return MaskRLE.encode(np.asarray(mask, bool)) if mask is not None else None


def _ids(proposals: Iterable[Proposal | int] | None) -> list[int] | None:
    return None if proposals is None else [p if isinstance(p, int) else p.id for p in proposals]


def _notes(report: Report) -> tuple[str, ...]:
    return tuple(f"{item.kind}: {item.where}: {item.reason}" for item in report.items)
