"""The window's engine, lent to work that closes the engine it was given."""

from __future__ import annotations

from typing import Any


class Lent:
    """Engine thread. Hands the calls on; closing it leaves the window's engine open."""

    def __init__(self, engine: Any) -> None:
        self.photo_vectors = engine.photo_vectors

    def close(self) -> None:
        """The window closes its engine itself."""
