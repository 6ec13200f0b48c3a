"""What goes wrong under the engine: memory at every rung, broken numbers, vanished models, a lost device.

Every case: one sentence for the person, and the next job runs.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kinmark.engine.api import EngineConfig, ImageInput
from kinmark.engine.backbones.devices import choose_dtype, memory_format
from kinmark.engine.backbones.memory import DeviceLostError, MemoryLadder, is_device_lost, is_out_of_memory
from kinmark.engine.domain.errors import KnownError, ModelCorruptError, ModelMissingError, OutOfMemoryError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.maps import FeatureMap
from kinmark.engine.session import EngineSession

Images = tuple[ImageInput, ...]


class MemoryOf:
    """Wraps `unet_forward`: raises out-of-memory for batches larger than `limit` (0 = always) on that device."""

    def __init__(self, extractor: FeatureExtractor, limit: int, error: Callable[[], Exception]) -> None:
        self.backbone, self.limit, self.error = extractor.backbone, limit, error
        self.batches: list[int] = []
        self.forward = self.backbone.unet_forward

    def __call__(self, noisy: torch.Tensor, *args: object, **kwargs: object) -> object:
        self.batches.append(len(noisy))
        if len(noisy) > self.limit:
            raise self.error()
        return self.forward(noisy, *args, **kwargs)


def _oom() -> Exception:
    return RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: tried 9 GB")


def _extract(
    session: EngineSession, folder: Path, images: Images, progress: Progress | None = None, ensemble: int = 1
) -> list[FeatureMap]:
    extractor = session.extractor(str(folder))
    with session.guarded():
        views = [session.whole_view(image, str(folder)) for image in images]
        prompt = session.prompt("empty", extractor.backbone)
        return extractor.extract(
            views, prompt=prompt, recipe=extractor.recipe(ensemble=ensemble), descriptor=None, progress=progress
        )


@pytest.fixture
def uncached(tmp_path: Path) -> EngineSession:
    return EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_bytes=0, threads=1))


@pytest.mark.parametrize("error", [_oom, MemoryError, lambda: torch.OutOfMemoryError("CUDA out of memory.")])
def test_smaller_batches_give_the_same_features(
    uncached: EngineSession,
    toy_pipeline_dir: Path,
    toy_images: Images,
    error: Callable[[], Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = _extract(uncached, toy_pipeline_dir, toy_images)
    extractor = uncached.extractor(str(toy_pipeline_dir))
    wall = MemoryOf(extractor, 1, error)
    monkeypatch.setattr(extractor.backbone, "unet_forward", wall)
    progress = Progress()
    found = _extract(uncached, toy_pipeline_dir, toy_images, progress)
    assert wall.batches == [4, 2, 1, 1, 1, 1]
    assert "batches of 1" in progress.snapshot().note and "batches of 1" in uncached.info().note
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a.features, b.features, atol=1e-4, rtol=1e-4)
        assert a.spec == b.spec


def test_smaller_ensemble_is_recorded_with_the_result(
    uncached: EngineSession, toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = uncached.extractor(str(toy_pipeline_dir))
    extractor.ladder.batch = 1
    calls: list[int] = []
    forward = extractor.backbone.unet_forward

    def second_noise_fails(noisy: torch.Tensor, *args: object, **kwargs: object) -> object:
        calls.append(len(noisy))
        if len(calls) == 2:
            raise _oom()
        return forward(noisy, *args, **kwargs)

    monkeypatch.setattr(extractor.backbone, "unet_forward", second_noise_fails)
    found = _extract(uncached, toy_pipeline_dir, toy_images[:1], ensemble=4)[0]
    assert found.spec.ensemble == 2
    assert "averaging 2 instead of 4" in uncached.info().note
    monkeypatch.undo()
    honest = EngineSession(EngineConfig(device="cpu", dtype="fp32", cache_bytes=0, threads=1))
    expected = _extract(honest, toy_pipeline_dir, toy_images[:1], ensemble=2)[0]
    torch.testing.assert_close(found.features, expected.features, atol=1e-5, rtol=1e-5)


def test_last_rung_before_giving_up_is_the_cpu(toy_backbone: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is a pretended one ("meta" stands for a graphics card): the ladder must move the model off it."""
    from kinmark.engine.backbones.backbone import Backbone

    assert isinstance(toy_backbone, Backbone)
    moves: list[torch.device] = []

    class OnCard:
        spec, device = toy_backbone.spec, torch.device("meta")

        def to(self, device: torch.device, dtype: torch.dtype) -> None:
            moves.append(device)
            self.device = device

    ladder = MemoryLadder(OnCard())  # type: ignore[arg-type]
    ladder.batch = 1

    def work(batch: int) -> str:
        if ladder.backbone.device.type != "cpu":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return "done"

    assert ladder.run(work) == "done"
    assert moves == [torch.device("cpu")]
    assert "on the CPU" in ladder.events[-1]


def test_what_the_failed_try_held_is_free_before_the_next(
    toy_backbone: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pretended graphics card: when its cache is emptied, no frame of the failed forward may hold a tensor."""

    class OnCard:
        spec, device = toy_backbone.spec, torch.device("cuda")  # type: ignore[attr-defined]

    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))
    ladder = MemoryLadder(OnCard())  # type: ignore[arg-type]
    ladder.batch = 4

    def forward(batch: int) -> str:
        large = torch.zeros(batch)
        held.append(weakref.ref(large))
        if batch > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return f"done with {len(large)}"

    assert ladder.run(forward) == "done with 1"
    assert alive == [False, False]


@pytest.mark.parametrize(
    ("device", "dtype", "wanted"),
    [
        ("cuda", torch.float16, torch.channels_last),
        ("cuda", torch.bfloat16, torch.channels_last),
        ("cuda", torch.float32, torch.contiguous_format),
        ("cpu", torch.bfloat16, torch.contiguous_format),
        ("mps", torch.float16, torch.contiguous_format),
    ],
)
def test_layout_follows_device_and_precision(device: str, dtype: torch.dtype, wanted: torch.memory_format) -> None:
    assert memory_format(torch.device(device), dtype) == wanted


@pytest.mark.parametrize(("capability", "wanted"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_precision_on_a_graphics_card(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], wanted: torch.dtype
) -> None:
    """Half precision that the card multiplies natively: bfloat16 from Ampere on, float16 before."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert choose_dtype(torch.device("cuda")) == wanted


def test_no_memory_at_all_is_one_sentence_and_the_next_job_runs(
    uncached: EngineSession, toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = uncached.extractor(str(toy_pipeline_dir))
    monkeypatch.setattr(extractor.backbone, "unet_forward", MemoryOf(extractor, 0, _oom))
    with pytest.raises(OutOfMemoryError, match="even for one image") as caught:
        _extract(uncached, toy_pipeline_dir, toy_images, ensemble=4)
    assert caught.value.hint
    assert len(extractor.ladder.events) >= 4
    monkeypatch.undo()
    assert len(_extract(uncached, toy_pipeline_dir, toy_images)) == 4


@pytest.mark.parametrize("stage", ["encode_latents", "encode_text"])
def test_memory_short_in_other_stages(
    uncached: EngineSession, toy_pipeline_dir: Path, toy_images: Images, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = uncached.extractor(str(toy_pipeline_dir))

    def fail(*_args: object, **_kwargs: object) -> None:
        raise _oom()

    monkeypatch.setattr(extractor.backbone, stage, fail)
    with pytest.raises(OutOfMemoryError):
        _extract(uncached, toy_pipeline_dir, toy_images)
    monkeypatch.undo()
    assert len(_extract(uncached, toy_pipeline_dir, toy_images)) == 4


def test_other_errors_are_not_swallowed_by_the_ladder(
    uncached: EngineSession, toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = uncached.extractor(str(toy_pipeline_dir))
    wall = MemoryOf(extractor, 0, lambda: RuntimeError("shape mismatch"))
    monkeypatch.setattr(extractor.backbone, "unet_forward", wall)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        _extract(uncached, toy_pipeline_dir, toy_images)
    assert wall.batches == [4]


def test_not_a_number_in_half_precision_is_repeated_in_full(
    toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = EngineSession(EngineConfig(device="cpu", dtype="bf16", cache_bytes=0, threads=1))
    extractor = session.extractor(str(toy_pipeline_dir))
    forward = extractor.backbone.unet_forward

    def overflow(*args: object, **kwargs: object) -> object:
        output = forward(*args, **kwargs)
        if extractor.backbone.dtype != torch.float32:
            output.maps[1][..., 0, 0] = float("inf")
        return output

    monkeypatch.setattr(extractor.backbone, "unet_forward", overflow)
    found = _extract(session, toy_pipeline_dir, toy_images)
    assert all(bool(torch.isfinite(m.features).all()) for m in found)
    assert found[0].spec.settings["dtype"] == "fp32"
    assert session.info().dtype == "fp32"


def test_not_a_number_from_damaged_weights_is_named(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: Images
) -> None:
    extractor = toy_session.extractor(str(toy_pipeline_dir))
    parameter = next(extractor.backbone.unet.mid_block.parameters())
    saved = parameter.detach().clone()
    parameter.data.fill_(float("nan"))
    with pytest.raises(ModelCorruptError, match="not numbers"):
        _extract(toy_session, toy_pipeline_dir, toy_images)
    parameter.data.copy_(saved)
    assert len(_extract(toy_session, toy_pipeline_dir, toy_images)) == 4


def test_model_folder_deleted_in_the_middle_of_a_job(
    tmp_path: Path, toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: Images
) -> None:
    """The running job and later ones finish with the loaded weights; after closing, the missing folder is named."""
    folder = Path(shutil.copytree(toy_pipeline_dir, tmp_path / "vanishing"))
    _extract(toy_session, folder, toy_images[:1])
    shutil.rmtree(folder)
    assert len(_extract(toy_session, folder, toy_images)) == 4
    toy_session.close()
    with pytest.raises(ModelMissingError):
        _extract(toy_session, folder, toy_images)
    assert len(_extract(toy_session, toy_pipeline_dir, toy_images)) == 4


def test_weights_overwritten_while_loaded_do_no_harm(
    tmp_path: Path, toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: Images
) -> None:
    """Truncating a memory-mapped file would kill the process: loaded weights must not depend on the file."""
    folder = Path(shutil.copytree(toy_pipeline_dir, tmp_path / "truncated"))
    toy_session.cache = None
    expected = _extract(toy_session, folder, toy_images[:1])[0].features
    for path in folder.rglob("*.safetensors"):
        with path.open("r+b") as file:
            file.truncate(0)
    assert torch.equal(_extract(toy_session, folder, toy_images[:1])[0].features, expected)


def test_lost_device_goes_on_with_the_cpu(
    uncached: EngineSession, toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = uncached.extractor(str(toy_pipeline_dir))
    error = RuntimeError("CUDA error: unspecified launch failure")
    monkeypatch.setattr(extractor.backbone, "unet_forward", MemoryOf(extractor, 0, lambda: error))
    with pytest.raises(DeviceLostError, match="stopped answering"):
        _extract(uncached, toy_pipeline_dir, toy_images)
    monkeypatch.undo()
    assert uncached.device.type == "cpu" and "lost" in uncached.info().note
    assert len(_extract(uncached, toy_pipeline_dir, toy_images)) == 4


def test_unreadable_images_do_not_stop_preparing(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: Images, tmp_path: Path
) -> None:
    truncated = tmp_path / "truncated.png"
    truncated.write_bytes(toy_images[0].path.read_bytes()[:200])
    missing = ImageInput("missing", tmp_path / "nowhere.png")
    images = (toy_images[0], ImageInput("truncated", truncated), missing, *toy_images[1:])
    progress = Progress()
    assert toy_session.prepare(images, str(toy_pipeline_dir), progress=progress) == len(toy_images)
    assert progress.snapshot().done == len(images)
    assert toy_session.prepare(images, str(toy_pipeline_dir)) == 0


def test_cancel_between_batches_keeps_what_was_cached(
    toy_session: EngineSession, toy_pipeline_dir: Path, toy_images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kinmark.engine.domain.errors import OperationCancelled

    extractor = toy_session.extractor(str(toy_pipeline_dir))
    extractor.ladder.batch = 1
    token = CancelToken()
    forward = extractor.backbone.unet_forward
    done: list[int] = []

    def forward_then_cancel(*args: object, **kwargs: object) -> object:
        done.append(1)
        if len(done) == 2:
            token.cancel()
        return forward(*args, **kwargs)

    monkeypatch.setattr(extractor.backbone, "unet_forward", forward_then_cancel)
    with pytest.raises(OperationCancelled):
        toy_session.prepare(toy_images, str(toy_pipeline_dir), cancel=token)
    assert len(done) == 2
    assert toy_session.prepare(toy_images, str(toy_pipeline_dir)) == 2


def test_words_of_the_libraries_are_understood() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))
    assert not is_out_of_memory(RuntimeError("size mismatch")) and not is_out_of_memory(ValueError("out of memory"))
    assert is_device_lost(RuntimeError("CUDA error: an illegal memory access was encountered"))
    assert not is_device_lost(RuntimeError("CUDA out of memory"))


def test_unknown_device_and_precision() -> None:
    for config in (EngineConfig(device="cuda") if not torch.cuda.is_available() else EngineConfig(device="mps"),):
        with pytest.raises(KnownError):
            EngineSession(config)
