"""The whole download path against a local HTTP endpoint: needed files, cut connection, resume, damage, offline."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from kinmark.engine.backbones import registry
from kinmark.engine.domain.errors import KnownError, ModelCorruptError, OperationCancelled, UserInputError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.models import download
from kinmark.engine.models.manager import ModelManager
from tests.support.hub_server import COMMIT, HubState, hub_server

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def repository_dir(tmp_path: Path, toy_pipeline_dir: Path) -> Path:
    """The toy pipeline as a hub repository, with files that must not be fetched."""
    folder = tmp_path / "repository"
    shutil.copytree(toy_pipeline_dir, folder)
    (folder / "LICENSE.md").write_text("Toy licence: do what you like.", encoding="utf-8")
    (folder / "README.md").write_text("not needed", encoding="utf-8")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    (folder / "unet" / "diffusion_pytorch_model.non_ema.safetensors").write_bytes(b"not needed")
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "model.safetensors").write_bytes(b"not needed")
    (folder / "toy-full.safetensors").write_bytes(b"not needed")
    return folder


@pytest.fixture
def hub(repository_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, HubState]]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "RETRY_WAIT_S", 0.0)
    with hub_server(repository_dir) as server:
        yield server


@pytest.fixture
def manager(tmp_path: Path) -> ModelManager:
    return ModelManager(tmp_path / "models")


def test_download_fetches_what_is_needed_and_records_the_licence(
    hub: tuple[str, HubState], manager: ModelManager, toy_pipeline_dir: Path
) -> None:
    endpoint, state = hub
    plan = manager.plan("sd15", endpoint=endpoint)
    assert plan.commit == COMMIT
    assert plan.licence_text.startswith("Toy licence")
    progress = Progress()
    row = manager.download(plan, licence_accepted=True, progress=progress)
    assert row.installed and not row.problem and row.revision == COMMIT
    fetched = set(state.served)
    expected = {p.relative_to(toy_pipeline_dir).as_posix() for p in toy_pipeline_dir.rglob("*") if p.is_file()}
    assert fetched == expected | {"LICENSE.md"}
    report = manager.verify("sd15")
    assert report.ok and report.compared == len(plan.files)
    record = (Path(row.folder) / download.RECORD).read_text(encoding="utf-8")
    assert "Toy licence" in record and COMMIT in record
    assert registry.get_spec("sd15", manager.folder).folder == row.folder


def test_cut_connection_is_named_and_resumed(hub: tuple[str, HubState], manager: ModelManager) -> None:
    endpoint, state = hub
    state.cut[UNET] = 20_000
    plan = manager.plan("sd15", endpoint=endpoint)
    with pytest.raises(KnownError, match="interrupted") as caught:
        manager.download(plan, licence_accepted=True)
    assert "goes on where it stopped" in caught.value.hint
    assert not manager.row("sd15").installed
    part = download.staging_folder(manager.folder, "sd15") / (UNET + download.PARTIAL)
    assert part.stat().st_size == 20_000

    state.cut.clear()
    state.served.clear()
    again = manager.plan("sd15", endpoint=endpoint)
    assert again.done_bytes > 20_000
    assert manager.download(again, licence_accepted=True).installed
    size = next(f.size for f in again.files if f.name == UNET)
    assert state.served == {UNET: [(20_000, size - 20_000)], "LICENSE.md": state.served["LICENSE.md"]}
    assert manager.verify("sd15").ok


def test_short_break_is_bridged_without_a_second_call(
    hub: tuple[str, HubState], manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, state = hub
    state.cut[UNET] = 20_000
    plan = manager.plan("sd15", endpoint=endpoint)
    heal = SimpleNamespace(sleep=lambda _seconds: state.cut.clear(), strftime=time.strftime, gmtime=time.gmtime)
    monkeypatch.setattr(download, "time", heal)
    assert manager.download(plan, licence_accepted=True).installed
    assert [start for start, _ in state.served[UNET]] == [0, 20_000]


def test_wrong_bytes_are_refused_and_deleted(hub: tuple[str, HubState], manager: ModelManager) -> None:
    endpoint, state = hub
    state.corrupt.add(UNET)
    plan = manager.plan("sd15", endpoint=endpoint)
    with pytest.raises(ModelCorruptError, match="published checksum"):
        manager.download(plan, licence_accepted=True)
    staging = download.staging_folder(manager.folder, "sd15")
    assert not (staging / UNET).exists() and not (staging / (UNET + download.PARTIAL)).exists()
    state.corrupt.clear()
    assert manager.download(plan, licence_accepted=True).installed


def test_cancel_keeps_what_came(hub: tuple[str, HubState], manager: ModelManager) -> None:
    endpoint, _ = hub
    token = CancelToken()
    token.cancel()
    plan = manager.plan("sd15", endpoint=endpoint)
    with pytest.raises(OperationCancelled):
        manager.download(plan, licence_accepted=True, cancel=token)
    assert not manager.row("sd15").installed
    assert manager.download(plan, licence_accepted=True).installed


def test_nothing_is_fetched_without_the_licence(hub: tuple[str, HubState], manager: ModelManager) -> None:
    endpoint, state = hub
    plan = manager.plan("sd15", endpoint=endpoint)
    with pytest.raises(UserInputError, match="not accepted"):
        manager.download(plan, licence_accepted=False)
    assert set(state.served) == {"LICENSE.md"}


def test_offline_switch(manager: ModelManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(KnownError, match="switched off"):
        manager.plan("sd15", endpoint="http://127.0.0.1:9")


def test_dead_endpoint_is_named(manager: ModelManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(KnownError, match="stable-diffusion-v1-5"):
        manager.plan("sd15", endpoint="http://127.0.0.1:9")


def test_full_disk_is_found_before_the_download(
    hub: tuple[str, HubState], manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, state = hub
    plan = manager.plan("sd15", endpoint=endpoint)
    usage = shutil.disk_usage(manager.folder.parent)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage._replace(free=1000))
    with pytest.raises(KnownError, match="not enough free space"):
        manager.download(plan, licence_accepted=True)
    assert set(state.served) == {"LICENSE.md"}


@pytest.mark.parametrize("name", ["../evil.json", "unet/../../evil.safetensors"])
def test_paths_that_leave_the_folder_are_refused(name: str) -> None:
    from kinmark.engine.domain.model_info import DownloadPlan, PlannedFile

    good = [PlannedFile(f"{part}/model.safetensors", 1) for part in ("unet", "vae", "text_encoder")]
    plan = DownloadPlan("sd15", "a/b", COMMIT, "", (*good, PlannedFile("model_index.json", 1), PlannedFile(name, 1)))
    with pytest.raises(KnownError, match="no safetensors weights"):
        download._check_plan(plan)


def test_half_precision_files_are_preferred() -> None:
    names = {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
        "feature_extractor/preprocessor_config.json",
    }
    assert download.needed_files(names, "fp16") == {
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model-00001-of-00002.safetensors",
        "text_encoder/model.safetensors.index.json",
    }
