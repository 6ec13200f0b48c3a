"""Photos and the disk: scanning, roots, EXIF, names, duplicates, moved and changed files."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from kinmark.engine.domain.errors import OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.images import add_paths, check_files, describe, relink_folder, relink_missing, scan
from kinmark.projects.project import Project
from kinmark.projects.store.inputs import NewImage
from kinmark.projects.store.queries import ImageFilter


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "p.kinmark") as made:
        yield made


def photo(path: Path, colour: int = 0, size: tuple[int, int] = (8, 6), orientation: int = 1) -> Path:
    """A small real photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", size, (colour, 10, 20)).save(path, exif=exif)
    return path


def test_same_names_in_different_folders_stay_apart(project: Project, tmp_path: Path) -> None:
    photo(tmp_path / "a" / "x.jpg", 1)
    photo(tmp_path / "b" / "x.jpg", 2)
    photo(tmp_path / "b" / "deep" / "x.jpg", 3)
    (tmp_path / "b" / "notes.txt").write_text("no photo")
    (tmp_path / "b" / ".hidden.jpg").write_bytes(b"")
    (tmp_path / "b" / "empty.jpg").write_bytes(b"")
    (tmp_path / "b" / "wrong.png").write_text("text")
    report = add_paths(project, [tmp_path / "a", tmp_path / "b"], progress=Progress())
    assert len(report.image_ids) == 3
    assert sorted(row.file_name for row in project.queries.images()) == ["deep/x.jpg", "x.jpg", "x.jpg"]
    assert {row.path for row in project.queries.images()} == {
        tmp_path / "a" / "x.jpg",
        tmp_path / "b" / "x.jpg",
        tmp_path / "b" / "deep" / "x.jpg",
    }
    assert {line.split(":")[0].rsplit("/", 1)[1] for line in report.skipped} == {"notes.txt", "empty.jpg", "wrong.png"}
    again = add_paths(project, [tmp_path / "a", tmp_path / "b"])
    assert again.image_ids == () and sum("already" in line for line in again.skipped) == 3
    project.undo()
    assert project.queries.count_images() == 0 and project.queries.roots() == {}


def test_files_given_one_by_one_share_their_common_folder(project: Project, tmp_path: Path) -> None:
    files = [photo(tmp_path / "photos" / "a" / "x.jpg", 1), photo(tmp_path / "photos" / "b" / "x.jpg", 2)]
    add_paths(project, files)
    assert [row.file_name for row in project.queries.images()] == ["a/x.jpg", "b/x.jpg"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_kept_and_size_is_oriented(project: Project, tmp_path: Path, orientation: int) -> None:
    path = photo(tmp_path / "a" / "o.jpg", 1, (100, 40), orientation)
    before = path.read_bytes()
    add_paths(project, [tmp_path / "a"])
    [row] = project.queries.images()
    assert row.orientation == orientation
    assert row.size_wh == ((40, 100) if orientation >= 5 else (100, 40))
    assert path.read_bytes() == before and len(row.sha256) == 64 and row.size_bytes == len(before)


def test_unicode_forms_of_one_name_are_one_image(project: Project, tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "Fräulein Ö 🦦.jpg")
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    photo(tmp_path / "a" / decomposed)
    add_paths(project, [tmp_path / "a"])
    for spelling in (composed, decomposed):
        found = project.queries.image_named(spelling)
        assert found is not None and found.path.is_file(), "looked up in any form, opened by the bytes on disk"
    assert project.queries.image_named(tmp_path / "a" / decomposed) == found
    assert project.operations.add_images([NewImage(tmp_path / "a", composed, 8, 6)]).count == 0


def test_paths_that_leave_their_root_are_refused(project: Project, tmp_path: Path) -> None:
    for name in ("../x.jpg", "/etc/x.jpg", "a/../../x.jpg", ""):
        with pytest.raises(UserInputError, match="leaves its image root"):
            project.operations.add_images([NewImage(tmp_path, name, 8, 6)])
    assert project.queries.count_images() == 0


def test_a_loop_of_links_ends(project: Project, tmp_path: Path) -> None:
    photo(tmp_path / "a" / "x.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "a" / "itself.jpg").symlink_to(tmp_path / "a" / "itself.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "a" / "pipe.jpg")  # opening it would wait for a writer
    found, skipped = scan([tmp_path / "a"])
    assert [path.name for _, path in found] == ["x.jpg"]
    report = add_paths(project, [tmp_path / "a"])
    assert len(report.image_ids) == 1 and report.skipped == tuple(skipped)
    assert ["broken.jpg" in skipped[0], "itself.jpg" in skipped[1]] == [True, True]


def test_two_files_of_one_look_are_told_from_one_added_twice(project: Project, tmp_path: Path) -> None:
    for number, name in enumerate(("e\u0301.jpg", "\u00e9.jpg")):
        photo(tmp_path / "a" / name, number)
    if len(list((tmp_path / "a").iterdir())) == 1:
        pytest.skip("the file system takes them for one name")
    assert "rename one" in add_paths(project, [tmp_path / "a"]).skipped[0]
    again = add_paths(project, [tmp_path / "a"]).skipped
    assert [line.endswith("already in the project") for line in again] == [True, False]


def test_duplicates_are_reported(project: Project, tmp_path: Path) -> None:
    first = photo(tmp_path / "a" / "1.jpg", 5)
    shutil.copy(first, tmp_path / "a" / "2.jpg")
    photo(tmp_path / "a" / "3.jpg", 200)
    report = add_paths(project, [tmp_path / "a"])
    assert len(report.duplicates) == 1 and len(report.image_ids) == 3, "kept, but said"
    assert project.queries.duplicates() == (report.image_ids[:2],)


def test_changed_and_missing_files_are_noticed(project: Project, tmp_path: Path) -> None:
    for i in range(4):
        photo(tmp_path / "a" / f"{i}.jpg", i)
    ids = add_paths(project, [tmp_path / "a"]).image_ids
    assert check_files(project).changed == ()
    photo(tmp_path / "a" / "0.jpg", 200)
    (tmp_path / "a" / "1.jpg").unlink()
    os.utime(tmp_path / "a" / "2.jpg", (1, 1))
    outcome = check_files(project)
    assert outcome.changed == ids[:1] and outcome.missing == ids[1:2], "a new time alone is no change"
    assert project.queries.image_ids(ImageFilter(file_state="changed")) == ids[:1]
    row = project.queries.image(ids[0])
    project.operations.accept_changed_file(ids[0], describe(tmp_path / "a", row.path))
    assert check_files(project).changed == ()
    project.undo()
    assert project.queries.image(ids[0]).sha256 == row.sha256


def test_a_project_moves_with_its_photos(tmp_path: Path) -> None:
    photo(tmp_path / "here" / "photos" / "x.jpg")
    with Project.create(tmp_path / "here" / "p.kinmark") as project:
        add_paths(project, [tmp_path / "here" / "photos"])
    (tmp_path / "here").rename(tmp_path / "there")
    with Project.open(tmp_path / "there" / "p.kinmark") as project:
        assert project.queries.images()[0].path == tmp_path / "there" / "photos" / "x.jpg"
        assert check_files(project).missing == ()


def test_a_moved_folder_is_linked_again(project: Project, tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / "a" / "sub" / f"{i}.jpg", i)
    add_paths(project, [tmp_path / "a"])
    (tmp_path / "a").rename(tmp_path / "b")
    assert len(check_files(project).missing) == 3
    [root] = project.queries.roots()
    with pytest.raises(UserInputError, match="None of the 3 photos"):
        relink_folder(project, root, tmp_path / "p.kinmark")
    report = relink_folder(project, root, tmp_path / "b")
    assert report.found == 3 and check_files(project).missing == ()
    project.undo()
    assert len(check_files(project).missing) == 3


def test_renamed_photos_are_found_by_content(project: Project, tmp_path: Path) -> None:
    for i in range(3):
        photo(tmp_path / "a" / f"{i}.jpg", i * 40)
    ids = add_paths(project, [tmp_path / "a"]).image_ids
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "0.jpg").rename(tmp_path / "new" / "deep" / "renamed.jpg")
    (tmp_path / "a" / "1.jpg").unlink()
    check_files(project)
    report = relink_missing(project, tmp_path / "new")
    assert report.found == 1 and report.lost == ("1.jpg",)
    assert project.queries.image(ids[0]).path == tmp_path / "new" / "deep" / "renamed.jpg"


def test_cancelled_adding_adds_nothing(project: Project, tmp_path: Path) -> None:
    photo(tmp_path / "a" / "x.jpg")
    token = CancelToken()
    token.cancel()
    with pytest.raises(OperationCancelled):
        add_paths(project, [tmp_path / "a"], cancel=token)
    assert project.queries.count_images() == 0 and project.undo_name is None


def test_a_path_that_is_not_there(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="no file or folder"):
        add_paths(project, [tmp_path / "nowhere"])
