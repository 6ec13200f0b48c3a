"""Which features are read for which view: sums of parts share them, and of three sizes only the best is read whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kinmark.engine.api import ImageInput, Target
from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.views import ImageView
from kinmark.engine.matching.bank import WHOLE
from kinmark.engine.matching.plan.context import MatchContext
from kinmark.engine.matching.plan.plan import Plan
from kinmark.engine.matching.predict import Matcher
from kinmark.engine.matching.reader import DESCRIPTOR, DIFFUSION, FeatureReader, ViewParts, open_reader
from kinmark.engine.session import EngineSession


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(part, number of views) of everything that is computed."""
    made: list[tuple[str, int]] = []
    for part, name in ((DIFFUSION, "diffusion_maps"), (DESCRIPTOR, "descriptor_maps")):
        original = getattr(FeatureExtractor, name)

        def counted(
            own: FeatureExtractor,
            views: Sequence[ImageView],
            *rest: Any,
            _part: str = part,
            _do: Any = original,
            **named: Any,
        ) -> Any:
            made.append((_part, len(views)))
            return _do(own, views, *rest, **named)

        monkeypatch.setattr(FeatureExtractor, name, counted)
    return made


@pytest.fixture
def reader(toy_session: EngineSession, toy_pipeline_dir: Path) -> FeatureReader:
    backbone = str(toy_pipeline_dir)
    return open_reader(
        toy_session, backbone, toy_session.prompt("empty", toy_session.backbone(backbone), "thing"), None
    )


def test_sums_of_the_parts_share_what_was_read(
    reader: FeatureReader, toy_images: tuple[ImageInput, ...], computed: list[tuple[str, int]]
) -> None:
    view = reader.whole(toy_images[0])
    [alone] = reader.read([view], 1.0)
    assert computed == [(DESCRIPTOR, 1)] and set(alone.maps) == {DESCRIPTOR}
    [both] = reader.read([view], 0.4)
    assert computed == [(DESCRIPTOR, 1), (DIFFUSION, 1)]
    assert both.maps[DESCRIPTOR] is alone.maps[DESCRIPTOR]
    [again, twice] = reader.read([view, view])
    assert len(computed) == 2 and again.maps[DIFFUSION] is twice.maps[DIFFUSION] is both.maps[DIFFUSION]


SCORES = {0: 0.4, 1: 0.9, 2: 0.6}


@pytest.mark.parametrize(
    ("natural_part", "changes", "read_whole"),
    [
        (True, {}, 1),
        (False, {}, 3),  # nothing that has seen photographs: the sum of the parts tells the size
        (True, {"heads": False}, 3),  # published and plain matching stay as they are
        (True, {"fusion_weight": 0.0}, 3),
    ],
)
def test_of_three_sizes_only_the_best_is_read_whole(
    reader: FeatureReader,
    toy_images: tuple[ImageInput, ...],
    computed: list[tuple[str, int]],
    monkeypatch: pytest.MonkeyPatch,
    natural_part: bool,
    changes: dict[str, Any],
    read_whole: int,
) -> None:
    matcher = Matcher(reader, KeypointSchema(("a",), (), ()), (), MatchContext(reader, (), ()))
    target = Target(toy_images[0])
    plan = replace(Plan(fusion_weight=0.4, sizes=3), **changes)
    views = matcher.whole_views(target, plan)
    assert len(views) == 3
    number = {v.transform: n for n, v in enumerate(views)}

    def match(_self: Matcher, _bank: None, parts: ViewParts, *_: object) -> SimpleNamespace:
        n = number[parts.transform]
        return SimpleNamespace(view=n, parts=parts, poses=SimpleNamespace(score=torch.tensor([0.0, SCORES[n]])))

    monkeypatch.setattr(Matcher, "match", match)
    monkeypatch.setattr("kinmark.engine.matching.predict.head_features", lambda *_: natural_part or None)
    best: Any = matcher._best_view(views, target, plan, None, WHOLE)  # type: ignore[arg-type]
    assert best.view == 1 and DIFFUSION in best.parts.maps
    assert sum(count for part, count in computed if part == DIFFUSION) == read_whole
