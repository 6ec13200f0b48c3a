"""RunSpec: everything that decides what a run computes, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

CODE_VERSION = "1"
"""Raised whenever the computation behind the same RunSpec changes, so that caches are not reused wrongly."""


@dataclass(frozen=True)
class RunSpec:
    """Cache key and provenance of what the engine computed.

    Attributes:
        method: e.g. "features", "match", "pdm", "pdm-votes", "optimise".
        backbone: registry id or folder name; `revision` pins its weights (hash or commit).
        prompt: prompt id ("empty", "text:a photo of a cat", "prompt:<hash>").
        timestep, up_block, ensemble, input_wh, seed: of the feature extraction.
        settings: everything else that changes the result, JSON-able (matching method, rotations, fusion, ...).
    """

    method: str
    backbone: str
    revision: str = ""
    prompt: str = "empty"
    timestep: int = 0
    up_block: int = 1
    ensemble: int = 1
    input_wh: tuple[int, int] = (0, 0)
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    code_version: str = CODE_VERSION

    def to_json(self) -> str:
        """Canonical JSON (sorted keys, no spaces): what is hashed and what is stored with a proposal."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> RunSpec:
        """Inverse of `to_json`; unknown fields raise TypeError."""
        data = json.loads(text)
        data["input_wh"] = tuple(data["input_wh"])
        return RunSpec(**data)

    @property
    def labels(self) -> int:
        """Labelled instances that the run learned from; 0 where it does not say."""
        named = self.settings.get("exemplars")
        return int(self.settings.get("labelled", len(named) if isinstance(named, list) else 0))

    def fingerprint(self) -> str:
        """20 hex digits of the SHA-256 of `to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:20]
