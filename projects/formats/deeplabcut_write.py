"""Write DeepLabCut labels: labeled-data/<video>/CollectedData_<scorer>.csv (and .h5 where pandas + PyTables are installed).

Numbers are xy_image as they are. DeepLabCut knows one kind of animal, no visibility states and no masks.
"""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import yaml

from kinmark.engine.domain.errors import AppError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats.base import WriteOptions, begin, lost, tick
from kinmark.projects.formats.dataset import Dataset, DatasetCategory, DatasetImage, DatasetInstance, Report, ReportItem
from kinmark.projects.formats.files import png_bytes
from kinmark.projects.formats.sinks import open_sink
from kinmark.projects.formats.spair_names import ascii_word
from kinmark.projects.formats.stems import NAME_MAP, flat_stems, name_map_bytes

SCORER = "kinmark"


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What DeepLabCut cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            (
                "hidden keypoints",
                sum(k.visibility == 1 for n in instances for k in n.keypoints.values()),
                "written as visible",
            ),
            ("masks", sum(n.mask is not None for n in instances), "DeepLabCut has none"),
            ("boxes", sum(n.box is not None for n in instances), "DeepLabCut has none"),
            ("instances without keypoints", sum(not n.keypoints for n in instances), "left out"),
            ("splits", any(i.split for i in dataset.images), "DeepLabCut splits when it trains"),
            ("identity", _lone_identity(dataset), "a table of one animal has no place for it"),
            ("left/right pairs", any(c.schema.pairs for c in dataset.categories), "no place for them"),
            (
                "difference between absent and not looked at",
                any(n.keypoints for n in instances),
                "both are empty cells",
            ),
            ("marks of unreviewed proposals", sum(n.proposal for n in instances), "they look like accepted labels"),
        ]
    )


def _lone_identity(dataset: Dataset) -> bool:
    """Whether all labels are of one named animal: then the table has no individuals."""
    named = {n.identity for i in dataset.images for n in i.instances if n.keypoints and n.identity}
    most = max((sum(bool(n.keypoints) for n in i.instances) for i in dataset.images), default=0)
    return len(named) == 1 and most <= 1


def write(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write config.yaml and labeled-data/ of the one category with keypoints to the folder `out`."""
    report = Report("deeplabcut", items=losses(dataset, options))
    category = _the_category(dataset)
    videos = _videos(dataset, category)
    individuals = _individuals(videos, category)
    _say_renamed(videos, report)
    names = flat_stems(image.rel_path for images in videos.values() for image in images)
    begin(progress, "Writing DeepLabCut", sum(map(len, videos.values())))
    with open_sink(out, "deeplabcut", options.archive) as sink:
        for video, images in videos.items():
            rows = _header(category, individuals)
            for image in images:
                tick(progress, cancel, str(image.rel_path))
                name = f"{names[image.rel_path]}.png"
                try:
                    sink.add(f"labeled-data/{video}/{name}", png_bytes(image))
                except AppError as error:
                    report.add("skipped", str(image.rel_path), error.user_message)
                    continue
                rows.append(["labeled-data", video, name, *_cells(image, category, individuals)])
                report.images += 1
                placed = _place(_own(image, category), individuals).values()
                report.instances += len(placed)
                report.keypoints += sum(k.visibility > 0 for n in placed for k in n.keypoints.values())
                missed = len(_own(image, category)) - len(placed)
                if missed:
                    report.add(
                        "skipped",
                        str(image.rel_path),
                        said("%n animals beyond those that the table has columns for", n=missed),
                    )
            file = f"labeled-data/{video}/CollectedData_{SCORER}"
            text = _csv_text(rows)
            sink.add(f"{file}.csv", text.encode())
            binary = hdf_bytes(text, bool(individuals))
            if binary is not None:
                sink.add(f"{file}.h5", binary)
        sink.add("config.yaml", _config(dataset, category, videos, individuals))
        sink.add(NAME_MAP, name_map_bytes(names))
    if hdf_bytes("", False) is None:
        report.add("flagged", ".h5", "not written: install kinmark[deeplabcut], or run deeplabcut.convertcsv2h5")
    report.files.append(str(out) + options.archive)
    return report


def rehearse(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """Folders that get other names; UserInputError when it is not one category that is written."""
    del options
    report = Report("deeplabcut")
    _say_renamed(_videos(dataset, _the_category(dataset)), report)
    return report.items


def _say_renamed(videos: dict[str, list[DatasetImage]], report: Report) -> None:
    for folder, video in _renamed(videos).items():
        report.add("changed", folder, said("this folder is written as the video {0}", video))


def _the_category(dataset: Dataset) -> DatasetCategory:
    used = {n.category for i in dataset.images for n in i.instances if n.keypoints}
    found = [c for c in dataset.categories if c.name in used]
    if len(found) != 1:
        raise UserInputError(
            said("A DeepLabCut project has one kind of animal; {0} categories have labelled keypoints.", len(found)),
            "Choose one with --category.",
        )
    return found[0]


def _videos(dataset: Dataset, category: DatasetCategory) -> dict[str, list[DatasetImage]]:
    """Folder of the photos -> its labelled photos; a folder plays the part of a video."""
    videos: dict[str, list[DatasetImage]] = {}
    for image in dataset.images:
        if any(n.category == category.name and n.keypoints for n in image.instances):
            name = ascii_word("_".join(image.rel_path.parent.parts)) or "photos"
            videos.setdefault(name, []).append(image)
    return videos


def _renamed(videos: dict[str, list[DatasetImage]]) -> dict[str, str]:
    """Folders of photos whose name as a video is another one."""
    result = {}
    for video, images in videos.items():
        for image in images:
            folder = image.rel_path.parent
            if folder.name != video:
                result[str(folder)] = video
    return result


def _individuals(videos: dict[str, list[DatasetImage]], category: DatasetCategory) -> list[str]:
    """Names of the animals when a photo holds several or they have identities, else []: a single-animal project."""
    identities: dict[str, None] = {}
    most = 0
    for image in (image for images in videos.values() for image in images):
        own = [n for n in image.instances if n.category == category.name and n.keypoints]
        most = max(most, len(own))
        identities.update(dict.fromkeys(n.identity for n in own if n.identity))
    if most <= 1 and len(identities) <= 1:
        return []
    numbered = (f"animal{i}" for i in range(1, most + 1))
    return [*identities, *(n for n in numbered if n not in identities)]


def _header(category: DatasetCategory, individuals: list[str]) -> list[list[str]]:
    parts = category.schema.names
    animals = individuals or [""]
    columns = [(animal, part, axis) for animal in animals for part in parts for axis in "xy"]
    rows = [["scorer", "", "", *(SCORER for _ in columns)]]
    if individuals:
        rows.append(["individuals", "", "", *(c[0] for c in columns)])
    rows.append(["bodyparts", "", "", *(c[1] for c in columns)])
    rows.append(["coords", "", "", *(c[2] for c in columns)])
    return rows


def _cells(image: DatasetImage, category: DatasetCategory, individuals: list[str]) -> list[str]:
    placed = _place(_own(image, category), individuals)
    cells = []
    for animal in individuals or [""]:
        instance = placed.get(animal)
        for name in category.schema.names:
            k = instance.keypoints.get(name) if instance is not None else None
            there = k is not None and k.x is not None and k.y is not None and k.visibility > 0
            cells += (
                [repr(float(k.x)), repr(float(k.y))]
                if there and k and k.x is not None and k.y is not None
                else ["", ""]
            )
    return cells


def _own(image: DatasetImage, category: DatasetCategory) -> list[DatasetInstance]:
    return [n for n in image.instances if n.category == category.name and n.keypoints]


def _place(instances: list[DatasetInstance], individuals: list[str]) -> dict[str, DatasetInstance]:
    if not individuals:
        return {"": instances[0]}
    result: dict[str, DatasetInstance] = {}
    for instance in sorted(instances, key=lambda n: not n.identity):
        free = [a for a in individuals if a not in result and a.startswith("animal")]
        name = instance.identity if instance.identity and instance.identity not in result else next(iter(free), "")
        if name:
            result[name] = instance
    return result


def _csv_text(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _config(
    dataset: Dataset, category: DatasetCategory, videos: dict[str, list[DatasetImage]], individuals: list[str]
) -> bytes:
    names = category.schema.names
    data: dict[str, Any] = {
        "Task": ascii_word(dataset.name) or "kinmark",
        "scorer": SCORER,
        "multianimalproject": bool(individuals),
        "project_path": ".",
        "video_sets": {_clip(v, images): {"crop": _crop(images)} for v, images in videos.items()},
        "skeleton": [[names[a], names[b]] for a, b in category.schema.edges],
        "kinmark_category": category.name,
        "kinmark_pairs": [[names[a], names[b]] for a, b in category.schema.pairs],
    }
    if individuals:
        data |= {
            "individuals": individuals,
            "uniquebodyparts": [],
            "multianimalbodyparts": list(names),
            "bodyparts": "MULTI!",
        }
    else:
        data["bodyparts"] = list(names)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode()


def _clip(video: str, images: list[DatasetImage]) -> str:
    """The clip that the frames come from, else a name for the folder."""
    clips = {str((i.extra.get("video") or {}).get("clip", "")) for i in images}
    return next(iter(clips)) if len(clips) == 1 and clips != {""} else f"videos/{video}.avi"


def _crop(images: list[DatasetImage]) -> str:
    return f"0, {max(i.width for i in images)}, 0, {max(i.height for i in images)}"


def hdf_bytes(text: str, multi: bool) -> bytes | None:
    """The CSV as DeepLabCut's HDF5 (key df_with_missing); None without pandas and PyTables. Empty text only asks that."""
    try:
        import pandas
        import tables  # noqa: F401
    except ImportError:
        return None
    if not text:
        return b""
    header = list(range(4 if multi else 3))
    frame = pandas.read_csv(io.StringIO(text), header=header, index_col=[0, 1, 2])
    frame.index.names = [None, None, None]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "labels.h5"
        frame.to_hdf(file, key="df_with_missing", mode="w")
        return file.read_bytes()
