"""Journey 4: import a labelled set, let it be checked, and find the planted error first in the queue."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from tests.support.window import NAMES, Driver, figure_points, make_project

pytestmark = pytest.mark.e2e


def write_coco(path: Path, photos: Path, *, wrong: int) -> None:
    """All figures labelled; in photo `wrong` the nose lies outside of the photo's figure mask: far outside the picture."""
    images, annotations = [], []
    for index, file in enumerate(sorted(photos.glob("*.png"))):
        images.append({"id": index + 1, "file_name": file.name, "width": 240, "height": 180})
        points = figure_points(index, (240, 180)).copy()
        if index == wrong:
            points[0] = points[3]
        flat = [v for x, y in points.tolist() for v in (x, y, 2)]
        (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
        annotations.append(
            {
                "id": index + 1,
                "image_id": index + 1,
                "category_id": 1,
                "keypoints": flat,
                "num_keypoints": 5,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
        )
    category = {"id": 1, "name": "figure", "keypoints": list(NAMES), "skeleton": [[1, 2], [1, 3], [1, 4], [1, 5]]}
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [category]}), encoding="utf-8"
    )


def test_import_check_and_correct(
    make_driver: Callable[..., Driver], photos: Path, toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, backbone=str(toy_dir))
    labels = tmp_path / "labels.json"
    write_coco(labels, photos, wrong=2)
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    space = driver.space
    space.program.settings.change(live_improve=False)

    assert driver.import_labels(labels, photos) == 4

    driver.window.registry["engine.check"].trigger()
    driver.until(lambda: space.queue.strategy == "check" or "No label" in driver.window.message_bar.text, 180)
    wrong_id = space.session.queries.image_named("photo_2.png").id
    assert wrong_id in space.queue.findings
    first = space.queue.upcoming(None, 1)[0]
    while space.labelling.image.id != wrong_id:
        driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    assert space.queue.worst(first) is not None
    selected = space.labelling.selected
    nose = selected.keypoint(0)
    true = figure_points(2, space.labelling.image.size_wh)[0]
    space.labelling.focus(0)
    driver.drag((nose.x, nose.y), tuple(true))
    moved = space.labelling.selected.keypoint(0)
    assert (moved.x, moved.y) == pytest.approx(tuple(true), abs=3 * driver.pixel_px())
    assert wrong_id not in space.queue.findings
