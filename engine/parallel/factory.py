"""EngineFactory: how an engine is opened, in words: in this thread, by processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.texts import said
from kinmark.engine.requests import EngineConfig
from kinmark.engine.requests.protocol import Engine

Kind = Literal["local", "processes", "ray"]
HINT = "Write local, processes, processes:4, ray, ray:HOST, ray:HOST:PORT, ray://HOST or ray://HOST:PORT."
MAX_WORKERS = 1024
HEAD_PORT, CLIENT_PORT = 6379, 10001
"""Ray's own, taken where none is written."""
_PLACE = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class EngineFactory:
    """A frozen, picklable way to an engine.

    Attributes:
        kind: "local" (one thread of this process), "processes" or "ray".
        workers: how many (0: as many as there are processors, or as the cluster offers).
        address: of a Ray cluster: "" starts one here, "HOST:PORT" joins it, "ray://HOST:PORT" is Ray's client. Ray's own ports
            are filled in by `parse`.
        config: of every worker's engine.
    """

    kind: Kind = "local"
    workers: int = 0
    address: str = ""
    config: EngineConfig = EngineConfig()

    @staticmethod
    def parse(text: str, config: EngineConfig | None = None, *, workers: int = 0) -> EngineFactory:
        """From what is written after `--engine`; UserInputError for anything else."""
        config = config or EngineConfig()
        kind, _, rest = text.strip().partition(":")
        if not 0 <= workers <= MAX_WORKERS:
            raise UserInputError(
                said("{0} workers cannot be started.", workers), said("Ask for 1 to {0}.", MAX_WORKERS)
            )
        if kind == "local" and not rest:
            return EngineFactory(config=config)
        if kind == "local":
            raise UserInputError(
                said("'{0}' is no way to run the engine: local is one thread.", text),
                said("Write processes:{0} for worker processes on this machine.", rest if rest.isdecimal() else "K"),
            )
        if kind == "processes":
            return EngineFactory("processes", _count(text, rest) if rest else workers, config=config)
        if kind == "ray":
            return EngineFactory("ray", workers, _address(text, rest), config)
        raise UserInputError(said("'{0}' is no way to run the engine.", text), HINT)

    def open(self) -> Engine:
        """The engine; workers start with its first sweep. KnownError: Ray is asked for and not installed."""
        if self.kind == "local":
            from kinmark.engine.local import LocalEngine

            return LocalEngine(self.config)
        from kinmark.engine.parallel.pool import WorkerPool
        from kinmark.engine.parallel.processes import ProcessPool, processors
        from kinmark.engine.parallel.sharded import ShardedEngine

        pool: WorkerPool
        if self.kind == "processes":
            pool = ProcessPool(self.config, self.workers or processors())
        else:
            from kinmark.engine.parallel.ray_pool import RayPool

            pool = RayPool(self.config, self.address, self.workers)
        return ShardedEngine(self.config, pool)


def _count(text: str, rest: str) -> int:
    if not rest.isdecimal() or not 1 <= int(rest) <= MAX_WORKERS:
        raise UserInputError(
            said("'{0}' names no number of processes.", text),
            said("Write processes:K with K from 1 to {0}.", MAX_WORKERS),
        )
    return int(rest)


def _address(text: str, rest: str) -> str:
    if not rest:
        return ""
    client = rest.startswith("//")
    written = _PLACE.fullmatch(rest.removeprefix("//"))
    port = int(written["port"] or (CLIENT_PORT if client else HEAD_PORT)) if written else 0
    if written is None or not 0 < port < 65536:
        raise UserInputError(said("'{0}' names no Ray cluster.", text), HINT)
    return f"{'ray://' if client else ''}{written['host']}:{port}"
