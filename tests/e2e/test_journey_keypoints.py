"""Journey 1: new project, label one photo, propose, review, undo, reopen, export, compare with the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from tests.support.window import NAMES, Driver, figure_points

pytestmark = pytest.mark.e2e
CONTROL = Qt.KeyboardModifier.ControlModifier


def type_into(driver: Driver, field: object, text: str) -> None:
    field.setFocus()  # type: ignore[attr-defined]
    field.selectAll()  # type: ignore[attr-defined]
    for letter in text:
        driver.key(letter, widget=field)


def make_project_by_hand(driver: Driver, photos: Path) -> None:
    driver.window.start_page.new.click()
    dialog = driver.window.commands.dialogs.dialog("new")
    dialog.photos.setText(str(photos))
    type_into(driver, dialog.name, "Figures")
    dialog.choose_template("custom")
    type_into(driver, dialog.category, "figure")
    dialog.create_button.click()
    driver.until(lambda: driver.window.workspace is not None and len(driver.space.images.model.ids) == 4)
    driver.photo_shown()


def make_schema_by_hand(driver: Driver) -> None:
    driver.key(Qt.Key.Key_K, CONTROL)
    dialog = driver.window.commands.dialogs.dialog("schema")
    for name in NAMES:
        type_into(driver, dialog.new_name, name)
        driver.key(Qt.Key.Key_Return, widget=dialog.new_name)
    assert dialog.draft.pairs == [("left_ear", "right_ear"), ("left_paw", "right_paw")]
    for other in NAMES[1:]:
        dialog.editor.edge_toggled.emit("nose", other)
    dialog.save.click()
    dialog.close()
    schema = driver.space.labelling.category.schema
    assert schema.names == NAMES and len(schema.edges) == 4 and schema.pairs == ((1, 2), (3, 4))


def test_label_one_photo_review_the_others_export(
    make_driver: Callable[..., Driver], photos: Path, toy_dir: Path, tmp_path: Path
) -> None:
    driver = make_driver()
    make_project_by_hand(driver, photos)
    space = driver.space
    space.session.write(lambda do: do.set_setting("backbone", str(toy_dir)))
    make_schema_by_hand(driver)

    driver.canvas.setFocus()
    driver.key(Qt.Key.Key_K)
    first = space.labelling.image
    for x, y in figure_points(0, first.size_wh).tolist():
        driver.click(x, y)
    driver.key(Qt.Key.Key_V)
    assert space.session.queries.image(first.id).keypoint_count == 5

    driver.key(Qt.Key.Key_P, CONTROL)
    driver.until(lambda: space.session.queries.counts().pending == 3, 120)
    driver.until(lambda: not driver.window.program.engine.busy, 60)

    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    target = space.labelling.image
    assert target.id != first.id and space.labelling.selected.has_pending
    name = space.labelling.focused_name
    driver.key(Qt.Key.Key_Return)
    accepted = [k for i in space.session.queries.instances(image_id=target.id) for k in i.keypoints]
    assert len(accepted) == 1 and accepted[0].origin == "proposal" and accepted[0].run_id is not None
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert space.session.queries.instances(image_id=target.id) == ()
    assert space.labelling.state(NAMES.index(name)).is_proposal
    place = NAMES.index(name)
    x, y = figure_points(space.images.model.place_of(target.id), target.size_wh)[place]
    proposal = space.labelling.selected.proposal(place)
    if proposal.x is not None:
        driver.drag((proposal.x, proposal.y), (x, y))
    driver.until(lambda: bool(space.session.queries.instances(image_id=target.id)))

    folder = space.folder
    driver.window.close_project()
    assert driver.window.open_project(folder)
    space = driver.space
    corrected = space.session.queries.instances(image_id=target.id)[0].keypoints[0]
    assert (corrected.x, corrected.y) == pytest.approx((x, y), abs=2.5)

    data = driver.export_coco(tmp_path / "export")
    exported = {a["image_id"]: a for a in data["annotations"] if not a.get("proposal")}
    names = {image["id"]: image["file_name"] for image in data["images"]}
    labelled = space.session.queries.instances()
    assert len(exported) == len(labelled) == 2
    by_file = {names[i]: a for i, a in exported.items()}
    for instance in labelled:
        row = space.session.queries.image(instance.image_id)
        keypoints = by_file[row.file_name]["keypoints"]
        for k in instance.keypoints:
            at = space.labelling.categories[0].definition_ids.index(k.definition_id)
            assert keypoints[3 * at : 3 * at + 2] == pytest.approx([k.x, k.y], abs=0.51)
            assert keypoints[3 * at + 2] == k.visibility


def test_accepting_improves_the_photos_ahead_without_a_click(
    make_driver: Callable[..., Driver], photos: Path, toy_dir: Path, tmp_path: Path
) -> None:
    from tests.support.window import make_project

    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1, backbone=str(toy_dir))
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    space = driver.space
    driver.key(Qt.Key.Key_P, CONTROL)
    driver.until(lambda: space.session.queries.counts().pending == 3 and not driver.window.program.engine.busy, 120)
    runs_before = {p.image_id: p.run_id for p in space.session.queries.proposals()}
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    done = space.labelling.image.id
    space.program.settings.change(accept_precision=0.5)
    while space.labelling.image.id == done and space.labelling.has_pending:
        driver.key(Qt.Key.Key_Return)
    accepted = space.session.queries.instances(image_id=done)
    driver.until(
        lambda: any(
            p.run_id != runs_before.get(p.image_id) for p in space.session.queries.proposals() if p.image_id != done
        ),
        90,
    )
    driver.until(lambda: not driver.window.program.engine.busy, 60)
    assert space.session.queries.instances(image_id=done) == accepted
    # One Ctrl+Z takes the person's own last decision back, not the program's improvement.
    driver.window.registry["edit.undo"].trigger()
    left = space.session.queries.instances(image_id=done)
    assert sum(len(i.keypoints) for i in left) == sum(len(i.keypoints) for i in accepted) - 1
