"""How published codes measure PCK, each under its own name and with its own defects (methods/evaluation.md).

Points here are pixel-index numbers as the archives hold them; a protocol moves truth and prediction into its frame, says
what L is there, and whether a hit is `<` or `<=`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.geometry import Box, longer_side
from kinmark.engine.domain.texts import said
from kinmark.engine.evaluation.datasets.base import EvaluationPair
from kinmark.engine.evaluation.pck import ALPHAS, PairResult, hits

Points = NDArray[np.float64]
CLAMP = 1e-4


@dataclass(frozen=True)
class Protocol:
    """One way to count.

    Attributes:
        name: stored in every result.
        frame: "original" pixels, "squash" to a square of `side`, or "pad" to a square of `side` (uniform scale).
        length_from: whose box L comes from, "target" or "source".
        strict: `<` instead of `<=`.
        clamp_truth: truth is pushed into the square by 1e-4 (SD4Match).
        padded_extent: PF-Willow's L is measured over padding of -1, i.e. about max(x, y) + 1 (a defect of that code).
        x_scale_only: CUB's L is scaled by the x factor only.
        headline: "image" or "point": which average its paper prints.
        note: what to know when reading the number.
    """

    name: str
    frame: str = "original"
    side: int = 0
    length_from: str = "target"
    strict: bool = False
    clamp_truth: bool = False
    padded_extent: bool = False
    x_scale_only: bool = False
    headline: str = "image"
    alphas: tuple[float, ...] = ALPHAS
    note: str = ""


PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol("ours", note="Original pixels, L = longer side of the target box, <=; per image and per point."),
        Protocol("dift", headline="point", note="Original pixels, L = longer side of the target box, <=."),
        Protocol(
            "sd4match",
            "squash",
            768,
            clamp_truth=True,
            note="Squashed to 768 x 768, L from the squashed target box: the accepted region is an ellipse in the photo.",
        ),
        Protocol(
            "hedlin",
            "squash",
            512,
            length_from="source",
            padded_extent=True,
            x_scale_only=True,
            note="Squashed to 512 x 512. Known defects kept: on SPair L is the SOURCE box; on PF-Willow L runs over padding; "
            "on CUB L takes the x scale only.",
        ),
        Protocol(
            "geoaware",
            "pad",
            840,
            strict=True,
            alphas=(0.01, 0.05, 0.1, 0.15),
            note="Padded to a square of 840 with one scale, strict <.",
        ),
    )
}


def get_protocol(name: str) -> Protocol:
    """By name; UserInputError for an unknown one."""
    if name not in PROTOCOLS:
        raise UserInputError(said("There is no protocol '{0}'.", name), said("Known: {0}.", ", ".join(PROTOCOLS)))
    return PROTOCOLS[name]


def to_frame(points: Points, image_wh: tuple[int, int], protocol: Protocol) -> Points:
    """Pixel-index points of an image in the protocol's frame."""
    scale, shift = _scale_and_shift(image_wh, protocol)
    return np.asarray(points, np.float64) * scale + shift


def _scale_and_shift(image_wh: tuple[int, int], protocol: Protocol) -> tuple[Points, Points]:
    size = np.asarray(image_wh, np.float64)
    if protocol.frame == "squash":
        return protocol.side / size, np.zeros(2)
    if protocol.frame == "pad":
        scale = protocol.side / size.max()
        return np.full(2, scale), (protocol.side - size * scale) / 2
    return np.ones(2), np.zeros(2)


def reference_length(pair: EvaluationPair, protocol: Protocol) -> float:
    """L of a pair in the protocol's frame."""
    if pair.length_rule == "image":
        return float(max(pair.target_wh)) if protocol.frame == "original" else float(protocol.side)
    if pair.length_rule == "points":
        points = to_frame(pair.target_points, pair.target_wh, protocol)
        if protocol.padded_extent:
            points = np.concatenate([points, np.full((1, 2), -1.0)])
        return float((points.max(axis=0) - points.min(axis=0)).max())
    from_source = protocol.length_from == "source" and pair.dataset == "spair"
    box, size = (pair.source_box, pair.source_wh) if from_source else (pair.target_box, pair.target_wh)
    if box is None:
        raise UserInputError(
            said("The pair {0} has no box, so PCK has no reference length.", pair.name), "Check the archive."
        )
    return _box_length(box, size, protocol, pair.dataset)


def _box_length(box: Box, size: tuple[int, int], protocol: Protocol, dataset: str) -> float:
    scale, _ = _scale_and_shift(size, protocol)
    if protocol.x_scale_only and dataset == "cub":
        return float(longer_side(box) * scale[0])
    return float(max((box[2] - box[0]) * scale[0], (box[3] - box[1]) * scale[1]))


def judge_pair(pair: EvaluationPair, predicted: Points, protocol: Protocol) -> PairResult:
    """Hits of one pair; `predicted` `[N, 2]` pixel-index points of the original target image."""
    truth = to_frame(pair.target_points, pair.target_wh, protocol)
    if protocol.clamp_truth:
        truth = truth.clip(CLAMP, protocol.side - 1 - CLAMP)
    found = to_frame(predicted, pair.target_wh, protocol)
    length = reference_length(pair, protocol)
    return PairResult(pair.category, hits(found, truth, length, protocol.alphas, strict=protocol.strict), pair.name)
