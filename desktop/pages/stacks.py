"""Stacks: near-duplicates (neighbouring files with almost the same likeness and place) lie on top of each other."""

from __future__ import annotations

from dataclasses import replace

from desktop.widgets.crop_grid import CropCard
from engine.domain.geometry import box_iou

LIKENESS_GAP = 0.03
OVERLAP = 0.6


def alike(a: CropCard, b: CropCard) -> bool:
    """Shots of one moment: same folder, nearly equal likeness, the thing at nearly the same place."""
    if a.path.parent != b.path.parent or a.likeness is None or b.likeness is None:
        return False
    return abs(a.likeness - b.likeness) <= LIKENESS_GAP and box_iou(a.box, b.box) >= OVERLAP


def stacked(cards: tuple[CropCard, ...], members_of: int | None = None) -> tuple[CropCard, ...]:
    """Cards with near-duplicates folded under the most alike one; `members_of`: only the stack of that card, unfolded."""
    stacks: list[list[CropCard]] = []
    for card in cards:
        home = next((s for s in stacks if alike(s[0], card)), None)
        if home is None:
            stacks.append([card])
        else:
            home.append(card)
    if members_of is not None:
        return tuple(next((s for s in stacks if s[0].key == members_of), ()))
    return tuple(replace(s[0], stack=len(s)) for s in stacks)
