"""The sample collections: `python -m benchmarks.training.make_samples [OUT] [--hard]` writes pictures and their true labels (COCO).

Held-out identities and surroundings: nothing here was seen in training. 3 categories, 4 identities each, 3 pictures of
each identity; every third picture also shows another identity of the same category. One file is stored rotated with an
EXIF orientation, so that everything that reads it has to respect the tag; its labels are in the upright frame.

The collection that is shipped is as people's own are: animals of one breed, each with its own build and coat, in other poses
and from other sides, at a few calm places that all categories share. With `--hard` it is the one of before, for benchmarks:
no two bodies alike, and surroundings as busy as those the model was trained on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.training.bodies import keypoint_names, twin_pairs
from benchmarks.training.scenes import HELD_OUT, Scene, SceneObject, SceneOptions, render_scene
from benchmarks.training.skeletons import SKELETONS
from kinmark.engine.domain.masks import MaskRLE

Range = tuple[float, float]
SIZES = ((480, 360), (400, 400), (360, 480), (512, 384), (560, 372), (384, 384))
EXIF_ORIENTATION = 6
AZIMUTH = {"dog": (0.35, 1.5), "bird": (0.35, 1.5), "car": (0.3, 1.25)}
"""The camera stays on the left front side of the main object, as people photograph animals and cars."""
PER_IDENTITY = 3


@dataclass(frozen=True)
class Collection:
    """What is rendered: `identities` of each category and where the camera stands; the rest as in `SceneOptions`."""

    description: str
    seeds: int
    identities: dict[str, tuple[int, ...]]
    azimuth: dict[str, Range]
    elevation: dict[str, Range] = field(default_factory=dict)
    breeds: dict[str, tuple[int, float]] = field(default_factory=dict)
    places: tuple[int, ...] = ()

    def options(self, category: str, who: int, beside: tuple[int, ...], number: int) -> SceneOptions:
        """Of picture `number` (0-based) of a category: identity `who` and those beside it, by their places in the list."""
        people = self.identities[category]
        return SceneOptions(
            category=category,
            identity=people[who],
            companions=tuple(people[i] for i in beside),
            azimuth=self.azimuth[category],
            elevation=self.elevation.get(category),
            supersample=1.5,
            breed=self.breeds.get(category),
            place=self.places[number * 5 % len(self.places)] if self.places else None,
        )


SHIPPED = Collection(
    "Kinmark sample collection (rendered, held-out identities)",
    HELD_OUT + 600_000,
    {
        "dog": (HELD_OUT + 12, HELD_OUT + 16, HELD_OUT + 18, HELD_OUT + 30),
        "bird": (HELD_OUT + 113, HELD_OUT + 116, HELD_OUT + 122, HELD_OUT + 133),
        "car": (HELD_OUT + 212, HELD_OUT + 216, HELD_OUT + 228, HELD_OUT + 230),
    },
    {"dog": (0.5, 1.4), "bird": (0.5, 1.4), "car": (0.4, 1.2)},
    {"dog": (0.05, 0.4), "bird": (0.05, 0.4), "car": (0.1, 0.4)},
    {"dog": (1, 0.6), "bird": (2, 0.6), "car": (3, 0.6)},
    (0, 1, 2, 3),
)
HARD = Collection(
    "Kinmark hard sample collection (rendered, held-out identities)",
    HELD_OUT + 500_000,
    {
        "dog": (HELD_OUT + 12, HELD_OUT + 16, HELD_OUT + 18, HELD_OUT + 30),
        "bird": (HELD_OUT + 113, HELD_OUT + 116, HELD_OUT + 122, HELD_OUT + 133),
        "car": (HELD_OUT + 212, HELD_OUT + 216, HELD_OUT + 228, HELD_OUT + 230),
    },
    AZIMUTH,
)


@dataclass(frozen=True)
class _Crop:
    image: NDArray[np.uint8]
    owner: NDArray[np.int8]
    shift: NDArray[np.float64]


def _crop(scene: Scene, size_wh: tuple[int, int], together: bool) -> _Crop:
    """Cut the square scene to `size_wh`, keeping the main object (or all, `together`) as central as the frame allows."""
    ys, xs = np.nonzero(scene.owner >= 0 if together else scene.owner == 0)
    limit = scene.image.shape[0]
    x0 = int(np.clip((xs.min() + xs.max()) // 2 - size_wh[0] // 2, 0, limit - size_wh[0]))
    y0 = int(np.clip((ys.min() + ys.max()) // 2 - size_wh[1] // 2, 0, limit - size_wh[1]))
    window = (slice(y0, y0 + size_wh[1]), slice(x0, x0 + size_wh[0]))
    return _Crop(scene.image[window], scene.owner[window], np.array([x0, y0], float))


def _annotation(crop: _Crop, obj: SceneObject, index: int) -> dict[str, Any] | None:
    """COCO annotation of one object in the cropped frame (continuous coordinates), or None when hardly visible."""
    mask = crop.owner == index
    if mask.sum() < 150:
        return None
    height, width = mask.shape
    rle = MaskRLE.encode(mask)
    xy = obj.xy_image - crop.shift
    inside = (xy >= 0).all(1) & (xy[:, 0] < width) & (xy[:, 1] < height)
    visibility = np.where(inside, obj.visibility, 0)
    flat = [
        value
        for (x, y), v in zip(xy, visibility, strict=True)
        for value in ((round(float(x), 2), round(float(y), 2), int(v)) if v else (0, 0, 0))
    ]
    x0, y0, x1, y1 = rle.box
    return {
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": rle.area,
        "segmentation": rle.to_coco(),
        "keypoints": flat,
        "num_keypoints": int((visibility > 0).sum()),
    }


def _category(number: int, name: str) -> dict[str, Any]:
    names = keypoint_names(name)
    return {
        "id": number,
        "name": name,
        "supercategory": "object" if name == "car" else "animal",
        "keypoints": list(names),
        "skeleton": [[names.index(a) + 1, names.index(b) + 1] for a, b in SKELETONS[name]],
        "flip_pairs": [[a + 1, b + 1] for a, b in twin_pairs(names)],
    }


def _save(path: Path, image: NDArray[np.uint8], rotated: bool) -> None:
    picture = Image.fromarray(image)
    if not rotated:
        picture.save(path, quality=86)
        return
    exif = Image.Exif()
    exif[0x0112] = EXIF_ORIENTATION
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=86, exif=exif)


def make_samples(out: Path, collection: Collection = SHIPPED, per_identity: int = PER_IDENTITY) -> dict[str, Any]:
    """Write `images/*.jpg` and `annotations.json` under `out`; returns the COCO document."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories = [_category(k + 1, name) for k, name in enumerate(collection.identities)]
    for k, (name, identities) in enumerate(collection.identities.items()):
        for number in range(per_identity * len(identities)):
            who, take = number % len(identities), number // len(identities)
            beside = ((who + 1 + take) % len(identities),) if (number + k) % 3 == 2 else ()
            size = SIZES[(number + 2 * k) % len(SIZES)]
            options = collection.options(name, who, beside, number)
            scene = render_scene(collection.seeds + 1000 * k + number, max(size), options)
            crop = _crop(scene, size, together=bool(collection.places))
            file_name = f"images/{name}_{number + 1:02d}.jpg"
            _save(out / file_name, crop.image, rotated=(k == 1 and number == 5))
            images.append({"id": len(images) + 1, "file_name": file_name, "width": size[0], "height": size[1]})
            for index, person in enumerate((who, *beside)):
                found = _annotation(crop, scene.objects[index], index)
                if found is not None:
                    found |= {"id": len(annotations) + 1, "image_id": len(images), "category_id": k + 1}
                    found["attributes"] = {"identity": f"{name}-{person + 1}"}
                    annotations.append(found)
    info = {"description": collection.description, "version": "1.0"}
    document = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    (out / "annotations.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    default = Path(__file__).resolve().parents[2] / "resources" / "samples"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=None)
    parser.add_argument("--hard", action="store_true", help="the collection of the benchmarks instead; needs OUT")
    options = parser.parse_args(argv)
    if options.hard and options.out is None:
        parser.error("say where the hard collection goes: make_samples OUT --hard")
    make_samples(options.out or default, HARD if options.hard else SHIPPED)


if __name__ == "__main__":
    main()
