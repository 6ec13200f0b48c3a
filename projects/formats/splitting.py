"""Splits of a data set: seeded, by group, so that no group stands on both sides (docs/reference/formats.md, splits).

A group is whatever must stay together: a folder, an identity, a set of near-duplicates. The assignment depends on the
group's name and the seed only through a seeded shuffle of all groups, largest share first filled.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from kinmark.engine.domain.texts import said
from kinmark.projects.formats.dataset import Dataset, Report

SPAIR_SPLITS = ("trn", "val", "test")
_TO_SPAIR = {
    "train": "trn",
    "trn": "trn",
    "training": "trn",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_MIN_FOR_SPLIT = 6


def assign_groups(
    members: Mapping[Hashable, int], shares: Mapping[str, float], seed: int, minimum: int = 0
) -> dict[Hashable, str]:
    """Assign whole groups to splits so that sizes come close to the shares.

    Args:
        members: group -> number of images in it.
        shares: split -> share (any positive scale).
        seed: of the shuffle; the same groups and seed give the same answer.
        minimum: images that every split gets first, as far as the groups allow.
    """
    total = sum(shares.values())
    goal = {name: share / total * sum(members.values()) for name, share in shares.items() if share > 0}
    names = list(goal)
    order = sorted(members, key=str)
    np.random.default_rng(seed).shuffle(order)  # type: ignore[arg-type]
    order.sort(key=lambda g: -members[g])  # stable: large groups first fit best, equal ones stay shuffled
    filled = dict.fromkeys(goal, 0)
    result: dict[Hashable, str] = {}
    for group in order:
        hungry = [s for s in goal if filled[s] < minimum]
        # Equally hungry: the later one of the shares, usually "test", which is worth most when there is little.
        split = max(hungry or goal, key=lambda s: (round(goal[s] - filled[s], 9), names.index(s)))
        result[group] = split
        filled[split] += members[group]
    return result


def spair_split(name: str) -> str | None:
    """SPair's word for a split name, None when it is not one of the usual three."""
    return _TO_SPAIR.get(name.strip().lower())


def _say_unknown(dataset: Dataset, fallback: str, report: Report) -> None:
    """Splits of other names than the usual three; where some photos have one, those without any."""
    known = [spair_split(i.split) for i in dataset.images]
    for name in dict.fromkeys(i.split for i in dataset.images if i.split and spair_split(i.split) is None):
        report.add("changed", said("split {0}", name), "the format knows train, val and test: taken as without a split")
    bare = [i for i in dataset.images if not i.split]
    if bare and any(known):
        what = "photo without a split"
        report.count("changed", what, str(bare[0].rel_path), said("it goes to {0}", fallback), len(bare))


def split_images(
    dataset: Dataset,
    categories: Sequence[str],
    seed: int,
    report: Report,
    group_of: Callable[[PurePosixPath], Hashable] | None = None,
) -> dict[str, dict[PurePosixPath, str]]:
    """trn/val/test of every image per category.

    Splits that the data set has are kept; images without one go to trn when others have one. When no image has a split,
    images are divided 60/20/20 with the seed, or all go to test where a category has fewer than six images.
    """
    result: dict[str, dict[PurePosixPath, str]] = {}
    has_splits = any(spair_split(image.split) for image in dataset.images)
    _say_unknown(dataset, SPAIR_SPLITS[0], report)
    for category in categories:
        paths = [i.rel_path for i in dataset.images if any(n.category == category for n in i.instances)]
        if has_splits:
            own = {i.rel_path: spair_split(i.split) for i in dataset.images}
            result[category] = {p: own[p] or "trn" for p in paths}
        elif len(paths) < _MIN_FOR_SPLIT:
            result[category] = dict.fromkeys(paths, "test")
            if paths:
                report.add(
                    "changed",
                    said("category {0}", category),
                    said("only %n images and no split: all go to test", n=len(paths)),
                )
        else:
            groups = {p: (group_of(p) if group_of else p) for p in paths}
            sizes: dict[Hashable, int] = {}
            for group in groups.values():
                sizes[group] = sizes.get(group, 0) + 1
            splits = assign_groups(sizes, {"trn": 0.6, "val": 0.2, "test": 0.2}, seed, minimum=2)
            result[category] = {p: splits[groups[p]] for p in paths}
            report.add(
                "changed",
                said("category {0}", category),
                said("no split was set: divided 60/20/20 with seed {0}", seed),
            )
    return result


def simple_splits(dataset: Dataset, names: Sequence[str], seed: int, report: Report) -> dict[PurePosixPath, str]:
    """train/val/test of every image for formats that need splits; `names` are the allowed ones, first = the default.

    Splits that the data set has are kept. Without any, a tenth (at least one image of ten) becomes "val" by seeded choice.
    """
    known = {"trn": "train", "val": "val", "test": "test"}
    own = {i.rel_path: known.get(spair_split(i.split) or "", "") for i in dataset.images}
    _say_unknown(dataset, names[0], report)
    if any(own.values()):
        return {path: split if split in names else names[0] for path, split in own.items()}
    if len(own) < 10 or len(names) < 2:
        return dict.fromkeys(own, names[0])
    splits = assign_groups({str(p): 1 for p in own}, {names[0]: 0.9, names[1]: 0.1}, seed, minimum=1)
    report.add("changed", "splits", said("no split was set: a tenth goes to {0} (seed {1})", names[1], seed))
    return {path: splits[str(path)] for path in own}
