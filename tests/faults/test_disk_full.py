"""The disk is full at every write: the operation fails with a message, everything accepted before is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import ProjectError
from kinmark.projects.project import Project
from kinmark.projects.store.database import DATABASE_NAME
from tests.support.projects import add_images, dump, make_project

_CHILD = """
import json, resource, signal, sys
from kinmark.projects.project import Project
from kinmark.engine.domain.errors import AppError
from tests.support.projects import add_images
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder, limit = sys.argv[1], int(sys.argv[2])
done, messages = 0, []
with Project.open(folder) as project:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    for i in range(60):
        try:
            add_images(project, 20, start=1000 + 20 * i)
            done += 1
        except AppError as error:
            messages.append(str(error))
            break
    counted = project.queries.count_images()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if messages:
        add_images(project, 1, start=90000)
print(json.dumps([done, counted, messages]))
"""


def test_the_database_says_that_the_disk_is_full(tmp_path: Path) -> None:
    with make_project(tmp_path / "p.kinmark") as project:
        before = dump(project.folder / DATABASE_NAME)
        assert project._writer is not None
        with project._writer.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.rollback()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            connection.rollback()
        with pytest.raises(ProjectError, match="the disk is full") as caught:
            for i in range(200):
                add_images(project, 50, start=1000 + 50 * i)
        assert "Free some space" in caught.value.hint and str(project.folder) in caught.value.user_message
        while project.queries.count_images() > 6:
            project.undo()
        assert dump(project.folder / DATABASE_NAME) == before and project.check_integrity() == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
@pytest.mark.parametrize("room_kb", [0, 4, 40, 200])
def test_no_room_for_a_write_loses_nothing(tmp_path: Path, repository: Path, room_kb: int) -> None:
    """Files may grow by `room_kb` and no further: each possible place of the first failing write."""
    folder = tmp_path / "p.kinmark"
    make_project(folder).close()
    limit = room_kb * 1024
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(folder), str(limit)],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    acknowledged, counted, messages = json.loads(done.stdout)
    assert messages and str(folder) in messages[0], "the person is told"
    assert counted == 6 + 20 * acknowledged
    with Project.open(folder) as project:
        assert project.queries.count_images() == 6 + 20 * acknowledged + 1, "and work goes on once there is room"
        assert project.check_integrity() == []
        project.undo()
        project.undo()
        assert project.queries.count_images() == (6 + 20 * (acknowledged - 1) if acknowledged else 0)
