"""Journey 3: tune a prompt in its window: curve, before and after, keep and discard, stop and go on, too little."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtWidgets import QApplication

from kinmark.engine.api import open_prompts
from tests.support.proposals import propose_figures
from tests.support.window import Driver, make_photos, make_project

pytestmark = pytest.mark.e2e


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return make_photos(tmp_path / "photos", 6)


def tune_window(driver: Driver) -> Any:
    driver.window.registry["engine.tune"].trigger()
    return driver.window.commands.dialogs.dialog("tune")


def opened(make_driver: Callable[..., Driver], folder: Path) -> Driver:
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    driver.space.program.settings.change(live_improve=False)
    return driver


def cards(folder: Path) -> list[Any]:
    return [saved.card for saved in open_prompts((folder / "prompts",)).entries()]


def test_fewer_than_three_instances_are_refused_with_the_reason(
    make_driver: Callable[..., Driver], photos: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=2)
    dialog = tune_window(opened(make_driver, folder))
    assert not dialog.start_button.isEnabled()
    assert "2 accepted instances" in dialog.pairs.text() and "at least 3" in dialog.pairs.text()


def test_curve_gallery_keep_and_new_proposals(
    make_driver: Callable[..., Driver], many: Path, toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", many, labelled=4, backbone=str(toy_dir))
    driver = opened(make_driver, folder)
    space, queries, engine = driver.space, driver.space.session.queries, driver.window.program.engine
    space.jobs.propose_all(category="figure")
    driver.until(lambda: queries.counts().pending == 2 and not engine.busy, 300)
    dialog = tune_window(driver)
    assert "4 accepted instances, 12 pairs" in dialog.pairs.text()
    dialog.steps.setValue(12)
    dialog.start_button.click()
    assert dialog.stop_button.isVisible() and not dialog.start_button.isVisible()
    # The curve lives: points come one after the other, before the end.
    driver.until(lambda: len(space.tuning.points) >= 3, 300)
    assert space.tuning.running and dialog.curve._series[0].xy

    driver.until(lambda: space.tuning.tuned is not None and dialog.gallery.count, 300)
    tuned = space.tuning.tuned
    assert [p.step for p in space.tuning.points] == list(range(1, tuned_steps(space) + 1))
    assert any(math.isfinite(p.heldout_pck) for p in space.tuning.points)
    assert f"{tuned.before:.0%} before, {tuned.after:.0%} after" in dialog.verdict.text()
    [card] = cards(folder)
    shown = {p.path.name for p in space.tuning.pictures}
    names = {str(r.id): r.file_name for r in queries.images()}
    assert shown == {names[i] for i in card.settings["heldout_images"]}, "the gallery shows held-out photos"
    assert not shown & {names[i] for i in card.images}

    # Undecided: nothing takes the prompt by itself, and the decision survives the program.
    assert card.settings["auto"] is False
    before = {p.image_id: p.run_id for p in queries.proposals()}
    dialog.close()
    driver.window.close_project()
    assert driver.window.open_project(folder)
    space, queries = driver.space, driver.space.session.queries
    dialog = tune_window(driver)
    driver.until(lambda: dialog.keep_button.isVisible() and dialog.gallery.count, 300)
    assert space.tuning.tuned.prompt_id == tuned.prompt_id and "before" in dialog.verdict.text()

    dialog.keep_button.click()
    assert driver.window.commands.dialogs.dialog("tune") is None
    driver.until(lambda: not engine.busy, 300)
    space.session.poll()
    assert cards(folder)[0].settings["auto"] is True
    after = {p.image_id: p.run_id for p in queries.proposals()}
    assert after.keys() == before.keys() and all(after[i] != before[i] for i in before)
    assert json.loads(queries.run(next(iter(after.values()))).spec)["prompt"] == tuned.prompt_id


def tuned_steps(space: Any) -> int:
    return max(p.step for p in space.tuning.points)


def test_stop_is_quick_goes_on_later_and_discard_leaves_nothing(
    make_driver: Callable[..., Driver], many: Path, toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", many, labelled=3, backbone=str(toy_dir))
    propose_figures(folder)
    driver = opened(make_driver, folder)
    space, engine = driver.space, driver.window.program.engine
    before = {p.image_id: p.run_id for p in space.session.queries.proposals()}
    dialog = tune_window(driver)
    dialog.steps.setValue(40)
    dialog.start_button.click()
    driver.until(lambda: len(space.tuning.points) >= 4, 300)
    reached = tuned_steps(space)
    dialog.stop_button.click()
    assert "continues from here" in dialog.verdict.text() and dialog.start_button.isVisible()
    worker = engine._worker
    begin = time.monotonic()
    driver.until(lambda: worker.current is None, 60)
    step_s = 3.0  # a step of the toy model takes a few hundredths of a second; this is a busy machine's
    assert time.monotonic() - begin < step_s
    assert cards(folder) == []

    # The window is closed in the middle of the second half; tuning goes on and says so at its end.
    dialog.start_button.click()
    driver.until(lambda: space.tuning.points, 300)
    assert space.tuning.points[0].step >= reached, "it began from the first step again"
    dialog.close()
    driver.until(lambda: space.tuning.tuned is not None, 300)
    assert "A prompt is tuned" in driver.window.message_bar.text
    dialog = tune_window(driver)
    assert dialog.discard_button.isVisible()
    dialog.discard_button.click()
    driver.until(lambda: not engine.busy, 60)
    assert dialog.verdict.text() == "Discarded." and dialog.start_button.isVisible()
    assert cards(folder) == []
    assert {p.image_id: p.run_id for p in space.session.queries.proposals()} == before


def test_the_screen_does_not_wait_for_a_tuning(
    make_driver: Callable[..., Driver], many: Path, toy_dir: Path, tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", many, labelled=3, backbone=str(toy_dir))
    driver = opened(make_driver, folder)
    space, queries = driver.space, driver.space.session.queries
    dialog = tune_window(driver)
    dialog.steps.setValue(100_000)
    dialog.start_button.click()
    driver.until(lambda: len(space.tuning.points) >= 2, 300)
    unlabelled = queries.image_named("photo_5.png").id
    space.jobs.propose_here(unlabelled, "figure")
    driver.until(lambda: queries.proposals(image_id=unlabelled), 300)
    assert space.tuning.running
    seen = len(space.tuning.points)
    driver.until(lambda: len(space.tuning.points) > seen, 120)
    space.tuning.stop()
    assert QApplication.instance() is not None
