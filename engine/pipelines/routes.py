"""Two requests for keypoints that are not one sweep over cached features: optimised points, and prompts of pairs.

Thread: the engine thread. `propose_keypoints` asks `special_route` first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.backbones.prompt import SAVED_PREFIX, ConditionalPrompt, Prompt
from engine.domain.errors import UnreadableImageError, UserInputError
from engine.domain.progress import CancelToken, Progress
from engine.domain.proposals import InstanceProposal
from engine.domain.texts import said
from engine.features.views import render_view
from engine.pipelines.optimised import optimise_point
from engine.requests import (
    Exemplar,
    ImageInput,
    MatchRequest,
    OptimiseRequest,
    ProposeRequest,
    SettingsChoice,
    TargetFailure,
)

if TYPE_CHECKING:
    from engine.session import EngineSession

Answer = InstanceProposal | TargetFailure
Propose = Callable[["EngineSession", ProposeRequest], Iterator[Answer]]
OPTIMISE = "optimise"


def special_route(
    session: EngineSession, request: ProposeRequest, propose: Propose, *, progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer] | None:  # fmt: skip
    """How to answer `request`, or None when it is an ordinary sweep.

    Args:
        propose: the ordinary sweep, for the single pairs of a pair prompt.
    """
    if request.settings.method == OPTIMISE:
        return propose_optimised(session, request, progress=progress, cancel=cancel)
    prompt = pair_prompt(session, request)
    if prompt is not None:
        return _propose_pairs(session, request, prompt, propose, progress, cancel)
    return None


def special_choice(session: EngineSession, request: ProposeRequest) -> SettingsChoice | ProposeRequest:
    """The choice of a request that has none to make, else the request to choose for (a pair prompt's stand-in)."""
    if request.settings.method == OPTIMISE:
        return SettingsChoice(request.settings, exemplars=len(request.exemplars), reason="one prompt per point")
    if pair_prompt(session, request) is not None:
        # Leave-one-out under a prompt of pairs would extract every exemplar anew for every pair.
        return replace(request, prompt="auto")
    return request


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


def propose_optimised(
    session: EngineSession, request: ProposeRequest, *, progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer]:  # fmt: skip
    """Each wanted keypoint is optimised on the exemplar that shows most of them and found on every target.

    `request.settings.extra` goes to `optimise_point` as its options.
    """
    wanted = list(range(len(request.schema)) if request.only_keypoints is None else request.only_keypoints)
    groups = _by_exemplar(request, wanted)
    if not groups:
        raise UserInputError(
            said("No accepted '{0}' shows the wanted keypoints.", request.category), "Place them on one photo first."
        )
    collected: dict[str, list[InstanceProposal]] = {}
    failures: dict[str, TargetFailure] = {}
    for exemplar, keypoints in groups:
        job = OptimiseRequest(
            request.request_id, exemplar, request.schema, tuple(keypoints), request.targets, request.category,
            request.backbone, dict(request.settings.extra),
        )  # fmt: skip
        for answer in optimise_point(session, job, progress=progress, cancel=cancel):
            if isinstance(answer, TargetFailure):
                failures[answer.image_id] = answer
            else:
                collected.setdefault(answer.image_id, []).append(answer)
    for target in request.targets:
        name = target.image.image_id
        if name in collected:
            yield _merged(collected[name])
        elif name in failures:
            yield failures[name]


def _by_exemplar(request: ProposeRequest, wanted: list[int]) -> list[tuple[Exemplar, list[int]]]:
    """Greedy: the exemplar with most of the remaining keypoints visible, until all are served."""
    groups: list[tuple[Exemplar, list[int]]] = []
    left = list(wanted)
    while left:
        counts = [int(np.count_nonzero(e.keypoints.labelled[left])) for e in request.exemplars]
        if not counts or max(counts) == 0:
            break
        best = request.exemplars[int(np.argmax(counts))]
        here = [k for k in left if best.keypoints.labelled[k]]
        groups.append((best, here))
        left = [k for k in left if k not in here]
    return groups


def _merged(parts: list[InstanceProposal]) -> InstanceProposal:
    keypoints = tuple(k for part in parts for k in part.keypoints)
    return replace(
        parts[0],
        keypoints=keypoints,
        confidence=float(np.mean([k.confidence for k in keypoints])),
        exemplar_ids=tuple(dict.fromkeys(i for part in parts for i in part.exemplar_ids)),
        seconds=sum(part.seconds for part in parts),
    )


def _propose_pairs(
    session: EngineSession, request: ProposeRequest, prompt: ConditionalPrompt, propose: Propose,
    progress: Progress | None, cancel: CancelToken | None,
) -> Iterator[Answer]:  # fmt: skip
    """One small sweep per target under the prompt of (most complete exemplar, target).

    The published module makes one prompt per pair; with several exemplars the same prompt serves them all, so that
    their evidence can be joined. Features cannot be reused between targets: this is many times slower than "class".
    """
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
            yield from propose(session, replace(request, prompt=made.id, targets=(target,)))
        except UnreadableImageError as error:
            yield TargetFailure(target.image.image_id, error)
        if progress is not None:
            progress.step(note=target.image.path.name)


def _pixels(session: EngineSession, backbone: str, image: ImageInput) -> NDArray[np.uint8]:
    view = session.whole_view(image, backbone)
    return render_view(view, session.source.size_wh(view.image), session.source)
