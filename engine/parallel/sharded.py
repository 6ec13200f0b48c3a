"""ShardedEngine: the Engine protocol with sweeps shared out to a pool of workers; everything else runs here.

Thread: as the local engine, one thread. What decides answers (settings, exemplars) is decided here once and sent along, so
the answers do not depend on how many workers there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.proposals import InstanceProposal, MaskProposal
from kinmark.engine.local import LocalEngine
from kinmark.engine.parallel.dispatch import Dispatcher
from kinmark.engine.parallel.messages import Answer
from kinmark.engine.parallel.pool import WorkerPool, WorkersLostError
from kinmark.engine.requests import (
    EngineConfig,
    EngineInfo,
    FindRequest,
    PhotoVectors,
    ProposeRequest,
    TargetFailure,
    VectorRequest,
)

HERE_BELOW = 2
"""So few photos are not worth a worker's start."""


class ShardedEngine(LocalEngine):
    """A local engine whose sweeps run in a pool.

    Args:
        config: of the part that runs here.
        pool: started with the first sweep, ended by `close`.
    """

    def __init__(self, config: EngineConfig, pool: WorkerPool) -> None:
        super().__init__(config)
        self.pool = pool
        self._ready: set[int] = set()
        self._jobs = 0
        self._last: Dispatcher | None = None

    def info(self) -> EngineInfo:
        """Where sweeps run; before the first one, what runs here."""
        opened = self._last.opened if self._last is not None else None
        if opened is None:
            return super().info()
        return EngineInfo(f"{opened.device}, {self.pool.name}", opened.dtype, opened.backbone)

    def propose_keypoints(
        self, request: ProposeRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[InstanceProposal | TargetFailure]:
        """See `kinmark.engine.api.Engine.propose_keypoints`. A first look and optimised points look at all photos together: here."""
        from kinmark.engine.pipelines.registry import PIPELINES

        named = PIPELINES.get(request.settings.pipeline or "")
        together = named is not None and named.together
        if together or len(request.targets) < HERE_BELOW:
            yield from super().propose_keypoints(request, progress=progress, cancel=cancel)
            return
        self.pool.start()  # they load while the settings are chosen
        if not request.settings.is_complete:
            choice = self.choose_settings(request, progress=progress, cancel=cancel)
            request = replace(request, settings=choice.settings)
        yield from self._shared_out(request, progress, cancel)  # type: ignore[misc]

    def find_instance(
        self, request: FindRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[MaskProposal | TargetFailure]:
        """See `kinmark.engine.api.Engine.find_instance`."""
        if len(request.targets) < HERE_BELOW:
            yield from super().find_instance(request, progress=progress, cancel=cancel)
            return
        yield from self._shared_out(request, progress, cancel)  # type: ignore[misc]

    def photo_vectors(
        self, request: VectorRequest, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> Iterator[PhotoVectors | TargetFailure]:
        """See `kinmark.engine.api.Engine.photo_vectors`."""
        if len(request.targets) < HERE_BELOW:
            yield from super().photo_vectors(request, progress=progress, cancel=cancel)
            return
        yield from self._shared_out(request, progress, cancel)  # type: ignore[misc]

    def _shared_out(
        self,
        request: ProposeRequest | FindRequest | VectorRequest,
        progress: Progress | None,
        cancel: CancelToken | None,
    ) -> Iterator[Answer]:
        self._jobs += 1
        self._last = Dispatcher(self.pool, self._jobs, request, self._ready, progress=progress, cancel=cancel)
        try:
            yield from self._last.answers()
        except WorkersLostError:
            self.pool.close()  # the next sweep starts anew
            self._ready.clear()
            raise

    def close(self) -> None:
        """See `kinmark.engine.api.Engine.close`."""
        self.pool.close()
        self._ready.clear()
        super().close()
