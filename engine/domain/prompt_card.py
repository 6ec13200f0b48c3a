"""The JSON card of a saved prompt: how it was made, for which backbone, and what it gained."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kinmark.engine.domain.errors import KnownError
from kinmark.engine.domain.texts import said

CARD_VERSION = 1
KINDS = ("single", "class", "hidden", "conditional", "point")
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
_MAX_CARD_BYTES = 4 << 20


class PromptFileError(KnownError):
    """A saved prompt is missing, damaged, or was made for another backbone."""


@dataclass(frozen=True)
class PromptCard:
    """What is known about a saved prompt.

    Attributes:
        id: folder name, ends with a hash of the weights.
        kind: one of `KINDS`; `category`: "" when it serves all.
        backbone, revision: what it was made for; another one is refused.
        tokens, width: learnable tokens and their width D (hidden states: the whole sequence).
        timestep, up_block, input_wh: of the features that it was trained on.
        source: "tuned", "optimised", "imported sd4match ..." in plain words.
        pairs, pairs_hash, images: training pairs (ids of the exemplars), SHA-256 over ids and keypoints.
        before, after, before_interval, after_interval: PCK@0.1 on held-out images (NaN = not measured), of the score alone.
        proposals: the figures of a sweep of proposals on the same images (`kinmark.engine.api.HeldOutFigures`); {} = not measured.
        heldout: how the held-out figure was obtained, in words.
        module: shape of the conditional module; patches: where its patch features come from.
        settings: everything else that decides the result (JSON-able).
    """

    id: str
    kind: str
    backbone: str
    revision: str
    category: str = ""
    tokens: int = 0
    width: int = 0
    timestep: int = 0
    up_block: int = 1
    input_wh: tuple[int, int] = (0, 0)
    source: str = "tuned"
    created: str = ""
    pairs: tuple[tuple[str, str], ...] = ()
    pairs_hash: str = ""
    images: tuple[str, ...] = ()
    before: float = math.nan
    after: float = math.nan
    before_interval: tuple[float, float] = (math.nan, math.nan)
    after_interval: tuple[float, float] = (math.nan, math.nan)
    proposals: dict[str, Any] = field(default_factory=dict)
    heldout: str = ""
    steps: int = 0
    seconds: float = 0.0
    seed: int = 0
    module: dict[str, Any] = field(default_factory=dict)
    patches: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    version: int = CARD_VERSION

    @property
    def gain(self) -> float:
        """`after - before` (NaN when not measured)."""
        return self.after - self.before

    @property
    def measured_better(self) -> bool:
        """What the tuning found (`settings["better"]`); of a card without it, whether its figure did not fall."""
        return bool(self.settings.get("better", not self.gain <= 0))

    def to_json(self) -> str:
        """Readable JSON; NaN is written as null."""
        return json.dumps(_without_nan(asdict(self)), indent=2, sort_keys=True, ensure_ascii=False)

    @staticmethod
    def from_json(text: str, where: str) -> PromptCard:
        """Parse and check; raises PromptFileError naming `where`."""
        damaged = PromptFileError(
            said("The prompt card {0} is damaged.", where), "Export the prompt again where it was made."
        )
        if len(text) > _MAX_CARD_BYTES:
            raise damaged
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            damaged.details = repr(error)
            raise damaged from None
        if not isinstance(data, dict):
            raise damaged
        if isinstance(data.get("version"), int) and data["version"] > CARD_VERSION:
            raise PromptFileError(
                said("The prompt {0} was made by a newer Kinmark.", where), "Update Kinmark to use it."
            )
        try:
            card = PromptCard(**{f.name: _parse(f.name, data[f.name]) for f in fields(PromptCard) if f.name in data})
        except (TypeError, ValueError, KeyError) as error:
            damaged.details = repr(error)
            raise damaged from None
        if card.kind not in KINDS or not _ID.fullmatch(card.id):
            raise damaged
        return card


_TEXT = {"id", "kind", "backbone", "revision", "category", "source", "created", "pairs_hash", "heldout", "patches"}
_NUMBERS = {"before", "after", "seconds"}
_INTEGERS = {"tokens", "width", "timestep", "up_block", "steps", "seed", "version"}


def valid_id(prompt_id: str) -> bool:
    """Whether `prompt_id` may be a folder name of a saved prompt."""
    return bool(_ID.fullmatch(prompt_id)) and ".." not in prompt_id


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _parse(name: str, value: Any) -> Any:
    """One field of a card from JSON; TypeError/ValueError when it has another type."""
    if name in _TEXT:
        if not isinstance(value, str):
            raise TypeError(f"{name} is not text")
        return value
    if name in _INTEGERS:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is not an integer")
        return value
    if name in _NUMBERS:
        return _number(value)
    if name in ("before_interval", "after_interval"):
        low, high = value
        return _number(low), _number(high)
    if name == "input_wh":
        width, height = value
        return int(width), int(height)
    if name == "pairs":
        return tuple((str(a), str(b)) for a, b in value)
    if name == "images":
        return tuple(str(v) for v in value)
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return value
