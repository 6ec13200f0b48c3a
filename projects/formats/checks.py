"""Checked access to untrusted values: every number, list and path that comes from a file passes through here.

The functions raise ImportFileError naming file and item; none of them lets NaN, infinities, booleans posing as numbers,
absurd sizes or paths that leave the image root through.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from pathlib import Path, PurePosixPath
from typing import Any

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.masks import MAX_MASK_PIXELS
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import bad

CONFIDENCE = said("Predictions have a confidence there: they are no labels. Round it, if it is meant as one.")
"""What to do about a visibility that is a fraction."""
MAX_FILE_BYTES = 2_000_000_000
MAX_SIDE = 1_000_000
MAX_KEYPOINTS = 10_000
MAX_COORDINATE = 1e7
MAX_ID = 2**53
MAX_PATH = 4096
MAX_NESTING = 50
MAX_NAME = 300
MAX_RASTER = 150_000_000
"""Pixels of a picture whose masks have to be drawn as arrays (RLE and polygons of larger ones need no array)."""
_UNPACK = "Unpack it and import what is inside."
_TEXT = "Give the label file itself."
_OTHER_CONTENT = (
    (b"PK\x03\x04", "it is an archive (zip)", _UNPACK),
    (b"\x1f\x8b", "it is an archive (gzip)", _UNPACK),
    (b"7z\xbc\xaf", "it is an archive (7z)", _UNPACK),
    (b"Rar!", "it is an archive (rar)", _UNPACK),
    (b"\xff\xd8\xff", "it is a picture", _TEXT),
    (b"\x89PNG", "it is a picture", _TEXT),
    (b"\x89HDF", "it is an HDF5 file, no text", "Choose the format that such files belong to."),
    (b"SQLite format 3", "it is a database, no text", _TEXT),
    (b"\xff\xfe", "it is UTF-16 text", "Save it as UTF-8."),
    (b"\xfe\xff", "it is UTF-16 text", "Save it as UTF-8."),
)
"""How files begin that are given in place of a text file: (first bytes, what it is, what to do)."""
_WINDOWS_DRIVE = re.compile(r"^[A-Za-z]:(?=/)")
_COMMA = re.compile(r"(?<![\d.])-?\d+,\d+(?![\d.])")
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*/")


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The file's bytes; ImportFileError when it is missing, a folder, unreadable or over `max_bytes`."""
    try:
        if path.is_dir():
            raise bad(path, "", "it is a folder, a file is expected", "Give the annotation file itself.")
        size = path.stat().st_size
        if size > max_bytes:
            raise bad(
                path, "", said("{0} bytes is over the limit of {1}", size, max_bytes), "Split it into smaller files."
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise bad(path, "", "the file is not there", "Check the path.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise bad(path, "", said("it cannot be opened ({0})", reason), "Check the path and its permissions.") from None


def read_text(path: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """UTF-8 text (a byte-order mark is dropped); ImportFileError for other encodings."""
    data = read_bytes(path, max_bytes)
    refuse_other_content(path, data)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad(path, said("byte {0}", error.start), "it is not UTF-8 text", "Save it as UTF-8.") from None


def refuse_other_content(path: Path, data: bytes) -> None:
    """ImportFileError when a file that should be text begins as an archive, a picture or a database does."""
    for start, what, hint in _OTHER_CONTENT:
        if data.startswith(start):
            raise bad(path, "", what, hint)


def empty_file(path: Path) -> ImportFileError:
    """The error for a label file that holds nothing."""
    return bad(path, "", "the file is empty", "Copy it again, or export it again from the program it came from.")


def load_json(path: Path) -> Any:
    """Parse JSON. NaN and Infinity (no JSON, but Python writes them) are kept: whoever needs the value refuses it by name."""
    text = read_text(path)
    if not text.strip():
        raise empty_file(path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object; JSON lets a field stand twice, and parsers keep the later one without a word."""
        found = dict(pairs)
        if len(found) != len(pairs):
            seen: dict[str, Any] = {}
            for name, value in pairs:
                if seen.setdefault(name, value) != value:
                    what = said('the field "{0}" stands twice in one object, with different values', name[:80])
                    raise bad(path, "", what, "Keep one of the two.")
        return found

    try:
        data = json.loads(text, object_pairs_hook=once)
        # Half a surrogate pair ("\ud800") is legal JSON, but no text that a database or a file name can hold.
        return without_surrogates(data) if "\\ud" in text.lower() else data
    except RecursionError:
        raise bad(path, "", "its brackets are nested too deeply") from None
    except json.JSONDecodeError as error:
        raise bad(
            path, said("line {0}, column {1}", error.lineno, error.colno), said("it is not valid JSON ({0})", error.msg)
        ) from None
    except ValueError as error:
        raise bad(path, "", said("it is not valid JSON ({0})", error)) from None


def without_surrogates(value: Any) -> Any:
    """A JSON value whose texts (and keys) hold "?" in place of lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [without_surrogates(v) for v in value]
    if isinstance(value, dict):
        return {without_surrogates(k): without_surrogates(v) for k, v in value.items()}
    return value


def plain(value: Any, depth: int = 0) -> Any:
    """A copy of a JSON value that can be written again: no infinities (from 1e999), nothing nested beyond 50 levels."""
    if depth > MAX_NESTING:
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [plain(v, depth + 1) for v in value]
    if isinstance(value, dict):
        return {k: plain(v, depth + 1) for k, v in value.items()}
    return value


class Item:
    """A JSON object of a file together with its place, for checked access to its fields."""

    def __init__(self, path: Path | str, where: str, data: Any) -> None:
        self.path, self.where = path, where
        if not isinstance(data, dict):
            raise bad(path, where, said("an object is expected, found {0}", _kind(data)))
        self.data: dict[str, Any] = data

    def error(self, what: str, hint: str = "") -> ImportFileError:
        """The error for this item."""
        return bad(self.path, self.where, what, hint)

    def required(self, key: str) -> Any:
        """The value of a field that must be there."""
        if key not in self.data:
            raise self.error(said('the field "{0}" is missing', key))
        return self.data[key]

    def text(self, key: str, default: str | None = None) -> str:
        """A string field; numbers are taken as their text; `default` None = required."""
        value = self.required(key) if default is None else self.data.get(key, default)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.error(said('"{0}" must be text, found {1}', key, _kind(value)))
        text = str(value)
        if "\x00" in text or len(text) > MAX_PATH:
            raise self.error(said('"{0}" is no usable text', key))
        return text.encode("utf-8", "replace").decode("utf-8")

    def text_of_any_length(self, key: str) -> str:
        """A required string that may be long (base64 data)."""
        value = self.required(key)
        if not isinstance(value, str):
            raise self.error(said('"{0}" must be text, found {1}', key, _kind(value)))
        return value

    def integer(self, key: str, default: int | None = None, *, low: int = -MAX_ID, high: int = MAX_ID) -> int:
        """A whole number in [low, high] (1.0 counts as 1)."""
        value = self.required(key) if default is None else self.data.get(key, default)
        return whole(value, self, f'"{key}"', low=low, high=high)

    def key(self, key: str) -> int | str:
        """An id: a whole number, or text (a text of digits is its number)."""
        value = self.required(key)
        if not isinstance(value, str):
            return self.integer(key)
        text = self.text(key).strip()
        if not text:
            raise self.error(said('"{0}" is empty', key))
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else text

    def optional_number(self, key: str) -> float | None:
        """A finite number, None where there is none (missing, null, NaN)."""
        value = self.data.get(key)
        return None if is_missing(value) else finite(value, self, f'"{key}"')

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = self.required(key) if default is None else self.data.get(key, default)
        return finite(value, self, f'"{key}"')

    def items(self, key: str, default: list[Any] | None = None) -> list[Any]:
        """A list field; `default` None = required."""
        value = self.required(key) if default is None else self.data.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, list):
            raise self.error(said('"{0}" must be a list, found {1}', key, _kind(value)))
        return value

    def numbers(self, key: str, length: int | None = None) -> list[float]:
        """A list of finite numbers, of `length` when given."""
        values = self.items(key)
        if length is not None and len(values) != length:
            raise self.error(said('"{0}" must hold {1} numbers, it holds {2}', key, length, len(values)))
        return [finite(v, self, f'"{key}"') for v in values]


def _kind(value: Any) -> str:
    if value is None:
        return said("nothing (null)")
    names = {
        dict: said("an object"),
        list: said("a list"),
        str: said("text"),
        bool: said("true/false"),
        int: said("a number"),
        float: said("a number"),
    }
    return names.get(type(value), type(value).__name__)


def comma_hint(text: str) -> str:
    """What to do about numbers like 1,5; "" when `text` holds none."""
    return "Write numbers with a decimal point (1.5, not 1,5)." if _COMMA.search(text) else ""


def is_missing(value: Any) -> bool:
    """Whether a JSON value stands for "no value": null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def finite(value: Any, item: Item, what: str) -> float:
    """A finite float of reasonable size."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise item.error(said("{0} must be a number, found {1}", what, _kind(value)))
    if math.isnan(value) if isinstance(value, float) else False:
        raise item.error(said("{0} holds NaN (not a number)", what), "Put the number there, or leave the item out.")
    if not -1e15 < value < 1e15:  # also false for NaN
        raise item.error(said("{0} holds a number that is not finite or absurdly large", what))
    return float(value)


def whole(value: Any, item: Item, what: str, *, low: int = -MAX_ID, high: int = MAX_ID) -> int:
    """A whole number in [low, high]."""
    number = finite(value, item, what)
    if number != int(number):
        raise item.error(said("{0} must be a whole number, found {1}", what, number))
    result = value if isinstance(value, int) else int(number)
    if not low <= result <= high:
        raise item.error(said("{0} is {1}; it must lie between {2} and {3}", what, result, low, high))
    return result


def index_pairs(item: Item, key: str, count: int) -> tuple[tuple[int, int], ...]:
    """The list under `key` as pairs of keypoint numbers below `count` (skeleton edges, left/right pairs); () without it."""
    result = []
    for entry in item.items(key, []):
        if not isinstance(entry, list) or len(entry) != 2:
            raise item.error(said('each entry of "{0}" must be a pair', key))
        a, b = (whole(value, item, f'"{key}"', low=0, high=max(0, count - 1)) for value in entry)
        result.append((a, b))
    return tuple(result)


def image_size(item: Item, width: Any, height: Any) -> tuple[int, int]:
    """Checked (width, height)."""
    w = whole(width, item, "the image width", low=1, high=MAX_SIDE)
    h = whole(height, item, "the image height", low=1, high=MAX_SIDE)
    if w * h > MAX_MASK_PIXELS:
        raise item.error(said("the image size {0} x {1} is absurd", w, h))
    return w, h


def check_raster(item: Item, width: int, height: int) -> None:
    """Refuse to draw a mask array for an absurdly large image (a few bytes of file may claim gigapixels)."""
    if width * height > MAX_RASTER:
        raise item.error(
            said(
                "a mask of {0} x {1} pixels is too large; the limit is {2} megapixels",
                width,
                height,
                MAX_RASTER // 10**6,
            )
        )


def coordinate(value: Any, item: Item, what: str) -> float:
    """A finite coordinate within +-1e7 pixels."""
    number = finite(value, item, what)
    if abs(number) > MAX_COORDINATE:
        raise item.error(said("{0} is absurdly far outside the image ({1})", what, number))
    return number


def _path_text(text: str, item: Item) -> str:
    """NFC text with forward slashes; refuses what no path may hold (line breaks may stand in a file name)."""
    clean = unicodedata.normalize("NFC", text.replace("\\", "/"))
    if not clean or len(clean) > MAX_PATH or any(c == "\x00" or 0xD800 <= ord(c) <= 0xDFFF for c in clean):
        raise item.error(said("the image path {0} is empty or holds characters that no path may hold", repr(text[:80])))
    return clean


def is_absolute(text: str) -> bool:
    """Whether a path (with slashes of either kind) starts at a root, a drive or a server."""
    text = text.replace("\\", "/")
    return bool(text.startswith("/") or _WINDOWS_DRIVE.match(text) or _URL.match(text))


def relative_path(text: str, item: Item) -> PurePosixPath:
    """An image path as relative POSIX path in NFC; refuses absolute paths, drives and `..`."""
    clean = _path_text(text, item)
    if is_absolute(clean):
        raise item.error(
            said("the image path {0} is absolute", repr(text[:200])), "Make it relative to the image folder."
        )
    path = PurePosixPath(clean)
    if ".." in path.parts or not path.parts:
        raise item.error(
            said("the image path {0} leaves the image folder", repr(text[:200])),
            "Make it relative to the image folder.",
        )
    return _checked_parts(path, text, item)


def _checked_parts(path: PurePosixPath, text: str, item: Item) -> PurePosixPath:
    if any(len(part.encode("utf-8")) > 255 for part in path.parts):
        raise item.error(said("the image path {0} has a part of more than 255 bytes", repr(text[:80])))
    return path


def is_name(text: str) -> bool:
    """Whether a project can hold this name of a category or keypoint (as `store.operations.schema.checked_name` has it)."""
    return 0 < len(text.strip()) <= MAX_NAME and not any(ord(char) < 32 for char in text.strip())


def photo_path(text: str, item: Item) -> tuple[PurePosixPath, str]:
    """A photo as a label file names it: (relative POSIX path, pointer).

    Files of another machine hold absolute paths, drives, `..` and URLs. The path is what remains of them as a name below the
    image folder; nothing outside of it is ever opened by it. The pointer is the text itself, or "" where the two are the
    same; the import follows it to photos of the project (`import_plan.ImageFinder`).
    """
    clean = _path_text(text, item)
    bare = _URL.sub("", clean).partition("?")[0] if _URL.match(clean) else _WINDOWS_DRIVE.sub("", clean)
    parts = [part for part in PurePosixPath(bare).parts if part not in ("/", "//", "..")]
    if not parts:
        raise item.error(said("the image path {0} names no file", repr(text[:80])))
    path = _checked_parts(PurePosixPath(*parts), text, item)
    return path, "" if str(path) == text.removeprefix("./") else text


def resolve_inside(root: Path, relative: PurePosixPath) -> Path | None:
    """The existing file `root/relative` in whichever Unicode form the disk has it; None when missing.

    Raises:
        UserInputError: a symbolic link leads out of `root`.
    """
    for form in ("NFC", "NFD"):
        candidate = root / unicodedata.normalize(form, str(relative))
        try:
            if not candidate.is_file():
                continue
            if not candidate.resolve().is_relative_to(root.resolve()):
                raise UserInputError(
                    said("The image {0} is a link that leaves the image folder {1}.", candidate, root),
                    "Give the folder that really holds the images, or copy the file there.",
                )
        except (OSError, ValueError, RuntimeError):
            continue
        return candidate
    return None
