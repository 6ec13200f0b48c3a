"""Finds the photo that a label file means, in the project or on the disk.

The path as it stands comes first: from the label file's folder where the format says so, below the image root, among the
project's photos. What another machine wrote (absolute paths, `..`, URLs) is followed by its longest tail that fits. When
several photos fit, none is taken and they are named; a photo of the same name in a folder of another name is no fit.
Nothing outside the image root, the label file's surroundings and the project is ever opened.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_cut_off, is_image_path
from kinmark.projects.file_names import is_text, shown
from kinmark.projects.formats.checks import is_absolute, resolve_inside
from kinmark.projects.formats.dataset import DatasetImage, Report
from kinmark.projects.formats.photo_names import bare_of_mask, base_key, common_tail, elsewhere, name_key, spellings
from kinmark.projects.images import WITH_PREVIEWS, describe
from kinmark.projects.project import Project
from kinmark.projects.store.rows import ImageRow
from kinmark.projects.workflows.image_match import ImageMatch

MAX_NAMED = 4
MAX_WALKED = 200_000
"""Files of an image root that are listed to find a photo by its name."""
_EXACT = 99
"""The `tail` of a photo whose whole path fits."""


@dataclass(frozen=True)
class _Fit:
    """A photo that may be meant: `row` of the project, or a file on the disk below `root`; `tail` parts agree."""

    path: Path
    tail: int
    row: ImageRow | None = None
    root: Path | None = None


class ImageFinder:
    """Answers `find` for every entry of one label file.

    Args:
        root: the folder that the user says the photos are in; nothing outside of it is taken.
        own_root: the folder that the paths start from by the rules of the format, None when it has no such rule.
        beside: the folder of the label file.
        told: the photos that the file names. Where two of them share a name, the name alone tells neither.
    """

    def __init__(
        self,
        project: Project,
        root: Path | None,
        own_root: Path | None,
        beside: Path,
        told: Iterable[PurePosixPath] = (),
    ) -> None:
        self._root = root.resolve() if root is not None else None
        first = root if root is not None else own_root
        self._first = [first.resolve()] if first is not None else []
        # Without a root: where annotation files usually lie relative to their photos.
        guesses = [beside, beside / "images", beside.parent, beside.parent / "images"] if root is None else []
        self._folders = list(dict.fromkeys([*self._first, *(folder.resolve() for folder in guesses)]))
        self._by_path: dict[Path, ImageRow] = {}
        self._by_name: dict[str, list[ImageRow]] = {}
        self._by_base: dict[str, list[ImageRow]] = {}
        self._by_stem: dict[str, set[str]] = {}
        self._listings: dict[Path, dict[str, list[str]]] = {}
        self._walked: dict[str, list[Path]] | None = None
        self._passed: list[_Fit] = []
        named = Counter(base_key(path.name) for path in told)
        self._shared_names = {name for name, count in named.items() if count > 1}
        for row in project.queries.iter_images():
            name = unicodedata.normalize("NFC", row.file_name)
            self._by_path[row.path] = row
            self._by_name.setdefault(name, []).append(row)
            self._by_base.setdefault(name_key(PurePosixPath(name).name), []).append(row)
            self._by_stem.setdefault(PurePosixPath(name).stem, set()).add(PurePosixPath(name).name)

    def find(self, image: DatasetImage, report: Report) -> ImageMatch | None:
        """The project's photo, else one on the disk to be added, else None (reported)."""
        told = image.pointer or str(image.rel_path)
        if image.any_suffix:
            return self._find_stem(image, report)
        if self._root is not None and self._points_elsewhere(image):
            report.add("skipped", told, said("it names a photo outside of {0} (--images)", self._root.name))
            return None
        fit = self._pointed_at(image) or self._as_named(image)
        if fit is None:
            fits = self._by_tail(image)
            if len(fits) > 1:
                names = ", ".join(_shown(f) for f in fits[:MAX_NAMED]) + (" ..." if len(fits) > MAX_NAMED else "")
                report.add("skipped", told, said("{0} photos fit: {1}; say which with --images", len(fits), names))
                return None
            video = image.extra.get("video")
            if not fits and isinstance(video, dict):
                clip = str(video["clip"]).replace("\\", "/").rpartition("/")[2]
                what = said("frame of {0}", clip)
                report.count(
                    "skipped",
                    what,
                    said("frame {0}", video["frame"]),
                    "no photo of it: kinmark add DIR CLIP --frames list=...",
                )
                return None
            if not fits and (image.stand_in or not is_image_path(Path(image.rel_path.name))):
                return self._find_stand_in(image, told, report)
            if not fits:
                report.add("skipped", told, self._why_not(image))
                return None
            fit = fits[0]
            report.add("changed", told, said("recognised by its name as {0}", _shown(fit)))
        if fit.row is not None:
            return ImageMatch(image, fit.row)
        root = fit.root if fit.root is not None else fit.path.parent
        if not is_text(fit.path):
            report.count(
                "skipped", "photo whose path is not UTF-8 text", shown(fit.path), "rename it, then import again"
            )
            return None
        if is_cut_off(fit.path):
            report.add("skipped", told, "the photo is cut off (a broken copy?); copy it again, then import again")
            return None
        new = describe(root, fit.path)
        if new.frames > 1 and fit.path.suffix.lower() not in WITH_PREVIEWS:
            report.count("note", "photo of several pages", told, "the first page is used")
        return ImageMatch(image, None, new)

    def _fit(self, path: Path, root: Path, tail: int) -> _Fit:
        row = self._by_path.get(path) or self._by_path.get(path.resolve())
        return _Fit(path, tail, row, root)

    def _find_stem(self, image: DatasetImage, report: Report) -> ImageMatch | None:
        """For files that name a photo without its suffix: the photo of that stem, of the longest tail."""
        told = str(image.rel_path.with_suffix(""))
        fits = self._stem_fits(image)
        bare = bare_of_mask(image.rel_path.stem)
        if not fits and bare != image.rel_path.stem:
            fits = self._stem_fits(replace(image, rel_path=image.rel_path.with_name(f"{bare}.any")))
            if len(fits) == 1:
                report.count("changed", "name that ends in _mask or the like", told, "the photo without that is taken")
        if len(fits) == 1:
            return next(iter(fits.values()))
        none = said("no photo of that name (with any suffix) in the project or in the image folder")
        report.add("skipped", told, self._several(fits) or none)
        return None

    def _several(self, fits: Mapping[Path, object]) -> str:
        shown = ", ".join(path.name for path in fits)
        return said("{0} photos fit: {1}; say which with --images", len(fits), shown) if fits else ""

    def _stem_fits(self, image: DatasetImage) -> dict[Path, ImageMatch]:
        """The photos of the stem of `image` that share the longest tail of its path."""
        names = set(self._by_stem.get(image.rel_path.stem, ()))
        for folder in self._folders:
            for depth in range(len(image.rel_path.parts)):
                parent = folder.joinpath(*image.rel_path.parts[depth:-1])
                names.update(n for n in self._stems(parent).get(image.rel_path.stem, ()))
        found: dict[Path, tuple[int, ImageMatch]] = {}
        for name in sorted(names):
            match = self.find(
                replace(image, rel_path=image.rel_path.with_name(name), any_suffix=False, label_folder=""), Report("")
            )
            path = _path_of(match)
            # The mask pictures themselves have the photos' names.
            if match is None or path is None or (path.suffix.lower() == ".png" and _below(path, image.label_folder)):
                continue
            found[path] = (common_tail(image.rel_path.with_name(name).parts, path.parts), match)
        best = max((tail for tail, _ in found.values()), default=0)
        return {path: match for path, (tail, match) in found.items() if tail == best}

    def _find_stand_in(self, image: DatasetImage, told: str, report: Report) -> ImageMatch | None:
        """The photo that is named like the label file; the one of any suffix where the file tells none."""
        other = PurePosixPath((image.stand_in or str(image.rel_path)) + ".any")
        fits = self._stem_fits(replace(image, rel_path=other, pointer="", stand_in="", label_folder=""))
        if len(fits) != 1:
            report.add("skipped", told, self._several(fits) or self._why_not(image))
            return None
        if image.stand_in:
            what, why = "photo that is not there", "the one that is named like the label file is taken"
        else:
            what, why = "name of a photo without its suffix", "the photo of that name is taken"
        report.count("changed", what, told, why)
        return next(iter(fits.values()))

    def _stems(self, folder: Path) -> dict[str, list[str]]:
        """Image files of a folder by their names without suffix."""
        stems: dict[str, list[str]] = {}
        for names in self._listing(folder).values():
            for name in names:
                if is_image_path(Path(name)):
                    stems.setdefault(PurePosixPath(unicodedata.normalize("NFC", name)).stem, []).append(name)
        return stems

    def _places(self, image: DatasetImage) -> list[Path]:
        """Where the pointer leads to, absolute or from the label file's folder."""
        places = []
        for text in dict.fromkeys((image.pointer, image.pointer.replace("\\", "/"))):
            if text and is_absolute(text):
                places.append(Path(text))
            elif text and image.label_folder:
                places.append(Path(os.path.normpath(Path(image.label_folder) / text)))
        return places

    def _points_elsewhere(self, image: DatasetImage) -> bool:
        root = self._root
        if root is None:
            return False
        try:
            return any(path.is_file() and not path.resolve().is_relative_to(root) for path in self._places(image))
        except (OSError, ValueError):
            return False

    def _pointed_at(self, image: DatasetImage) -> _Fit | None:
        """The file that the pointer leads to from the label file's folder, if we may look there."""
        for path in self._places(image):
            row = self._by_path.get(path)
            if row is not None:
                return _Fit(path, _EXACT, row)
            for folder in self._folders:
                if path.is_relative_to(folder):
                    found = resolve_inside(folder, PurePosixPath(path.relative_to(folder).as_posix()))
                    if found is not None:
                        return self._fit(found, folder, _EXACT)
        return None

    def _as_named(self, image: DatasetImage) -> _Fit | None:
        """The photo of exactly this relative path: where the format has it, else in the project, else near the file."""
        text = image.pointer.replace("\\", "/")
        if is_absolute(text) or (".." in PurePosixPath(text).parts and not image.label_folder):
            return None  # the path was cut: only a tail of it can fit
        names = [str(image.rel_path)]
        if image.pointer and not image.label_folder:
            names.insert(0, unicodedata.normalize("NFC", image.pointer))  # a file name may hold a backslash
        for name in dict.fromkeys(names):
            for folder in self._first:
                path = resolve_inside(folder, PurePosixPath(name))
                if path is not None:
                    return self._fit(path, folder, _EXACT)
            same = self._by_name.get(name, [])
            if self._root is not None:
                root = self._root
                same = [r for r in same if r.path.is_relative_to(root)] or (same if len(same) == 1 else [])
            if len(same) > 1:
                raise UserInputError(
                    said(
                        "The photo {0} stands in {1} image folders of the project: {2}.",
                        name,
                        len(same),
                        ", ".join(str(r.path) for r in same[:MAX_NAMED]),
                    ),
                    "Say which one is meant with --images.",
                )
            if same:
                return _Fit(same[0].path, _EXACT, same[0])
        for name in dict.fromkeys(names):
            for folder in self._folders:
                path = resolve_inside(folder, PurePosixPath(name))
                if path is not None:
                    return self._fit(path, folder, _EXACT)
        return None

    def _by_tail(self, image: DatasetImage) -> list[_Fit]:
        """The photos that share the longest tail of the path, and at least the name; case counts between equal ones only."""
        found: dict[Path, _Fit] = {}
        passed = self._passed = []
        for parts in spellings(image.rel_path):
            for fit in (*self._in_project(parts, image), *self._on_disk(parts)):
                # With --images a renamed folder is meant, unless the folder of the told name stands beside it.
                renamed = self._root is not None and not (fit.path.parent.parent / parts[-2:][0]).is_dir()
                other = elsewhere(parts, fit.path) and not renamed and not _same_pair(image, fit.path)
                if fit.tail == 1 and (other or self._tells_nothing(parts)):
                    passed.append(fit)
                    continue
                known = found.get(fit.path)
                if known is None or fit.tail > known.tail:
                    found[fit.path] = fit

        def order(fit: _Fit) -> tuple[int, bool]:
            return fit.tail, any(base_key(fit.path.name) == base_key(parts[-1]) for parts in spellings(image.rel_path))

        best = max(map(order, found.values()), default=None)
        return [fit for fit in found.values() if order(fit) == best]

    def _tells_nothing(self, parts: tuple[str, ...]) -> bool:
        """Whether the bare name of a path with folders is that of another photo of the file, too."""
        return len(parts) > 1 and base_key(parts[-1]) in self._shared_names

    def _in_project(self, parts: tuple[str, ...], image: DatasetImage) -> list[_Fit]:
        sizes = {(image.width, image.height), (image.height, image.width)}
        rows = self._by_base.get(name_key(parts[-1]), [])
        if self._root is not None:
            rows = [r for r in rows if r.path.is_relative_to(self._root)]
        return [
            _Fit(row.path, common_tail(parts, row.path.parts), row)
            for row in rows
            if not image.size_told or image.width == 0 or (row.width, row.height) in sizes
        ]

    def _on_disk(self, parts: tuple[str, ...]) -> list[_Fit]:
        fits: list[_Fit] = []
        for folder in self._folders:
            for start in range(len(parts)):
                tail = parts[start:]
                path = self._any_case(folder, PurePosixPath(*tail))
                if path is not None:
                    fits.append(self._fit(path, folder, common_tail(parts, path.parts)))
                    break
        if not fits and self._root is not None:
            fits = [self._fit(p, self._root, common_tail(parts, p.parts)) for p in self._anywhere(parts[-1])]
        return fits

    def _anywhere(self, name: str) -> list[Path]:
        """The photos of this name at any depth of the image root; it is walked through once."""
        if self._walked is None:
            self._walked = {}
            files = (Path(folder) / n for folder, _, names in os.walk(self._root or "") for n in names)
            for path in islice((p for p in files if is_image_path(p)), MAX_WALKED):
                self._walked.setdefault(name_key(unicodedata.normalize("NFC", path.name)), []).append(path)
        return sorted(self._walked.get(name_key(name), []))

    def _any_case(self, folder: Path, relative: PurePosixPath) -> Path | None:
        """`folder/relative` on the disk, or the one file there that differs by case or the spelling of its suffix only."""
        path = resolve_inside(folder, relative)
        if path is not None:
            return path
        place = PurePosixPath()
        for part in relative.parts:
            names = self._listing(folder / place).get(name_key(part), [])
            names = [n for n in names if base_key(n) == base_key(part)] or names
            if len(names) != 1:
                return None
            place /= names[0]
        return resolve_inside(folder, place)

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        known = self._listings.get(folder)
        if known is None:
            known = self._listings[folder] = {}
            try:
                entries = list(os.scandir(folder))
            except (OSError, ValueError):
                entries = []
            for entry in entries:
                known.setdefault(name_key(unicodedata.normalize("NFC", entry.name)), []).append(entry.name)
        return known

    def _why_not(self, image: DatasetImage) -> str:
        same = self._by_base.get(name_key(image.rel_path.name), [])
        if not same and self._passed:
            return said(
                "no such photo; {0} has its name but lies in another folder (if it is meant: --images)",
                _shown(self._passed[0]),
            )
        if not same:
            return said("no such photo in the project or in the image folder (if it lies elsewhere: --images)")
        sizes = {(image.width, image.height), (image.height, image.width)}
        other = next((r for r in same if (r.width, r.height) not in sizes), None)
        if other is not None and image.width and image.size_told:
            return said("no such photo; {0} has its name but is {1} x {2}", other.file_name, other.width, other.height)
        return said(
            "no such photo; {0} has its name but lies in another folder (if it is meant: --images)", same[0].file_name
        )


def _path_of(match: ImageMatch | None) -> Path | None:
    if match is None:
        return None
    if match.row is not None:
        return match.row.path
    return match.new.root / match.new.rel_path if match.new is not None else None


def _below(path: Path, folder: str) -> bool:
    return bool(folder) and path.resolve().is_relative_to(folder)


def _same_pair(image: DatasetImage, path: Path) -> bool:
    """A label file of one photo, named like it and beside it (labelme), that holds the photo's path on another machine."""
    if not image.label_file or not is_absolute(image.pointer):
        return False
    label = Path(image.label_folder) / image.label_file
    return label.stem == path.stem and label.parent.resolve() == path.parent


def _shown(fit: _Fit) -> str:
    if fit.row is not None:
        return fit.row.file_name if "/" in fit.row.file_name else f"{fit.path.parent.name}/{fit.path.name}"
    return f"{fit.path.parent.name}/{fit.path.name}"
