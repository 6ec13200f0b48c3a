"""FiftyOne's importers read our COCO and YOLO exports as they were meant. It lives in an environment of its own:

    python -m venv fo && fo/bin/pip install fiftyone pycocotools
    KINMARK_FIFTYONE=fo/bin/python python -m pytest tests/projects/exchange/test_fiftyone.py

Its data sets need MongoDB, which its wheel does not always bring; its importers do not: they are asked for their samples.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinmark.projects.formats import coco, yolo_seg
from kinmark.projects.formats.dataset import Dataset
from kinmark.projects.formats.outlines import outline_of
from tests.support.datasets import sample_dataset

PYTHON = os.environ.get("KINMARK_FIFTYONE", "")
if not PYTHON:
    pytest.skip("KINMARK_FIFTYONE names no Python with fiftyone", allow_module_level=True)
SCRIPT = """
import json, sys
kind, folder, photos = sys.argv[1:4]
if kind == "coco":
    from fiftyone.utils.coco import COCODetectionDatasetImporter
    importer = COCODetectionDatasetImporter(
        data_path=photos, labels_path=folder + "/annotations.json", label_types=["detections", "segmentations", "keypoints"],
        include_id=False, extra_attrs=False,
    )
else:
    from fiftyone.utils.yolo import YOLOv5DatasetImporter
    importer = YOLOv5DatasetImporter(dataset_dir=folder, yaml_path=folder + "/data.yaml", split="train", label_type="polylines")
result = {}
with importer:
    for path, metadata, labels in importer:
        rows = result[path] = {}
        for name, value in (labels if isinstance(labels, dict) else {"polylines": labels}).items():
            if value is None:
                continue
            for one in getattr(value, value._LABEL_LIST_FIELD):
                row = {"label": one.label}
                if name == "keypoints":
                    row["points"] = [None if p[0] != p[0] else [float(v) for v in p] for p in one.points]
                elif name == "polylines":
                    row["points"] = [[[float(v) for v in p] for p in ring] for ring in one.points]
                else:
                    row["box"] = [float(v) for v in one.bounding_box]
                    row["mask"] = int(one.mask.sum()) if one.mask is not None else None
                rows.setdefault(name, []).append(row)
print(json.dumps(result))
"""


def _asked(kind: str, folder: Path, photos: Path) -> dict[str, Any]:
    """{photo's path: {kind of label: [...]}} as FiftyOne's importer gives it."""
    environment = os.environ | {"FIFTYONE_DISABLE_SERVICES": "1", "FIFTYONE_DO_NOT_TRACK": "true"}
    done = subprocess.run(
        [PYTHON, "-c", SCRIPT, kind, str(folder), str(photos)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _dataset(tmp_path: Path) -> Dataset:
    return sample_dataset(tmp_path / "photos")


def test_fiftyone_reads_our_coco_export(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    coco.write(dataset, tmp_path / "out")
    found = _asked("coco", tmp_path / "out", tmp_path / "photos")
    assert len(found) == len(dataset.images)
    for image in dataset.images:
        rows, [instance] = found[str(tmp_path / "photos" / image.rel_path)], image.instances
        assert instance.box is not None
        x0, y0, x1, y1 = instance.box
        w, h = image.width, image.height
        [row] = rows["detections"]
        assert row["label"] == instance.category
        assert row["box"] == pytest.approx([x0 / w, y0 / h, (x1 - x0) / w, (y1 - y0) / h], abs=1e-6)
        [points] = rows["keypoints"]
        for told, k in zip(points["points"], instance.keypoints.values(), strict=True):
            if k.x is None or k.y is None:
                assert told is None
            else:
                assert told == pytest.approx([k.x / w, k.y / h], abs=1e-6)
        if instance.mask is not None:
            [segment] = rows["segmentations"]
            # FiftyOne keeps a mask as a crop of the box: what reaches beyond the box is cut off there.
            crop = instance.mask.decode()[round(y0) : round(y1), round(x0) : round(x1)]
            assert segment["mask"] == crop.sum()


def test_fiftyone_reads_our_yolo_export(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path)
    yolo_seg.write(dataset, tmp_path / "out")
    found = {Path(path).stem: rows for path, rows in _asked("yolo", tmp_path / "out", tmp_path / "out").items()}
    back, _ = yolo_seg.read(tmp_path / "out")
    outlined = 0
    for image in back.images:
        if image.split != "train":
            continue
        rows = found[image.rel_path.stem].get("polylines", [])
        assert len(rows) == len(image.instances)
        for row, instance in zip(rows, image.instances, strict=True):
            [ring] = outline_of(instance) or ()
            told = np.reshape(row["points"][0], (-1, 2)) * (image.width, image.height)
            assert row["label"] == instance.category
            assert told == pytest.approx(np.reshape(ring, (-1, 2)), abs=1e-3)
            outlined += 1
    assert outlined
