"""Label Studio JSON: percents, relations, brushes, several annotators, predictions, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.formats.label_studio_read import decode_brush
from kinmark.projects.formats.label_studio_write import encode_brush
from kinmark.projects.formats.registry import get_format
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.datasets import sample_dataset
from tests.support.exchange import labelme, photo, places, shape, take_in, write_json


def _region(key: str, kind: str, label: str, value: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": key,
        "type": kind,
        "from_name": "x",
        "to_name": "image",
        "original_width": 200,
        "original_height": 100,
        "image_rotation": 0,
        "value": {**value, kind: [label]},
        **more,
    }


def _point(key: str, label: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    return _region(key, "keypointlabels", label, {"x": x, "y": y, "width": 0.5}, **more)


def _box(key: str, x: float, y: float, w: float, h: float, **more: Any) -> dict[str, Any]:
    return _region(key, "rectanglelabels", "dog", {"x": x, "y": y, "width": w, "height": h, "rotation": 0}, **more)


def _file(folder: Path, result: list[dict[str, Any]], **more: Any) -> Path:
    photo(folder / "in" / "a.jpg")
    task = {"id": 5, "data": {"image": "/data/upload/1/a.jpg"}, "annotations": [{"id": 1, "result": result}]}
    return write_json(folder / "in" / "ls.json", [task | more])


def test_relations_parents_and_loose_points(tmp_path: Path) -> None:
    result = [
        _box("b1", 5, 10, 40, 80),
        _point("k1", "nose", 10, 20),
        _box("b2", 50, 10, 40, 80),
        _point("k2", "nose", 60, 20, parentID="b2"),
        _point("k3", "ear", 12.5, 20),
        {"type": "relation", "from_id": "k1", "to_id": "b1", "direction": "right"},
        _region("p", "polygonlabels", "cat", {"points": [[1, 1], [4, 1], [4, 4]]}),
    ]
    _file(tmp_path, result)
    got = take_in(tmp_path, "in/ls.json", "label-studio", photos="in")
    first, second, cat = got.instances
    assert first.box == pytest.approx((10, 10, 90, 90)) and second.box == pytest.approx((100, 10, 180, 90))
    assert places(first) == {"nose": (20, 20), "ear": (25, 20)} and places(second) == {"nose": (120, 20)}
    assert cat.category == "cat" and cat.mask is not None and cat.extra["outline"]["rings"] == [[2, 1, 8, 1, 8, 4]]
    assert "1 x point without a group" in got.said


def test_what_is_not_kept_is_counted(tmp_path: Path) -> None:
    result = [
        _box("b1", 5, 10, 40, 80, meta={"text": ["blurred"]}),
        {"id": "c", "type": "choices", "value": {"choices": ["day"]}},
        _point("k", "nose", 10, 20, meta={"text": ["hidden"]}),
        {"type": "relation", "from_id": "k", "to_id": "gone"},
    ]
    second = {"id": 2, "result": [_box("b9", 0, 0, 5, 5)], "completed_by": {"email": "bob@example.org"}}
    third = {"id": 3, "result": [], "was_cancelled": True}
    file = _file(tmp_path, result)
    _file(tmp_path, result, annotations=[{"id": 1, "result": result}, second, third])
    got = take_in(tmp_path, file, "label-studio", photos="in")
    assert len(got.instances) == 1 and int(got.instances[0].keypoints["nose"].visibility) == 1
    for words in (
        "bob@example.org",
        "1 x cancelled annotation",
        '1 x "choices"',
        "1 x text of a region",
        "relation to a region",
    ):
        assert words in got.said


def test_predictions_are_proposals(tmp_path: Path) -> None:
    prediction = {"score": 0.75, "result": [_box("b1", 5, 10, 40, 80), _point("k", "nose", 10, 20, parentID="b1")]}
    _file(tmp_path, [], predictions=[prediction])
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "in" / "ls.json", ImportOptions("label-studio"))
        assert project.queries.counts().instances == 0
        [row] = project.queries.proposals()
        assert row.confidence == 0.75 and (row.keypoints[0].x, row.keypoints[0].y) == (20, 20)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_brushes_come_back(mask: np.ndarray) -> None:
    data = bytes(encode_brush(mask))
    rgba = decode_brush(data, mask.size * 4)
    assert (rgba.reshape(*mask.shape, 4) > 0).all(axis=-1).tolist() == mask.tolist()
    with pytest.raises(ValueError, match="pixels"):
        decode_brush(data, mask.size * 4 + 4)
    with pytest.raises(ValueError):
        decode_brush(data[: len(data) // 2], mask.size * 4)


def test_long_runs_of_a_brush() -> None:
    mask = np.zeros((300, 400), bool)
    mask[10:290] = True
    assert (
        decode_brush(bytes(encode_brush(mask)), mask.size * 4)[::4].reshape(mask.shape) > 0
    ).tolist() == mask.tolist()


def test_brushes_of_label_studio_itself_hold_single_values(tmp_path: Path) -> None:
    """Runs of unequal values (flag 0), written out here bit by bit as its JavaScript does."""
    values = [0, 0, 0, 0, 9, 8, 7, 255, 0, 0, 0, 0]  # three pixels RGBA: the second is drawn
    bits = f"{12:032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}" + "0" + "00" + f"{3:03b}" + "".join(f"{v:08b}" for v in values[4:8])
    bits += "1" + "00" + f"{3:03b}" + f"{0:08b}"
    bits += "0" * (-len(bits) % 8)
    data = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    assert decode_brush(data, 12).tolist() == values


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"a": 1}, "no full Label Studio export"),
        ([{"image": "a.jpg", "kp": []}], "no full Label Studio export"),
        ([{"data": {"text": "hello"}, "annotations": []}], "names no photo"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: Any, words: str) -> None:
    write_json(tmp_path / "x.json", data)
    with pytest.raises(ImportFileError, match=words):
        get_format("label-studio").reader(tmp_path / "x.json")


def test_a_bad_region_is_left_out_alone(tmp_path: Path) -> None:
    polygon = _region("p", "polygonlabels", "x", {"points": [[1, 1]]})
    _file(tmp_path, [_box("b1", 5, 10, 40, 80), _point("k", "nose", float("nan"), 20), polygon])
    with pytest.raises(ImportFileError, match=r"region 1.*NaN"):
        take_in(tmp_path, "in/ls.json", "label-studio", photos="in")
    got = take_in(tmp_path, "in/ls.json", "label-studio", photos="in", skip_bad=True)
    assert len(got.instances) == 1 and "region 2" in got.said


def test_the_way_back(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    spec = get_format("label-studio")
    spec.writer(dataset, tmp_path / "out")
    back, report = spec.reader(tmp_path / "out" / "tasks.json")
    assert not [i for i in report.items if i.kind != "note"]
    assert back.categories == dataset.categories
    for before, after in zip(dataset.images, back.images, strict=True):
        assert (after.rel_path, after.width, after.height, after.split, after.tags) == (
            before.rel_path,
            before.width,
            before.height,
            before.split,
            before.tags,
        )
        [a], [b] = before.instances, after.instances
        assert (b.mask, b.identity, b.category) == (a.mask, a.identity, a.category)
        assert b.box == pytest.approx(a.box)
        for name, k in a.keypoints.items():
            assert b.keypoints[name].visibility == k.visibility
            assert (b.keypoints[name].x, b.keypoints[name].y) == (
                (None, None) if k.x is None else pytest.approx((k.x, k.y))
            )


def test_an_outline_stays_one(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")
    labelme(tmp_path / "in" / "a.json", [shape("car", "polygon", [(10.5, 10), (40, 10), (40, 30.25)])])
    with Project.create(tmp_path / "p.kinmark") as project:
        import_file(project, tmp_path / "in" / "a.json", ImportOptions("labelme"))
        export_project(project, tmp_path / "out", ExportOptions("label-studio"))
        again = import_file(project, tmp_path / "out" / "tasks.json", ImportOptions("label-studio"))
        assert (again.added, again.kept) == (0, 1)
    back, _ = get_format("label-studio").reader(tmp_path / "out" / "tasks.json")
    assert back.images[0].instances[0].extra["outline"]["rings"][0] == pytest.approx([10.5, 10, 40, 10, 40, 30.25])
