"""Readers and runs of the instance data sets, on archives made by the renderer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.training.scenes import HELD_OUT, SceneOptions, render_scene
from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.evaluation import instance_sets as sets
from kinmark.engine.evaluation.instance_protocols import InstanceEvaluation, evaluate_instances, retrieval_report
from kinmark.engine.evaluation.prepare_burst import choose_frames, main, square_crop
from kinmark.engine.retrieval.ranking import rank_collection, spread_over_neighbours, standardise

SIZE = 96
BIRD = HELD_OUT + 7_000


def rendered(identity, view, distractor=False):
    """RGB and mask of one rendered bird: the same identity looks different in every view."""
    number = 0
    while True:
        seed = HELD_OUT + 800_000 + identity * 400 + view * 20 + number
        options = SceneOptions(category="bird", identity=BIRD + identity, distractor=distractor)
        scene = render_scene(seed, SIZE, options)
        mask = scene.owner == 0
        if mask.mean() > 0.04:
            return scene.image, mask
        number += 1


def save_mask(path, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((mask * 255).astype(np.uint8)).save(path)


def save_image(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=95)


@pytest.fixture(scope="module")
def identity_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("folder")
    for identity in range(4):
        for view in range(3):
            rgb, mask = rendered(identity, view)
            save_image(folder / f"bird{identity}__{view}.jpg", rgb)
            if view == 0:
                save_mask(folder / "masks" / f"bird{identity}__0.png", mask)
    (folder / "notes.txt").write_text("not a photo")
    save_image(folder / "nameless.jpg", rgb)
    return folder


@pytest.fixture
def options(toy_pipeline_dir):
    return InstanceEvaluation(backbone=str(toy_pipeline_dir))


def test_folder_gives_the_promised_keys(identity_folder, toy_session, options):
    report = evaluate_instances(toy_session, "folder", identity_folder, options=options)
    assert report["queries"] == report["photos"] == 12 and report["identities"] == 4 and report["masks"] == 4
    for key in ("mAP", "recall@1", "recall@5", "recall@10"):
        assert 0 <= report[key] <= 1
    chance = 2 / 11
    assert report["mAP"] > chance + 0.15
    assert json.loads(json.dumps(report, allow_nan=False))["dataset"] == "folder"


def test_photos_that_cannot_be_read_are_listed_not_fatal(identity_folder, tmp_path, toy_session, options):
    for name in ("a__1.jpg", "a__2.jpg", "b__1.jpg", "b__2.jpg"):
        source = identity_folder / f"bird{'ab'.index(name[0])}__{name[3]}.jpg"
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / "a__3.jpg").write_bytes(b"")
    Image.new("RGB", (1, 1)).save(tmp_path / "c__1.png")
    report = evaluate_instances(toy_session, "folder", tmp_path, options=options)
    assert report["queries"] == 4 and report["photos"] == 5
    assert [f["image"] for f in report["failures"]] == ["a__3.jpg"]


def test_perseg(tmp_path, toy_session, options):
    for name, identity in (("bird0", 0), ("bird1", 1)):
        for view in range(2):
            rgb, mask = rendered(identity, view)
            save_image(tmp_path / "Images" / name / f"{view:02d}.jpg", rgb)
            save_mask(tmp_path / "Annotations" / name / f"{view:02d}.png", mask)
    tasks = sets.read_perseg(tmp_path)
    assert [(t.name, t.class_name, len(t.targets)) for t in tasks] == [("bird0", "bird", 1), ("bird1", "bird", 1)]
    report = evaluate_instances(toy_session, "perseg", tmp_path, options=options)
    assert report["objects"] == 2 and 0 < report["mIoU"] <= 1 and 0 <= report["bIoU"] <= 1
    assert report["mIoU"] == pytest.approx(np.mean(list(report["per_object_IoU"].values())))
    (tmp_path / "Images" / "bird0" / "00.jpg").unlink()
    with pytest.raises(ImportFileError, match="reference 00"):
        sets.read_perseg(tmp_path)


def test_davis(tmp_path, toy_session, options):
    for frame in range(4):
        rgb, mask = rendered(0, 0)
        save_image(tmp_path / "JPEGImages" / "480p" / "bird" / f"{frame:05d}.jpg", np.roll(rgb, frame, axis=1))
        index = Image.fromarray(np.roll(mask, frame, axis=1).astype(np.uint8), "P")
        index.putpalette([0, 0, 0, 255, 0, 0])
        path = tmp_path / "Annotations" / "480p" / "bird" / f"{frame:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        index.save(path)
    [task] = sets.read_davis(tmp_path)
    assert task.name == "bird/1" and len(task.targets) == 2  # first and last frame are left out
    report = evaluate_instances(toy_session, "davis", tmp_path, options=options)
    assert report["J"] > 0.4 and report["J&F"] == pytest.approx((report["J"] + report["F"]) / 2)


def burst(folder, frames=3):
    """A BURST file with one video of two birds and one video that must be left out."""
    step, sequences = 16, []
    for dataset in ("TAO", "AVA"):
        segmentations, paths = [], []
        for index in range(frames * step):
            rgb, mask = rendered(0 if dataset == "TAO" else 1, index // step)
            twin = np.zeros_like(mask)
            twin[:12, :12] = True
            rles = {"7": MaskRLE.encode(mask), "9": MaskRLE.encode(twin & ~mask)}
            segmentations.append({t: {"rle": r.counts, "is_gt": True, "score": 1.0} for t, r in rles.items()})
            paths.append(f"{index:06d}.jpg")
            if index % step in (0, step - 1) or True:
                save_image(folder / "frames" / dataset / "clip" / paths[-1], rgb)
        sequences.append(
            {
                "width": SIZE,
                "height": SIZE,
                "id": 1,
                "seq_name": "clip",
                "dataset": dataset,
                "annotated_image_paths": paths,
                "all_image_paths": paths,
                "segmentations": segmentations,
                "track_category_ids": {"7": 3, "9": 3},
            }
        )
    data = {"split": "val", "categories": [{"id": 3, "name": "bird"}], "sequences": sequences}
    (folder / "all_classes.json").write_text(json.dumps(data))
    return data


def test_permir_and_permis_from_burst(tmp_path, toy_session, options, capsys):
    data = burst(tmp_path)
    out = tmp_path / "prepared"
    assert main([str(tmp_path / "all_classes.json"), str(tmp_path / "frames"), str(out)]) == 0
    assert "AVA/clip: left out" in capsys.readouterr().out
    [video] = sets.read_prepared(out)
    assert video.class_name == "bird" and video.masks[0].shape == (512, 512)
    track, indices = choose_frames(data["sequences"][0])
    assert track == "7" and min(abs(a - b) for a in indices for b in indices if a != b) > 15
    areas = [MaskRLE(SIZE, SIZE, data["sequences"][0]["segmentations"][i]["7"]["rle"]).area for i in indices]
    assert areas[0] == max(areas)
    report = evaluate_instances(toy_session, "permis", out, options=options)
    assert report["pairs"] == 1 and report["pooled_IoU"] == pytest.approx(report["mean_IoU"], abs=1e-6)
    with pytest.raises(UserInputError, match="two videos"):
        evaluate_instances(toy_session, "permir", out, options=options)
    (out / "1").mkdir()
    for name in ("0.jpg", "1.jpg", "2.jpg", "video.json"):
        (out / "1" / name).write_bytes((out / "0" / name).read_bytes())
    card = json.loads((out / "1" / "video.json").read_text())
    (out / "1" / "video.json").write_text(json.dumps(card | {"name": "other"}))
    report = evaluate_instances(toy_session, "permir", out, options=options)
    assert report["queries"] == 2 and report["gallery"] == 4 and 0 < report["mAP"] <= 1
    assert main([str(tmp_path / "all_classes.json"), str(tmp_path / "frames"), str(out)]) == 3


def test_pickled_archives_are_refused(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "masks.npz.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ImportFileError, match="pickle"):
        sets.read_prepared(tmp_path)


def test_the_square_crop_equals_the_reference(reference_dir):
    with np.load(reference_dir / "pdm_features.npz", allow_pickle=False) as data:
        rows = data["crop_w_h_xmin_xmax_to_left_top_right_bottom"].astype(int)
    for row in rows:
        assert square_crop(*row[:4].tolist()) == tuple(row[4:].tolist())


def test_bad_folders(tmp_path, toy_session, options):
    with pytest.raises(UserInputError, match="Unknown data set"):
        evaluate_instances(toy_session, "imagenet", tmp_path, options=options)
    with pytest.raises(UserInputError, match="identity__"):
        evaluate_instances(toy_session, "folder", tmp_path, options=options)
    with pytest.raises(UserInputError, match="no folder"):
        evaluate_instances(toy_session, "perseg", tmp_path / "gone", options=options)
    for name in ("a__1.jpg", "b__1.jpg", "c__1.jpg"):
        save_image(tmp_path / name, rendered(0, 0)[0])
    with pytest.raises(UserInputError, match="two photos"):
        evaluate_instances(toy_session, "folder", tmp_path, options=options)
    save_mask(tmp_path / "masks" / "a__1.png", np.ones((5, 5), bool))
    with pytest.raises(ImportFileError, match="5 x 5"):
        evaluate_instances(toy_session, "folder", tmp_path, options=options)


def test_perfect_and_worthless_rankings():
    names = ["a", "a", "b", "b", "c"]
    same = np.array([[x == y for y in names] for x in names], float)
    perfect = retrieval_report(same, names)
    assert perfect["mAP"] == perfect["recall@1"] == 1 and perfect["queries"] == 4
    flat = retrieval_report(np.zeros((5, 5)), names)
    assert flat["mAP"] == pytest.approx(0.25)


def test_likeness_flows_over_neighbours():
    # a-b and b-c are alike, a-c is not: b must pull a and c together above the strangers.
    scores = np.full((8, 8), 0.0)
    for i, j in ((0, 1), (1, 2)):
        scores[i, j] = scores[j, i] = 1.0
    flowed = spread_over_neighbours(standardise(scores), 3, 0.7)
    assert flowed[0, 2] > max(flowed[0, 3:])


def test_ranking_needs_no_backbone_and_takes_two_photos(identity_folder):
    from kinmark.engine.api import ImageInput
    from kinmark.engine.features.views import ImageSource
    from kinmark.engine.retrieval.photo import describe_photo

    paths = sorted(identity_folder.glob("bird[01]__*.jpg"))
    photos = [describe_photo(ImageSource(), ImageInput(p.name, p)) for p in paths]
    scores = rank_collection(photos)
    assert scores.shape == (6, 6) and np.isfinite(scores).all()
    assert rank_collection(photos[:2]).shape == (2, 2)
