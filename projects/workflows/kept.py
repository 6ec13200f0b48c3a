"""Long jobs that a window was closed in the middle of: what was asked and how far they came, kept in the project.

A job is noted when it begins and forgotten at its end, or when a person stops it. What is left at the next opening was cut
off, by closing the window or by a crash, and is offered again. Not part of undo.
"""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kinmark.projects.project import Project

_JOB, _DONE = "job:", "job.done:"


@dataclass(frozen=True)
class KeptJob:
    """A job that is under way, or was cut off.

    Attributes:
        kind: "propose", "find" or "tune"; name: the category or the individual it is about ("" = all).
        asked: the options, as plain data; image_ids: the photos in their order.
        done, total: steps (photos, or steps of a tuning).
    """

    kind: str
    name: str
    asked: dict[str, Any] = field(default_factory=dict)
    image_ids: tuple[int, ...] = ()
    total: int = 0
    done: int = 0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def keep(project: Project, job: KeptJob) -> None:
    """Note a job that begins, or one that goes on; another one of its kind about the same takes its place."""
    if project.read_only:
        return
    for other in kept_jobs(project):
        if other.id != job.id and (other.kind, other.name) == (job.kind, job.name):
            forget(project, other.id)
    project.operations.set_setting(f"{_JOB}{job.id}", asdict(replace(job, done=0)))
    project.operations.set_setting(f"{_DONE}{job.id}", [job.done, None])


def note_progress(project: Project, job_id: str, done: int, *, total: int | None = None) -> None:
    """How far a job has come (`total`: when that was not known at its begin); nothing when it was forgotten meanwhile."""
    noted = project.queries.setting(f"{_DONE}{job_id}") if job_id and not project.read_only else None
    if noted is not None and noted != [done, total]:
        project.operations.set_setting(f"{_DONE}{job_id}", [done, total])


def forget(project: Project, job_id: str) -> None:
    """A job came to its end, or nobody wants it any more."""
    if job_id and not project.read_only and project.queries.setting(f"{_DONE}{job_id}") is not None:
        project.operations.set_setting(f"{_DONE}{job_id}", None)
        project.operations.set_setting(f"{_JOB}{job_id}", None)


def kept_jobs(project: Project) -> tuple[KeptJob, ...]:
    """Jobs that are under way or were cut off, in no particular order."""
    return tuple(_job(project, data) for data in project.queries.settings(_JOB).values())


def kept_job(project: Project, job_id: str) -> KeptJob | None:
    """One job as it stands now; None when it was forgotten."""
    data = project.queries.setting(f"{_JOB}{job_id}")
    return _job(project, data) if data is not None else None


def _job(project: Project, data: dict[str, Any]) -> KeptJob:
    job = KeptJob(**{**data, "image_ids": tuple(data["image_ids"])})
    done, total = project.queries.setting(f"{_DONE}{job.id}", (0, None))
    return replace(job, done=int(done), total=int(total or job.total))
