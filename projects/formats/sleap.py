"""SLEAP `.slp`, NWB (ndx-pose) and JABS poses through `sleap-io` (optional: `kinmark[sleap]`).

A frame of a clip is the photo `<clip>/<clip>-<frame>.png` that `kinmark add DIR CLIP --frames` makes; frames of image lists are the
files themselves. User instances are labels, predicted ones proposals. SLEAP counts from the centre of the top-left pixel:
x + 0.5 on the way in, x - 0.5 on the way out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kinmark.engine.domain.errors import AppError, KnownError, UserInputError
from kinmark.engine.domain.geometry import continuous_to_index, index_to_continuous
from kinmark.engine.domain.keypoints import KeypointSchema, Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.projects.formats import checks
from kinmark.projects.formats.base import BadItems, ReadOptions, WriteOptions, bad, begin, lost, tick
from kinmark.projects.formats.checks import Item
from kinmark.projects.formats.clips import frame_name
from kinmark.projects.formats.dataset import (
    Dataset,
    DatasetCategory,
    DatasetImage,
    DatasetInstance,
    DatasetKeypoint,
    Report,
    ReportItem,
)
from kinmark.projects.formats.files import source_of
from kinmark.projects.formats.finish import finish
from kinmark.projects.formats.schemas import guess_pairs, unique_names
from kinmark.projects.formats.sleap_container import check_container, library

MAX_INSTANCES = 5_000_000
DEFAULT_CATEGORY = "animal"


def read_slp(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a `.slp` or `.pkg.slp` file, or the `.analysis.h5` of a clip (predictions)."""
    return _read("sleap", path, lambda sio: _load_slp(sio, path), options, progress, cancel)


def _load_slp(sio: Any, path: Path) -> Any:
    if path.suffix.lower() in (".h5", ".hdf5"):
        return sio.load_analysis_h5(str(path))
    return sio.load_slp(str(path), open_videos=False)


def read_nwb(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse an NWB file with pose annotations or estimates."""
    return _read("nwb", path, lambda sio: _load_nwb(sio, path), options, progress, cancel)


def _load_nwb(sio: Any, path: Path) -> Any:
    """`load_nwb` without opening clips.

    sleap-io 0.9.5 opens every clip to build its `Video`, and cannot take the list of an image series as pynwb gives it.
    """
    from sleap_io.io import nwb_annotations as module

    def unopened(series: Any) -> Any:
        names = [str(name) for name in series.external_file[:]]
        return sio.Video(filename=names[0] if len(names) == 1 else names, open_backend=False)

    original = module.nwb_image_series_to_sleap_video
    module.nwb_image_series_to_sleap_video = unopened
    try:
        return sio.load_nwb(str(path))
    finally:
        module.nwb_image_series_to_sleap_video = original


def read_jabs(
    path: Path,
    options: ReadOptions = ReadOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> tuple[Dataset, Report]:
    """Parse a `..._pose_est_v2.h5` to v6 file; everything in it is predicted."""
    return _read("jabs", path, lambda sio: sio.load_jabs(str(path)), options, progress, cancel)


def _read(
    kind: str,
    path: Path,
    load: Callable[[Any], Any],
    options: ReadOptions,
    progress: Progress | None,
    cancel: CancelToken | None,
) -> tuple[Dataset, Report]:
    sio = library()
    check_container(path)
    report = Report(kind)
    begin(progress, "Reading poses", 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labels = load(sio)
            frames = list(labels.labeled_frames)
    except Exception as error:  # noqa: BLE001 - the readers of sleap-io raise almost anything on damaged files
        what = said("sleap-io cannot read it ({0}: {1})", type(error).__name__, str(error)[:120])
        raise bad(path, "", what) from None
    categories = _categories(labels, options, report)
    broken = BadItems(report, options.skip_bad)
    images: list[DatasetImage] = []
    begin(progress, "Reading poses", len(frames))
    for frame in frames:
        tick(progress, cancel)
        where = said("frame {0}", frame.frame_idx)
        try:
            images.append(_image(path, frame, categories, report))
        except AppError as error:
            broken.handle(where, error)
    for kept, items in ((said("suggested frame"), labels.suggestions), (said("session of cameras"), labels.sessions)):
        if len(items):
            report.count("lost", kept, path.name, "there is no place for it", len(items))
    rois = len(getattr(labels, "rois", ()) or ())
    if rois:
        report.count("lost", "region of interest", path.name, "there is no place for it", rois)
    used = {c.name: c for c in categories.values()}
    dataset = Dataset(tuple(used.values()), tuple(images), path.stem)
    return finish(dataset, report, options, path)


def _categories(labels: Any, options: ReadOptions, report: Report) -> dict[int, DatasetCategory]:
    """Each skeleton (by its identity) as a category."""
    result: dict[int, DatasetCategory] = {}
    taken: set[str] = set()
    for number, skeleton in enumerate(labels.skeletons):
        name = options.category or (skeleton.name or "").strip() or DEFAULT_CATEGORY
        if name in taken:
            name = f"{name} ({number + 1})"
        taken.add(name)
        raw = [str(n) for n in skeleton.node_names]
        if len(raw) > checks.MAX_KEYPOINTS:
            raise bad(
                labels.provenance.get("filename", ""), said("skeleton {0}", name), said("it has {0} nodes", len(raw))
            )
        names = unique_names(raw, said("skeleton {0}", name), report)
        edges = tuple(dict.fromkeys((int(a), int(b)) for a, b in skeleton.edge_inds if a != b))
        place = {n: i for i, n in enumerate(raw)}
        pairs: list[tuple[int, int]] = []
        for symmetry in skeleton.symmetries:
            ends = sorted(place[node.name] for node in symmetry.nodes if node.name in place)
            if len(ends) == 2 and not {*ends} & {i for pair in pairs for i in pair}:
                pairs.append((ends[0], ends[1]))
        schema = KeypointSchema(tuple(names), edges, tuple(pairs) or guess_pairs(names))
        result[id(skeleton)] = DatasetCategory(name, schema)
    return result


def _image(path: Path, frame: Any, categories: dict[int, DatasetCategory], report: Report) -> DatasetImage:
    number = int(frame.frame_idx)
    item = Item(path, said("frame {0}", number), {})
    video = frame.video
    while getattr(video, "source_video", None) is not None:
        video = video.source_video
    filename = video.filename
    extra: dict[str, Any] = {}
    if isinstance(filename, list | tuple):
        if not 0 <= number < len(filename):
            raise item.error(said("the image list has {0} entries", len(filename)))
        relative, pointer = checks.photo_path(str(filename[number]), item)
    else:
        told = str(filename)
        checks.photo_path(told, item)  # control characters and the like
        relative, pointer = frame_name(told, number), ""
        extra["video"] = {"clip": told, "frame": number, "time_s": None}
    width, height = _size(video) if isinstance(filename, str) else (0, 0)  # photos of a list differ in size
    superseded = {id(n.from_predicted) for n in frame.instances if getattr(n, "from_predicted", None) is not None}
    instances = []
    for instance in frame.instances:
        if id(instance) in superseded:
            report.count("note", "predicted instance that a person corrected", item.where, "the corrected one is taken")
            continue
        category = categories.get(id(instance.skeleton))
        if category is None:
            raise item.error("an instance has a skeleton that is not among the file's")
        instances.append(_instance(instance, category))
    for name in ("masks", "bboxes", "centroids"):
        count = len(getattr(frame, name, ()) or ())
        if count:
            report.count("lost", said("{0} of a frame", name), item.where, "only instances are imported", count)
    return DatasetImage(
        relative,
        width,
        height,
        tuple(instances),
        pointer=pointer,
        extra=extra,
        size_told=bool(width),
    )


def _size(video: Any) -> tuple[int, int]:
    """(width, height) as far as the file says without opening the clip, else (0, 0)."""
    shape: Any = (getattr(video, "backend_metadata", None) or {}).get("shape") or ()
    try:
        _, height, width, _ = (int(v) for v in shape)
    except (TypeError, ValueError):
        return 0, 0
    return (width, height) if 0 < width < checks.MAX_SIDE and 0 < height < checks.MAX_SIDE else (0, 0)


def _instance(instance: Any, category: DatasetCategory) -> DatasetInstance:
    predicted = type(instance).__name__.startswith("Predicted")
    xy = np.asarray(instance.points["xy"], dtype=np.float64)
    visible = np.asarray(instance.points["visible"], dtype=bool)
    scores = np.asarray(instance.points["score"], dtype=np.float64) if predicted else None
    keypoints: dict[str, DatasetKeypoint] = {}
    for k, name in enumerate(category.schema.names):
        score = float(scores[k]) if scores is not None and np.isfinite(scores[k]) else None
        if not np.isfinite(xy[k]).all():
            keypoints[name] = DatasetKeypoint(Visibility.ABSENT, score=score)
            continue
        x, y = (float(v) for v in index_to_continuous(xy[k]))
        keypoints[name] = DatasetKeypoint(Visibility.VISIBLE if visible[k] else Visibility.HIDDEN, x, y, score)
    track = instance.track.name if instance.track is not None else ""
    total = getattr(instance, "score", None) if predicted else None
    return DatasetInstance(
        category.name,
        keypoints,
        identity=str(track or ""),
        proposal=predicted,
        score=float(total) if total is not None and np.isfinite(total) else None,
        origin="proposal" if predicted else "imported",
    )


# Writing


def losses(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What SLEAP and NWB files cannot say about this data set."""
    del options
    instances = [n for i in dataset.images for n in i.instances]
    return lost(
        [
            ("masks", sum(n.mask is not None for n in instances), "written without them"),
            ("boxes", sum(n.box is not None for n in instances), "written without them"),
            (
                "instances without keypoints",
                sum(not any(k.visibility for k in n.keypoints.values()) for n in instances),
                "left out",
            ),
            ("splits and tags", any(i.split or i.tags for i in dataset.images), "no place for them"),
            (
                "difference between absent and not looked at",
                any(n.keypoints for n in instances),
                "both are missing points",
            ),
        ]
    )


def losses_nwb(dataset: Dataset, options: WriteOptions = WriteOptions()) -> list[ReportItem]:
    """What NWB annotations cannot say besides."""
    pairs = any(c.schema.pairs for c in dataset.categories)
    instances = [n for i in dataset.images for n in i.instances]
    pending = sum(n.proposal for n in instances)
    hidden = sum(k.visibility == Visibility.HIDDEN for n in instances for k in n.keypoints.values())
    return [
        *losses(dataset, options),
        *lost(
            [
                ("hidden keypoints", hidden, "written as visible"),
                ("identities", sum(bool(n.identity) for n in instances), "no place for them"),
                ("left/right pairs", pairs, "no place for them"),
                ("pending proposals", pending, "left out"),
            ]
        ),
    ]


def write_slp(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/labels.slp`: clips by their frames, other photos as one image list."""
    report = Report("sleap", items=losses(dataset, options))
    return _write(
        dataset,
        out / "labels.slp",
        report,
        True,
        lambda sio, labels, file: sio.save_slp(labels, file, verbose=False),
        progress,
        cancel,
    )


def write_nwb(
    dataset: Dataset,
    out: Path,
    options: WriteOptions = WriteOptions(),
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Report:
    """Write `out/labels.nwb` with pose annotations (PoseTraining)."""
    report = Report("nwb", items=losses_nwb(dataset, options))
    return _write(
        dataset,
        out / "labels.nwb",
        report,
        False,
        lambda sio, labels, file: sio.save_nwb(labels, file, "annotations"),
        progress,
        cancel,
    )


def _write(
    dataset: Dataset,
    file: Path,
    report: Report,
    predicted: bool,
    save: Callable[[Any, Any, str], object],
    progress: Progress | None,
    cancel: CancelToken | None,
) -> Report:
    sio = library()
    begin(progress, "Writing poses", len(dataset.images))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = _labels(sio, dataset, report, predicted, progress, cancel)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}")
        part.unlink(missing_ok=True)
        part = part.with_suffix(file.suffix)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(sio, labels, str(part))
        part.replace(file)
    except ValueError as error:
        raise KnownError(
            said("sleap-io cannot write {0}: {1}.", file, error),
            "Re-link the clips and photos that are named.",
            repr(error),
        ) from None
    except OSError as error:
        raise KnownError(
            said("Cannot write {0}: {1}.", file, error.strerror or error),
            "Free space, choose another folder or check its permissions.",
            repr(error),
        ) from None
    report.files.append(str(file))
    return report


def _labels(
    sio: Any, dataset: Dataset, report: Report, predicted: bool, progress: Progress | None, cancel: CancelToken | None
) -> Any:
    skeletons = {c.name: _skeleton(sio, c) for c in dataset.categories if len(c.schema)}
    tracks: dict[str, Any] = {}
    clips: dict[str, Any] = {}
    used = [i for i in dataset.images if any(_wanted(n, skeletons, predicted) for n in i.instances)]
    if not used:
        raise UserInputError(
            "There is nothing to export: no instance has a keypoint.", "Accept or place keypoints first."
        )
    stills = [i for i in used if not i.extra.get("video")]
    listed = sio.Video(filename=[str(source_of(i)) for i in stills]) if stills else None
    place = {i.rel_path: n for n, i in enumerate(stills)}
    frames = []
    for image in used:
        tick(progress, cancel, str(image.rel_path))
        told = image.extra.get("video")
        if told:
            clip = str(told["clip"])
            if clip not in clips:
                clips[clip] = sio.Video(filename=clip, open_backend=not predicted)  # NWB files describe what they open
                clips[clip].backend_metadata["shape"] = (int(told["frame"]) + 1, image.height, image.width, 3)
            video, number = clips[clip], int(told["frame"])
        else:
            video, number = listed, place[image.rel_path]
        instances = []
        for instance in image.instances:
            if _wanted(instance, skeletons, predicted):
                if instance.identity and instance.identity not in tracks:
                    tracks[instance.identity] = sio.Track(instance.identity)
                track = tracks.get(instance.identity)
                instances.append(_to_sleap(sio, instance, skeletons[instance.category], track, hidden=predicted))
                report.keypoints += sum(k.visibility > 0 for k in instance.keypoints.values())
        frames.append(sio.LabeledFrame(video=video, frame_idx=number, instances=instances))
        report.images += 1
        report.instances += len(instances)
    return sio.Labels(frames)


def _wanted(instance: DatasetInstance, skeletons: dict[str, Any], predicted: bool) -> bool:
    labelled = any(k.visibility for k in instance.keypoints.values())
    return instance.category in skeletons and labelled and (predicted or not instance.proposal)


def _skeleton(sio: Any, category: DatasetCategory) -> Any:
    schema = category.schema
    skeleton = sio.Skeleton(nodes=list(schema.names), name=category.name)
    for a, b in schema.edges:
        skeleton.add_edge(schema.names[a], schema.names[b])
    for a, b in schema.pairs:
        skeleton.add_symmetry(schema.names[a], schema.names[b])
    return skeleton


def _to_sleap(sio: Any, instance: DatasetInstance, skeleton: Any, track: Any, *, hidden: bool) -> Any:
    """An instance of sleap-io; without `hidden` all placed keypoints are visible (NWB drops the others)."""
    names = skeleton.node_names
    xy = np.full((len(names), 2), np.nan)
    visible, scores = np.zeros(len(names), dtype=bool), np.zeros(len(names))
    for k, name in enumerate(names):
        keypoint = instance.keypoints.get(name)
        if keypoint is None or keypoint.x is None or keypoint.y is None or not keypoint.visibility:
            continue
        xy[k] = continuous_to_index((keypoint.x, keypoint.y))
        visible[k] = keypoint.visibility == Visibility.VISIBLE or not hidden
        scores[k] = keypoint.score if keypoint.score is not None else 0.0
    if instance.proposal:
        result = sio.PredictedInstance.from_numpy(
            xy, skeleton=skeleton, point_scores=scores, score=float(instance.score or 0.0), track=track
        )
    else:
        result = sio.Instance.from_numpy(xy, skeleton=skeleton, track=track)
    result.points["visible"] = visible
    return result
