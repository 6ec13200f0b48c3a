"""Proposals under a prompt that is made for pairs of photos: every target has a prompt of its own, and its own small sweep.

Thread: the engine thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kinmark.engine.backbones.prompt import SAVED_PREFIX, ConditionalPrompt, Prompt
from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.domain.texts import said
from kinmark.engine.features.views import render_view
from kinmark.engine.pipelines.sweep import choose_for_sweep, sweep
from kinmark.engine.requests import (
    ImageInput,
    MatchRequest,
    ProposeRequest,
    SettingsChoice,
    TargetFailure,
)

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

Answer = InstanceProposal | TargetFailure


def pair_prompt(session: EngineSession, request: ProposeRequest) -> ConditionalPrompt | None:
    """The request's prompt when it is one of pairs."""
    if not request.prompt.startswith(SAVED_PREFIX):
        return None
    prompt = session.prompt(request.prompt, session.backbone(request.backbone), request.category)
    return prompt if isinstance(prompt, ConditionalPrompt) and prompt.pair else None


def prompt_of_match(session: EngineSession, request: MatchRequest) -> Prompt:
    """The prompt for matching two images; a prompt of pairs is made for exactly these two."""
    prompt = session.prompt(request.prompt, session.backbone(request.backbone))
    if not (isinstance(prompt, ConditionalPrompt) and prompt.pair):
        return prompt
    source, target = (_pixels(session, request.backbone, image) for image in (request.source, request.target.image))
    return prompt.for_images(source, target)


def propose_pairs(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer]:
    """One small sweep per target under the prompt of (most complete exemplar, target).

    The published module makes one prompt per pair; with several exemplars the same prompt serves them all, so that
    their evidence can be joined. Features cannot be reused between targets: this is many times slower than "class".
    """
    prompt = pair_prompt(session, request)
    if prompt is None:
        raise UserInputError(
            said("The prompt '{0}' is not made for pairs of photos.", request.prompt),
            "Choose one that was tuned as conditional.",
        )
    if progress is not None:
        progress.start(f"Proposing {request.category} pair by pair", len(request.targets))
    source = max(request.exemplars, key=lambda e: int(e.keypoints.labelled.sum()))
    for target in request.targets:
        if cancel is not None:
            cancel.check()
        try:
            pictures = [_pixels(session, request.backbone, image) for image in (source.image, target.image)]
            made = prompt.for_images(*pictures)
            session.hold_prompt(made)
            yield from sweep(session, replace(request, prompt=made.id, targets=(target,)))
        except UnreadableImageError as error:
            yield TargetFailure(target.image.image_id, error)
        if progress is not None:
            progress.step(note=target.image.path.name)


def _pixels(session: EngineSession, backbone: str, image: ImageInput) -> NDArray[np.uint8]:
    view = session.whole_view(image, backbone)
    return render_view(view, session.source.size_wh(view.image), session.source)


def choose_for_pairs(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> SettingsChoice:
    """As for a sweep with the ordinary prompt: leave-one-out under pairs would extract every exemplar anew for every pair."""
    return choose_for_sweep(session, replace(request, prompt="auto"), progress=progress, cancel=cancel)
