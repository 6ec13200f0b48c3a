"""Search by the word for a kind of thing, without any photo of it: PDM's semantic map alone (methods/instances.md, "only a class name").

Where the word attends says where a thing is; how much more it attends there than the words for other things do says whether it
is this kind. How well a backbone tells kinds apart is the backbone's own skill: the note of a search says so.
"""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.domain.texts import said
from kinmark.engine.instances import maps
from kinmark.engine.instances.attention import AttentionExtractor, class_token_rows
from kinmark.engine.instances.decision import RegionLikeness
from kinmark.engine.instances.evidence import grid_of, resize_map
from kinmark.engine.instances.found import WITHOUT_SEGMENTER, Region, distinct_regions, proposals_of
from kinmark.engine.instances.outline import component_at, grabcut, otsu
from kinmark.engine.instances.picture import BoolMask, Picture, load_picture
from kinmark.engine.instances.sam import Segmenter, load_segmenter
from kinmark.engine.instances.settings import resolve
from kinmark.engine.requests import FindRequest, ImageInput
from kinmark.engine.session import EngineSession


def knows_word(session: EngineSession, word: str, backbone_id: str) -> bool:
    """Whether the text model of a backbone knows this class name as words, not as a row of letters."""
    backbone = session.backbone(backbone_id)
    return bool(class_token_rows(backbone.tokenizer, backbone.spec.text_for(word), word))


class NamedThingFinder:
    """A resolved search for a word: set once, ask per target.

    Raises (on creation):
        UserInputError: no class name, one that the text model does not know, a backbone without cross-attention there.
    """

    def __init__(self, session: EngineSession, request: FindRequest) -> None:
        if not request.class_name.strip():
            raise UserInputError(
                "There is no reference to search for.", "Mark the thing on one photo first, or name its kind."
            )
        self.session, self.request = session, request
        backbone = session.backbone(request.backbone)
        self.settings = resolve(request.settings, backbone.spec)
        self.extractor = AttentionExtractor(session, request.backbone, self.settings, request.class_name)
        keys = self.extractor.class_keys
        if not keys.tokens or self.extractor.cross is None:
            raise UserInputError(
                said(
                    "The backbone '{0}' does not know the word '{1}', so it cannot be searched without a photo of it.",
                    backbone.spec.id,
                    request.class_name,
                ),
                "Mark one on a photo and search for that, or use a backbone with a larger vocabulary.",
            )
        self.words = torch.cat([keys.vector[None], self.extractor.thing_keys])
        self.segmenter: Segmenter | None = None
        if self.settings.refine not in WITHOUT_SEGMENTER:
            self.segmenter = load_segmenter(self.settings.refine, session)
        self.spec = RunSpec(
            f"{self.settings.variant}-word",
            backbone.spec.id,
            revision=backbone.revision,
            prompt=self.extractor.prompt.id,
            timestep=self.settings.timestep,
            input_wh=backbone.spec.input_wh,
            settings={**self.settings.describe(), "class_name": request.class_name, "references": 0},
        )

    def search(self, image: ImageInput, cancel: CancelToken | None = None) -> list[MaskProposal]:
        """Proposals of one target, best first; a single one with mask None when the kind is not there."""
        started = time.perf_counter()
        picture = load_picture(self.session.source, image)
        regions = self.regions(picture, cancel)
        return proposals_of(picture, regions, self.request, self.settings, self.spec, time.perf_counter() - started)

    def regions(self, picture: Picture, cancel: CancelToken | None = None) -> list[Region]:
        """Distinct regions, best score first."""
        features = self.extractor.extract(picture.image, cancel=cancel)
        logits = features.cross_q @ self.words.T / math.sqrt(features.cross_q.shape[1])
        grid = grid_of(picture.size_hw)
        values = resize_map(maps.unit_range(logits[:, 0]).reshape(features.grid_hw).numpy(), grid)
        share = resize_map(logits.softmax(dim=1)[:, 0].reshape(features.grid_hw).numpy(), grid)
        return distinct_regions(
            values, self.settings.max_instances, lambda left: self._region(picture, left, share), cancel
        )

    def _region(self, picture: Picture, values: NDArray[np.float32], share: NDArray[np.float32]) -> Region:
        large = cv2.resize(values, picture.size_hw[::-1], interpolation=cv2.INTER_LINEAR)
        row, column = np.unravel_index(int(np.argmax(large)), large.shape)
        peak = (int(row), int(column))
        mask: BoolMask = component_at(large >= min(max(otsu(values), 0.5 * large[peak]), large[peak]), peak)
        if self.segmenter is not None:
            mask = self.segmenter.from_map(picture, values, mask)
        elif self.settings.refine == "grabcut":
            mask = grabcut(picture.rgb, mask, values)
        inside = resize_map(mask.astype(np.float32), (share.shape[0], share.shape[1]))
        mean = float((share * inside).sum() / max(float(inside.sum()), 1e-6))
        likeness = RegionLikeness(float("nan"), float("nan"), mean)
        return Region(mask, peak, likeness, word_score(mean, len(self.words)))


def word_score(share: float, words: int) -> float:
    """Log-odds against the average other word: 0 where the word gets what each of `words` would get by chance."""
    if words < 2:
        return 0.0
    share = min(max(share, 1e-6), 1 - 1e-6)
    return math.log(share * (words - 1) / (1 - share))
