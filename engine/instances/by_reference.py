"""Search by photos of the thing: what its references look like, compared with places of a target (methods/instances.md).

Thread: the engine thread. References are resolved once, then any number of targets stream through.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.instances.attention import AttentionExtractor
from kinmark.engine.instances.decision import (
    RegionLikeness,
    against_negatives,
    region_score,
)
from kinmark.engine.instances.evidence import (
    Evidence,
    NaturalView,
    ReferenceModel,
    gather_evidence,
    grid_of,
    natural_view,
    resize_map,
    thing_likeness,
)
from kinmark.engine.instances.found import WITHOUT_SEGMENTER, Region, distinct_regions, proposals_of
from kinmark.engine.instances.outline import best_threshold, grabcut
from kinmark.engine.instances.picture import BoolMask, Picture, load_picture
from kinmark.engine.instances.reference import (
    ReferenceView,
    build_model,
    select_patches,
    thin_patches,
    view_reference,
)
from kinmark.engine.instances.sam import Segmenter, load_segmenter
from kinmark.engine.instances.settings import ResolvedSettings, resolve
from kinmark.engine.regions.histogram import colour_histogram
from kinmark.engine.regions.likeness import patch_likeness
from kinmark.engine.requests import FindRequest, ImageInput, Reference
from kinmark.engine.session import EngineSession

CANDIDATES = 4
"""Places that are cut out and compared as whole regions, also when one is wanted: the map's peak is not always the best."""


class InstanceFinder:
    """A resolved search: set once with the references, ask per target.

    Raises (on creation):
        UserInputError: no reference and no class name, empty masks, bad settings.
        UnreadableImageError: a reference that cannot be read.
    """

    def __init__(self, session: EngineSession, request: FindRequest, cancel: CancelToken | None = None) -> None:
        self.session, self.request = session, request
        self.settings: ResolvedSettings = resolve(request.settings, session.backbone(request.backbone).spec)
        if not request.references:
            raise UserInputError("There is no reference to search for.", "Mark the thing on one photo first.")
        self.extractor = self._attention()
        self.network = session.natural() if self.settings.weights.natural > 0 else None
        self._seen: tuple[Picture, NaturalView] | None = None
        views = self._views(request.references, cancel)
        self.model = thin_patches(build_model(views))
        # A region may look like one view of the thing and unlike another: each reference judges for itself.
        self.singles = [thin_patches(build_model([view]), 600) for view in views]
        self.histograms = np.stack([single.histogram for single in self.singles])
        denied = self._views(request.negatives, cancel)
        self.negatives: list[ReferenceModel] = [thin_patches(build_model([view]), 600) for view in denied]
        self.segmenter: Segmenter | None = None
        if self.settings.refine not in WITHOUT_SEGMENTER:
            self.segmenter = load_segmenter(self.settings.refine, session)
        self.spec = self._spec()

    def _attention(self) -> AttentionExtractor | None:
        if self.settings.weights.attention <= 0:
            return None
        return AttentionExtractor(self.session, self.request.backbone, self.settings, self.request.class_name)

    def _views(self, references: Sequence[Reference], cancel: CancelToken | None) -> list[ReferenceView]:
        views = []
        for reference in references:
            if cancel is not None:
                cancel.check()
            views.append(view_reference(reference, self.session, self.extractor, self.network))
        return views

    def _spec(self) -> RunSpec:
        backbone, request = self.session.backbone(self.request.backbone), self.request
        return RunSpec(
            self.settings.variant,
            backbone.spec.id,
            revision=backbone.revision,
            prompt=self.extractor.prompt.id if self.extractor is not None else "",
            timestep=self.settings.timestep,
            input_wh=backbone.spec.input_wh,
            settings={
                **self.settings.describe(),
                "class_name": request.class_name,
                "references": len(request.references),
                "negatives": len(request.negatives),
                "natural": self.network.version if self.network is not None else "",
            },
        )

    # ---- one target ------------------------------------------------------------------------------------------

    def search(self, image: ImageInput, cancel: CancelToken | None = None) -> list[MaskProposal]:
        """Proposals of one target, best first; a single one with mask None when the instance is not there."""
        started = time.perf_counter()
        picture = load_picture(self.session.source, image)
        regions = self.regions(picture, cancel)
        seconds = time.perf_counter() - started
        return proposals_of(picture, regions, self.request, self.settings, self.spec, seconds)

    def evidence(self, picture: Picture, model: ReferenceModel, cancel: CancelToken | None = None) -> Evidence:
        """The map of one model on one target."""
        features = None
        if self.extractor is not None:
            features = self.extractor.extract(picture.image, cancel=cancel)
        keys = self.extractor.class_keys if self.extractor is not None else None
        return gather_evidence(picture, features, model, keys, self.settings, self._natural(picture))

    def _natural(self, picture: Picture) -> NaturalView | None:
        """The target through the network of photographs; kept for the models that look at the same one."""
        if self.network is None:
            return None
        if self._seen is None or self._seen[0] is not picture:
            self._seen = picture, natural_view(self.network, picture)
        return self._seen[1]

    def regions(self, picture: Picture, cancel: CancelToken | None = None) -> list[Region]:
        """Distinct regions, best score first."""
        evidence = self.evidence(picture, self.model, cancel)
        denied = [self.evidence(picture, model, cancel) for model in self.negatives]
        values = evidence.fused
        for other in denied:
            values = values * (1 - 0.5 * np.clip(other.fused - evidence.fused, 0, 1))
        wanted = self.settings.max_instances
        maps_left: dict[tuple[int, int], NDArray[np.float32]] = {}

        def candidate(left: NDArray[np.float32]) -> Region:
            _, rough = best_threshold(left, picture.rgb, self.histograms, self.model.area_share)
            region = self._judged(picture, evidence, rough, left)
            maps_left[region.peak_rc] = left
            return region

        # Only what is answered is cut out to its edges: that costs more than everything else.
        best = distinct_regions(values, max(wanted, CANDIDATES), candidate, cancel)[:wanted]
        refined = [self._refined(picture, evidence, region, maps_left[region.peak_rc]) for region in best]
        return sorted(refined, key=lambda r: -r.score)

    def _refined(self, picture: Picture, evidence: Evidence, rough: Region, values: NDArray[np.float32]) -> Region:
        if self.segmenter is not None:
            mask = self.segmenter.from_map(picture, values, rough.mask)
        elif self.settings.refine == "grabcut":
            mask = grabcut(picture.rgb, rough.mask, values)
        else:
            return rough
        return self._judged(picture, evidence, mask, values) if mask.any() else rough

    def _judged(self, picture: Picture, evidence: Evidence, mask: BoolMask, values: NDArray[np.float32]) -> Region:
        """A mask with its peak, likeness to the nearest reference and score."""
        large = cv2.resize(values, picture.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        peak = np.unravel_index(int(np.argmax(np.where(mask, large, -1))), large.shape)
        likenesses = [self.likeness(picture, evidence, mask, single) for single in self.singles]
        likeness = max(likenesses, key=region_score)
        score = region_score(likeness)
        denied = [region_score(self.likeness(picture, evidence, mask, model)) for model in self.negatives]
        return Region(mask, (int(peak[0]), int(peak[1])), likeness, against_negatives(score, denied))

    def likeness(self, picture: Picture, evidence: Evidence, mask: BoolMask, model: ReferenceModel) -> RegionLikeness:
        """Colour and local likeness of a region of a target to a model, and how much of the attention it holds."""
        if not mask.any():
            return RegionLikeness(0.0, 0.0)
        colour = float(colour_histogram(picture.rgb, mask.astype(np.float32)) @ model.histogram)
        share = resize_map(mask.astype(np.float32), grid_of(picture.size_hw))
        attention = float("nan")
        if self.extractor is not None:
            attention = float((evidence.attention * share).sum() / max(float(share.sum()), 1e-6))
        thing = float("nan")
        if evidence.view is not None and model.natural is not None:
            thing = thing_likeness(evidence.view, share, model.natural)
        rows = np.clip((evidence.patches.xy[:, 1] * share.shape[0]).astype(int), 0, share.shape[0] - 1)
        columns = np.clip((evidence.patches.xy[:, 0] * share.shape[1]).astype(int), 0, share.shape[1] - 1)
        inside = share[rows, columns] > 0.3
        if not inside.any():
            return RegionLikeness(colour, 0.0, attention, thing)
        best = patch_likeness(model.patches, select_patches(evidence.patches, inside)).max(axis=1)
        return RegionLikeness(colour, float(model.patches.weights @ best), attention, thing)
