"""What a model folder must hold, checked before anything is loaded. Loads no torch.

Only the components that Kinmark runs are looked at: unet, vae, text encoder(s), tokenizer(s), scheduler. Weights are
safetensors only: a folder with pickled weights in one of these components is refused, because unpickling runs code.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from kinmark.engine.domain.errors import ModelCorruptError, ModelMissingError
from kinmark.engine.domain.texts import said

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
WEIGHT_COMPONENTS = ("unet", "vae", "text_encoder")
REQUIRED_FILES = (
    "model_index.json",
    "unet/config.json",
    "vae/config.json",
    "text_encoder/config.json",
    "scheduler/scheduler_config.json",
)
CHECKSUMS = "checksums.json"
MAX_JSON_BYTES = 64 << 20
MAX_HEADER_BYTES = 100 << 20
MAX_WIDTH, MAX_LAYERS, MAX_LIST = 1_000_000, 200, 4096
LAYER_COUNTS = ("layers_per_block", "transformer_layers_per_block", "num_hidden_layers", "num_layers")
_HASH_WHOLE_BELOW = 64 << 20
_HASH_EDGE = 1 << 20


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; ModelCorruptError when it is missing, damaged, too large or no object."""
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("file too large")
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ModelCorruptError(
            said("The file {0} of the model is missing or damaged.", path),
            "Download or copy the model again.",
            repr(error),
        ) from None
    return data


def components(folder: Path) -> tuple[str, ...]:
    """Component folders that Kinmark uses, in loading order."""
    second = ("text_encoder_2", "tokenizer_2") if (folder / "text_encoder_2").is_dir() else ()
    return ("unet", "vae", "text_encoder", "tokenizer", "scheduler", *second)


def check_layout(folder: Path) -> None:
    """Raise unless the folder is a complete diffusers folder with safetensors weights only.

    Raises:
        ModelMissingError: the folder is not there.
        ModelCorruptError: a file is missing, or pickled weights lie in it.
    """
    if not folder.is_dir():
        raise ModelMissingError(
            said("The model folder {0} is not there.", folder), "Check the path or download the model."
        )
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelCorruptError(
            said("The model folder {0} lacks {1}.", folder, ", ".join(missing)),
            "A diffusers folder is needed (model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/).",
        )
    refuse_pickles(folder)
    for part in components(folder):
        if part.startswith(("tokenizer", "scheduler")):
            continue
        if not any((folder / part).glob("*.safetensors")):
            raise ModelCorruptError(
                said("The folder {0} holds no safetensors weights.", folder / part), "Download or copy the model again."
            )
    if not any((folder / "tokenizer" / name).is_file() for name in ("vocab.json", "tokenizer.json")):
        raise ModelCorruptError(
            said("The folder {0} holds no vocabulary.", folder / "tokenizer"), "Copy the model again."
        )


def refuse_pickles(folder: Path) -> None:
    """ModelCorruptError when pickled weights lie in a component that would be loaded."""
    found = [
        path.relative_to(folder).as_posix()
        for part in components(folder)
        for path in sorted((folder / part).rglob("*"))
        if path.suffix.lower() in PICKLE_SUFFIXES
    ]
    if found:
        raise ModelCorruptError(
            said("The model folder {0} holds pickled weights, which can run code: {1}.", folder, ", ".join(found[:4])),
            "Use a safetensors version of the model, or delete these files if safetensors lie beside them.",
        )


def check_safetensors(path: Path) -> None:
    """Check a weight file's header and length without reading its tensors; ModelCorruptError when they disagree.

    The header's declared offsets must end exactly at the end of the file, so a cut copy is found in a millisecond.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
                raise ValueError("impossible header length")
            header = json.loads(file.read(length))
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + max(ends, default=0) != size:
            raise ValueError(f"{size} bytes instead of {8 + length + max(ends, default=0)}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ModelCorruptError(
            said("The weight file {0} is cut off or damaged.", path), "Download or copy the model again.", repr(error)
        ) from None


def check_weights(folder: Path) -> None:
    """`check_safetensors` for every weight file of the components."""
    for path in model_files(folder):
        if path.suffix == ".safetensors":
            check_safetensors(path)


def check_config(path: Path) -> dict[str, Any]:
    """A network's config with sizes that a real model can have; ModelCorruptError otherwise.

    A config from a stranger could ask for a network that fills the memory before any weight is compared with it.
    """
    config = read_json(path)
    for name, value in config.items():
        limit = MAX_LAYERS if name in LAYER_COUNTS else MAX_WIDTH
        if _largest(value) > limit:
            raise ModelCorruptError(
                said("The config {0} asks for {1} = {2}, which no model has.", path, name, str(value)[:60]),
                "Download or copy the model again.",
            )
    return config


def _largest(value: Any, depth: int = 0) -> float:
    if isinstance(value, bool) or depth > 4:
        return 0.0
    if isinstance(value, int | float):
        return abs(value)
    if isinstance(value, list):
        return float("inf") if len(value) > MAX_LIST else max((_largest(v, depth + 1) for v in value), default=0.0)
    return 0.0


def stored_numbers(folder: Path) -> int:
    """How many numbers the weight files of a component folder hold (of the half-precision or the plain set)."""
    total: dict[bool, int] = {}
    for path in folder.glob("*.safetensors"):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        count = sum(math.prod(e["shape"]) for name, e in header.items() if name != "__metadata__")
        half = ".fp16." in path.name
        total[half] = total.get(half, 0) + count
    return max(total.values(), default=0)


def file_digest(path: Path, algorithm: str = "sha256", prefix: bytes = b"") -> str:
    """Hex digest of `prefix` and the file's bytes."""
    digest = hashlib.new(algorithm, prefix)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def write_checksums(folder: Path) -> Path:
    """Write `checksums.json` (relative path -> sha256 of every model file) for a model that is shipped or shared."""
    sums = {p.relative_to(folder).as_posix(): file_digest(p) for p in model_files(folder)}
    path = folder / CHECKSUMS
    path.write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def model_files(folder: Path) -> list[Path]:
    """The files that decide what the model computes, sorted by their relative path."""
    files = [folder / "model_index.json"]
    for part in components(folder):
        files += [
            p for p in (folder / part).rglob("*") if p.suffix in (".json", ".txt", ".safetensors") and p.is_file()
        ]
    return sorted((p for p in files if p.is_file()), key=lambda p: p.relative_to(folder).as_posix())


def folder_revision(folder: Path) -> str:
    """12 hex digits that name the content: whole small files, size + both ends of large ones (full check: `verify`)."""
    digest = hashlib.sha256()
    for path in model_files(folder):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}:{size}:".encode())
        with path.open("rb") as file:
            if size <= _HASH_WHOLE_BELOW:
                digest.update(file.read())
            else:
                digest.update(file.read(_HASH_EDGE))
                file.seek(size - _HASH_EDGE)
                digest.update(file.read(_HASH_EDGE))
    return digest.hexdigest()[:12]
