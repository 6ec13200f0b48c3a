"""The review queue: orders, stability while one works, filters with counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.masks import MaskRLE
from kinmark.projects.project import Project
from kinmark.projects.review import QueueOptions, review_order
from kinmark.projects.store.inputs import NewKeypoint
from kinmark.projects.store.queries import ImageFilter
from tests.support.projects import SIZE_WH, keypoint_proposal, make_project, mask_proposal


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Six images: 1 labelled (tail not looked at), 2-5 pending with rising confidence, 6 unseen."""
    made = make_project(tmp_path / "p.kinmark")
    category = made.queries.categories()[0]
    nose, l_ear, r_ear, _ = category.definition_ids
    made.operations.add_instance(
        1, category.id, [NewKeypoint(nose, 1, 1), NewKeypoint(l_ear, 2, 2), NewKeypoint(r_ear, 3, 3)]
    )
    made.operations.add_keypoint_proposals(
        [keypoint_proposal(i, {"nose": 0.1 * i, "tail": 0.9}) for i in (5, 4, 3, 2)], category.id, job="j"
    )
    yield made
    made.close()


def test_orders(project: Project) -> None:
    queries = project.queries
    category = queries.categories()[0]
    nose, _, _, tail = category.definition_ids
    assert review_order(queries, "uncertain") == (2, 3, 4, 5)
    assert review_order(queries, "sure") == (5, 4, 3, 2)
    assert set(review_order(queries, "name")) == {2, 3, 4, 5}
    assert review_order(queries, "uncertain", QueueOptions(definition_id=nose)) == (2, 3, 4, 5)
    assert review_order(queries, "missing", QueueOptions(definition_id=tail)) == (1,)
    assert review_order(queries, "check", QueueOptions(scores={1: 0.2, 4: 0.9})) == (4, 1)
    assert set(review_order(queries, "disagreement")) == set(review_order(queries, "sides")) == {2, 3, 4, 5}
    with pytest.raises(UserInputError, match="no queue order"):
        review_order(queries, "fanciest")


def test_photos_where_the_thing_was_hardly_found_come_last(project: Project) -> None:
    category, known = project.queries.categories()[0], project.queries.instances(image_id=1)[0]
    weak = [replace(keypoint_proposal(i, {"nose": 0.05}), confidence=0.01 * i) for i in (3, 4, 6)]
    project.operations.add_keypoint_proposals(weak, category.id, job="k")
    # What completes an accepted instance is there, however unsure its keypoints are.
    partial = replace(keypoint_proposal(1, {"tail": 0.02}), confidence=0.02)
    project.operations.add_keypoint_proposals([partial], category.id, job="l", instance_ids=[known.id])
    order = review_order(project.queries, "uncertain")
    assert order[-3:] == (6, 4, 3), "the likeliest of them first"
    assert set(order[:-3]) == {2, 5} | ({1} if 1 in order else set())
    assert set(order) == set(review_order(project.queries, "sure"))


def test_informative_prefers_doubt_unlike_what_is_labelled(project: Project) -> None:
    def unit(*values: float) -> np.ndarray:
        vector = np.array(values, dtype=np.float32)
        return vector / np.linalg.norm(vector)

    # 2 is the most doubtful but looks like the labelled image 1; 3 is nearly as doubtful and unlike it; 4 is like 3.
    vectors = {1: unit(1, 0, 0), 2: unit(1, 0.01, 0), 3: unit(0, 1, 0), 4: unit(0, 1, 0.02), 5: unit(0, 0, 1)}
    order = review_order(project.queries, "informative", QueueOptions(vectors=vectors))
    assert order[:2] == (3, 5), "after 3 its double 4 adds little, 5 adds a new look"
    assert set(order) == {2, 3, 4, 5}
    without = review_order(project.queries, "informative")
    assert set(without) == {2, 3, 4, 5}


def test_counts_and_filters_follow_every_operation(project: Project) -> None:
    queries, operations = project.queries, project.operations
    category = queries.categories()[0]
    counts = queries.counts()
    assert (counts.all, counts.unseen, counts.pending, counts.partly, counts.done, counts.nothing) == (6, 1, 4, 1, 0, 0)
    assert counts.doubt == 3 and queries.count_images(ImageFilter(state="pending", below=0.5)) == 3
    operations.mark_nothing_here([6, 2, 1])
    counts = queries.counts()
    assert (counts.unseen, counts.pending, counts.nothing) == (0, 3, 2), "2 had proposals, 1 is labelled and is skipped"
    operations.accept_proposals(min_confidence=0.45)
    assert queries.counts().pending == 2, "images 3 and 4 keep a doubtful nose"
    assert queries.counts().partly == 2 and queries.counts().done == 0, "two of four keypoints were looked at"
    assert {row.id for row in queries.images(ImageFilter(has_instances=True))} == {1, 3, 4, 5}
    operations.tag("night", [3, 4])
    assert queries.image_ids(ImageFilter(tag="night")) == queries.image_ids(ImageFilter(ids=(3, 4)))
    operations.set_split({3: "train", 4: "test"})
    assert queries.image_ids(ImageFilter(split="test")) == (4,)
    assert set(queries.image_ids(ImageFilter(split=""))) == {1, 2, 5, 6}
    assert queries.image_ids(ImageFilter(text="F1/")) == queries.image_ids(ImageFilter(glob="f1/*"))
    assert set(queries.image_ids(ImageFilter(category_id=category.id))) == {1, 3, 4, 5}
    for state in ("partly", "done"):
        assert queries.count_images(ImageFilter(state=state)) == getattr(queries.counts(), state)


def test_text_filter_takes_signs_literally(project: Project) -> None:
    assert project.queries.count_images(ImageFilter(text="%")) == 0
    assert project.queries.count_images(ImageFilter(text="_")) == 0
    assert project.queries.count_images(ImageFilter(text="'; DROP TABLE image; --")) == 0
    assert project.queries.count_images() == 6


def test_preview_says_what_accepting_does(project: Project) -> None:
    count, precision, lowest = project.queries.preview_accept(0.35, lowest=2)
    changes = project.operations.accept_proposals(min_confidence=0.35)
    assert changes.count == count == 6
    assert precision == pytest.approx((0.4 + 0.5 + 4 * 0.9) / 6)
    assert [round(row.confidence, 1) for row in lowest] == [0.4, 0.5]


def test_mask_proposals_of_an_identity(project: Project) -> None:
    operations, queries = project.operations, project.queries
    category = queries.categories()[0]
    [pip] = operations.add_identity("Pip", category.id).ids
    proposals = [mask_proposal(2, 0.9), mask_proposal(3, 0.4), mask_proposal(6, 0.1, here=False)]
    operations.add_mask_proposals(proposals, category.id, identity_id=pip, job="find")
    assert len(queries.proposals(identity_id=pip, kind="mask")) == 2
    assert len(queries.proposals(identity_id=pip, kind="mask", not_here=True)) == 3
    assert queries.image(6).state == "unseen", "an answer of not here is nothing to decide"
    changes = operations.accept_proposals(min_confidence=0.5, kind="mask")
    instance = queries.instance(changes.ids[0])
    assert instance.identity_id == pip and instance.mask is not None and instance.origin == "proposal"
    operations.reject_proposals(kind="mask")
    assert queries.rejected_images(pip) == (3,)
    assert operations.add_mask_proposals(proposals[1:2], category.id, identity_id=pip).count == 0
    wrong = MaskRLE.encode(np.ones((SIZE_WH[1] + 1, SIZE_WH[0]), dtype=bool))
    with pytest.raises(UserInputError, match="does not fit"):
        operations.set_mask(instance.id, wrong)
