"""Readers on small archives written here in the exact published layouts, and a whole evaluation that resumes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinmark.engine.api import EvaluateRequest, MatchSettings
from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.evaluation.datasets import read_pairs
from kinmark.engine.evaluation.run import evaluate
from kinmark.engine.session import EngineSession
from tests.support.coco_shapes import write_shape


def photo(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)


def make_spair(root: Path) -> Path:
    base = root / "SPair-71k"
    names = []
    for number in range(3):
        for side in "ab":
            photo(base / "JPEGImages" / "cat" / f"{side}{number}.jpg", number)
        name = f"{number:06d}-a{number}-b{number}:cat"
        data = {
            "filename": name,
            "category": "cat",
            "src_imname": f"a{number}.jpg",
            "trg_imname": f"b{number}.jpg",
            "src_imsize": [60, 40, 3],
            "trg_imsize": [60, 40, 3],
            "src_bndbox": [5, 5, 55, 35],
            "trg_bndbox": [5, 5, 55, 35],
            "src_kps": [[10, 10], [40, 30]],
            "trg_kps": [[10, 10], [40, 30]],
            "kps_ids": ["0", "4"],
        }
        path = base / "PairAnnotation" / "test" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data))
        names.append(name)
    (base / "Layout" / "large").mkdir(parents=True)
    # Without a newline at the end the published readers lose the last pair; this one does not.
    (base / "Layout" / "large" / "test.txt").write_text("\n".join(names))
    return root


def make_pascal(root: Path) -> Path:
    base = root / "pf-pascal"
    for name in ("x", "y"):
        photo(base / "PF-dataset-PASCAL" / "JPEGImages" / f"{name}.jpg", 1)
    (base / "test_pairs.csv").write_text(
        "source_image,target_image,class,XA,YA,XB,YB\n"
        "PF-dataset-PASCAL/JPEGImages/x.jpg,PF-dataset-PASCAL/JPEGImages/y.jpg,8,10;20;nan,10;20;5,11;21;7,12;22;8\n"
    )
    return root


def make_willow(root: Path) -> Path:
    base = root / "pf-willow"
    for name in ("m", "n"):
        photo(base / "PF-dataset" / "duck(S)" / f"{name}.png", 2)
    heads = ["imageA", "imageB"] + [f"{axis}{side}{i}" for side in "AB" for axis in "XY" for i in range(1, 11)]
    values = ["PF-dataset/duck(S)/m.png", "PF-dataset/duck(S)/n.png"] + [str(v) for v in range(40)]
    (base / "test_pairs.csv").write_text(",".join(heads) + "\n" + ",".join(values) + "\n")
    return root


def make_cub(root: Path) -> Path:
    base = root / "CUB_200_2011"
    for number in (1, 2, 3):
        photo(base / "images" / "001.Bird" / f"b{number}.jpg", number)
    (base / "parts").mkdir()
    (base / "images.txt").write_text("".join(f"{n} 001.Bird/b{n}.jpg\n" for n in (1, 2, 3)))
    (base / "image_class_labels.txt").write_text("1 1\n2 1\n3 1\n")
    (base / "train_test_split.txt").write_text("1 0\n2 0\n3 1\n")
    (base / "bounding_boxes.txt").write_text("".join(f"{n} 2.0 3.0 30.0 20.0\n" for n in (1, 2, 3)))
    rows = [f"{n} {p} {10 + p}.0 {5 + p}.0 {0 if (n, p) == (2, 4) else 1}\n" for n in (1, 2, 3) for p in range(1, 16)]
    (base / "parts" / "part_locs.txt").write_text("".join(rows))
    return root


def test_spair_reads_every_pair(tmp_path: Path) -> None:
    pairs = list(read_pairs("spair", make_spair(tmp_path)))
    assert len(pairs) == 3 and pairs[0].category == "cat" and pairs[0].target_wh == (60, 40)
    assert pairs[2].source.is_file() and pairs[0].target_points.tolist() == [[10, 10], [40, 30]]


def test_pascal_drops_missing_points(tmp_path: Path) -> None:
    (pair,) = read_pairs("pfpascal", make_pascal(tmp_path))
    assert pair.category == "cat" and pair.length_rule == "image"
    assert pair.source_points.tolist() == [[10, 10], [20, 20]] and pair.target_points.tolist() == [[11, 12], [21, 22]]


def test_willow_has_ten_points(tmp_path: Path) -> None:
    (pair,) = read_pairs("pfwillow", make_willow(tmp_path))
    assert pair.source_points.shape == (10, 2) and pair.category == "duck(S)" and pair.source.is_file()
    assert pair.source_points[0].tolist() == [0, 10] and pair.target_points[0].tolist() == [20, 30]


def test_cub_pairs_visible_parts_of_the_split(tmp_path: Path) -> None:
    (pair,) = read_pairs("cub", make_cub(tmp_path))
    assert len(pair.source_points) == 14 and pair.target_box == (2, 3, 32, 23)


def test_ap10k_pairs_photos_of_one_species(tmp_path: Path) -> None:
    file = write_shape("species", tmp_path)
    (pair,) = read_pairs("ap10k", tmp_path)
    first, second = json.loads(file.read_text())["annotations"]
    both = [i for i in range(17) if first["keypoints"][3 * i + 2] and second["keypoints"][3 * i + 2]]
    assert pair.category == "otter" and (pair.source.name, pair.target.name) == ("otter0.jpeg", "otter1.jpeg")
    assert pair.source_points.tolist() == [first["keypoints"][3 * i : 3 * i + 2] for i in both] and 5 < len(both) < 17
    # Photos of different species are no pair.
    data = json.loads(file.read_text())
    data["annotations"][1]["category_id"] = 7
    file.write_text(json.dumps(data))
    assert list(read_pairs("ap10k", tmp_path)) == []


@pytest.mark.parametrize("damage", ["json", "missing", "points"])
def test_damaged_spair_is_named(tmp_path: Path, damage: str) -> None:
    root = make_spair(tmp_path)
    file = sorted((root / "SPair-71k" / "PairAnnotation" / "test").glob("*.json"))[1]
    if damage == "json":
        file.write_text("{")
    elif damage == "missing":
        file.unlink()
    else:
        data = json.loads(file.read_text())
        file.write_text(json.dumps({**data, "trg_kps": [[1, 2]]}))
    with pytest.raises(ImportFileError, match="000001"):
        list(read_pairs("spair", root))


def test_unknown_set_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no data set"):
        read_pairs("imagenet", tmp_path)
    with pytest.raises(UserInputError, match="is no folder"):
        read_pairs("spair", tmp_path / "nowhere")


def test_evaluation_goes_on_where_it_stopped(
    tmp_path: Path, toy_session: EngineSession, toy_pipeline_dir: Path
) -> None:
    root, work = make_spair(tmp_path), tmp_path / "out" / "pairs.jsonl"
    asked = EvaluateRequest(
        "spair",
        root,
        settings=MatchSettings(method="nn"),
        backbone=str(toy_pipeline_dir),
        prompt="empty",
        work_file=work,
    )
    # Source and target show the same pixels, so even the toy model finds the cells.
    first = evaluate(toy_session, asked)
    assert first["pairs"] == 3 and first["per_point"][2] > 0.5 and first["protocol"] == "ours"
    lines = work.read_text().splitlines()
    edited = json.loads(lines[1])
    edited["points"] = [[1000.0, 1000.0]] * 2
    work.write_text("\n".join([lines[0], json.dumps(edited), lines[2][:9]]))
    again = evaluate(toy_session, asked)
    # The kept (here falsified) pair was not matched again, the cut-off one was.
    assert again["per_point"][2] < first["per_point"][2] and len(work.read_text().splitlines()) == 4
