"""Shared basis and packed maps: cosines survive, search finds what a plain search finds, files heal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kinmark.engine.domain.errors import ModelCorruptError, UserInputError
from kinmark.engine.features.compress import SharedBasis
from kinmark.engine.features.fusion import kernel_scores
from kinmark.engine.features.packed import INDEX, MAPS, PackedMaps, PackedPart, search_parts


def _maps(count: int, seed: int = 0, channels: int = 48, rank: int = 12) -> list[torch.Tensor]:
    """Feature maps that live near a `rank`-dimensional subspace, as real ones do."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn((channels, rank), generator=torch.Generator().manual_seed(99))
    return [
        (mixing @ torch.randn((rank, 80), generator=generator)).view(channels, 8, 10)
        + 0.02 * torch.randn((channels, 8, 10), generator=generator)
        for _ in range(count)
    ]


@pytest.fixture
def basis() -> SharedBasis:
    return SharedBasis.fit(_maps(10), 16, "recipe")


def test_basis_keeps_cosines(basis: SharedBasis) -> None:
    assert basis.dims == 16 and basis.kept > 0.99
    a, b = (m.flatten(1) for m in _maps(2, seed=5))
    full = torch.nn.functional.cosine_similarity(a, b, dim=0)
    small = torch.nn.functional.cosine_similarity(basis.project(a), basis.project(b), dim=0)
    assert float((full - small).abs().max()) < 0.02


def test_basis_survives_its_file(basis: SharedBasis, tmp_path: Path) -> None:
    basis.save(tmp_path / "b.safetensors")
    again = SharedBasis.load(tmp_path / "b.safetensors")
    assert torch.equal(again.vectors, basis.vectors) and again.fingerprint == "recipe"
    (tmp_path / "b.safetensors").write_bytes(b"damaged")
    with pytest.raises(ModelCorruptError):
        SharedBasis.load(tmp_path / "b.safetensors")


def test_impossible_basis() -> None:
    with pytest.raises(UserInputError):
        SharedBasis.fit([], 4)
    with pytest.raises(UserInputError):
        SharedBasis.fit(_maps(1), 49)


def test_search_finds_what_a_plain_search_finds(basis: SharedBasis, tmp_path: Path) -> None:
    maps = _maps(30, seed=7)
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append([f"i{k}" for k in range(20)], maps[:20])
    store.append([f"i{k}" for k in range(20, 30)], maps[20:])
    queries = torch.stack([maps[3][:, 2, 5], maps[17][:, 7, 0], maps[29][:, 0, 9]])
    hits = PackedMaps.open(tmp_path / "p").search(queries)
    assert hits.image_ids[29] == "i29" and hits.cells_xy.shape == (30, 3, 2)
    assert tuple(hits.cells_xy[3, 0]) == (5, 2) and tuple(hits.cells_xy[17, 1]) == (0, 7)
    assert tuple(hits.cells_xy[29, 2]) == (9, 0)
    plain = torch.stack([torch.nn.functional.normalize(m.flatten(1), dim=0) for m in maps])
    cosine = torch.nn.functional.normalize(queries, dim=1) @ plain
    agreement = (cosine.argmax(-1).numpy() == hits.cells_xy[..., 1] * 10 + hits.cells_xy[..., 0]).mean()
    assert agreement > 0.95
    assert np.abs(cosine.max(-1).values.numpy() - hits.scores).max() < 0.03


def test_both_products_agree(basis: SharedBasis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maps = _maps(6, seed=3)
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append([str(k) for k in range(6)], maps)
    queries = torch.stack([m[:, 1, 2] for m in maps])
    fast = store.search(queries)
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    plain = store.search(queries)
    assert np.abs(fast.scores - plain.scores).max() < 0.02
    assert (fast.cells_xy == plain.cells_xy).all(-1).mean() > 0.9


def test_half_written_append_is_forgotten(basis: SharedBasis, tmp_path: Path) -> None:
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append(["a"], _maps(1, seed=1))
    with (tmp_path / "p" / MAPS).open("ab") as file:
        file.write(b"half a map")
    again = PackedMaps.open(tmp_path / "p")
    again.append(["b"], _maps(1, seed=2))
    query = _maps(1, seed=2)[0][:, 4, 4][None]
    hits = PackedMaps.open(tmp_path / "p").search(query)
    assert hits.image_ids == ("a", "b") and tuple(hits.cells_xy[1, 0]) == (4, 4)


@pytest.mark.parametrize("damage", ["cut", "index", "no index"])
def test_damage_is_named(basis: SharedBasis, tmp_path: Path, damage: str) -> None:
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append(["a"], _maps(1))
    if damage == "cut":
        (tmp_path / "p" / MAPS).write_bytes(b"x")
    elif damage == "index":
        (tmp_path / "p" / INDEX).write_text("{", encoding="utf-8")
    else:
        (tmp_path / "p" / INDEX).unlink()
    with pytest.raises(ModelCorruptError, match="packed features"):
        PackedMaps.open(tmp_path / "p")


def test_empty_store_and_other_grids(basis: SharedBasis, tmp_path: Path) -> None:
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    assert store.search(torch.randn(2, 48)).scores.shape == (0, 2)
    with pytest.raises(UserInputError, match="maps of"):
        store.append(["a"], [torch.randn(48, 4, 4)])


def test_parts_are_fused_as_in_matching(basis: SharedBasis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = _maps(9, seed=11), _maps(9, seed=12)
    names = [str(k) for k in range(9)]
    stores = []
    for place, maps in (("a", first), ("b", second)):
        stores.append(PackedMaps.create(tmp_path / place, basis, (10, 8)))
        stores[-1].append(names, maps)
    # Blocks of two photos: the parts must walk in step.
    monkeypatch.setattr("kinmark.engine.features.packed.BLOCK_BYTES", 2 * stores[0].bytes_per_map)
    queries = [torch.stack([m[k][:, 2, 5] for k in (3, 7)]) for m in (first, second)]
    hits = search_parts([PackedPart(stores[0], 0.6), PackedPart(stores[1], 0.4, 0.1)], queries)
    unit = torch.nn.functional.normalize
    wanted = torch.zeros(9, 2, 80)
    for maps, asked, share, width in ((first, queries[0], 0.6, 0.0), (second, queries[1], 0.4, 0.1)):
        cosines = unit(asked, dim=1) @ torch.stack([unit(m.flatten(1), dim=0) for m in maps])
        wanted += share * (kernel_scores(cosines, width) if width else cosines)
    assert tuple(hits.cells_xy[3, 0]) == (5, 2) and tuple(hits.cells_xy[7, 1]) == (5, 2)
    cells = hits.cells_xy[..., 1] * 10 + hits.cells_xy[..., 0]
    assert (cells == wanted.argmax(-1).numpy()).mean() > 0.85
    assert np.abs(hits.scores - wanted.max(-1).values.numpy()).max() < 0.1
    stores[1].image_ids = names[::-1]
    with pytest.raises(UserInputError, match="same photos"):
        search_parts([PackedPart(stores[0], 0.6), PackedPart(stores[1], 0.4)], queries)


def test_only_some_rows_are_looked_at_in_the_order_asked(basis: SharedBasis, tmp_path: Path) -> None:
    maps = _maps(9, seed=12)
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append([f"i{k}" for k in range(9)], maps)
    queries = torch.stack([maps[4].flatten(1)[:, 13], maps[7].flatten(1)[:, 21]])
    whole = search_parts([PackedPart(store, 1.0)], [queries])
    rows = np.array([7, 2, 4])
    some = search_parts([PackedPart(store, 1.0)], [queries], only=rows)
    assert some.image_ids == ("i7", "i2", "i4")
    assert np.array_equal(some.cells_xy, whole.cells_xy[rows]) and np.allclose(some.scores, whole.scores[rows])


def test_what_is_cut_is_overwritten(basis: SharedBasis, tmp_path: Path) -> None:
    maps = _maps(4, seed=13)
    store = PackedMaps.create(tmp_path / "p", basis, (10, 8))
    store.append(["a", "b", "c"], maps[:3])
    store.cut(1)
    store.append(["d"], maps[3:])
    again = PackedMaps.open(tmp_path / "p")
    assert again.image_ids == ["a", "d"]
    hits = again.search(maps[3].flatten(1)[:, 17][None])
    assert tuple(hits.cells_xy[1, 0]) == (7, 1) and hits.scores[1, 0] > 0.95
