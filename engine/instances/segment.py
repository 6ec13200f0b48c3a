"""A mask inside one photo from a box, clicks or a rough mask: what the canvas asks for while a person draws."""

from __future__ import annotations

import time

import numpy as np

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.domain.runspec import RunSpec
from kinmark.engine.instances.found import WITHOUT_SEGMENTER
from kinmark.engine.instances.outline import grabcut, grabcut_box, grabcut_points
from kinmark.engine.instances.picture import BoolMask, Picture, checked_mask, load_picture
from kinmark.engine.instances.sam import load_segmenter
from kinmark.engine.requests import DEFAULT_BACKBONE, SegmentRequest
from kinmark.engine.session import EngineSession


def segment(session: EngineSession, request: SegmentRequest, *, cancel: CancelToken | None = None) -> MaskProposal:
    """One mask; the confidence is the segmenter's own quality estimate (0.5 for GrabCut, which has none).

    Raises:
        UserInputError: nothing to start from, or an empty / wrongly sized mask.
        UnreadableImageError, ModelMissingError, ModelCorruptError, OperationCancelled.
    """
    started = time.perf_counter()
    if cancel is not None:
        cancel.check()
    if request.box is None and request.mask is None and not request.positive_xy_image:
        raise UserInputError(
            "There is nothing to start the mask from.", "Draw a box, click the thing, or paint over it."
        )
    picture = load_picture(session.source, request.image)
    if request.refine in WITHOUT_SEGMENTER:
        mask, confidence = _without_model(picture, request), 0.5
    else:
        mask, confidence = _with_segmenter(session, picture, request)
    if not mask.any():
        raise UserInputError("No mask was found there.", "Try a larger box or another click.")
    full = picture.to_image_mask(mask)
    spec = RunSpec(
        "segment",
        DEFAULT_BACKBONE if request.refine in WITHOUT_SEGMENTER else request.refine,
        prompt="",
        settings={"refine": request.refine},
    )
    seconds = time.perf_counter() - started
    return MaskProposal(
        request.request_id, request.image.image_id, confidence, confidence, full, full.box, spec, seconds=seconds
    )


def _work_box(picture: Picture, request: SegmentRequest) -> tuple[int, int, int, int] | None:
    if request.box is None:
        return None
    left, top = picture.to_work_xy((request.box[0], request.box[1]))
    right, bottom = picture.to_work_xy((request.box[2], request.box[3]))
    return left, top, right + 1, bottom + 1


def _without_model(picture: Picture, request: SegmentRequest) -> BoolMask:
    if request.mask is not None:
        rough = picture.to_work_mask(checked_mask(request.mask, picture))
        return rough if request.refine == "threshold" else grabcut(picture.rgb, rough)
    box = _work_box(picture, request)
    if not request.positive_xy_image:
        return grabcut_box(picture.rgb, box or (0, 0, *picture.size_hw[::-1]))
    positive = [picture.to_work_xy(p) for p in request.positive_xy_image]
    negative = [picture.to_work_xy(p) for p in request.negative_xy_image]
    found = grabcut_points(picture.rgb, positive, negative)
    if box is not None:
        inside = np.zeros_like(found)
        inside[box[1] : box[3], box[0] : box[2]] = True
        found = found & inside
    return found


def _with_segmenter(session: EngineSession, picture: Picture, request: SegmentRequest) -> tuple[BoolMask, float]:
    segmenter = load_segmenter(request.refine, session)
    if request.mask is not None:
        rough = picture.to_work_mask(checked_mask(request.mask, picture))
        return segmenter.from_map(picture, rough.astype(np.float32), rough), 0.5
    box = _work_box(picture, request)
    points = [picture.to_work_xy(p) for p in (*request.positive_xy_image, *request.negative_xy_image)]
    labels = [1] * len(request.positive_xy_image) + [0] * len(request.negative_xy_image)
    float_box = (float(box[0]), float(box[1]), float(box[2]), float(box[3])) if box is not None else None
    return segmenter.segment(picture.rgb, points, labels, box=float_box)
