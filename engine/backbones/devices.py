"""Where and in which precision a backbone runs (methods/devices.md)."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from kinmark.engine.domain.errors import KnownError, UserInputError
from kinmark.engine.domain.texts import said

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_name(dtype: torch.dtype) -> str:
    """ "fp32", "bf16" or "fp16"."""
    return _NAMES.get(dtype, str(dtype).removeprefix("torch."))


def choose_device(wanted: str = "auto") -> torch.device:
    """cuda > mps > cpu, or exactly what was asked for; KnownError when that device is not there."""
    has_mps = torch.backends.mps.is_available()
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UserInputError(
            said("'{0}' is no device.", wanted), "Use auto, cpu, cuda, cuda:1 or mps.", repr(error)
        ) from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise KnownError(
            "No CUDA device can be used on this machine.", "Install its driver or choose the device 'cpu'."
        )
    if device.type == "mps" and not has_mps:
        raise KnownError("This machine has no Apple GPU that torch can use.", "Choose the device 'cpu'.")
    return device


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 natively (AVX512-BF16, AMX)."""
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        probe = getattr(torch.cpu, name, None)
        if probe is not None and probe():
            return True
    return False


def choose_dtype(device: torch.device, wanted: str = "auto", cpu_dtype: str = "") -> torch.dtype:
    """Precision of the networks.

    Args:
        device: where they run.
        wanted: "auto" or a name of `DTYPES`.
        cpu_dtype: what the backbone's card measured as faster on CPUs ("" = policy).
    """
    if wanted != "auto":
        if wanted not in DTYPES:
            raise UserInputError(said("'{0}' is no precision.", wanted), said("Use auto, {0}.", ", ".join(DTYPES)))
        return DTYPES[wanted]
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device)[0] >= 8
        return torch.bfloat16 if native else torch.float16
    if device.type == "mps":
        return torch.float16
    if cpu_dtype:
        return DTYPES[cpu_dtype] if cpu_dtype != "bf16" or cpu_has_bf16() else torch.float32
    return torch.bfloat16 if cpu_has_bf16() else torch.float32


def memory_format(device: torch.device, dtype: torch.dtype) -> torch.memory_format:
    """Layout of the U-Net: channels last for half precision on CUDA, whose convolutions are made for it.

    Not on the CPU, where PyTorch's GroupNorm loses accuracy on channels-last strides, nor in float32.
    """
    half = dtype in (torch.float16, torch.bfloat16)
    return torch.channels_last if device.type == "cuda" and half else torch.contiguous_format


def memory_bytes(device: torch.device) -> tuple[int, int]:
    """(used, total) bytes of the device; (0, 0) when unknown. On the CPU: this process and the machine."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return total - free, total
    if device.type == "mps":
        return int(torch.mps.current_allocated_memory()), int(torch.mps.recommended_max_memory())
    return _process_memory()


def _process_memory() -> tuple[int, int]:
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * page
        return used, os.sysconf("SC_PHYS_PAGES") * page
    except (OSError, ValueError, AttributeError, IndexError):
        return 0, 0
