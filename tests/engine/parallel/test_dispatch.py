"""The dispatcher alone: order, losses, photos that end workers, cancelling and pausing, workers that differ."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest

from kinmark.engine.api import EngineConfig, ImageInput, Target, VectorRequest
from kinmark.engine.domain import errors as error_types
from kinmark.engine.domain.errors import AppError, KnownError, OperationCancelled
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.parallel import dispatch
from kinmark.engine.parallel.dispatch import Dispatcher
from kinmark.engine.parallel.messages import Reply
from kinmark.engine.parallel.pool import WorkersLostError
from kinmark.engine.parallel.sharded import ShardedEngine
from tests.engine.parallel.fakes import FakePool


def request(count: int) -> VectorRequest:
    return VectorRequest("r", tuple(Target(ImageInput(str(i), Path(f"{i}.png"))) for i in range(count)))


def ids(dispatcher: Dispatcher) -> list[str]:
    return [answer.image_id for answer in dispatcher.answers()]


@pytest.mark.parametrize("count", [0, 1, 7, 150])
def test_every_photo_is_answered_once_and_in_order(count: int) -> None:
    pool, progress = FakePool(3), Progress()
    assert ids(Dispatcher(pool, 1, request(count), set(), progress=progress)) == [str(i) for i in range(count)]
    assert sorted(pool.sent) == list(range(count))
    if count:
        assert (progress.snapshot().done, progress.snapshot().total) == (count, count)


def test_what_a_lost_worker_held_is_done_again_and_nothing_else() -> None:
    once = iter([True])
    pool = FakePool(2, lambda worker, position: position == 9 and next(once, False))
    assert ids(Dispatcher(pool, 1, request(40), set())) == [str(i) for i in range(40)]
    again = [p for p in pool.sent if pool.sent.count(p) > 1]
    assert 9 in again
    assert len(set(again)) <= dispatch.HELD * dispatch.SHARD


def test_a_photo_that_ends_two_workers_is_reported_and_the_others_are_answered() -> None:
    pool = FakePool(2, lambda worker, position: position in (5, 11))
    found = list(Dispatcher(pool, 1, request(20), set()).answers())
    assert [a.image_id for a in found] == [str(i) for i in range(20)]
    named = [a for a in found if "workers ended" in str(a.error)]
    assert [a.image_id for a in named] == ["5", "11"]
    assert "5.png" in str(named[0].error)


def test_workers_that_all_end_at_once_stop_the_sweep_with_a_sentence() -> None:
    pool = FakePool(2, lambda worker, position: position >= 6)
    dispatcher = Dispatcher(pool, 1, request(400), set())
    seen = []
    with pytest.raises(WorkersLostError, match=r"one after the other.*run the same command again"):
        for answer in dispatcher.answers():
            seen.append(answer.image_id)
    assert seen[:6] == [str(i) for i in range(6)]
    assert pool._next < 40, "workers are not started for ever"


def test_the_only_worker_is_replaced_however_long_it_has_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def dies(worker: int, position: int) -> bool:
        clock.now += 60.0  # a photo a minute, so that the first worker goes long after a worker's time to start is over
        return worker == 0 and position == 7

    assert ids(Dispatcher(FakePool(1, dies), 1, request(12), set())) == [str(i) for i in range(12)]


def test_nobody_ready_for_too_long_stops_the_sweep_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(dispatch, "time", SimpleNamespace(monotonic=lambda: clock.now))
    pool = FakePool(1)

    def silence(timeout_s: float) -> list[tuple[int, Reply]]:
        clock.now += timeout_s
        return []

    pool.receive = silence
    with pytest.raises(WorkersLostError, match=r"None of the fake workers answered within 180 s"):
        ids(Dispatcher(pool, 1, request(3), set()))
    assert 280 < clock.now < 281


def test_cancelling_gives_out_what_came_back_and_tells_the_workers() -> None:
    pool, cancel = FakePool(3), CancelToken()
    seen = []
    with pytest.raises(OperationCancelled):
        for answer in Dispatcher(pool, 1, request(100), set(), cancel=cancel).answers():
            seen.append(int(answer.image_id))
            if len(seen) == 10:
                cancel.cancel()
    assert seen[:10] == list(range(10))
    assert len(seen) > 10, "the other workers had answers out of turn"
    assert {word for _, word in pool.said} == {"cancel"}


def test_pausing_is_a_message_and_hands_nothing_out() -> None:
    pool, cancel = FakePool(1), CancelToken()
    answers = Dispatcher(pool, 1, request(60), set(), cancel=cancel).answers()
    next(answers)
    sent = len(pool.sent)
    cancel.pause()
    for _ in range(sent - 1):
        next(answers)  # what the worker holds comes
    assert len(pool.sent) == sent
    assert (0, "pause") in pool.said
    cancel.resume()
    assert len(list(answers)) == 60 - sent
    assert (0, "resume") in pool.said


def test_a_writer_that_waits_slows_the_handing_out() -> None:
    pool = FakePool(4)
    answers = Dispatcher(pool, 1, request(2000), set()).answers()
    next(answers)
    assert len(pool.sent) <= (dispatch.AHEAD + 1) * dispatch.SHARD * 4
    answers.close()
    assert {word for _, word in pool.said} == {"cancel"}


def test_workers_of_another_version_or_with_other_weights_are_refused() -> None:
    pool = FakePool(2)
    pool.facts[1] = ("other", "cpu", "fp32")
    with pytest.raises(KnownError, match="do not compute alike"):
        ids(Dispatcher(pool, 1, request(9), set()))
    pool = FakePool(1)
    pool.version = "0.0.1"
    with pytest.raises(KnownError, match=r"host 0 runs Kinmark 0\.0\.1"):
        ids(Dispatcher(pool, 1, request(9), set()))


def test_a_refused_worker_is_refused_in_the_next_sweep_too_and_one_of_the_right_version_then_serves() -> None:
    pool = FakePool(1)
    engine = ShardedEngine(EngineConfig(device="cpu"), pool)
    right, pool.version = pool.version, "0.0.1"
    for _ in range(2):  # the second one waited three minutes for a worker that had spoken already
        with pytest.raises(KnownError, match=r"host 0 runs Kinmark 0\.0\.1"):
            list(engine.photo_vectors(request(9)))
    pool.version = right
    assert len(list(engine.photo_vectors(request(9)))) == 9
    engine.close()


def test_late_answers_of_an_earlier_job_are_dropped() -> None:
    pool, ready, cancel = FakePool(2), set(), CancelToken()
    first = Dispatcher(pool, 1, request(30), ready, cancel=cancel).answers()
    next(first)
    first.close()
    pool.replies += [(0, dispatch.Answered(1, ((3, ()),)))]
    assert ids(Dispatcher(pool, 2, request(30), ready)) == [str(i) for i in range(30)]


def test_every_error_crosses_with_its_words() -> None:
    kinds = [k for k in vars(error_types).values() if isinstance(k, type) and issubclass(k, AppError)]
    assert len(kinds) > 8
    for kind in kinds:
        back = pickle.loads(pickle.dumps(kind("What.", "Do this.", "trace")))  # noqa: S301 - our own bytes
        assert type(back) is kind
        assert (back.user_message, back.hint, back.details) == ("What.", "Do this.", "trace")
