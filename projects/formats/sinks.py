"""Where the files of an export go: a folder that appears whole or not at all, a zip, or a tar.gz.

A folder export is built beside its place and renamed; an older export of ours in that place is replaced, anything else is
left alone (stale files would be read as data: several published readers list folders).
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.files import cannot_write

MARKER = ".kinmark-export.json"
ARCHIVES = (".zip", ".tar.gz")


class Sink(Protocol):
    """Takes the files of one export."""

    def add(self, name: str, data: bytes) -> None:
        """Store `data` under the POSIX path `name`, relative to the export's root."""
        ...


class FolderSink:
    """Files below a folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._made: set[Path] = set()

    def add(self, name: str, data: bytes) -> None:
        """Write one file; refuses names that leave the folder."""
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts:
            raise UserInputError(
                said("The export would write outside its folder ({0}).", name), "Rename the image or category."
            )
        path = self._root / relative
        try:
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(data)
        except OSError as error:
            raise cannot_write(path, error) from None


class ZipSink:
    """Files of a zip archive below the folder `prefix`."""

    def __init__(self, archive: zipfile.ZipFile, prefix: str) -> None:
        self._archive, self._prefix = archive, prefix

    def add(self, name: str, data: bytes) -> None:
        """Add one member."""
        self._archive.writestr(f"{self._prefix}/{name}", data)


class TarSink:
    """Files of a tar archive below the folder `prefix`."""

    def __init__(self, archive: tarfile.TarFile, prefix: str) -> None:
        self._archive, self._prefix = archive, prefix

    def add(self, name: str, data: bytes) -> None:
        """Add one member."""
        member = tarfile.TarInfo(f"{self._prefix}/{name}")
        member.size, member.mode = len(data), 0o644
        self._archive.addfile(member, io.BytesIO(data))


@contextmanager
def open_sink(target: Path, kind: str, archive: str = "") -> Iterator[Sink]:
    """Collect an export of format `kind` and put it to the folder `target` (or `target` + archive suffix) when whole.

    Raises:
        UserInputError: `target` is a folder with content that is no earlier export.
        KnownError: the disk refuses.
    """
    if archive and archive not in ARCHIVES:
        raise UserInputError(said("Unknown archive type {0}.", archive), said("Use one of {0}.", ", ".join(ARCHIVES)))
    final = target.with_name(target.name + archive) if archive else target
    if not archive:
        _check_replaceable(final)
    work = None
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", suffix=".part", dir=final.parent))
        yield from _collect(work, target.name, kind, archive)
        _put(work / ("archive" if archive else target.name), final)
    except OSError as error:
        raise cannot_write(final, error) from None
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _collect(work: Path, name: str, kind: str, archive: str) -> Iterator[Sink]:
    if archive == ".zip":
        with zipfile.ZipFile(work / "archive", "w", zipfile.ZIP_DEFLATED) as zipped:
            yield ZipSink(zipped, name)
    elif archive == ".tar.gz":
        with tarfile.open(work / "archive", "w:gz") as tarred:
            yield TarSink(tarred, name)
    else:
        sink = FolderSink(work / name)
        sink.add(MARKER, json.dumps({"format": kind}).encode())
        yield sink


def _check_replaceable(target: Path) -> None:
    if target.is_file():
        raise UserInputError(said("{0} is a file; the export needs a folder.", target), "Choose another place.")
    if target.is_dir() and any(target.iterdir()) and not (target / MARKER).is_file():
        raise UserInputError(
            said("The folder {0} already holds other files.", target), "Choose an empty or new folder for the export."
        )


def _put(made: Path, final: Path) -> None:
    if final.is_dir():
        old = made.parent / "old"
        final.rename(old)
        try:
            made.rename(final)
        except OSError:
            old.rename(final)
            raise
    else:
        made.replace(final)
