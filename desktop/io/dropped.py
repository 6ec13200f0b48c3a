"""What was dropped on a window: tens of thousands of files are turned into paths where nobody waits for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from PySide6.QtCore import QUrl


class Dropped:
    """Local files and folders among `urls`, in their order. Any thread; holds values only."""

    def __init__(self, urls: Sequence[QUrl]) -> None:
        self._urls = urls

    def first(self, count: int) -> list[Path]:
        """The first `count` of them."""
        return list(islice(self, count))

    def __iter__(self) -> Iterator[Path]:
        return (Path(url.toLocalFile()) for url in self._urls if url.isLocalFile())
