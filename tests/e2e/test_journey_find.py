"""Journey 2: box one thing, find it in the other photos, confirm and deny on the identity page, undo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from tests.support.window import Driver, figure_points, make_project

pytestmark = pytest.mark.e2e


def test_find_one_instance_confirm_deny(
    make_driver: Callable[..., Driver], photos: Path, toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, backbone=str(toy_dir))
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    space = driver.space
    space.program.settings.change(live_improve=False)
    queries = space.session.queries
    points = figure_points(0, space.labelling.image.size_wh)
    (x0, y0), (x1, y1) = points.min(axis=0) - 12, points.max(axis=0) + 12
    driver.key(Qt.Key.Key_R)
    driver.drag((x0, y0), (x1, y1))
    assert space.labelling.selected.instance is not None

    driver.window.registry["engine.find"].trigger()
    dialog = driver.window.commands.dialogs.dialog("find")
    dialog.name.setFocus()
    for letter in "Pip":
        driver.key(letter, widget=dialog.name)
    dialog.start_button.click()
    assert driver.window.page_name == "identities"
    identity = queries.identity("Pip")
    assert identity is not None and identity.instance_count == 1
    driver.until(lambda: not driver.window.program.engine.busy, 180)
    page = driver.window.page("identities").inner
    assert len(page.confirmed.model_.cards) == 1

    answers = queries.proposals(identity_id=identity.id, not_here=True)
    assert {p.image_id for p in answers} == {i for i in space.images.model.ids if i != space.labelling.image.id}
    here = [p for p in answers if p.here]
    # The engine is idle a moment before its last answers are on the page.
    driver.until(lambda: sum(card.stack for card in page.suggested.model_.cards) == len(here), 30)
    if here:
        page.stacks.setChecked(True)
        page.suggested.setCurrentIndex(page.suggested.model_.index(0))
        first = page.suggested.model_.cards[0].key
        driver.key(Qt.Key.Key_Return, widget=page.suggested)
        assert queries.identity("Pip").instance_count == 2 and queries.proposal(first) is None
        driver.window.registry["edit.undo"].trigger()
        assert queries.identity("Pip").instance_count == 1
        page.suggested.setCurrentIndex(page.suggested.model_.index(0))
        denied = page.suggested.model_.cards[0]
        driver.key(Qt.Key.Key_Delete, widget=page.suggested)
        assert denied.image_id in queries.rejected_images(identity.id)
        assert denied.key not in {c.key for c in page.suggested.model_.cards}
