"""The one image loader: every photo is decoded, oriented and brought to 8-bit RGB here and nowhere else.

Pillow only (methods/formats.md#photos): EXIF orientation applied once, 16-bit windowed instead of clipped, CMYK converted, first
frame of animations, decompression bombs refused by size before decoding. The file itself is never touched.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.texts import said
from kinmark.engine.remote import local_file, url_of

IMAGE_SUFFIXES = frozenset(
    {
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".ppm",
        ".pgm",
        ".jp2",
        ".avif",
    }
)
HEIC_PHOTOS = {".heic": "HEIC", ".heif": "HEIF", ".hif": "HEIF"}
"""Read where pi-heif is installed (kinmark[heic]): libheif and libde265 as shared libraries, without the GPL encoder x265."""
UNREADABLE_PHOTOS = {
    ".jxl": "JPEG XL",
    ".psd": "Photoshop",
    ".svg": "SVG",
    ".cr2": "camera raw (CR2)",
    ".cr3": "camera raw (CR3)",
    ".crw": "camera raw (CRW)",
    ".nef": "camera raw (NEF)",
    ".nrw": "camera raw (NRW)",
    ".arw": "camera raw (ARW)",
    ".dng": "camera raw (DNG)",
    ".raf": "camera raw (RAF)",
    ".orf": "camera raw (ORF)",
    ".rw2": "camera raw (RW2)",
    ".pef": "camera raw (PEF)",
    ".srw": "camera raw (SRW)",
}
"""Suffixes of photos that nothing here decodes: they are named, so that nobody misses them in silence."""
IMAGE_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")
"""What content is decoded, whatever a file is called. Not EPS, above all: Pillow starts Ghostscript for it."""
MAX_PIXELS = 400_000_000
"""Larger pictures are refused (a 400-megapixel RGB image takes 1.2 GB)."""

_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"\0\0\0\x0cjP")
"""How files of photos begin."""
_DARKEST = 1 / 16
"""Floats of 0 to 1 whose largest is below this are windowed to their own range."""
_ORIENTATION_TAG = ExifTags.Base.Orientation.value
_DEEP_MODES = ("I;16", "I;16L", "I;16B", "I", "F")
Image.MAX_IMAGE_PIXELS = None  # our own check below names the file and the limit


@dataclass(frozen=True)
class ImageHeader:
    """What the file says without decoding pixels.

    Attributes:
        width, height: of the *oriented* image.
        orientation: EXIF value 1..8 (1 = as stored).
        frames: number of frames (only the first is used).
        mode, format: Pillow's names.
    """

    width: int
    height: int
    orientation: int
    frames: int
    mode: str
    format: str

    @property
    def size_wh(self) -> tuple[int, int]:
        """(width, height) of the oriented image."""
        return self.width, self.height


@dataclass(frozen=True)
class LoadedImage:
    """`rgb` uint8 `[H, W, 3]` in the oriented frame; `scale` < 1 when decoded smaller than the file."""

    rgb: NDArray[np.uint8]
    header: ImageHeader
    scale: float = 1.0


@lru_cache(maxsize=1)
def reads_heic() -> bool:
    """Whether this installation decodes HEIC."""
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener(thumbnails=False)
    return True


def is_image_path(path: Path) -> bool:
    """Whether the suffix is one that we try to read."""
    suffix = path.suffix.lower()
    known = suffix in IMAGE_SUFFIXES or (suffix in HEIC_PHOTOS and reads_heic())
    return known and not path.name.startswith("._")


def unreadable_kind(path: Path) -> str:
    """What kind of photo that nothing here decodes it is by its suffix, "" for photos that are read and other files."""
    suffix = path.suffix.lower()
    if suffix in HEIC_PHOTOS:
        return "" if reads_heic() else HEIC_PHOTOS[suffix]
    return UNREADABLE_PHOTOS.get(suffix, "")


def _unreadable(path: Path, why: str, hint: str, error: Exception | None = None) -> UnreadableImageError:
    return UnreadableImageError(
        said("Cannot read the image {0}: {1}.", url_of(path) or path, why), hint, repr(error) if error else ""
    )


@lru_cache(maxsize=1)
def _known_formats() -> tuple[str, ...]:
    """Those of `IMAGE_FORMATS` that this Pillow was built with."""
    Image.init()
    return tuple(name for name in (*IMAGE_FORMATS, *(("HEIF",) if reads_heic() else ())) if name in Image.OPEN)


def _open(path: Path) -> Image.Image:
    place = local_file(path)
    try:
        if os.path.getsize(place) == 0:
            raise _unreadable(path, "the file is empty", "Copy it again from where it came from.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(place, formats=_known_formats())
    except FileNotFoundError as error:
        raise _unreadable(
            path, "the file is not there", "Re-link the moved folder or restore the file.", error
        ) from None
    except UnidentifiedImageError as error:
        kind = unreadable_kind(path)
        if kind in HEIC_PHOTOS.values():
            hint = "Install kinmark[heic], or convert it to JPEG or PNG."
            raise _unreadable(path, said("{0} cannot be decoded", kind), hint, error) from None
        if kind:
            raise _unreadable(path, said("{0} cannot be decoded", kind), "Convert it to JPEG or PNG.", error) from None
        raise _unreadable(path, *_why_unknown(place), error) from None
    except UnreadableImageError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's parsers raise almost anything on damaged headers
        raise _unreadable(
            path, "the file is damaged or not accessible", "Check the file and its permissions.", error
        ) from None
    if image.width <= 0 or image.height <= 0 or image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        image.close()
        raise _unreadable(
            path,
            said("{0} pixels is over the limit of {1} megapixels", size, MAX_PIXELS // 10**6),
            "Scale it down first.",
        )
    return image


def _why_unknown(place: Path) -> tuple[str, str]:
    """(why, what to do) about a file that Pillow takes for no image, although it may begin like one."""
    try:
        with place.open("rb") as file:
            head = file.read(16)
    except OSError:
        head = b""
    why, hint = "its content is no known image format", "Check that it opens elsewhere."
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        why = "it is a TIFF of a kind that is not read (floating point in several colours, for example), or damaged"
        hint = "Save it with 8 or 16 bits a colour, or as PNG."
    elif head.startswith(_STARTS) or head[4:8] == b"ftyp" or (head.startswith(b"RIFF") and head[8:12] == b"WEBP"):
        why, hint = "it begins like a picture, but is damaged or cut off", "Copy it again from where it came from."
    return why, hint


def _header(image: Image.Image) -> ImageHeader:
    try:
        orientation = int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF is no reason to refuse the pixels
        orientation = 1
    if orientation not in range(1, 9):
        orientation = 1
    width, height = image.size
    # Pillow applies the orientation of a TIFF itself when the size is read (methods/formats.md#photos).
    if orientation >= 5 and image.format != "TIFF":
        width, height = height, width
    frames = int(getattr(image, "n_frames", 1) or 1)
    return ImageHeader(width, height, orientation, frames, image.mode, image.format or "")


def read_header(path: Path | str) -> ImageHeader:
    """Size, orientation and frames without decoding; raises UnreadableImageError."""
    path = Path(path)
    with _open(path) as image:
        try:
            return _header(image)
        except Exception as error:  # noqa: BLE001
            raise _unreadable(path, "its header is damaged", "Check that it opens elsewhere.", error) from None


def is_cut_off(path: Path | str) -> bool:
    """Whether a photo's data end too early (a broken copy or download).

    JPEG, PNG and GIF have an end mark, which is looked at; without it, and for other formats, the pixels are decoded.
    Raises UnreadableImageError when the file is no image at all.
    """
    path = Path(path)
    header = read_header(path)
    try:
        with local_file(path).open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 12))
            tail = file.read()
    except OSError as error:
        raise _unreadable(path, "the file is not accessible", "Check its permissions.", error) from None
    if header.format in ("JPEG", "MPO") and tail.endswith(b"\xff\xd9"):
        return False
    if header.format == "PNG" and tail[-8:-4] == b"IEND":
        return False
    if header.format == "GIF" and tail.endswith(b";"):
        return False
    try:
        load_image(path)
    except UnreadableImageError:
        return True
    return False


def read_taken(path: Path | str) -> datetime | None:
    """When the photo was taken, by its EXIF (original time, else the file's; the camera's clock); None when it does not say."""
    try:
        with _open(Path(path)) as image:
            exif = image.getexif()
            original = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal.value)
            text = str(original or exif.get(ExifTags.Base.DateTime.value) or "")
            return datetime.strptime(text.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except Exception:  # noqa: BLE001 - damaged EXIF, or a time that is none
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _DEEP_MODES:
        values = np.asarray(image, dtype=np.float64)
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        # Values that fit in 8 bits are shown as they are; deeper ones are windowed to their own range. Fractions (floats of
        # 0..1 above all) are no 8-bit values; where they would all be nearly black, they have a unit of their own.
        if image.mode == "F" and low >= 0 and _DARKEST <= high <= 1:
            values = values * 255.0
        elif low < 0 or high > 255 or (image.mode == "F" and bool((finite % 1).any())):
            values = (values - low) * (255.0 / max(high - low, 1e-300))
        return Image.fromarray(np.nan_to_num(values, nan=0.0).clip(0, 255).astype(np.uint8), "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return image.convert("RGB")


def load_image(
    path: Path | str, *, max_side: int | None = None, resample: Image.Resampling = Image.Resampling.LANCZOS
) -> LoadedImage:
    """Decode to oriented 8-bit RGB.

    Args:
        path: of the image file.
        max_side: when given, the result's longer side is at most this (JPEG decodes at a fraction of its size: fast).
        resample: how it is made smaller from there; HAMMING takes a third of the time, for pictures that are only looked at.

    Raises:
        UnreadableImageError: missing, empty, truncated, damaged, too large, or no image.
    """
    path = Path(path)
    with _open(path) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                header = _header(image)
                if max_side is not None and image.format == "JPEG":
                    image.draft("RGB", (max_side, max_side))
                image.load()
                oriented = ImageOps.exif_transpose(image) if header.orientation != 1 else image
                rgb = _to_rgb(oriented)
                if max_side is not None and max(rgb.size) > max_side:
                    ratio = max_side / max(rgb.size)
                    size = (max(1, round(rgb.width * ratio)), max(1, round(rgb.height * ratio)))
                    rgb = rgb.resize(size, resample, reducing_gap=2.0)
                pixels = np.asarray(rgb, dtype=np.uint8)
        except MemoryError as error:
            raise _unreadable(path, "there is not enough memory to decode it", "Close other programs.", error) from None
        except Exception as error:  # noqa: BLE001 - truncated data raises many types
            raise _unreadable(
                path, "the file is truncated or damaged", "Copy it again from where it came from.", error
            ) from None
    return LoadedImage(pixels, header, pixels.shape[1] / header.width)


def file_sha256(path: Path | str) -> str:
    """Hex SHA-256 of the file's bytes; raises UnreadableImageError when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with local_file(Path(path)).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(
            Path(path), "the file is not accessible", "Check that it is there and may be read.", error
        ) from None
    return digest.hexdigest()
