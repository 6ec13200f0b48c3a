"""A sweep meets trouble halfway: the engine breaks, the card is lost, memory ends. What was stored stays, work goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt

from kinmark.desktop.dialogs.crash_dialog import CrashDialog
from tests.support.window import Driver, make_photos, make_project

pytestmark = pytest.mark.e2e
CONTROL = Qt.KeyboardModifier.ControlModifier
PHOTOS = 9


class Trouble:
    """Stands before `Backbone.unet_forward`: raises `error` for the passes number `first` to `last` (from 1)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception, first: int, last: int) -> None:
        from kinmark.engine.backbones.backbone import Backbone

        self.passes = 0
        whole = Backbone.unet_forward

        def forward(backbone: Any, *arguments: Any, **more: Any) -> Any:
            self.passes += 1
            if first <= self.passes <= last:
                raise error
            return whole(backbone, *arguments, **more)

        monkeypatch.setattr(Backbone, "unet_forward", forward)


@pytest.fixture
def sweep(make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path) -> Driver:
    """A window with nine photos, one labelled; small steps, so that the trouble comes in the middle of a sweep."""
    photos = make_photos(tmp_path / "photos", PHOTOS)
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1, backbone=str(toy_dir))
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    driver.space.program.settings.change(live_improve=False)
    return driver


def propose(driver: Driver) -> int:
    """Sweep to its end, whatever that is; how many photos have proposals then."""
    driver.key(Qt.Key.Key_P, CONTROL)
    driver.until(lambda: not driver.window.program.engine.busy, 300)
    driver.space.session.poll()
    return int(driver.space.session.queries.counts().pending)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "graphics card"),
        (RuntimeError("CUDA error: unspecified launch failure"), "graphics card"),
    ],
)
def test_a_lost_card_is_told_once_and_the_next_sweep_completes_the_work(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    Trouble(monkeypatch, error, 3, 3)
    before = propose(sweep)
    text = sweep.window.message_bar.text
    assert text and "Traceback" not in text and sweep.window.findChildren(CrashDialog) == []
    assert before < PHOTOS - 1
    labelled = sweep.space.session.queries.counts().keypoints
    assert labelled == 5
    assert propose(sweep) == PHOTOS - 1


def test_a_crash_in_the_engine_gets_a_report_and_the_work_goes_on(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(monkeypatch, ZeroDivisionError("boom"), 3, 3)
    before = propose(sweep)
    [dialog] = sweep.window.findChildren(CrashDialog)
    assert "boom" in dialog.report.toPlainText()
    dialog.close()
    sweep.key(Qt.Key.Key_D)
    sweep.photo_shown()
    assert before < PHOTOS - 1 and propose(sweep) == PHOTOS - 1


def test_memory_that_ends_halfway_makes_smaller_steps_and_loses_nothing(
    sweep: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(monkeypatch, MemoryError(), 3, 3)
    assert propose(sweep) == PHOTOS - 1
    assert trouble.passes > 3 and sweep.window.findChildren(CrashDialog) == []


def test_no_memory_at_all_is_one_sentence_with_a_way_out(sweep: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    Trouble(monkeypatch, MemoryError(), 2, 10_000)
    propose(sweep)
    assert "memory" in sweep.window.message_bar.text and sweep.window.findChildren(CrashDialog) == []
    monkeypatch.undo()
    os.environ["KINMARK_HOME"] = str(sweep.space.folder.parent / "kinmark-home")
    assert propose(sweep) == PHOTOS - 1
