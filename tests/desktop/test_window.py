"""The window around the canvas: models, dialogs, broken and moved things, odd names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QAbstractItemModelTester

from tests.support.window import Driver, dropped, make_photos, make_project

FATAL = QAbstractItemModelTester.FailureReportingMode.Fatal


def test_models_keep_qts_rules_through_changes(proposed: Driver) -> None:
    space = proposed.space
    proposed.window.show_page("parts")
    page = proposed.window.page("parts").inner
    from kinmark.desktop.dialogs.shortcuts_dialog import ShortcutModel

    models = [space.images.model, space.instances.model, space.review.model, page.grid.model_]
    models.append(ShortcutModel(proposed.window.registry.keys))
    testers = [QAbstractItemModelTester(model, FATAL) for model in models]
    proposed.window.show_page("label")
    proposed.key(Qt.Key.Key_N)
    proposed.key(Qt.Key.Key_Return)
    proposed.window.search.setText("photo_1")
    proposed.wait(0.4)
    assert len(space.images.model.ids) == 1
    proposed.window.search.setText("")
    proposed.wait(0.8)
    assert len(space.images.model.ids) == 4 and len(testers) == 5


def test_part_grid_accepts_several_at_once(proposed: Driver) -> None:
    space = proposed.space
    proposed.window.show_page("parts")
    page = proposed.window.page("parts").inner
    page.choose(space.labelling.categories[0].definition_ids[0])
    assert len(page.grid.model_.cards) == 3
    page.grid.selectAll()
    proposed.key(Qt.Key.Key_Return, widget=page.grid)
    assert page.grid.model_.cards == ()
    assert space.session.queries.counts().keypoints == 5 + 3


def test_filters_and_counts_follow_the_work(proposed: Driver) -> None:
    space = proposed.space
    counts = {row.id: row.count for row in space.images.filters.rows.rows}
    assert (counts["all"], counts["pending"], counts["done"], counts["unseen"]) == (4, 3, 1, 0)
    space.images.filters.choose("pending")
    assert len(space.images.model.ids) == 3
    proposed.window.search.setText("conf:<0.3")
    proposed.wait(0.4)
    assert len(space.images.model.ids) == 0 and space.images._empty.isVisible()


def test_one_keypoint_of_five_is_partly_and_export_says_so(driver: Driver) -> None:
    space = driver.space
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    driver.key(Qt.Key.Key_V)
    rows = space.images.filters.rows
    driver.until(lambda: {row.id: row.count for row in rows.rows}["partly"] == 1)
    assert {row.id: row.count for row in rows.rows}["done"] == 0
    driver.until(lambda: "1 partly" in driver.window.job_bar.saved.text())
    space.images.filters.choose("partly")
    assert tuple(space.images.model.ids) == (space.labelling.image.id,)
    driver.window.search.setText("state:done")
    driver.until(lambda: not space.images.model.ids)
    driver.window.search.setText("")
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    dialog = driver.window.commands.dialogs.dialog("export")
    driver.until(lambda: dialog.state.text() == "", 30)
    assert "labelled only partly" in dialog.report.toPlainText()
    dialog.close()


def test_a_photo_that_vanishes_is_told_and_work_goes_on(driver: Driver, photos: Path) -> None:
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()
    (photos / "photo_2.png").unlink()
    driver.space.program.photos.clear()
    driver.key(Qt.Key.Key_D)
    driver.until(lambda: "photo_2.png" in driver.canvas.message)
    assert "not there" in driver.canvas.message
    driver.key(Qt.Key.Key_A)
    driver.photo_shown()
    assert driver.canvas.message == ""


def test_a_photo_that_is_replaced_while_shown_is_told(driver: Driver, photos: Path) -> None:
    first = driver.space.labelling.image
    driver.key(Qt.Key.Key_D)
    driver.photo_shown()
    Image.new("RGB", (100, 50), (10, 200, 10)).save(photos / "photo_0.png")
    driver.key(Qt.Key.Key_A)
    assert driver.space.labelling.image.id == first.id
    driver.until(lambda: "replaced" in driver.window.message_bar.text)


def test_a_damaged_photo_has_a_broken_tile_with_the_reason(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 2)
    folder = make_project(tmp_path / "p.kinmark", photos)
    data = (photos / "photo_1.png").read_bytes()
    (photos / "photo_1.png").write_bytes(data[: len(data) // 3])
    driver = make_driver()
    driver.window.open_project(folder)
    driver.photo_shown()
    row = driver.space.images.model.row(1)
    driver.until(lambda: driver.space.images.model.error_text(row))
    assert "truncated" in driver.space.images.model.error_text(row)


def test_a_folder_that_is_no_project_and_a_missing_one(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    driver = make_driver()
    assert not driver.window.open_project(tmp_path)
    assert "not a Kinmark project" in driver.window.message_bar.text
    assert not driver.window.open_project(tmp_path / "gone.kinmark")
    assert driver.window.workspace is None


def test_a_second_window_on_the_same_project_of_this_process_sees_the_changes(
    make_driver: Callable[..., Driver], driver: Driver
) -> None:
    from kinmark.projects.project import Project

    with Project.open(driver.space.folder) as other:
        image_id = driver.space.labelling.image.id
        other.operations.mark_nothing_here([image_id])
        driver.until(lambda: driver.space.labelling.image.state == "nothing")


@pytest.mark.parametrize("name", ["<b>bold</b><img src=x>", "שלום עולם", "😀" * 40, "x" * 300, "a & b \\ / : ?"])
def test_names_are_shown_as_they_are(driver: Driver, name: str) -> None:
    category = driver.space.labelling.categories[0]
    assert driver.space.session.write(lambda do: do.rename_category(category.id, name)) is not None
    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    driver.wait(0.05)
    assert name in driver.space.instances.chooser.itemText(0)
    assert driver.window.grab().width() > 0


def test_dropping_rubbish_says_so_and_adds_nothing(driver: Driver, tmp_path: Path) -> None:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "paper.pdf").write_bytes(b"%PDF-1.4 nothing")
    (folder / "loop").symlink_to(folder)
    driver.window.commands.project.take_dropped(dropped([folder]))
    driver.until(lambda: "0 photos added" in driver.window.message_bar.text)
    assert driver.space.session.queries.counts().all == 4


def test_settings_apply_at_once_and_stay(driver: Driver) -> None:
    from kinmark.desktop.settings import settings_file
    from kinmark.desktop.theme.apply import is_dark

    driver.window.registry["edit.settings"].trigger()
    dialog = driver.window.commands.dialogs.dialog("settings")
    driver.space.program.settings.change(theme="dark", font_scale=1.3)
    assert is_dark(driver.window.program.app.palette())
    assert 'theme = "dark"' in settings_file().read_text()
    dialog.search.setText("zoom")
    assert sum(not row.isHidden() for _, row in dialog._rows) == 1
    driver.space.program.settings.change(theme="light", font_scale=1.0)


def test_changing_a_shortcut_works_and_a_clash_is_marked(driver: Driver) -> None:
    driver.window.registry["help.shortcuts"].trigger()
    dialog = driver.window.commands.dialogs.dialog("shortcuts")
    dialog.choose("go.next_image")
    dialog.editor.setKeySequence("X")
    dialog.set_key()
    assert (
        "X" in dialog.note.text() and "⚠" in dialog.model.data(dialog.model.index(0, 2))
    ) or dialog.model._clashing == {
        "go.next_image",
        "review.reject",
    }
    dialog.editor.setKeySequence("Ctrl+Alt+Right")
    dialog.set_key()
    assert dialog.note.text() == "No clash."
    dialog.close()
    first = driver.space.labelling.image.id
    driver.key(Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    assert driver.space.labelling.image.id != first


def test_every_dialog_opens_and_closes(proposed: Driver) -> None:
    d, space = proposed.window.commands.dialogs, proposed.space
    openers = {
        "new": d.new_project,
        "settings": d.settings,
        "models": d.models,
        "keys": d.keys,
        "legend": d.legend,
        "about": d.about,
        "schema": lambda: d.schema(space),
        "export": lambda: d.export(space),
        "import": lambda: d.import_labels(space),
        "bulk": lambda: d.accept_queue(space),
        "find": lambda: d.find(space),
        "tune": lambda: d.tune(space),
        "relink": lambda: d.relink(space),
    }
    for name, opener in openers.items():
        opener()
        dialog = d.dialog(name)
        assert dialog is not None and dialog.isVisible() and dialog.windowTitle(), name
        for child in dialog.findChildren(object):
            if hasattr(child, "isVisible") and hasattr(child, "focusPolicy") and child.isVisible():
                assert child.accessibleName() is not None
        dialog.close()
        assert d.dialog(name) is None
    proposed.window.show_page("statistics")
    page = proposed.window.page("statistics").inner
    proposed.until(lambda: "of 4 photos" in page.summary.text())


def test_relinking_moved_photos(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 2)
    folder = make_project(tmp_path / "p.kinmark", photos)
    moved = tmp_path / "elsewhere"
    photos.rename(moved)
    driver = make_driver()
    driver.window.open_project(folder)
    driver.until(lambda: "not there" in driver.canvas.message)
    driver.window.registry["project.relink"].trigger()
    dialog = driver.window.commands.dialogs.dialog("relink")
    [root_id] = driver.space.session.queries.roots()
    dialog.relink(root_id, moved)
    driver.until(lambda: driver.canvas.pyramid is not None and "2" in dialog.state.text(), 60)


def test_closing_during_a_job_is_quick_and_loses_nothing(driver: Driver) -> None:
    import time

    from kinmark.desktop.engine_thread.jobs import JobContext

    def slow(context: JobContext) -> None:
        for _ in range(100_000):
            context.cancel.check()
            time.sleep(0.002)

    driver.key(Qt.Key.Key_K)
    driver.click(60, 60)
    folder = driver.space.folder
    driver.window.program.engine.submit("slow", slow)
    driver.wait(0.2)
    begin = time.monotonic()
    driver.window.close()
    assert time.monotonic() - begin < 2
    from kinmark.projects.project import Project

    with Project.open(folder) as project:
        assert project.queries.counts().keypoints == 1


def test_a_crash_is_caught_reported_and_survived(driver: Driver) -> None:
    driver.window.program.messages.bug(RuntimeError("boom"))
    from kinmark.desktop.dialogs.crash_dialog import CrashDialog

    dialogs = driver.window.findChildren(CrashDialog)
    assert len(dialogs) == 1 and "boom" in dialogs[0].report.toPlainText()
    dialogs[0].close()


def test_figures_come_from_the_record(tmp_path: Path) -> None:
    # The figures page needs no window and no model.
    from kinmark.projects.figures import figures_of
    from kinmark.projects.project import Project

    folder = make_project(tmp_path / "p.kinmark", make_photos(tmp_path / "photos", 2), labelled=1)
    with Project.open(folder) as project:
        figures = figures_of(project)
    assert (figures.photos, figures.done, figures.keypoints, figures.decisions) == (2, 1, 5, 0)
    assert json.dumps(figures.per_day)


def test_the_learning_curve_counts_decisions_by_labels(proposed: Driver) -> None:
    from kinmark.projects.figures import figures_of
    from kinmark.projects.project import Project

    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    proposed.key(Qt.Key.Key_X)
    proposed.key(Qt.Key.Key_Return)
    with Project.open(proposed.space.folder, read_only=True) as project:
        [decided, *others] = figures_of(project).learning
    assert not others and decided == ("1", 0.5, 2)
    proposed.window.show_page("statistics")
    page = proposed.window.page("statistics").inner
    proposed.until(lambda: bool(page.learning._points()))
    assert page.learning._labels == ("1",)


def test_statistics_show_what_was_wrong_and_lead_there(proposed: Driver) -> None:
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    space, at = proposed.space, proposed.space.labelling
    image, name, place = at.image, at.focused_name, at.focused
    proposal = at.selected.proposal(place)
    proposed.key(Qt.Key.Key_X)
    proposed.key(Qt.Key.Key_Return)
    proposed.window.show_page("statistics")
    page = proposed.window.page("statistics").inner
    proposed.until(lambda: page.wrong.buttons and page.wrong.buttons[0].isVisible())
    [crop] = page.wrong._crops
    assert (crop.image_id, crop.title, crop.path) == (image.id, name, image.path)
    assert ((crop.box[0] + crop.box[2]) / 2, (crop.box[1] + crop.box[3]) / 2) == pytest.approx((proposal.x, proposal.y))
    proposed.until(lambda: not page.wrong.buttons[0].icon().isNull())
    space.go_to(space.images.model.ids[0])
    page.wrong.buttons[0].click()
    assert proposed.window.page_name == "label" and at.image.id == image.id
