"""Parity with sd4match_match.npz (SD4Match's matching and geometry on non-square maps)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.domain.geometry import rescale_corner_aligned
from kinmark.engine.matching.sampling import sample_features
from kinmark.engine.matching.selection import bilinear_match, kernel_soft_argmax, nearest, soft_argmax
from kinmark.engine.matching.similarity import similarity_maps


@pytest.fixture(scope="module")
def vectors(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    folder: Path = request.getfixturevalue("reference_dir")
    with np.load(folder / "sd4match_match.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def tensors(vectors: dict[str, np.ndarray], case: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return tuple(torch.from_numpy(vectors[f"{case}_{name}"]) for name in ("src_feat", "trg_feat", "query_xy"))


@pytest.mark.parametrize("case", "ABCD")
def test_sampling(vectors: dict[str, np.ndarray], case: str) -> None:
    source, _, query = tensors(vectors, case)
    np.testing.assert_allclose(sample_features(source, query).numpy(), vectors[f"{case}_query_feat"], atol=1e-4)


@pytest.mark.parametrize("normalise", [True, False], ids=["l2", "raw"])
@pytest.mark.parametrize("case", "ABCD")
def test_all_methods(vectors: dict[str, np.ndarray], case: str, normalise: bool) -> None:
    source, target, query = tensors(vectors, case)
    kind = "l2" if normalise else "raw"
    features = sample_features(source, query)
    for item in range(2):
        maps = similarity_maps(features[item], target[item], normalise=normalise)
        clear = vectors[f"{case}_nn_margin_{kind}"][item] > 1e-5
        assert clear.sum() > 15
        expected = {
            name: vectors[f"{case}_{name}_{kind}"][item]
            for name in ("nn", "bilinear", "softargmax", "kernelsoftargmax")
        }
        np.testing.assert_allclose(nearest(maps).numpy()[clear], expected["nn"][clear], atol=1e-4)
        np.testing.assert_allclose(soft_argmax(maps).numpy(), expected["softargmax"], atol=2e-4)
        kernel = kernel_soft_argmax(maps).numpy()
        np.testing.assert_allclose(kernel[clear], expected["kernelsoftargmax"][clear], atol=2e-4)
        blended = bilinear_match(source[item], query[item], target[item], normalise=normalise).numpy()
        np.testing.assert_allclose(blended, expected["bilinear"], atol=1e-4)


def test_corner_aligned_rescale(vectors: dict[str, np.ndarray]) -> None:
    points = vectors["geo_pts"]
    np.testing.assert_allclose(
        rescale_corner_aligned(points, (47, 33), (16, 12)), vectors["geo_scaled_corner_33x47_to_12x16"], atol=1e-4
    )


def test_temperature_is_the_published_one(vectors: dict[str, np.ndarray]) -> None:
    values = torch.from_numpy(vectors["sm_in"])
    np.testing.assert_allclose(torch.softmax(values / 0.04, -1).numpy(), vectors["sm_out_temp0.04"], atol=1e-6)
