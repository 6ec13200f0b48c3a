"""Opening, locking, damage, backups, several threads and processes: what a project survives and what it says."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import AppError, BugError, ProjectError, UserInputError
from kinmark.projects.project import Project
from kinmark.projects.store import backup, migrate
from kinmark.projects.store.database import DATABASE_NAME
from tests.support.projects import add_images, dump, make_project

_HOLD = """
import sys, time
from kinmark.projects.project import Project
with Project.open(sys.argv[1]) as project:
    print("open", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed project with one category and six images."""
    make_project(tmp_path / "p.kinmark").close()
    return tmp_path / "p.kinmark"


def test_a_second_process_is_told_who_holds_the_project(folder: Path, repository: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=repository,
        text=True,
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(ProjectError, match=f"process {holder.pid}") as caught:
            Project.open(folder)
        assert "read-only" in caught.value.hint
        with Project.open(folder, read_only=True) as reader:
            assert reader.queries.counts().all == 6
            with pytest.raises(UserInputError, match="read-only"):
                reader.operations.add_category("cat")
        holder.stdin.write("\n")
        holder.stdin.close()
        holder.wait(30)
    Project.open(folder).close()


def test_threads_write_in_turn_and_hear_of_each_other(folder: Path) -> None:
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with Project.open(folder) as mine:
                for i in range(10):
                    add_images(mine, 1, start=1000 * (number + 1) + i)
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    with Project.open(folder) as project:
        heard: list[tuple[str, object]] = []
        project.on_change.append(lambda changes, who: heard.append((changes.name, who)))
        threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert project.queries.count_images() == 36
        others = project.poll_changes()
        assert len(others) == 30 and all(changes.tables >= {"image"} for changes, _ in others)
        assert project.poll_changes() == []
        with project.initiator("view"):
            add_images(project, 1, start=9999)
        assert heard == [("Add 1 images", "view")]
        assert project.poll_changes() == [], "one's own changes come through on_change"


def test_opening_does_not_wait_for_the_long_transaction_of_another_thread(folder: Path) -> None:
    inside, go_on, errors = threading.Event(), threading.Event(), []

    def write() -> None:
        with Project.open(folder) as mine, mine.group("A long step"):
            add_images(mine, 1, start=700)
            inside.set()
            go_on.wait(30)

    def look() -> None:
        try:
            with Project.open(folder) as other:
                errors.append(other.queries.count_images())
        except BaseException as error:  # noqa: BLE001 - reported by the test
            errors.append(error)

    with Project.open(folder) as project:
        before = project.queries.count_images()
        writer, looker = threading.Thread(target=write), threading.Thread(target=look)
        writer.start()
        assert inside.wait(30)
        looker.start()
        looker.join(5)
        waited = looker.is_alive()
        go_on.set()
        writer.join()
        looker.join()
        assert not waited and errors == [before], "it sees what is committed, at once"
        assert project.queries.count_images() == before + 1


def test_use_from_another_thread_is_refused(folder: Path) -> None:
    caught: list[BaseException] = []
    with Project.open(folder) as project:

        def elsewhere() -> None:
            try:
                project.operations.add_category("cat")
            except BaseException as error:  # noqa: BLE001 - looked at below
                caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert isinstance(caught[0], BugError) and "another thread" in str(caught[0])


def test_what_is_no_project_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="is not a Kinmark project"):
        Project.open(tmp_path / "nowhere.kinmark")
    other = tmp_path / "other.kinmark"
    other.mkdir()
    connection = sqlite3.connect(other / DATABASE_NAME)
    connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(ProjectError, match="is not a Kinmark project"):
        Project.open(other)
    (other / "full.txt").write_text("x")
    (other / DATABASE_NAME).unlink()
    with pytest.raises(UserInputError, match="not empty"):
        Project.create(other)
    make_project(tmp_path / "p.kinmark").close()
    with pytest.raises(UserInputError, match="already a project"):
        Project.create(tmp_path / "p.kinmark")


def test_a_newer_project_is_refused_unchanged(folder: Path) -> None:
    connection = sqlite3.connect(folder / DATABASE_NAME)
    connection.execute(f"PRAGMA user_version={migrate.VERSION + 5}")
    connection.close()
    before = (folder / DATABASE_NAME).read_bytes()
    with pytest.raises(ProjectError, match=r"newer Kinmark") as caught:
        Project.open(folder)
    assert "Update" in caught.value.hint
    assert (folder / DATABASE_NAME).read_bytes() == before


@pytest.mark.parametrize("damage", ["header", "empty", "truncated", "middle", "text"])
def test_damage_is_found_and_the_last_good_copy_comes_back(folder: Path, damage: str) -> None:
    with Project.open(folder) as project:
        add_images(project, 300, start=50)
        expected = dump(folder / DATABASE_NAME)
        good = project.back_up()
    path = folder / DATABASE_NAME
    data = bytearray(path.read_bytes())
    if damage == "header":
        data[:100] = os.urandom(100)
    elif damage == "empty":
        data = bytearray()
    elif damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "text":
        data = bytearray(b"this is a text file\n" * 100)
    else:
        for page in range(3, len(data) // 4096, 2):
            data[page * 4096 : page * 4096 + 600] = os.urandom(600)
    path.write_bytes(bytes(data))
    with pytest.raises(ProjectError) as caught:
        Project.open(folder)
    assert str(folder) in caught.value.user_message
    assert backup.newest_good(folder) == good
    used = Project.restore_backup(folder)
    assert used == good
    with Project.open(folder) as project:
        assert dump(path) == expected and project.check_integrity() == []
    assert list(folder.glob("project.sqlite.replaced-*")), "the damaged file is kept"


def test_names_and_texts_that_are_no_unicode(folder: Path) -> None:
    """Found by fuzzing: a damaged byte in a name of the schema, or in a text."""
    path = folder / DATABASE_NAME
    good = path.read_bytes()
    path.write_bytes(good.replace(b"CREATE TABLE nothing_here", b"CREATE TABL\xa5 nothing_here"))
    with pytest.raises(ProjectError, match="damaged"):
        Project.open(folder)
    path.write_bytes(good.replace(b"f1/000001.jpg", b"f1/00\xff001.jpg"))
    with Project.open(folder) as project, pytest.raises(ProjectError, match="damaged"):
        project.queries.images()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TRIGGER t AFTER INSERT ON image BEGIN DELETE FROM keypoint; END",
        "DROP TABLE nothing_here",
        "ALTER TABLE instance RENAME TO was_instance; CREATE VIEW instance AS SELECT * FROM was_instance",
        "UPDATE image SET width = 'wide'",
        "UPDATE image SET rel_path = x'00ff'",
        "UPDATE category SET extra = '{broken'",
        "INSERT INTO instance (image_id, category_id, x0, origin, extra) VALUES (1, 1, 9e999, 'human', '{}')",
        "UPDATE setting SET value = 'not json'",
    ],
)
def test_a_crafted_file_is_refused(folder: Path, sql: str) -> None:
    connection = sqlite3.connect(folder / DATABASE_NAME)
    connection.executescript(sql)
    connection.close()
    for read_only in (False, True):
        with pytest.raises(ProjectError, match="damaged") as caught:
            Project.open(folder, read_only=read_only)
        assert caught.value.details


def test_damaged_backups_are_passed_over(folder: Path) -> None:
    with Project.open(folder) as project:
        good = project.back_up()
        bad = project.back_up()
    bad.write_bytes(b"junk" * 5000)
    assert backup.newest_good(folder) == good
    with pytest.raises(ProjectError, match="damaged itself"):
        Project.restore_backup(folder, bad)


def test_backups_rotate_by_number_and_by_day(folder: Path) -> None:
    with Project.open(folder) as project:
        template = project.back_up()
    content = template.read_bytes()
    today = datetime(2026, 3, 1)
    for day in range(40):
        for hour in (8, 12):
            stamp = (today - timedelta(days=day)).strftime("%Y%m%d") + f"-{hour:02d}0000"
            (folder / "backups" / f"project-{stamp}.sqlite").write_bytes(content)
    with Project.open(folder) as project:
        newest = project.back_up()
    kept = backup.backups_of(folder)
    assert kept[0] == newest
    assert backup.KEEP_DAYS <= len(kept) <= backup.KEEP_DAYS + backup.KEEP_NEWEST
    assert all(backup.check(path) == [] for path in kept[:2])


def test_a_clock_that_runs_backwards_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Project.open(folder) as project:
        first = project.back_up()

        class Past(datetime):
            @classmethod
            def now(cls, tz=None):  # type: ignore[no-untyped-def]
                return datetime(1999, 1, 1, tzinfo=tz)

        monkeypatch.setattr(backup, "datetime", Past)
        monkeypatch.setattr("kinmark.projects.store.operations.base.datetime", Past)
        add_images(project, 1, start=77)
        second = project.back_up()
        assert backup.backups_of(folder)[0] == second != first
        assert project.undo_name == "Add 1 images", "order never comes from the clock"
        assert project.back_up_if_due() is not None or backup.backups_of(folder)[0] == second


def test_closing_leaves_a_backup_when_the_last_one_is_old(folder: Path) -> None:
    with Project.open(folder) as project:
        add_images(project, 1, start=50)
    assert backup.backups_of(folder) == [], "just made"
    an_hour_ago = datetime.now().timestamp() - 3600
    os.utime(folder / "backups", (an_hour_ago, an_hour_ago))
    with Project.open(folder) as project:
        add_images(project, 1, start=60)
    [made] = backup.backups_of(folder)
    assert len(dump(made)["image"]) == 8
    with Project.open(folder) as project:
        add_images(project, 1, start=70)
    assert backup.backups_of(folder) == [made], "not at every closing"
    os.utime(made, (an_hour_ago, an_hour_ago))
    (folder / DATABASE_NAME).touch()
    with Project.open(folder, read_only=True):
        pass
    assert backup.backups_of(folder) == [made], "reading makes none"


def test_a_backup_is_complete_while_the_project_is_in_use(folder: Path) -> None:
    with Project.open(folder) as project, Project.open(folder, read_only=True) as reader:
        reader.queries.counts()
        add_images(project, 20, start=100)
        made = project.back_up()
        assert len(dump(made)["image"]) == 26


def test_read_only_media(folder: Path) -> None:
    with Project.open(folder) as project:
        add_images(project, 3, start=40)
        # As copied from a running machine onto a disc: the journal is not merged yet.
        disc = folder.parent / "disc.kinmark"
        shutil.copytree(folder, disc)
    for name in ("writer.lock", "writer.json"):
        (disc / name).unlink(missing_ok=True)
    before = sorted((path.name, path.read_bytes()) for path in disc.glob("project.sqlite*"))
    _as_read_only_media(disc)
    if os.access(disc, os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        with Project.open(disc, read_only=True) as project:
            assert project.queries.count_images() == 9
            assert project.queries.images(limit=1)[0].path.parts[-3] == "photos"
        with pytest.raises(ProjectError, match="cannot be locked for writing") as caught:
            Project.open(disc)
        assert "read-only" in caught.value.hint
    finally:
        os.chmod(disc, 0o755)  # noqa: PTH101 - undone by the clean-up of tmp_path
    assert sorted((path.name, path.read_bytes()) for path in disc.glob("project.sqlite*")) == before


def _as_read_only_media(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    folder.chmod(0o555)


def test_read_only_media_without_rights_to_lie(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for users who may write everywhere (root): the folder is only said to be read-only."""
    with Project.open(folder) as project:
        add_images(project, 3, start=40)
        disc = folder.parent / "disc.kinmark"
        shutil.copytree(folder, disc)
    before = sorted((path.name, path.read_bytes()) for path in disc.glob("project.sqlite*"))
    assert any(name.endswith("-wal") and data for name, data in before)
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: real(path, mode) and not (mode == os.W_OK and Path(path) == disc)
    )
    with Project.open(disc, read_only=True) as project:
        assert project.queries.count_images() == 9
        assert project.queries.roots()[1] == (disc.parent / "photos").resolve()
    assert sorted((path.name, path.read_bytes()) for path in disc.glob("project.sqlite*")) == before


def test_long_and_strange_paths(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*(["x" * 40] * 4)) / ("ü" * 30 + " 🦦 <b>%s ?mode=ro#x.kinmark")
    with Project.create(deep) as project:
        project.operations.add_category("<b>'; DROP TABLE image; --</b>")
        assert project.name.startswith("üü")
    with Project.open(deep) as project:
        assert project.queries.categories()[0].name == "<b>'; DROP TABLE image; --</b>"


def test_a_path_beyond_what_the_database_opens_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*(["x" * 50] * 10)) / "p.kinmark"
    for attempt in (Project.create, Project.open):
        with pytest.raises(UserInputError, match="too long"):
            attempt(deep)
    assert list(tmp_path.glob("x*")) == []


def test_closing_twice_and_use_after_closing(folder: Path) -> None:
    project = Project.open(folder)
    project.close()
    project.close()
    with pytest.raises(AppError, match="closed"):
        project.queries.counts()


def test_a_large_project_is_checked_after_a_crash_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinmark.projects import opening
    from kinmark.projects.store import inspection

    monkeypatch.setattr(opening, "ALWAYS_CHECKED", 0)
    checks: list[str] = []
    real = inspection.content_problems
    monkeypatch.setattr(inspection, "content_problems", lambda connection: checks.append("checked") or real(connection))
    Project.open(folder).close()
    checks.clear()
    with Project.open(folder), Project.open(folder), Project.open(folder, read_only=True):
        assert checks == [], "closed cleanly before; open in this process since"
        crashed = folder.parent / "crashed.kinmark"
        shutil.copytree(folder, crashed)
    assert Project.opens_slowly(crashed)
    Project.check_file(crashed)
    assert checks == ["checked"], "in a thread where nobody waits"
    with Project.open(crashed, checked=True):
        assert checks == ["checked"], "not twice"
        assert not Project.opens_slowly(crashed), "open in this process"
    assert not Project.opens_slowly(crashed), "closed cleanly since"
    shutil.rmtree(crashed)
    with Project.open(folder):
        shutil.copytree(folder, crashed)
    checks.clear()
    with Project.open(crashed):
        assert checks == ["checked"], "copied from under a running program"
    (folder / DATABASE_NAME).touch()
    Project.open(folder).close()
    assert checks == ["checked", "checked"], "touched by something else since"


def test_threads_that_back_up_at_once_write_whole_files_of_their_own(folder: Path) -> None:
    """The window's and the engine's connection are closed together: both may find a backup due."""
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(backup.make(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4 and all(backup.check(path) == [] for path in made)
    assert sorted(made) == sorted((folder / "backups").iterdir())


def test_a_backup_that_fails_at_closing_stays_due(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backup, "is_due", lambda *_: True)

    def full(*_: object, **__: object) -> Path:
        raise ProjectError("The disk is full.")

    project = Project.open(folder)
    with monkeypatch.context() as patched:
        patched.setattr(backup, "make", full)
        project.close()
    assert "no backup of" in caplog.text and "The disk is full." in caplog.text
    with Project.open(folder) as again:
        assert again.backup_is_due
    assert len(backup.backups_of(folder)) == 1
