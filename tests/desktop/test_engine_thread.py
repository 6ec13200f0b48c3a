"""The engine thread: order, cancel, late answers, crashes, memory, closing at every stage. No model needed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PySide6.QtCore import QEventLoop, QTimer

from kinmark.desktop.engine_thread.jobs import Job, JobContext, Priority
from kinmark.desktop.engine_thread.queue import JobQueue
from kinmark.desktop.engine_thread.service import EngineService
from kinmark.engine.domain.errors import BugError, KnownError, UserInputError


class TinyEngine:
    """Stands where an engine stands; the jobs of these tests never ask it for a picture."""

    closed = 0

    def close(self) -> None:
        TinyEngine.closed += 1


@pytest.fixture
def service(qapp: object) -> Iterator[EngineService]:
    made = EngineService(TinyEngine, lambda folder: None)
    yield made
    assert made.close(5)
    made.deleteLater()


def until(ready: Callable[[], object], seconds: float = 10) -> None:
    loop = QEventLoop()
    timer = QTimer()
    timer.setInterval(5)
    timer.timeout.connect(lambda: loop.quit() if ready() else None)
    timer.start()
    deadline = QTimer()
    deadline.setSingleShot(True)
    deadline.timeout.connect(loop.quit)
    deadline.start(int(seconds * 1000))
    if not ready():
        loop.exec()
    timer.stop()
    deadline.stop()
    assert ready()


def test_queue_gives_urgent_first_then_oldest() -> None:
    queue = JobQueue()
    order = [(Priority.SWEEP, "a"), (Priority.SCREEN, "b"), (Priority.SWEEP, "c"), (Priority.ASKED, "d")]
    for priority, name in order:
        queue.put(Job.make(name, lambda context: None, priority=priority))
    assert [queue.take().title for _ in range(4)] == ["b", "d", "a", "c"]  # type: ignore[union-attr]
    queue.close()
    assert queue.take() is None


def test_answers_arrive_on_the_gui_thread(service: EngineService) -> None:
    seen: list[tuple[object, int, int]] = []
    service.submit(
        "work",
        lambda context: threading.get_ident(),
        on_done=lambda value: seen.append((value, threading.get_ident(), threading.main_thread().ident or 0)),
    )
    until(lambda: seen)
    worker, gui, main = seen[0]
    assert gui == main and worker != main


def test_what_is_on_screen_gets_in_between_the_steps_of_a_sweep(service: EngineService) -> None:
    log: list[str] = []
    news: list[object] = []
    gate = threading.Event()

    def sweep(context: JobContext) -> Iterator[object]:
        for number in range(3):
            gate.wait(5)
            log.append("sweep")
            yield number if number else None
        return "all"

    done: list[object] = []
    service.submit("sweep", sweep, priority=Priority.SWEEP, on_news=news.append, on_done=done.append)
    service.submit("here", lambda context: log.append("here"), priority=Priority.SCREEN)
    gate.set()
    until(lambda: done)
    assert log.index("here") <= 1 and log.count("sweep") == 3
    assert news == [1, 2] and done == ["all"]


@pytest.mark.parametrize("ending", ["cancel", "project", "close"])
def test_a_job_that_does_not_go_on_is_closed_on_its_own_thread(qapp: object, ending: str) -> None:
    """Between two steps it may hold what it has not written yet, and an answer of the engine that is under way."""
    service = EngineService(TinyEngine, lambda folder: None)
    closed: list[str] = []
    stopped: list[bool] = []
    blocked, go = threading.Event(), threading.Event()

    def sweep(context: JobContext) -> Iterator[None]:
        try:
            while True:
                yield
        finally:
            closed.append(threading.current_thread().name)

    def urgent(context: JobContext) -> None:
        blocked.set()
        go.wait(5)

    job = service.submit("sweep", sweep, priority=Priority.SWEEP, on_stopped=lambda: stopped.append(True))
    assert job is not None
    until(lambda: service._worker is not None and service._worker._begun)
    service.submit("here", urgent, priority=Priority.SCREEN)
    until(blocked.is_set)
    assert closed == []
    if ending == "cancel":
        service.cancel(job)
    elif ending == "project":
        service.use_project(None)
    go.set()
    if ending == "close":
        assert service.close(5)
    until(lambda: closed)
    assert closed == ["kinmark-engine"] and stopped == [True] * (ending == "cancel")
    service.close(5)
    service.deleteLater()


def test_a_cancelled_job_says_nothing_and_its_late_answer_is_dropped(service: EngineService) -> None:
    started, go = threading.Event(), threading.Event()
    heard: list[object] = []

    def stubborn(context: JobContext) -> str:
        started.set()
        go.wait(5)
        return "late"

    failures: list[object] = []
    service.failed.connect(lambda job, error: failures.append(error))
    job = service.submit("slow", stubborn, on_done=heard.append, on_failed=heard.append)
    assert job is not None
    until(started.is_set)
    service.cancel(job)
    go.set()
    after: list[object] = []
    service.submit("next", lambda context: 1, on_done=after.append)
    until(lambda: after)
    assert heard == [] and failures == []


def test_cancel_is_honoured_at_the_next_step(service: EngineService) -> None:
    steps: list[int] = []
    started, ended = threading.Event(), threading.Event()

    def steady(context: JobContext) -> None:
        try:
            for step in range(10_000):
                context.cancel.check()
                steps.append(step)
                started.set()
                time.sleep(0.002)
        finally:
            ended.set()

    job = service.submit("steps", steady)
    assert job is not None
    until(started.is_set)
    service.cancel(job)
    until(ended.is_set, 2)
    assert len(steps) < 10_000


def test_replacing_keeps_only_the_newest_of_a_group(service: EngineService) -> None:
    gate = threading.Event()
    ran: list[int] = []
    service.submit("block", lambda context: gate.wait(5))
    for number in range(5):
        service.submit("heat", lambda context, n=number: ran.append(n), group="heat", replace=True)
    gate.set()
    done: list[object] = []
    service.submit("end", lambda context: 1, priority=Priority.IDLE, on_done=done.append)
    until(lambda: done)
    assert ran == [4]


def test_a_known_error_reaches_the_person_and_work_goes_on(service: EngineService) -> None:
    failures: list[Any] = []
    service.failed.connect(lambda job, error: failures.append(error))

    def broken(context: JobContext) -> None:
        raise UserInputError("There is nothing to propose from.", "Label one photo.")

    service.submit("propose", broken)
    until(lambda: failures)
    assert failures[0].hint == "Label one photo."
    done: list[object] = []
    service.submit("next", lambda context: "fine", on_done=done.append)
    until(lambda: done)


def test_a_crash_in_the_worker_becomes_a_bug_report_and_the_thread_lives_on(service: EngineService) -> None:
    failures: list[Any] = []

    def crash(context: JobContext) -> None:
        raise ZeroDivisionError("boom")

    service.submit("crash", crash, on_failed=failures.append)
    until(lambda: failures)
    assert isinstance(failures[0], BugError) and "boom" in failures[0].details
    done: list[object] = []
    service.submit("next", lambda context: "fine", on_done=done.append)
    until(lambda: done)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_running_out_of_memory_is_a_known_error_with_a_way_out(service: EngineService, error: Exception) -> None:
    failures: list[Any] = []

    def hungry(context: JobContext) -> None:
        raise error

    service.submit("big", hungry, on_failed=failures.append)
    until(lambda: failures)
    assert isinstance(failures[0], KnownError) and not isinstance(failures[0], BugError)
    assert "memory" in failures[0].user_message and failures[0].hint


def test_progress_is_polled_and_ends_with_nothing(service: EngineService) -> None:
    states: list[Any] = []
    service.polled.connect(states.append)
    gate = threading.Event()

    def work(context: JobContext) -> None:
        context.progress.start("Working", 4)
        context.progress.step(3)
        gate.wait(5)

    service.submit("work", work)
    until(lambda: any(s is not None and s.progress.done == 3 for s in states))
    gate.set()
    until(lambda: states[-1] is None)
    assert not service.busy


def test_quiet_jobs_never_show_in_the_job_bar(service: EngineService) -> None:
    gate = threading.Event()
    service.submit("quiet", lambda context: gate.wait(5), quiet=True)
    assert service.shown_job is None
    loud = service.submit("loud", lambda context: None)
    assert service.shown_job is loud
    gate.set()
    until(lambda: not service.busy)


@pytest.mark.parametrize("stage", ["waiting", "running", "paused", "answered"])
def test_closing_at_every_stage_ends_the_thread_in_time(qapp: object, stage: str) -> None:
    service = EngineService(TinyEngine, lambda folder: None)
    started, answered = threading.Event(), threading.Event()

    def work(context: JobContext) -> None:
        started.set()
        for _ in range(2000):
            context.cancel.check()
            if stage == "answered":
                break
            time.sleep(0.002)
        answered.set()

    job = service.submit("work", work)
    assert job is not None
    if stage != "waiting":
        until(started.is_set)
    if stage == "paused":
        job.cancel.pause()
    if stage == "answered":
        answered.wait(5)
    begin = time.monotonic()
    assert service.close(2)
    assert time.monotonic() - begin < 2
    assert service.submit("late", lambda context: None) is None
    service.deleteLater()
