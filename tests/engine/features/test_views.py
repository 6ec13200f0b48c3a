"""Views: pixels land where the transform says, upright, turned, mirrored, shrunk and overhanging."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import ImageInput
from kinmark.engine.domain.geometry import ImageTransform
from kinmark.engine.features.views import ImageSource, crop_view, needed_side, render_view, visible_share, whole_view

SIZE = (320, 200)


@pytest.fixture
def dot_image(tmp_path: Path) -> tuple[ImageInput, tuple[float, float]]:
    """A dark picture with one soft bright dot; its centre in xy_image."""
    x, y = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    centre = (210.0, 70.0)
    values = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 9.0**2))
    path = tmp_path / "dot.png"
    Image.fromarray(values.astype(np.uint8)).save(path)
    return ImageInput("dot", path), centre


def _centre_of_mass(pixels: np.ndarray) -> tuple[float, float]:
    weight = pixels[..., 0].astype(np.float64)
    weight[weight < 20] = 0
    y, x = np.indices(weight.shape)
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    "transform",
    [
        ImageTransform.resize(SIZE, (96, 96)),
        ImageTransform.resize(SIZE, (640, 400)),
        ImageTransform.crop((150.0, 20.0, 270.0, 140.0), (96, 96)),
        ImageTransform.crop((150.0, 20.0, 270.0, 140.0), (96, 96), flip=True),
        ImageTransform.crop((100.0, -40.0, 300.0, 160.0), (64, 64)),
        ImageTransform.crop((150.0, 10.0, 290.0, 150.0), (96, 96), rotation_rad=0.7),
        ImageTransform.crop((110.0, -30.0, 310.0, 170.0), (48, 48), rotation_rad=np.pi / 2, flip=True),
    ],
)
def test_point_and_pixels_go_the_same_way(
    dot_image: tuple[ImageInput, tuple[float, float]], transform: ImageTransform
) -> None:
    image, centre = dot_image
    view = crop_view(image, (0.0, 0.0, *map(float, SIZE)), transform.input_wh)
    view = type(view)(image, transform)
    pixels = render_view(view, SIZE)
    assert pixels.shape == (transform.input_wh[1], transform.input_wh[0], 3) and pixels.dtype == np.uint8
    expected = transform.to_input(centre)
    found = _centre_of_mass(pixels)
    assert abs(found[0] - expected[0]) < 0.35 and abs(found[1] - expected[1]) < 0.35


def test_upright_and_warped_rendering_agree(dot_image: tuple[ImageInput, tuple[float, float]]) -> None:
    image, _ = dot_image
    box = (40.0, 10.0, 300.0, 190.0)
    upright = render_view(crop_view(image, box, (64, 64)), SIZE).astype(int)
    warped = render_view(crop_view(image, box, (64, 64), rotation_rad=1e-7), SIZE).astype(int)
    assert np.abs(upright - warped).max() <= 8


def test_keys_tell_views_apart(dot_image: tuple[ImageInput, tuple[float, float]]) -> None:
    image, _ = dot_image
    views = [
        whole_view(image, SIZE, (64, 64)),
        whole_view(image, SIZE, (64, 96)),
        crop_view(image, (0.0, 0.0, 100.0, 100.0), (64, 64)),
        crop_view(image, (0.0, 0.0, 100.0, 100.0), (64, 64), flip=True),
        crop_view(image, (0.0, 0.0, 100.0, 100.0), (64, 64), rotation_rad=0.1),
    ]
    assert len({view.key() for view in views}) == len(views)
    assert views[0].key() == whole_view(image, SIZE, (64, 64)).key()


def test_decoding_is_no_larger_than_needed_and_kept(dot_image: tuple[ImageInput, tuple[float, float]]) -> None:
    image, _ = dot_image
    assert needed_side(whole_view(image, (4000, 3000), (192, 192)), (4000, 3000)) <= 1024
    assert needed_side(crop_view(image, (0.0, 0.0, 200.0, 200.0), (192, 192)), (4000, 3000)) >= 4000
    source = ImageSource()
    first = source.load(image, 512)
    assert source.load(image, 512) is first
    image.path.write_bytes(image.path.read_bytes() + b" ")
    assert source.load(image, 512) is not first


def test_large_jpeg_is_decoded_small_and_lands_right(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(3000) + 0.5, np.arange(2000) + 0.5)
    values = 255 * np.exp(-((x - 2000) ** 2 + (y - 500) ** 2) / (2 * 80.0**2))
    path = tmp_path / "big.jpg"
    Image.fromarray(values.astype(np.uint8)).save(path, quality=90)
    source = ImageSource()
    image = ImageInput("big", path)
    view = whole_view(image, (3000, 2000), (96, 96))
    pixels = render_view(view, (3000, 2000), source)
    assert max(i.rgb.shape[1] for i in source._decoded.values()) <= 512
    expected = view.transform.to_input((2000.0, 500.0))
    assert np.abs(np.array(_centre_of_mass(pixels)) - expected).max() < 0.3


def test_visible_share() -> None:
    image = ImageInput("x", Path("x.png"))
    assert visible_share(whole_view(image, (100, 100), (64, 64)), (100, 100)) == 1.0
    half = visible_share(crop_view(image, (-50.0, 0.0, 50.0, 100.0), (64, 64)), (100, 100))
    assert 0.4 < half < 0.6
