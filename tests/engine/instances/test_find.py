"""Search of one instance through the real pipeline classes at toy size: found, not here, several, negatives, bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import FindRequest, ImageInput, InstanceSettings, Reference, TargetFailure
from kinmark.engine.domain.errors import OperationCancelled, UnreadableImageError, UserInputError
from kinmark.engine.domain.masks import MaskRLE, mask_iou
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.instances.by_reference import InstanceFinder
from kinmark.engine.instances.evidence import resize_map
from kinmark.engine.instances.find import find_instance
from kinmark.engine.instances.picture import load_picture
from tests.engine.instances.conftest import BLUE, RED

APPEARANCE = {"evidence": {"attention": 0.1, "colour": 0.7, "local": 0.2}}


@pytest.fixture
def request_for(scene, toy_pipeline_dir):
    reference, [mask] = scene("reference", [(60, 60, 30, RED)])

    def make(*targets, **kwargs):
        settings = kwargs.pop("settings", InstanceSettings(extra=APPEARANCE))
        defaults = {
            "references": (Reference(reference, mask=MaskRLE.encode(mask)),),
            "class_name": "toy",
            "backbone": str(toy_pipeline_dir),
        }
        return FindRequest("r1", targets=targets, settings=settings, **(defaults | kwargs))

    return make


def test_the_right_one_of_two_is_cut_out(scene, request_for, toy_session):
    target, [red, blue] = scene("target", [(110, 70, 24, RED), (40, 50, 24, BLUE)], seed=3)
    progress = Progress()
    [found] = find_instance(toy_session, request_for(target), progress=progress)
    assert found.mask is not None and found.image_id == "target" and found.request_id == "r1"
    assert mask_iou(found.mask.decode(), red) > 0.75 and not (found.mask.decode() & blue).any()
    x, y = found.peak_xy_image
    assert np.hypot(x - 110, y - 70) < 24
    assert 0 < found.confidence <= 1 and found.seconds > 0
    assert found.spec.method == "pdm" and found.spec.settings["class_name"] == "toy"
    assert progress.snapshot().done == 1


@pytest.mark.parametrize("how", ["box", "point", "photo"])
def test_reference_from_box_click_or_the_photo_alone(scene, request_for, toy_session, how):
    request = request_for(scene("target", [(110, 70, 24, RED), (40, 50, 24, BLUE)], seed=3)[0])
    image = request.references[0].image
    reference = {
        "box": Reference(image, box=(28.0, 28.0, 92.0, 92.0)),
        "point": Reference(image, point_xy_image=(60.0, 60.0)),
        "photo": Reference(image),
    }[how]
    [found] = find_instance(toy_session, replace(request, references=(reference,)))
    x, y = found.peak_xy_image
    assert found.mask is not None and np.hypot(x - 110, y - 70) < 24


def test_absent_things_get_no_mask_and_rank_below_present_ones(scene, request_for, toy_session):
    here, _ = scene("here", [(100, 60, 26, RED)], seed=5)
    absent, _ = scene("absent", [(100, 60, 26, BLUE)], seed=6)
    found, missing = find_instance(toy_session, request_for(here, absent))
    assert missing.mask is None and missing.box is None and found.mask is not None
    assert missing.score < found.score and missing.confidence < found.confidence


def test_every_distinct_instance_is_its_own_proposal(scene, request_for, toy_session):
    target, masks = scene("twins", [(40, 60, 22, RED), (115, 60, 22, RED), (78, 20, 14, BLUE)], seed=8)
    settings = InstanceSettings(max_instances=4, extra=APPEARANCE)
    found = list(find_instance(toy_session, request_for(target, settings=settings)))
    assert [f.rank for f in found] == list(range(len(found)))
    for mask in masks[:2]:
        assert max(mask_iou(f.mask.decode(), mask) for f in found) > 0.6
    assert found[0].score >= found[-1].score


def test_a_denied_look_alike_is_pulled_down(scene, request_for, toy_session):
    orange = (220, 110, 30)
    other, [mask] = scene("denied", [(80, 60, 28, orange)], seed=11)
    target, _ = scene("target", [(80, 60, 28, orange)], seed=12)
    plain = next(
        find_instance(toy_session, request_for(target, settings=InstanceSettings(threshold=0, extra=APPEARANCE)))
    )
    request = request_for(
        target,
        negatives=(Reference(other, mask=MaskRLE.encode(mask)),),
        settings=InstanceSettings(threshold=0, extra=APPEARANCE),
    )
    denied = next(find_instance(toy_session, request))
    assert denied.score < plain.score - 0.5


def test_several_references_find_what_one_alone_misses(scene, request_for, toy_session):
    target, _ = scene("target", [(80, 60, 26, BLUE)], seed=13)
    second, [mask] = scene("second", [(70, 50, 26, BLUE)], seed=14)
    one = next(find_instance(toy_session, request_for(target)))
    both = request_for(target)
    both = replace(both, references=(*both.references, Reference(second, mask=MaskRLE.encode(mask))))
    two = next(find_instance(toy_session, both))
    assert one.mask is None and two.mask is not None


@pytest.mark.parametrize(
    "settings",
    [
        InstanceSettings(inversion_steps=3),
        InstanceSettings(inversion_steps=6),
        InstanceSettings(variant="pdm-votes", inversion_steps=3),
        InstanceSettings(mode="semantic"),
        InstanceSettings(mode="appearance", background_suppression=False),
        InstanceSettings(refine="threshold"),
    ],
)
def test_every_variant_runs_and_records_itself(scene, request_for, toy_session, settings):
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    settings = replace(
        settings, threshold=0.0, extra={"evidence": {"attention": 1, "colour": 0, "local": 0, "natural": 0}}
    )
    finder = InstanceFinder(toy_session, request_for(target, settings=settings))
    [found] = finder.search(target)
    assert found.mask is not None and found.spec.method == settings.variant
    steps = finder.spec.settings["inversion_steps"]
    assert steps == (settings.inversion_steps or 0) and finder.spec.settings["mode"] == settings.mode


def test_attention_features_are_cached_and_equal(scene, request_for, toy_session):
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    finder = InstanceFinder(toy_session, request_for(target))
    first = finder.extractor.extract(target)
    again = finder.extractor.extract(target)
    assert (first.self_q == again.self_q).all() and (first.cross_q == again.cross_q).all()
    assert first.grid_hw == again.grid_hw
    assert list(toy_session.cache.folder.glob("??/*.safetensors"))


def test_a_word_outside_the_vocabulary_still_works_by_appearance(scene, request_for, toy_session):
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    finder = InstanceFinder(toy_session, request_for(target, class_name="zyxxqv"))
    assert finder.extractor.class_keys.tokens == ()
    assert finder.search(target)[0].mask is not None
    known = InstanceFinder(toy_session, request_for(target, class_name="dog"))
    assert len(known.extractor.class_keys.tokens) == 1


def test_bad_references_are_refused_with_the_file_and_what_to_do(scene, request_for, toy_session, tmp_path):
    request = request_for(scene("target", [(110, 70, 24, RED)])[0])
    image = request.references[0].image
    shape = (120, 160)
    bad = [
        (Reference(image, mask=MaskRLE.encode(np.zeros(shape, bool))), UserInputError, "empty"),
        (Reference(image, mask=MaskRLE.encode(np.ones((10, 10), bool))), UserInputError, "160 x 120"),
        (Reference(image, box=(500.0, 500.0, 600.0, 600.0)), UserInputError, "outside"),
        (Reference(image, point_xy_image=(-5.0, 3.0)), UserInputError, "outside"),
        (Reference(ImageInput("gone", tmp_path / "gone.png")), UnreadableImageError, "gone.png"),
    ]
    for reference, error, text in bad:
        with pytest.raises(error, match=text):
            list(find_instance(toy_session, replace(request, references=(reference,))))
    with pytest.raises(UserInputError, match="no reference"):
        list(find_instance(toy_session, replace(request, references=(), class_name="")))


def test_a_mask_of_the_whole_photo_is_taken_as_it_is(scene, request_for, toy_session):
    request = request_for(scene("target", [(110, 70, 24, RED)], seed=3)[0])
    full = Reference(request.references[0].image, mask=MaskRLE.encode(np.ones((120, 160), bool)))
    finder = InstanceFinder(toy_session, replace(request, references=(full,)))
    # All of the photo is the thing: there is no background to tell it from.
    assert finder.model.area_share == 1 and finder.model.other_patches is None
    [found] = finder.search(request.targets[0])
    assert found.score < finder.search(request.references[0].image)[0].score


@pytest.mark.parametrize("how", ["photo", "mask", "box", "click"])
def test_a_reference_of_one_pixel_is_searched_like_any_other(scene, request_for, toy_session, tmp_path, how):
    Image.new("RGB", (1, 1), RED).save(tmp_path / "one.png")
    image = ImageInput("one", tmp_path / "one.png")
    given = {
        "photo": Reference(image),
        "mask": Reference(image, mask=MaskRLE.encode(np.ones((1, 1), bool))),
        "box": Reference(image, box=(0.0, 0.0, 1.0, 1.0)),
        "click": Reference(image, point_xy_image=(0.5, 0.5)),
    }[how]
    target, _ = scene("target", [(110, 70, 24, RED)], seed=3)
    [found] = find_instance(toy_session, replace(request_for(target), references=(given,)))
    assert not isinstance(found, TargetFailure) and np.isfinite(found.score)
    assert found.image_id == target.image_id


def test_the_best_of_several_places_is_answered_not_the_highest_peak(scene, request_for, toy_session, monkeypatch):
    """The map's peak lies on a blue ball; compared as whole regions the red one is more like the reference."""
    target, masks = scene("target", [(45, 60, 24, BLUE), (115, 60, 24, RED)], seed=8)
    finder = InstanceFinder(toy_session, request_for(target, settings=InstanceSettings(threshold=0.0)))
    picture = load_picture(toy_session.source, target)
    evidence = finder.evidence(picture, finder.model)
    grid = evidence.fused.shape
    misled = np.zeros(grid, np.float32)
    for value, mask in zip((1.0, 0.8), masks, strict=True):
        misled = np.maximum(misled, value * resize_map(mask.astype(np.float32), grid))
    monkeypatch.setattr(finder, "evidence", lambda *_a: replace(evidence, fused=misled))
    [best] = finder.regions(picture)
    work = picture.to_work_mask(masks[1])
    assert work[best.peak_rc] and (best.mask & work).sum() > 0.6 * work.sum()


def test_tiny_and_unreadable_targets_do_not_stop_the_sweep(scene, request_for, toy_session, tmp_path):
    good, _ = scene("good", [(100, 60, 26, RED)], seed=5)
    Image.new("RGB", (1, 1), RED).save(tmp_path / "one.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nonsense")
    targets = (ImageInput("one", tmp_path / "one.png"), ImageInput("broken", tmp_path / "broken.png"), good)
    one, broken, found = find_instance(toy_session, request_for(*targets))
    assert not isinstance(one, TargetFailure) and np.isfinite(one.score)
    assert isinstance(broken, TargetFailure) and "broken.png" in str(broken.error)
    assert found.mask is not None


def test_bad_settings_and_cancel(scene, request_for, toy_session):
    target, _ = scene("target", [(110, 70, 24, RED)])
    for settings in (
        InstanceSettings(variant="magic"),
        InstanceSettings(mode="wrong"),
        InstanceSettings(max_instances=0),
        InstanceSettings(variant="pdm-votes", inversion_steps=0),
        InstanceSettings(extra={"evidence": {"smell": 1.0}}),
    ):
        with pytest.raises(UserInputError):
            list(find_instance(toy_session, request_for(target, settings=settings)))
    token = CancelToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        list(find_instance(toy_session, request_for(target), cancel=token))


def test_the_natural_part_points_at_the_thing_and_search_works_without_its_weights(
    scene, request_for, toy_session, monkeypatch
):
    target, [red, blue] = scene("target", [(110, 70, 24, RED), (40, 50, 24, BLUE)], seed=3)
    request = request_for(target)
    finder = InstanceFinder(toy_session, request)
    if finder.network is not None:
        picture = load_picture(toy_session.source, target)
        natural = finder.evidence(picture, finder.model).natural
        inside = resize_map(red.astype(np.float32), natural.shape) > 0.5
        ground = resize_map((red | blue).astype(np.float32), natural.shape) < 0.1
        assert natural[inside].mean() > natural[ground].mean() + 0.3
        assert finder.spec.settings["natural"] == finder.network.version
    monkeypatch.setattr(toy_session, "natural", lambda: None)
    without = InstanceFinder(toy_session, request)
    [found] = without.search(target)
    assert without.network is None and without.spec.settings["natural"] == ""
    assert mask_iou(found.mask.decode(), red) > 0.75 and np.isnan(found.extra["thing"])
