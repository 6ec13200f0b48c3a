"""Categories told apart by deep cells: each thing speaks for its own, two things for both, and doubt leaves nothing out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kinmark.engine.regions.categories import CLEAR, HERE, HERE_IN_DOUBT, CategoryCells, PhotoCells, Whitening

RED, BLUE, GREEN = (220, 30, 30), (30, 60, 220), (40, 200, 60)
SIDE, CELLS = 200, 10


def photo(*balls: tuple[tuple[int, int, int], int], ground: int = 110, seed: int = 0) -> PhotoCells:
    """Balls (colour, x) on a noisy ground; a cell is a patch's colours, the head answers to what is not grey."""
    rng = np.random.default_rng(seed)
    rgb = np.clip(rng.normal(ground, 12, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    for colour, x in balls:
        cv2.circle(rgb, (x, 100), 32, colour, -1)
    small = cv2.resize(rgb, (CELLS, CELLS), interpolation=cv2.INTER_AREA).astype(np.float32).transpose(2, 0, 1) / 255
    spread = small.max(axis=0) - small.min(axis=0)
    last = np.concatenate([small - small.mean(axis=0), 0.2 * small, 0.1 * rng.normal(size=(6, CELLS, CELLS))])
    return PhotoCells.of(last.astype(np.float32), spread**2)


def labelled(colour: tuple[int, int, int], seed: int) -> list[np.ndarray]:
    found = photo((colour, 100), seed=seed)
    return [found.unit[found.inside((68, 68, 132, 132), (SIDE, SIDE))]]


@pytest.fixture(scope="module")
def known() -> CategoryCells:
    collection = [
        photo((colour, 60 + 20 * i), ground=90 + 10 * i, seed=50 + i) for i, colour in enumerate((RED, BLUE, RED, BLUE))
    ]
    return CategoryCells([labelled(RED, 1), labelled(BLUE, 2)], collection)


def test_one_thing_speaks_for_its_own_category_alone(known: CategoryCells) -> None:
    assert known.here_from == HERE
    for seed, (colour, own) in enumerate(((RED, 0), (BLUE, 1), (RED, 0))):
        shares = known.shares(photo((colour, 80 + 20 * seed), ground=80 + 20 * seed, seed=seed))
        assert int(shares.argmax()) == own and shares[1 - own] < CLEAR * shares[own]
        assert list(known.here(shares)) == [own == 0, own == 1]


def test_two_things_in_different_places_both_stay(known: CategoryCells) -> None:
    assert known.here(known.shares(photo((RED, 50), (BLUE, 150), seed=9))).all()


def test_where_nothing_speaks_for_any_all_are_asked(known: CategoryCells) -> None:
    assert known.here(np.zeros(2, np.float32)).all()


def test_categories_that_look_alike_are_left_in() -> None:
    """Left and right of one thing: no photo is free of doubt, so only what has no share at all is left out."""
    collection = [photo((RED, 60 + 10 * i), seed=70 + i) for i in range(6)]
    alike = CategoryCells([labelled(RED, 1), labelled(RED, 2)], collection)
    assert alike.here_from == HERE_IN_DOUBT
    assert all(alike.here(alike.shares(p)).all() for p in collection)


def test_photos_without_doubt_lend_their_cells() -> None:
    """An orange ball is between; after clear photos of redder and redder balls it belongs to the red ones more than before."""
    steps = [photo(((200, 60 + 20 * i, 30), 100), seed=80 + i) for i in range(3)]
    plain = CategoryCells([labelled(RED, 1), labelled(BLUE, 2)], [])
    taught = CategoryCells([labelled(RED, 1), labelled(BLUE, 2)], steps)
    asked = photo(((205, 110, 30), 100), seed=90)

    def part(found: CategoryCells) -> float:
        shares = found.shares(asked)
        return float(shares[0] / shares.sum())

    assert part(taught) > part(plain)


def test_cells_of_a_box_are_those_that_lie_in_it_by_half() -> None:
    cells = PhotoCells.of(np.ones((3, 5, 9), np.float32), np.ones((5, 9), np.float32))
    left = cells.inside((0, 0, 50, 60), (100, 60)).reshape(5, 9)
    assert left[:, :4].all() and not left[:, 5:].any()
    assert cells.inside((48, 28, 50, 30), (100, 60)).sum() >= 1, "however small it is, one cell shows it"
    assert cells.weights.sum() == pytest.approx(1)


def test_whitening_gives_unit_rows_also_for_equal_cells() -> None:
    same = PhotoCells.of(np.ones((4, 3, 3), np.float32), np.zeros((3, 3), np.float32))
    rows = Whitening.fit([same]).of(same.unit)
    assert np.isfinite(rows).all() and (np.linalg.norm(rows, axis=1) <= 1 + 1e-5).all()


def test_green_is_nobodys_and_leaves_both(known: CategoryCells) -> None:
    shares = known.shares(photo((GREEN, 100), seed=11))
    assert known.here(shares).any()
