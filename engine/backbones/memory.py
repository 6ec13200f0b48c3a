"""Out of memory -> smaller batch -> smaller ensemble -> CPU, each step reported, never a crash (methods/devices.md)."""

from __future__ import annotations

import gc
import logging
import traceback
from collections.abc import Callable
from typing import TypeVar

import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import choose_dtype, dtype_name
from kinmark.engine.domain.errors import KnownError, OutOfMemoryError
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said

log = logging.getLogger(__name__)
T = TypeVar("T")

_OOM_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory")
_LOST_WORDS = (
    "unspecified launch failure",
    "device-side assert",
    "illegal memory access",
    "device is lost",
    "device lost",
    "gpu has fallen off",
    "cuda error: unknown error",
    "no cuda-capable device",
    "driver shutting down",
)


class DeviceLostError(KnownError):
    """The graphics device stopped answering; models on it are gone."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a library's exception means that memory ran out (any device)."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _OOM_WORDS)


def is_device_lost(error: BaseException) -> bool:
    """Whether the device itself failed, after which nothing on it can be used."""
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _LOST_WORDS)


def device_lost(device: torch.device, error: BaseException) -> DeviceLostError:
    """The message for a lost device."""
    return DeviceLostError(
        said("The graphics device {0} stopped answering; nothing accepted is lost.", device),
        "Run the job again: it continues on the CPU until the program is restarted.",
        repr(error)[:2000],
    )


class MemoryLadder:
    """How large the next forward may be for one backbone; steps down after each out-of-memory.

    Thread: the engine thread. A step down stays for the life of the session, so that a sweep does not run into the same
    wall for every image.

    Attributes:
        batch: forwards of at most this many (image, noise) pairs.
        ensemble_cap: noises per image are at most this many (0 = as asked).
        events: sentences, oldest first.
    """

    def __init__(self, backbone: Backbone, on_event: Callable[[str], None] | None = None) -> None:
        self.backbone = backbone
        self.batch = max(1, backbone.spec.batch)
        self.ensemble_cap = 0
        self.events: list[str] = []
        self._on_event = on_event

    def ensemble(self, wanted: int) -> int:
        """The ensemble that is affordable now."""
        return min(wanted, self.ensemble_cap) if self.ensemble_cap else wanted

    def report(self, text: str, progress: Progress | None = None) -> None:
        """Note what had to be given up, and tell whoever listens."""
        log.warning("%s: %s", self.backbone.spec.id, text)
        self.events.append(text)
        if progress is not None:
            progress.note(text)
        if self._on_event is not None:
            self._on_event(text)

    def step_down(self, error: BaseException, *, ensemble: int = 1, progress: Progress | None = None) -> None:
        """Take the next rung after `error`.

        Args:
            error: what was raised.
            ensemble: size of the ensemble in the failed job (1 = that rung does not apply).
            progress: told which rung is taken.

        Raises:
            DeviceLostError: the device is gone. OutOfMemoryError: no rung is left. `error` itself: it is neither.
        """
        if is_device_lost(error):
            raise device_lost(self.backbone.device, error) from None
        if not is_out_of_memory(error):
            raise error
        self._free(error)
        if self.batch > 1:
            self.batch //= 2
            self.report(said("Memory is short: going on with batches of {0}.", self.batch), progress)
        elif self.ensemble(ensemble) > 1:
            self.ensemble_cap = self.ensemble(ensemble) // 2
            self.report(
                said("Memory is short: averaging {0} instead of {1} noises.", self.ensemble_cap, ensemble), progress
            )
        elif self.backbone.device.type != "cpu":
            self._to_cpu(progress)
        else:
            raise OutOfMemoryError(
                said("There is not enough memory for {0}, even for one image at a time.", self.backbone.spec.title),
                "Close other programs or choose a smaller backbone.",
                repr(error)[:2000],
            ) from None

    def _to_cpu(self, progress: Progress | None) -> None:
        cpu = torch.device("cpu")
        dtype = choose_dtype(cpu, "auto", self.backbone.spec.cpu_dtype)
        self.backbone.to(cpu, dtype)
        self.ensemble_cap = 0
        self.report(
            said("Memory of the graphics device is short: going on on the CPU ({0}).", dtype_name(dtype)), progress
        )

    def _free(self, error: BaseException) -> None:
        # The frames of the failed forward still hold its tensors; the next try would start with that memory taken.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        if self.backbone.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.backbone.device.type == "mps":
            torch.mps.empty_cache()

    def run(
        self,
        work: Callable[[int], T],
        *,
        ensemble: int = 1,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> T:
        """Call `work(batch)` until it fits; `work` must be repeatable and use at most `batch` items per forward."""
        while True:
            if cancel is not None:
                cancel.check()
            try:
                return work(self.batch)
            except (RuntimeError, MemoryError) as error:
                self.step_down(error, ensemble=ensemble, progress=progress)
