"""Things kept in memory up to a number of bytes: what nobody asked for longest goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, ValuesView
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Not thread-safe. The newest one stays however large it is.

    Args:
        most_bytes: of all together.
        size: bytes of one.
    """

    def __init__(self, most_bytes: int, size: Callable[[V], int]) -> None:
        self._most_bytes, self._size = most_bytes, size
        self._items: OrderedDict[K, V] = OrderedDict()
        self._bytes = 0

    def get(self, key: K) -> V | None:
        """What was put under the key, if it is still there."""
        found = self._items.get(key)
        if found is not None:
            self._items.move_to_end(key)
        return found

    def put(self, key: K, value: V) -> V:
        """Keep it, let others go for it, and give it back."""
        self._drop(key)
        self._items[key] = value
        self._bytes += self._size(value)
        while self._bytes > self._most_bytes and len(self._items) > 1:
            self._drop(next(iter(self._items)))
        return value

    def _drop(self, key: K) -> None:
        if key in self._items:
            self._bytes -= self._size(self._items.pop(key))

    def values(self) -> ValuesView[V]:
        """Longest not asked for first."""
        return self._items.values()

    def clear(self) -> None:
        """Forget everything."""
        self._items.clear()
        self._bytes = 0
