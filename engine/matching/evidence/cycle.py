"""Forward-backward check: from the found point back to the exemplar that fitted best (methods/matching.md)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from kinmark.engine.matching.bank import exemplar_length, variant_view
from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.run import MatchInputs
from kinmark.engine.matching.sampling import l2_normalise, sample_features


def with_cycle_errors(inputs: MatchInputs, raw: RawKeypoints) -> RawKeypoints:
    """The same keypoints with `cycle`: how far from the exemplar's own keypoint the way back ends, relative to its
    box's longer side; NaN for keypoints that this exemplar does not show."""
    run = raw.run
    if run is None:
        return raw
    plan, best = run.plan, run.poses.best
    variant = run.bank.variants[best]
    exemplar = inputs.exemplars[variant.exemplar]
    view = variant_view(inputs.reader, exemplar, variant, run.frame, plan.crop_margin)
    back = inputs.reader.read([view], inputs.context.reading_weight(plan))[0]
    order = list(inputs.schema.flip_index) if variant.flip else list(range(len(inputs.schema)))
    truth = np.asarray(exemplar.keypoints.xy_image, np.float64)[order]
    asked = np.nan_to_num(raw.xy_image, nan=float(np.nanmean(raw.xy_image)) if np.isfinite(raw.xy_image).any() else 0.0)
    total: torch.Tensor | None = None
    for name, weight in inputs.context.part_weights(plan).items():
        if name not in back.maps:
            continue
        here, there = run.parts.maps[name], back.maps[name]
        cells = run.parts.transform.to_feature(asked, (here.shape[-1], here.shape[-2]))
        vectors = l2_normalise(sample_features(here[None], torch.from_numpy(cells).to(here)[None])[0])
        whitener = inputs.context.whitener(run.frame, name, plan)
        whitened = inputs.context.whitened(run.frame, name, plan, there)
        sims = torch.einsum("kc,chw->khw", whitener(vectors), whitened)[:, None]
        width, height = back.cells_wh
        sims = torch.nn.functional.interpolate(sims, size=(height, width), mode="bilinear", align_corners=True)[:, 0]
        total = weight * sims if total is None else total + weight * sims
    if total is None:
        return raw
    index = total.flatten(1).argmax(dim=1)
    xy = torch.stack([index % total.shape[-1], index // total.shape[-1]], dim=-1).double().numpy()
    error = np.linalg.norm(back.to_image(xy) - truth, axis=1) / exemplar_length(exemplar)
    signals = tuple(replace(s, cycle=float(e)) for s, e in zip(raw.signals, error, strict=True))
    return replace(raw, signals=signals)
