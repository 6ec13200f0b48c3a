"""PDM's maps, votes and correspondence score against the reference vectors, and their behaviour on edge cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kinmark.engine.instances import maps, votes


@pytest.fixture(scope="module")
def vectors(reference_dir):
    with np.load(reference_dir / "pdm_features.npz", allow_pickle=False) as data:
        return {k: data[k] for k in data.files}


def tensor(vectors, name):
    return torch.from_numpy(vectors[name])


@pytest.mark.parametrize(
    ("metric", "layer", "prefix"), [("euclidean", 2, "match_euclid_attn2"), ("cosine", 1, "permis_cosine_attn1")]
)
@pytest.mark.parametrize("kind", ["Q", "K"])
def test_votes_and_heat_maps_equal_the_reference(vectors, metric, layer, prefix, kind):
    foreground = tensor(vectors, "mask").flatten() > 0
    reference = tensor(vectors, f"ref_{kind}_attn{layer}")[foreground]
    counts = votes.vote_counts(reference, tensor(vectors, f"tgt_{kind}_attn{layer}"), metric=metric)
    np.testing.assert_array_equal(counts.numpy(), vectors[f"{prefix}_{kind}_votes"])
    heat = maps.upsample_map(votes.vote_map(counts, (32, 32)), (256, 256))
    stored = next(v for k, v in vectors.items() if k.startswith(f"{prefix}_{kind}_heatmap"))
    np.testing.assert_allclose(heat[::4, ::4].numpy(), stored, atol=1e-6)
    if metric == "euclidean":
        assert maps.first_maximum(heat) == tuple(vectors[f"{prefix}_{kind}_argmax_yx"])
    else:
        row, column = maps.first_maximum(heat)
        assert (column, row) == tuple(vectors["permis_points_xy"]["QK".index(kind)])
        assert int((heat == heat.max()).sum()) == int(vectors[f"{prefix}_{kind}_num_maxima"])


def test_correspondences_equal_the_reference(vectors):
    source, target = tensor(vectors, "corr_src_ft"), tensor(vectors, "corr_tgt_ft")
    points = torch.nonzero(tensor(vectors, "corr_mask16"))
    quirks = {"size": int(vectors["corr_img_size"]), "transposed_lookup": True, "channel_normalised": True}
    found, scores = votes.correspondences(source, target, points, **quirks)
    np.testing.assert_array_equal(points.numpy(), vectors["corr_seg_top1_ref"])
    np.testing.assert_array_equal(found.numpy(), vectors["corr_seg_top1_tgt"])
    np.testing.assert_allclose(scores[:, 0].numpy(), vectors["corr_seg_top1_score"], atol=1e-7)
    _, top3 = votes.correspondences(source, target, points, top=3, **quirks)
    # The reference's top-3 targets are regrouped across points (its defect); the scores are in point-major order.
    np.testing.assert_allclose(top3.flatten().numpy(), vectors["corr_seg_top3_score"], atol=1e-7)


def test_box_correspondences_equal_the_reference(vectors):
    points = votes.box_points(tuple(int(v) for v in vectors["corr_bbox_xyxy"]))
    np.testing.assert_array_equal(points.numpy(), vectors["corr_bbox_top1_ref"])
    found, scores = votes.correspondences(
        tensor(vectors, "corr_src_ft"), tensor(vectors, "corr_tgt_ft"), points, size=32, channel_normalised=True
    )
    np.testing.assert_array_equal(found.numpy(), vectors["corr_bbox_top1_tgt"])
    np.testing.assert_allclose(scores[:, 0].numpy(), vectors["corr_bbox_top1_score"], atol=1e-6)


def test_retrieval_scores_equal_the_reference(vectors):
    got = np.zeros((3, 7), np.float32)
    for i in range(3):
        points = torch.nonzero(tensor(vectors, "ret_query_mask16")[i])
        for j in range(7):
            found, weights = votes.correspondences(
                tensor(vectors, "ret_query_dift")[i : i + 1],
                tensor(vectors, "ret_gallery_dift")[j : j + 1],
                points,
                size=32,
                transposed_lookup=True,
                channel_normalised=True,
            )
            kinds = [
                votes.correspondence_score(q, g, points, found[:, 0], weights[:, 0], size=32)
                for q, g in zip(tensor(vectors, "ret_query_QK")[i], tensor(vectors, "ret_gallery_QK")[j], strict=True)
            ]
            got[i, j] = sum(kinds) / 2
    np.testing.assert_allclose(got, vectors["ret_scores"], atol=1e-8)


def test_true_cosine_finds_a_moved_pattern():
    torch.manual_seed(0)
    source = torch.randn(1, 16, 8, 8)
    target = torch.roll(source, (2, 1), dims=(2, 3))
    points = torch.tensor([[1, 2], [4, 6]])
    found, scores = votes.correspondences(source, target, points, size=8)
    assert found[:, 0].tolist() == [[3, 3], [6, 7]]
    np.testing.assert_allclose(scores[:, 0].numpy(), 1, atol=1e-6)


def test_appearance_is_the_mean_dot_product():
    torch.manual_seed(1)
    reference, target = torch.randn(5, 7), torch.randn(11, 7)
    expected = (target @ reference.T).mean(dim=1)
    np.testing.assert_allclose(maps.appearance_scores(reference, target).numpy(), expected.numpy(), atol=1e-6)


def test_fusion_lies_in_the_unit_range_and_averages():
    a, b = torch.tensor([0.0, 5.0, 10.0]), torch.tensor([-1.0, 1.0, -1.0])
    assert maps.fuse_maps(a, b).tolist() == [0.0, 0.75, 0.5]
    assert maps.retrieval_score(maps.fuse_maps(a, b)) == pytest.approx(1.25 / 3)


def test_constant_maps_and_empty_foregrounds():
    assert maps.unit_range(torch.full((3, 3), 2.0)).abs().max() == 0
    with pytest.raises(ValueError, match="no foreground"):
        maps.appearance_scores(torch.zeros(0, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="no foreground"):
        votes.vote_counts(torch.zeros(0, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match="metric"):
        votes.vote_counts(torch.ones(2, 4), torch.ones(3, 4), metric="manhattan")


def test_background_directions_are_removed_and_others_kept():
    torch.manual_seed(2)
    background = torch.randn(40, 1) @ torch.tensor([[1.0, 0, 0, 0, 0, 0]])
    tokens = torch.randn(9, 6)
    cleaned = maps.project_out(tokens, background)
    assert cleaned[:, 0].abs().max() < 1e-5
    np.testing.assert_allclose(cleaned[:, 1:].numpy(), tokens[:, 1:].numpy(), atol=1e-5)
    assert maps.project_out(tokens, background[:1]) is tokens


def test_class_attention_marks_the_cells_that_look_at_the_class_token():
    keys = torch.eye(4)
    cross_q = torch.tensor([[0.0, 0, 9.0, 0], [0, 9.0, 0, 0], [0, 0, 0, 9.0], [0, 0, 8.0, 0]])
    assert maps.semantic_foreground(cross_q, keys, [2]).tolist() == [True, False, False, True]
