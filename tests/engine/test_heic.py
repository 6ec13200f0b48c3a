"""Photos of phones: HEIC where pi-heif is installed, AVIF by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.imaging import is_cut_off, is_image_path, load_image, read_header, reads_heic, unreadable_kind
from kinmark.projects.cli.app import run
from kinmark.projects.project import Project

PHOTOS = Path(__file__).parent.parent / "fixtures" / "photos"
needs_heic = pytest.mark.skipif(not reads_heic(), reason="pi-heif is not installed (kinmark[heic])")


def _corners(rgb: np.ndarray) -> list[str]:
    """Colours of the corners: upper left, upper right, lower left."""
    names = {0: "red", 1: "green", 2: "blue"}
    return [names[int(np.argmax(rgb[y, x]))] for y, x in ((4, 4), (4, -5), (-5, 4))]


@needs_heic
@pytest.mark.parametrize(
    ("name", "size", "corners"),
    [("plain.heic", (64, 48), ["red", "green", "blue"]), ("turned.heic", (48, 64), ["blue", "red", "grey"])],
)
def test_heic_is_read_as_it_is_shown(name: str, size: tuple[int, int], corners: list[str]) -> None:
    header = read_header(PHOTOS / name)
    assert (header.size_wh, header.orientation, header.format) == (size, 1, "HEIF")
    photo = load_image(PHOTOS / name)
    assert photo.rgb.shape == (size[1], size[0], 3)
    assert _corners(photo.rgb)[:2] == corners[:2]
    assert load_image(PHOTOS / name, max_side=32).rgb.shape[:2] == (
        32 * size[1] // max(size),
        32 * size[0] // max(size),
    )


@needs_heic
def test_heic_photos_are_added_and_broken_ones_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (PHOTOS / "plain.heic").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "whole.HEIC").write_bytes(data)
    (tmp_path / "in" / "cut.heic").write_bytes(data[: len(data) - 60])
    (tmp_path / "in" / "none.heif").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    assert is_cut_off(tmp_path / "in" / "cut.heic") and not is_cut_off(tmp_path / "in" / "whole.HEIC")
    assert run(["new", str(tmp_path / "p.kinmark"), "--images", str(tmp_path / "in")]) == 0
    said = "".join(capsys.readouterr())
    assert "cut.heic: the file is cut off" in said and "none.heif" in said
    with Project.open(tmp_path / "p.kinmark") as project:
        assert [r.file_name for r in project.queries.iter_images()] == ["whole.HEIC"]


def test_without_the_library_heic_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinmark.engine.imaging.reads_heic", lambda: False)
    monkeypatch.setattr("kinmark.engine.imaging._known_formats", lambda: ("JPEG", "PNG"))
    assert not is_image_path(Path("a.heic")) and unreadable_kind(Path("A.HIF")) == "HEIF"
    with pytest.raises(UnreadableImageError, match="HEIC cannot be decoded") as caught:
        load_image(PHOTOS / "plain.heic")
    assert "kinmark[heic]" in caught.value.hint


def test_avif_is_read(tmp_path: Path) -> None:
    pixels = np.full((48, 64, 3), 110, np.uint8)
    pixels[:12, :16], pixels[:12, -16:], pixels[-12:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.avif", quality=90)
    Image.fromarray(pixels).save(tmp_path / "b.avif", quality=90, exif=exif)
    assert is_image_path(tmp_path / "a.avif") and _corners(load_image(tmp_path / "a.avif").rgb) == [
        "red",
        "green",
        "blue",
    ]
    turned = load_image(tmp_path / "b.avif")
    assert turned.rgb.shape == (64, 48, 3) and _corners(turned.rgb)[:2] == ["blue", "red"]
