"""SPair-71k (methods/formats.md#spair): pairs of `Layout/large/<split>.txt`, or of the pair files where that list is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets.base import EvaluationPair, load_json, missing, points_of, read_lines

FOLDER = "SPair-71k"


def read_spair(root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """Pairs in the order of the list. `root` is `SPair-71k` or the folder that holds it."""
    base = root / FOLDER if (root / FOLDER).is_dir() else root
    folder = base / "PairAnnotation" / split
    if not folder.is_dir():
        raise missing(folder, "the pair annotations of the split")
    layout = base / "Layout" / "large" / f"{split}.txt"
    names = read_lines(layout) if layout.is_file() else sorted(p.stem for p in folder.glob("*.json"))
    for name in names:
        yield _read_pair(base, folder, name)


def _box(data: dict[str, Any], side: str) -> Box:
    x0, y0, x1, y1 = (float(value) for value in data[f"{side}_bndbox"])
    return x0, y0, x1, y1


def _read_pair(base: Path, folder: Path, name: str) -> EvaluationPair:
    # Windows cannot store ':' in a name: exports made there use '-' (SCorrSAN reads both).
    path = next((p for p in (folder / f"{name}.json", folder / f"{name.replace(':', '-')}.json") if p.is_file()), None)
    if path is None:
        raise missing(folder / f"{name}.json", "named in the list of pairs")
    data = load_json(path)
    try:
        category = str(data["category"])
        images = base / "JPEGImages" / category
        sizes = [(int(data[f"{side}_imsize"][0]), int(data[f"{side}_imsize"][1])) for side in ("src", "trg")]
        source, target = points_of(data["src_kps"], str(path)), points_of(data["trg_kps"], str(path))
        if len(source) != len(target):
            raise ValueError("lengths differ")
        return EvaluationPair(
            "spair",
            name,
            category,
            images / str(data["src_imname"]),
            images / str(data["trg_imname"]),
            source,
            target,
            sizes[0],
            sizes[1],
            _box(data, "src"),
            _box(data, "trg"),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ImportFileError(said("{0} is no SPair pair.", path), "Unpack the archive again.", repr(error)) from None
