"""Readers of data sets with instance masks and identities (methods/formats.md): folders in, plain records out.

Sets: `folder` (identity__anything.jpg), PerSeg, DAVIS 2017, and PerMIR / PerMIS as `prepare_burst` writes them. Nothing here
unpickles: the published PerMIRS archives (`masks.npz.npy`) are refused with a hint.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinmark.engine.domain.errors import ImportFileError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path, load_image

BoolMask = NDArray[np.bool_]


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo of an identity; `mask` is a file of the photo's size or None."""

    path: Path
    identity: str
    mask: Path | None = None


@dataclass(frozen=True)
class SegmentationTask:
    """One reference with its mask, and the targets with theirs, of one object."""

    name: str
    class_name: str
    reference: Path
    reference_mask: BoolMask
    targets: tuple[tuple[Path, BoolMask], ...]


@dataclass(frozen=True)
class PreparedVideo:
    """Three frames of one video: the first is the query (largest mask); `masks[i]` of the same instance."""

    name: str
    class_name: str
    frames: tuple[Path, Path, Path]
    masks: tuple[BoolMask, BoolMask, BoolMask]


def require_folder(root: Path, inside: str = "") -> Path:
    """`root / inside` when it is a folder; UserInputError else."""
    folder = root / inside if inside else root
    if not folder.is_dir():
        raise UserInputError(said("There is no folder {0}.", folder), "Give the root folder of the data set.")
    return folder


def read_mask(path: Path, size_wh: tuple[int, int] | None = None) -> BoolMask:
    """Any picture as boolean `[H, W]`: not black is true; ImportFileError when the size differs from `size_wh`."""
    mask = load_image(path).rgb.max(axis=2) > 0
    if size_wh is not None and mask.shape != (size_wh[1], size_wh[0]):
        raise ImportFileError(
            said(
                "The mask {0} is {1} x {2}, its photo {3} x {4}.",
                path,
                mask.shape[1],
                mask.shape[0],
                size_wh[0],
                size_wh[1],
            ),
            "Masks must have the photo's own size.",
        )
    return mask


def read_identity_folder(root: Path) -> list[LabelledPhoto]:
    """Photos named `identity__anything.ext` in one folder, sorted by name.

    A mask is `masks/<stem>.png` or `<stem>_mask.png` beside the photo. Files without `__` are left out; UserInputError when
    fewer than two photos are left.
    """
    folder = require_folder(root)
    photos = []
    for path in sorted(folder.iterdir()):
        if not is_image_path(path) or "__" not in path.stem or path.stem.endswith("_mask"):
            continue
        masks = [folder / "masks" / f"{path.stem}.png", folder / f"{path.stem}_mask.png"]
        photos.append(LabelledPhoto(path, path.stem.split("__", 1)[0], next((m for m in masks if m.is_file()), None)))
    if len(photos) < 2:
        raise UserInputError(
            said("The folder {0} has {1} photos named identity__*.jpg.", root, len(photos)),
            "Name them like rex__1.jpg, rex__2.jpg, mug__1.jpg.",
        )
    return photos


def read_perseg(root: Path) -> list[SegmentationTask]:
    """PerSeg: `Images/<object>/NN.jpg`, `Annotations/<object>/NN.png`; 00 is the reference, mask = gray > 0."""
    images, annotations = require_folder(root, "Images"), require_folder(root, "Annotations")
    tasks = []
    for folder in sorted(p for p in images.iterdir() if p.is_dir()):
        numbered = {p.stem: p for p in sorted(folder.iterdir()) if is_image_path(p)}
        pairs = {
            stem: (path, annotations / folder.name / f"{stem}.png")
            for stem, path in numbered.items()
            if (annotations / folder.name / f"{stem}.png").is_file()
        }
        if "00" not in pairs:
            raise ImportFileError(
                said("PerSeg's object {0} has no reference 00 with a mask in {1}.", folder.name, root)
            )
        targets = tuple((path, read_mask(mask)) for stem, (path, mask) in pairs.items() if stem != "00")
        reference, reference_mask = pairs["00"]
        class_name = folder.name.rstrip("0123456789").replace("_", " ").strip()
        tasks.append(SegmentationTask(folder.name, class_name, reference, read_mask(reference_mask), targets))
    if not tasks:
        raise UserInputError(
            said("There is no object in {0}.", images), "Give the folder that holds Images and Annotations."
        )
    return tasks


def _palette(path: Path) -> NDArray[np.int64]:
    """Object indices of a palette PNG (DAVIS): the stored index, not the colour."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise ImportFileError(said("The annotation {0} is no palette image ({1}).", path, image.mode))
            return np.asarray(image, dtype=np.int64)
    except OSError as error:
        raise ImportFileError(said("The annotation {0} cannot be read.", path), "Restore it.", repr(error)) from None


def read_davis(root: Path, split: str = "val") -> list[SegmentationTask]:
    """DAVIS 2017: one task per object of each video; the first frame is the reference, first and last are left out.

    Objects that the first frame does not show cannot be referred to and are left out, as in the official protocol.
    """
    listing = root / "ImageSets" / "2017" / f"{split}.txt"
    frames_root, masks_root = require_folder(root, "JPEGImages/480p"), require_folder(root, "Annotations/480p")
    names = (
        listing.read_text(encoding="utf-8").split()
        if listing.is_file()
        else sorted(p.name for p in frames_root.iterdir() if p.is_dir())
    )
    tasks = []
    for name in names:
        frames = sorted(p for p in (frames_root / name).glob("*.jpg"))
        if len(frames) < 3:
            raise ImportFileError(said("The DAVIS video {0} in {1} has fewer than three frames.", name, root))
        maps = {p.stem: _palette(masks_root / name / f"{p.stem}.png") for p in frames}
        first = maps[frames[0].stem]
        for number in sorted(int(v) for v in np.unique(first) if v not in (0, 255)):
            targets = tuple((p, maps[p.stem] == number) for p in frames[1:-1])
            tasks.append(SegmentationTask(f"{name}/{number}", "", frames[0], first == number, targets))
    if not tasks:
        raise UserInputError(
            said("There is no DAVIS video in {0}.", root), "Give the folder with JPEGImages and Annotations."
        )
    return tasks


def read_prepared(root: Path) -> list[PreparedVideo]:
    """PerMIR / PerMIS as prepared from BURST: `<i>/{0,1,2}.jpg` and `<i>/video.json` with one COCO RLE per frame.

    Raises:
        ImportFileError: a folder in the published pickled form, a missing file, a mask of the wrong size.
    """
    videos = []
    folders = sorted((p for p in require_folder(root).iterdir() if p.is_dir()), key=lambda p: (len(p.name), p.name))
    for folder in folders:
        card = folder / "video.json"
        if not card.is_file():
            if list(folder.glob("*.npy")):
                raise ImportFileError(
                    said("{0} holds pickled masks, which are not read because a pickle can run any program.", folder),
                    "Prepare the set from BURST: python -m kinmark.engine.evaluation.prepare_burst.",
                )
            continue
        videos.append(_prepared_video(folder, card))
    if not videos:
        raise UserInputError(
            said("There is no prepared video in {0}.", root),
            "Prepare it: python -m kinmark.engine.evaluation.prepare_burst.",
        )
    return videos


def _prepared_video(folder: Path, card: Path) -> PreparedVideo:
    try:
        data = json.loads(card.read_text(encoding="utf-8"))
        masks = []
        for item in data["masks"]:
            rle = MaskRLE(int(item["size"][0]), int(item["size"][1]), str(item["counts"]))
            rle.validate()
            masks.append(rle.decode())
        frames = tuple(folder / f"{i}.jpg" for i in range(3))
        if len(masks) != 3 or not all(f.is_file() for f in frames):
            raise ValueError("three frames with a mask each are needed")
        return PreparedVideo(str(data["name"]), str(data.get("category", "")), frames, tuple(masks))  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ImportFileError(
            said("The prepared video {0} is damaged.", card), "Prepare it again.", repr(error)
        ) from None
