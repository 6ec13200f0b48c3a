"""Splits: seeded, near the shares, and no folder, identity or near-duplicate on both sides."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kinmark.engine.domain.errors import UserInputError
from kinmark.projects.formats.splitting import assign_groups
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.splits import assign_splits
from tests.support.datasets import write_picture

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


@given(
    sizes=st.dictionaries(st.text(max_size=4), st.integers(1, 9), min_size=1, max_size=30),
    seed=st.integers(0, 5),
)
def test_groups_stay_whole_and_shares_are_met(sizes: dict[str, int], seed: int) -> None:
    first = assign_groups(dict(sizes), SHARES, seed)
    assert first == assign_groups(dict(reversed(sizes.items())), SHARES, seed)
    assert set(first) == set(sizes) and set(first.values()) <= set(SHARES)
    filled = Counter()
    for group, split in first.items():
        filled[split] += sizes[group]
    for split, share in SHARES.items():
        assert filled[split] <= share * sum(sizes.values()) + max(sizes.values())


@pytest.fixture
def project(tmp_path: Path):
    for number in range(12):
        write_picture(tmp_path / "photos" / f"day{number // 3}" / f"{number}.png", 40, 30, number)
    with Project.create(tmp_path / "p.kinmark") as opened:
        add_paths(opened, [tmp_path / "photos"])
        yield opened


def _splits(project: Project) -> dict[str, str]:
    splits = project.queries.splits()
    return {row.file_name: splits[row.id] for row in project.queries.iter_images()}


def test_folders_stay_together_and_undo_takes_it_back(project: Project) -> None:
    result = assign_splits(project, SHARES, by=("folder",), seed=1)
    assert result.groups == 4 and sum(result.counts.values()) == 12
    by_folder: dict[str, set[str]] = {}
    for name, split in _splits(project).items():
        by_folder.setdefault(name.split("/")[0], set()).add(split)
    assert all(len(found) == 1 for found in by_folder.values())
    project.undo()
    assert not project.queries.splits()


def test_the_seed_decides(project: Project) -> None:
    first = assign_splits(project, SHARES, by=(), seed=1, dry_run=True)
    assert first.assigned == assign_splits(project, SHARES, by=(), seed=1, dry_run=True).assigned
    assert first.assigned != assign_splits(project, SHARES, by=(), seed=2, dry_run=True).assigned
    assert first.changes is None and not project.queries.splits()
    assert first.counts == {"train": 7, "val": 2, "test": 3} or abs(first.counts["train"] - 7) <= 1


def test_identities_never_leak(project: Project) -> None:
    category = project.operations.add_category("otter").ids[0]
    rows = list(project.queries.iter_images())
    for number in range(3):
        identity = project.operations.add_identity(f"otter {number}", category).ids[0]
        for row in rows[number::3]:
            project.operations.add_instance(row.id, category, box=(1.0, 1.0, 5.0, 5.0), identity_id=identity)
    result = assign_splits(project, SHARES, by=("identity",), seed=0)
    assert result.groups == 3
    for number in range(3):
        assert len({result.assigned[row.id] for row in rows[number::3]}) == 1


def test_near_duplicates_stay_together(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    rng = np.random.default_rng(5)
    smooth = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize(
        (400, 300), Image.Resampling.BICUBIC
    )
    smooth.save(folder / "original.png")
    smooth.resize((200, 150)).save(folder / "smaller.jpg", quality=70)
    shutil.copyfile(folder / "original.png", folder / "copy.png")
    add_paths(project, [folder])
    result = assign_splits(project, SHARES, by=("duplicates",), seed=0, dry_run=True)
    names = {row.file_name: row.id for row in project.queries.iter_images()}
    assert len({result.assigned[names[n]] for n in ("original.png", "smaller.jpg", "copy.png")}) == 1
    assert result.largest_group == 3 and result.groups == 13


def test_what_cannot_be_asked_is_said(project: Project) -> None:
    with pytest.raises(UserInputError, match="positive"):
        assign_splits(project, {"train": -1.0})
    with pytest.raises(UserInputError, match="moon"):
        assign_splits(project, SHARES, by=("moon",))
