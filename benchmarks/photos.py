"""Photos as a camera makes them (12 megapixels): adding, thumbnails, and the memory that decoding takes.

    kinmark benchmark photos [--photos 40] [--json FILE]

Processor time of one thread per photo, on files that the system has in memory. Adding reads header and hash; a thumbnail is
decoded at a fraction of the size where the format allows it, and is kept on the disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image

from benchmarks.common import Row, finish, parser, peak_memory_mb
from kinmark.engine.imaging import load_image
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project

SIZE = (4000, 3000)
WISH_MS = 25.0


def make_photos(folder: Path, count: int) -> None:
    """JPEGs with the grain and the size on disk (3 to 5 MB) of a camera's."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        coarse = generator.integers(0, 255, (SIZE[1] // 50, SIZE[0] // 50, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC).astype(np.int16)
        picture += generator.integers(-6, 7, picture.shape, dtype=np.int16)
        cv2.imwrite(
            str(folder / f"{index:04d}.jpg"), picture.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90]
        )


def per_photo(paths: Sequence[Path], work: Callable[[Path], object]) -> float:
    """Processor milliseconds of the work for one photo."""
    started = time.process_time()
    for path in paths:
        work(path)
    return (time.process_time() - started) / len(paths) * 1000


def measure(base: Path, count: int) -> list[Row]:
    """All rows."""
    os.environ["KINMARK_HOME"] = str(base / "home")
    from kinmark.desktop.io.thumbnails import SIDE, make_thumbnail

    def decode_small(path: Path) -> None:
        with Image.open(path) as image:
            image.draft("RGB", (SIDE, SIDE))
            image.load()

    folder = base / "photos"
    make_photos(folder, count)
    mega = SIZE[0] * SIZE[1] / 1e6
    with Project.create(base / "photos.kinmark") as project:
        started = time.process_time()
        report = add_paths(project, [folder])
        added = (time.process_time() - started) / count * 1000
        paths = [row.path for row in project.queries.images()]
    assert len(report.image_ids) == count
    decoded = per_photo(paths, decode_small)
    drawn = per_photo(paths, make_thumbnail)
    again = per_photo(paths, make_thumbnail)
    before = peak_memory_mb()
    load_image(paths[0])
    peak = peak_memory_mb() - before
    note = f"{count} JPEGs of {mega:.0f} megapixels"
    return [
        Row("added, per photo", added, "ms", WISH_MS / added, note + "; ratio: 25 ms wished for"),
        Row("thumbnail made, per photo", drawn, "ms", WISH_MS / drawn, note + "; ratio: 25 ms wished for"),
        Row(
            "decoding at an eighth of the size alone",
            decoded,
            "ms",
            WISH_MS / decoded,
            note + "; no thumbnail is quicker",
        ),
        Row("thumbnail kept, per photo", again, "ms", None, note),
        Row("memory to decode one whole, per megapixel", peak / mega, "MB", None, "above what the process had"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    options = parser(__doc__ or "")
    options.add_argument("--photos", type=int, default=40)
    arguments = options.parse_args(argv)
    cv2.setNumThreads(1)
    with TemporaryDirectory(prefix="kinmark-photos-") as name:
        rows = measure(Path(name), arguments.photos)
    finish("photos", rows, arguments.json, clock="cpu", threads=1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
