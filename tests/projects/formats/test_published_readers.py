"""What other programs' readers do with our exports, re-implemented plainly from methods/formats.md (pattern, not code)."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.io import loadmat

from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.projects.formats.base import WriteOptions
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, DatasetKeypoint
from kinmark.projects.formats.registry import get_format
from kinmark.projects.formats.spair_names import VOC_CLASSES
from tests.support.datasets import sample_dataset, write_picture


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    sample = sample_dataset(tmp_path / "photos", count=12)
    names = ("train", "val", "test", "train")
    return replace(sample, images=tuple(replace(i, split=names[n % 4]) for n, i in enumerate(sample.images)))


@pytest.mark.parametrize("kind", ["yolo-pose", "yolo-seg"])
def test_ultralytics_checks(kind: str, dataset: Dataset, tmp_path: Path) -> None:
    """Columns, ranges, duplicates, classes, image sizes: what makes Ultralytics reject a file (methods/formats.md#yolo)."""
    get_format(kind).writer(dataset, tmp_path / "out")
    data = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert set(data) >= {"path", "train", "val", "names"}
    count = 0
    for split in ("train", "val", "test"):
        for image in sorted((tmp_path / "out" / data[split]).rglob("*.jpg")):
            with Image.open(image) as picture:
                assert min(picture.size) >= 10 and picture.mode == "RGB"
            label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
            rows = [line.split() for line in label.read_text(encoding="utf-8").strip().splitlines()]
            assert len({tuple(r) for r in rows}) == len(rows)
            for row in rows:
                values = np.asarray(row, dtype=np.float32)
                assert int(values[0]) in data["names"]
                if kind == "yolo-pose":
                    points, dims = data["kpt_shape"]
                    assert len(row) == 5 + points * dims
                    xy = values[5:].reshape(points, dims)
                    coordinates = np.concatenate([values[1:5], xy[:, :2].reshape(-1)])
                    assert set(xy[:, 2]) <= {0, 1, 2}
                    assert len(data["flip_idx"]) == points
                else:
                    assert len(row) > 6 and len(row) % 2 == 1
                    coordinates = values[1:]
                assert coordinates.min() >= -0.01 and coordinates.max() <= 1.01
                count += 1
    assert count == (12 if kind == "yolo-pose" else 9)


def _csv_columns(path: Path) -> dict[str, list[str]]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {key: [row[key] for row in rows] for key in rows[0]} if rows else {}


@pytest.mark.parametrize("layout", ["dhpf", "sd4match"])
def test_pf_pascal_readers(layout: str, dataset: Dataset, tmp_path: Path) -> None:
    options = WriteOptions(extra={"layout": layout})
    get_format("pf-pascal").writer(dataset, tmp_path, options)
    top = tmp_path / ("PF-PASCAL" if layout == "dhpf" else "pf-pascal")
    data = top if layout == "dhpf" else top / "PF-dataset-PASCAL"
    for split in ("trn", "val", "test"):
        table = _csv_columns(top / f"{split}_pairs.csv")
        assert {"source_image", "target_image", "class"} <= set(table) and ("flip" in table) == (split == "trn")
        for row in range(len(table["class"])):
            category = VOC_CLASSES[int(table["class"][row]) - 1]
            points = []
            for side in ("source_image", "target_image"):
                name = Path(table[side][row]).name
                with Image.open(data / "JPEGImages" / name) as picture:
                    assert picture.mode == "RGB"
                content = loadmat(data / "Annotations" / category / f"{Path(name).stem}.mat")
                assert content["bbox"].shape == (1, 4) and content["kps"].shape == (5, 2)
                points.append(content["kps"])
            both = ~(np.isnan(points[0]).any(axis=1) | np.isnan(points[1]).any(axis=1))
            assert 1 <= both.sum() <= 20
            if split != "trn":
                xa = [float(v) for v in table["XA"][row].split(";")]
                assert xa == pytest.approx(points[0][both, 0], abs=1e-6)
                assert len(xa) == len(table["YB"][row].split(";"))


def test_pf_willow_reader(tmp_path: Path) -> None:
    names = tuple(f"p{i}" for i in range(10))
    images = []
    for number in range(3):
        path = tmp_path / "photos" / f"x{number}.png"
        write_picture(path, 40, 30, number)
        points = {n: DatasetKeypoint(Visibility.VISIBLE, 1.5 + i, 2.5 + i) for i, n in enumerate(names)}
        instance = DatasetInstance("winebottle(M)", points)
        images.append(DatasetImage(PurePosixPath(path.name), 40, 30, (instance,), str(path)))
    data = Dataset((DatasetCategory("winebottle(M)", KeypointSchema(names)),), tuple(images))
    get_format("pf-willow").writer(data, tmp_path / "out")
    with (tmp_path / "out" / "PF-WILLOW" / "test_pairs.csv").open() as file:
        rows = list(csv.reader(file))
    assert len(rows[0]) == 42 and rows[0][2:4] == ["XA1", "XA2"] and rows[0][12] == "YA1" and rows[0][22] == "XB1"
    for row in rows[1:]:
        source = np.asarray(row[2:22], dtype=float).reshape(2, 10)
        assert source[0].tolist() == [1.0 + i for i in range(10)] and source[1].tolist() == [2.0 + i for i in range(10)]
        assert row[0].split("/")[1] == "winebottle(M)"
        stripped = Path(*Path(row[0]).parts[1:])
        with Image.open(tmp_path / "out" / "PF-WILLOW" / stripped) as picture:
            assert picture.format == "PNG"


def test_cub_reader_of_ldm(dataset: Dataset, tmp_path: Path) -> None:
    """Lines split at blanks, the split looked up by line number = id, only visible parts used."""
    get_format("cub").writer(dataset, tmp_path)
    root = tmp_path / "CUB_200_2011"
    images = [line.split() for line in (root / "images.txt").read_text().splitlines()]
    split = [line.split() for line in (root / "train_test_split.txt").read_text().splitlines()]
    boxes = [line.split() for line in (root / "bounding_boxes.txt").read_text().splitlines()]
    parts = [line.split() for line in (root / "parts" / "part_locs.txt").read_text().splitlines()]
    assert all(len(row) == 2 for row in images) and [int(r[0]) for r in images] == list(range(1, 13))
    assert [int(r[0]) for r in split] == list(range(1, 13)) and {r[1] for r in split} == {"0", "1"}
    assert len(parts) == 12 * 5
    for key, name in images:
        with Image.open(root / "images" / name) as picture:
            width, height = picture.size
        x, y, w, h = (float(v) for v in boxes[int(key) - 1][1:])
        assert w > 0 and h > 0 and x + w <= width and y + h <= height
        for row in parts[(int(key) - 1) * 5 : int(key) * 5]:
            assert row[0] == key
            if row[4] == "1":
                assert -0.5 <= float(row[2]) <= width and -0.5 <= float(row[3]) <= height
            else:
                assert row[2:4] == ["0.0", "0.0"]


def test_perseg_evaluator(dataset: Dataset, tmp_path: Path) -> None:
    """PerSAM: contiguous two-digit names, 00 the reference, grey > 0, masks paired with pictures."""
    out = tmp_path / "p"
    get_format("perseg").writer(dataset, out)
    for folder in sorted((out / "Images").iterdir()):
        names = sorted(p.stem for p in folder.iterdir())
        assert names == [f"{i:02d}" for i in range(len(names))]
        assert names == sorted(p.stem for p in (out / "Annotations" / folder.name).iterdir())
        assert "00" not in folder.name
        for name in names:
            picture = cv2.imread(str(folder / f"{name}.jpg"))
            mask = cv2.imread(str(out / "Annotations" / folder.name / f"{name}.png"), 0)
            assert mask.shape == picture.shape[:2] and (mask > 0).any()


def test_voc_reader(dataset: Dataset, tmp_path: Path) -> None:
    """Palette pictures read with PIL, boxes 1-based and inside, image sets that name existing files."""
    from defusedxml.ElementTree import parse

    out = tmp_path / "voc"
    get_format("voc").writer(dataset, out)
    listed = (out / "ImageSets" / "Main" / "trainval.txt").read_text().split()
    listed += (out / "ImageSets" / "Main" / "test.txt").read_text().split()
    assert len(listed) == 12
    for stem in listed:
        root = parse(out / "Annotations" / f"{stem}.xml").getroot()
        width, height = int(root.findtext("size/width")), int(root.findtext("size/height"))
        for box in root.iter("bndbox"):
            x0, y0, x1, y1 = (int(box.findtext(t)) for t in ("xmin", "ymin", "xmax", "ymax"))
            assert 1 <= x0 <= x1 <= width and 1 <= y0 <= y1 <= height
        if root.findtext("segmented") == "1":
            with Image.open(out / "SegmentationClass" / f"{stem}.png") as classes:
                assert classes.mode == "P" and set(np.unique(np.asarray(classes))) <= {
                    0,
                    VOC_CLASSES.index("horse") + 1,
                }
                colour = classes.convert("RGB").getpixel(tuple(np.argwhere(np.asarray(classes).T > 0)[0]))
                assert colour != (0, 0, 0)


def test_deeplabcut_reader(dataset: Dataset, tmp_path: Path) -> None:
    """pandas as DeepLabCut calls it: a three-row (or four-row) header and a three-level index; the h5 says the same."""
    pandas = pytest.importorskip("pandas")
    out = tmp_path / "dlc"
    get_format("deeplabcut").writer(dataset, out)
    config = yaml.safe_load((out / "config.yaml").read_text())
    files = sorted(out.glob("labeled-data/*/CollectedData_*.csv"))
    assert len(files) == 2
    for file in files:
        frame = pandas.read_csv(file, header=[0, 1, 2, 3], index_col=[0, 1, 2])
        assert frame.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
        assert set(frame.columns.get_level_values("bodyparts")) == set(config["multianimalbodyparts"])
        assert set(frame.columns.get_level_values("individuals")) == set(config["individuals"])
        for row in frame.index:
            assert (out / Path(*row)).is_file()
        if file.with_suffix(".h5").is_file():
            binary = pandas.read_hdf(file.with_suffix(".h5"), "df_with_missing")
            assert np.allclose(binary.to_numpy(), frame.to_numpy(), equal_nan=True)
            assert list(binary.columns) == list(frame.columns) and list(binary.index) == list(frame.index)


def test_labelme_insists(dataset: Dataset, tmp_path: Path) -> None:
    """labelme 7 checks: required keys, counts of points per shape, picture where imagePath says, oriented size."""
    get_format("labelme").writer(dataset, tmp_path / "out", WriteOptions(copy_images=True))
    files = sorted((tmp_path / "out").rglob("*.json"))
    assert len(files) == 12
    for file in files:
        data = json.loads(file.read_text(encoding="utf-8"))
        assert {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"} <= set(data)
        with Image.open(file.parent / data["imagePath"]) as picture:
            assert picture.size == (data["imageWidth"], data["imageHeight"])
        for shape in data["shapes"]:
            count = {"point": 1, "rectangle": 2, "mask": 2}[shape["shape_type"]]
            assert len(shape["points"]) == count and isinstance(shape["group_id"], int)
            assert (shape["mask"] is not None) == (shape["shape_type"] == "mask")
            assert all(isinstance(v, bool) for v in shape["flags"].values())
