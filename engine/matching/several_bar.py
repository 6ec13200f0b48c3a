"""Where "nobody more" begins, from photos of which a person said that all individuals are labelled (ours).

What the same search finds beside the labelled ones there is background, whatever it looks like: the surest of it moves the bar that
places in other photos must pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinmark.engine.domain.alike import claimed, place_similarity
from kinmark.engine.domain.errors import UnreadableImageError
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.heads.frame import LONE_SHARE
from kinmark.engine.matching.several import BAR, LOOKS, SUPPRESS, Place, Seeker
from kinmark.engine.requests import Exemplar, Target

MAX_PHOTOS = 4
ABOVE = 0.5
"""Log-odds above the surest background."""
LOWEST, HIGHEST = -1.5, 3.0


def learned_bar(
    seeker: Seeker, exemplars: Sequence[Exemplar], complete: Sequence[str], cancel: CancelToken | None = None
) -> float:
    """Log-odds for `Seeker.bar`: above the surest background where that passes, below even odds where none comes near.

    Args:
        exemplars: of the category, all that are labelled in the photos of `complete` (image ids); BAR without any of these.
    """
    photos = {image_id: [e for e in exemplars if e.image.image_id == image_id] for image_id in complete}
    known = [own for own in photos.values() if own]
    surest = []
    for own in known[:: max(1, len(known) // MAX_PHOTOS)][:MAX_PHOTOS]:
        if cancel is not None:
            cancel.check()
        try:
            surest += [place.odds for place in _background(seeker, own)]
        except UnreadableImageError:
            continue  # an exemplar that cannot be read has its own message elsewhere
    if not known:
        return BAR
    most = max(surest, default=2 * LOWEST)
    return float(np.clip(most + ABOVE if most > BAR else most / 2, LOWEST, HIGHEST))


def _background(seeker: Seeker, own: Sequence[Exemplar]) -> list[Place]:
    """Places of a photo that lie on none of its labelled instances and are not made of them."""
    image = own[0].image
    lone = LONE_SHARE * min(seeker.matcher.reader.size_wh(image))
    labelled = [e.keypoints for e in own]
    target = Target(image)
    return [
        place
        for place in seeker.look(target, seeker.candidates(target)[: 2 * LOOKS])
        if seeker.shows_enough(place)
        and claimed(place.keypoints, labelled, place.length) < SUPPRESS
        and all(place_similarity(place.keypoints, one, lone_length=lone) < SUPPRESS for one in labelled)
    ]
