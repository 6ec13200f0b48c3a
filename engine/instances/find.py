"""Find one instance in many photos: rank them, propose masks, or say that it is not there.

Thread: the engine thread. References are resolved once, then any number of targets stream through.
"""

from __future__ import annotations

from collections.abc import Iterator

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import MaskProposal
from kinmark.engine.instances.by_name import NamedThingFinder
from kinmark.engine.instances.by_reference import InstanceFinder
from kinmark.engine.requests import FindRequest, ImageInput, TargetFailure
from kinmark.engine.session import EngineSession


def open_finder(
    session: EngineSession, request: FindRequest, cancel: CancelToken | None
) -> InstanceFinder | NamedThingFinder:
    """By its references, or without any by the word for its kind."""
    if request.references:
        return InstanceFinder(session, request, cancel)
    return NamedThingFinder(session, request)


def find_instance(
    session: EngineSession,
    request: FindRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[MaskProposal | TargetFailure]:
    """Proposals per target in the order of the request; an unreadable target is reported and passed by."""
    with session.guarded():
        finder = open_finder(session, request, cancel)
        if progress is not None:
            progress.start("Searching photos", len(request.targets))
        for image in request.targets:
            if cancel is not None:
                cancel.check()
            yield from find_one(session, finder, image, cancel)
            if progress is not None:
                progress.step(note=image.path.name)


def find_one(
    session: EngineSession,
    finder: InstanceFinder | NamedThingFinder,
    image: ImageInput,
    cancel: CancelToken | None = None,
) -> tuple[MaskProposal | TargetFailure, ...]:
    """The answer for one photo: a function of the finder and the photo alone, so that any worker may give it."""
    with session.guarded():
        try:
            return tuple(finder.search(image, cancel))
        except AppError as error:
            return (TargetFailure(image.image_id, error),)
