"""The public verbs on a project, with the real engine on the toy pipeline."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import kinmark
from tests.support.window import make_photos

NAMES = ("nose", "l_ear", "r_ear", "tail")


@pytest.fixture
def project(tmp_path: Path, model: kinmark.Model):
    photos = make_photos(tmp_path / "photos")
    with kinmark.create_project(tmp_path / "p.kinmark", model=model) as made:
        made.add_photos(photos)
        made.add_category("figure", NAMES, skeleton=[("nose", "tail")], pairs=[("l_ear", "r_ear")])
        yield made


def label_first(project: kinmark.Project) -> kinmark.Instance:
    return project.label(
        project.photos()[0].name,
        "figure",
        {"nose": (30, 20), "l_ear": kinmark.Keypoint(22.5, 30, "hidden"), "r_ear": (40, 30), "tail": None},
        box=(10, 10, 60, 60),
    )


def test_importing_it_loads_no_torch_and_no_qt(repository: Path) -> None:
    code = "import sys, kinmark; print([m for m in ('torch', 'diffusers', 'PySide6', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_was_labelled_is_read_again_after_closing(project: kinmark.Project) -> None:
    mask = np.zeros((project.photos()[1].height, project.photos()[1].width), bool)
    mask[5:20, 8:30] = True
    label_first(project)
    project.label(project.photos()[1].id, "figure", mask=mask, identity="Pip")
    project.close()
    with kinmark.open_project(project.folder, read_only=True) as again:
        first, second = again.instances()
        assert first.keypoints["nose"] == kinmark.Keypoint(30, 20) and first.box == (10, 10, 60, 60)
        assert first.keypoints["l_ear"].visibility == "hidden" and math.isnan(first.keypoints["tail"].x)
        assert second.identity == "Pip" and second.has_mask and not first.has_mask
        kept = again.mask(second)
        assert kept is not None and np.array_equal(kept, mask) and again.mask(first) is None
        (category,) = again.categories()
        assert (category.keypoints, category.skeleton, category.pairs) == (
            NAMES,
            (("nose", "tail"),),
            (("l_ear", "r_ear"),),
        )
        states = [p.state for p in again.photos()]
        assert states[0] == "done" and states[1] != "unseen" and set(states[2:]) == {"unseen"}


def test_labelling_with_a_new_identity_is_one_step(project: kinmark.Project) -> None:
    project.label(project.photos()[0].name, "figure", {"nose": (3, 4)}, identity="Pip")
    assert project.undo() and not list(project.instances()) and not project.stored.queries.identities()
    assert project.redo() and len(list(project.instances())) == 1
    assert not project.redo()


def test_propose_accept_reject_undo(project: kinmark.Project) -> None:
    label_first(project)
    others = [photo.name for photo in project.photos()[1:]]
    proposed = project.propose("figure")
    assert {p.photo for p in proposed} == set(others) and all(0 <= p.confidence <= 1 for p in proposed)
    assert {name for p in proposed for name in p.keypoints} <= set(NAMES)
    assert project.reject([proposed[-1]]) > 0
    assert {p.photo for p in project.proposals()} == set(others) - {proposed[-1].photo}
    accepted = project.accept(proposed[:1])
    assert accepted == len(proposed[0].keypoints)
    (made,) = project.instances(photo=proposed[0].photo)
    assert str(made.keypoints) == str({name: proposed[0].keypoints[name] for name in made.keypoints})
    project.undo()
    assert not list(project.instances(photo=proposed[0].photo)) and proposed[0].photo in {
        p.photo for p in project.proposals()
    }


def test_proposals_for_some_photos_only(project: kinmark.Project) -> None:
    label_first(project)
    wanted = project.photos()[2]
    assert {p.photo for p in project.propose(photos=[wanted.path])} == {wanted.name}


def test_find_ranks_the_other_photos(project: kinmark.Project) -> None:
    found = project.find(
        kinmark.Reference(project.photos()[0].name, box=(10, 10, 60, 60)), kind="figure", identity="Pip"
    )
    assert {row.photo for row in found} == {p.name for p in project.photos()[1:]}
    assert [row.score for row in found if row.here] == sorted((r.score for r in found if r.here), reverse=True)
    sizes = {p.name: (p.height, p.width) for p in project.photos()}
    for row in found:
        assert (row.mask is None) == (row.box is None) == (not row.here)
        if row.mask is not None:
            assert row.mask.shape == sizes[row.photo] and row.mask.any()
    assert {p.kind for p in project.proposals()} <= {"mask"}


def test_export_and_import_bring_the_same_labels(
    project: kinmark.Project, tmp_path: Path, model: kinmark.Model
) -> None:
    label_first(project)
    written = project.export(tmp_path / "out")
    assert written.instances == 1 and json.loads(written.files[0].read_text())["annotations"]
    with kinmark.create_project(tmp_path / "second.kinmark", model=model) as second:
        done = second.import_labels(written.files[0], images=tmp_path / "photos")
        assert (done.added, done.skipped) == (1, 0)
        (mine,), (theirs,) = list(project.instances()), list(second.instances())
        assert str(mine.keypoints) == str(theirs.keypoints) and mine.box == theirs.box
        assert second.import_labels(written.files[0], images=tmp_path / "photos").kept == 1


@pytest.mark.parametrize(
    ("photo", "category", "keypoints", "said"),
    [
        ("nobody.jpg", "figure", {}, "no photo nobody.jpg"),
        (0, "cat", {}, "no category cat"),
        (0, "figure", {"beak": (1, 2)}, "no keypoint beak"),
        (0, "figure", {"nose": (float("nan"), 2)}, "is no place"),
        (0, "figure", {"nose": kinmark.Keypoint(1, 2, "seen")}, 'no visibility "seen"'),  # type: ignore[arg-type]
    ],
)
def test_bad_labels_are_refused_and_leave_nothing(project: kinmark.Project, photo, category, keypoints, said) -> None:
    name = project.photos()[photo].name if isinstance(photo, int) else photo
    with pytest.raises(kinmark.UserInputError, match=said):
        project.label(name, category, keypoints, identity="Pip")
    assert not list(project.instances()) and not project.stored.queries.identities()


def test_a_mask_of_another_size_and_bad_schemas_are_refused(project: kinmark.Project) -> None:
    with pytest.raises(kinmark.UserInputError, match="height, width"):
        project.label(project.photos()[0].name, "figure", mask=np.ones((3, 4), bool))
    with pytest.raises(kinmark.UserInputError, match="which is no keypoint"):
        project.add_category("cat", ["nose"], pairs=[("l_ear", "r_ear")])
    with pytest.raises(kinmark.UserInputError, match="already a category"):
        project.add_category("figure", ["nose"])
    with pytest.raises(kinmark.UserInputError, match="labelled yet"):
        project.propose("figure")


def test_a_second_writer_and_a_missing_project_are_refused(project: kinmark.Project, tmp_path: Path) -> None:
    with pytest.raises(kinmark.ProjectError, match="not a Kinmark project"):
        kinmark.open_project(tmp_path / "photos")
    with pytest.raises(kinmark.UserInputError, match="already a project"):
        kinmark.create_project(project.folder)
    project.close()
    with pytest.raises(kinmark.KinmarkError, match="closed"):
        project.photos()


def test_version_names_the_program() -> None:
    assert kinmark.version().split()[0][0].isdigit()


def test_what_was_left_out_is_said(project: kinmark.Project, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "broken.jpg").write_bytes(b"\xff\xd8no")
    assert project.add_photos(tmp_path / "more") == [] and "broken.jpg" in project.notes[0]
    label_first(project)
    last = project.photos()[-1]
    last.path.write_bytes(b"\xff\xd8no")
    proposed = project.propose("figure")
    assert (
        last.name not in {p.photo for p in proposed}
        and proposed
        and any(last.path.name in note for note in project.notes)
    )
    with pytest.raises(kinmark.UserInputError, match="height, width"):
        project.find(kinmark.Reference(project.photos()[0].name, mask=np.ones((2, 2), bool)), kind="figure")


def test_progress_is_told_and_cancelling_keeps_nothing_half_done(project: kinmark.Project) -> None:
    label_first(project)
    progress, cancel = kinmark.Progress(), kinmark.CancelToken()
    project.propose("figure", progress=progress)
    seen = progress.snapshot()
    assert seen.total > 0 and seen.done > 0
    cancel.cancel()
    with pytest.raises(kinmark.OperationCancelled):
        project.find(kinmark.Reference(project.photos()[0].name, box=(10, 10, 60, 60)), kind="figure", cancel=cancel)
    assert not [p for p in project.proposals() if p.kind == "mask"]
