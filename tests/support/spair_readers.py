"""How the published readers walk an SPair-71k folder, re-implemented plainly from methods/formats.md#spair (pattern, not code).

Each function raises what the published reader would raise, and returns what it would have loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

VOC = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
VARIATIONS = ("viewpoint_variation", "scale_variation", "truncation", "occlusion")


def _open(path: Path) -> Any:
    with open(path) as file:  # noqa: PTH123 - as the readers do: no encoding given
        return json.load(file)


def _picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
    return image


def layout_reader(root: Path, split: str, *, max_pts: int = 40, size: str = "large") -> list[dict[str, Any]]:
    """DHPF, CATs, SCorrSAN, LDM: names from Layout, split on "-" and ":", padded keypoints, int variations."""
    text = (root / "Layout" / size / f"{split}.txt").read_text()
    names = text.split("\n")[:-1]  # the last piece is dropped unseen
    classes = sorted(p.name for p in (root / "JPEGImages").iterdir() if not p.name.startswith("."))
    loaded = []
    for name in names:
        pair = _open(root / "PairAnnotation" / split / f"{name}.json")
        source, target = name.split("-")[1], name.split("-")[2].split(":")[0]
        category = name.split(":")[1]
        images = [_picture(root / "JPEGImages" / category / f"{stem}.jpg") for stem in (source, target)]
        padded = []
        for key in ("src_kps", "trg_kps"):
            points = np.asarray(pair[key], dtype=np.float32).T
            block = np.full((2, max_pts), -1, dtype=np.float32)
            block[:, : points.shape[1]] = points  # ValueError without points, broadcast error beyond max_pts
            padded.append(block)
        loaded.append(
            {
                "category": classes.index(category),
                "sizes": [i.size for i in images],
                "modes": [i.mode for i in images],
                "src": padded[0],
                "trg": padded[1],
                "n": len(pair["src_kps"]),
                "box": np.asarray(pair["trg_bndbox"], dtype=float),
                "variation": [int(pair[v]) for v in VARIATIONS],
            }
        )
    return loaded


def sd4match_reader(root: Path, split: str) -> list[dict[str, Any]]:
    """SD4Match: as above with 20 points, the mask's VOC class, and ImageAnnotation."""
    loaded = layout_reader(root, split, max_pts=20)
    for folder in (root / "JPEGImages").iterdir():
        for file in folder.glob("*.jpg"):
            annotation = _open(root / "ImageAnnotation" / folder.name / f"{file.stem}.json")
            mask = np.array(_picture(root / "Segmentation" / folder.name / f"{file.stem}.png"))
            assert mask.shape == _picture(file).size[::-1]
            assert (mask == VOC.index(annotation["category"]) + 1).any()
            assert len(annotation["bndbox"]) == 4
    return loaded


def dift_reader(root: Path) -> dict[str, int]:
    """DIFT eval_spair.py: pairs by substring of the file name, keypoints index a [H, W] tensor as they are."""
    names = [p.name for p in (root / "PairAnnotation" / "test").iterdir()]
    found: dict[str, int] = {}
    for category in (p.name for p in (root / "JPEGImages").iterdir()):
        mine = [n for n in names if category in n]
        found[category] = len(mine)
        for name in mine:
            pair = _open(root / "PairAnnotation" / "test" / name)
            assert pair["category"] == category
            for side in ("src", "trg"):
                picture = np.asarray(_picture(root / "JPEGImages" / category / pair[f"{side}_imname"]))
                assert picture.ndim == 3 and picture.shape[2] == 3
                assert list(picture.shape[1::-1]) == pair[f"{side}_imsize"][:2]
                for x, y in pair[f"{side}_kps"]:
                    picture[y, x]
            x0, y0, x1, y1 = pair["trg_bndbox"]
            assert max(y1 - y0, x1 - x0) > 0
    return found


def geoaware_reader(root: Path, split: str, category: str) -> np.ndarray:
    """GeoAware load_spair_data: glob by category, keypoints of 30 slots from ImageAnnotation through path replacement."""
    rows = []
    for file in sorted((root / "PairAnnotation" / split).glob(f"*:{category}.json")):
        pair = _open(file)
        for side in ("src", "trg"):
            image = str(root / "JPEGImages" / pair["category"] / pair[f"{side}_imname"])
            inside = image[len(str(root)) :]
            annotation = _open(Path(str(root) + inside.replace("jpg", "json").replace("JPEGImages", "ImageAnnotation")))
            points = np.zeros((30, 3))
            for slot in range(30):
                value = annotation["kps"][str(slot)]
                if value is not None:
                    points[slot] = (*value, 1)
            rows.append(points)
            assert (
                isinstance(annotation["azimuth_id"], int) and annotation["image_width"] and annotation["image_height"]
            )
            assert max(pair["trg_bndbox"]) > 0
    return np.asarray(rows)


def devkit_reader(root: Path, split: str, size: str) -> list[dict[str, Any]]:
    """The official devkit: every documented field of the pair files named in Layout/<size>."""
    pairs = []
    for name in (root / "Layout" / size / f"{split}.txt").read_text().split("\n")[:-1]:
        pair = _open(root / "PairAnnotation" / split / f"{name}.json")
        fields = (
            "filename",
            "pair_id",
            "src_imname",
            "trg_imname",
            "src_bndbox",
            "trg_bndbox",
            "category",
            "src_pose",
            "trg_pose",
            "src_kps",
            "trg_kps",
            "kps_ids",
            "mirror",
            *VARIATIONS,
        )
        pairs.append({field: pair[field] for field in fields})
        assert pair["filename"] == name and all(isinstance(k, str) for k in pair["kps_ids"])
    return pairs


READERS: dict[str, Callable[[Path], Any]] = {
    "layout": lambda root: layout_reader(root, "test"),
    "dift": dift_reader,
    "devkit-large": lambda root: devkit_reader(root, "test", "large"),
    "devkit-small": lambda root: devkit_reader(root, "test", "small"),
}
