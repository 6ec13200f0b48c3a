"""Backbones as a service for the command line and the window: thin, so that both do a thing in one way.

Downloads run on a worker of the caller (`Progress` to poll, `CancelToken` to stop); a stopped one resumes when it is run
again. Nothing is fetched before `plan`, and nothing but the list and the licence before `download`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kinmark.engine.api import open_models
from kinmark.engine.domain.model_info import DownloadPlan, ModelRow, SelfTest, VerifyReport
from kinmark.engine.domain.progress import CancelToken, Progress

if TYPE_CHECKING:
    from kinmark.engine.models.recommend import Recommendation


def list_models() -> tuple[ModelRow, ...]:
    """Every known backbone, installed or not."""
    return open_models().list()


def add_model(path: Path, name: str = "") -> ModelRow:
    """Register a local diffusers folder; errors of `ModelManager.add`."""
    return open_models().add(path, name)


def plan_download(model_id: str, *, endpoint: str | None = None, revision: str = "") -> DownloadPlan:
    """What a download would fetch, with the licence to show; asks the network."""
    return open_models().plan(model_id, endpoint=endpoint, revision=revision)


def download_model(
    plan: DownloadPlan,
    *,
    licence_accepted: bool,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> ModelRow:
    """Fetch, check and install; resumes an interrupted try; errors of `ModelManager.download`."""
    return open_models().download(plan, licence_accepted=licence_accepted, progress=progress, cancel=cancel)


def verify_model(model_id: str, *, progress: Progress | None = None, cancel: CancelToken | None = None) -> VerifyReport:
    """Check an installed backbone's files against their recorded hashes."""
    return open_models().verify(model_id, progress=progress, cancel=cancel)


def test_model(model_id: str, *, device: str = "auto", dtype: str = "auto") -> SelfTest:
    """One real forward pass (loads torch: not for the window's own thread)."""
    return open_models().self_test(model_id, device=device, dtype=dtype)


def convert_model(file: Path, model_id: str) -> ModelRow:
    """A published checkpoint as a helper; errors of `ModelManager.convert` (loads torch)."""
    return open_models().convert(file, model_id)


def recommend_model(task: str, *, device: str = "auto", commercial: bool = False) -> Recommendation:
    """Which model to take; errors of `ModelManager.recommend` (loads torch for the device "auto")."""
    return open_models().recommend(task, device=device, commercial=commercial)


def remove_model(model_id: str) -> bool:
    """Forget an added folder or delete a download; whether files were deleted."""
    return open_models().remove(model_id)
