"""Regions of a photo compared by the reference's parts that they hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.api import FindRequest, ImageInput, InstanceSettings, Reference
from engine.domain.masks import MaskRLE
from engine.instances.decision import RegionLikeness
from engine.instances.find import InstanceFinder, Region
from engine.instances.part_matching import found_parts
from engine.instances.picture import load_picture
from tests.engine.instances.conftest import BLUE, RED


def test_a_region_that_lacks_a_part_scores_lower() -> None:
    target = torch.zeros(3, 4, 8)
    target[2] = 1.0
    target[:, 1, 1], target[:, 1, 2] = torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0])  # both parts
    target[:, 1, 6] = torch.tensor([1.0, 0, 0])  # a double with one of them
    reference = torch.eye(3)[:2]
    both, one, elsewhere = (np.zeros((40, 80), bool) for _ in range(3))
    both[10:20, 10:30] = True
    one[10:20, 50:70] = True
    elsewhere[30:, :20] = True
    assert found_parts(reference, target, both) == pytest.approx(1.0)
    assert found_parts(reference, target, one) == pytest.approx(0.5)
    assert found_parts(reference, target, elsewhere) == pytest.approx(0.0)


def test_a_region_smaller_than_a_cell_counts_where_it_lies() -> None:
    target = torch.zeros(2, 2, 2)
    target[1] = 1.0
    target[:, 0, 1] = torch.tensor([1.0, 0.0])
    speck = np.zeros((40, 40), bool)
    speck[5:7, 30:32] = True
    assert found_parts(torch.tensor([[1.0, 0.0]]), target, speck) == pytest.approx(1.0)


@pytest.fixture
def finder_for(scene, toy_pipeline_dir, toy_session):
    reference, [mask] = scene("reference", [(60, 60, 30, RED)])

    def make(**extra):
        request = FindRequest(
            "r1", (Reference(reference, mask=MaskRLE.encode(mask)),), (), "toy",
            settings=InstanceSettings(extra=extra), backbone=str(toy_pipeline_dir),
        )  # fmt: skip
        return InstanceFinder(toy_session, request)

    return make


def _regions(masks: list[np.ndarray], scores: list[float]) -> list[Region]:
    return [Region(m, (0, 0), RegionLikeness(0.5, 0.5), s) for m, s in zip(masks, scores, strict=True)]


def test_parts_decide_between_regions_of_nearly_the_same_score(scene, finder_for, toy_session) -> None:
    finder = finder_for(part_matching=1000.0)
    picture = load_picture(toy_session.source, finder.request.references[0].image)
    own, other = np.zeros(picture.size_hw, bool), np.zeros(picture.size_hw, bool)
    own[40:80, 40:80] = True
    other[:30, 110:150] = True
    regions = _regions([other, own], [0.1, 0.0])
    # The reference's own photo: all its parts are exactly where they were marked.
    assert finder._chosen(picture, regions, 1) == [regions[1]]
    assert finder._chosen(picture, regions, 2) == regions
    assert finder_for()._chosen(picture, regions, 1) == [regions[0]]


def test_the_score_of_an_answer_does_not_depend_on_the_choice(scene, finder_for) -> None:
    target, _ = scene("target", [(110, 70, 24, RED), (40, 50, 24, BLUE)], seed=3)
    with_parts, without = (finder_for(part_matching=w).search(target)[0] for w in (1.0, 0.0))
    assert with_parts.peak_xy_image == without.peak_xy_image
    assert with_parts.score == pytest.approx(without.score)
    assert with_parts.spec.settings["part_matching"] == 1.0


def test_a_search_without_the_model_matches_no_parts(scene, finder_for) -> None:
    finder = finder_for(part_matching=1.0, evidence={"attention": 0.0, "colour": 1.0, "local": 0.0})
    assert finder.parts is None
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    assert isinstance(target, ImageInput)
    assert finder.search(target)[0].mask is not None
