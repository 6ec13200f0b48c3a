"""Telling the categories of a project apart before keypoints are placed; what is compared is in `kinmark.engine.regions.categories`.

Thread: the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.geometry import Box
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.features.cache import CacheKey
from kinmark.engine.features.efficientnet import NaturalFeatures
from kinmark.engine.regions.categories import CategoryCells, PhotoCells
from kinmark.engine.requests import CategoriesRequest, CategoryAnswer, Exemplar, ImageInput, TargetFailure

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

SIDE = 321
"""Of a square of the photo's area at which the network sees it."""
DECODE_SIDE = 1024
MOST_EXEMPLARS = 12
"""Of each category, evenly chosen."""
KEPT = "categories"


def tell_apart(
    session: EngineSession,
    request: CategoriesRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[CategoryAnswer | TargetFailure]:
    """One answer per target, in the order of the request; see `kinmark.engine.api.Engine.tell_apart`."""
    network = session.natural()
    names = tuple(name for name, _ in request.categories)
    if progress is not None:
        progress.start("Telling categories apart", len(request.targets))
    reader = None if network is None else _Reader(session, network)
    known = None if reader is None else _known(session, reader, request, cancel)
    for target in request.targets:
        if cancel is not None:
            cancel.check()
        if reader is None or known is None:  # nothing to tell them by: all may be there
            yield CategoryAnswer(request.request_id, target.image_id, dict.fromkeys(names, 0.0), names)
        else:
            try:
                shares = known.shares(reader.cells(target))
            except UnreadableImageError as error:
                yield TargetFailure(target.image_id, error)
            else:
                here = tuple(name for name, there in zip(names, known.here(shares), strict=True) if there)
                found = {name: float(share) for name, share in zip(names, shares, strict=True)}
                yield CategoryAnswer(request.request_id, target.image_id, found, here)
        if progress is not None:
            progress.step()


class _Reader:
    """Deep cells of whole photos, from the feature cache or computed."""

    def __init__(self, session: EngineSession, network: NaturalFeatures) -> None:
        self._session, self._network = session, network

    def cells(self, image: ImageInput, mirrored: bool = False) -> PhotoCells:
        """Of a photo or its mirror image; UnreadableImageError."""
        session, network = self._session, self._network
        spec = RunSpec("deep-cells", f"efficientnet_{network.variant}", network.version, "", settings={"side": SIDE})
        key = CacheKey(session.source.sha256(image), "mirrored" if mirrored else "whole", spec.fingerprint())
        last = session.cache.get(key) if session.cache is not None else None
        if last is None:
            rgb = session.source.load(image, DECODE_SIDE).rgb
            last = network.deep(np.ascontiguousarray(rgb[:, ::-1]) if mirrored else rgb, SIDE)[0]
            if session.cache is not None:
                last = session.cache.put(key, last)
        return PhotoCells.of(last, self._answer(last))

    def _answer(self, last: NDArray[np.float32]) -> NDArray[np.float32]:
        """How strongly the head answers `[h, w]` (square sum): cells about a thing count more."""
        import torch

        network = self._network
        with torch.no_grad():
            given = torch.from_numpy(last)[None].to(network.device, network.dtype)
            found: NDArray[np.float32] = (F.relu6(network.network.head(given)).float()[0] ** 2).sum(dim=0).cpu().numpy()
        return found

    def labelled(self, exemplar: Exemplar) -> list[NDArray[np.float32]]:
        """Cells `[P, C]` inside a labelled instance, and inside its mirror image."""
        width, height = self._session.source.size_wh(exemplar.image)
        x0, y0, x1, y1 = box_of(exemplar)
        plain, mirrored = self.cells(exemplar.image), self.cells(exemplar.image, mirrored=True)
        size = (width, height)
        return [
            plain.unit[plain.inside((x0, y0, x1, y1), size)],
            mirrored.unit[mirrored.inside((width - x1, y0, width - x0, y1), size)],
        ]


def box_of(exemplar: Exemplar) -> Box:
    """Of the mask, else as labelled, else of the keypoints with a margin."""
    return exemplar.mask.box if exemplar.mask is not None else exemplar.keypoints.box_or_extent(0.1)


def _known(
    session: EngineSession, reader: _Reader, request: CategoriesRequest, cancel: CancelToken | None
) -> CategoryCells | None:
    """The categories' cells, kept while exemplars and collection stay the same; None: one category has no readable label."""
    chosen = [_spread(exemplars) for _, exemplars in request.categories]
    sha = session.source.sha256
    key = (
        tuple(tuple((sha(e.image), box_of(e)) for e in exemplars) for exemplars in chosen),
        tuple(image.path for image in request.collection),
    )
    kept = session.last.get(KEPT)
    if kept is not None and kept[0] == key and isinstance(kept[1], CategoryCells):
        return kept[1]
    labelled: list[list[NDArray[np.float32]]] = []
    for exemplars in chosen:
        rows: list[NDArray[np.float32]] = []
        for exemplar in exemplars:
            try:
                rows += reader.labelled(exemplar)
            except UnreadableImageError:
                continue  # the sweep names it
        if not rows:
            return None
        labelled.append(rows)
    photos = []
    for image in request.collection:
        if cancel is not None:
            cancel.check()
        try:
            photos.append(reader.cells(image))
        except UnreadableImageError:
            continue
    known = CategoryCells(labelled, photos)
    session.last[KEPT] = (key, known)
    return known


def _spread(exemplars: Sequence[Exemplar]) -> list[Exemplar]:
    """At most MOST_EXEMPLARS with a place, evenly chosen."""
    usable = [e for e in exemplars if e.mask is not None or e.keypoints.box is not None or e.keypoints.labelled.any()]
    count = len(usable)
    return [usable[i * count // MOST_EXEMPLARS] for i in range(MOST_EXEMPLARS)] if count > MOST_EXEMPLARS else usable
