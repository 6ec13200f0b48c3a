"""A first look: all keypoints of the exemplars on all photos in one pass over small stored maps (ours).

Made for many photos: once their small maps are stored, a thousand photos take about a second. Left out against the ordinary
way are crops, sizes, whitening and the common choice of all keypoints: each keypoint goes to the cell that looks most like it
in the exemplar that fits the photo best. So it is coarser, and its confidence has a model of its own.

Thread: the engine thread.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.backbones.registry import fitted_for
from kinmark.engine.domain.errors import ModelCorruptError, UnreadableImageError
from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.compress import SharedBasis
from kinmark.engine.features.fusion import resample
from kinmark.engine.features.small_maps import FOLDER, SmallMaps, locked, trim
from kinmark.engine.matching.bank import WHOLE, ExemplarBank, all_variants, build_bank
from kinmark.engine.matching.confidence import judge, prior_calibration
from kinmark.engine.matching.evidence.gather import AGREEMENT_RADIUS
from kinmark.engine.matching.reader import DESCRIPTOR, DIFFUSION, FeatureReader, ViewParts, open_reader
from kinmark.engine.paths import resources_dir
from kinmark.engine.requests import FIRST_LOOK, Calibration, ImageInput, ProposeRequest, Target, TargetFailure

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

Answer = InstanceProposal | TargetFailure
DIMS = {DIFFUSION: 128, DESCRIPTOR: 96}
"""Numbers kept per cell: 0.52 MB a photo of the embedded model (measured: `kinmark benchmark storage`)."""
FIT_PHOTOS = 24
"""Bases are fitted on so many photos; with fewer at hand they serve one request and are not kept."""
READ_AT_ONCE = 8
CACHE_SHARE = 0.5
"""Of the feature cache's cap."""
ABSENT_BELOW = 0.5


@dataclass(frozen=True)
class Hit:
    """Where the keypoints of one photo are: `xy_image` `[K, 2]` (NaN: no exemplar shows it), `signals` (K)."""

    xy_image: NDArray[np.float64]
    signals: tuple[KeypointSignals, ...]
    known: NDArray[np.bool_]
    exemplar: int


def search_keypoints(
    session: EngineSession,
    request: ProposeRequest,
    exemplars: Sequence[Any],
    ordinary: Callable[[ProposeRequest], Iterator[Answer]],
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer]:
    """One answer per target, in the order of the request.

    Args:
        exemplars: usable ones, thinned out.
        ordinary: the ordinary sweep, for targets that ask about a part of the photo only.
    """
    prompt = session.prompt(request.prompt, session.backbone(request.backbone), request.category)
    reader = open_reader(session, request.backbone, prompt, cancel)
    looking = [t for t in request.targets if t.box is None and t.mask is None]
    bank = bank_of(reader, request, exemplars)
    if progress is not None:
        progress.start(f"A first look for {request.category}", len(looking))
    found = FirstLook(reader, request, bank).at([t.image for t in looking], progress, cancel) if looking else {}
    calibration = search_calibration(request.backbone)
    for target in request.targets:
        if target.box is not None or target.mask is not None:
            plain = replace(request, targets=(target,), settings=replace(request.settings, pipeline=None))
            yield from ordinary(plain)
            continue
        answer = found[target.image.image_id]
        if isinstance(answer, UnreadableImageError):
            yield TargetFailure(target.image.image_id, answer)
        else:
            yield _proposal(reader, request, target, answer, bank, calibration)


def bank_of(reader: FeatureReader, request: ProposeRequest, exemplars: Sequence[Any]) -> ExemplarBank:
    """The exemplars as they stand, or in the directions that the request asks for."""
    settings = request.settings
    variants = all_variants(range(len(exemplars)), rotations=settings.rotations or 1, flip=bool(settings.flip))
    weight = reader.card_weight if settings.fusion_weight is None else settings.fusion_weight
    return build_bank(reader, exemplars, request.schema, variants, frame=WHOLE, margin=0.0, weight=weight)


class FirstLook:
    """Small maps of photos of one recipe: made where missing, then searched."""

    def __init__(self, reader: FeatureReader, request: ProposeRequest, bank: ExemplarBank) -> None:
        self.reader, self.bank = reader, bank
        given = request.settings.fusion_weight
        self.weight = reader.card_weight if given is None else given
        self.names = reader.wanted(self.weight)
        self._failed: dict[str, UnreadableImageError] = {}
        """By image id (no file, no picture) or by hash (damaged further in)."""
        self._shas: dict[str, str] = {}

    def at(
        self, images: Sequence[ImageInput], progress: Progress | None, cancel: CancelToken | None
    ) -> dict[str, Hit | UnreadableImageError]:
        """Image id -> what was found, or why it could not be read."""
        cache = self.reader.session.cache
        found: dict[str, Hit | UnreadableImageError] = {}
        with ExitStack() as stack:
            if cache is not None and (len(images) >= FIT_PHOTOS or self._has_bases(cache.folder / FOLDER)):
                root = cache.folder / FOLDER
            else:
                root = Path(stack.enter_context(TemporaryDirectory(prefix="kinmark-small-")))
            folder = root / self.recipe_name()
            grids = self._by_grid(images)
            bases = self._bases(folder, images)
            for members in grids.values():
                first = next((parts for image in members if (parts := self._read_one(image)) is not None), None)
                if first is None or bases is None:
                    continue
                cells = first.cells_wh
                maps = SmallMaps.open(folder / f"{cells[0]}x{cells[1]}", cells, bases)
                self._fill(maps, members, progress, cancel)
                found |= self._search(maps, members, cancel)
            if cache is not None and root == cache.folder / FOLDER:
                os.utime(folder)
                trim(root, int(cache.max_bytes * CACHE_SHARE))
        return {i.image_id: self._error_of(i) or found[i.image_id] for i in images}

    def recipe_name(self) -> str:
        """16 hex digits of everything the small maps depend on, besides the photo and its grid."""
        extractor = self.reader.extractor
        backbone = extractor.backbone
        version = extractor.descriptor_version(self.reader.descriptor) if DESCRIPTOR in self.names else ""
        facts = [
            backbone.spec.id,
            backbone.revision,
            self.reader.prompt.id,
            asdict(extractor.recipe()),
            self.reader.descriptor,
            version,
            [(name, DIMS[name]) for name in self.names],
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]

    # ---- storing ---------------------------------------------------------------------------------------------

    def _by_grid(self, images: Sequence[ImageInput]) -> dict[tuple[int, int], list[ImageInput]]:
        """Photos that seem readable by the size of their network input, which decides the grid."""
        grids: dict[tuple[int, int], list[ImageInput]] = defaultdict(list)
        for image in images:
            try:
                self._shas[image.image_id] = self.reader.session.source.sha256(image)
                grids[self.reader.whole_size(self.reader.size_wh(image))].append(image)
            except UnreadableImageError as error:
                self._failed[image.image_id] = error
        return dict(grids)

    def _error_of(self, image: ImageInput) -> UnreadableImageError | None:
        return self._failed.get(image.image_id) or self._failed.get(self._shas.get(image.image_id, ""))

    def _has_bases(self, root: Path) -> bool:
        return all(_basis_file(root / self.recipe_name(), name).is_file() for name in self.names)

    def _bases(self, folder: Path, images: Sequence[ImageInput]) -> dict[str, SharedBasis] | None:
        """The recipe's bases, fitted on some of these photos when there are none yet; None: no photo can be read."""
        with locked(folder):
            try:
                return {name: SharedBasis.load(_basis_file(folder, name)) for name in self.names}
            except ModelCorruptError:
                bases = self._fit(images)
                for name, basis in (bases or {}).items():
                    basis.save(_basis_file(folder, name))
                return bases

    def _fit(self, images: Sequence[ImageInput]) -> dict[str, SharedBasis] | None:
        asked = [i for i in images if i.image_id not in self._failed]
        exemplars = [e.image for e in self.bank.exemplars]
        some = [*exemplars, *asked[:: max(1, len(asked) // FIT_PHOTOS)]][: FIT_PHOTOS + len(exemplars)]
        views = [view for view in map(self._read_one, some) if view is not None]
        if not views:
            return None
        return {
            name: SharedBasis.fit((v.maps[name] for v in views), min(DIMS[name], len(views[0].maps[name])))
            for name in self.names
        }

    def _read_one(self, image: ImageInput) -> ViewParts | None:
        try:
            return self.reader.read([self.reader.whole(image)], self.weight)[0]
        except UnreadableImageError as error:
            self._failed[self._shas.get(image.image_id, image.image_id)] = error  # its copies cannot be read either
            return None

    def _read_together(self, images: Sequence[ImageInput]) -> list[tuple[ImageInput, ViewParts]]:
        """Photos of one grid in one pass of the networks; those that cannot be read are left out and noted."""
        try:
            parts = self.reader.read([self.reader.whole(image) for image in images], self.weight)
        except UnreadableImageError:
            return [(image, one) for image in images if (one := self._read_one(image)) is not None]
        return list(zip(images, parts, strict=True))

    def _fill(
        self, maps: SmallMaps, images: Sequence[ImageInput], progress: Progress | None, cancel: CancelToken | None
    ) -> None:
        """Add the photos that are missing; unreadable ones are noted."""
        rows = maps.rows
        missing = list({self._shas[i.image_id]: i for i in images if self._shas[i.image_id] not in rows}.values())
        if progress is not None:
            progress.step(len(images) - len(missing))
        for start in range(0, len(missing), READ_AT_ONCE):
            if cancel is not None:
                cancel.check()
            chunk = missing[start : start + READ_AT_ONCE]
            read = self._read_together(chunk)
            small = {
                name: [resample(parts.maps[name][None], maps.cells_wh)[0].cpu() for _, parts in read]
                for name in self.names
            }
            maps.add([self._shas[image.image_id] for image, _ in read], small)
            if progress is not None:
                progress.step(len(chunk))

    # ---- searching -------------------------------------------------------------------------------------------

    def _search(
        self, maps: SmallMaps, images: Sequence[ImageInput], cancel: CancelToken | None
    ) -> dict[str, Hit | UnreadableImageError]:
        usable = [i for i in images if self._error_of(i) is None]
        if not usable:
            return {}
        variants, count = self.bank.known.shape
        shares = {DIFFUSION: (1 - self.weight, 0.0), DESCRIPTOR: (self.weight, self.reader.kernel_width)}
        queries = {name: self.bank.queries[name].flatten(0, 1).cpu() for name in self.names}
        hits = maps.search(queries, shares, [self._shas[i.image_id] for i in usable], cancel)
        xy = hits.cells_xy.reshape(len(usable), variants, count, 2)
        scores = hits.scores.reshape(len(usable), variants, count)
        return {image.image_id: self._hit(image, maps.cells_wh, xy[n], scores[n]) for n, image in enumerate(usable)}

    def _hit(
        self, image: ImageInput, cells_wh: tuple[int, int], xy: NDArray[np.int64], scores: NDArray[np.float32]
    ) -> Hit:
        """Of the cells `[V, K, 2]` and scores `[V, K]` of all variants: those of the one that fits best."""
        known = self.bank.known.numpy()
        mean = np.where(known, scores, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        best = int(mean.argmax())
        view = self.reader.whole(image).transform
        points = view.from_feature(xy.astype(np.float64), cells_wh)
        places = np.where(known[best][:, None], points[best], np.nan)
        per_input = np.asarray(self.reader.size_wh(image)) / np.asarray(view.input_wh)
        length = max(float(self.bank.length_input[best] * per_input.mean()), 1e-6)
        stray = _strays(places, self.bank.offsets_input[best] * per_input) / length
        agreement = self._agreement(points, mean, best, AGREEMENT_RADIUS * length)
        signals = tuple(
            KeypointSignals(
                peak=float(scores[best, k]),
                margin=float("nan"),
                agreement=float(agreement[k]),
                shape=float(stray[k]),
                pose=float(mean[best]),
            )
            for k in range(len(places))
        )
        return Hit(places, signals, known[best], self.bank.variants[best].exemplar)

    def _agreement(
        self, points: NDArray[np.float64], mean: NDArray[np.floating], best: int, radius: float
    ) -> NDArray[np.float64]:
        """`[K]`: share of exemplars (each in its best direction) that put the keypoint near the chosen place."""
        own: dict[int, int] = {}
        for index, variant in enumerate(self.bank.variants):
            held = own.get(variant.exemplar)
            if held is None or mean[index] > mean[held]:
                own[variant.exemplar] = index
        chosen = list(own.values())
        known = self.bank.known.numpy()[chosen]
        near = known & (np.linalg.norm(points[chosen] - points[best], axis=-1) <= radius)
        total = known.sum(axis=0)
        return np.where(total > 0, near.sum(axis=0) / np.maximum(total, 1), np.nan)


def _strays(places: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[K]`: how far each place lies from where the others, by their median, put it; pixels of the image."""
    if not np.isfinite(places).any():
        return np.full(len(places), np.nan)
    centre = np.nanmedian(places - offsets, axis=0)
    return np.linalg.norm(places - centre - offsets, axis=1)


def _basis_file(folder: Path, name: str) -> Path:
    return folder / f"basis-{name}.safetensors"


@lru_cache(maxsize=1)
def _models() -> Mapping[str, Any]:
    try:
        return json.loads((resources_dir() / "calibration" / "search.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # then the general model answers


def search_calibration(backbone: str) -> Calibration:
    """The confidence model of first looks with a backbone, or the general one."""
    models = _models()
    data = models.get(fitted_for(backbone), models.get("default"))
    return prior_calibration(backbone) if data is None else Calibration("prior", 0, dict(data))


def _proposal(
    reader: FeatureReader,
    request: ProposeRequest,
    target: Target,
    hit: Hit,
    bank: ExemplarBank,
    calibration: Calibration,
) -> InstanceProposal:
    confidence, present = judge(calibration, hit.signals)
    names = request.schema.names
    wanted = range(len(names)) if request.only_keypoints is None else request.only_keypoints
    keypoints = []
    for k in (k for k in wanted if hit.known[k]):
        visibility, sure = Visibility.VISIBLE, float(confidence[k])
        if present[k] < ABSENT_BELOW and sure < 1 - present[k]:
            visibility, sure = Visibility.ABSENT, float(1 - present[k])
        x, y = (float(v) for v in hit.xy_image[k])
        signals = replace(hit.signals[k], present=float(present[k]))
        keypoints.append(KeypointProposal(names[k], x, y, sure, visibility, signals))
    backbone = reader.extractor.backbone
    spec = RunSpec(
        FIRST_LOOK,
        backbone.spec.id,
        backbone.revision,
        reader.prompt.id,
        backbone.spec.timestep,
        backbone.spec.up_block,
        backbone.spec.ensemble,
        backbone.spec.input_wh,
        settings={"dims": dict(DIMS), "exemplars": [e.image.image_id for e in bank.exemplars]},
    )
    points = hit.xy_image[hit.known]
    low, high = points.min(axis=0), points.max(axis=0)
    return InstanceProposal(
        request_id=request.request_id,
        image_id=target.image.image_id,
        category=request.category,
        keypoints=tuple(keypoints),
        confidence=float(np.mean([k.confidence for k in keypoints])) if keypoints else 0.0,
        box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        spec=spec,
        exemplar_ids=tuple(e.image.image_id for e in bank.exemplars),
    )
