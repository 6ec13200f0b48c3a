"""Stacks: near-duplicates (pictures that show one moment) lie on top of each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from kinmark.desktop.io.looks import Look, same_moment
from kinmark.desktop.widgets.crop_grid import CropCard

LookOf = Callable[[CropCard], Look | None]


def alike(a: CropCard, b: CropCard, look_of: LookOf) -> bool:
    """Shots of one moment, by their pictures and times; never two things on one photo, and never before both were seen."""
    if a.image_id == b.image_id or a.path.parent != b.path.parent:
        return False
    first, second = look_of(a), look_of(b)
    return first is not None and second is not None and same_moment(first, second)


def stacked(cards: tuple[CropCard, ...], look_of: LookOf) -> tuple[CropCard, ...]:
    """Cards with near-duplicates folded under the most alike one, whose `below` names them."""
    stacks: list[list[CropCard]] = []
    for card in cards:
        home = next((s for s in stacks if alike(s[0], card, look_of)), None)
        if home is None:
            stacks.append([card])
        else:
            home.append(card)
    return tuple(replace(s[0], stack=len(s), below=tuple(c.key for c in s[1:])) for s in stacks)
