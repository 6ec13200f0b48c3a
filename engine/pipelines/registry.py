"""The pipelines by name: which way a request for keypoints is answered, and how its settings are chosen.

Thread: the engine thread. A further way is one module of this package and one row of `_PIPELINES`, or a plug-in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kinmark.engine import plugins
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal
from kinmark.engine.domain.texts import said
from kinmark.engine.matching.taken import only_new
from kinmark.engine.pipelines.first_look import search_keypoints
from kinmark.engine.pipelines.optimised import propose_optimised
from kinmark.engine.pipelines.pairs import choose_for_pairs, pair_prompt, propose_pairs
from kinmark.engine.pipelines.sweep import MAX_EXEMPLARS, choose_for_sweep, spread_exemplars, sweep, usable_exemplars
from kinmark.engine.requests import FIRST_LOOK, OPTIMISED, PAIRS, SWEEP, ProposeRequest, SettingsChoice, TargetFailure

if TYPE_CHECKING:
    from kinmark.engine.session import EngineSession

Answer = InstanceProposal | TargetFailure


class Propose(Protocol):
    """Answers per target in the order of the request."""

    def __call__(
        self,
        session: EngineSession,
        request: ProposeRequest,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> Iterator[Answer]:
        """Errors as the engine's `propose_keypoints`."""
        ...


class Choose(Protocol):
    """The settings that a request leaves open."""

    def __call__(
        self,
        session: EngineSession,
        request: ProposeRequest,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> SettingsChoice:
        """Errors as the engine's `choose_settings`."""
        ...


def nothing_to_choose(reason: str) -> Choose:
    """For a pipeline whose settings are the request's."""

    def choose(
        session: EngineSession,
        request: ProposeRequest,
        *,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> SettingsChoice:
        return SettingsChoice(request.settings, exemplars=len(request.exemplars), reason=reason)

    return choose


@dataclass(frozen=True)
class Pipeline:
    """One way to answer a request for keypoints.

    Attributes:
        name: as it stands in `MatchSettings.pipeline`.
        choose: what a request leaves open; without it the settings are the request's own.
        together: it looks at all photos of a request at once, so that these are not shared out to workers.
        knows_taken: it leaves out what lies at a taken place itself; the answers of the others are looked through.
    """

    name: str
    propose: Propose
    choose: Choose = nothing_to_choose("")
    together: bool = False
    knows_taken: bool = False


def _first_look(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer]:
    few = spread_exemplars(usable_exemplars(request), MAX_EXEMPLARS)
    return search_keypoints(
        session, request, few, lambda r: propose_keypoints(session, r, cancel=cancel), progress=progress, cancel=cancel
    )


_PIPELINES = (
    Pipeline(SWEEP, sweep, choose_for_sweep, knows_taken=True),
    Pipeline(FIRST_LOOK, _first_look, nothing_to_choose("A first look at small maps."), together=True),
    Pipeline(OPTIMISED, propose_optimised, nothing_to_choose("one prompt per point"), together=True),
    Pipeline(PAIRS, propose_pairs, choose_for_pairs),
)
PIPELINES: Mapping[str, Pipeline] = plugins.Table(
    plugins.PIPELINES, Pipeline, _PIPELINES, lambda pipeline: pipeline.name
)
"""Ours and those of plug-ins."""


def pipeline_of(session: EngineSession, request: ProposeRequest) -> Pipeline:
    """The pipeline that a request names, else pairs where its prompt is made for pairs, else the sweep.

    Raises:
        UserInputError: there is no such pipeline.
    """
    name = request.settings.pipeline
    if name is None:
        name = SWEEP if pair_prompt(session, request) is None else PAIRS
    if name not in PIPELINES:
        raise UserInputError(said("There is no pipeline '{0}'.", name), said("Known: {0}.", ", ".join(PIPELINES)))
    return PIPELINES[name]


def propose_keypoints(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Iterator[Answer]:
    """Per target, in the order of the request, what is new there; see `kinmark.engine.api.Engine.propose_keypoints`."""
    pipeline = pipeline_of(session, request)
    answers = pipeline.propose(session, request, progress=progress, cancel=cancel)
    yield from answers if pipeline.knows_taken else only_new(session, request, answers)


def choose_settings(
    session: EngineSession,
    request: ProposeRequest,
    *,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> SettingsChoice:
    """What the request leaves open, chosen; fields of `request.settings` that are set stay as they are."""
    return pipeline_of(session, request).choose(session, request, progress=progress, cancel=cancel)
