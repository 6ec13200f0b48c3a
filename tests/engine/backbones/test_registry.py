"""Specs, added folders, `kinmark.json`, and what a model folder must hold."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kinmark.engine.backbones import folder as layout
from kinmark.engine.backbones.loading import load_backbone
from kinmark.engine.backbones.registry import BlockWeight, get_spec, is_installed, list_specs
from kinmark.engine.backbones.spec import ScaleWeight
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.matching.confidence import prior_calibration
from kinmark.engine.models.manager import ModelManager


@pytest.fixture
def model_dir(tmp_path: Path, toy_pipeline_dir: Path) -> Path:
    """A copy of the toy pipeline that a test may damage."""
    return Path(shutil.copytree(toy_pipeline_dir, tmp_path / "toy copy"))


def test_built_in_ids_and_their_pins() -> None:
    specs = {spec.id: spec for spec in list_specs()}
    assert {"embedded", "sd15", "sd21", "sd-turbo", "sdxl-turbo"} <= set(specs)
    assert specs["sd21"].input_wh == (768, 768) and specs["sd21"].timestep == 261 and specs["sd21"].up_block == 1
    assert specs["sd15"].repo_id == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    for spec in specs.values():
        if spec.repo_id:
            assert len(spec.revision) == 40 and spec.licence and spec.licence_url
    assert specs["sd-turbo"].opt_in and specs["sdxl-turbo"].opt_in


def test_the_small_variant_shares_weights_and_fitted_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, small = get_spec("embedded"), get_spec("embedded-small")
    assert small.folder == plain.folder
    assert small.fusion == replace(plain.fusion, descriptor="efficientnet_lite0@2*0.7+dense_sift*0.3")
    assert small.title != plain.title
    assert replace(
        small, id="", title="", notice="", good_for="", variant_of="", package="", fusion=plain.fusion
    ) == replace(plain, id="", title="", notice="", good_for="")
    assert prior_calibration("embedded-small") == prior_calibration("embedded") != prior_calibration("sd15")
    assert is_installed(small)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not is_installed(small) and is_installed(plain)


def test_unknown_backbone_lists_the_known_ones() -> None:
    with pytest.raises(ModelMissingError, match="no backbone 'nonsense'") as caught:
        get_spec("nonsense")
    assert "embedded" in caught.value.hint


def test_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(ModelMissingError, match="not installed") as caught:
        load_backbone("sd15")
    assert "kinmark models download sd15" in caught.value.hint


def test_kinmark_json_overrides_the_spec(model_dir: Path) -> None:
    values = {
        "input_wh": [96, 96],
        "timestep": 10,
        "extra_blocks": [{"block": 2, "weight": 0.3}],
        "extra_scales": [{"factor": 0.5, "weight": 0.4}],
        "fusion": {"descriptor": "dense_sift", "weight": 0.4, "input_wh": [128, 128]},
        "instance": {"colour_weight": 0.5, "from_a_newer_version": 3},
        "measured": {"pck": 20.0},
    }
    (model_dir / "kinmark.json").write_text(json.dumps(values), encoding="utf-8")
    spec = get_spec(model_dir)
    assert spec.input_wh == (96, 96) and spec.timestep == 10
    assert spec.extra_blocks == (BlockWeight(2, 0.3),)
    assert spec.extra_scales == (ScaleWeight(0.5, 0.4),)
    assert spec.fusion.descriptor == "dense_sift" and spec.fusion.input_wh == (128, 128)
    assert spec.instance.colour_weight == 0.5 and spec.instance.extra == {"from_a_newer_version": 3}
    assert spec.extra == {"measured": {"pck": 20.0}}
    (model_dir / "kinmark.json").write_text('{"input_size": 160}', encoding="utf-8")
    assert get_spec(model_dir).input_wh == (160, 160)


@pytest.mark.parametrize("text", ["{", "[]", '{"fusion": 3}', '{"input_wh": [1]}', ""])
def test_damaged_kinmark_json_is_named(model_dir: Path, text: str) -> None:
    (model_dir / "kinmark.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelCorruptError, match=r"kinmark\.json"):
        get_spec(model_dir)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "model.ckpt", "x.pkl"])
def test_pickled_weights_are_refused(model_dir: Path, name: str) -> None:
    (model_dir / "unet" / name).write_bytes(b"\x80\x04")
    with pytest.raises(ModelCorruptError, match="pickled"):
        load_backbone(model_dir)


@pytest.mark.parametrize(
    "missing",
    [
        "model_index.json",
        "unet/config.json",
        "vae/config.json",
        "scheduler/scheduler_config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
        "tokenizer/vocab.json",
    ],
)
def test_missing_file_is_named(model_dir: Path, missing: str) -> None:
    (model_dir / missing).unlink()
    with pytest.raises(ModelCorruptError) as caught:
        load_backbone(model_dir)
    assert missing.split("/")[0] in str(caught.value)


@pytest.mark.parametrize("keep", [0, 7, 100, 50_000])
def test_cut_weights_are_refused_before_loading(model_dir: Path, keep: int) -> None:
    path = model_dir / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelCorruptError, match="cut off or damaged"):
        load_backbone(model_dir)


def test_wrong_shapes_are_refused(model_dir: Path) -> None:
    path = model_dir / "unet" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "block_out_channels": [32, 32, 64]}), encoding="utf-8")
    with pytest.raises(ModelCorruptError, match="unet"):
        load_backbone(model_dir)


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_missing_weights_are_refused(model_dir: Path, part: str) -> None:
    from safetensors.numpy import load_file, save_file

    path = next((model_dir / part).glob("*.safetensors"))
    tensors = dict(sorted(load_file(path).items())[3:])
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelCorruptError, match=part):
        load_backbone(model_dir)


def test_parts_of_different_models_are_refused(model_dir: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=48,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    unet.save_pretrained(model_dir / "unet")
    with pytest.raises(ModelCorruptError, match="32 wide but the U-Net expects 48"):
        load_backbone(model_dir)


def test_tokenizer_of_another_model_is_refused(model_dir: Path) -> None:
    path = model_dir / "tokenizer" / "vocab.json"
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**vocabulary, "unicorn</w>": 10**6}), encoding="utf-8")
    with pytest.raises(ModelCorruptError, match="does not belong to the text encoder"):
        load_backbone(model_dir)


def test_add_list_verify_remove(model_dir: Path, tmp_path: Path) -> None:
    manager = ModelManager(tmp_path / "models")
    layout.write_checksums(model_dir)
    row = manager.add(model_dir, "mine")
    assert row.installed and row.source == "added" and row.input_wh == (64, 64) and row.revision
    assert "mine" in {r.id for r in manager.list()}
    report = manager.verify("mine")
    assert report.ok and report.compared == report.files > 5
    with pytest.raises(UserInputError, match="already a model"):
        manager.add(model_dir, "sd15")
    with pytest.raises(UserInputError, match="cannot be the name"):
        manager.add(model_dir, "../up")
    weights = model_dir / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert any("recorded checksum" in problem for problem in manager.verify("mine").problems)
    assert manager.remove("mine") is False
    assert model_dir.is_dir()
    with pytest.raises(ModelMissingError):
        manager.row("mine")


def test_vanished_added_folder_is_listed_and_named(model_dir: Path, tmp_path: Path) -> None:
    manager = ModelManager(tmp_path / "models")
    manager.add(model_dir, "mine")
    shutil.rmtree(model_dir)
    assert [r.problem != "" for r in manager.list() if r.id == "mine"] == [True]
    with pytest.raises(ModelMissingError, match="not there any more"):
        load_backbone("mine", models_dir=manager.folder)


def test_shipped_model_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="shipped"):
        ModelManager(tmp_path / "models").remove("embedded")


def test_self_test_runs_a_real_pass(model_dir: Path, tmp_path: Path) -> None:
    manager = ModelManager(tmp_path / "models")
    manager.add(model_dir, "mine")
    result = manager.self_test("mine", device="cpu", dtype="fp32")
    assert result.feature_shape == (32, 16, 16) and result.repeatable and result.device == "cpu"


def test_size_that_keeps_the_proportions(model_dir: Path) -> None:
    (model_dir / "kinmark.json").write_text('{"resize": "fit", "input_wh": [192, 192]}', encoding="utf-8")
    spec = get_spec(model_dir)
    assert spec.input_size_for((1000, 1000)) == (192, 192)
    assert spec.input_size_for((2000, 1000)) == (256, 128)
    assert spec.input_size_for((10_000, 10)) == (320, 128)
