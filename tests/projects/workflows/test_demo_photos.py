"""A person's own folder for the demo: what is usable is used, what is not is said, and every error says what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.projects.workflows.demo import own_photos
from kinmark.projects.workflows.demo.truth import exemplar_image, instance_of


def document(photos: int = 3, keypoints: tuple[str, ...] = ("nose", "tail"), folder: str = "") -> dict[str, Any]:
    """COCO of so many photos with one otter each, larger from photo to photo."""
    return {
        "images": [{"id": i, "file_name": f"{folder}p{i}.jpg", "width": 80, "height": 60} for i in range(photos)],
        "annotations": [
            {
                "id": 10 + i,
                "image_id": i,
                "category_id": 1,
                "bbox": [5, 5, 20 + 5 * i, 20],
                "iscrowd": 0,
                "area": 400,
                "keypoints": [v for k in range(len(keypoints)) for v in (10.0 + 9 * k, 12.0, 2)],
                "num_keypoints": len(keypoints),
            }
            for i in range(photos)
        ],
        "categories": [{"id": 1, "name": "otter", "keypoints": list(keypoints), "skeleton": []}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    made = tmp_path / "otters"

    def make(data: dict[str, Any] | None, photos: int = 3, name: str = "annotations.json") -> Path:
        made.mkdir(exist_ok=True)
        for i in range(photos):
            Image.new("RGB", (80, 60), (40 * i, 90, 60)).save(made / f"p{i}.jpg")
        if data is not None:
            (made / name).parent.mkdir(exist_ok=True)
            (made / name).write_text(json.dumps(data), encoding="utf-8")
        return made

    return make


def test_photos_beside_their_labels_are_all_used(folder: Callable[..., Path]) -> None:
    found = own_photos(folder(document()))
    assert found.name == "otters" and found.notes == () and all(path.is_file() for path in found.paths)
    assert [c.name for c in found.truth.categories] == ["otter"] and len(found.truth.images) == 3
    assert exemplar_image(found.truth, "otter").rel_path.name == "p2.jpg", "the largest is labelled first"


@pytest.mark.parametrize("name", ["annotations/person_keypoints.json", "elsewhere.json"])
def test_photos_are_found_however_the_file_names_them(folder: Callable[..., Path], name: str) -> None:
    """In a folder of annotations, or with the path of another machine."""
    root = folder(document(folder="train2017/"), name=name)
    assert [image.rel_path.as_posix() for image in own_photos(root).truth.images] == ["p0.jpg", "p1.jpg", "p2.jpg"]


def test_what_cannot_be_used_is_said_and_the_rest_is(folder: Callable[..., Path]) -> None:
    data = document(photos=6)
    data["images"][4]["width"] = 800
    data["categories"].append({"id": 2, "name": "seal", "keypoints": ["nose"], "skeleton": []})
    data["annotations"].append(
        {**data["annotations"][0], "id": 99, "category_id": 2, "keypoints": [4, 4, 2], "num_keypoints": 1}
    )
    root = folder(data, photos=5)
    (root / "p3.jpg").write_bytes(b"no picture")
    found = own_photos(root)
    assert len(found.truth.images) == 3 and [c.name for c in found.truth.categories] == ["otter"]
    said = " | ".join(found.notes)
    assert "1 photos of annotations.json are not in the folder: p5.jpg" in said
    assert "80 x 60 pixels, its labels are for 800 x 60" in said and "p3.jpg" in said
    assert "seal is left out: one photo with keypoints" in said
    assert all(instance.category == "otter" for image in found.truth.images for instance in image.instances)


def test_no_more_photos_than_asked_for_evenly_chosen(folder: Callable[..., Path]) -> None:
    found = own_photos(folder(document(photos=9), photos=9), most=3)
    assert [image.rel_path.name for image in found.truth.images] == ["p0.jpg", "p3.jpg", "p6.jpg"]
    assert found.notes == ("3 of 9 labelled photos are used, evenly chosen",)


def test_of_several_in_a_photo_the_largest_is_the_example(folder: Callable[..., Path]) -> None:
    data = document()
    for i in range(3):
        data["annotations"].append({**data["annotations"][i], "id": 50 + i, "bbox": [30, 5, 45, 40]})
    truth = own_photos(folder(data)).truth
    image = exemplar_image(truth, "otter")
    assert len(image.instances) == 2 and instance_of(image, "otter").box == (30, 5, 75, 45)


@pytest.mark.parametrize(
    ("data", "photos", "words", "hint"),
    [
        (None, 3, "no COCO file", "--labels"),
        ({"images": [], "annotations": []}, 3, "no COCO file", "--labels"),
        (document(), 0, "none of the 3 photos", "relative to"),
        (document(keypoints=()), 3, "has no keypoints", "categories name some"),
        (document(photos=1), 1, "one photo only", "at least two"),
        ({**document(), "annotations": []}, 3, "no photos only", "at least two"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    folder: Callable[..., Path], data: dict[str, Any] | None, photos: int, words: str, hint: str
) -> None:
    root = folder(data, photos)
    with pytest.raises(UserInputError) as caught:
        own_photos(root)
    assert words in caught.value.user_message and hint in caught.value.hint
    assert str(root) in caught.value.user_message


def test_no_folder_and_two_files_and_a_damaged_one(folder: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no folder"):
        own_photos(tmp_path / "nowhere")
    root = folder(document())
    (root / "second.json").write_text(json.dumps(document()), encoding="utf-8")
    with pytest.raises(UserInputError, match="2 COCO files"):
        own_photos(root)
    assert len(own_photos(root, root / "second.json").truth.images) == 3
    (root / "second.json").write_text('{"images": [', encoding="utf-8")
    with pytest.raises(AppError, match=r"second\.json"):
        own_photos(root, root / "second.json")
    with pytest.raises(AppError, match=r"missing\.json"):
        own_photos(root, root / "missing.json")
