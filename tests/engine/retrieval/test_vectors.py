"""Vectors of the index: the network of photographs has its share, or the backbone's features where it is missing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import EngineConfig, ImageInput, Target, VectorRequest
from kinmark.engine.features import efficientnet
from kinmark.engine.retrieval.vectors import PART_WEIGHTS, WEIGHTS_WITHOUT_NATURAL, photo_vectors
from kinmark.engine.session import EngineSession
from tests.engine.regions.test_natural import needs_weights


@pytest.fixture
def targets(tmp_path):
    found = []
    for number, colour in enumerate([(220, 30, 30), (30, 60, 220)]):
        rgb = np.full((90, 120, 3), 110, np.uint8)
        cv2.circle(rgb, (60, 45), 25, colour, -1)
        Image.fromarray(rgb).save(tmp_path / f"{number}.png")
        found.append(Target(ImageInput(str(number), tmp_path / f"{number}.png")))
    return tuple(found)


def described(targets, backbone, folder):
    session = EngineSession(EngineConfig(device="cpu", cache_dir=folder))
    try:
        return list(photo_vectors(session, VectorRequest("r", targets, str(backbone))))
    finally:
        session.close()


@needs_weights
def test_the_share_of_the_network_is_in_the_cosine_and_rows_stay_short(targets, toy_pipeline_dir, tmp_path):
    first, second = described(targets, toy_pipeline_dir, tmp_path / "cache")
    assert first.vectors.shape == second.vectors.shape == (6, 363)
    np.testing.assert_allclose(np.linalg.norm(first.vectors, axis=1), 1, atol=1e-5)
    share = (first.vectors[:, 235:] ** 2).sum(axis=1)
    np.testing.assert_allclose(share, PART_WEIGHTS["natural"] / sum(PART_WEIGHTS.values()), atol=1e-4)
    again = described(targets, toy_pipeline_dir, tmp_path / "cache")[0]
    np.testing.assert_allclose(again.vectors, first.vectors, atol=1e-6)


def test_without_the_weights_the_index_is_another_one_and_works(targets, toy_pipeline_dir, tmp_path, monkeypatch):
    package = efficientnet.LiteVariant("lite2", "no_such_package_of_weights", "none.pth", 1.1, 1.2)
    monkeypatch.setitem(efficientnet.VARIANTS, "lite2", package)
    first, _ = described(targets, toy_pipeline_dir, tmp_path / "cache")
    assert np.isfinite(first.vectors).all() and first.spec.settings["natural"] == ""
    assert first.spec.settings["parts"] == WEIGHTS_WITHOUT_NATURAL
    monkeypatch.undo()
    if needs_weights.args[0]:
        return
    assert described(targets, toy_pipeline_dir, tmp_path / "cache")[0].spec.fingerprint() != first.spec.fingerprint()


@needs_weights
def test_directions_of_kinds_are_orthonormal_and_signed():
    kinds = efficientnet.NaturalFeatures().kinds
    assert kinds.shape == (1280, efficientnet.KINDS)
    np.testing.assert_allclose(kinds.T @ kinds, np.eye(efficientnet.KINDS), atol=1e-4)
    assert (kinds[np.abs(kinds).argmax(axis=0), np.arange(efficientnet.KINDS)] > 0).all()
