"""Make PerMIR / PerMIS folders from BURST: `python -m kinmark.engine.evaluation.prepare_burst JSON FRAMES OUT`.

The published sets are pickles; this writes the same selection (methods/formats.md#permis) as JPEG and JSON instead, from BURST's own
`all_classes.json` and its frames: videos of HACS, AVA and LaSOT are left out, a frame counts when it shows two tracks of one category, the
track seen most often is the instance, its largest frame is the query, and the two others lie more than 15 annotated frames
away from it and from each other. Frames and masks are cut to a square that keeps the instance's x extent and resized to 512.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.domain.errors import AppError, ImportFileError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import load_image

LEFT_OUT = ("HACS", "AVA", "LaSOT")
APART = 15
SIDE = 512


def square_crop(width: int, height: int, x_min: int, x_max: int) -> tuple[int, int, int, int]:
    """The published object-aware square: centred, shifted along x so that the instance's extent is inside.

    Where the instance overhangs on both sides the right edge wins, as published. Returns (left, top, right, bottom).
    """
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    if x_min < left:
        left = x_min
    if x_max > left + side or (x_min < (width - side) // 2 and x_max > (width + side) // 2):
        left = x_max - side
    left = min(max(left, 0), width - side)
    return left, top, left + side, top + side


def _tracks_by_frame(sequence: dict[str, Any]) -> list[dict[str, MaskRLE]]:
    height, width = int(sequence["height"]), int(sequence["width"])
    frames = []
    for frame in sequence["segmentations"]:
        frames.append({tid: MaskRLE(height, width, str(item["rle"])) for tid, item in frame.items()})
    return frames


def choose_frames(sequence: dict[str, Any]) -> tuple[str, list[int]] | None:
    """(track id, three frame indices: the largest mask first) of a sequence; None when it does not qualify."""
    categories = sequence["track_category_ids"]
    frames = _tracks_by_frame(sequence)
    seen: Counter[str] = Counter()
    places: dict[str, list[int]] = defaultdict(list)
    for index, tracks in enumerate(frames):
        kinds = Counter(categories[tid] for tid in tracks)
        for tid in tracks:
            if kinds[categories[tid]] >= 2:
                seen[tid] += 1
                places[tid].append(index)
    for tid, _ in seen.most_common():
        order = sorted(places[tid], key=lambda i: -frames[i][tid].area)
        chosen = order[:1]
        for index in order[1:]:
            if all(abs(index - other) > APART for other in chosen):
                chosen.append(index)
            if len(chosen) == 3:
                return tid, chosen
    return None


def _cut(path: Path, mask: MaskRLE) -> tuple[Image.Image, NDArray[np.bool_]]:
    rgb = load_image(path).rgb
    if rgb.shape[:2] != (mask.height, mask.width):
        raise ImportFileError(
            said(
                "The frame {0} is {1} x {2}, its mask {3} x {4}.",
                path,
                rgb.shape[1],
                rgb.shape[0],
                mask.width,
                mask.height,
            )
        )
    mask.validate()
    pixels = mask.decode()
    columns = np.nonzero(pixels.any(axis=0))[0]
    left, top, right, bottom = square_crop(mask.width, mask.height, int(columns[0]), int(columns[-1]))
    image = Image.fromarray(rgb[top:bottom, left:right]).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    small = Image.fromarray(pixels[top:bottom, left:right]).resize((SIDE, SIDE), Image.Resampling.NEAREST)
    return image, np.asarray(small, dtype=bool)


def _sequences(path: Path) -> tuple[list[dict[str, Any]], dict[Any, str]]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        names = {c["id"]: str(c["name"]) for c in data.get("categories", ())}
        return list(data["sequences"]), names
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImportFileError(
            said("{0} is no BURST annotation file.", path), "Give all_classes.json.", repr(error)
        ) from None


def prepare(annotations: Path, frames: Path, out: Path) -> Iterator[str]:
    """Write one folder per qualifying video; yields a line about each sequence.

    Raises:
        ImportFileError: a damaged annotation file, a frame of another size. UserInputError: `out` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise UserInputError(said("The folder {0} is not empty.", out), "Choose a new folder.")
    sequences, names = _sequences(annotations)
    number = 0
    for sequence in sequences:
        label = f"{sequence['dataset']}/{sequence['seq_name']}"
        if sequence["dataset"] in LEFT_OUT:
            yield f"{label}: left out ({sequence['dataset']})"
            continue
        found = choose_frames(sequence)
        if found is None:
            yield f"{label}: no instance beside another of its category in three frames far enough apart"
            continue
        _write(sequence, names, found, frames / sequence["dataset"] / sequence["seq_name"], out / str(number))
        number += 1
        yield f"{label}: video {number - 1}"


def _write(
    sequence: dict[str, Any], names: dict[Any, str], found: tuple[str, list[int]], folder: Path, out: Path
) -> None:
    tid, indices = found
    tracks = _tracks_by_frame(sequence)
    out.mkdir(parents=True)
    masks = []
    for position, index in enumerate(indices):
        image, mask = _cut(folder / sequence["annotated_image_paths"][index], tracks[index][tid])
        image.save(out / f"{position}.jpg", quality=95)
        masks.append(MaskRLE.encode(mask).to_coco())
    category = names.get(sequence["track_category_ids"][tid], "")
    card = {"name": f"{sequence['dataset']}/{sequence['seq_name']}", "track": tid, "category": category, "masks": masks}
    (out / "video.json").write_text(json.dumps(card), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Command line of the preparation; 0 on success, 3 on a known error."""
    parser = argparse.ArgumentParser(description="Prepare PerMIR / PerMIS from BURST.")
    for name, text in (
        ("annotations", "BURST's all_classes.json"),
        ("frames", "its frames folder"),
        ("out", "new folder"),
    ):
        parser.add_argument(name, type=Path, help=text)
    arguments = parser.parse_args(argv)
    try:
        for line in prepare(arguments.annotations, arguments.frames, arguments.out):
            sys.stdout.write(line + "\n")
    except AppError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
