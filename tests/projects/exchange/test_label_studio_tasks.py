"""Tasks of Label Studio as its set-ups make them: labels apart from shapes, several photos, several annotations, drafts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kinmark.engine.domain.errors import ImportFileError
from tests.support.exchange import photo, places, take_in, write_json

BOX = {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 0}
POINT = {"x": 15, "y": 15, "width": 0.5}


def _entry(key: str, kind: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"original_width": 200, "original_height": 100, "image_rotation": 0, "from_name": "l", "to_name": "image"}
    return {"id": key, "type": kind, "value": value, **told, **more}


def _box(key: str, label: str, **more: Any) -> dict[str, Any]:
    return _entry(key, "rectanglelabels", {**BOX, "rectanglelabels": [label]}, **more)


def _task(folder: Path, data: dict[str, Any], result: list[Any], **more: Any) -> str:
    for number, name in enumerate(("a.png", "b.png")):
        photo(folder / name, seed=number)
    write_json(folder / "t.json", [{"id": 1, "data": data, "annotations": [{"result": result}]} | more])
    return "t.json"


def test_a_label_in_an_entry_of_its_own_belongs_to_the_shape_of_its_id(tmp_path: Path) -> None:
    result = [
        _entry("r", "rectangle", BOX),
        _entry("r", "labels", {**BOX, "labels": ["Dog"]}),
        _entry("k", "keypoint", POINT),
        _entry("k", "labels", {**POINT, "labels": ["nose"]}),
        _entry("e", "ellipse", {"x": 70, "y": 50, "radiusX": 10, "radiusY": 10}),
        _entry("e", "labels", {"labels": ["Cat"]}),
        _entry("r", "choices", {"choices": ["sitting"]}),
    ]
    got = take_in(tmp_path, _task(tmp_path, {"image": "a.png"}, result), "label-studio")
    dog, cat = got.instances
    assert (dog.category, dog.box, places(dog)) == ("Dog", pytest.approx((20, 10, 60, 40)), {"nose": (30, 15)})
    assert cat.category == "Cat" and cat.mask is not None
    assert '"choices"' in got.said and '"labels"' not in got.said


def test_pages_of_a_task_are_photos_of_their_own(tmp_path: Path) -> None:
    result = [_box("r1", "Dog", item_index=0), _box("r2", "Cat", item_index=1)]
    got = take_in(tmp_path, _task(tmp_path, {"pages": ["a.png", "b.png"]}, result), "label-studio")
    assert {name: [n.category for n in i.instances] for name, i in got.images.items()} == {
        "a.png": ["Dog"],
        "b.png": ["Cat"],
    }


def test_two_image_tags_that_are_called_like_their_fields(tmp_path: Path) -> None:
    result = [
        _entry("r1", "rectangle", BOX, to_name="left"),
        _entry("r1", "labels", {"labels": ["Dog"]}, to_name="left"),
        _entry("r2", "rectangle", BOX, to_name="right"),
        _entry("r2", "labels", {"labels": ["Cat"]}, to_name="right"),
        _entry("k2", "keypointlabels", {**POINT, "keypointlabels": ["nose"]}, to_name="right"),
        {"type": "relation", "from_id": "k2", "to_id": "r2"},
    ]
    got = take_in(tmp_path, _task(tmp_path, {"left": "a.png", "right": "b.png"}, result), "label-studio")
    [dog], [cat] = (image.instances for image in got.images.values())
    assert (dog.category, cat.category, places(cat)) == ("Dog", "Cat", {"nose": (30, 15)})


def test_regions_of_a_photo_that_cannot_be_told_are_refused_or_left_out_alone(tmp_path: Path) -> None:
    data = {"image": "a.png", "image2": "b.png"}
    file = _task(tmp_path, data, [_box("r1", "Dog"), _box("r2", "Cat", to_name="img2"), "junk"])
    with pytest.raises(ImportFileError, match=r'several photos.*"img2"') as caught:
        take_in(tmp_path, file, "label-studio")
    assert "name of its field" in caught.value.hint
    got = take_in(tmp_path, file, "label-studio", skip_bad=True)
    assert {name: [n.category for n in i.instances] for name, i in got.images.items()} == {"a.png": ["Dog"]}
    assert "region 1" in got.said and "region 2" in got.said


@pytest.mark.parametrize("strange", [[], {}, None, ["labels"]])
@pytest.mark.parametrize("field", ["type", "id", "to_name", "value"])
def test_a_field_of_another_kind_is_refused_or_left_out_alone(tmp_path: Path, field: str, strange: Any) -> None:
    bad = _entry("r2", "labels", {"labels": ["Cat"]}) | {field: strange}
    file = _task(tmp_path, {"image": "a.png"}, [_box("r1", "Dog"), bad, _box("r3", "Dog") | {field: strange}])
    got = take_in(tmp_path, file, "label-studio", skip_bad=True)
    assert [n.category for n in got.instances][:1] == ["Dog"] and "skipped" in got.said


def test_the_ground_truth_is_read_else_the_first_that_holds_something(tmp_path: Path) -> None:
    empty, dog, truth = (
        {"completed_by": n, "result": r} for n, r in ((1, []), (2, [_box("r", "Dog")]), (3, [_box("r", "Cat")]))
    )
    for several, label in (([empty, dog, truth], "Dog"), ([empty, dog, truth | {"ground_truth": True}], "Cat")):
        got = take_in(tmp_path, _task(tmp_path, {"image": "a.png"}, [], annotations=several), "label-studio")
        assert [n.category for n in got.instances] == [label]
        assert got.said.count("1 x annotation by") == 2 and 'annotation by "1"' in got.said


def test_drafts_are_counted(tmp_path: Path) -> None:
    file = _task(tmp_path, {"image": "a.png"}, [], annotations=[], drafts=[{"result": [_box("r", "Dog")]}])
    got = take_in(tmp_path, file, "label-studio")
    assert got.result.nothing and "1 x draft: only submitted annotations" in got.said
