"""CVAT and labelme shapes become the instances that a person drew: nothing overwritten, nothing lost without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from kinmark.engine.domain.errors import ImportFileError
from kinmark.projects.formats.registry import get_format
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import cvat, labelme, photo, places, shape, take_in

BOX = '<box label="{0}" occluded="0" xtl="{1}" ytl="{2}" xbr="{3}" ybr="{4}" z_order="0" {5}>{6}</box>'
DOG = (
    "<label><name>dog</name><type>skeleton</type><svg></svg></label><label><name>nose</name><parent>dog</parent></label>"
    "<label><name>tail</name><parent>dog</parent></label>"
)


@pytest.fixture(autouse=True)
def picture(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "a.png")


def _box(label: str, corners: tuple[float, ...], more: str = "", inner: str = "") -> str:
    return BOX.format(label, *corners, more, inner)


def test_turned_boxes_come_in_as_the_box_around_them(tmp_path: Path) -> None:
    body = _box("wit", (20, 20, 60, 40)) + _box("wit", (90, 40, 170, 60), 'rotation="90.00"')
    cvat(tmp_path / "in" / "a.xml", body)
    got = take_in(tmp_path, "in/a.xml", "cvat")
    assert [n.box for n in got.instances] == [(20, 20, 60, 40), (120, 10, 140, 90)]
    assert "1 x rotated box" in got.said


def test_a_box_turned_by_any_angle_is_held_by_its_enclosing_box(tmp_path: Path) -> None:
    cvat(tmp_path / "in" / "a.xml", _box("wit", (80, 40, 120, 60), 'rotation="45"'))
    [instance] = take_in(tmp_path, "in/a.xml", "cvat").instances
    half = (20 + 10) / 2**0.5
    assert instance.box == pytest.approx((100 - half, 50 - half, 100 + half, 50 + half))


def test_what_a_shape_says_beyond_its_place_is_counted(tmp_path: Path) -> None:
    inner = '<attribute name="track">7</attribute>'
    body = "".join(
        _box("wit", (20 + i, 20, 60, 40), 'occluded="1"'.replace("occluded", "source"), inner).replace(
            'occluded="0"', 'occluded="1"'
        )
        for i in range(3)
    )
    cvat(tmp_path / "in" / "a.xml", body + '<cuboid label="wit" occluded="0"/>')
    said = take_in(tmp_path, "in/a.xml", "cvat").said
    assert '3 x attribute "track"' in said and "3 x occluded of a box" in said and "1 x <cuboid>" in said


def test_a_group_of_two_labels_or_two_skeletons_is_two_instances(tmp_path: Path) -> None:
    def skeleton(x: float, outside: int) -> str:
        return (
            f'<skeleton label="dog" z_order="0" group_id="2"><points label="nose" outside="0" occluded="0" points="{x},50"/>'
            f'<points label="tail" outside="{outside}" occluded="1" points="{x + 20},55"/></skeleton>'
        )

    body = _box("human", (10, 20, 60, 90), 'group_id="1"') + _box("hat", (25, 10, 45, 24), 'group_id="1"')
    cvat(tmp_path / "in" / "a.xml", body + skeleton(100, 0) + skeleton(150, 1), DOG)
    got = take_in(tmp_path, "in/a.xml", "cvat")
    human, hat, first, second = got.instances
    assert (human.category, human.box) == ("human", (10, 20, 60, 90))
    assert (hat.category, hat.box) == ("hat", (25, 10, 45, 24))
    assert places(first) == {"nose": (100, 50), "tail": (120, 55)}
    assert places(second) == {"nose": (150, 50), "tail": None}
    assert '("human", "hat")' in got.said and '("dog", "dog")' in got.said


def test_two_joints_of_one_name_are_refused(tmp_path: Path) -> None:
    joint = '<points label="nose" outside="0" occluded="0" points="1,2"/>'
    cvat(tmp_path / "in" / "a.xml", f'<skeleton label="dog" z_order="0">{joint}{joint}</skeleton>', DOG)
    with pytest.raises(ImportFileError, match='two joints "nose"'):
        take_in(tmp_path, "in/a.xml", "cvat")


def test_a_bad_shape_is_left_out_alone(tmp_path: Path) -> None:
    body = _box("wit", (20, 20, 60, 40)) + '<polygon label="wit" occluded="0" points="1,1;5,5"/>'
    cvat(tmp_path / "in" / "a.xml", body)
    got = take_in(tmp_path, "in/a.xml", "cvat", skip_bad=True)
    assert len(got.instances) == 1 and "polygon 1" in got.said
    labelme(
        tmp_path / "in" / "a.json",
        [shape("person", "polygon", [(10, 10), (40, 10)]), shape("car", "polygon", [(10, 10), (40, 10), (40, 30)])],
    )
    got = take_in(tmp_path, "in/a.json", "labelme", skip_bad=True)
    assert [n.category for n in got.instances] == ["car"] and 'shape 0 (polygon "person")' in got.said


def test_rectangles_of_four_corners(tmp_path: Path) -> None:
    labelme(
        tmp_path / "in" / "a.json",
        [
            shape("person", "rectangle", [(20, 10), (80, 10), (80, 90), (20, 90)], 1),
            shape("nose", "point", [(50, 20)], 1),
            shape("person", "rotation", [(120, 10), (160, 30), (150, 50), (110, 30)], 2),
        ],
    )
    got = take_in(tmp_path, "in/a.json", "labelme")
    assert [n.box for n in got.instances] == [(20, 10, 80, 90), (110, 10, 160, 50)]
    assert places(got.instances[0]) == {"nose": (50, 20)}
    assert "1 x rotated box" in got.said


def test_one_group_number_for_several_things(tmp_path: Path) -> None:
    labelme(
        tmp_path / "in" / "a.json",
        [
            shape("person", "rectangle", [(10, 10), (60, 90)], 1),
            shape("hat", "rectangle", [(25, 5), (45, 20)], 1),
            shape("nose", "point", [(35, 30)], 1),
            shape("person", "rectangle", [(110, 10), (160, 90)], 0),
            shape("person", "rectangle", [(165, 10), (190, 90)], 0),
        ],
    )
    got = take_in(tmp_path, "in/a.json", "labelme")
    assert [(n.category, n.box) for n in got.instances] == [
        ("person", (10, 10, 60, 90)),
        ("hat", (25, 5, 45, 20)),
        ("person", (110, 10, 160, 90)),
        ("person", (165, 10, 190, 90)),
    ]
    assert [places(n) for n in got.instances] == [{"nose": (35, 30)}, {}, {}, {}]
    assert "group 1" in got.said and "group 0" in got.said


def test_parts_of_one_label_stay_one_instance(tmp_path: Path) -> None:
    ring = [(10, 10), (40, 10), (40, 30), (10, 30)]
    labelme(
        tmp_path / "in" / "a.json",
        [shape("car", "polygon", ring, "a1"), shape("car", "polygon", [(x + 50, y) for x, y in ring], "a1")],
    )
    [instance] = take_in(tmp_path, "in/a.json", "labelme").instances
    assert instance.mask is not None and instance.mask.area == 2 * 30 * 20


def test_loose_points_go_to_the_only_object_that_they_lie_in(tmp_path: Path) -> None:
    labelme(
        tmp_path / "in" / "a.json",
        [
            shape("person", "rectangle", [(10, 10), (60, 90)]),
            shape("nose", "point", [(35, 30)]),
            shape("person", "rectangle", [(110, 10), (160, 90)]),
            shape("nose", "point", [(135, 30)]),
            shape("nose", "point", [(90, 30)]),
        ],
    )
    got = take_in(tmp_path, "in/a.json", "labelme")
    assert [places(n) for n in got.instances] == [{"nose": (35, 30)}, {"nose": (135, 30)}, {"nose": (90, 30)}]
    assert list(got.categories) == ["person"] and "kept apart" in got.said


def test_points_of_one_name_are_several_instances(tmp_path: Path) -> None:
    points = [("nose", (10, 10)), ("ear", (12, 10)), ("nose", (110, 10)), ("ear", (112, 10))]
    labelme(tmp_path / "in" / "a.json", [shape(name, "point", [xy]) for name, xy in points])
    got = take_in(tmp_path, "in/a.json", "labelme")
    assert [places(n) for n in got.instances] == [
        {"nose": (10, 10), "ear": (12, 10)},
        {"nose": (110, 10), "ear": (112, 10)},
    ]
    assert 'a second point "nose"' in got.said


def test_flags_descriptions_and_other_fields_are_counted(tmp_path: Path) -> None:
    flags = {"occluded": True, "difficult": True}
    labelme(
        tmp_path / "in" / "a.json",
        [
            shape("person", "rectangle", [(10, 10), (60, 90)], flags=flags, description="left one", score=0.5),
            shape("nose", "point", [(35, 30)], flags={"truncated": True, "occluded": True}),
        ],
        flags={"night": True, "day": False},
    )
    got = take_in(tmp_path, "in/a.json", "labelme")
    for words in (
        'the photo, "night"',
        'region, "difficult"',
        'region, "occluded"',
        '"description"',
        '"score"',
        '"truncated"',
    ):
        assert words in got.said
    assert '"day"' not in got.said and 'point, "occluded"' not in got.said
    assert int(got.instances[0].keypoints["nose"].visibility) == 1


def test_a_labelme_file_without_sizes_takes_those_of_its_photo(tmp_path: Path) -> None:
    ring = [(10, 10), (40, 10), (40, 30), (10, 30)]
    labelme(tmp_path / "in" / "a.json", [shape("car", "polygon", ring)], imageWidth=None, imageHeight=None)
    [instance] = take_in(tmp_path, "in/a.json", "labelme").instances
    assert instance.mask is not None and (instance.mask.width, instance.mask.area) == (200, 600)


RING = [10.5, 10.25, 80.0, 12.0, 70.75, 60.0, 20.0, 50.5]


@pytest.mark.parametrize(
    ("name", "file"), [("labelme", ""), ("cvat", "annotations.xml"), ("coco", "annotations.json"), ("yolo-seg", "")]
)
def test_an_outline_of_four_points_comes_back_as_four_points(tmp_path: Path, name: str, file: str) -> None:
    from kinmark.projects.images import add_paths
    from kinmark.projects.project import Project

    points = list(zip(RING[::2], RING[1::2], strict=True))
    labelme(tmp_path / "in" / "a.json", [shape("car", "polygon", points)])
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "a.json", ImportOptions("labelme"))
        export_project(project, tmp_path / "out", ExportOptions(name))
    dataset, _ = get_format(name).reader(tmp_path / "out" / file)
    [instance] = dataset.images[0].instances
    rings = (
        instance.extra["outline"]["rings"] if "outline" in instance.extra else instance.extra["coco"]["segmentation"]
    )
    assert len(rings) == 1 and rings[0] == pytest.approx(RING, abs=1e-6)


def test_a_changed_mask_goes_out_as_pixels(tmp_path: Path) -> None:
    from dataclasses import replace

    import numpy as np

    from kinmark.engine.domain.masks import MaskRLE
    from kinmark.projects.formats.outlines import outline_of

    labelme(tmp_path / "in" / "a.json", [shape("car", "polygon", [(10, 10), (40, 10), (40, 30)])])
    [instance] = take_in(tmp_path, "in/a.json", "labelme").instances
    assert outline_of(instance) == [[10, 10, 40, 10, 40, 30]]
    pixels = np.zeros((100, 200), bool)
    pixels[:5, :5] = True
    assert outline_of(replace(instance, mask=MaskRLE.encode(pixels))) is None


def test_a_folder_of_labelme_files_may_hold_other_json_and_two_files_of_one_photo(tmp_path: Path) -> None:
    from kinmark.projects.project import Project

    labelme(tmp_path / "in" / "a.json", [shape("x", "rectangle", [(1, 1), (5, 5)])])
    labelme(tmp_path / "in" / "more.json", [shape("x", "rectangle", [(11, 1), (15, 5)])])
    (tmp_path / "in" / "coco.json").write_text('{"images": []}')
    Project.create(tmp_path / "in" / "p.kinmark").close()
    got = take_in(tmp_path, "in", "labelme")
    assert [n.box for n in got.instances] == [(1, 1, 5, 5), (11, 1, 15, 5)]
    assert "1 x JSON file of another kind" in got.said and "1 x photo named by two entries" in got.said
    (tmp_path / "in" / "a.json").unlink()
    (tmp_path / "in" / "more.json").unlink()
    with pytest.raises(ImportFileError, match="no labelme file"):
        take_in(tmp_path, "in", "labelme")
