"""Photos with several instances, by real key and mouse events; the database is the judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt

from kinmark.desktop.session.regrouper import two_groups
from kinmark.projects.store.queries.images import ImageFilter
from tests.support.herd import NAMES, SURE, animals, make_herd, make_project, propose_herd
from tests.support.window import Driver

SHIFT = Qt.KeyboardModifier.ShiftModifier
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def herd(make_driver: Callable[..., Driver], tmp_path: Path) -> Iterator[Driver]:
    """A window on three photos of newts: one labelled in the first, three proposed in each of the others."""
    folder = make_project(tmp_path / "newts.kinmark", make_herd(tmp_path / "photos"), labelled=1)
    propose_herd(folder)
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.photo_shown()
    driver.canvas.setFocus()
    yield driver


def here(driver: Driver) -> int:
    return int(driver.space.labelling.image.id)


def accepted(driver: Driver, image_id: int) -> list[int]:
    return [len(i.keypoints) for i in driver.space.session.queries.instances(image_id=image_id)]


def test_enter_accepts_the_animal_that_is_framed_and_goes_to_the_next(herd: Driver) -> None:
    driver = herd
    driver.key(Qt.Key.Key_N)
    driver.photo_shown()
    labelling, photo = driver.space.labelling, here(driver)
    assert labelling.whole and labelling.focused is None and len(labelling.waiting) == 3
    step = driver.window.job_bar.step.whole_text
    assert "newt 1" in step and "93%" in step.replace(" ", "") and "all 3" in step
    assert [c.sure for c in labelling.content().instances] == list(SURE)
    driver.key(Qt.Key.Key_Return)
    assert accepted(driver, photo) == [3] and labelling.selected.number == 1 and labelling.whole
    driver.key(Qt.Key.Key_Tab)
    assert labelling.selected.number == 2 and labelling.whole
    driver.key(Qt.Key.Key_X)
    assert len(driver.space.session.queries.proposals(image_id=photo)) == 1
    driver.key(Qt.Key.Key_Return)
    assert accepted(driver, photo) == [3, 3]
    assert here(driver) == photo, "one looks once more before the next photo comes"
    assert "U says so" in driver.window.job_bar.step.whole_text
    driver.key(Qt.Key.Key_Return)
    assert here(driver) != photo, "Enter goes on without saying anything"
    assert driver.space.session.queries.exhaustive() == {}


def test_keypoints_of_one_among_several_are_decided_singly(herd: Driver) -> None:
    driver = herd
    driver.key(Qt.Key.Key_N)
    labelling, photo = driver.space.labelling, here(driver)
    driver.key(Qt.Key.Key_S)
    assert labelling.focused_name == "head" and not labelling.whole
    driver.key(Qt.Key.Key_Return)
    assert accepted(driver, photo) == [1] and labelling.focused_name == "body"
    driver.key(Qt.Key.Key_X)
    driver.key(Qt.Key.Key_Return)
    assert accepted(driver, photo) == [2]
    assert labelling.whole and labelling.selected.number == 1, "the next animal as a whole"


def test_shift_enter_takes_the_photo_and_u_says_that_all_are_labelled(herd: Driver) -> None:
    driver = herd
    driver.key(Qt.Key.Key_N)
    photo, queries = here(driver), driver.space.session.queries
    [category] = queries.categories()
    driver.key(Qt.Key.Key_Return, SHIFT)
    assert accepted(driver, photo) == [3, 3, 3] and here(driver) == photo
    driver.key(Qt.Key.Key_U)
    assert queries.exhaustive() == {photo: {category.id: True}} and here(driver) != photo
    other = here(driver)
    driver.key(Qt.Key.Key_Return)
    driver.key(Qt.Key.Key_U)
    assert accepted(driver, other) == [3] and not queries.proposals(image_id=other)
    assert queries.exhaustive()[other] == {category.id: True}
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert len(queries.proposals(image_id=other)) == 2 and other not in queries.exhaustive()
    driver.space.go_to(other)
    driver.key(Qt.Key.Key_U, SHIFT)
    assert queries.exhaustive()[other] == {category.id: False} and len(queries.proposals(image_id=other)) == 2
    driver.key(Qt.Key.Key_U, SHIFT)
    assert other not in queries.exhaustive(), "the same again takes it back"


def test_one_animal_a_photo_is_reviewed_keypoint_by_keypoint_as_ever(
    make_driver: Callable[..., Driver], tmp_path: Path
) -> None:
    folder = make_project(tmp_path / "newts.kinmark", make_herd(tmp_path / "photos"), labelled=1, instances="one")
    from kinmark.projects.project import Project
    from tests.support.herd import proposal_at

    with Project.open(folder) as project:
        row = project.queries.images()[1]
        one = proposal_at(str(row.id), "newt", animals(1)[0], 0.9, "r")
        project.operations.add_keypoint_proposals([one], project.queries.categories()[0].id)
    driver = make_driver([str(folder)])
    driver.until(lambda: driver.window.workspace is not None)
    driver.canvas.setFocus()
    driver.key(Qt.Key.Key_N)
    labelling, photo = driver.space.labelling, here(driver)
    assert labelling.focused_name == "head" and not labelling.whole
    for _ in NAMES:
        driver.key(Qt.Key.Key_Return)
    assert accepted(driver, photo) == [3] and labelling.settled is None


def two_halves(driver: Driver) -> tuple[int, int]:
    """The first animal of the third photo labelled as two instances: head with body, body with tail."""
    row = driver.space.session.queries.images()[2]
    [category] = driver.space.session.queries.categories()
    from kinmark.projects.store.inputs import NewKeypoint

    points = [NewKeypoint(d, *map(float, xy)) for d, xy in zip(category.definition_ids, animals(2)[0], strict=True)]
    other = NewKeypoint(category.definition_ids[1], points[1].x + 3, points[1].y)
    add = driver.space.session.write
    add(lambda do: do.clear_proposals())
    front = add(lambda do: do.add_instance(row.id, category.id, points[:2])).ids[0]
    back = add(lambda do: do.add_instance(row.id, category.id, [other, points[2]])).ids[0]
    driver.space.go_to(row.id)
    driver.photo_shown()
    return front, back


def test_two_halves_are_merged_and_split_again(herd: Driver) -> None:
    driver = herd
    front, back = two_halves(driver)
    photo, labelling = here(driver), driver.space.labelling
    labelling.select(f"i{front}")
    driver.key(Qt.Key.Key_J)
    assert accepted(driver, photo) == [3] and labelling.selected_key == f"i{front}"
    assert "body" in driver.window.message_bar.text and "Ctrl+Z" in driver.window.message_bar._hint.text()
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert accepted(driver, photo) == [2, 2]
    driver.key(Qt.Key.Key_Y, CONTROL)
    assert accepted(driver, photo) == [3]
    # The tail is marked with the mouse, the body with the key.
    tail = labelling.selected.keypoint(2)
    driver.click(tail.x, tail.y, modifiers=CONTROL)
    assert labelling.marked == {2}
    labelling.focus(1)
    driver.key(Qt.Key.Key_Y)
    assert labelling.marked == {1, 2}
    driver.key(Qt.Key.Key_J, SHIFT)
    assert accepted(driver, photo) == [1, 2]
    assert labelling.selected.instance.id not in (front, back), "the new one is selected"
    assert set(labelling.selected.accepted) == set(labelling.selected.definition_ids[1:])


def test_a_keypoint_is_given_to_the_other_animal(herd: Driver) -> None:
    driver = herd
    front, back = two_halves(driver)
    labelling, queries = driver.space.labelling, driver.space.session.queries
    bodies = [i.keypoints[1 if i.id == front else 0].x for i in queries.instances(image_id=here(driver))]
    labelling.select(f"i{front}", 1)
    driver.key(Qt.Key.Key_I, SHIFT)
    after = {i.id: {k.definition_id: k.x for k in i.keypoints} for i in queries.instances(image_id=here(driver))}
    body = labelling.categories[0].definition_ids[1]
    assert (after[front][body], after[back][body]) == (bodies[1], bodies[0]), "exchanged"
    assert labelling.selected_key == f"i{back}" and labelling.focused == 1
    labelling.select(f"i{front}", 0)
    driver.key(Qt.Key.Key_I, SHIFT)
    assert sorted(len(i.keypoints) for i in queries.instances(image_id=here(driver))) == [1, 3]


def test_of_three_one_is_chosen_in_a_menu(herd: Driver) -> None:
    driver = herd
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_J)
    menu = driver.window.commands.several.menu
    titles = [a.text() for a in menu.actions() if not a.isSeparator()]
    assert len(titles) == 2 and titles[0].startswith("&2"), "the nearest first"
    menu.actions()[1].trigger()
    menu.close()
    assert len(driver.space.labelling.waiting) == 2, "two pending ones became one pending one"


def test_a_split_without_marks_takes_the_farther_group(herd: Driver) -> None:
    driver = herd
    row = driver.space.session.queries.images()[1]
    [category] = driver.space.session.queries.categories()
    from kinmark.projects.store.inputs import NewKeypoint

    head, body, tail = category.definition_ids
    a, b = animals(1)[0], animals(1)[1]
    points = [
        NewKeypoint(head, *map(float, a[0])),
        NewKeypoint(body, *map(float, a[1])),
        NewKeypoint(tail, *map(float, b[2])),
    ]
    [mixed] = driver.space.session.write(lambda do: do.add_instance(row.id, category.id, points)).ids
    driver.space.go_to(row.id)
    driver.space.labelling.select(f"i{mixed}")
    driver.key(Qt.Key.Key_J, SHIFT)
    rows = {
        i.id: {k.definition_id for k in i.keypoints} for i in driver.space.session.queries.instances(image_id=row.id)
    }
    assert rows.pop(mixed) == {head, body} and list(rows.values()) == [{tail}]


def test_two_groups() -> None:
    left, right = np.array([(0, 0), (1, 0), (0, 2)]), np.array([(30, 0), (31, 1)])
    groups = two_groups(np.concatenate([left, right]))
    assert len(set(groups[:3])) == len(set(groups[3:])) == 1 and groups[0] != groups[3]
    assert sorted(two_groups(np.array([(5.0, 5.0), (5.0, 5.0)])).tolist()) == [0, 1], "one place, two keypoints"


def test_the_list_can_be_narrowed_to_photos_that_are_complete(herd: Driver) -> None:
    driver = herd
    queries = driver.space.session.queries
    driver.key(Qt.Key.Key_U)
    first = queries.images()[0].id
    assert queries.image_ids(ImageFilter(exhaustive="yes")) == (first,)
    driver.window.search.setText("all:yes")
    driver.until(lambda: list(driver.space.images.model.ids) == [first])
    driver.window.search.setText("n:0")
    driver.until(lambda: len(driver.space.images.model.ids) == 2)
    driver.window.search.setText("n:>0")
    driver.until(lambda: list(driver.space.images.model.ids) == [first])


def test_the_dialog_of_categories_says_how_many_a_photo_may_hold(herd: Driver) -> None:
    driver = herd
    queries = driver.space.session.queries
    driver.window.registry["edit.schema"].trigger()
    dialog = driver.window.commands.dialogs.dialog("schema")
    assert dialog.instances.kind.currentData() == "auto" and not dialog.instances.number.isVisible()
    dialog.new_name.setText("paw")
    dialog.add_keypoint()
    dialog.instances.kind.setCurrentIndex(2)
    dialog.instances.kind.activated.emit(2)
    assert queries.categories()[0].instances == "5" and dialog.instances.number.isVisible()
    dialog.instances.number.setValue(12)
    assert queries.categories()[0].instances == "12"
    assert dialog.edited and "paw" in dialog.draft.names, "what else is edited stays"
    dialog.save.click()
    dialog.instances.kind.setCurrentIndex(1)
    dialog.instances.kind.activated.emit(1)
    assert queries.categories()[0].instances == "one" and len(queries.categories()[0].definitions) == 4
    dialog.close()
    driver.key(Qt.Key.Key_Z, CONTROL)
    assert queries.categories()[0].instances == "12"


def test_statistics_know_several(herd: Driver) -> None:
    from kinmark.projects.figures import figures_of

    driver = herd
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_Return, SHIFT)
    driver.key(Qt.Key.Key_U)
    project = driver.space.session.project
    [category] = project.queries.categories()
    for chosen in (None, category.id):
        figures = figures_of(project, chosen)
        assert figures.per_photo == ((1, 1), (3, 1)) and (figures.exhaustive, figures.not_exhaustive) == (1, 0)


def test_an_animal_that_is_labelled_twice_is_merged_or_called_fine(herd: Driver) -> None:
    from kinmark.projects.store.inputs import NewKeypoint
    from kinmark.projects.workflows.check import CheckOptions, check

    driver = herd
    space, queries = driver.space, driver.space.session.queries
    space.session.write(lambda do: do.clear_proposals())
    row, [category] = queries.images()[0], queries.categories()

    def add(n: int, shift: float) -> int:
        points = [
            NewKeypoint(d, float(x) + shift, float(y))
            for d, (x, y) in zip(category.definition_ids, animals(0)[n], strict=True)
        ]
        return int(space.session.write(lambda do: do.add_instance(row.id, category.id, points)).ids[0])

    far, double = add(1, 0.0), add(0, 2.0)
    first = queries.instances(image_id=row.id)[0].id
    findings = check(space.session.project, object(), CheckOptions(looks=False))
    driver.window.commands.engine.check_done(findings)
    assert space.labelling.selected_key == f"i{double}"
    [(card, (x0, _, x1, _))] = space.review.model.cards or [(row, space.review._suspicious([row.id])[row.id])]
    assert card.id == row.id and x1 - x0 < 100, "the crop shows the animal, not the whole photo"
    step = driver.window.job_bar.step.whole_text
    assert "labelled twice" in step and "J merges" in step
    driver.canvas.setFocus()
    driver.key(Qt.Key.Key_J)
    assert {i.id for i in queries.instances(image_id=row.id)} == {double, far}, "no question: the check knows which"
    driver.key(Qt.Key.Key_Z, CONTROL)
    driver.window.commands.engine.check_done(findings)
    driver.key(Qt.Key.Key_Return)
    assert {i.id for i in queries.instances(image_id=row.id)} == {first, far, double}
    driver.window.commands.engine.check_done(findings)
    assert not space.queue.findings, "a person said that both are there"


def test_left_and_right_individuals_are_two_categories_and_a_wrong_one_is_put_right(herd: Driver) -> None:
    from tests.support.herd import SCHEMA

    driver = herd
    labelling, queries = driver.space.labelling, driver.space.session.queries
    [other] = driver.space.session.write(lambda do: do.add_category("left_newt", SCHEMA)).ids
    labelling.select(labelling.shown[0].key)
    menu = driver.window.commands.points.canvas_menu(driver.space, labelling.selected_key, None)
    [kinds] = [a.menu() for a in menu.actions() if a.menu() is not None]
    [entry] = kinds.actions()
    assert entry.text() == "left_newt"
    entry.trigger()
    [instance] = queries.instances(image_id=here(driver))
    assert instance.category_id == other and len(instance.keypoints) == 3
    menu.close()


def test_the_queue_shows_the_least_sure_animal_of_a_photo(herd: Driver) -> None:
    driver = herd
    driver.space.review.refresh()
    cards = driver.space.review.model.cards
    assert len(cards) == 2
    for row, (x0, _, x1, _) in cards:
        index = int(row.file_name.split("_")[1].split(".")[0])
        assert x0 < animals(index)[2][0][0] < x1 and not x0 < animals(index)[0][0][0] < x1


def test_what_was_learned_in_one_photo_holds_in_the_next(herd: Driver) -> None:
    driver = herd
    space, queries = driver.space, driver.space.session.queries
    last = queries.images()[2].id
    space.session.write(lambda do: do.reject_proposals([p.id for p in queries.proposals(image_id=last)[1:]]))
    [category] = queries.categories()
    assert not space.labelling.several(category), "one in this photo, one labelled at all"
    space.go_to(queries.images()[1].id)
    driver.key(Qt.Key.Key_Return)
    driver.key(Qt.Key.Key_Return)
    space.go_to(last)
    assert len(space.labelling.waiting) == 1 and space.labelling.whole, "the only one here is looked at as a whole, too"
