"""Which exemplar a proposed keypoint comes from: the one whose own cells match best at the place."""

from __future__ import annotations

import numpy as np
import torch

from kinmark.engine.matching.evidence.gather import RawKeypoints
from kinmark.engine.matching.peaks import value_at


def best_exemplars(raw: RawKeypoints) -> tuple[str, ...]:
    """Per keypoint the image_id of that exemplar, "" where none shows it or nothing was matched.

    The places are those that were decided on in the end, whatever moved them (shape, heads): what is asked is whom the
    picture resembles there.
    """
    run, count = raw.run, len(raw.xy_image)
    if run is None:
        return ("",) * count
    xy = torch.from_numpy(run.parts.to_cells(np.nan_to_num(raw.xy_image))).float().to(run.sims.device)
    likeness = torch.stack([value_at(sims, xy) for sims in run.sims]).float().cpu()
    likeness = torch.where(run.bank.known.cpu() & torch.isfinite(likeness), likeness, torch.tensor(float("-inf")))
    value, winner = likeness.max(dim=0)
    ids = [run.bank.exemplars[variant.exemplar].image.image_id for variant in run.bank.variants]
    return tuple(ids[int(winner[k])] if raw.known[k] and bool(torch.isfinite(value[k])) else "" for k in range(count))
