"""Search by the word alone: what is found, what is refused, how the score compares words."""

from __future__ import annotations

import numpy as np
import pytest

from kinmark.engine.api import FindRequest, InstanceSettings
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.instances.by_name import NamedThingFinder, knows_word, word_score
from kinmark.engine.instances.find import find_instance
from tests.engine.instances.conftest import BLUE, RED

WORD = "dog"


@pytest.fixture
def ask(toy_session, toy_pipeline_dir):
    def make(*targets, name=WORD, **settings):
        return FindRequest(
            "r1", (), targets, name, settings=InstanceSettings(**settings), backbone=str(toy_pipeline_dir)
        )

    return make


def test_a_known_word_gives_a_ranked_mask_without_any_reference(scene, ask, toy_session):
    target, _ = scene("target", [(100, 60, 26, RED)], seed=5)
    [found] = find_instance(toy_session, ask(target, threshold=0.0))
    assert found.mask is not None and found.mask.decode().any() and found.spec.method == "pdm-word"
    assert found.spec.settings["references"] == 0 and found.spec.settings["class_name"] == WORD
    x, y = found.peak_xy_image
    assert 0 <= x <= 160 and 0 <= y <= 120 and 0 < found.confidence < 1
    [nothing] = find_instance(toy_session, ask(target, threshold=1.0))
    assert nothing.mask is None and nothing.score == found.score


def test_the_mask_is_where_the_word_attends(scene, ask, toy_session, monkeypatch):
    target, [ball] = scene("target", [(110, 70, 30, BLUE)], seed=6)
    finder = NamedThingFinder(toy_session, ask(target))
    features = finder.extractor.extract(target)
    rows, columns = features.grid_hw
    inside = ball[:: ball.shape[0] // rows, :: ball.shape[1] // columns][:rows, :columns].ravel()
    query = features.cross_q.clone() * 0
    query[inside] = finder.words[0]
    monkeypatch.setattr(
        finder.extractor, "extract", lambda *a, **k: type(features)(**{**vars(features), "cross_q": query})
    )
    from kinmark.engine.instances.picture import load_picture

    [region] = finder.regions(load_picture(toy_session.source, target))
    assert ball[region.peak_rc] and (region.mask & ball).sum() > 0.6 * ball.sum()


def test_an_unknown_or_missing_word_is_refused_with_the_reason(scene, ask, toy_session, toy_pipeline_dir):
    target, _ = scene("target", [(100, 60, 26, RED)])
    with pytest.raises(UserInputError, match="does not know the word 'q#x'"):
        list(find_instance(toy_session, ask(target, name="q#x")))
    with pytest.raises(UserInputError, match="no reference"):
        list(find_instance(toy_session, ask(target, name=" ")))
    assert knows_word(toy_session, WORD, str(toy_pipeline_dir))
    assert not knows_word(toy_session, "q#x", str(toy_pipeline_dir))


def test_the_score_is_zero_at_chance():
    assert word_score(0.1, 10) == pytest.approx(0)
    assert word_score(0.5, 10) == pytest.approx(np.log(9)) and word_score(0.01, 10) < 0 == word_score(0.3, 1)
