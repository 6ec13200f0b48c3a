"""Backbones that are published as another U-Net for a known one (CleanDIFT): the file is fetched, the rest is the base's.

The finished folder is an ordinary diffusers folder. Files of the base are linked where the disk can, so they take no room twice.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kinmark.engine.backbones.folder import check_layout, check_safetensors, check_weights, model_files
from kinmark.engine.backbones.registry import BackboneSpec, is_installed
from kinmark.engine.domain.errors import KnownError, ModelMissingError
from kinmark.engine.domain.model_info import DownloadPlan
from kinmark.engine.domain.texts import said
from kinmark.engine.models.download import Layout

UNET = "unet/diffusion_pytorch_model.safetensors"


@dataclass(frozen=True)
class Overlay:
    """`file` of the repository takes the place of the U-Net of the backbone `base`."""

    base: str
    file: str


def overlay_of(spec: BackboneSpec) -> Overlay | None:
    """From `spec.extra["overlay"]`: [base, file]; None for a backbone that is complete in itself."""
    said = spec.extra.get("overlay")
    return Overlay(str(said[0]), str(said[1])) if isinstance(said, list | tuple) and len(said) == 2 else None


def require_base(model_id: str, base: BackboneSpec) -> None:
    """ModelMissingError unless the base is installed."""
    if not is_installed(base):
        raise ModelMissingError(
            said("'{0}' is another U-Net for '{1}', which is not installed.", model_id, base.id),
            said("First: kinmark models download {0}", base.id),
        )


def overlay_layout(overlay: Overlay) -> Layout:
    """Only the one file, and the licence."""

    def needed(names: set[str], variant: str) -> set[str]:
        return {n for n in names if n == overlay.file or n.upper().startswith(("LICENSE", "LICENCE"))}

    def check(plan: DownloadPlan) -> None:
        if overlay.file not in {file.name for file in plan.files}:
            raise KnownError(
                said("The repository {0} has no file {1}.", plan.repo_id, overlay.file), "Choose another mirror."
            )

    return Layout(needed, check, lambda folder: check_safetensors(folder / overlay.file))


def assemble(base: Path, folder: Path, file: str) -> None:
    """Make `folder`, which holds the downloaded U-Net, a whole diffusers folder with the files of `base`.

    Raises:
        KnownError: the disk refuses. ModelCorruptError: the result is no usable folder.
    """
    try:
        for source in model_files(base):
            name = source.relative_to(base).as_posix()
            if name.startswith("unet/") and source.suffix != ".json":
                continue
            if name.endswith(".safetensors.index.json") and name.startswith("unet/"):
                continue
            _link(source, folder / name)
        (folder / "unet").mkdir(exist_ok=True)
        if (folder / file).is_file():
            _link(folder / file, folder / UNET)
    except OSError as error:
        raise KnownError(
            said("The model folder {0} cannot be completed: {1}.", folder, error.strerror or error),
            "Make room, then download again.",
        ) from None
    check_layout(folder)
    check_weights(folder)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
