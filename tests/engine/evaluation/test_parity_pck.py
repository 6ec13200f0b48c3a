"""Parity with sd4match_pck.npz: given matches, and whole evaluations from feature maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.domain.geometry import rescale_corner_aligned
from kinmark.engine.evaluation.pck import PairResult, hits, score_categories, score_pairs
from kinmark.engine.matching.sampling import sample_features
from kinmark.engine.matching.selection import bilinear_match, kernel_soft_argmax, nearest, soft_argmax
from kinmark.engine.matching.similarity import similarity_maps

ALPHAS = (0.05, 0.1, 0.15)


@pytest.fixture(scope="module")
def vectors(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    folder: Path = request.getfixturevalue("reference_dir")
    with np.load(folder / "sd4match_pck.npz", allow_pickle=False) as data:
        return {name: data[name] for name in data.files}


def test_given_matches(vectors: dict[str, np.ndarray]) -> None:
    results = []
    for pair in range(7):
        n = int(vectors["n_pts"][pair])
        # Some predictions lie exactly on the threshold, computed in float32 by the reference.
        distance = np.linalg.norm(vectors["matches"][pair, :n] - vectors["trg_kps"][pair, :n], axis=-1)
        assert np.isfinite(distance).all()
        hit = hits(vectors["matches"][pair, :n], vectors["trg_kps"][pair, :n], vectors["pckthres"][pair], ALPHAS)
        results.append(PairResult(str(vectors["categories"][pair]), hit))
    overall, categories = score_pairs(results, ALPHAS, bootstrap=0), score_categories(results, ALPHAS)
    for i, alpha in enumerate(ALPHAS):
        for name, score in [("all", overall), *categories.items()]:
            assert score.per_image[i] == pytest.approx(float(vectors[f"image_pck{alpha}_{name}_mean"]), abs=1e-6)
            assert score.per_point[i] == pytest.approx(float(vectors[f"point_pck{alpha}_{name}_mean"]), abs=1e-6)


@pytest.mark.parametrize("kind", ["l2", "raw"])
def test_whole_evaluation(vectors: dict[str, np.ndarray], kind: str) -> None:
    image_wh, feature_wh = (128, 96), (16, 12)
    results: dict[str, list[PairResult]] = {name: [] for name in ("nn", "bilinear", "softmax", "kernelsoftmax")}
    for pair in range(4):
        n = int(vectors["ev_n_pts"][pair])
        source, target = (torch.from_numpy(vectors[f"ev_{side}_feat"][pair]) for side in ("src", "trg"))
        normalise = kind == "l2"
        query = rescale_corner_aligned(vectors["ev_src_kps"][pair], image_wh, feature_wh)
        query = torch.from_numpy(query).to(torch.float32)
        maps = similarity_maps(sample_features(source[None], query[None])[0], target, normalise=normalise)
        found = {
            "nn": nearest(maps),
            "bilinear": bilinear_match(source, query, target, normalise=normalise),
            "softmax": soft_argmax(maps),
            "kernelsoftmax": kernel_soft_argmax(maps),
        }
        for name, xy in found.items():
            matched = rescale_corner_aligned(xy.numpy(), feature_wh, image_wh)
            np.testing.assert_allclose(matched[:n], vectors[f"ev_matches_{name}_{kind}"][pair, :n], atol=2e-3)
            hit = hits(matched[:n], vectors["ev_trg_kps"][pair, :n], vectors["ev_pckthres"][pair], ALPHAS)
            results[name].append(PairResult(str(vectors["ev_categories"][pair]), hit))
    for name, pairs in results.items():
        for by in ("image", "point"):
            scores = {"all": score_pairs(pairs, ALPHAS, bootstrap=0), **score_categories(pairs, ALPHAS)}
            for group, score in scores.items():
                for i, alpha in enumerate(ALPHAS):
                    expected = float(vectors[f"ev_{by}_{kind}_{name}_pck{alpha}_{group}"])
                    got = score.per_image[i] if by == "image" else score.per_point[i]
                    assert got == pytest.approx(expected, abs=1e-6), (name, by, group, alpha)


def test_empty_pairs_do_not_make_nan() -> None:
    some = PairResult("a", np.array([[True, False]]))
    none = PairResult("a", np.zeros((1, 0), dtype=bool))
    score = score_pairs([some, none], (0.1,))
    assert score.per_image == (0.5,) and score.pairs == 1 and score.points == 2
    assert score.per_image_interval == ((0.5, 0.5),)


def test_strict_and_missing_predictions() -> None:
    truth, predicted = np.array([[0.0, 0], [10, 0]]), np.array([[1.0, 0], [np.nan, 0]])
    assert hits(predicted, truth, 10, (0.1,)).tolist() == [[True, False]]
    assert hits(predicted, truth, 10, (0.1,), strict=True).tolist() == [[False, False]]
