"""Mask and ranking measures against the reference vectors, scikit-learn and hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from kinmark.engine.evaluation import instance_metrics as m


def test_iou_ap_and_recall_equal_the_reference(reference_dir):
    with np.load(reference_dir / "pdm_features.npz", allow_pickle=False) as data:
        vectors = {k: data[k] for k in data.files}
    rows = [m.overlap(p, t) for p, t in zip(vectors["iou_pred"], vectors["iou_gt"], strict=True)]
    np.testing.assert_array_equal(rows, vectors["iou_inter_union_target"])
    assert m.pooled_iou(rows) == pytest.approx(float(vectors["iou_class"]), abs=1e-6)
    assert m.pooled_accuracy(rows) == pytest.approx(float(vectors["acc_class"]), abs=1e-6)
    labels = [vectors["ret_gallery_labels"] == q for q in vectors["ret_query_labels"]]
    ap = [m.average_precision(y, s) for y, s in zip(labels, vectors["ret_scores"], strict=True)]
    np.testing.assert_allclose(ap, vectors["ret_ap"], atol=1e-6)
    assert np.mean(ap) == pytest.approx(float(vectors["ret_map"]), abs=1e-6)
    for k in (1, 5, 10, 50):
        hits = [m.hit_at(y, s, k) for y, s in zip(labels, vectors["ret_scores"], strict=True)]
        assert np.mean(hits) == pytest.approx(float(vectors[f"ret_recall_at_{k}"]), abs=1e-6)


def test_ranking_measures_equal_scikit_learn_with_ties():
    rng = np.random.default_rng(0)
    for _ in range(20):
        labels = rng.random(30) < 0.3
        labels[:2] = True, False
        scores = rng.integers(0, 8, 30) / 8
        assert m.average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
        assert m.area_under_roc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(m.average_precision([False], [1.0])) and np.isnan(m.area_under_roc([True], [1.0]))


def test_boundary_iou_and_davis_measures():
    truth = np.zeros((60, 80), bool)
    truth[20:40, 20:60] = True
    moved = np.roll(truth, 1, axis=1)
    assert m.boundary_iou(truth, truth) == m.jaccard(truth, truth) == m.contour_f(truth, truth) == 1
    assert m.boundary_distance((60, 80)) == 2
    assert m.boundary_iou(moved, truth) < m.jaccard(moved, truth) < 1
    assert m.contour_f(moved, truth) == 1  # one pixel is inside the tolerance of ceil(0.8)
    assert m.contour_f(np.roll(truth, 10, axis=1), truth) < 0.7
    empty = np.zeros_like(truth)
    assert m.jaccard(empty, empty) == m.contour_f(empty, empty) == m.boundary_iou(empty, empty) == 1
    assert m.jaccard(empty, truth) == m.contour_f(empty, truth) == 0
    whole = np.ones((10, 10), bool)
    assert m.boundary(whole, 1).sum() == 36  # the image border counts as outside
    with pytest.raises(ValueError, match="size"):
        m.overlap(truth, whole)


def test_empty_against_empty_counts_as_in_perseg():
    empty = np.zeros((4, 4), bool)
    assert m.pooled_iou([m.overlap(empty, empty)]) == 0
