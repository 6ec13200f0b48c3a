"""The vector index: right after adds, replacements, deletes, saving, damage and a kill; exact about what it holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.retrieval.index import INDEX_FILE, TABLE_FILE, VectorIndex


def vectors(count, rows=1, dims=24, seed=0):
    table = np.random.default_rng(seed).normal(size=(count, rows, dims)).astype(np.float32)
    return table / np.linalg.norm(table, axis=2, keepdims=True)


def filled(folder, table):
    index = VectorIndex(folder, "spec-1")
    for image_id, rows in enumerate(table):
        index.put(image_id, f"sha{image_id}", rows)
    return index


def test_search_agrees_with_the_exhaustive_ranking(tmp_path):
    table = vectors(400, rows=3)
    index = filled(tmp_path, table)
    query = vectors(1, rows=2, seed=5)[0]
    exact = (table @ query.T).max(axis=(1, 2))
    found = index.search(query, 10)
    assert [n.image_id for n in found] == np.argsort(-exact)[:10].tolist()
    np.testing.assert_allclose([n.similarity for n in found], np.sort(exact)[::-1][:10], atol=2e-3)


def test_deleted_and_replaced_photos_are_never_named(tmp_path):
    table = vectors(60, rows=2)
    index = filled(tmp_path, table)
    assert index.remove([3, 4, 999]) == 2
    index.put(5, "changed", -table[5][:1])
    for target in (3, 4):
        assert target not in [n.image_id for n in index.search(table[target], 60)]
    assert index.search(-table[5][:1], 1)[0].image_id == 5
    assert next(n for n in index.search(table[5], 60) if n.image_id == 5).similarity < 0.5
    assert len(index) == 58


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["put", "remove", "save"]), st.integers(0, 12)), max_size=40))
def test_any_sequence_of_changes_leaves_exactly_what_a_dictionary_holds(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("index")
    index, model = VectorIndex(folder, "f"), {}
    for number, (what, image_id) in enumerate(steps):
        if what == "put":
            rows = vectors(1, rows=1 + number % 3, dims=8, seed=number)[0]
            index.put(image_id, str(number), rows)
            model[image_id] = rows
        elif what == "remove":
            assert index.remove([image_id]) == (model.pop(image_id, None) is not None)
        else:
            index.save()
            index = VectorIndex(folder, "f")
    query = vectors(1, dims=8, seed=99)[0]
    expected = sorted(((float((rows @ query.T).max()), i) for i, rows in model.items()), reverse=True)
    found = index.search(query, 20)
    assert {n.image_id for n in found} == set(model)
    np.testing.assert_allclose([n.similarity for n in found], [s for s, _ in expected], atol=5e-3)


def test_saving_and_memory_mapped_reading(tmp_path):
    table = vectors(50)
    filled(tmp_path, table).save()
    for read_only in (False, True):
        again = VectorIndex(tmp_path, "spec-1", read_only=read_only)
        assert len(again) == 50 and again.search(table[7], 1)[0].image_id == 7
    with pytest.raises(ValueError, match="read-only"):
        again.save()
    assert len(VectorIndex(tmp_path, "other-spec")) == 0


def test_what_changed_in_the_collection_is_seen(tmp_path):
    index = filled(tmp_path, vectors(4))
    changed, gone = index.stale({0: "sha0", 1: "new", 2: "sha2", 9: "sha9"})
    assert (changed, gone) == ([1, 9], [3])


@pytest.mark.parametrize("damage", ["truncate", "missing", "table", "swap"])
def test_a_damaged_index_counts_as_empty(tmp_path, damage, caplog):
    filled(tmp_path, vectors(20)).save()
    if damage == "truncate":
        (tmp_path / INDEX_FILE).write_bytes((tmp_path / INDEX_FILE).read_bytes()[:200])
    elif damage == "missing":
        (tmp_path / INDEX_FILE).unlink()
    elif damage == "table":
        (tmp_path / TABLE_FILE).write_bytes(b"not an archive")
    else:
        other = filled(tmp_path / "other", vectors(9))
        other.save()
        (tmp_path / "other" / INDEX_FILE).replace(tmp_path / INDEX_FILE)
    index = VectorIndex(tmp_path, "spec-1")
    assert len(index) == 0 and index.search(vectors(1)[0], 3) == []
    assert "built again" in caplog.text
    index.put(1, "a", vectors(1)[0])
    assert len(index) == 1


def test_bad_vectors_are_refused(tmp_path):
    index = filled(tmp_path, vectors(3))
    with pytest.raises(ValueError, match="length"):
        index.put(9, "x", np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="finite"):
        index.put(9, "x", np.full((1, 24), np.nan, np.float32))
    with pytest.raises(ValueError, match="length"):
        index.search(np.ones((1, 3), np.float32), 2)
    assert 9 not in index and index.search(vectors(1)[0], 0) == []


def test_wear_is_noticed(tmp_path):
    index = filled(tmp_path, vectors(20))
    assert not index.worn
    index.remove(range(10))
    assert index.worn
