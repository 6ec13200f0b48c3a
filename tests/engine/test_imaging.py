"""Every kind of photo that a folder may hold: read right, or refused with the file's name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kinmark.engine import imaging
from kinmark.engine.domain.errors import UnreadableImageError


@pytest.fixture
def photo(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:20, :50] = (255, 0, 0)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_all_orientations_come_out_upright(tmp_path, orientation, suffix):
    upright = Image.new("RGB", (96, 48), (0, 0, 0))
    upright.paste((255, 255, 255), (0, 0, 24, 12))
    turns = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turn = turns[orientation]
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    stored.save(path, exif=exif, quality=95)
    header = imaging.read_header(path)
    loaded = imaging.load_image(path)
    assert header.size_wh == (96, 48) and loaded.header.size_wh == (96, 48)
    assert loaded.rgb.shape == (48, 96, 3)
    assert loaded.rgb[4, 8].mean() > 200 and loaded.rgb[40, 80].mean() < 50


def test_deep_images_are_windowed_not_clipped(tmp_path):
    ramp = np.linspace(1000, 60000, 64, dtype=np.uint16)[None].repeat(8, axis=0)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    rgb = imaging.load_image(tmp_path / "deep.png").rgb
    assert rgb[0, 0, 0] == 0 and rgb[0, -1, 0] == 255
    assert abs(int(rgb[0, 32, 0]) - 128) < 6


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "1", "LA", "RGBA", "YCbCr"])
def test_modes_become_rgb(tmp_path, mode):
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    Image.new("RGB", (20, 10), (200, 30, 30)).convert(mode).save(tmp_path / f"m{suffix}")
    assert imaging.load_image(tmp_path / f"m{suffix}").rgb.shape == (10, 20, 3)


def test_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (8, 8), c) for c in ((255, 0, 0), (0, 255, 0))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    loaded = imaging.load_image(tmp_path / "a.gif")
    assert loaded.header.frames == 2 and loaded.rgb[0, 0, 0] > 200


def test_wrong_extension_is_read_by_content(photo, tmp_path):
    wrong = tmp_path / "really_png.jpg"
    wrong.write_bytes(photo.read_bytes())
    assert imaging.read_header(wrong).format == "PNG"


def test_reduced_decode_keeps_the_true_size_in_the_header(tmp_path):
    Image.new("RGB", (2000, 1000), (10, 200, 10)).save(tmp_path / "big.jpg")
    loaded = imaging.load_image(tmp_path / "big.jpg", max_side=200)
    assert max(loaded.rgb.shape[:2]) <= 200 and loaded.header.size_wh == (2000, 1000)
    assert loaded.scale == pytest.approx(loaded.rgb.shape[1] / 2000)


def test_bad_files_are_refused_by_name(photo, tmp_path, monkeypatch):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    text = tmp_path / "text.png"
    text.write_text("no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(photo.read_bytes()[:-60])
    for path, why in (
        (empty, "empty"),
        (text, "no known image format"),
        (cut, "truncated"),
        (tmp_path / "no.jpg", "not there"),
    ):
        with pytest.raises(UnreadableImageError, match=why) as caught:
            imaging.load_image(path)
        assert path.name in caught.value.user_message and caught.value.hint
    monkeypatch.setattr(imaging, "MAX_PIXELS", 1000)
    with pytest.raises(UnreadableImageError, match="over the limit"):
        imaging.load_image(photo)


def test_bomb_is_refused_from_its_header_alone(tmp_path):
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(UnreadableImageError, match="megapixels"):
        imaging.read_header(tmp_path / "bomb.png")


def test_hash_is_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert imaging.file_sha256(tmp_path / "x").startswith("ba7816bf")
    with pytest.raises(UnreadableImageError):
        imaging.file_sha256(tmp_path / "missing")
