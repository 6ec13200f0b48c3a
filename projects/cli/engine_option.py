"""`--engine` and `--workers`: where a sweep runs, one way for every command that has sweeps."""

from __future__ import annotations

from typing import Annotated

import typer

EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="Where it runs: local, processes[:K] (K worker processes), ray (a cluster on this machine), ray:HOST:PORT "
        "(join a Ray cluster) or ray://HOST:PORT (Ray's client).",
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, help="Workers of processes or ray; 0 = as many as there are processors.")
]
