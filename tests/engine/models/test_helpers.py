"""Named helpers and overlays: the list, downloads from a local endpoint, folders, CleanDIFT's U-Net, the recommendation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

from kinmark.engine.api import ImageInput
from kinmark.engine.backbones import catalogue
from kinmark.engine.backbones.registry import get_spec
from kinmark.engine.domain.errors import KnownError, ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.models import download
from kinmark.engine.models.manager import ModelManager
from kinmark.engine.models.recommend import TASKS, recommend
from kinmark.engine.session import EngineSession
from tests.engine.features.test_vit_parts import make_vit
from tests.support.hub_server import COMMIT, HubState, hub_server


@pytest.fixture
def manager(tmp_path: Path) -> ModelManager:
    return ModelManager(tmp_path / "models")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, HubState]]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(download, "RETRY_WAIT_S", 0.0)
    folder = make_vit(tmp_path / "repository", "dinov2")
    (folder / "LICENSE").write_text("Toy licence.", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.safetensors").write_bytes(b"another one")
    with hub_server(folder) as server:
        yield server


def test_every_helper_says_what_a_person_must_know() -> None:
    ids = [spec.id for spec in catalogue.HELPERS]
    assert len(ids) == len(set(ids))
    for spec in catalogue.HELPERS:
        assert spec.licence and spec.licence_url and spec.good_for and spec.size_bytes, spec.id
        assert bool(spec.repo_id) != bool(spec.address), spec.id
        assert not spec.repo_id or re.fullmatch("[0-9a-f]{40}", spec.revision), "what is downloaded is one commit"
        assert not spec.gated or "grants access" in spec.notice
        assert spec.kind != catalogue.PART or (min(spec.input_wh) >= 224 and min(spec.cells_wh) >= 16)
        assert not spec.base or catalogue.helper(spec.base) is not None
        assert not any(c in spec.id for c in "+@* "), "stands in the name of a descriptor"


def test_every_backbone_says_what_a_person_must_know(manager: ModelManager) -> None:
    rows = [row for row in manager.list() if row.kind == "backbone"]
    assert {"embedded", "sd15", "sd21", "cleandift-sd15", "cleandift-sd21"} <= {row.id for row in rows}
    for row in rows:
        assert row.licence and row.good_for, row.id
        assert row.source != "download" or (row.licence_url and row.download_bytes and row.notice), row.id


def test_a_helper_is_downloaded_resumed_verified_and_removed(hub: tuple[str, HubState], manager: ModelManager) -> None:
    endpoint, state = hub
    state.cut["model.safetensors"] = 5000
    plan = manager.plan("dinov2-base", endpoint=endpoint)
    assert {f.name for f in plan.files} == {"config.json", "model.safetensors", "LICENSE"}
    assert (plan.commit, plan.licence, plan.licence_text) == (COMMIT, "Apache-2.0", "Toy licence.")
    with pytest.raises(UserInputError, match="was not accepted"):
        manager.download(plan, licence_accepted=False)
    with pytest.raises(KnownError, match="interrupted"):
        manager.download(plan, licence_accepted=True)
    assert not manager.row("dinov2-base").installed
    state.cut.clear()
    again = manager.plan("dinov2-base", endpoint=endpoint)
    assert again.done_bytes > 5000
    row = manager.download(again, licence_accepted=True)
    assert row.installed and row.revision == COMMIT and row.kind == "part"
    assert manager.verify("dinov2-base").ok
    weights = Path(row.folder) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert not manager.verify("dinov2-base").ok
    assert manager.remove("dinov2-base")
    with pytest.raises(ModelMissingError, match="not installed"):
        manager.remove("dinov2-base")


def test_a_licence_that_the_repository_only_names_is_shown_whole(
    hub: tuple[str, HubState], manager: ModelManager, repository: Path
) -> None:
    (hub[1].folder / "LICENSE").unlink()
    text = manager.plan("dinov2-base", endpoint=hub[0]).licence_text
    assert text == (repository / "LICENSE").read_text("utf-8") and "Apache License" in text[:100]
    plan = manager.plan("c-radiov4-h", endpoint=hub[0])
    assert plan.licence_text == "" and plan.licence_url.startswith("https://www.nvidia.com/")


def test_a_repository_without_safetensors_is_refused(hub: tuple[str, HubState], manager: ModelManager) -> None:
    (hub[1].folder / "model.safetensors").unlink()
    with pytest.raises(ModelCorruptError, match="no safetensors weights"):
        manager.plan("dinov2-base", endpoint=hub[0])


def test_a_folder_at_hand_is_used_where_it_lies(tmp_path: Path, manager: ModelManager) -> None:
    folder = make_vit(tmp_path / "mine", "dinov2")
    row = manager.add(folder, "dinov2-base")
    assert row.installed and row.folder == str(folder)
    assert not manager.remove("dinov2-base"), "its files stay"
    assert folder.is_dir() and not manager.row("dinov2-base").installed
    (folder / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelCorruptError, match="cut off"):
        manager.add(folder, "dinov2-base")


def test_what_has_no_checksum_to_download_by_says_where_it_is(manager: ModelManager) -> None:
    with pytest.raises(UserInputError, match=r"marco_release\.pth.*kinmark models convert FILE --as marco"):
        manager.plan("marco")
    with pytest.raises(UserInputError, match="These are: diy-sc, marco"):
        manager.convert(Path("x.pth"), "dinov2-base")


def test_cleandift_is_the_bases_folder_with_another_unet(
    tmp_path: Path, toy_pipeline_dir: Path, monkeypatch: pytest.MonkeyPatch, toy_images: tuple[ImageInput, ...]
) -> None:
    from diffusers import UNet2DConditionModel
    from safetensors.torch import save_file

    manager = ModelManager()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    repository = tmp_path / "repository"
    repository.mkdir()
    unet = UNet2DConditionModel.from_pretrained(toy_pipeline_dir / "unet", local_files_only=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        state = {k: v + 0.05 * torch.randn_like(v) for k, v in unet.state_dict().items()}
    save_file(state, repository / "cleandift_sd15_unet.safetensors")
    save_file({"x": torch.zeros(1)}, repository / "cleandift_sd15_full.safetensors")
    with hub_server(repository) as (endpoint, served):
        plan = manager.plan("cleandift-sd15", endpoint=endpoint)
        assert [f.name for f in plan.files] == ["cleandift_sd15_unet.safetensors"]
        with pytest.raises(ModelMissingError, match=r"another U-Net for 'sd15'.*kinmark models download sd15"):
            manager.download(plan, licence_accepted=True)
        assert not served.served.get("cleandift_sd15_unet.safetensors"), "nothing is fetched in vain"
        shutil.copytree(toy_pipeline_dir, manager.folder / "sd15")
        row = manager.download(plan, licence_accepted=True)
    assert row.installed and not row.problem
    assert manager.verify("cleandift-sd15").ok
    spec = get_spec("cleandift-sd15")
    assert (spec.clean, spec.timestep, spec.up_block) == (True, 261, 1)

    session = EngineSession(_config(tmp_path))
    extractor = session.extractor("cleandift-sd15")
    loaded = extractor.backbone.unet.state_dict()
    for name in ("conv_in.weight", "up_blocks.0.resnets.0.conv1.weight"):
        torch.testing.assert_close(loaded[name], state[name])
    base = session.extractor("sd15").backbone.unet.state_dict()
    assert not torch.equal(base["conv_in.weight"], state["conv_in.weight"]), "the base keeps its own"
    view = session.whole_view(toy_images[0], "cleandift-sd15")
    prompt = session.prompt("empty", extractor.backbone)
    recipes = [extractor.recipe(ensemble=n, seed=n) for n in (1, 4)]
    few, many = (extractor.extract([view], prompt=prompt, recipe=recipe)[0].features for recipe in recipes)
    torch.testing.assert_close(few, many, atol=0, rtol=0)  # no noise, so one pass whatever is asked for
    session.close()


def _config(tmp_path: Path):
    from kinmark.engine.api import EngineConfig

    return EngineConfig(device="cpu", dtype="fp32", cache_dir=tmp_path / "cache", cache_bytes=0, threads=1)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("device", "memory"), [("cpu", 0.0), ("cuda", 24.0), ("cuda", 6.0), ("mps", 0.0)])
def test_one_recommendation_for_every_device_and_task(
    manager: ModelManager, task: str, device: str, memory: float
) -> None:
    found = recommend(task, device, memory, manager.list())
    row = manager.row(found.model_id)
    assert found.why and found.use
    assert bool(found.command) is not row.installed
    assert not row.gated, "the first advice needs nobody's leave"
    assert "RAIL" not in manager.row(recommend(task, device, memory, manager.list(), commercial=True).model_id).licence


@pytest.mark.skipif(not metadata.version("torch").endswith("+cpu"), reason="this torch may find a graphics card")
def test_a_build_for_the_processor_is_not_loaded_for_an_advice() -> None:
    code = (
        "import sys; from kinmark.projects.models import recommend_model; "
        "print(recommend_model('keypoints').model_id, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split()[1] == "False", done.stdout


def test_a_task_that_is_none(manager: ModelManager) -> None:
    with pytest.raises(UserInputError, match="Known: keypoints, instances, masks"):
        manager.recommend("poems", device="cpu")
