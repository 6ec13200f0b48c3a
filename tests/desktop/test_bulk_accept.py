"""Accepting everything sure takes what the dialog showed, whatever the background does meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import Qt

from kinmark.engine.domain.keypoints import Visibility
from kinmark.engine.domain.proposals import InstanceProposal, KeypointProposal, KeypointSignals, Peak
from kinmark.engine.domain.runspec import RunSpec
from kinmark.projects.project import Project
from tests.support.window import NAMES, Driver

BOTH = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier


def improve(driver: Driver, photos: slice, confidence: float = 0.99) -> None:
    """Another connection proposes again, as a background improvement does."""
    with Project.open(driver.space.folder) as other:
        category = other.queries.categories()[0]
        waiting = [row for row in other.queries.images() if row.state == "pending"][photos]
        proposals = [
            InstanceProposal(
                "r",
                str(row.id),
                category.name,
                tuple(
                    KeypointProposal(
                        n,
                        20.0,
                        30.0,
                        confidence,
                        Visibility.VISIBLE,
                        KeypointSignals(0.8, 0.2, 0.02, 1.0),
                        (Peak(20.0, 30.0, 0.8),),
                    )
                    for n in NAMES
                ),
                0.9,
                None,
                RunSpec("match", "better"),
                ("1",),
            )
            for row in waiting
        ]
        with other.by_itself():
            other.operations.add_keypoint_proposals(proposals, category.id, job="better", name="Improve suggestions")


def open_dialog(driver: Driver) -> Any:
    driver.space.program.settings.change(accept_precision=0.85)
    driver.key(Qt.Key.Key_Return, BOTH)
    return driver.window.commands.dialogs.dialog("bulk")


def test_what_comes_after_the_preview_is_not_taken(proposed: Driver, qtbot: Any) -> None:
    session = proposed.space.session
    dialog = open_dialog(proposed)
    shown = dialog.preview
    assert shown.count == 9, "three sure keypoints (0.97, 0.92, 0.95) on each of three photos"
    before = {k.id for p in session.queries.proposals() for k in p.keypoints}
    improve(proposed, slice(2, 3))  # five sure ones in place of three on the last photo; nothing has been polled yet
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    accepted = [k for i in session.queries.instances() for k in i.keypoints if k.origin == "proposal"]
    assert len(accepted) == 6 and all((k.x, k.y) != (20.0, 30.0) for k in accepted)
    assert session.project.undo_name == "Accept 6 keypoints"
    assert "6 keypoints accepted" in proposed.window.message_bar.text
    assert before and session.queries.counts().pending == 3


def test_the_preview_follows_the_background_and_says_so(proposed: Driver, qtbot: Any) -> None:
    dialog = open_dialog(proposed)
    assert dialog.summary.text().startswith("9 keypoints") and "meanwhile" not in dialog.note.text()
    improve(proposed, slice(0, 3))
    proposed.until(lambda: dialog.summary.text().startswith("15 keypoints"))
    assert dialog.note.text().startswith("Proposals changed meanwhile")
    assert dialog.accept_button.text().replace("&", "") == "Accept 15 keypoints"
    qtbot.mouseClick(dialog.accept_button, Qt.MouseButton.LeftButton)
    assert proposed.space.session.project.undo_name == "Accept 15 keypoints"


@pytest.mark.parametrize("sure", [0.95, 0.2])
def test_masks_are_counted_too(proposed: Driver, sure: float) -> None:
    from kinmark.engine.domain.masks import MaskRLE
    from kinmark.engine.domain.proposals import MaskProposal

    session = proposed.space.session
    category = session.queries.categories()[0]
    row = session.queries.images()[3]
    mask = np.zeros((row.height, row.width), dtype=bool)
    mask[20:60, 30:90] = True
    found = MaskProposal(
        "r", str(row.id), 0.8, sure, MaskRLE.encode(mask), (30.0, 20.0, 90.0, 60.0), RunSpec("find", "toy")
    )
    session.write(lambda do: do.add_mask_proposals([found], category.id))
    dialog = open_dialog(proposed)
    assert dialog.accept_button.text().replace("&", "") == (
        "Accept 9 keypoints and 1 mask" if sure > 0.9 else "Accept 9 keypoints"
    )
    dialog.accept_button.click()
    assert session.project.undo_name == ("Accept 10 keypoints and masks" if sure > 0.9 else "Accept 9 keypoints")
