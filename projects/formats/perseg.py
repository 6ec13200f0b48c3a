"""PerSeg: one folder per object, pictures and masks numbered 00, 01 ...; 00 is the reference (methods/formats.md#perseg).

An object is an identity (or a category, for instances without one). PerSAM's evaluator skips every path that contains "00",
so numbers stop at 99 and such folder names are avoided.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import is_image_path, read_header
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, drawn_size, lost, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import jpeg_bytes
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.pixels import read_index_mask
from kinmark.projects.formats.sinks import open_sink
from kinmark.projects.formats.spair_names import ascii_word

LIMIT = 100


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What PerSeg cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("keypoints", sum(bool(n.keypoints) for n in instances), "PerSeg has masks only"),
            ("instances without mask", sum(n.mask is None or not n.mask.area for n in instances), "left out"),
            (
                "categories of instances with an identity",
                sum(bool(n.identity) and n.mask is not None for n in instances),
                "the identity is the object",
            ),
            ("names of photos", any(n.mask is not None for n in instances), "they are numbered 00, 01 ..."),
            ("splits and tags", any(i.split or i.tags for i in dataset.images), "no place for them"),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write Images/<object>/NN.jpg and Annotations/<object>/NN.png to the (new or earlier-exported) folder `out`."""
    report = Report("perseg", items=losses(dataset, options))
    if "00" in str(out.absolute()):
        report.add(
            "flagged", str(out), 'PerSAM\'s evaluator skips paths that contain "00", so it will skip all of this'
        )
    objects = _objects(dataset, report)
    begin(progress, "Writing PerSeg", sum(map(len, objects.values())))
    with open_sink(out, "perseg", options.archive) as sink:
        for name, members in objects.items():
            number = 0
            for image, mask in members:
                tick(progress, cancel, name)
                try:
                    picture = jpeg_bytes(image)
                except AppError as error:
                    report.add("skipped", str(image.rel_path), error.user_message)
                    continue
                sink.add(f"Images/{name}/{number:02d}.jpg", picture)
                sink.add(f"Annotations/{name}/{number:02d}.png", _mask_png(mask))
                number += 1
                report.images += 1
                report.instances += 1
                report.masks += 1
    report.files.append(str(out) + options.archive)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Names and what is left out; UserInputError when no instance has a mask."""
    del options
    report = Report("perseg")
    _objects(dataset, report)
    return report.items


def _objects(dataset: Dataset, report: Report) -> dict[str, list[tuple[DatasetImage, MaskRLE]]]:
    """Safe folder name -> (image, mask), the first one being the reference; UserInputError when there is none."""
    members: dict[str, list[tuple[DatasetImage, MaskRLE]]] = {}
    for image in dataset.images:
        for instance in image.instances:
            if instance.mask is None or not instance.mask.area:
                continue
            own = members.setdefault(instance.identity or instance.category, [])
            if any(other is image for other, _ in own):
                report.add("skipped", str(image.rel_path), "a second mask of the same object in one image")
            elif len(own) >= LIMIT:
                report.add("skipped", str(image.rel_path), "numbers beyond 99 are skipped by the evaluator")
            else:
                own.append((image, instance.mask))
    result: dict[str, list[tuple[DatasetImage, MaskRLE]]] = {}
    for name, found in members.items():
        base = ascii_word(name) or "object"
        while "00" in base:
            base = base.replace("00", "0_0")
        candidate, number = base, 2
        while candidate.lower() in {k.lower() for k in result} or "00" in candidate:
            candidate, number = f"{base}_{number}", number + 1
        if candidate != name:
            report.add("changed", name, said('written as "{0}"', candidate))
        result[candidate] = found
    if not result:
        raise UserInputError(
            "There is nothing to export as PerSeg: no instance has a mask.", "Accept or draw masks first."
        )
    return result


def _mask_png(mask: MaskRLE) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(mask.decode().astype(np.uint8) * 255, "L").save(buffer, "PNG")
    return buffer.getvalue()


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the folder that holds Images/ and Annotations/; every object becomes a category and an identity."""
    report = Report("perseg")
    if not (path / "Images").is_dir() or not (path / "Annotations").is_dir():
        raise bad(path, "", "it holds no Images and Annotations folders", "Give PerSeg's top folder.")
    files = sorted((path / "Annotations").glob("*/*.png"))
    broken = BadItems(report, options.skip_bad)
    images: list[DatasetImage] = []
    begin(progress, "Reading PerSeg", len(files))
    for file in files:
        tick(progress, cancel, file.name)
        where = f"{file.parent.name}/{file.name}"
        try:
            image = _read_one(path, file, options)
        except AppError as error:
            broken.handle(where, error)
            continue
        if image is None:
            report.add("skipped", where, "the picture of this mask is not there")
        else:
            images.append(image)
    say_unlabelled(path / "Images", {path / i.rel_path for i in images}, report)
    others = [p for p in sorted((path / "Annotations").rglob("*")) if p.is_file() and p not in set(files)]
    if others:
        report.count("skipped", "file of no object", others[0].name, "Annotations/<object>/*.png are read", len(others))
    names = dict.fromkeys(n.category for i in images for n in i.instances)
    dataset = Dataset(tuple(DatasetCategory(n) for n in names), tuple(images), path.name)
    report.extra["images_root"] = str(path)
    return finish(dataset, report, options, path)


def _read_one(root: Path, file: Path, options: ReadOptions) -> DatasetImage | None:
    name = file.parent.name
    picture = next((p for p in sorted((root / "Images" / name).glob(f"{file.stem}.*")) if is_image_path(p)), None)
    if picture is None:
        return None
    header = read_header(picture)
    size = drawn_size(header.size_wh, header.orientation, options, PurePosixPath(picture.relative_to(root).as_posix()))
    values = _grey(file, size)
    instance = DatasetInstance(options.category or name, {}, None, MaskRLE.encode(values), name, origin="imported")
    relative = PurePosixPath("Images", name, picture.name)
    return DatasetImage(relative, *size, (instance,), orientation=header.orientation, size_told=False)


def _grey(file: Path, size_wh: tuple[int, int]) -> np.ndarray:
    """Mask = grey > 0, as the evaluator reads it; colour pictures (the published masks) by any channel."""
    return read_index_mask(file, size_wh, any_colour=True) > 0
