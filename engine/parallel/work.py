"""ShardWorker: one worker's engine, asked photo by photo; how it is reached (pipe, Ray) is not its matter.

Thread: one thread of the worker's process asks; any thread may use the `cancel` token.
"""

from __future__ import annotations

import os
import platform
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from kinmark.engine.domain.errors import AppError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken
from kinmark.engine.local import LocalEngine
from kinmark.engine.parallel.messages import Answer, Answered, Control, Failed, Job, Opened, Ready, Reply, Shard
from kinmark.engine.remote import allow_here
from kinmark.engine.requests import EngineConfig, FindRequest, ProposeRequest, VectorRequest

Ask = Callable[[Any], tuple[Answer, ...]]


class ShardWorker:
    """Holds models, exemplars and settings of one job; every answer is a function of (job, photo).

    Args:
        config: threads are this worker's share of the machine.
    """

    def __init__(self, config: EngineConfig) -> None:
        self.engine = LocalEngine(config)
        if config.threads > 0:
            import cv2

            cv2.setNumThreads(config.threads)
        self._job: Job | None = None
        self._ask: Ask | None = None
        self._cancel = CancelToken()
        self._said: Control | None = None

    def ready(self) -> Ready:
        """Who this is."""
        from kinmark.engine.installation import release_text

        return Ready(f"{platform.node()} (process {os.getpid()})", release_text())

    def control(self, control: Control) -> None:
        """Any thread: what the caller says about a job. It may come before the job was taken."""
        self._said = control
        self._listen()

    def _listen(self) -> None:
        said, job = self._said, self._job
        if said is not None and job is not None and said.job == job.id:
            {"cancel": self._cancel.cancel, "pause": self._cancel.pause, "resume": self._cancel.resume}[said.word]()

    def take(self, job: Job) -> None:
        """The job that the next shards belong to; opened with the first of them."""
        allow_here(job.addresses)
        self._ask, self._cancel = None, CancelToken()
        self._job = job
        self._listen()

    def work(self, shard: Shard) -> Iterator[Reply]:
        """The answers, each as soon as it is there; nothing for a job that ended."""
        job = self._job
        if job is None or shard.job != job.id:
            return
        try:
            if self._ask is None:
                self._ask = opened(self.engine, job.request, self._cancel)
                yield self._opened(job)
            for position, place in zip(shard.positions, shard.places, strict=True):
                self._cancel.check()
                yield Answered(job.id, ((position, self._ask(place)),))
        except OperationCancelled:
            return
        except AppError as error:
            yield Failed(job.id, error)
        except Exception:  # noqa: BLE001 - it crosses to the caller, whose one door for crashes reports it
            yield Failed(job.id, None, traceback.format_exc())

    def _opened(self, job: Job) -> Opened:
        backbone = self.engine.session.backbone(job.request.backbone)
        info = self.engine.info()
        kind = backbone.device.type
        return Opened(job.id, (backbone.revision, kind, info.dtype), info.device, info.dtype, info.backbone)


def opened(engine: LocalEngine, request: Any, cancel: CancelToken) -> Ask:
    """What is asked per photo, everything that is the same for all photos done: `answers = ask(place)`."""
    if isinstance(request, ProposeRequest):
        return _proposer(engine, request, cancel)
    if isinstance(request, FindRequest):
        from kinmark.engine.instances.find import find_one, open_finder

        with engine.session.guarded():
            finder = open_finder(engine.session, request, cancel)
        return lambda image: find_one(engine.session, finder, image, cancel)
    assert isinstance(request, VectorRequest)
    return lambda target: tuple(engine.photo_vectors(replace(request, targets=(target,)), cancel=cancel))


def _proposer(engine: LocalEngine, request: ProposeRequest, cancel: CancelToken) -> Ask:
    from kinmark.engine.pipelines.pairs import pair_prompt
    from kinmark.engine.pipelines.sweep import prepare_proposals, propose_one

    if pair_prompt(engine.session, request) is not None:
        return lambda target: tuple(engine.propose_keypoints(replace(request, targets=(target,)), cancel=cancel))
    prepared = prepare_proposals(engine.session, request, cancel=cancel)
    return lambda target: tuple(propose_one(prepared, target, cancel))
