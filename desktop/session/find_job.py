"""The `run` of a search for one individual: photo by photo, so that urgent work gets in between. Engine thread."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from desktop.engine_thread.jobs import JobContext, Requeue
from desktop.session.jobs import _SharedProgress

CHUNK = 4
WHOLE_FROM = 600
"""Larger collections are searched in one go: the shortlist needs all of them."""


@dataclass(frozen=True)
class FindSummary:
    """What a search found."""

    identity: str
    searched: int
    found: int
    failures: tuple[tuple[str, str], ...]
    kind: str = ""


@dataclass
class FindSweep:
    """Search `identity` (it has a confirmed instance) in `image_ids` (None: all photos); without one the word `kind`."""

    identity: str
    image_ids: list[int] | None
    backbone: str
    kind: str = ""
    title: str = ""
    step_name: str = ""
    job: str = field(default_factory=lambda: uuid.uuid4().hex)
    _todo: list[int] | None = None
    _searched: int = 0
    _found: int = 0
    _failures: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, context: JobContext) -> FindSummary | Requeue:
        from projects.workflows.find import FindOptions, find

        if self._todo is None:
            self._todo = list(self.image_ids if self.image_ids is not None else context.project.queries.image_ids())
            context.progress.start(self.title, len(self._todo))
        whole = bool(self.identity) and self.image_ids is None and len(self._todo) > WHOLE_FROM
        size = len(self._todo) if whole else CHUNK
        part, self._todo = self._todo[:size], self._todo[size:]
        if part:
            options = FindOptions(
                name=self.kind,
                identity=self.identity,
                image_ids=None if whole else tuple(part),
                backbone=self.backbone,
                job=self.job,
                step_name=self.step_name,
            )
            before = context.progress.snapshot().done
            progress = context.progress if whole else _SharedProgress(context.progress)
            outcome: Any = find(context.project, context.engine, options, progress=progress, cancel=context.cancel)
            self._searched += outcome.searched
            self._found += outcome.found
            self._failures += [(f["image"], f["error"]) for f in outcome.failures]
            if not whole:
                context.progress.step(max(0, before + len(part) - context.progress.snapshot().done))
        if self._todo:
            return Requeue()
        return FindSummary(self.identity, self._searched, self._found, tuple(self._failures), self.kind)
