"""Journey of groups: label one of three animals, review the others by key, say that all are labelled, export COCO, read it back.

Once with an engine that knows where the animals were drawn, so that every number is exact, and once with the model that is
shipped, where only the program's part is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from PySide6.QtCore import Qt

from tests.engine.pipelines import test_several_beetles as beetles
from tests.support import herd
from tests.support.window import Driver

pytestmark = pytest.mark.e2e
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
NEAR = 0.15
"""Shares of the longer side: an animal whose keypoints lie so near on average is the one that was meant."""


def several_by_hand(driver: Driver, most: int) -> None:
    """Ctrl+K, In a photo: several, at most so many."""
    driver.key(Qt.Key.Key_K, CONTROL)
    dialog = driver.window.commands.dialogs.dialog("schema")
    dialog.instances.kind.setFocus()
    driver.key(Qt.Key.Key_End, widget=dialog.instances.kind)
    dialog.instances.kind.activated.emit(dialog.instances.kind.currentIndex())
    dialog.instances.number.setValue(most)
    dialog.close()
    assert driver.space.session.queries.categories()[0].instances == str(most)
    driver.canvas.setFocus()


def label_first(driver: Driver, animal: np.ndarray) -> None:
    driver.key(Qt.Key.Key_K)
    for x, y in animal.tolist():
        driver.click(x, y)
    driver.key(Qt.Key.Key_V)
    [instance] = driver.space.session.queries.instances()
    assert len(instance.keypoints) == len(animal)


def propose(driver: Driver, seconds: float) -> None:
    driver.key(Qt.Key.Key_P, CONTROL)
    driver.until(lambda: driver.space.session.queries.counts().pending > 0, seconds)
    driver.until(lambda: not driver.window.program.engine.busy, seconds)


def is_right(driver: Driver, truth: list[np.ndarray]) -> bool:
    """Whether the framed instance is one of the animals that were drawn."""
    selected = driver.space.labelling.selected
    placed = {
        i: (p.x, p.y) for i in range(len(selected.definition_ids)) if (p := selected.proposal(i)) and p.x is not None
    }
    points = np.array(list(placed.values()))
    for animal in truth:
        side = float(np.ptp(animal, axis=0).max())
        if len(placed) and np.linalg.norm(points - animal[list(placed)], axis=1).mean() <= NEAR * side:
            return True
    return False


def review_all(driver: Driver, truth: dict[str, list[np.ndarray]]) -> list[str]:
    """Photo after photo: Enter for what is right, X for what is not, U at the end; the photos in the order of the review."""
    labelling, queries, seen = driver.space.labelling, driver.space.session.queries, []
    driver.key(Qt.Key.Key_N)
    while queries.counts().pending:
        driver.photo_shown()
        image = labelling.image
        seen.append(image.file_name)
        while labelling.waiting and labelling.image.id == image.id:
            assert labelling.whole, "the focus is on the animal as a whole"
            driver.key(Qt.Key.Key_Return if is_right(driver, truth[image.file_name]) else Qt.Key.Key_X)
        if queries.instances(image_id=image.id):
            assert labelling.image.id == image.id, "one looks once more before the next photo comes"
            driver.key(Qt.Key.Key_U)
        if queries.counts().pending and labelling.image.id == image.id:
            driver.key(Qt.Key.Key_N)
    return seen


def test_three_of_a_kind_exactly(
    make_driver: Callable[..., Driver], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinmark.desktop.program import Program

    monkeypatch.setattr(Program, "_make_engine", lambda self: herd.HerdEngine())
    folder = herd.make_project(tmp_path / "newts.kinmark", herd.make_herd(tmp_path / "photos", 3))
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.window.program.settings.change(live_improve=False)
    driver.photo_shown()
    driver.canvas.setFocus()
    several_by_hand(driver, 5)
    label_first(driver, herd.animals(0)[1])
    propose(driver, 60)
    queries = driver.space.session.queries
    counts = [len(queries.proposals(image_id=row.id)) for row in queries.images()]
    assert counts == [2, 3, 3], "beside the labelled one, too"
    truth = {f"herd_{n}.png": list(herd.animals(n)) for n in range(3)}
    assert sorted(review_all(driver, truth)) == sorted(truth)
    assert [len(queries.instances(image_id=row.id)) for row in queries.images()] == [3, 3, 3]
    assert queries.counts().exhaustive == 3
    driver.export_coco(tmp_path / "export")
    coco = COCO(str(tmp_path / "export" / "annotations.json"))
    assert len(coco.getAnnIds()) == 9 and len(coco.getImgIds()) == 3
    for image in coco.loadImgs(coco.getImgIds()):
        assert image["not_exhaustive_category_ids"] == [] and image["all_labelled"] == {"newt": True}
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        found = sorted((r["keypoints"][0], r["keypoints"][1]) for r in rows)
        meant = sorted((float(a[0][0]), float(a[0][1])) for a in truth[image["file_name"]])
        assert np.allclose(found, meant, atol=1.0) and all(r["num_keypoints"] == 3 for r in rows)


def test_beetles_with_the_model_that_is_shipped(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project

    photos = tmp_path / "photos"
    photos.mkdir()
    places = [
        [(110, 90, 0.1), (350, 120, -0.1), (220, 270, 0.2)],
        [(120, 110, 0.0), (340, 250, 0.1), (330, 90, -0.2)],
    ]
    truth = {f"b{n}.png": beetles.draw(photos / f"b{n}.png", there, n + 1) for n, there in enumerate(places)}
    folder = tmp_path / "beetles.kinmark"
    with Project.create(folder) as project:
        add_paths(project, [photos])
        project.operations.add_category("beetle", beetles.SCHEMA)
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.window.program.settings.change(live_improve=False)
    driver.photo_shown()
    driver.canvas.setFocus()
    several_by_hand(driver, 5)
    label_first(driver, truth["b0.png"][0])
    propose(driver, 400)
    review_all(driver, truth)
    queries = driver.space.session.queries
    instances = queries.instances()
    assert 3 <= len(instances) <= 6, "the model finds others than the one that was labelled"
    assert len({(i.image_id, i.keypoints[0].x) for i in instances}) == len(instances), "nobody twice"
    driver.export_coco(tmp_path / "export")
    coco = COCO(str(tmp_path / "export" / "annotations.json"))
    assert len(coco.getAnnIds()) == len(instances)
    per_photo = {coco.loadImgs([i])[0]["file_name"]: len(coco.getAnnIds(imgIds=[i])) for i in coco.getImgIds()}
    assert per_photo == {row.file_name: len(queries.instances(image_id=row.id)) for row in queries.images()}
