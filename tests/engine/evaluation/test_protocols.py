"""Every protocol against a plain re-computation written here from its definition (methods/evaluation.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.evaluation.correspondence import make_report
from kinmark.engine.evaluation.datasets.base import EvaluationPair
from kinmark.engine.evaluation.protocols import get_protocol, judge_pair, reference_length

RNG = np.random.default_rng(5)


def pair(dataset: str = "spair", rule: str = "box", count: int = 40) -> tuple[EvaluationPair, np.ndarray]:
    truth = RNG.uniform([20, 20], [380, 230], (count, 2))
    predicted = truth + RNG.normal(0, 18, (count, 2))
    made = EvaluationPair(
        dataset,
        "p",
        "cat",
        Path("a.jpg"),
        Path("b.jpg"),
        truth,
        truth,
        (300, 500),
        (400, 250),
        (10, 20, 250, 440),
        (15, 30, 375, 210),
        rule,
    )
    return made, predicted


def plain(distance: np.ndarray, length: float, alpha: float, strict: bool = False) -> list[bool]:
    return [bool(d < alpha * length) if strict else bool(d <= alpha * length) for d in distance]


def test_original_pixels() -> None:
    made, predicted = pair()
    distance = np.hypot(*(predicted - made.target_points).T)
    for name in ("ours", "dift"):
        result = judge_pair(made, predicted, get_protocol(name))
        assert result.hits[1].tolist() == plain(distance, 360, 0.1)


def test_squashed_square_with_clamped_truth() -> None:
    made, predicted = pair()
    scale = np.array([768 / 400, 768 / 250])
    truth = np.clip(made.target_points * scale, 1e-4, 767 - 1e-4)
    distance = np.hypot(*(predicted * scale - truth).T)
    length = max(360 * 768 / 400, 180 * 768 / 250)
    assert judge_pair(made, predicted, get_protocol("sd4match")).hits[1].tolist() == plain(distance, length, 0.1)


def test_hedlin_keeps_its_defects() -> None:
    made, predicted = pair()
    scale = np.array([512 / 400, 512 / 250])
    distance = np.hypot(*((predicted - made.target_points) * scale).T)
    source_length = max(240 * 512 / 300, 420 * 512 / 500)
    result = judge_pair(made, predicted, get_protocol("hedlin"))
    assert result.hits[0].tolist() == plain(distance, source_length, 0.05)
    willow, _ = pair("pfwillow", "points")
    squashed = willow.target_points * scale
    assert reference_length(willow, get_protocol("hedlin")) == pytest.approx(squashed.max() + 1)
    cub, _ = pair("cub")
    assert reference_length(cub, get_protocol("hedlin")) == pytest.approx(360 * 512 / 400)


def test_padded_square_is_strict() -> None:
    made, _ = pair()
    scale = 840 / 400
    on_the_line = made.target_points + [36.0, 0.0]
    strict = judge_pair(made, on_the_line, get_protocol("geoaware"))
    assert reference_length(made, get_protocol("geoaware")) == pytest.approx(360 * scale)
    alphas = get_protocol("geoaware").alphas
    inside = judge_pair(made, made.target_points + [35.9, 0.0], get_protocol("geoaware"))
    assert inside.hits[alphas.index(0.1)].all() and strict.hits[alphas.index(0.15)].all()


def test_lengths_of_pascal_and_willow() -> None:
    pascal, _ = pair("pfpascal", "image")
    assert reference_length(pascal, get_protocol("ours")) == 400
    assert reference_length(pascal, get_protocol("sd4match")) == 768
    willow, _ = pair("pfwillow", "points")
    extent = np.ptp(willow.target_points, axis=0).max()
    assert reference_length(willow, get_protocol("ours")) == pytest.approx(extent)


def test_report_has_both_averages_and_intervals() -> None:
    made, predicted = pair()
    protocol = get_protocol("ours")
    results = [judge_pair(made, predicted + RNG.normal(0, 5, predicted.shape), protocol) for _ in range(6)]
    report = make_report(results, protocol.alphas)
    low, high = report["per_image_interval"][1]
    assert low <= report["per_image"][1] <= high and report["points"] == 240
    assert report["categories"]["cat"]["pairs"] == 6


def test_unknown_protocol_is_named() -> None:
    with pytest.raises(UserInputError, match="no protocol 'x'"):
        get_protocol("x")
