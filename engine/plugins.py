"""What other installed packages add: formats, descriptors, backbones and pipelines by entry points. A broken one is named and left out.

A package names its objects in groups of its metadata; they are imported when that kind of thing is first asked for.
`KINMARK_PLUGINS=off` leaves all of them out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from kinmark.engine.domain.errors import AppError

log = logging.getLogger(__name__)
T = TypeVar("T")

FORMATS, DESCRIPTORS, BACKBONES = "kinmark.formats", "kinmark.descriptors", "kinmark.backbones"
PIPELINES = "kinmark.pipelines"
GROUPS = (FORMATS, DESCRIPTORS, BACKBONES, PIPELINES)
SWITCH = "KINMARK_PLUGINS"


@dataclass(frozen=True)
class PluginProblem:
    """An entry that was left out: its group and name, the package it came with, and why."""

    group: str
    name: str
    package: str
    reason: str

    def __str__(self) -> str:
        kind = self.group.rpartition(".")[2].removesuffix("s")
        return f"The {kind} plug-in {self.name} of the package {self.package} is left out: {self.reason}"


_problems: list[PluginProblem] = []


@cache
def _entries(group: str) -> tuple[EntryPoint, ...]:
    if os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
        return ()
    return tuple(sorted(entry_points(group=group), key=lambda entry: entry.name))


def load(group: str, kind: type[T], name_of: Callable[[T], str], taken: frozenset[str]) -> dict[str, T]:
    """The objects of a group by their own names. What cannot be used is left out and noted in `problems`.

    Args:
        kind: what an entry must be.
        name_of: the object's name, which must be that of the entry.
        taken: names that the program has itself; a plug-in cannot replace these.
    """
    found: dict[str, T] = {}
    for entry in _entries(group):
        reason, made = "", None
        try:
            made = entry.load()
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises, the others must go on
            reason = error.user_message if isinstance(error, AppError) else f"{type(error).__name__}: {error}"
        if not reason and not isinstance(made, kind):
            reason = f"{entry.value} is no {kind.__name__} but {type(made).__name__}"
        elif not reason and isinstance(made, kind) and name_of(made) != entry.name:
            reason = f'its object is called "{name_of(made)}"'
        elif entry.name in taken or entry.name in found:
            reason = reason or "the name is taken"
        if reason or not isinstance(made, kind):
            _note(PluginProblem(group, entry.name, _package(entry), reason))
        else:
            found[entry.name] = made
    return found


class Table(Mapping[str, T]):
    """Objects by name: the program's own, and those of plug-ins, which are imported when a name that is not ours, or all, are asked for."""

    def __init__(self, group: str, kind: type[T], ours: Iterable[T], name_of: Callable[[T], str]) -> None:
        self._group, self._kind, self._name_of = group, kind, name_of
        self._ours = {name_of(one): one for one in ours}

    @cached_property
    def _all(self) -> dict[str, T]:
        return self._ours | load(self._group, self._kind, self._name_of, frozenset(self._ours))

    def __getitem__(self, name: str) -> T:
        return self._ours[name] if name in self._ours else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown"


def _note(problem: PluginProblem) -> None:
    if problem not in _problems:
        _problems.append(problem)
        log.warning("%s", problem)


def problems() -> tuple[PluginProblem, ...]:
    """What was left out so far, of the kinds that were asked for."""
    return tuple(_problems)


def installed() -> tuple[tuple[str, str, str], ...]:
    """(group, name, package) of every entry, without importing any."""
    return tuple((group, entry.name, _package(entry)) for group in GROUPS for entry in _entries(group))


def forget() -> None:
    """Look again at the next call (after something was installed; for tests)."""
    _entries.cache_clear()
    _problems.clear()
