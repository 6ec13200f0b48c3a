"""Vision transformers of every family at toy size, real classes: shapes, parity with the library, batches, adapters."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from kinmark.engine.api import EngineConfig, ImageInput
from kinmark.engine.backbones import catalogue
from kinmark.engine.backbones.registry import get_spec
from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.features import adapters, dino
from kinmark.engine.features.descriptors import get_descriptor
from kinmark.engine.features.dino import DinoModel, open_dino
from kinmark.engine.session import EngineSession

WIDTH = 64


def make_vit(folder: Path, family: str, layers: int = 2) -> Path:
    """A seeded toy folder of that family, as its publisher's class writes it."""
    import transformers as t

    common = {"hidden_size": WIDTH, "num_hidden_layers": layers, "num_attention_heads": 2}
    makers = {
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**common, mlp_ratio=2, image_size=56, patch_size=14)),
        "dinov2_with_registers": lambda: t.Dinov2WithRegistersModel(
            t.Dinov2WithRegistersConfig(**common, mlp_ratio=2, image_size=56, patch_size=14, num_register_tokens=4)
        ),
        "dinov3_vit": lambda: t.DINOv3ViTModel(
            t.DINOv3ViTConfig(**common, intermediate_size=64, image_size=64, patch_size=16, num_register_tokens=4)
        ),
        "radio": lambda: t.RadioModel(
            t.RadioConfig(**common, mlp_ratio=2.0, image_size=64, patch_size=16, max_img_size=256)
        ),
        "tipsv2": lambda: t.Tipsv2Model(
            t.Tipsv2Config(
                vision_config={**common, "mlp_ratio": 2, "image_size": 56, "patch_size": 14},
                text_config={**common, "intermediate_size": 64, "vocab_size": 50},
            )
        ),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = makers[family]()
        for parameter in model.parameters():  # zeros (tokens, layer scales) would hide a wrong order
            parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (3, 112, 112, 3), dtype=np.uint8)


@pytest.mark.parametrize("family", ["dinov2", "dinov2_with_registers", "dinov3_vit", "radio", "tipsv2"])
def test_every_family_gives_the_librarys_patch_features(tmp_path: Path, picture: np.ndarray, family: str) -> None:
    from transformers import AutoModel

    folder = make_vit(tmp_path, family)
    model = DinoModel(folder)
    assert model.width == WIDTH
    grid = (112 // model.patch, 112 // model.patch)
    ours = model.tokens(picture, grid)
    plain = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    pixels = model._pixels(picture, grid)
    with torch.no_grad():
        if family == "radio":
            expected = plain(pixel_values=pixels).features
        elif family == "tipsv2":
            expected = plain.vision_model(pixel_values=pixels).last_hidden_state[:, 2:]
        else:
            skip = 5 if family != "dinov2" else 1
            expected = plain(pixel_values=pixels).last_hidden_state[:, skip:]
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    maps = model.dense(picture, (10, 6))
    assert maps.shape == (3, WIDTH, 6, 10)
    torch.testing.assert_close(maps.norm(dim=1), torch.ones(3, 6, 10), atol=1e-3, rtol=0)


EVIL = (
    "from pathlib import Path\nPath(__file__).with_name('ran').touch()\nclass RADIOConfig: ...\nclass RADIOModel: ...\n"
)


def rewrite_config(folder: Path, **values: object) -> None:
    """The folder's config without the library's own words, with `values`, as publishers wrote them before the library did."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = {k: v for k, v in config.items() if k not in ("model_type", "architectures", "transformers_version")}
    (folder / "config.json").write_text(json.dumps({**kept, **values}), encoding="utf-8")


def test_c_radio_in_its_publishers_layout_gives_the_same_features(tmp_path: Path, picture: np.ndarray) -> None:
    folder = make_vit(tmp_path, "radio")
    expected = DinoModel(folder).tokens(picture, (7, 7))
    names = set(load_file(folder / "model.safetensors"))
    assert {"radio_model.model.blocks.0.attn.qkv.weight", "radio_model.model.patch_generator.pos_embed"} <= names
    (folder / "hf_model.py").write_text(EVIL, encoding="utf-8")
    own = {"AutoConfig": "hf_model.RADIOConfig", "AutoModel": "hf_model.RADIOModel"}
    rewrite_config(folder, architectures=["RADIOModel"], auto_map=own, args={"model": "x"}, version="c-radio_v4-h")
    model = DinoModel(folder)
    assert model.family == "radio"
    torch.testing.assert_close(model.tokens(picture, (7, 7)), expected, atol=0, rtol=0)
    assert not (folder / "ran").exists()


def test_tipsv2_in_its_first_layout_is_the_base_size_or_refused(tmp_path: Path) -> None:
    import transformers

    folder = make_vit(tmp_path, "tipsv2")
    assert "vision_encoder.blocks.0.attn.qkv.weight" in set(load_file(folder / "model.safetensors"))
    own = {"AutoConfig": "configuration_tips.TIPSv2Config", "AutoModel": "modeling_tips.TIPSv2Model"}
    flat = {
        "model_type": "tipsv2",
        "architectures": ["TIPSv2Model"],
        "auto_map": own,
        "patch_size": 14,
        "img_size": 448,
    }
    flat |= {"num_register_tokens": 1, "embed_dim": 768, "ffn_layer": "mlp", "vision_fn": "vit_base"}
    (folder / "config.json").write_text(json.dumps(flat), encoding="utf-8")
    config = dino._config_of(folder)
    plain = transformers.Tipsv2VisionConfig()
    for name in ("hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size", "image_size", "mlp_ratio"):
        assert getattr(config.vision_config, name) == getattr(plain, name)
    assert (config.vision_config.hidden_size, config.vision_config.num_hidden_layers) == (768, 12)
    (folder / "config.json").write_text(json.dumps({**flat, "vision_fn": "vit_large", "embed_dim": 1024}), "utf-8")
    with pytest.raises(ModelCorruptError, match="does not say the sizes"):
        DinoModel(folder)


@pytest.mark.parametrize("kind", [None, "c-radio"])
def test_a_publishers_code_beside_the_weights_is_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    from kinmark.engine.prompts.heads import open_head

    monkeypatch.setattr("builtins.input", lambda *_: "y")  # the library would ask; nobody may be asked
    folder = make_vit(tmp_path, "dinov2")
    (folder / "hf_model.py").write_text(EVIL, encoding="utf-8")
    own = {"AutoConfig": "hf_model.RADIOConfig", "AutoModel": "hf_model.RADIOModel"}
    rewrite_config(folder, auto_map=own, **({} if kind is None else {"model_type": kind}))
    with pytest.raises(
        ModelCorruptError, match=r"program code of its own, which is never run.*transformers' own layout"
    ):
        DinoModel(folder)
    with pytest.raises(ModelCorruptError, match="cannot be loaded"):
        open_head(f"clip-head:{folder}")
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("family", ["dinov2", "radio", "tipsv2"])
def test_weights_that_the_library_would_invent_are_refused(tmp_path: Path, family: str) -> None:
    folder = make_vit(tmp_path, family)
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in sorted(tensors) if "attn.qkv.weight" in name or "attention.value.weight" in name)
    save_file({k: v for k, v in tensors.items() if k != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelCorruptError, match="lack "):
        DinoModel(folder)


def use(spec_id: str, folder: Path) -> None:
    spec = catalogue.helper(spec_id)
    assert spec is not None
    catalogue.use_folder(spec, folder)


def test_a_named_part_is_batched_and_asks_for_itself_when_it_is_missing(
    tmp_path: Path,
    picture: np.ndarray,
    toy_session: EngineSession,
    toy_pipeline_dir: Path,
    toy_images: tuple[ImageInput, ...],
) -> None:
    with pytest.raises(ModelMissingError, match=r"'dinov2-base' is not installed.*kinmark models download dinov2-base"):
        get_descriptor("dinov2-base")
    use("dinov2-base", make_vit(tmp_path / "vit", "dinov2"))
    open_dino.cache_clear()
    descriptor = get_descriptor("dinov2-base", "cpu", torch.float32)
    assert descriptor.batch > 1
    whole = descriptor.compute(picture, (8, 8))
    single = torch.cat([descriptor.compute(picture[i : i + 1], (8, 8)) for i in range(3)])
    torch.testing.assert_close(whole, single, atol=1e-5, rtol=0)
    half = get_descriptor("dinov2-base", "cpu", torch.bfloat16)
    assert half.version != descriptor.version, "numbers of another format are not mixed in the cache"
    assert float((half.compute(picture, (8, 8)).float() * whole).sum(1).min()) > 0.98
    extractor = toy_session.extractor(str(toy_pipeline_dir))
    calls: list[int] = []
    kept = extractor.descriptor("dinov2-base")
    counted = kept.__class__(
        kept.name, kept.version, lambda i, c: calls.append(len(i)) or kept.compute(i, c), kept.batch
    )
    extractor._descriptors[("dinov2-base", "cpu", torch.float32)] = counted
    views = [toy_session.whole_view(image, str(toy_pipeline_dir)) for image in toy_images]
    maps = extractor.descriptor_maps(views, "dinov2-base*0.7+dense_sift*0.3")
    assert len(maps) == 4 and calls == [4], "one forward for all views of a size"


def test_a_part_stands_in_place_of_the_diffusion_pass_or_beside_it(tmp_path: Path) -> None:
    alone, beside = get_spec("dinov2-base"), get_spec("embedded+dinov2-base")
    assert (alone.fusion.descriptor, alone.fusion.weight, alone.fusion.cells_wh) == ("dinov2-base", 1.0, (40, 40))
    assert (beside.fusion.descriptor, beside.fusion.weight) == ("dinov2-base", 0.5)
    assert get_spec("embedded+dinov2-base*0.7+dense_sift*0.3").fusion.input_wh == (560, 560)
    assert get_spec("embedded+dense_sift").fusion.input_wh is None
    assert alone.folder == get_spec("embedded").folder != ""
    with pytest.raises(ModelMissingError, match="no backbone 'nothing"):
        get_spec("nothing+dinov2-base")


def test_photos_are_matched_with_a_part_alone(tmp_path: Path, toy_images: tuple[ImageInput, ...]) -> None:
    from kinmark.engine.api import MatchRequest, MatchSettings, Target
    from kinmark.engine.local import LocalEngine

    use("dinov2-base", make_vit(tmp_path / "vit", "dinov2"))
    engine = LocalEngine(EngineConfig(device="cpu", dtype="fp32", cache_dir=tmp_path / "cache", threads=1))
    points = np.array([[30.0, 30.0], [60.0, 40.0]])
    request = MatchRequest(
        "m",
        toy_images[2],
        points,
        Target(toy_images[2]),
        settings=MatchSettings(method="nn", stages=1),
        backbone="dinov2-base",
        prompt="empty",
        want_maps=False,
    )
    found = engine.match(request)
    engine.close()
    assert np.linalg.norm(found.points_xy_image - points, axis=1).max() < 6, "a photo matches itself, within a cell"


def diy_checkpoint(width: int = WIDTH, inner: int = 32) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = {"conv1": (inner, width, 1, 1), "conv2": (inner, inner, 3, 3), "conv3": (width, inner, 1, 1)}
    found = {"mixing_weights": torch.ones(1), "logit_scale": torch.ones([])}
    for name, shape in shapes.items():
        found[f"bottleneck_layers.0.0.{name}.weight"] = torch.randn(shape, generator=generator) * 0.2
        found[f"bottleneck_layers.0.0.{name}.norm.weight"] = torch.rand(shape[0], generator=generator) + 0.5
        found[f"bottleneck_layers.0.0.{name}.norm.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return found


def marco_checkpoint(blocks: tuple[int, ...] = (1, 2), inner: int = 16) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    found = {}
    for n in blocks:
        before = f"dino.blocks.{n}.adapter."
        found[before + "adapter_layer_norm_before.weight"] = torch.rand(WIDTH, generator=generator) + 0.5
        found[before + "adapter_layer_norm_before.bias"] = torch.randn(WIDTH, generator=generator) * 0.1
        found[before + "down_proj.weight"] = torch.randn(inner, WIDTH, generator=generator)
        found[before + "down_proj.bias"] = torch.randn(inner, generator=generator)
        found[before + "up_proj.weight"] = torch.randn(WIDTH, inner, generator=generator)
        found[before + "up_proj.bias"] = torch.randn(WIDTH, generator=generator)
    for n in range(2):
        before = f"upscale.{n}."
        found[before + "conv1.weight"] = torch.randn(WIDTH, WIDTH, 2, 2, generator=generator) * 0.2
        found[before + "conv1.bias"] = torch.randn(WIDTH, generator=generator) * 0.1
        found[before + "conv2.weight"] = torch.randn(WIDTH, 1, 3, 3, generator=generator)
        found[before + "norm.weight"] = torch.rand(WIDTH, generator=generator) + 0.5
        found[before + "norm.bias"] = torch.randn(WIDTH, generator=generator) * 0.1
    return found


def convert(spec_id: str, file: Path) -> Path:
    from kinmark.engine.models.manager import ModelManager

    return Path(ModelManager().convert(file, spec_id).folder)


def test_diy_sc_is_the_published_bottleneck_on_tokens_before_the_norm(tmp_path: Path, picture: np.ndarray) -> None:
    use("dinov2-base", make_vit(tmp_path / "vit", "dinov2"))
    checkpoint = diy_checkpoint()
    torch.save(checkpoint, tmp_path / "best.pth")
    folder = convert("diy-sc", tmp_path / "best.pth")
    assert sorted(p.name for p in folder.iterdir()) == ["adapter.safetensors", catalogue.ADAPTER_FILE]
    ours = get_descriptor("diy-sc").compute(picture, (8, 8))

    model = DinoModel(tmp_path / "vit")
    with torch.no_grad():
        states = model.model.embeddings(model._pixels(picture, (8, 8)))
        for layer in model.model.encoder.layer:
            out = layer(states)
            states = out[0] if isinstance(out, tuple) else out
        x = states[:, 1:].transpose(1, 2).reshape(3, WIDTH, 8, 8)
        t = {k.removeprefix("bottleneck_layers.0.0."): v for k, v in checkpoint.items()}
        y = F.relu(F.group_norm(F.conv2d(x, t["conv1.weight"]), 32, t["conv1.norm.weight"], t["conv1.norm.bias"]))
        y = F.relu(
            F.group_norm(F.conv2d(y, t["conv2.weight"], padding=1), 32, t["conv2.norm.weight"], t["conv2.norm.bias"])
        )
        y = F.group_norm(F.conv2d(y, t["conv3.weight"]), 32, t["conv3.norm.weight"], t["conv3.norm.bias"])
        expected = F.relu(y + x)
    torch.testing.assert_close(ours, F.normalize(expected, dim=1), atol=1e-4, rtol=0)


def test_marco_adapts_its_own_blocks_and_leaves_the_shared_model_alone(tmp_path: Path, picture: np.ndarray) -> None:
    folder = make_vit(tmp_path / "vit", "dinov2", layers=3)
    use("dinov2-large", folder)
    plain = get_descriptor("dinov2-large").compute(picture, (8, 8))
    checkpoint = marco_checkpoint()
    torch.save({"model": checkpoint, "epoch": 3}, tmp_path / "marco_release.pth")
    convert("marco", tmp_path / "marco_release.pth")
    ours = get_descriptor("marco").compute(picture, (32, 32))
    assert ours.shape == (3, WIDTH, 32, 32)
    torch.testing.assert_close(get_descriptor("dinov2-large").compute(picture, (8, 8)), plain, atol=0, rtol=0)

    model = DinoModel(folder)
    with torch.no_grad():
        x = model.model.embeddings(model._pixels(picture, (8, 8)))
        for n, layer in enumerate(model.model.encoder.layer):
            attended = layer.attention(layer.norm1(x))
            attended = attended[0] if isinstance(attended, tuple) else attended
            x = x + layer.layer_scale1(attended)
            added = torch.zeros_like(x)
            if n in (1, 2):
                t = {k.removeprefix(f"dino.blocks.{n}.adapter."): v for k, v in checkpoint.items()}
                normed = F.layer_norm(
                    x, (WIDTH,), t["adapter_layer_norm_before.weight"], t["adapter_layer_norm_before.bias"]
                )
                inner = F.relu(normed @ t["down_proj.weight"].T + t["down_proj.bias"])
                added = (inner @ t["up_proj.weight"].T + t["up_proj.bias"]) * 0.1
            x = x + added + layer.layer_scale2(layer.mlp(layer.norm2(x)))
        x = model.model.layernorm(x)[:, 1:].transpose(1, 2).reshape(3, WIDTH, 8, 8)
        for n in range(2):
            t = {k.removeprefix(f"upscale.{n}."): v for k, v in checkpoint.items()}
            x = F.gelu(F.conv_transpose2d(x, t["conv1.weight"], t["conv1.bias"], stride=2))
            x = F.conv2d(x, t["conv2.weight"], padding=1, groups=WIDTH)
            mean, variance = x.mean(1, keepdim=True), x.var(1, unbiased=False, keepdim=True)
            x = (x - mean) / (variance + 1e-6).sqrt() * t["norm.weight"][:, None, None] + t["norm.bias"][:, None, None]
    torch.testing.assert_close(ours, F.normalize(x, dim=1), atol=1e-4, rtol=0)


class _Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil-was-here"),))


def test_checkpoints_that_run_code_or_belong_to_something_else_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "x.pth"
    torch.save({"model": _Evil()}, file)
    with pytest.raises(ModelCorruptError, match="could run code"):
        convert("marco", file)
    assert not (tmp_path / "evil-was-here").exists()
    torch.save(diy_checkpoint(), file)
    with pytest.raises(ModelCorruptError, match="holds no MARCO adapters"):
        convert("marco", file)
    broken = marco_checkpoint()
    broken["upscale.1.conv1.weight"] = torch.zeros(3, 3)
    torch.save(broken, file)
    with pytest.raises(ModelCorruptError, match=r"conv1\.weight has the shape \(3, 3\)"):
        convert("marco", file)
    file.write_bytes(b"PK\3\4 cut")
    with pytest.raises(ModelCorruptError, match="damaged"):
        convert("diy-sc", file)
    assert not (catalogue.helpers_folder() / "marco").exists()
    use("dinov2-base", make_vit(tmp_path / "vit", "dinov2"))
    torch.save(diy_checkpoint(width=32), file)
    convert("diy-sc", file)
    with pytest.raises(ModelCorruptError, match="made for features of 32 channels"):
        get_descriptor("diy-sc")
    adapters._open.cache_clear()
