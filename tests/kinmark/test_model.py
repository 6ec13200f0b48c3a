"""Features and matches without a project, against the engine's own path and known warps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import kinmark


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "a.png"
    coarse = np.random.default_rng(3).integers(0, 255, (9, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((120, 90), Image.Resampling.BICUBIC).save(path)
    return path


def test_features_follow_the_card_and_say_how_they_were_made(model: kinmark.Model, photo: Path, tmp_path: Path) -> None:
    found = model.features(photo, diffusion_only=True)
    assert (
        found.array.dtype == np.float32
        and found.array.shape[1:] == found.cells_wh[::-1]
        and found.photo_wh == (120, 90)
    )
    spec = json.loads(found.made_by)
    assert spec["prompt"] == "empty" and spec["method"] == "features" and spec["revision"]
    assert np.array_equal(model.features(photo, diffusion_only=True).array, found.array)
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "black.png")
    assert not np.allclose(model.features(tmp_path / "black.png", diffusion_only=True).array, found.array, atol=0.1)
    assert not np.allclose(
        model.features(photo, prompt="text:a photo of a cat", diffusion_only=True).array, found.array
    )


def test_reading_at_a_cell_gives_that_cells_vector(model: kinmark.Model, photo: Path) -> None:
    found = model.features(photo)
    cells = np.array([[0, 0], [2, 1], [found.cells_wh[0] - 1, found.cells_wh[1] - 1]], float)
    vectors = found.at(found.to_photo(cells))
    for (x, y), vector in zip(cells.astype(int), vectors, strict=True):
        expected = found.array[:, y, x] / (np.linalg.norm(found.array[:, y, x]) + 1e-6)
        np.testing.assert_allclose(vector, expected, atol=1e-5)
    np.testing.assert_allclose(found.to_cells(found.to_photo(cells)), cells, atol=1e-9)


def test_a_photo_matches_itself_where_it_is(model: kinmark.Model, photo: Path) -> None:
    found = model.features(photo)
    points = found.to_photo([[1, 1], [3, 2], [4, 5]])
    matched = model.match(photo, points, photo, method="nn")
    np.testing.assert_allclose(matched.points, points, atol=1e-6)
    np.testing.assert_allclose(matched.scores, 1, atol=1e-3)
    assert matched.points.dtype == np.float64 and isinstance(matched.points, np.ndarray)


def test_bad_input_is_named(model: kinmark.Model, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(kinmark.UserInputError, match="no point to match"):
        model.match(photo, [], photo)
    with pytest.raises(kinmark.UserInputError, match="no list of"):
        model.match(photo, [1, 2, 3], photo)
    with pytest.raises(kinmark.UnreadableImageError, match=r"gone\.jpg"):
        model.features(tmp_path / "gone.jpg")
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(kinmark.UnreadableImageError, match=r"text\.jpg"):
        model.features(tmp_path / "text.jpg")
    with pytest.raises(kinmark.KinmarkError, match="nowhere"):
        kinmark.Model("nowhere", device="cpu").features(photo)


def test_it_can_be_used_again_after_closing(model: kinmark.Model, photo: Path) -> None:
    before = model.features(photo).array
    model.close()
    assert torch.equal(torch.from_numpy(model.features(photo).array), torch.from_numpy(before))
