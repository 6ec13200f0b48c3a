"""The bridge's process: Ray on one side, the caller's pipe on the other. Nothing else imports ray."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kinmark.engine.parallel.messages import Control, Job, Lost, Reply, Shard
from kinmark.engine.parallel.processes import ignore_interrupts
from kinmark.engine.requests import EngineConfig

TICK_S = 0.05
STARTS = 3
ALIVE_S = 1.0
RECONNECT_S = 15
"""How long Ray tries to reach a head that went away before it gives up."""
KNOCK_S = 10.0
"""How long a cluster that shall be joined may take to answer at all."""
FULL_HINT = "Give it more memory (ray start --object-store-memory) or free some, then run the same command again."


@dataclass(frozen=True)
class BridgeSettings:
    """How the cluster is reached; `started` are further arguments of `ray.init` for one that is started here."""

    config: EngineConfig
    address: str = ""
    workers: int = 0
    started: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """The cluster answers and has places for so many workers."""

    workers: int
    address: str


@dataclass(frozen=True)
class Alive:
    """A word every second, with the processes of a cluster of our own: (id, when it began) each.

    Ray's agents outlive a raylet that was killed; the caller ends what is left by these.
    """

    processes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class Refused:
    """Why no worker can be had; an AppError's three texts."""

    user_message: str
    hint: str
    details: str = ""


def bridge(pipe: Connection, settings: BridgeSettings, log: str) -> None:
    """Runs until the caller's end closes. Ctrl-C is the caller's to handle."""
    ignore_interrupts()
    _redirect_output(Path(log))
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_worker_niceness", "0")  # of a cluster of our own: as any process of this person
    os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(RECONNECT_S))
    if not settings.address:
        # A cluster of our own has a secret of its own, and leaves no file with it in the person's home.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        if settings.address:
            _knock(settings.address)
        import ray

        _connect(ray, settings)
        _Bridge(ray, pipe, settings).run()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # the caller closed
    except Exception as error:  # noqa: BLE001 - whatever Ray raises means that the cluster cannot be used
        where = settings.address or "on this machine"
        with contextlib.suppress(OSError):
            pipe.send(
                Refused(
                    f"The Ray cluster {where} cannot be used: {_first_line(error)}",
                    "Check that it runs (ray status), that the address is right and that it has the same Python and Ray.",
                    repr(error),
                )
            )
    finally:
        with contextlib.suppress(Exception):
            import ray

            ray.shutdown()
    os._exit(0)


def _redirect_output(log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)


def descendants(process: int) -> tuple[tuple[int, str], ...]:
    """(id, when it began) of all processes below one; () where there is no /proc."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1]), fields[19]
    found: dict[int, str] = {}
    wave = {process}
    while wave:
        wave = {child for child, (parent, _) in parents.items() if parent in wave}
        found |= {child: parents[child][1] for child in wave}
    return tuple(found.items())


def end_left(processes: Iterable[tuple[int, str]]) -> None:
    """End those that still run and are the same; another one may have got the number since."""
    for process, began in processes:
        with contextlib.suppress(OSError, IndexError):
            text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
            if text.rpartition(")")[2].split()[19] == began:
                os.kill(process, signal.SIGKILL)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines()[0] if text else type(error).__name__)[:300].rstrip(".") + "."


def _knock(address: str) -> None:
    """ConnectionError where nothing listens at HOST:PORT (or ray://HOST:PORT): Ray itself tries for half a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_S).close()
    except OSError as error:
        raise ConnectionError(f"nothing answers there ({error.strerror or error})") from error


def _connect(ray: Any, settings: BridgeSettings) -> None:
    if settings.address:
        ray.init(address=settings.address, log_to_driver=False, logging_level="warning")
        return
    count = settings.workers or len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else "1")
    arguments = {
        "address": "local",  # else Ray joins a cluster that runs on this machine, or one that left its address behind
        "num_cpus": count,
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "warning",
        "_node_ip_address": "127.0.0.1",
        **settings.started,
    }
    for attempt in range(STARTS):
        try:
            ray.init(**arguments)
            return
        except Exception as error:
            # Ray waits 30 s for its own processes and not a second longer: a busy machine needs another try.
            if attempt == STARTS - 1 or "timed out during startup" not in str(error):
                raise
            with contextlib.suppress(Exception):
                ray.shutdown()


class _RayWorker:
    """One actor: a ShardWorker on some machine of the cluster."""

    def __init__(self, config: EngineConfig) -> None:
        from kinmark.engine.parallel.work import ShardWorker

        self.worker = ShardWorker(config)

    def ready(self) -> Reply:
        return self.worker.ready()

    def take(self, job: Job) -> None:
        self.worker.take(job)

    def work(self, shard: Shard) -> list[Reply]:
        return list(self.worker.work(shard))

    def control(self, control: Control) -> None:
        self.worker.control(control)


class _Bridge:
    """Moves messages to and fro; one thread."""

    def __init__(self, ray: Any, pipe: Connection, settings: BridgeSettings) -> None:
        self.ray, self.pipe, self.joined = ray, pipe, bool(settings.address)
        on_gpu = settings.config.device.startswith("cuda")
        kind = "GPU" if on_gpu else "CPU"
        offered = int(ray.cluster_resources().get(kind, 0))
        self.count = min(settings.workers or offered, offered)
        if self.count < 1:
            raise RuntimeError(f"it has no {kind}")
        threads = settings.config.threads or 1
        self.config = replace(settings.config, threads=threads)
        # A word in the middle of a photo is heard in a thread of its own.
        self.actor = ray.remote(
            num_cpus=1,
            num_gpus=1 if on_gpu else 0,
            max_restarts=0,
            max_task_retries=0,
            concurrency_groups={"control": 1},
        )(_RayWorker)
        self.actors: dict[int, Any] = {}
        self.pending: dict[Any, int] = {}
        self._next = 0
        self._alive = 0.0
        pipe.send(Started(self.count, ray.get_runtime_context().gcs_address))

    def run(self) -> None:
        """Until the caller closes its end (EOFError)."""
        for _ in range(self.count):
            self._start_one()
        while True:
            while self.pipe.poll(0):
                self._pass_on(*self.pipe.recv())
            if self.pending:
                done, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=TICK_S)
                for reference in done:
                    self._answer(reference)
            else:
                self.pipe.poll(TICK_S)
            if time.monotonic() - self._alive > ALIVE_S:
                self._alive = time.monotonic()
                self.pipe.send(Alive(() if self.joined else descendants(os.getpid())))

    def _start_one(self) -> None:
        number = self._next
        self._next += 1
        actor = self.actor.remote(self.config)
        self.actors[number] = actor
        self.pending[actor.ready.remote()] = number

    def _pass_on(self, worker: int, message: Any) -> None:
        if worker < 0:
            self._start_one()
            return
        actor = self.actors.get(worker)
        if actor is None:
            return
        errors = self.ray.exceptions
        try:
            if isinstance(message, Control):
                actor.control.options(concurrency_group="control").remote(message)
            else:
                method = actor.take if isinstance(message, Job) else actor.work
                self.pending[method.remote(message)] = worker
        except (errors.ObjectStoreFullError, errors.OutOfDiskError) as error:  # large requests pass through the store
            self._refuse("The memory of the Ray cluster is full", FULL_HINT, error)

    def _answer(self, reference: Any) -> None:
        worker = self.pending.pop(reference)
        errors = self.ray.exceptions
        try:
            result = self.ray.get(reference)
        except (errors.ObjectStoreFullError, errors.OutOfDiskError, errors.OutOfMemoryError) as error:
            self._refuse("The memory of the Ray cluster is full", FULL_HINT, error)
        except (errors.ActorDiedError, errors.ActorUnavailableError, errors.WorkerCrashedError) as error:
            self._lost(worker, error)
        except errors.RayTaskError as error:
            cause = error.cause if isinstance(getattr(error, "cause", None), Exception) else error
            if isinstance(cause, errors.ObjectStoreFullError | errors.OutOfDiskError):
                self._refuse("The memory of the Ray cluster is full", FULL_HINT, cause)
            self._refuse(
                f"A Ray worker could not start its work: {_first_line(cause)}",
                "Install the same Kinmark, with its weights, on every machine of the cluster.",
                error,
            )
        else:
            for reply in result if isinstance(result, list) else [result] if result is not None else []:
                self.pipe.send((worker, reply))

    def _lost(self, worker: int, error: Exception) -> None:
        actor = self.actors.pop(worker, None)
        if actor is None:
            return  # said already, by another of its tasks
        with contextlib.suppress(Exception):
            self.ray.kill(actor)  # one that cannot be reached may live on: its late answers are not wanted
        for other in [r for r, w in self.pending.items() if w == worker]:
            del self.pending[other]
        self.pipe.send((worker, Lost(f"its process ended ({type(error).__name__})")))

    def _refuse(self, what: str, hint: str, error: BaseException) -> None:
        self.pipe.send(Refused(what.rstrip(".") + ".", hint, repr(error)[:2000]))
        raise EOFError  # the caller closes
