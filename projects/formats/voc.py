"""Pascal VOC: boxes (1-based inclusive integers), class and object masks, splits. No keypoints (methods/formats.md#voc).

Written: Annotations/, JPEGImages/, SegmentationClass/, SegmentationObject/, ImageSets/{Main,Segmentation}/. The number of an
object's colour in SegmentationObject is its place among the <object> entries, as in VOC itself.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

import numpy as np

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.masks import MaskRLE
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.imaging import IMAGE_SUFFIXES
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, lost, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.coco_write import instance_box
from kinmark.projects.formats.cvat_write import xml_text
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import jpeg_bytes
from kinmark.projects.formats.finish import finish, say_unlabelled
from kinmark.projects.formats.outlines import outline_extra
from kinmark.projects.formats.pixels import palette_png, read_index_mask
from kinmark.projects.formats.polygons import polygons_to_mask
from kinmark.projects.formats.sinks import Sink, open_sink
from kinmark.projects.formats.spair_names import VOC_CLASSES
from kinmark.projects.formats.splitting import simple_splits
from kinmark.projects.formats.stems import NAME_MAP, flat_stems, name_map_bytes
from kinmark.projects.formats.voc_objects import VocObject, read_object
from kinmark.projects.formats.xmlfile import Node, load_xml

VOID = 255


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What VOC cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("keypoints", sum(bool(n.keypoints) for n in instances), "VOC has none"),
            ("identities", sum(bool(n.identity) for n in instances), "no place for them"),
            ("fractions of box corners", any(n.box for n in instances), "VOC boxes are whole pixels"),
            (
                "masks below others",
                _overlaps(dataset),
                "one object per pixel: the later one is drawn over the earlier one",
            ),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def _overlaps(dataset: Dataset) -> int:
    number = 0
    for image in dataset.images:
        masks = [n.mask for n in image.instances if n.mask is not None]
        if len(masks) > 1:
            total = np.zeros((image.height, image.width), dtype=np.int32)
            for mask in masks:
                total += mask.decode()
            number += bool((total > 1).any())
    return number


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write to the (new or earlier-exported) folder `out`."""
    report = Report("voc", items=losses(dataset, options))
    splits = simple_splits(dataset, ("train", "val", "test"), options.seed, report)
    stems = flat_stems(i.rel_path for i in dataset.images)
    class_ids = _class_ids(dataset)
    lists: dict[str, list[str]] = {"train": [], "val": [], "trainval": [], "test": []}
    segmented: dict[str, list[str]] = {key: [] for key in lists}
    begin(progress, "Writing VOC", len(dataset.images))
    with open_sink(out, "voc", options.archive) as sink:
        for image in dataset.images:
            tick(progress, cancel, str(image.rel_path))
            stem = stems[image.rel_path]
            try:
                sink.add(f"JPEGImages/{stem}.jpg", jpeg_bytes(image))
            except AppError as error:
                report.add("skipped", str(image.rel_path), error.user_message)
                continue
            sink.add(f"Annotations/{stem}.xml", _annotation(image, stem, report))
            has_masks = _write_masks(sink, image, stem, class_ids, report)
            report.images += 1
            for name in (splits[image.rel_path], *(["trainval"] if splits[image.rel_path] != "test" else [])):
                lists[name].append(stem)
                segmented[name] += [stem] if has_masks else []
        for name in lists:
            sink.add(f"ImageSets/Main/{name}.txt", "".join(f"{s}\n" for s in lists[name]).encode())
            sink.add(f"ImageSets/Segmentation/{name}.txt", "".join(f"{s}\n" for s in segmented[name]).encode())
        classes = "".join(f"{i} {n}\n" for n, i in class_ids.items())
        sink.add("classes.txt", classes.encode())
        sink.add(NAME_MAP, name_map_bytes(stems))
    report.files.append(str(out) + options.archive)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """The splits, and objects that are left out."""
    report = Report("voc")
    simple_splits(dataset, ("train", "val", "test"), options.seed, report)
    for image in dataset.images:
        for instance in image.instances:
            if instance_box(instance) is None:
                report.add(
                    "skipped", str(image.rel_path), said('a "{0}" has no box, mask or keypoints', instance.category)
                )
    return report.items


def _class_ids(dataset: Dataset) -> dict[str, int]:
    """VOC's number for its 20 classes, following numbers for others."""
    ids: dict[str, int] = {}
    following = len(VOC_CLASSES) + 1
    for category in dataset.categories:
        if category.name in VOC_CLASSES:
            ids[category.name] = VOC_CLASSES.index(category.name) + 1
        else:
            ids[category.name] = min(following, VOID - 1)
            following += 1
    return ids


def _drawn(instance: DatasetInstance) -> bool:
    return instance_box(instance) is not None


def _annotation(image: DatasetImage, stem: str, report: Report) -> bytes:
    root = ElementTree.Element("annotation")
    for tag, text in (("folder", "JPEGImages"), ("filename", f"{stem}.jpg")):
        ElementTree.SubElement(root, tag).text = text
    size = ElementTree.SubElement(root, "size")
    for tag, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        ElementTree.SubElement(size, tag).text = str(value)
    has_mask = any(n.mask is not None for n in image.instances)
    ElementTree.SubElement(root, "segmented").text = str(int(has_mask))
    for instance in image.instances:
        box = instance_box(instance)
        if box is None:
            report.add("skipped", str(image.rel_path), said('a "{0}" has no box, mask or keypoints', instance.category))
            continue
        _object(root, instance, _inclusive(box, image))
        report.instances += 1
        report.masks += instance.mask is not None
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _inclusive(box: Box, image: DatasetImage) -> tuple[int, int, int, int]:
    """1-based inclusive whole pixels that hold the box."""
    x0, y0 = (int(min(max(np.floor(v), 0), s - 1)) for v, s in zip(box[:2], (image.width, image.height), strict=True))
    x1, y1 = (int(min(max(np.ceil(v), 1), s)) for v, s in zip(box[2:], (image.width, image.height), strict=True))
    return x0 + 1, y0 + 1, max(x1, x0 + 1), max(y1, y0 + 1)


def _object(root: ElementTree.Element, instance: DatasetInstance, corners: tuple[int, int, int, int]) -> None:
    element = ElementTree.SubElement(root, "object")
    hidden = int(any(k.visibility == 1 for k in instance.keypoints.values()))
    fields = (
        ("name", instance.category),
        ("pose", "Unspecified"),
        ("truncated", "0"),
        ("occluded", str(hidden)),
        ("difficult", str(int(instance.crowd))),
    )
    for tag, text in fields:
        ElementTree.SubElement(element, tag).text = xml_text(text)
    box = ElementTree.SubElement(element, "bndbox")
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        ElementTree.SubElement(box, tag).text = str(value)


def _write_masks(sink: Sink, image: DatasetImage, stem: str, class_ids: dict[str, int], report: Report) -> bool:
    drawn = [n for n in image.instances if _drawn(n)]
    if not any(n.mask is not None for n in drawn):
        return False
    if len(drawn) >= VOID:
        report.add(
            "skipped", str(image.rel_path), said("masks of {0} objects; a palette picture holds 254", len(drawn))
        )
        return False
    classes = np.zeros((image.height, image.width), dtype=np.uint8)
    objects = np.zeros_like(classes)
    for number, instance in enumerate(drawn, start=1):
        if instance.mask is not None:
            pixels = instance.mask.decode()
            classes[pixels], objects[pixels] = class_ids[instance.category], number
    sink.add(f"SegmentationClass/{stem}.png", palette_png(classes))
    sink.add(f"SegmentationObject/{stem}.png", palette_png(objects))
    return True


def read(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse the folder that holds Annotations/ (VOCdevkit/VOC2012 or an export); image paths are relative to it.

    A folder of .xml files beside their photos, as labelImg leaves it, is read as well.
    """
    report = Report("voc")
    if path.name == "Annotations" and not (path / "Annotations").is_dir():
        path = path.parent
    folder = path / "Annotations"
    files = sorted(folder.glob("*.xml")) if folder.is_dir() else []
    flat = not files and path.is_dir()
    if flat:
        files = sorted(p for p in path.rglob("*.xml") if p.is_file())
    if not files:
        raise bad(path, "", "it holds no Annotations folder with .xml files", "Give the folder that holds Annotations.")
    broken = BadItems(report, options.skip_bad)
    deeper = [] if flat else [p for p in sorted(folder.rglob("*.xml")) if p.parent != folder]
    if deeper:
        report.count("skipped", "label file in a folder of Annotations", deeper[0].name, "not read", len(deeper))
    splits = _read_splits(path, report)
    images: list[DatasetImage] = []
    names: dict[str, None] = {}
    begin(progress, "Reading VOC", len(files))
    for file in files:
        tick(progress, cancel, file.name)
        try:
            where = PurePosixPath(file.parent.relative_to(path).as_posix()) if flat else PurePosixPath("JPEGImages")
            image = _read_file(path, file, where, splits.get(file.stem, ""), report, broken)
            images.append(image)
            names.update(dict.fromkeys(n.category for n in image.instances))
        except AppError as error:
            broken.handle(file.name, error)
    stems = {file.stem for file in files}
    for name in splits:
        if name not in stems:
            report.count("skipped", "name in ImageSets", name, "there is no annotation of it")
    say_unlabelled(path if flat else path / "JPEGImages", _named(path, images), report)
    dataset = Dataset(tuple(DatasetCategory(n) for n in names), tuple(images), path.name)
    report.extra["images_root"] = str(path)
    return finish(dataset, report, options, path)


def _read_splits(path: Path, report: Report) -> dict[str, str]:
    """Photo (without its suffix) -> split, of the lists in ImageSets; lists of other names are said."""
    result: dict[str, str] = {}
    for split in ("train", "val", "test"):
        names: dict[str, None] = {}
        for task in ("Main", "Segmentation"):
            file = path / "ImageSets" / task / f"{split}.txt"
            if file.is_file():
                names |= {line.split()[0]: None for line in checks.read_text(file).splitlines() if line.strip()}
        for name in names:
            if result.setdefault(name, split) != split:
                report.count("flagged", "photo of several splits", name, "the first one counts")
    known = {f"{name}.txt" for name in ("train", "val", "test", "trainval")}
    others = [p for p in sorted((path / "ImageSets").rglob("*.txt")) if p.name not in known]
    if others:
        report.count("note", "further list in ImageSets", others[0].name, "train, val and test are read", len(others))
    return result


def _read_file(
    root: Path, file: Path, folder: PurePosixPath, split: str, report: Report, broken: BadItems
) -> DatasetImage:
    node = Node(file, "", load_xml(file))
    if node.element.tag != "annotation":
        raise node.error(said("it is no VOC file (its root is <{0}>)", str(node.element.tag)[:40]))
    item = Item(file, "", {"filename": node.element.findtext("filename") or f"{file.stem}.jpg"})
    name, pointer = checks.photo_path(item.text("filename"), item)
    width, height = _size(node, item)
    objects: list[tuple[int, VocObject]] = []
    found = node.element.findall("object")
    for number, element in enumerate(found, start=1):
        try:
            objects.append((number, read_object(Node(file, said("object {0}", number), element), report)))
        except AppError as error:
            broken.handle(said("{0}: object {1}", file.name, number), error)
    masks = _read_masks(root, file.stem, (width, height), len(found), report) if width else {}
    classes = root / "SegmentationClass" / f"{file.stem}.png"
    if classes.is_file() and not (root / "SegmentationObject" / classes.name).is_file():
        report.count(
            "skipped", "mask of classes", classes.name, "SegmentationObject tells the objects apart, it has none"
        )
    instances = tuple(
        _instance(found, masks.get(number), (width, height), said("{0}: object {1}", file.name, number), report)
        for number, found in objects
    )
    return DatasetImage(
        folder / name.name if pointer else folder / name,
        width,
        height,
        instances,
        split=split,
        size_told=bool(width),
        any_suffix=not name.suffix,
        stand_in=str(folder / file.stem) if file.stem != name.stem else "",
    )


def _instance(
    found: VocObject, mask: MaskRLE | None, size_wh: tuple[int, int], where: str, report: Report
) -> DatasetInstance:
    """With its mask of SegmentationObject, else that of its outline."""
    extra: dict[str, object] = {}
    if found.ring is not None and (mask is not None or not size_wh[0]):
        why = "the mask of SegmentationObject is read" if mask is not None else "the file says no size of the photo"
        report.count("lost", "<polygon>", where, why)
    elif found.ring is not None:
        try:
            mask = polygons_to_mask([found.ring], size_wh[1], size_wh[0])
            extra = outline_extra([found.ring], mask)
        except ValueError:
            report.count("skipped", "<polygon>", where, "it cannot be drawn")
    return DatasetInstance(found.label, {}, found.box, mask, crowd=found.crowd, origin="imported", extra=extra)


def _size(node: Node, item: Item) -> tuple[int, int]:
    """The photo's size; (0, 0) where the file says none (some tools write zeros): then the photo tells."""
    size = node.element.find("size")
    if size is None:
        return 0, 0
    inner = Node(node.path, "size", size)
    width, height = inner.child_number("width"), inner.child_number("height")
    return (0, 0) if width == height == 0 else checks.image_size(item, width, height)


def _named(path: Path, images: list[DatasetImage]) -> set[Path]:
    """The photos that the files mean: by `<filename>`, else by the name of the XML."""
    found: set[Path] = set()
    for image in images:
        file = path / image.rel_path
        known = [file] if file.exists() or not image.stand_in else []
        found.update(known or (file.with_name(Path(image.stand_in).name + s) for s in IMAGE_SUFFIXES))
    return found


def _read_masks(root: Path, stem: str, size_wh: tuple[int, int], count: int, report: Report) -> dict[int, MaskRLE]:
    file = root / "SegmentationObject" / f"{stem}.png"
    if not file.is_file() or not count:
        return {}
    values = read_index_mask(file, size_wh)
    present = {int(v) for v in np.unique(values)} - {0, VOID}
    strangers = [n for n in present if n > count]
    if strangers:
        report.count(
            "skipped", "mask without an <object>", said("{0}: value {1}", file.name, strangers[0]), "", len(strangers)
        )
    return {n: MaskRLE.encode(values == n) for n in present if n <= count}
