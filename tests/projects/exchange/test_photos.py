"""Photos: EXIF rotations, cut off files, pages, kinds that are not read, and what exports say of pictures and names."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.imaging import is_cut_off, load_image
from kinmark.projects.cli.app import run
from kinmark.projects.images import add_paths, check_files
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project, preview_export
from kinmark.projects.workflows.importing import ImportOptions, import_file
from tests.support.exchange import coco, photo, places, take_in, yolo

RED = [10.25, 5.25, 2, 20.5, 20.5, 2]
"""A keypoint as drawn on the stored picture of 200 x 100 (or 100 x 100)."""


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    photo(tmp_path / "in" / "o6.jpg", 100, 200, orientation=6)
    photo(tmp_path / "in" / "o3.jpg", 200, 100, orientation=3, seed=1)
    photo(tmp_path / "in" / "sq6.jpg", 100, 100, orientation=6, seed=2)
    coco(tmp_path / "in" / "o6.json", ["o6.jpg"], RED)
    coco(tmp_path / "in" / "o3.json", ["o3.jpg"], RED)
    coco(tmp_path / "in" / "sq6.json", ["sq6.jpg"], RED, size=(100, 100))
    return tmp_path


@pytest.mark.parametrize(("name", "xy"), [("o6", (94.75, 10.25)), ("o3", (189.75, 94.75)), ("sq6", (94.75, 10.25))])
def test_rotate_turns_every_photo_whatever_its_size_says(turned: Path, name: str, xy: tuple[float, float]) -> None:
    got = take_in(turned, f"in/{name}.json", "coco", exif="rotate")
    assert places(got.instances[0])["n"] == xy and "labels turned" in got.said
    assert "outline" not in got.instances[0].extra and got.instances[0].box is not None


def test_asking_refuses_what_the_size_tells_and_says_what_it_cannot_tell(turned: Path) -> None:
    with pytest.raises(UserInputError, match="EXIF rotation"):
        take_in(turned, "in/o6.json", "coco")
    for name in ("o3", "sq6"):
        got = take_in(turned, f"in/{name}.json", "coco")
        assert places(got.instances[0])["n"] == (10.25, 5.25)
        assert "1 x photo with an EXIF rotation" in got.said and "--exif rotate" in got.said
    assert "EXIF" not in take_in(turned, "in/o3.json", "coco", exif="keep").said


def test_labels_on_the_turned_picture_are_not_turned_again(turned: Path) -> None:
    coco(turned / "in" / "shown.json", ["o6.jpg"], RED, size=(100, 200))
    got = take_in(turned, "in/shown.json", "coco", exif="rotate")
    assert places(got.instances[0])["n"] == (10.25, 5.25) and "1 x photo not turned" in got.said


def test_our_own_exports_say_that_they_are_turned(turned: Path) -> None:
    with Project.create(turned / "p.kinmark") as project:
        add_paths(project, [turned / "in"])
        import_file(project, turned / "in" / "o3.json", ImportOptions(exif="rotate"))
        before = project.queries.counts().keypoints
        for format_, file in (("coco", "annotations.json"), ("cvat", "annotations.xml"), ("labelme", "")):
            export_project(project, turned / format_, ExportOptions(format_))
            result = import_file(project, turned / format_ / file, ImportOptions(format_, exif="rotate"))
            assert (result.added, result.changed, result.kept) == (0, 0, 1), format_
            assert not [i for i in result.report.items if "EXIF" in i.reason]
        assert project.queries.counts().keypoints == before


def test_shares_of_the_stored_picture_and_tables_without_sizes_obey_exif(tmp_path: Path) -> None:
    row = "0 0.1 0.1 0.2 0.2 0.05 0.05 2 0.1 0.1 2"
    yolo(tmp_path / "set", [row], "kpt_shape: [2, 3]\nnames: [dog]", size=(100, 200), orientation=6)
    got = take_in(tmp_path, "set", "yolo-pose", exif="rotate")
    # (10, 5) of the stored 200 x 100 picture; turned clockwise, that is x = 100 - 5, y = 10.
    assert places(got.instances[0])["kp0"] == pytest.approx((95, 10))
    assert got.instances[0].box == pytest.approx((80, 0, 100, 40))
    assert "1 x photo with an EXIF rotation" in take_in(tmp_path, "set", "yolo-pose").said

    labels = tmp_path / "p" / "labeled-data" / "v"
    photo(labels / "o6.jpg", 100, 200, orientation=6)
    (labels / "CollectedData_A.csv").write_text(
        "scorer,,,A,A\nbodyparts,,,n,n\ncoords,,,x,y\nlabeled-data,v,o6.jpg,180.5,95\n"
    )
    got = take_in(tmp_path, "p", "deeplabcut", exif="rotate")
    assert places(got.instances[0])["n"] == (5, 180.5)


def _cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif", "bmp"])
def test_cut_off_photos_are_told_from_whole_ones(tmp_path: Path, suffix: str) -> None:
    path = photo(tmp_path / f"a.{suffix}", 120, 90)
    assert not is_cut_off(path)
    with path.open("ab") as file:
        file.write(b"\0" * 40)  # some programs append their own data: no fault
    assert not is_cut_off(path)
    photo(path, 120, 90)
    if suffix == "webp":  # its header already tells
        with pytest.raises(UnreadableImageError):
            is_cut_off(_cut(path, 0.6))
    else:
        assert is_cut_off(_cut(path, 0.6))


def test_a_cut_off_photo_is_noticed_at_every_door(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo(tmp_path / "in" / "good.jpg", 120, 90)
    _cut(photo(tmp_path / "in" / "half.jpg", 120, 90, seed=1), 0.5)
    later = photo(tmp_path / "in" / "later.jpg", 120, 90, seed=2)
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_paths(project, [tmp_path / "in"])
        assert len(report.image_ids) == 2 and "half.jpg: the file is cut off" in report.skipped[0]
        coco(tmp_path / "c.json", ["half.jpg", "good.jpg"], size=(120, 90))
        result = import_file(project, tmp_path / "c.json", ImportOptions(images_root=tmp_path / "in"))
        assert (result.added, result.skipped) == (1, 1)
        assert any("cut off" in i.reason for i in result.report.items)
        assert check_files(project).cut_off == ()
        _cut(later, 0.5)
        [damaged] = check_files(project).cut_off
        for format_ in ("yolo-seg", "voc", "coco"):
            from kinmark.projects.formats.base import WriteOptions

            report = export_project(
                project, tmp_path / format_, ExportOptions(format_, write=WriteOptions(copy_images=True))
            )
            assert any(i.kind == "skipped" and "later.jpg is cut off" in i.reason for i in report.items), format_
            assert not list((tmp_path / format_).rglob("later.jpg"))
        assert damaged
    assert run(["status", str(tmp_path / "p.kinmark"), "--check"]) == 0
    assert "1 cut off (later.jpg)" in capsys.readouterr().out


def test_float_pictures_are_not_black(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 200 * 100).reshape(100, 200)
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray((ramp * 255).round().astype(np.float32)).save(tmp_path / "g.tif")
    Image.fromarray((ramp * 3).astype(np.float32)).save(tmp_path / "h.tif")
    Image.fromarray((ramp * 1e-6).astype(np.float32)).save(tmp_path / "i.tif")
    expected = ramp * 255
    for name in ("f.tif", "g.tif", "h.tif", "i.tif"):
        assert np.abs(load_image(tmp_path / name).rgb[..., 0].astype(float) - expected).max() <= 1, name


def test_what_begins_like_a_picture_is_called_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = np.dstack([np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))] * 3)
    Image.fromarray(rgb).save(tmp_path / "a.avif")
    (folder / "a.avif").write_bytes((tmp_path / "a.avif").read_bytes()[:300])
    cv2.imwrite(str(folder / "colours.tif"), rgb.astype(np.float32) / 255)
    (folder / "text.jpg").write_text("hello, this is no picture")
    with Project.create(tmp_path / "p.kinmark") as project:
        avif, tiff, text = sorted(add_paths(project, [folder]).skipped)
    assert "begins like a picture" in avif or "cut off" in avif
    assert "a TIFF of a kind that is not read" in tiff and "no known image format" in text


def test_pages_and_kinds_that_are_not_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinmark.engine.imaging.reads_heic", lambda: False)
    pages = [Image.fromarray(np.full((20, 30), 40 * i, np.uint8)) for i in range(5)]
    folder = tmp_path / "in"
    folder.mkdir()
    pages[0].save(folder / "stack.tif", save_all=True, append_images=pages[1:])
    pages[0].save(folder / "noext", "PNG")
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (folder / "raw.CR2").write_bytes(b"II*\0")
    with Project.create(tmp_path / "p.kinmark") as project:
        report = add_paths(project, [folder])
    assert len(report.image_ids) == 1 and report.notes[0].endswith("page 1 of 5; the others are not looked at")
    said = "\n".join(report.skipped)
    assert "HEIC cannot be read; install kinmark[heic]" in said and "camera raw (CR2)" in said
    assert "noext: a picture without a suffix" in said


def test_exports_say_before_writing_what_happens_to_pictures_names_and_labels(tmp_path: Path) -> None:
    names = ["a.jpg", "a.png", "sub/a.jpg"]
    for number, name in enumerate(names):
        photo(tmp_path / "in" / name, 60, 40, seed=number)
    file = coco(tmp_path / "in" / "c.json", names, [10.25, 10, 2, 20, 20, 2], size=(60, 40))
    data = json.loads(file.read_text())
    data["annotations"][0] |= {"attributes": {"mood": "calm"}, "iscrowd": 1}
    data["annotations"][1]["keypoints"] = []
    file.write_text(json.dumps(data))
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, file)
        row = next(r for r in project.queries.iter_instances() if len(r.keypoints) == 2 and not r.extra.get("crowd"))
        project.operations.remove_keypoints([row.keypoints[0].id])
        before = preview_export(project, ExportOptions("yolo-pose"))
        said = "\n".join(f"{i.kind}: {i.where}: {i.reason}" for i in before)
        assert "changed: 1 x photos: stored as JPEG" in said
        assert "2 x names of photos" in said and "name_map.json" in said
        assert "1 x crowds" in said and "no place for attributes" in said
        assert "2 x photos labelled only partly" in said
        assert "looked at: a.png (0 of 2), sub/a.jpg (1 of 2); the others go out as absent" in said
        assert project.queries.counts().partly >= 2
        report = export_project(project, tmp_path / "out", ExportOptions("yolo-pose"))
        assert set(before) <= set(report.items)
        files = {p.stem for p in (tmp_path / "out" / "images" / "train").iterdir()}
        renamed = [n for n in names if n.rsplit(".", 1)[0] not in files or "/" in n]
        assert renamed and len(files) == 3
        assert report.instances == 1  # the crowd and the bare box are the two that were announced
        lines = preview_export(project, ExportOptions("coco"))
        assert not [i for i in lines if i.kind in ("lost", "changed")]


def test_deeplabcut_says_renamed_folders_and_counts_keypoints(tmp_path: Path) -> None:
    photo(tmp_path / "in" / "vid 1" / "a.png", 60, 40)
    coco(tmp_path / "in" / "c.json", ["vid 1/a.png"], [10.25, 10, 2, 20, 20, 2], size=(60, 40))
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [tmp_path / "in"])
        import_file(project, tmp_path / "in" / "c.json")
        report = export_project(project, tmp_path / "out", ExportOptions("deeplabcut"))
    assert (report.images, report.instances, report.keypoints) == (1, 1, 2)
    assert any(i.where == "vid 1" and "vid_1" in i.reason for i in report.items)


def _stored_labels(folder: Path, kind: str) -> str:
    """Labels of a.jpg, drawn on the stored picture of 200 x 100: a box (0, 0, 20, 10), a mask of it, or a point (10.5, 5.5)."""
    from tests.support.exchange import cvat, labelme, shape, write_json

    places = {
        "perseg": "p/Images/cat/a.jpg",
        "spair": "p/JPEGImages/cat/a.jpg",
        "voc": "p/JPEGImages/a.jpg",
        "cub": "p/images/001.cat/a.jpg",
        "masks": "a.jpg",
    }
    photo(folder / places.get(kind, "p/a.jpg"), 100, 200, orientation=6)
    if kind == "cvat":
        cvat(folder / "p" / "a.xml", '<box label="cat" xtl="0" ytl="0" xbr="20" ybr="10"/>', image="a.jpg")
        return "p/a.xml"
    if kind == "labelme":
        labelme(folder / "p" / "a.json", [shape("cat", "rectangle", [(0, 0), (20, 10)])], "a.jpg")
    elif kind == "spair":
        words = {
            "image_width": 200,
            "image_height": 100,
            "category": "cat",
            "bndbox": [0, 0, 20, 10],
            "kps": {"0": [10, 5]},
        }
        write_json(folder / "p" / "ImageAnnotation" / "cat" / "a.json", {"filename": "a.jpg", **words})
    elif kind == "voc":
        (folder / "p" / "Annotations").mkdir()
        (folder / "p" / "Annotations" / "a.xml").write_text(
            "<annotation><filename>a.jpg</filename><size><width>200</width><height>100</height></size><object><name>cat</name>"
            "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object></annotation>"
        )
    elif kind == "cub":
        tables = {
            "images": "1 001.cat/a.jpg",
            "classes": "1 001.cat",
            "image_class_labels": "1 1",
            "bounding_boxes": "1 0 0 20 10",
            "parts/parts": "1 beak",
            "parts/part_locs": "1 1 10 5 1",
        }
        (folder / "p" / "parts").mkdir()
        for name, text in tables.items():
            (folder / "p" / f"{name}.txt").write_text(f"{text}\n")
        values = np.zeros((100, 200), np.uint8)
        values[:10, :20] = 255
        (folder / "p" / "segmentations" / "001.cat").mkdir(parents=True)
        Image.fromarray(values).save(folder / "p" / "segmentations" / "001.cat" / "a.png")
    elif kind in ("masks", "perseg"):
        folder = folder / "p" / "Annotations" if kind == "perseg" else folder / "p"
        values = np.zeros((100, 200), np.uint8)
        values[:10, :20] = 1
        (folder / "cat").mkdir(parents=True)
        Image.fromarray(values).save(folder / "cat" / "a.png")
    return "p"


@pytest.mark.parametrize("kind", ["cvat", "labelme", "spair", "voc", "cub", "masks", "perseg"])
def test_every_format_obeys_exif_rotate(tmp_path: Path, kind: str) -> None:
    file = _stored_labels(tmp_path, kind)
    [instance] = take_in(tmp_path, file, kind, exif="rotate").instances
    box = instance.box if instance.box is not None else instance.mask.box if instance.mask is not None else None
    assert box == pytest.approx((90, 0, 100, 20))
    assert instance.mask is None or instance.mask.box == (90, 0, 100, 20)
    for xy in places(instance).values():
        assert xy == (94.5, 10.5)
