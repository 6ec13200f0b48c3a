"""Which label format a dropped file or folder is, from its name, its first bytes and its folders. Nothing is parsed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 1 << 16
"""What is read of a file. COCO files may begin with their images for long: then the name of the first list decides."""


@dataclass(frozen=True)
class Recognised:
    """A format by name (`registry.FORMATS`) and what its reader takes: the file itself or the folder around it."""

    format: str
    path: Path


def recognise(path: Path) -> Recognised | None:
    """The format of a label file or of a data set's folder; None when it is neither (a folder of photos, for example)."""
    try:
        return _folder(path) if path.is_dir() else _file(path)
    except OSError:
        return None


def _folder(path: Path) -> Recognised | None:
    def has(*names: str) -> bool:
        return any((path / name).exists() for name in names)

    if has("ImageAnnotation", "SPair-71k/ImageAnnotation"):
        return Recognised("spair", path)
    if has("images.txt", "CUB_200_2011/images.txt"):
        return Recognised("cub", path)
    if has("test_pairs.csv", "PF-WILLOW/test_pairs.csv") and next(path.glob("Annotations/*/*.mat"), None) is None:
        return Recognised("pf-willow", path)
    if has("data.yaml"):
        return _yaml(path / "data.yaml")
    if has("labeled-data"):
        return Recognised("deeplabcut", path)
    if has("masks.json"):
        return Recognised("masks", path)
    for name in ("annotations.json", "annotations.xml", "tasks.json"):
        if has(name):
            return _file(path / name)
    if next(path.glob("*.tps"), None) is not None:
        return Recognised("tps", path)
    nested = ("", "PF-PASCAL", "PF-dataset-PASCAL", "pf-pascal/PF-dataset-PASCAL")
    return next((found for name in nested if (found := _annotations(path / name)) is not None), None)


def _annotations(path: Path) -> Recognised | None:
    folder = path / "Annotations"
    if not folder.is_dir():
        return None
    if next(folder.glob("*.xml"), None) is not None:
        return Recognised("voc", path)
    if next(folder.glob("*/*.mat"), None) is not None:
        return Recognised("pf-pascal", path)
    if (path / "Images").is_dir() and next(folder.glob("*/*.png"), None) is not None:
        return Recognised("perseg", path)
    return None


def _file(path: Path) -> Recognised | None:
    by_suffix: dict[str, Callable[[Path], Recognised | None]] = {
        ".json": _json,
        ".xml": _xml,
        ".csv": _csv,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".h5": lambda p: Recognised(_kind_of_h5(p.name), p),
        ".slp": lambda p: Recognised("sleap", p),
        ".nwb": lambda p: Recognised("nwb", p),
        ".tps": lambda p: Recognised("tps", p),
    }
    look = by_suffix.get(path.suffix.lower())
    return look(path) if look is not None and path.is_file() else None


def _kind_of_h5(name: str) -> str:
    return "jabs" if "_pose_est_v" in name else "sleap" if ".analysis." in name else "deeplabcut"


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES).decode("utf-8-sig", errors="replace")


def _json(path: Path) -> Recognised | None:
    head = _head(path)
    if (
        head.lstrip().startswith("[")
        and '"data"' in head
        and any(f'"{k}"' in head for k in ("annotations", "completions"))
    ):
        return Recognised("label-studio", path)
    if not head.lstrip().startswith("{"):
        return None
    if '"src_kps"' in head or path.parent.parent.name == "ImageAnnotation":
        root = next((p.parent for p in path.parents if p.name in ("PairAnnotation", "ImageAnnotation")), None)
        return Recognised("spair", root) if root is not None else None
    if '"shapes"' in head:
        return Recognised("labelme", path)
    if '"face_kpts"' in head:
        return Recognised("coco-wholebody", path)
    if any(f'"{name}"' in head for name in ("annotations", "images", "categories")):
        return Recognised("coco", path)
    return None


def _xml(path: Path) -> Recognised | None:
    head = _head(path)
    if "<annotations" in head:
        return Recognised("cvat", path)
    if "<annotation" in head and path.parent.name == "Annotations":
        return Recognised("voc", path.parent.parent)
    if "<annotation" in head and "<filename>" in head:
        return Recognised("voc", path.parent)
    return None


def _csv(path: Path) -> Recognised | None:
    head = _head(path)
    first = head.split("\n", 1)[0].strip()
    if first.startswith("scorer,"):
        return Recognised("deeplabcut", path)
    return Recognised("pf-willow", path) if path.name == "test_pairs.csv" else None


def _yaml(path: Path) -> Recognised | None:
    head = _head(path)
    if "kpt_shape" in head:
        return Recognised("yolo-pose", path)
    if "labeled-data" in head or "bodyparts" in head:
        return Recognised("deeplabcut", path.parent)
    return Recognised("yolo-seg", path) if "names:" in head else None
