"""Very long paths, several spellings of one name, and a clock that was set back."""

from __future__ import annotations

import json
import os
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.features.cache import CacheKey, FeatureCache
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.exporting import ExportOptions, export_project
from kinmark.projects.workflows.importing import ImportOptions, import_file


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (200, 80, 10)).save(path)
    return path


def coco(file: Path, name: str) -> Path:
    data = {
        "images": [{"id": 1, "file_name": name, "width": 40, "height": 30}],
        "annotations": [
            {
                "id": 1,
                "image_id": 1,
                "category_id": 1,
                "bbox": [5, 5, 20, 15],
                "area": 300,
                "iscrowd": 0,
                "keypoints": [10.5, 10.5, 2, 20.5, 15.5, 2],
                "num_keypoints": 2,
            }
        ],
        "categories": [{"id": 1, "name": "otter", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    }
    file.write_text(json.dumps(data), encoding="utf-8")
    return file


def test_photos_at_very_long_paths_go_the_whole_way(tmp_path: Path) -> None:
    """Four folders of 200 bytes and a name of 255: added, labelled by an import, exported again."""
    root = tmp_path / "photos"
    relative = "/".join([*("ordner-" + "ä" * 96 for _ in range(4)), "x" * 251 + ".png"])
    path = photo(root / relative)
    assert len(os.fsencode(path)) > 1000
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [root])
        [row] = project.queries.images()
        assert row.path == path and row.path.is_file()
        result = import_file(project, coco(tmp_path / "labels.json", relative), ImportOptions(images_root=root))
        assert (result.added, result.images_matched) == (1, 1)
        report = export_project(project, tmp_path / "out", ExportOptions(format="coco"))
        assert report.instances == 1
    [file] = (tmp_path / "out").rglob("*.json")
    [image] = json.loads(file.read_text(encoding="utf-8"))["images"]
    assert image["file_name"] == relative


@pytest.mark.parametrize(("on_disk", "in_file"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_labels_find_their_photo_in_either_spelling(tmp_path: Path, on_disk: str, in_file: str) -> None:
    name = "Fräulein Ö/Übung é.png"
    root = tmp_path / "photos"
    photo(root / unicodedata.normalize(on_disk, name))  # type: ignore[arg-type]
    spelled = unicodedata.normalize(in_file, name)  # type: ignore[arg-type]
    with Project.create(tmp_path / "p.kinmark") as project:
        add_paths(project, [root])
        result = import_file(project, coco(tmp_path / "labels.json", spelled), ImportOptions(images_root=root))
        assert (result.added, result.images_added, result.images_matched) == (1, 0, 1)


def test_the_feature_cache_serves_when_the_clock_was_set_back(tmp_path: Path) -> None:
    """Files from a time to come are the first to go; else they would fill the cache for ever."""
    values = np.random.default_rng(0).normal(size=(8, 10, 10)).astype(np.float32)
    keys = [CacheKey(f"{i:064x}", "view", "recipe") for i in range(60)]
    FeatureCache(tmp_path, 1 << 20).put(keys[0], values)
    size = next(tmp_path.glob("??/*")).stat().st_size
    cache = FeatureCache(tmp_path, 20 * size)
    for key in keys[:19]:
        cache.put(key, values)
    to_come = time.time() + 20 * 365 * 86400
    for file in tmp_path.glob("??/*"):
        os.utime(file, (to_come, to_come))
    for key in keys[30:45]:
        cache.put(key, values)
    cache.trim()
    assert sum(f.stat().st_size for f in tmp_path.glob("??/*")) <= 20 * size
    assert all(key in cache for key in keys[30:45])
