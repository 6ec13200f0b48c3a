"""Small label files as other programs write them, and what an import of them leaves in a project."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinmark.projects.formats.dataset import DatasetImage, DatasetInstance
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import project_dataset
from kinmark.projects.workflows.importing import ImportOptions, ImportResult, import_file
from tests.support.datasets import write_picture


@dataclass(frozen=True)
class Imported:
    """The result of an import and the project's content after it."""

    result: ImportResult
    images: dict[str, DatasetImage]
    categories: dict[str, tuple[str, ...]]

    @property
    def instances(self) -> list[DatasetInstance]:
        """Of all photos, in their order."""
        return [n for image in self.images.values() for n in image.instances]

    @property
    def said(self) -> str:
        """The whole report as text."""
        return "\n".join(f"{i.kind}: {i.where}: {i.reason}" for i in self.result.report.items)


def take_in(
    folder: Path, file: Path | str, format_: str, *, photos: Path | str | None = None, **options: Any
) -> Imported:
    """Import `folder/file` into a fresh project (that holds `folder/photos` when given)."""
    target = folder / "fresh.kinmark"
    number = 0
    while target.exists():
        number += 1
        target = folder / f"fresh{number}.kinmark"
    with Project.create(target) as project:
        if photos is not None:
            add_paths(project, [folder / photos])
        result = import_file(project, folder / file, ImportOptions(format_, **options))
        dataset, _ = project_dataset(project)
        images = {str(i.rel_path): i for i in dataset.images}
        return Imported(result, images, {c.name: c.schema.names for c in dataset.categories})


def places(instance: DatasetInstance) -> dict[str, tuple[float, float] | None]:
    """Keypoint name -> (x, y), None when absent."""
    return {n: None if k.x is None or k.y is None else (k.x, k.y) for n, k in instance.keypoints.items()}


def photo(path: Path, width: int = 200, height: int = 100, seed: int = 0, orientation: int = 1) -> Path:
    """A picture that is `width` x `height` once it is turned by its EXIF orientation."""
    write_picture(path, width, height, seed, orientation)
    return path


def write_json(path: Path, data: Any) -> Path:
    """`data` as JSON (NaN as Python writes it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def labelme(path: Path, shapes: list[dict[str, Any]], image: str = "a.png", **more: Any) -> Path:
    """One labelme file of a 200 x 100 photo."""
    data = {
        "version": "5.8.1",
        "flags": {},
        "imagePath": image,
        "imageData": None,
        "imageHeight": 100,
        "imageWidth": 200,
    }
    return write_json(path, data | {"shapes": shapes} | more)


def shape(label: str, kind: str, points: Iterable[Iterable[float]], group: Any = None, **more: Any) -> dict[str, Any]:
    """One labelme shape."""
    return {
        "label": label,
        "shape_type": kind,
        "points": [list(p) for p in points],
        "group_id": group,
        "flags": {},
        "description": "",
        **more,
    }


def coco(
    path: Path, names: list[str], keypoints: list[Any] | None = None, *, size: tuple[int, int] = (200, 100)
) -> Path:
    """One annotation for each photo name; with `keypoints` the flat list of the category (n, t)."""
    width, height = size
    category: dict[str, Any] = {"id": 1, "name": "dog"} | ({"keypoints": ["n", "t"]} if keypoints else {})
    annotations = [
        {"id": i + 1, "image_id": i + 1, "category_id": 1, "iscrowd": 0, "bbox": [10.5 + i, 10, 20, 20], "area": 400}
        | ({"keypoints": keypoints, "num_keypoints": sum(v > 0 for v in keypoints[2::3])} if keypoints else {})
        for i in range(len(names))
    ]
    images = [{"id": i + 1, "file_name": n, "width": width, "height": height} for i, n in enumerate(names)]
    return write_json(path, {"images": images, "categories": [category], "annotations": annotations})


def cvat(path: Path, body: str, labels: str = "", image: str = "a.png") -> Path:
    """A CVAT file of one 200 x 100 photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task><name>t</name>'
        f'<labels>{labels}</labels></task></meta><image id="0" name="{image}" width="200" height="100">{body}</image>'
        "</annotations>",
        encoding="utf-8",
    )
    return path


def yolo(folder: Path, rows: list[str], yaml: str, *, size: tuple[int, int] = (200, 100), orientation: int = 1) -> Path:
    """A data set of one photo images/a.jpg with its labels."""
    photo(folder / "images" / "a.jpg", *size, orientation=orientation)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "a.txt").write_text("".join(f"{row}\n" for row in rows))
    (folder / "data.yaml").write_text(f"train: images\nval: images\n{yaml}\n")
    return folder
