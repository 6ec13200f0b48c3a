"""Pipelines by name, and the settings that name them: what is open, what is decided, what older versions stored."""

from __future__ import annotations

import json
from dataclasses import fields
from types import SimpleNamespace

import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.matching.plan.plan import Plan, apply_settings
from kinmark.engine.pipelines.registry import PIPELINES, pipeline_of
from kinmark.engine.requests import FIRST_LOOK, OPTIMISED, SWEEP, MatchSettings
from kinmark.engine.requests.settings import NUMBERS

STORED = {
    "method": "nn",
    "stages": 2,
    "rotations": 4,
    "flip": True,
    "fusion_weight": 0.3,
    "fuse_exemplars": "mean",
    "location_prior": 0.3,
    "shape_weight": 0.7,
    "temperature": 0.04,
    "sigma_cells": 2.0,
    "top_k": 3,
    "nms_cells": 2,
    "extra": {"foreground": 0.1, "whiten": 0.0, "crop_margin": 0.35, "heads": False, "gone since": 1},
}
"""A choice as it was stored before a number had one name everywhere."""


def test_a_choice_of_an_older_version_means_what_it_meant() -> None:
    settings = MatchSettings.from_json(json.loads(json.dumps(STORED)))
    assert (settings.fuse, settings.location, settings.shape) == ("mean", 0.3, 0.7)
    assert (settings.foreground, settings.whiten, settings.heads, settings.sizes) == (0.1, 0.0, False, None)
    assert settings.is_complete
    plan = apply_settings(Plan(), settings)
    assert (plan.sigma_cells, plan.crop_margin, plan.slack) == (2.0, 0.35, Plan().slack)


@pytest.mark.parametrize("name", [FIRST_LOOK, OPTIMISED])
def test_a_method_that_was_a_pipeline_is_one_now(name: str) -> None:
    assert MatchSettings.from_json({"method": name}) == MatchSettings(pipeline=name)


@pytest.mark.parametrize(
    "settings",
    [MatchSettings(), MatchSettings(pipeline=OPTIMISED, options={"steps": 3}), Plan(whiten=0.0).to_settings()],
)
def test_stored_settings_come_back(settings: MatchSettings) -> None:
    assert MatchSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_a_plan_has_nothing_open() -> None:
    assert all(getattr(Plan(), name) is not None for name in NUMBERS)
    assert {f.name for f in fields(Plan)} == {*NUMBERS, "pipeline", "options"}
    assert Plan().decided() == Plan().numbers()


def test_what_the_engine_chooses_stays_open() -> None:
    assert MatchSettings(method="nn").decided() == {"method": "nn"}
    assert not MatchSettings(method="nn").is_complete
    assert apply_settings(Plan(whiten=0.5), MatchSettings(top_k=5)) == Plan(whiten=0.5, top_k=5)


def test_a_pipeline_is_found_by_its_name_and_by_the_prompt() -> None:
    asked = SimpleNamespace(settings=MatchSettings(pipeline=FIRST_LOOK), prompt="auto")
    assert pipeline_of(None, asked) is PIPELINES[FIRST_LOOK]  # type: ignore[arg-type]
    asked.settings = MatchSettings()
    assert pipeline_of(None, asked) is PIPELINES[SWEEP]  # type: ignore[arg-type]
    asked.settings = MatchSettings(pipeline="crystal ball")
    with pytest.raises(UserInputError, match="crystal ball"):
        pipeline_of(None, asked)  # type: ignore[arg-type]
