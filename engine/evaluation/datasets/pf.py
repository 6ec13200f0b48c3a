"""PF-Pascal and PF-Willow (methods/formats.md#pf), both folder conventions."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.texts import said
from kinmark.engine.domain.voc import VOC_CLASSES
from kinmark.engine.evaluation.datasets.base import EvaluationPair, missing, points_of, size_of


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        raise missing(path, "the list of pairs") from None
    except (OSError, ValueError, csv.Error) as error:
        raise ImportFileError(said("{0} is no readable CSV.", path), "Unpack the archive again.", repr(error)) from None


def _base(root: Path, *names: str) -> Path:
    return next((root / n for n in names if (root / n).is_dir()), root)


def read_pfpascal(root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """Pairs of `<split>_pairs.csv` with the points written in it (val, test). L = longer side of the image."""
    base = _base(root, "pf-pascal", "PF-PASCAL")
    images = _base(base, "PF-dataset-PASCAL/JPEGImages", "JPEGImages")
    for index, row in enumerate(_rows(base / f"{split}_pairs.csv")):
        where = f"{base / f'{split}_pairs.csv'} row {index + 2}"
        try:
            columns = [[float(v) for v in row[name].split(";") if v] for name in ("XA", "YA", "XB", "YB")]
            category = VOC_CLASSES[int(row["class"]) - 1]
            source, target = (images / Path(row[f"{side}_image"]).name for side in ("source", "target"))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ImportFileError(
                said("{0} is no PF-Pascal pair.", where), "Use the published CSV.", repr(error)
            ) from None
        if len({len(c) for c in columns}) != 1:
            raise ImportFileError(
                said("{0} has coordinate lists of different lengths.", where), "Use the published CSV."
            )
        a, b = np.array(columns[:2]).T.reshape(-1, 2), np.array(columns[2:]).T.reshape(-1, 2)
        use = np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        yield EvaluationPair(
            "pfpascal",
            f"{index}:{source.stem}:{target.stem}",
            category,
            source,
            target,
            a[use],
            b[use],
            size_of(source),
            size_of(target),
            length_rule="image",
        )


def read_pfwillow(root: Path, split: str = "test") -> Iterator[EvaluationPair]:
    """Pairs of `test_pairs.csv`, always ten points. L = extent of the target's points."""
    base = _base(root, "pf-willow", "PF-WILLOW")
    for index, row in enumerate(_rows(base / f"{split}_pairs.csv")):
        where = f"{base / f'{split}_pairs.csv'} row {index + 2}"
        try:
            points = {
                s: points_of([[float(row[f"X{s}{i}"]), float(row[f"Y{s}{i}"])] for i in range(1, 11)], where)
                for s in "AB"
            }
            names = [row["imageA"], row["imageB"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ImportFileError(
                said("{0} is no PF-Willow pair.", where), "Use the published CSV.", repr(error)
            ) from None
        paths = [_willow_path(base, name) for name in names]
        category = Path(names[0]).parts[-2]
        yield EvaluationPair(
            "pfwillow",
            f"{index}:{paths[0].stem}:{paths[1].stem}",
            category,
            paths[0],
            paths[1],
            points["A"],
            points["B"],
            size_of(paths[0]),
            size_of(paths[1]),
            length_rule="points",
        )


def _willow_path(base: Path, name: str) -> Path:
    full, short = base / name, base / Path(*Path(name).parts[1:])
    return full if full.is_file() else short
