"""The soft argmax's temperature in the unit of fused scores: what the card says, and that plain matching uses it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.api import EngineConfig, EvaluateRequest, ImageInput, MatchRequest, MatchSettings, Target, open_engine
from engine.backbones.spec import FusionSpec
from engine.domain.geometry import continuous_to_index, index_to_continuous
from engine.evaluation.correspondence import match_pair
from engine.evaluation.datasets import EvaluationPair
from engine.evaluation.quality import Arm
from engine.features.fusion import for_fused_scores
from engine.matching.selection import TEMPERATURE, kernel_soft_argmax
from engine.session import EngineSession

CARD = FusionSpec("dense_sift", 0.46, extra={"kernel_width": 0.045, "temperature_factor": 0.75})


@pytest.mark.parametrize(
    ("settings", "fusion", "expected"),
    [
        (MatchSettings(), CARD, 0.03),
        (MatchSettings(temperature=0.1), CARD, 0.075),
        (MatchSettings(fusion_weight=0.2), CARD, 0.03),
        (MatchSettings(fusion_weight=0.0), CARD, 0.04),
        (MatchSettings(fusion_weight=1.0), CARD, 0.04),
        (MatchSettings(), FusionSpec(), 0.04),
        (MatchSettings(), replace(CARD, descriptor=""), 0.04),
        (MatchSettings(), FusionSpec("dense_sift", 0.46), 0.04),
    ],
)
def test_only_fused_scores_have_another_temperature(settings, fusion, expected) -> None:
    assert for_fused_scores(settings, fusion) == replace(settings, temperature=pytest.approx(expected))


def test_a_fused_peak_is_not_blurred_away_by_the_plain_temperature() -> None:
    # The right place is 0.1 above a broad wrong hill in the cosines; a fused map holds 0.54 of that difference.
    cosines = torch.full((1, 24, 24), 0.0)
    cosines[0, 8:16, 11:21] = 0.75
    cosines[0, 12, 8] = 0.95
    arm = Arm.of_card("f", "a", CARD)
    plain, sharp = (kernel_soft_argmax(0.54 * cosines, temperature=t)[0] for t in (TEMPERATURE, arm.temperature))
    place = torch.tensor([8.0, 12.0])
    assert (sharp - place).norm() < 0.8 * (plain - place).norm()


@pytest.fixture
def fused_folder(toy_pipeline_dir: Path, tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(toy_pipeline_dir, tmp_path / "fused"))
    card = folder / "kinmark.json"
    known = json.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    fusion = {"descriptor": "dense_sift", "weight": 0.4, "kernel_width": 0.05, "temperature_factor": 0.5}
    card.write_text(json.dumps({**known, "fusion": fusion}), encoding="utf-8")
    return folder


def test_engine_and_evaluation_match_with_it(
    fused_folder: Path, toy_images: tuple[ImageInput, ...], toy_session: EngineSession, tmp_path: Path
) -> None:
    source, target = toy_images[:2]
    points = index_to_continuous(np.array([[20.0, 20.0], [60.0, 40.0]]))
    engine = open_engine(EngineConfig(device="cpu", dtype="fp32", cache_dir=tmp_path / "own", threads=1))
    try:
        asked = MatchRequest("m", source, points, Target(target), backbone=str(fused_folder), prompt="empty")
        found = engine.match(asked)
        alone = engine.match(replace(asked, settings=MatchSettings(fusion_weight=0.0)))
    finally:
        engine.close()
    assert found.spec.settings["plan"]["temperature"] == pytest.approx(0.02)
    assert alone.spec.settings["plan"]["temperature"] == pytest.approx(0.04)
    index = continuous_to_index(points)
    pair = EvaluationPair("spair", "p", "", source.path, target.path, index, index, (96, 64), (64, 96))
    request = EvaluateRequest("spair", tmp_path, backbone=str(fused_folder), prompt="empty")
    again = match_pair(toy_session, request, pair, None)
    np.testing.assert_allclose(again, continuous_to_index(found.points_xy_image), atol=1e-6)
