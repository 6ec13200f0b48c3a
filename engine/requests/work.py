"""Requests for long work: tune a prompt, measure on a published data set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kinmark.engine.domain.keypoints import KeypointSchema
from kinmark.engine.requests.photos import Exemplar, ImageInput
from kinmark.engine.requests.settings import DEFAULT_BACKBONE, MatchSettings


@dataclass(frozen=True)
class TuneRequest:
    """Fine-tune a prompt on accepted instances (methods/prompts.md).

    `collection`: photos without labels that proposals take statistics and settings from; () = the held-out photos.
    """

    request_id: str
    category: str
    schema: KeypointSchema
    exemplars: tuple[Exemplar, ...]
    kind: str = "class"
    backbone: str = DEFAULT_BACKBONE
    steps: int | None = None
    epochs: int | None = None
    seed: int = 0
    out_dir: Path | None = None
    work_dir: Path | None = None
    keep_if_worse: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    collection: tuple[ImageInput, ...] = ()


@dataclass(frozen=True)
class EvaluateRequest:
    """Measure on a published data set in its own layout under a named protocol (methods/evaluation.md).

    `dataset`: spair, pfpascal, pfwillow, cub, ap10k (correspondence); folder, perseg, permis, permir, davis (instances).
    `limit` 0 = everything; `work_file` keeps finished pairs so that an interrupted run goes on.
    """

    dataset: str
    root: Path
    split: str = "test"
    protocol: str = "ours"
    settings: MatchSettings = MatchSettings()
    backbone: str = DEFAULT_BACKBONE
    prompt: str = "auto"
    limit: int = 0
    work_file: Path | None = None
