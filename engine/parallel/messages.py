"""What crosses between the caller and its workers: frozen and picklable, nothing else. Loads no torch.

Progress, pausing and cancelling are messages, too. An answer that is late (of a job that ended) is known by its job's id.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.proposals import InstanceProposal, MaskProposal
from kinmark.engine.requests import (
    FindRequest,
    ImageInput,
    PhotoVectors,
    ProposeRequest,
    Target,
    TargetFailure,
    VectorRequest,
)

Request = ProposeRequest | FindRequest | VectorRequest
Place = Target | ImageInput
Answer = InstanceProposal | MaskProposal | PhotoVectors | TargetFailure
ControlWord = Literal["cancel", "pause", "resume"]


@dataclass(frozen=True)
class Job:
    """What every photo of a sweep is asked; its request has no targets. Settings are decided before it is sent."""

    id: int
    request: Request
    addresses: tuple[str, ...] = ()
    """Where photos may be read from (`kinmark.engine.remote`): what the caller allowed, its workers may."""


@dataclass(frozen=True)
class Shard:
    """Some photos of a job, by their positions in the request."""

    job: int
    positions: tuple[int, ...]
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Control:
    """Said to a worker in the middle of its work."""

    job: int
    word: ControlWord


@dataclass(frozen=True)
class Ready:
    """A worker that can be asked; `host` names its machine and process."""

    host: str
    version: str


@dataclass(frozen=True)
class Opened:
    """A worker that has its models and exemplars; `facts` decide whether numbers of two workers may be mixed."""

    job: int
    facts: tuple[str, ...]
    device: str
    dtype: str
    backbone: str


@dataclass(frozen=True)
class Answered:
    """What a worker found, per position of the request."""

    job: int
    answers: tuple[tuple[int, tuple[Answer, ...]], ...]


@dataclass(frozen=True)
class Failed:
    """A job that a worker cannot do. `error` None: a bug, told by `trace`."""

    job: int
    error: AppError | None
    trace: str = ""


@dataclass(frozen=True)
class Lost:
    """A worker that is gone; what it held was not done."""

    reason: str


Reply = Ready | Opened | Answered | Failed | Lost


def without_targets(request: Any) -> Any:
    """The request as it is sent once to every worker; what it takes from its targets is written down before."""
    if isinstance(request, ProposeRequest):
        request = replace(request, collection=tuple(request.statistics_images))
    return replace(request, targets=())
