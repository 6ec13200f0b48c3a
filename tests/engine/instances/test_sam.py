"""SAM-family segmenters on the real classes at toy size; wrong and damaged folders."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from kinmark.engine.api import ImageInput, InstanceSettings, SegmentRequest
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.domain.masks import MaskRLE, mask_iou
from kinmark.engine.instances.by_reference import InstanceFinder
from kinmark.engine.instances.picture import Picture
from kinmark.engine.instances.sam import background_points, load_segmenter, spread_points
from kinmark.engine.instances.segment import segment
from tests.engine.instances.conftest import RED
from tests.engine.instances.test_find import request_for  # noqa: F401 - fixture
from tests.support.toy_segmenters import make_toy_segmenter

KINDS = ["sam", "sam_hq", "sam2", "sam3_tracker", "edgetam"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def get(kind):
        if kind == "edgetam":
            pytest.importorskip("timm", reason="EdgeTAM's image encoder needs the optional package timm")
        if kind not in made:
            made[kind] = make_toy_segmenter(kind, tmp_path_factory.mktemp("segmenters") / kind)
        return made[kind]

    return get


def picture(width=60, height=48):
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Picture(ImageInput("a", None), rgb, (width, height))


@pytest.mark.parametrize("kind", KINDS)
def test_points_boxes_and_maps_give_masks_of_the_picture(folders, toy_session, kind):
    segmenter = load_segmenter(str(folders(kind)), toy_session)
    shot = picture()
    calls = []
    original = segmenter.model.get_image_embeddings
    segmenter.model.get_image_embeddings = lambda *a, **k: calls.append(1) or original(*a, **k)
    mask, score = segmenter.segment(shot.rgb, [(10, 10), (40, 30)], [1, 0], key="a")
    assert mask.shape == (48, 60) and mask.dtype == bool and np.isfinite(score)
    boxed, _ = segmenter.segment(shot.rgb, [], [], box=(5.0, 5.0, 30.0, 30.0), key="a")
    assert boxed.shape == (48, 60) and len(calls) == 1  # set once, ask many
    values = np.zeros((16, 20), np.float32)
    values[5:9, 5:9] = 1
    rough = np.zeros((48, 60), bool)
    rough[15:27, 15:27] = True
    assert segmenter.from_map(shot, values, rough).shape == (48, 60)
    empty = np.zeros_like(rough)
    assert segmenter.from_map(shot, values, empty) is empty


@pytest.mark.parametrize("kind", KINDS[:3])
def test_prompts_reach_the_model_in_its_own_frame(folders, toy_session, kind):
    segmenter = load_segmenter(str(folders(kind)), toy_session)
    seen = {}
    forward = segmenter.model.forward

    def spy(**kwargs):
        seen.update(kwargs)
        return forward(**kwargs)

    segmenter.model.forward = spy
    segmenter.segment(picture(80, 40).rgb, [(79, 39)], [1], prior=np.ones((10, 20), np.float32))
    x, y = seen["input_points"].flatten().tolist()
    scale_y = 64 / 80 if kind in ("sam", "sam_hq") else 64 / 40
    assert (x, y) == pytest.approx((79.5 * 64 / 80, 39.5 * scale_y))
    side = seen["input_masks"].shape[-1]
    used = round(side * (40 / 80)) if kind in ("sam", "sam_hq") else side
    assert (seen["input_masks"][0, 0, :used] > 0).all()
    assert used == side or (seen["input_masks"][0, 0, used:] < 0).all()


def test_low_logits_land_at_their_place_in_the_picture(folders, toy_session):
    segmenter = load_segmenter(str(folders("sam")), toy_session)
    logits = torch.full((32, 32), -5.0)
    logits[:8, 16:] = 5  # the upper right quarter of the used half of the square
    mask = segmenter._to_picture(logits, (40, 80))
    truth = np.zeros((40, 80), bool)
    truth[:20, 40:] = True
    assert mask_iou(mask, truth) > 0.9


def test_points_are_spread_over_the_core_and_start_at_the_peak():
    region = np.zeros((60, 80), bool)
    region[10:50, 10:70] = True
    values = np.full((60, 80), 0.5, np.float32)
    values[20, 30] = 1
    points = spread_points(values, region)
    assert points[0] == (30, 20) and len(points) == 8
    assert all(region[y, x] for x, y in points)
    distances = [np.hypot(a[0] - b[0], a[1] - b[1]) for i, a in enumerate(points) for b in points[:i]]
    assert min(distances) > 5
    assert all(not region[y, x] for x, y in background_points(values, region))
    assert spread_points(values, np.zeros_like(region)) == []
    assert background_points(values, np.ones_like(region)) == []


def test_search_and_segment_use_the_segmenter(folders, scene, request_for, toy_session):  # noqa: F811
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    settings = InstanceSettings(refine=str(folders("sam")), threshold=0.0)
    [found] = InstanceFinder(toy_session, request_for(target, settings=settings)).search(target)
    assert found.mask is not None and found.spec.settings["refine"].endswith("sam")
    request = SegmentRequest("s", target, positive_xy_image=((110.0, 70.0),), refine=str(folders("sam2")))
    try:
        assert segment(toy_session, request).mask is not None
    except UserInputError as error:  # random weights may give an empty mask; that has its own sentence
        assert "No mask" in str(error)


def test_wrong_and_damaged_folders_are_named(folders, tmp_path, toy_session, toy_pipeline_dir):
    with pytest.raises(ModelMissingError, match="no segmenter"):
        load_segmenter("does-not-exist", toy_session)
    with pytest.raises(ModelCorruptError, match=r"config\.json"):
        load_segmenter(str(toy_pipeline_dir), toy_session)
    with pytest.raises(ModelCorruptError, match="clip_text_model"):
        load_segmenter(str(toy_pipeline_dir / "text_encoder"), toy_session)
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folders("sam") / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(ModelCorruptError, match="safetensors"):
        load_segmenter(str(pickled), toy_session)
    other = tmp_path / "other"
    other.mkdir()
    config = json.loads((folders("sam") / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config))
    from safetensors.torch import load_file, save_file

    weights = load_file(folders("sam") / "model.safetensors")
    del weights[next(k for k in weights if k.startswith("vision_encoder"))]
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelCorruptError, match="lacks weights"):
        load_segmenter(str(other), toy_session)


def test_segment_without_a_model(scene, toy_session):
    image, [mask] = scene("one", [(80, 60, 30, RED)], seed=2)
    for request in (
        SegmentRequest("b", image, box=(48.0, 28.0, 112.0, 92.0)),
        SegmentRequest("p", image, positive_xy_image=((80.0, 60.0),), negative_xy_image=((5.0, 5.0),)),
        SegmentRequest("m", image, mask=MaskRLE.encode(np.roll(mask, 4, axis=1))),
    ):
        found = segment(toy_session, request)
        assert mask_iou(found.mask.decode(), mask) > 0.8 and found.request_id == request.request_id
    with pytest.raises(UserInputError, match="nothing to start"):
        segment(toy_session, SegmentRequest("n", image))


@pytest.mark.parametrize(
    "error", [ImportError("timm is missing"), RuntimeError("operator torchvision::nms does not exist")]
)
def test_a_package_that_is_missing_or_of_another_build_is_no_damaged_folder(folders, toy_session, monkeypatch, error):
    import transformers

    def fail(*_a, **_k):
        raise error

    folder = folders("sam")
    monkeypatch.setattr(transformers.SamModel, "from_pretrained", fail)
    with pytest.raises(ModelMissingError, match="does not fit the installed torch") as caught:
        load_segmenter(str(folder), toy_session)
    assert "torchvision" in caught.value.hint and str(error) in caught.value.details
