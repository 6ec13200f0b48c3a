"""One labelled pair of an archive, and careful reading of its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import ImportFileError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import read_header


@dataclass(frozen=True)
class EvaluationPair:
    """Source and target photo with N common points (pixel-index numbers as in the archive).

    `length_rule`: "box" (of the target), "image" (longer side), "points" (extent of the target's points).
    """

    dataset: str
    name: str
    category: str
    source: Path
    target: Path
    source_points: NDArray[np.float64]
    target_points: NDArray[np.float64]
    source_wh: tuple[int, int]
    target_wh: tuple[int, int]
    source_box: Box | None = None
    target_box: Box | None = None
    length_rule: str = "box"


def missing(path: Path, what: str) -> ImportFileError:
    """A file or folder of the layout that is not there."""
    return ImportFileError(
        said("{0} is not there ({1}).", path, what), "Give the folder that holds the archive as it is distributed."
    )


def load_json(path: Path) -> Any:
    """Parsed JSON; ImportFileError naming the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(path, "an annotation file") from None
    except (OSError, ValueError) as error:
        raise ImportFileError(
            said("{0} is no readable JSON.", path), "Unpack the archive again.", repr(error)
        ) from None


def read_lines(path: Path) -> list[str]:
    """Non-empty lines; the last one counts with and without a newline at its end."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise missing(path, "a list of the archive") from None
    except (OSError, ValueError) as error:
        raise ImportFileError(
            said("{0} is no readable text.", path), "Unpack the archive again.", repr(error)
        ) from None


def points_of(values: Any, where: str) -> NDArray[np.float64]:
    """`[N, 2]` float64 from a list of pairs; ImportFileError."""
    try:
        points = np.asarray(values, dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError):
        raise ImportFileError(
            said("{0} holds points that are no pairs of numbers.", where), "Unpack the archive again."
        ) from None
    return points


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of an image file; UnreadableImageError."""
    return read_header(path).size_wh
