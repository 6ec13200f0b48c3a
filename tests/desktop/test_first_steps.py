"""What a new user meets: every view is filled, empty places say what to do, and the next key is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.support.window import Driver, make_project


def test_source_shows_its_photo_when_a_project_opens(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    folder = make_project(tmp_path / "figures.kinmark", photos, labelled=1)
    driver = make_driver()
    assert driver.window.open_project(folder)
    driver.photo_shown()
    driver.until(lambda: driver.space.target.source.view.pyramid is not None, 5)


def test_empty_project_says_where_photos_come_from(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    from kinmark.projects.project import Project

    folder = tmp_path / "empty.kinmark"
    Project.create(folder, name="empty").close()
    driver = make_driver()
    assert driver.window.open_project(folder)
    panel = driver.space.images
    assert "Ctrl+Shift+O" in panel._empty.text() and panel.view.isHidden()


def test_filter_without_photos_says_so(driver: Driver) -> None:
    driver.space.images.search("tag:nobody")
    assert driver.space.images._empty.text() == "No photo fits this filter."
    driver.space.images.search("")
    assert not driver.space.images.view.isHidden()


def test_next_step_leads_from_the_exemplar_to_proposing(driver: Driver) -> None:
    labelling = driver.space.labelling
    assert labelling.next_step().startswith("Press K")
    assert "(K)" in driver.space.review.empty.text()
    from tests.support.window import figure_points

    driver.window.commands.use_tool("keypoint")
    for x, y in figure_points(0, labelling.image.size_wh):
        driver.click(float(x), float(y))
    driver.until(lambda: labelling.has_exemplar)
    assert "Ctrl+P" in labelling.next_step()
    driver.window.commands.use_tool("select")
    driver.space.step_image(1)
    driver.photo_shown()
    assert labelling.next_step().startswith("Ctrl+P proposes figure")
    driver.until(lambda: "Ctrl+P" in driver.space.review.empty.text() and "(K)" not in driver.space.review.empty.text())


def test_step_line_is_the_canvas_own(proposed: Driver) -> None:
    window = proposed.window
    assert window.job_bar.step.whole_text
    window.show_page("identities")
    assert window.job_bar.step.whole_text == ""
    window.show_page("label")
    assert window.job_bar.step.whole_text


def test_enter_in_the_search_goes_to_what_was_found(driver: Driver) -> None:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    window = driver.window
    window.search.setFocus()
    QTest.keyClicks(window.search, "photo_2")
    QTest.keyClick(window.search, Qt.Key.Key_Return)
    assert driver.space.labelling.image.file_name.endswith("photo_2.png")
    window.search.setText("")
    QTest.keyClick(window.search, Qt.Key.Key_Return)
    assert driver.space.labelling.image.file_name.endswith("photo_2.png"), "a search taken back leaves the photo"


def test_card_says_nothing_before_it_knows(qtbot: object, tmp_path: Path) -> None:
    from kinmark.desktop.pages.start_page import ProjectCard, ProjectSummary

    card = ProjectCard(tmp_path / "dogs.kinmark")
    assert card._line() == ""
    card.show_summary(ProjectSummary(tmp_path / "dogs.kinmark", "dogs", 1, 0))
    assert card._line() == "1 photo, 0 done"


def test_nothing_moves_under_the_hand(driver: Driver) -> None:
    """Messages and jobs come and go without shifting the photo."""
    from kinmark.desktop.engine_thread.jobs import Job
    from kinmark.desktop.engine_thread.service import JobState
    from kinmark.engine.domain.progress import ProgressSnapshot

    window = driver.window
    before = driver.at(100, 100), driver.canvas.mapTo(window, driver.canvas.rect().topLeft()), driver.canvas.size()
    window.program.messages.info("Twelve instances proposed.", "N goes to the one that needs you most.")
    window.job_bar.show_job(JobState(Job.make("Proposing", lambda _: None), ProgressSnapshot("", 1, 10, 1.0), 2))
    driver.wait(0.1)
    assert window.message_bar.isVisible() and window.job_bar.cancel.isVisible()
    assert before == (
        driver.at(100, 100),
        driver.canvas.mapTo(window, driver.canvas.rect().topLeft()),
        driver.canvas.size(),
    )
    inside = window.message_bar.parentWidget().rect()
    assert inside.contains(window.message_bar.geometry())
    window.resize(900, 600)
    driver.wait(0.1)
    assert window.message_bar.parentWidget().rect().contains(window.message_bar.geometry())


def test_check_names_what_looks_wrong_on_the_photo_in_front(
    make_driver: Callable[..., Driver], tmp_path: Path, photos: Path
) -> None:
    from kinmark.projects.workflows.check import Finding

    driver = make_driver()
    assert driver.window.open_project(make_project(tmp_path / "figures.kinmark", photos, labelled=2))
    driver.photo_shown()
    image = driver.space.labelling.image
    instance = driver.space.session.queries.instances(image_ids=[image.id])[0]
    finding = Finding("far", image.file_name, image.id, instance.id, "figure", "left_ear", 2.0, "left_ear looks odd")
    driver.window.commands.engine.check_done((finding,))
    assert driver.space.labelling.focused_name == "left_ear"
    assert driver.window.job_bar.step.whole_text.startswith("left_ear looks unlike that of the other photos")
    driver.space.step_image(1)
    driver.photo_shown()
    assert "looks unlike" not in driver.window.job_bar.step.whole_text


def test_with_the_keypoint_tool_in_hand_a_proposal_is_still_reviewed(proposed: Driver) -> None:
    from PySide6.QtCore import Qt

    at = proposed.space.labelling
    proposed.window.commands.use_tool("keypoint")
    proposed.key(Qt.Key.Key_N)
    proposed.photo_shown()
    name = at.focused_name
    assert at.placing and at.next_step().startswith((f"Enter accepts {name}", "Maybe there is no figure here"))
    proposed.key(Qt.Key.Key_Return)
    [instance] = proposed.space.session.queries.instances(image_id=at.image.id)
    assert len(instance.keypoints) == 1


def test_a_sweep_begins_beside_the_photo_that_is_looked_at(make_driver: Callable[..., Driver], tmp_path: Path) -> None:
    from kinmark.projects.workflows.propose_all import needing_proposals
    from tests.support.window import make_photos

    folder = make_project(tmp_path / "figures.kinmark", make_photos(tmp_path / "many", 6), labelled=1)
    driver = make_driver()
    assert driver.window.open_project(folder)
    first, *others = driver.space.images.model.ids
    project = driver.space.session.project
    assert needing_proposals(project, others[2]) == (others[2], others[1], others[3], others[0], others[4], first)
    assert needing_proposals(project)[:2] == tuple(others[:2])


def test_the_sample_project_opens_at_a_labelled_photo_and_says_what_to_do(
    make_driver: Callable[..., Driver], tmp_path: Path
) -> None:
    from kinmark.projects.sample import make_sample_project

    driver = make_driver()
    assert driver.window.open_project(make_sample_project(tmp_path / "sample.kinmark"))
    driver.photo_shown()
    at = driver.space.labelling
    assert "dog" in at.image.file_name and at.selected is not None and len(at.selected.accepted) > 10
    assert at.next_step().startswith("Ctrl+P proposes dog on the other photos")


def test_when_nothing_is_sure_enough_the_surest_is_named(proposed: Driver) -> None:
    proposed.space.program.settings.change(accept_precision=1.0)
    surest = max(k.confidence for p in proposed.space.session.queries.proposals() for k in p.keypoints)
    assert surest < 1.0
    proposed.window.registry["review.accept_queue"].trigger()
    dialog = proposed.window.commands.dialogs.dialog("bulk")
    assert f"the surest has {surest:.0%}" in dialog.summary.text() and dialog.least.isHidden()
    assert not dialog.accept_button.isEnabled()
    dialog.slider.setValue(10)
    assert not dialog.least.isHidden() and dialog.accept_button.isEnabled()
    dialog.reject()
