"""The orders of the review queue in its panel: all of the store's, by keypoint where that makes sense, slow ones later."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from kinmark.desktop.session import queue as queue_module
from kinmark.projects.review import STRATEGIES
from tests.support.window import NAMES, Driver


def choose(driver: Driver, box: object, data: object) -> None:
    """Choose an entry of a combo box as a person does with the keyboard."""
    place = box.findData(data)  # type: ignore[attr-defined]
    assert place >= 0
    box.setCurrentIndex(place)  # type: ignore[attr-defined]
    box.activated.emit(place)  # type: ignore[attr-defined]


def shown(driver: Driver) -> list[int]:
    return [row.id for row, _ in driver.space.review.model.cards]


def test_every_order_of_the_store_is_offered(proposed: Driver) -> None:
    box = proposed.space.review.strategy
    assert {box.itemData(i) for i in range(box.count())} == set(STRATEGIES)
    pending = set(proposed.space.session.queries.image_ids()[1:])
    for strategy in set(STRATEGIES) - {"missing", "check"}:
        choose(proposed, box, strategy)
        assert set(shown(proposed)) == pending, strategy
        assert proposed.window.program.settings.current.queue_strategy == strategy


def test_orders_about_one_keypoint(proposed: Driver) -> None:
    panel, queries = proposed.space.review, proposed.space.session.queries
    category = queries.categories()[0]
    ids = queries.image_ids()
    choose(proposed, panel.strategy, "sure")
    assert panel.keypoint.isVisible()
    first = queries.proposals(image_id=ids[1])[0].keypoints[0]
    proposed.space.session.write(lambda do: do.reject_keypoints([first.id]))
    choose(proposed, panel.keypoint, category.definition_ids[0])
    proposed.until(lambda: shown(proposed) == [ids[2], ids[3]])
    choose(proposed, panel.strategy, "sides")
    assert not panel.keypoint.isVisible() and set(shown(proposed)) == set(ids[1:])


def test_labelled_photos_that_lack_a_keypoint(proposed: Driver) -> None:
    space, panel = proposed.space, proposed.space.review
    queries = space.session.queries
    category, ids = queries.categories()[0], queries.image_ids()
    tail = category.definition_ids[4]
    nose = queries.proposals(image_id=ids[2])[0].keypoints[0]
    space.session.write(lambda do: do.accept_keypoints([nose.id]))
    choose(proposed, panel.strategy, "missing")
    assert shown(proposed) == [] and "Choose the keypoint" in panel.empty.text()
    choose(proposed, panel.keypoint, tail)
    assert shown(proposed) == [ids[2]]
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    assert space.labelling.image.id == ids[2] and space.labelling.focused_name == NAMES[4]
    assert proposed.window.program.settings.current.queue_strategy != "missing"
    proposed.key(Qt.Key.Key_0)
    proposed.until(lambda: queries.image_ids() and not shown(proposed))
    assert "says that it is absent" in panel.empty.text()


def test_slow_orders_come_from_the_store_thread(proposed: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MOST_READ", 0)
    space, panel = proposed.space, proposed.space.review
    before = shown(proposed)
    choose(proposed, panel.strategy, "disagreement")
    assert space.queue.waiting and shown(proposed) == before, "the order before is walked until it comes"
    proposed.until(lambda: not space.queue.waiting)
    proposed.until(lambda: len(shown(proposed)) == 3)
    # Stopped by a step of the person, it is asked for again.
    space.queue.set_strategy("sides")
    space.queue.upcoming(None, 1)
    assert space.queue.waiting
    space.session._submit_long("A step", lambda project: project.operations.tag("x", [1]), None, None)
    proposed.until(lambda: not space.session.store.waiting)
    space.queue.upcoming(None, 1)
    proposed.until(lambda: not space.queue.waiting and not space.queue._stale)
    assert len(space.queue.upcoming(None, 5)) == 3
