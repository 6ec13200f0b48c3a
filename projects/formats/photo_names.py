"""When the names of two photos mean the same one: suffixes in other spellings, Unicode forms, folders that say nothing."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

_NEUTRAL = frozenset(
    {
        "images",
        "image",
        "imgs",
        "img",
        "photos",
        "photo",
        "pictures",
        "jpegimages",
        "data",
        "dataset",
        "upload",
        "uploads",
        "media",
        "train",
        "val",
        "valid",
        "test",
        "export",
        "files",
        "frames",
        "raw",
        "all",
        "",
    }
)
"""Folder names that say nothing about which photo is meant (numbers neither)."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-.")
"""Label Studio puts eight digits before the names of uploaded photos: cb0618f6-photo.png."""
_MASK = re.compile(r"[_-](mask|masks|seg|segmentation|label|labels|gt)$", re.IGNORECASE)
_SPELLINGS = {".jpeg": ".jpg", ".jpe": ".jpg", ".tiff": ".tif"}
"""Suffixes that are written in two ways."""


def base_key(name: str) -> str:
    """A file name with its suffix in lower case, and one spelling of it (.jpeg is .jpg)."""
    path = PurePosixPath(name)
    suffix = path.suffix.lower()
    return path.stem + _SPELLINGS.get(suffix, suffix)


def name_key(name: str) -> str:
    """`base_key` of a name whose case does not count."""
    return base_key(name).casefold()


def bare_of_mask(stem: str) -> str:
    """The name of the photo that a mask picture is of: Kaggle's sets call it `<photo>_mask.png`."""
    return _MASK.sub("", stem) or stem


def spellings(path: PurePosixPath) -> list[tuple[str, ...]]:
    """The parts of the path as told, with %20 and the like read as a URL has them, and without Label Studio's prefix."""
    parts = path.parts
    decoded = tuple(part for part in PurePosixPath(unquote(str(path))).parts if part not in ("/", ".."))
    found = [parts] if decoded == parts or not decoded or "\x00" in "".join(decoded) else [parts, decoded]
    bare = [(*p[:-1], p[-1][9:]) for p in found if _UPLOADED.match(p[-1])]
    return found + bare


def common_tail(parts: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many parts of two paths agree from the end on, whatever their case."""
    count = 0
    for number, (a, b) in enumerate(zip(reversed(parts), reversed(other), strict=False)):
        a, b = (unicodedata.normalize("NFC", v) for v in (a, b))
        if (a.casefold() != b.casefold()) if number else (name_key(a) != name_key(b)):
            break
        count += 1
    return count


def elsewhere(parts: tuple[str, ...], path: Path) -> bool:
    """Whether the path names a folder of its own that is not the photo's: cam2/0001.jpg is not cam1/0001.jpg."""
    if len(parts) < 2:
        return False
    told, own = parts[-2].lower(), path.parent.name.lower()
    return not any(name in _NEUTRAL or name.isdigit() for name in (told, own)) and told != own
