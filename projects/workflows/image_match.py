"""Which photo an entry of a label file is."""

from __future__ import annotations

from dataclasses import dataclass

from kinmark.projects.formats.dataset import DatasetImage
from kinmark.projects.store.inputs import NewImage
from kinmark.projects.store.rows import ImageRow


@dataclass(frozen=True)
class ImageMatch:
    """One image of the file: `row` of the project, or `new` to be added; `image` with labels in the oriented frame."""

    image: DatasetImage
    row: ImageRow | None = None
    new: NewImage | None = None
