"""What is fuzzed: every importer, the image loader, the project file, prompt files and model folders.

A target makes a good folder once (`make`), names the files to damage, and opens the damaged copy (`open_`). Whatever happens
then, only an AppError may come out.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.imaging import load_image, read_header
from kinmark.projects.formats.base import ReadOptions
from kinmark.projects.formats.registry import get_format
from tests.support.datasets import sample_dataset

SIDE = (24, 16)
_SLEAP = importlib.util.find_spec("sleap_io") is not None
"""`kinmark[sleap]` is optional."""


@dataclass(frozen=True)
class Target:
    """`weight`: share of the rounds; `slow` targets (torch) get fewer and run in processes of their own."""

    name: str
    make: Callable[[Path], None]
    files: str
    open_: Callable[[Path], object]
    weight: float = 1.0
    slow: bool = False


def _export(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        dataset = sample_dataset(folder / "photos", count=3, size_wh=SIDE)
        if name == "pf-willow":
            dataset = _ten_points(dataset)
        get_format(name).writer(dataset, folder / "data")

    return make


def _ten_points(dataset):
    from dataclasses import replace

    from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
    from kinmark.projects.formats.dataset import DatasetCategory, DatasetKeypoint

    names = tuple(f"p{i}" for i in range(10))
    points = {n: DatasetKeypoint(Visibility.VISIBLE, 2.0 + i, 5.0) for i, n in enumerate(names)}
    images = tuple(replace(i, instances=(replace(i.instances[0], keypoints=points),)) for i in dataset.images)
    return replace(dataset, categories=(DatasetCategory("horse", KeypointSchema(names)),), images=images)


def _import(name: str, inside: str = "") -> Callable[[Path], object]:
    def open_(folder: Path) -> object:
        path = folder / "data" / inside if inside else folder / "data"
        options = ReadOptions(skip_bad=path.stat().st_ino % 2 == 0)
        return get_format(name).reader(path, options)

    return open_


def _import_into_project(folder: Path) -> object:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.importing import ImportOptions, import_file

    with Project.create(folder / "fresh.kinmark") as project:
        return import_file(project, folder / "data" / "annotations.json", ImportOptions(images_root=folder / "photos"))


def _make_images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ("jpg", "png", "webp", "tif", "gif", "bmp", "ppm", "jp2"):
        try:
            extra = {"exif": exif} if suffix in ("jpg", "png", "webp") else {}
            picture.save(folder / f"a.{suffix}", **extra)
        except (OSError, KeyError, ValueError):
            continue  # this Pillow has no writer for it
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("P").save(folder / "palette.png", transparency=3)
    Image.fromarray(rng.integers(0, 60000, (16, 16)).astype(np.uint16)).save(folder / "deep.png")
    Image.fromarray(rng.random((16, 16)).astype(np.float32)).save(folder / "float.tif")
    frames = [picture.convert("P"), picture.rotate(90).convert("P")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])


def _open_images(folder: Path) -> object:
    result = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "damaged":
            result.append(_open_image(path))
    return result


def _open_image(path: Path) -> object:
    from kinmark.engine.domain.errors import AppError

    try:
        read_header(path)
        load_image(path, max_side=16)
        return load_image(path)
    except AppError:
        return None


def _make_project(folder: Path) -> None:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.importing import ImportOptions, import_file

    dataset = sample_dataset(folder / "photos", count=3, size_wh=SIDE)
    get_format("coco").writer(dataset, folder / "file")
    with Project.create(folder / "p.kinmark") as project:
        import_file(project, folder / "file" / "annotations.json", ImportOptions(images_root=folder / "photos"))
        import_file(
            project,
            folder / "file" / "annotations.json",
            ImportOptions(images_root=folder / "photos", as_proposals=True),
        )


def _open_project(folder: Path) -> object:
    from kinmark.projects.project import Project
    from kinmark.projects.workflows.exporting import ExportOptions, project_dataset

    with Project.open(folder / "p.kinmark") as project:
        project_dataset(project, ExportOptions(with_proposals=True))
        project.queries.counts()
        project.queries.history()
        image = next(iter(project.queries.iter_images()), None)
        if image is not None:
            project.operations.tag("fuzz", [image.id])
            project.undo()
        return project.undo_name


def _make_prompts(folder: Path) -> None:
    import torch

    from kinmark.engine.domain.prompt_card import PromptCard
    from kinmark.engine.prompts.files import export_prompt, make_id, save_prompt

    tensors = {"tokens": torch.ones(4, 8)}
    card = PromptCard(make_id("class", "cat", tensors), "class", "embedded", "x", "cat", 4, 8)
    saved = save_prompt(folder / "prompts", card, tensors)
    export_prompt(saved, folder / "export.safetensors")


def _open_prompts(folder: Path) -> object:
    from kinmark.engine.domain.errors import AppError
    from kinmark.engine.prompts.files import find_prompt, import_exported, list_prompts, read_card, read_tensors

    list_prompts([folder / "prompts"])
    result = []
    for path in (*(folder / "prompts").iterdir(), folder / "export.safetensors"):
        try:
            result.append((read_card(path), read_tensors(path)))
            result.append((find_prompt("class", [folder / "prompts"]), {}))
        except AppError:
            continue
    return import_exported(folder / "export.safetensors", folder / "taken"), result


def _make_model(folder: Path) -> None:
    from tests.support.toy_pipeline import make_toy_pipeline

    make_toy_pipeline(folder / "model")


def _open_model(folder: Path) -> object:
    from kinmark.engine.backbones.loading import load_backbone

    return load_backbone(folder / "model", device="cpu", dtype="fp32").spec.id


def _make_results(folder: Path) -> None:
    """COCO files as other programs write them: polygons, uncompressed RLE, crowds, no extras."""
    (folder / "data").mkdir(parents=True)
    data = {
        "images": [{"id": 5, "file_name": "a/x.png", "width": 20, "height": 10}],
        "categories": [
            {"id": 2, "name": "cat", "supercategory": "animal", "keypoints": ["l_ear", "r_ear"], "skeleton": [[1, 2]]}
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 5,
                "category_id": 2,
                "bbox": [1, 1, 5, 5],
                "area": 25,
                "iscrowd": 0,
                "num_keypoints": 2,
                "keypoints": [2, 2, 2, 4, 2, 1],
                "segmentation": [[1, 1, 6, 1, 6, 6, 1, 6], [8, 1, 9, 1, 9, 6]],
            },
            {
                "id": 2,
                "image_id": 5,
                "category_id": 2,
                "bbox": [0, 0, 20, 10],
                "iscrowd": 1,
                "segmentation": {"size": [10, 20], "counts": [50, 100, 50]},
            },
            {
                "id": 3,
                "image_id": 5,
                "category_id": 2,
                "segmentation": MaskRLE.encode(np.eye(10, 20, dtype=bool)).to_coco(),
            },
        ],
    }
    (folder / "data" / "annotations.json").write_text(json.dumps(data))


def _make_wholebody(folder: Path) -> None:
    from kinmark.projects.formats.wholebody import PARTS

    person: dict[str, object] = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [1, 1, 9, 9],
        "keypoints": [3, 4, 2] * 17,
    }
    for part, names in PARTS.items():
        person |= {f"{part}_kpts": [2.5, 3.5, 1.0] * len(names), f"{part}_valid": True, f"{part}_box": [1, 1, 2, 2]}
    data = {
        "images": [{"id": 1, "file_name": "x.png", "width": 20, "height": 10}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [person],
    }
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "annotations.json").write_text(json.dumps(data))


def _make_jabs(folder: Path) -> None:
    import h5py

    (folder / "data").mkdir(parents=True)
    with h5py.File(folder / "data" / "cage_pose_est_v2.h5", "w") as content:
        group = content.create_group("poseest")
        group.attrs["version"] = [2, 0]
        group["points"] = np.arange(3 * 12 * 2, dtype=np.uint16).reshape(3, 12, 2)
        group["confidence"] = np.full((3, 12), 0.5, np.float32)


def _make_clip(folder: Path) -> None:
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    for name, code in (("a.avi", "MJPG"), ("a.mp4", "mp4v")):
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*code), 5, (64, 48))  # type: ignore[attr-defined]
        for number in range(8):
            writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
        writer.release()


def _open_clip(folder: Path) -> object:
    from kinmark.engine.domain.errors import AppError
    from kinmark.projects.videos import choose_frames, look_at, parse_choice, read_frames

    result = []
    for path in sorted(folder.glob("a.*")):
        try:
            numbers = choose_frames(look_at(path), parse_choice("count=4"))
            result.append([(number, rgb.shape) for number, rgb in read_frames(path, numbers)])
        except AppError:
            continue
    return result


def _make_cvat_project(folder: Path) -> None:
    """Tracks of two tasks, a skeleton with its drawing, subsets: what our own exports do not hold."""
    labels = (
        '<label><name>dog</name><type>skeleton</type><svg>&lt;line data-node-from="1" stroke="x" data-node-to="2"&gt;'
        '&lt;circle data-node-id="1" data-label-name="tail"&gt;</svg></label>'
        "<label><name>nose</name><parent>dog</parent></label><label><name>tail</name><parent>dog</parent></label>"
    )
    tasks = "".join(
        f"<task><id>{n}</id><subset>s{n}</subset><source>c{n}.mp4</source><labels>{labels}</labels>"
        "<original_size><width>24</width><height>16</height></original_size></task>"
        for n in (1, 2)
    )
    box = '<box frame="{}" keyframe="1" outside="0" occluded="1" xtl="1" ytl="2" xbr="9.5" ybr="8" rotation="30"/>'
    joint = '<points label="nose" keyframe="1" outside="0" occluded="0" points="3,4"/>'
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "annotations.xml").write_text(
        f"<annotations><version>1.1</version><meta><project><tasks>{tasks}</tasks></project></meta>"
        f'<track id="0" label="dog" task_id="1" group_id="3">{box.format(0)}{box.format(2)}</track>'
        f'<track id="1" label="dog" task_id="2"><skeleton frame="0" keyframe="1">{joint}</skeleton></track>'
        '<image id="0" name="a.png" subset="s1" task_id="1" width="24" height="16"><ellipse label="e" cx="5" cy="5" rx="2" '
        'ry="3" rotation="10"/><mask label="m" rle="1, 2, 1" left="1" top="1" width="2" height="2"/><tag label="t"/></image>'
        "</annotations>"
    )


def _make_label_studio(folder: Path) -> None:
    """Labels apart from their shapes, two photos, relations, predictions."""

    def entry(key: str, kind: str, value: dict[str, object], photo: str = "left") -> dict[str, object]:
        size = {"original_width": 24, "original_height": 16, "to_name": photo}
        return {"id": key, "type": kind, "value": value, **size}

    box, point = {"x": 10, "y": 10, "width": 20, "height": 30, "rotation": 20}, {"x": 15, "y": 15}
    result = [
        entry("r", "rectangle", box),
        entry("r", "labels", {"labels": ["dog"]}),
        entry("k", "keypointlabels", {**point, "keypointlabels": ["nose"]}, "right"),
        entry("e", "ellipselabels", {**point, "radiusX": 5, "radiusY": 6, "ellipselabels": ["cat"]}, "right"),
        entry("p", "polygonlabels", {"points": [[1, 1], [50, 2], [40, 60]], "polygonlabels": ["dog"]}),
        {"type": "relation", "from_id": "k", "to_id": "e"},
    ]
    task = {
        "id": 1,
        "data": {"left": "a.png", "right": "b.png"},
        "annotations": [{"result": [], "was_cancelled": True}, {"result": result, "ground_truth": True}],
        "predictions": [{"score": 0.5, "result": result}],
        "drafts": [],
    }
    pages = {
        "id": 2,
        "data": {"pages": ["c.png", "d.png"]},
        "annotations": [{"result": [{**result[4], "item_index": 1}]}],
    }
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "tasks.json").write_text(json.dumps([task, pages]))


def _make_voc(folder: Path) -> None:
    """Turned boxes, outlines, parts, lists."""
    data = folder / "data"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (data / name).mkdir(parents=True)
    Image.fromarray(np.zeros((16, 24, 3), np.uint8)).save(data / "JPEGImages" / "a.png")
    ring = "".join(f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate(((1, 1), (9, 1), (9, 9)), start=1))
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox>"
    turned = "<robndbox><cx>9</cx><cy>8</cy><w>4</w><h>2</h><angle>0.5</angle></robndbox>"
    (data / "Annotations" / "a.xml").write_text(
        "<annotation><filename>a.png</filename><size><width>24</width><height>16</height></size>"
        f"<object><name>dog</name>{box}<polygon>{ring}</polygon><part><name>head</name>{box}</part></object>"
        f"<object><name>cat</name>{turned}<pose>Left</pose><difficult>1</difficult></object></annotation>"
    )
    (data / "ImageSets" / "Main" / "train.txt").write_text("a\nb -1\n")


def _make_deeplabcut(folder: Path) -> None:
    """Several animals with body parts of none, and predictions of a clip."""
    labels = folder / "data" / "labeled-data" / "v"
    labels.mkdir(parents=True)
    (folder / "data" / "config.yaml").write_text(
        "Task: m\nuniquebodyparts: [corner]\nmultianimalbodyparts: [nose]\nbodyparts: MULTI!\nskeleton:\n- [nose, corner]\n"
    )
    (labels / "CollectedData_A.csv").write_text(
        "scorer,,,A,A,A,A\nindividuals,,,m1,m1,single,single\nbodyparts,,,nose,nose,corner,corner\ncoords,,,x,y,x,y\n"
        "labeled-data,v,img0.png,1,2,5,6\n"
    )
    (labels / "CollectedData_walkDLC_net.csv").write_text(
        "scorer,D,D,D\nbodyparts,nose,nose,nose\ncoords,x,y,likelihood\n0,1,2,0.9\n1,3,4,0.25\n"
    )


TARGETS = (
    Target("coco", _export("coco"), "data/*.json", _import("coco", "annotations.json")),
    Target("coco-foreign", _make_results, "data/*.json", _import("coco", "annotations.json"), 2.0),
    Target("coco-into-project", _export("coco"), "data/*.json", _import_into_project, 0.1),
    Target("labelme", _export("labelme"), "data/**/*.json", _import("labelme")),
    Target("cvat", _export("cvat"), "data/*.xml", _import("cvat", "annotations.xml")),
    Target("spair", _export("spair"), "data/**/*.*", _import("spair", "SPair-71k")),
    Target("yolo-pose", _export("yolo-pose"), "data/**/*.*", _import("yolo-pose")),
    Target("yolo-seg", _export("yolo-seg"), "data/**/*.*", _import("yolo-seg")),
    Target("deeplabcut", _export("deeplabcut"), "data/**/*.[cy]*", _import("deeplabcut"), 0.7),
    Target("pf-pascal", _export("pf-pascal"), "data/**/*.[cm]*", _import("pf-pascal")),
    Target("pf-willow", _export("pf-willow"), "data/**/*.csv", _import("pf-willow"), 0.5),
    Target("cub", _export("cub"), "data/**/*.txt", _import("cub")),
    Target("voc", _export("voc"), "data/**/*.*", _import("voc")),
    Target("cvat-project", _make_cvat_project, "data/*.xml", _import("cvat", "annotations.xml")),
    Target("label-studio-tasks", _make_label_studio, "data/*.json", _import("label-studio", "tasks.json")),
    Target("voc-objects", _make_voc, "data/**/*.[xt]*", _import("voc")),
    Target("deeplabcut-several", _make_deeplabcut, "data/**/*.[cy]*", _import("deeplabcut"), 0.7),
    Target("clips", _make_clip, "a.*", _open_clip, 0.3),
    Target("tps", _export("tps"), "data/*.*", _import("tps")),
    Target("coco-wholebody", _make_wholebody, "data/*.json", _import("coco-wholebody", "annotations.json"), 0.5),
    Target("label-studio", _export("label-studio"), "data/*.json", _import("label-studio", "tasks.json")),
    Target("masks", _export("masks"), "data/**/*.*", _import("masks"), 0.5),
    Target("perseg", _export("perseg"), "data/**/*.*", _import("perseg"), 0.5),
    Target("images", _make_images, "*.*", _open_images, 1.0),
    *(
        [
            Target("sleap", _export("sleap"), "data/*.slp", _import("sleap", "labels.slp"), 0.3),
            Target("nwb", _export("nwb"), "data/*.nwb", _import("nwb", "labels.nwb"), 0.05, slow=True),
            Target("jabs", _make_jabs, "data/*.h5", _import("jabs", "cage_pose_est_v2.h5"), 0.2),
        ]
        if _SLEAP
        else []
    ),
    Target("project", _make_project, "p.kinmark/project.sqlite", _open_project, 0.15),
    Target("prompts", _make_prompts, "**/*.[sj]*", _open_prompts, 0.3, slow=True),
    Target("model", _make_model, "model/**/*.[sjt]*", _open_model, 0.04, slow=True),
)
