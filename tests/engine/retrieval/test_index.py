"""The vector index: right after adds, replacements, deletes, saving, damage and a kill; exact about what it holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kinmark.engine.retrieval.index import BLOCK_ROWS, TABLE_FILE, VECTORS_PATTERN, VectorIndex


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
    np.testing.assert_allclose([n.similarity for n in found], np.sort(exact)[::-1][:10], atol=1e-6)


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
    np.testing.assert_allclose([n.similarity for n in found], [s for s, _ in expected], atol=1e-6)


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


def vector_file(folder):
    [path] = folder.glob(VECTORS_PATTERN)
    return path


@pytest.mark.parametrize("damage", ["truncate", "missing", "table", "other format"])
def test_a_damaged_index_counts_as_empty(tmp_path, damage, caplog):
    filled(tmp_path, vectors(20)).save()
    if damage == "truncate":
        vector_file(tmp_path).write_bytes(vector_file(tmp_path).read_bytes()[:-4])
    elif damage == "missing":
        vector_file(tmp_path).unlink()
    elif damage == "table":
        (tmp_path / TABLE_FILE).write_bytes(b"not an archive")
    else:
        np.savez(tmp_path / TABLE_FILE, ids=[1], rows=[1], hashes=["a"], card=np.array('{"fingerprint": "spec-1"}'))
    index = VectorIndex(tmp_path, "spec-1")
    assert len(index) == 0 and index.search(vectors(1)[0], 3) == []
    assert damage == "other format" or "built again" in caplog.text
    index.put(1, "a", vectors(1)[0])
    index.save()
    assert len(VectorIndex(tmp_path, "spec-1")) == 1 and vector_file(tmp_path)


def test_bad_vectors_are_refused(tmp_path):
    index = filled(tmp_path, vectors(3))
    with pytest.raises(ValueError, match="length"):
        index.put(9, "x", np.ones((1, 5), np.float32))
    with pytest.raises(ValueError, match="finite"):
        index.put(9, "x", np.full((1, 24), np.nan, np.float32))
    with pytest.raises(ValueError, match="length"):
        index.search(np.ones((1, 3), np.float32), 2)
    assert 9 not in index and index.search(vectors(1)[0], 0) == []


def test_a_save_appends_and_closes_gaps_when_they_are_many(tmp_path):
    table = vectors(20)
    index = filled(tmp_path, table)
    index.save()
    first = vector_file(tmp_path)
    index.put(20, "new", -table[0])
    index.remove([0])
    index.save()
    assert vector_file(tmp_path) == first and first.stat().st_size == 21 * 24 * 4
    index.remove(range(1, 10))
    index.put(21, "new", -table[1])
    index.save()
    assert vector_file(tmp_path) != first and vector_file(tmp_path).stat().st_size == 12 * 24 * 4
    again = VectorIndex(tmp_path, "spec-1")
    assert [again.search(table[i], 1)[0].image_id for i in range(10, 20)] == list(range(10, 20))
    assert [again.search(-table[i], 1)[0].image_id for i in (0, 1)] == [20, 21]


def test_a_kill_between_vectors_and_table_leaves_the_former_state(tmp_path, monkeypatch):
    table = vectors(12)
    filled(tmp_path, table).save()
    index = VectorIndex(tmp_path, "spec-1")
    index.put(30, "new", -table[3])
    monkeypatch.setattr(VectorIndex, "_write_table", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        index.save()
    monkeypatch.undo()
    again = VectorIndex(tmp_path, "spec-1")
    assert len(again) == 12 and 30 not in again
    again.put(31, "new", -table[4])
    again.save()
    last = VectorIndex(tmp_path, "spec-1")
    assert last.search(-table[4], 1)[0].image_id == 31 and last.search(table[3], 1)[0].image_id == 3


def test_more_rows_than_one_block_and_ties_by_id(tmp_path):
    index = VectorIndex(tmp_path, "f")
    count = BLOCK_ROWS // 8 + 10
    for image_id in reversed(range(count)):
        index.put(image_id, "s", np.tile(np.array([[1.0, 0.0]], np.float32), (8, 1)))
    index.put(count, "s", np.array([[0.0, 1.0], [0.6, 0.8]], np.float32))
    assert [n.image_id for n in index.search(np.array([[0.0, 1.0]], np.float32), 1)] == [count]
    assert [n.image_id for n in index.search(np.array([[1.0, 0.0]], np.float32), 3)] == [0, 1, 2]


def test_a_distinctive_search_passes_by_what_all_photos_share(tmp_path):
    """Each identity is a small direction of its own beside large ones that all photos share."""
    rng = np.random.default_rng(3)
    own = rng.normal(size=(40, 24))
    shared = rng.normal(size=(3, 24))
    who = np.repeat(np.arange(40), 5)
    table = own[who] + 0.3 * rng.normal(size=(200, 24)) + rng.normal(size=(200, 3)) @ shared + 1
    table = (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)
    index = filled(tmp_path, table[:, None])

    def kept(**options):
        hits = [{n.image_id for n in index.search(table[i], 20, **options)} - {i} for i in range(200)]
        return float(np.mean([np.mean([who[j] == who[i] for j in range(200) if j in hits[i]]) for i in range(200)]))

    before = kept(distinctive=True)
    assert before > 1.1 * kept()
    index.save()
    assert kept(distinctive=True) == pytest.approx(before)  # mapped rows give the same
    index.remove(range(1, 200))
    assert [n.image_id for n in index.search(table[0], 9, distinctive=True)] == [0]
    index.clear()
    assert index.search(table[0], 9, distinctive=True) == []


def test_few_rows_are_searched_as_they_are(tmp_path):
    table = vectors(20)
    index = filled(tmp_path, table)
    assert index.search(table[4], 5, distinctive=True) == index.search(table[4], 5)
