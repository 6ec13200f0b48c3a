"""Writing files of an export: never half a file, never outside the export's folder, pictures with EXIF applied."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

from PIL import Image

from kinmark.engine.domain.errors import AppError, KnownError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_cut_off, load_image, read_header
from kinmark.projects.formats.base import begin, tick
from kinmark.projects.formats.dataset import Dataset, DatasetImage, Report

JPEG_QUALITY = 95


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` through a temporary file and a rename; KnownError when the disk refuses."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise cannot_write(path, error) from None


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current


def cannot_write(path: Path, error: OSError) -> KnownError:
    """The message for a file that cannot be written."""
    return KnownError(
        said("Cannot write {0}: {1}.", path, error.strerror or error),
        "Free space, choose another folder or check its permissions.",
        repr(error),
    )


def inside(out: Path, relative: PurePosixPath) -> Path:
    """`out/relative`; KnownError when that leaves `out` (a project file from a stranger may say "../../.bashrc")."""
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\x00" in str(relative):
        raise KnownError(
            said("The photo path {0} would be written outside the export folder {1}.", relative, out),
            "Do not trust this project: its photo list was tampered with.",
        )
    return out / relative


def source_of(image: DatasetImage) -> Path:
    """Where the picture lies; KnownError when the data set does not say."""
    if not image.source_path:
        raise KnownError(
            said("The picture {0} has no known place.", image.rel_path), "Give the image folder or re-link it."
        )
    return Path(image.source_path)


def jpeg_bytes(image: DatasetImage) -> bytes:
    """The picture as 3-channel sRGB JPEG without EXIF; a JPEG that is so already is copied byte for byte."""
    source = source_of(image)
    header = read_header(source)
    if header.format == "JPEG" and header.mode == "RGB" and header.orientation == 1 and header.frames == 1:
        _refuse_cut_off(source)
        return source.read_bytes()
    return _encode(image, "JPEG", quality=JPEG_QUALITY, subsampling=0)


def _refuse_cut_off(source: Path) -> None:
    """A copy would hand on the broken file without a word; decoding notices it by itself."""
    if is_cut_off(source):
        raise KnownError(
            said("The photo {0} is cut off (a broken copy?).", source),
            "Copy it again from where it came from, then export again.",
        )


def png_bytes(image: DatasetImage) -> bytes:
    """The picture as 8-bit RGB PNG."""
    return _encode(image, "PNG")


def _encode(image: DatasetImage, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(load_image(source_of(image)).rgb).save(buffer, kind, **options)
    return buffer.getvalue()


def copy_images(
    dataset: Dataset, out: Path, report: Report, progress: Progress | None = None, cancel: CancelToken | None = None
) -> None:
    """Put every picture to `out/<rel_path>`: bytes when its orientation is 1, else turned and without the tag.

    A picture that cannot be read is reported, the others go on.
    """
    begin(progress, "Copying pictures", len(dataset.images))
    for image in dataset.images:
        try:
            copy_image(image, inside(out, image.rel_path))
        except AppError as error:
            report.add("skipped", str(image.rel_path), error.user_message)
        tick(progress, cancel, str(image.rel_path))


def copy_image(image: DatasetImage, target: Path) -> None:
    """One picture to `target` (same file type) in its oriented frame."""
    source = source_of(image)
    header = read_header(source)
    if target.exists() and target.resolve() == source.resolve():
        return
    if header.orientation == 1:
        _refuse_cut_off(source)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise cannot_write(target, error) from None
        return
    suffix = PurePosixPath(target.name).suffix.lower()
    if suffix in (".jpg", ".jpeg", ".jpe", ".jfif"):
        write_atomically(target, _encode(image, "JPEG", quality=JPEG_QUALITY, subsampling=0))
    else:
        write_atomically(target, _encode(image, header.format or "PNG"))
