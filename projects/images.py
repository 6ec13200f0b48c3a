"""Photos of a project and the disk: adding folders, moved folders, changed files, duplicates.

A folder that is given becomes an image root and its photos keep their paths below it, so same-named files in different
folders stay apart. Files given one by one share the deepest folder that holds them all. Nothing is ever written to a photo.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kinmark.engine import remote
from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import HEIC_PHOTOS, file_sha256, is_cut_off, is_image_path, read_header, unreadable_kind
from kinmark.projects.file_names import is_text, shown
from kinmark.projects.project import Project
from kinmark.projects.store.changes import OpChanges
from kinmark.projects.store.inputs import NewImage
from kinmark.projects.store.queries import ImageFilter
from kinmark.projects.store.rows import ImageRow

BATCH = 500
VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv"})
WITH_PREVIEWS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"})
"""Further pictures in these are previews of the first, or its twin for stereo."""


@dataclass(frozen=True)
class AddReport:
    """What adding did: the operation's changes, ids of new images, and one sentence for each file that was left out.

    `duplicates` are new images whose bytes equal another image of the project: (new id, other id). `notes` are sentences
    about photos that were added, but not with all that is in them (further pages).
    """

    changes: OpChanges
    image_ids: tuple[int, ...]
    skipped: tuple[str, ...]
    duplicates: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


def joined(*reports: AddReport | None) -> AddReport:
    """Several as one; the last one's changes."""
    given = [report for report in reports if report is not None]
    return AddReport(
        given[-1].changes,
        tuple(i for r in given for i in r.image_ids),
        tuple(s for r in given for s in r.skipped),
        tuple(d for r in given for d in r.duplicates),
        tuple(n for r in given for n in r.notes),
    )


@dataclass
class _Scan:
    found: list[tuple[Path, Path]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    folders: set[tuple[int, int]] = field(default_factory=set)


def scan(paths: Iterable[Path | str]) -> tuple[list[tuple[Path, Path]], list[str]]:
    """(root, file) of every image below `paths` in a stable order, and a sentence for everything else.

    Links to folders are followed once (a loop ends by itself); hidden files and project folders are passed over.
    """
    state = _Scan()
    files: list[Path] = []
    for given in paths:
        path = Path(given).absolute()
        # A link to a file keeps its own name; a link to a folder is the folder.
        path = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        if path.is_dir():
            _scan_folder(path, path, state)
        elif path.is_file():
            files.append(path)
        else:
            raise UserInputError(said("There is no file or folder {0}.", given), "Check the path.")
    root = _common_folder(files)
    for path in files:
        _scan_file(root if root is not None else path.parent, path, state)
    return state.found, state.skipped


def _common_folder(files: Sequence[Path]) -> Path | None:
    """The deepest folder that holds all `files`; None when that is the top of the file system (or two drives)."""
    try:
        common = Path(os.path.commonpath([path.parent for path in files]))
    except ValueError:
        return None
    return common if common != Path(common.anchor) else None


def _scan_folder(root: Path, folder: Path, state: _Scan) -> None:
    try:
        info = folder.stat()
        if (info.st_dev, info.st_ino) in state.folders and info.st_ino:
            return
        state.folders.add((info.st_dev, info.st_ino))
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        state.skipped.append(said("{0}: the folder cannot be read ({1})", folder, error.strerror or error))
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        try:
            folder_inside, file_inside = entry.is_dir(), entry.is_file()
        except OSError as error:  # links that lead to each other
            state.skipped.append(said("{0}: cannot be read ({1})", path, error.strerror or error))
            continue
        if folder_inside and path.suffix != ".kinmark":
            _scan_folder(root, path, state)
        elif file_inside:
            _scan_file(root, path, state)
        elif not folder_inside:
            # A link that leads nowhere; a pipe or a device, which would be waited for.
            state.skipped.append(said("{0}: no file (a link that leads nowhere?)", path))


def _scan_file(root: Path, path: Path, state: _Scan) -> None:
    if not is_text(path):
        state.skipped.append(said("{0}: its name is not UTF-8 text; rename it", shown(path)))
    elif is_image_path(path):
        state.found.append((root, path))
    elif unreadable_kind(path) in HEIC_PHOTOS.values():
        kind = unreadable_kind(path)
        state.skipped.append(
            said("{0}: {1} cannot be read; install kinmark[heic], or convert it to JPEG or PNG", path, kind)
        )
    elif unreadable_kind(path):
        state.skipped.append(said("{0}: {1} cannot be read; convert it to JPEG or PNG", path, unreadable_kind(path)))
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        state.skipped.append(said("{0}: a clip; choose its frames (kinmark add DIR CLIP --frames count=50)", path))
    elif not path.suffix and _holds_a_picture(path):
        state.skipped.append(said("{0}: a picture without a suffix; give its name one (.jpg, .png ...)", path))
    else:
        state.skipped.append(said("{0}: not an image", path))


def _holds_a_picture(path: Path) -> bool:
    try:
        return read_header(path).width > 0
    except KnownError:
        return False


def describe(root: Path, path: Path, *, source_id: str | None = None) -> NewImage:
    """Read the header and hash of a photo; raises UnreadableImageError."""
    header = read_header(path)
    info = remote.local_file(path).stat()
    return NewImage(
        root,
        path.relative_to(root).as_posix(),
        header.width,
        header.height,
        header.orientation,
        header.frames,
        file_sha256(path),
        info.st_size,
        info.st_mtime_ns,
        source_id,
    )


class PhotoImport:
    """Adding photos file by file, so that a window lets urgent work in between; its thread owns it.

    All or nothing: the photos are added with the last step, as one undoable step.

    Attributes:
        report: what adding did, when all steps are done.
    """

    def __init__(
        self,
        project: Project,
        paths: Iterable[Path | str],
        *,
        root: Path | None = None,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Looks through the folders (files or folders, recursive). With `root` the photos are known by their path below it.

        UserInputError when a path is not there.
        """
        self.report: AddReport | None = None
        self._project = project
        self._progress, self._cancel = progress or Progress(), cancel or CancelToken()
        found, self._skipped = scan(paths)
        self._waiting = deque((root.resolve(), path) if root is not None else (own, path) for own, path in found)
        self._images: list[NewImage] = []
        self._notes: list[str] = []
        self._progress.start("Adding photos", len(found))

    def step(self, limit: int | None = None) -> None:
        """Read the next `limit` files (None: all that are left); after the last one add them all."""
        for _ in range(len(self._waiting) if limit is None else min(limit, len(self._waiting))):
            self._cancel.check()
            root, path = self._waiting.popleft()
            image = described(root, path, self._skipped)
            if image is not None:
                self._images.append(image)
                if image.frames > 1 and path.suffix.lower() not in WITH_PREVIEWS:
                    self._notes.append(f"{path}: page 1 of {image.frames}; the others are not looked at")
            self._progress.step(note=path.name)
        if not self._waiting and self.report is None:
            self.report = self._add()

    def _add(self) -> AddReport:
        changes = self._project.operations.add_images(self._images, name=said("Add %n images", n=len(self._images)))
        return AddReport(
            changes,
            changes.ids,
            (*self._skipped, *changes.skipped),
            duplicates_of(self._project, changes.ids),
            tuple(self._notes),
        )


def add_paths(
    project: Project,
    paths: Iterable[Path | str],
    *,
    root: Path | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> AddReport:
    """Add all photos among `paths` in one undoable step: all steps of a `PhotoImport` in a row.

    What was read before a cancellation is not added: adding is all or nothing, and quick to repeat.
    """
    adding = PhotoImport(project, paths, root=root, progress=progress, cancel=cancel)
    while adding.report is None:
        adding.step()
    return adding.report


def described(root: Path, path: Path, skipped: list[str], *, named: object = None) -> NewImage | None:
    """`describe`, or None and a line in `skipped` that says why (`named`: as the photo is called there, its path)."""
    named = path if named is None else named
    try:
        if is_cut_off(path):
            skipped.append(
                said("{0}: the file is cut off (a broken copy?); copy it again from where it came from", named)
            )
            return None
        return describe(root, path)
    except KnownError as error:
        skipped.append(error.user_message)
    except OSError as error:
        skipped.append(said("{0}: cannot be read ({1})", named, error.strerror or error))
    return None


def duplicates_of(project: Project, new_ids: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """(new image, another image of the project with the same bytes)."""
    fresh = set(new_ids)
    pairs = []
    for group in project.queries.duplicates() if fresh else ():
        first = next((id_ for id_ in group if id_ not in fresh), group[0])
        pairs += [(id_, first) for id_ in group if id_ in fresh and id_ != first]
    return tuple(pairs)


@dataclass(frozen=True)
class FileCheck:
    """Images whose file is not what was labelled: ids that changed, ids that are missing, ids of cut off files."""

    changed: tuple[int, ...]
    missing: tuple[int, ...]
    cut_off: tuple[int, ...] = ()


def check_files(
    project: Project,
    image_ids: Sequence[int] | None = None,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> FileCheck:
    """Compare the photos with the disk (size and time first, hash only where those differ) and note the outcome."""
    total = len(image_ids) if image_ids is not None else project.queries.count_images()
    if progress is not None:
        progress.start("Checking photos", total)
    states: dict[int, str] = {}
    cut_off: list[int] = []
    for row in _rows(project, image_ids):
        if cancel is not None:
            cancel.check()
        states[row.id] = _file_state(row.path, row.size_bytes, row.mtime_ns, row.sha256)
        if states[row.id] != "missing" and remote.url_of(row.path) is None and _is_damaged(row.path):
            cut_off.append(row.id)
        if progress is not None:
            progress.step()
    if not project.read_only:
        project.operations.note_file_states(states)
    return FileCheck(
        tuple(id_ for id_, state in states.items() if state == "changed"),
        tuple(id_ for id_, state in states.items() if state == "missing"),
        tuple(cut_off),
    )


def _is_damaged(path: Path) -> bool:
    try:
        return is_cut_off(path)
    except KnownError:
        return True


def _rows(project: Project, image_ids: Sequence[int] | None) -> Iterator[ImageRow]:
    if image_ids is None:
        yield from project.queries.iter_images()
        return
    for start in range(0, len(image_ids), BATCH):
        yield from project.queries.images_by_id(image_ids[start : start + BATCH]).values()


def _file_state(path: Path, size_bytes: int, mtime_ns: int, sha256: str) -> str:
    url = remote.url_of(path)
    if url is not None:
        return _remote_state(url, size_bytes)
    try:
        info = path.stat()
    except OSError:
        return "missing"
    if info.st_size == size_bytes and info.st_mtime_ns == mtime_ns:
        return "ok"
    if not sha256:
        return "ok"
    try:
        return "ok" if info.st_size == size_bytes and file_sha256(path) == sha256 else "changed"
    except KnownError:
        return "missing"


def _remote_state(url: str, size_bytes: int) -> str:
    """By what the server says, without fetching: the hash decides when the photo is read."""
    size = remote.remote_size(url)
    return "missing" if size is None else "ok" if size in (-1, size_bytes) else "changed"


@dataclass(frozen=True)
class RelinkReport:
    """Outcome of re-linking: `found` images now lie where the project expects them, `lost` do not."""

    changes: OpChanges | None
    found: int
    lost: tuple[str, ...]


def relink_folder(project: Project, root_id: int, folder: Path | str) -> RelinkReport:
    """The photos of an image root were moved to `folder`. UserInputError when none of them lies there."""
    folder = Path(folder).resolve()
    rows = project.queries.images(ImageFilter(root_id=root_id))
    lost = tuple(row.file_name for row in rows if not (folder / row.file_name).is_file())
    if rows and len(lost) == len(rows):
        raise UserInputError(
            said("None of the {0} photos lies in {1}.", len(rows), folder),
            said("Choose the folder that holds {0}.", rows[0].file_name),
        )
    changes = project.operations.relink_root(root_id, folder)
    check_files(project, [row.id for row in rows])
    return RelinkReport(changes, len(rows) - len(lost), lost)


def relink_missing(project: Project, search: Path | str, *, cancel: CancelToken | None = None) -> RelinkReport:
    """Look below `search` for the photos that are missing, by size and hash, and link those found; one undo step."""
    missing = project.queries.images(ImageFilter(file_state="missing"))
    by_size: dict[int, list[int]] = {}
    for row in missing:
        by_size.setdefault(row.size_bytes, []).append(row.id)
    rows = {row.id: row for row in missing}
    root = Path(search).resolve()
    found: dict[int, Path] = {}
    for _, path in scan([root])[0]:
        if cancel is not None:
            cancel.check()
        wanted = [id_ for id_ in by_size.get(path.stat().st_size, ()) if id_ not in found]
        if not wanted:
            continue
        sha = file_sha256(path)
        match = next((id_ for id_ in wanted if rows[id_].sha256 == sha), None)
        if match is not None:
            found[match] = path
    changes = None
    if found:
        with project.group(said("Re-link %n images", n=len(found))) as op:
            for id_, path in found.items():
                project.operations.relink_image(id_, root, path.relative_to(root).as_posix())
        changes = op.changes
    return RelinkReport(changes, len(found), tuple(row.file_name for row in missing if row.id not in found))
