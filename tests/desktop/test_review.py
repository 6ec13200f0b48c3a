"""Labelling and reviewing through real mouse and key events; the database is the judge."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt

from tests.support.window import NAMES, Driver, figure_points

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier
ALT = Qt.KeyboardModifier.AltModifier


def rows(driver: Driver) -> dict[str, object]:
    """Accepted keypoints of the shown photo by name."""
    image = driver.space.labelling.image
    names = {d.id: d.name for c in driver.space.labelling.categories for d in c.definitions}
    instances = driver.space.session.queries.instances(image_id=image.id)
    return {names[k.definition_id]: k for i in instances for k in i.keypoints}


def pending(driver: Driver) -> int:
    image = driver.space.labelling.image
    return sum(len(p.keypoints) for p in driver.space.session.queries.proposals(image_id=image.id))


def test_guided_placing_fills_the_schema_in_order(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    assert driver.space.target.tool_name == "keypoint"
    points = figure_points(0, driver.space.labelling.image.size_wh)
    for number, (x, y) in enumerate(points.tolist()):
        assert driver.space.labelling.focused_name == NAMES[number]
        right = Qt.MouseButton.RightButton if number == 2 else Qt.MouseButton.LeftButton
        driver.click(x, y, right)
    placed = rows(driver)
    assert list(placed) == list(NAMES)
    for name, (x, y) in zip(NAMES, points.tolist(), strict=True):
        assert abs(placed[name].x - x) <= driver.pixel_px() and abs(placed[name].y - y) <= driver.pixel_px()
        assert placed[name].visibility == (1 if name == "right_ear" else 2)
        assert placed[name].origin == "human"


def test_absent_and_one_back(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    driver.click(50, 60)
    driver.key(Qt.Key.Key_0)
    assert rows(driver)["left_ear"].visibility == 0
    driver.click(90, 60)
    assert set(rows(driver)) == {"nose", "left_ear", "right_ear"}
    driver.key(Qt.Key.Key_Backspace)
    assert set(rows(driver)) == {"nose", "left_ear"}
    assert driver.space.labelling.focused_name == "right_ear"


def test_undo_takes_back_one_click_at_a_time_and_survives_reopening(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    driver.click(50, 60)
    driver.click(70, 60)
    folder = driver.space.folder
    driver.window.close_project()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert set(rows(driver)) == {"nose"}
    driver.key(Qt.Key.Key_Y, CONTROL)
    assert set(rows(driver)) == {"nose", "left_ear"}


def test_enter_accepts_and_goes_on(proposed: Driver) -> None:
    driver = proposed
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    first = driver.space.labelling.image.id
    assert driver.space.labelling.focused_name == "nose"
    assert "nose" in driver.window.job_bar.step.whole_text and "left_ear" in driver.window.job_bar.step.whole_text
    driver.key(Qt.Key.Key_Return)
    assert set(rows(driver)) == {"nose"} and rows(driver)["nose"].origin == "proposal"
    assert driver.space.labelling.focused_name == "left_ear"
    driver.key(Qt.Key.Key_X)
    assert set(rows(driver)) == {"nose"} and pending(driver) == 3
    driver.key(Qt.Key.Key_Return)
    driver.key(Qt.Key.Key_2, ALT)
    assert driver.space.labelling.focused_name == "right_paw"
    index = 3
    expected = figure_points(driver.space.images.model.place_of(first), driver.space.labelling.image.size_wh)[index]
    left_paw = rows(driver)["left_paw"]
    assert (left_paw.x, left_paw.y) == pytest.approx(tuple(expected))
    driver.key(Qt.Key.Key_Return)
    # The last one is decided: the next photo of the queue comes by itself.
    assert driver.space.labelling.image.id != first


def test_rejected_is_not_proposed_again_on_the_same_evidence(proposed: Driver) -> None:
    from tests.support.proposals import propose_figures

    driver = proposed
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_X)
    image_id = driver.space.labelling.image.id
    propose_figures(driver.space.folder)
    names = {d.id: d.name for c in driver.space.labelling.categories for d in c.definitions}
    proposals = driver.space.session.queries.proposals(image_id=image_id)
    assert {names[k.definition_id] for p in proposals for k in p.keypoints} == set(NAMES) - {"nose"}


def test_dragging_a_proposal_corrects_and_accepts_it(proposed: Driver) -> None:
    driver = proposed
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    selected = driver.space.labelling.selected
    start = next(k for k in selected.proposals[0].keypoints if k.definition_id == selected.definition_ids[0])
    driver.drag((start.x, start.y), (start.x + 20, start.y + 10))
    moved = rows(driver)["nose"]
    assert moved.x == pytest.approx(start.x + 20, abs=2 * driver.pixel_px())
    assert moved.y == pytest.approx(start.y + 10, abs=2 * driver.pixel_px())
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert rows(driver) == {} and pending(driver) == 5


def test_double_click_accepts_right_click_hides(proposed: Driver) -> None:
    driver = proposed
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    selected = driver.space.labelling.selected
    ear = selected.proposal(1)
    driver.double_click(ear.x, ear.y)
    assert set(rows(driver)) == {"left_ear"}
    driver.key(Qt.Key.Key_K)
    driver.click(ear.x, ear.y, Qt.MouseButton.RightButton)
    assert rows(driver)["left_ear"].visibility == 1


def test_accept_all_sure_of_the_photo_leaves_the_rest_pending(proposed: Driver) -> None:
    driver = proposed
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_Return, SHIFT)
    sure = set(rows(driver))
    assert sure and all(rows(driver)[k].confidence >= 0.9 for k in sure)
    assert pending(driver) == 5 - len(sure)
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert pending(driver) == 5 and rows(driver) == {}


def test_bulk_accept_shows_first_what_it_does_and_undoes_in_one_step(proposed: Driver) -> None:
    driver = proposed
    queries = driver.space.session.queries
    before = queries.counts()
    driver.key(Qt.Key.Key_Return, CONTROL | SHIFT)
    dialog = driver.window.commands.dialogs.dialog("bulk")
    assert dialog is not None and str(dialog.preview.count) in dialog.summary.text()
    assert "ncalibrated" in dialog.note.text()
    expected = dialog.preview.count
    assert expected > 0 and queries.counts().keypoints == before.keypoints
    dialog.accept_button.click()
    assert queries.counts().keypoints == before.keypoints + expected
    driver.window.registry["edit.undo"].trigger()
    assert queries.counts() == before


def test_visibility_mirror_and_nudges(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    for x, y in figure_points(0, driver.space.labelling.image.size_wh).tolist():
        driver.click(x, y)
    driver.key(Qt.Key.Key_V)
    driver.key(Qt.Key.Key_2)
    before = rows(driver)
    for expected in (1, 0, 2):
        driver.key(Qt.Key.Key_Q)
        assert rows(driver)["left_ear"].visibility == expected
    assert (rows(driver)["left_ear"].x, rows(driver)["left_ear"].y) == (before["left_ear"].x, before["left_ear"].y)
    driver.key(Qt.Key.Key_M)
    assert rows(driver)["left_ear"].x == before["right_ear"].x and rows(driver)["right_paw"].x == before["left_paw"].x
    driver.key(Qt.Key.Key_M)
    x = rows(driver)["left_ear"].x
    for _ in range(3):
        driver.key(Qt.Key.Key_Right)
    driver.key(Qt.Key.Key_Right, SHIFT)
    driver.key(Qt.Key.Key_Left, ALT)
    assert rows(driver)["left_ear"].x == pytest.approx(x + 12.9)
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert rows(driver)["left_ear"].x == pytest.approx(x)


def test_whole_instance_moves_and_turns_with_alt(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    points = figure_points(0, driver.space.labelling.image.size_wh)
    for x, y in points.tolist():
        driver.click(x, y)
    driver.key(Qt.Key.Key_V)
    before = rows(driver)
    nose = before["nose"]
    driver.drag((nose.x, nose.y), (nose.x + 15, nose.y - 8), ALT)
    after = rows(driver)
    shifts = {(round(after[n].x - before[n].x, 6), round(after[n].y - before[n].y, 6)) for n in NAMES}
    assert len(shifts) == 1
    dx, dy = shifts.pop()
    assert dx == pytest.approx(15, abs=2 * driver.pixel_px()) and dy == pytest.approx(-8, abs=2 * driver.pixel_px())


def test_template_box_brush_and_polygon(driver: Driver) -> None:
    queries, image = driver.space.session.queries, driver.space.labelling.image
    driver.key(Qt.Key.Key_K, SHIFT)
    assert len(rows(driver)) == 5
    driver.key(Qt.Key.Key_Z, CONTROL)
    driver.key(Qt.Key.Key_R)
    driver.drag((30, 40), (120, 130))
    box = queries.instances(image_id=image.id)[0].box
    assert box == pytest.approx((30, 40, 120, 130), abs=2 * driver.pixel_px())
    driver.key(Qt.Key.Key_B)
    driver.drag((60, 60), (100, 60))
    mask = queries.instances(image_id=image.id)[0].mask.rle.decode()
    assert mask[60, 60] and mask[60, 80] and mask[60, 99] and not mask[150, 200]
    painted = mask.sum()
    driver.key(Qt.Key.Key_B, SHIFT)
    driver.drag((80, 40), (80, 80))
    mask = queries.instances(image_id=image.id)[0].mask.rle.decode()
    assert not mask[60, 80] and 0 < mask.sum() < painted
    driver.space.labelling.select(None)
    driver.key(Qt.Key.Key_P)
    for x, y in ((150, 20), (220, 20), (220, 90)):
        driver.click(x, y)
    driver.key(Qt.Key.Key_Return)
    instances = queries.instances(image_id=image.id)
    assert len(instances) == 2
    triangle = instances[1].mask.rle.decode()
    assert triangle[30, 200] and not triangle[85, 160]


def test_nothing_here_goes_on_and_is_a_state_of_its_own(driver: Driver) -> None:
    image_id = driver.space.labelling.image.id
    driver.key(Qt.Key.Key_O)
    assert driver.space.session.queries.image(image_id).state == "nothing"


def test_paging_keeps_zoom_and_letters_stay_letters_in_text_fields(driver: Driver) -> None:
    first = driver.space.labelling.image.id
    driver.canvas.set_zoom(3.0)
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()
    assert driver.space.labelling.image.id != first
    assert driver.canvas.scale_factor == pytest.approx(3.0)
    driver.key(Qt.Key.Key_A)
    assert driver.space.labelling.image.id == first
    driver.window.search.setFocus()
    driver.until(lambda: driver.window.search.hasFocus())
    for letter in "dak":
        driver.key(letter, widget=driver.window.search)
    assert driver.window.search.text() == "dak"
    assert driver.space.labelling.image.id == first and driver.space.target.tool_name == "select"


def test_copy_paste_and_copy_from_the_previous_photo(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K)
    driver.click(50, 60)
    driver.click(80, 60)
    driver.key(Qt.Key.Key_V)
    driver.key(Qt.Key.Key_C, CONTROL)
    before = rows(driver)
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()
    driver.key(Qt.Key.Key_V, CONTROL)
    assert {n: (k.x, k.y) for n, k in rows(driver).items()} == {n: (k.x, k.y) for n, k in before.items()}
    driver.key(Qt.Key.Key_Z, CONTROL)
    driver.key(Qt.Key.Key_B, CONTROL | SHIFT)
    assert set(rows(driver)) == set(before)
