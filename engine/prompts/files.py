"""Saved prompts on disk: one folder `<id>/` with `prompt.safetensors` and `card.json`, or one exported file.

An exported file is the safetensors file with the card in its metadata, so it is complete by itself. Nothing here
executes what it reads: safetensors and JSON only. No torch is imported until tensors are asked for.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError, valid_id
from kinmark.engine.domain.texts import said

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, CARD = "prompt.safetensors", "card.json"
MAX_BYTES = 512 << 20
_HEADER_LIMIT = 8 << 20


def make_id(kind: str, category: str, tensors: dict[str, Tensor]) -> str:
    """`kind-category-hash`: readable, safe as a folder name, different for different weights."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().float().numpy().tobytes())
    slug = re.sub(r"[^a-z0-9]+", "-", category.lower()).strip("-")[:40]
    return "-".join(part for part in (kind, slug, digest.hexdigest()[:10]) if part)


def save_prompt(folder: Path, card: PromptCard, tensors: dict[str, Tensor]) -> Path:
    """Write `folder/<card.id>/`; appears whole or not at all. Returns the prompt's folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / card.id
    work = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        contiguous = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        save_file(contiguous, work / WEIGHTS, metadata={"kinmark_prompt": card.to_json()})
        (work / CARD).write_text(card.to_json(), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        work.replace(target)
    except OSError as error:
        raise PromptFileError(
            said("The prompt could not be saved in {0}.", folder), "Check free space and permissions.", repr(error)
        ) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def rewrite_card(folder: Path, card: PromptCard) -> None:
    """Replace the card of a saved prompt (its weights stay); appears whole or not at all."""
    part = folder / (CARD + ".part")
    try:
        part.write_text(card.to_json(), encoding="utf-8")
        part.replace(folder / CARD)
    except OSError as error:
        raise PromptFileError(
            said("The prompt {0} could not be changed.", card.id), "Check free space and permissions.", repr(error)
        ) from None


def read_card(path: Path) -> PromptCard:
    """The card of a prompt's folder or exported file; raises PromptFileError."""
    try:
        if path.is_dir():
            return PromptCard.from_json((path / CARD).read_text(encoding="utf-8"), str(path / CARD))
        text = _header(path).get("__metadata__", {}).get("kinmark_prompt")
    except (OSError, UnicodeDecodeError) as error:
        raise PromptFileError(
            said("The saved prompt {0} cannot be read.", path), "Check that it is there.", repr(error)
        ) from None
    if not isinstance(text, str):
        raise PromptFileError(
            said("{0} is not a prompt exported by Kinmark.", path), "Choose a file made by `prompts export`."
        )
    return PromptCard.from_json(text, str(path))


def _header(path: Path) -> dict[str, dict[str, str]]:
    """The safetensors header, size-checked before it is parsed (the file may come from a stranger)."""
    broken = PromptFileError(
        said("The prompt file {0} is damaged.", path), "Export the prompt again where it was made."
    )
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or size > MAX_BYTES or length > min(_HEADER_LIMIT, size - 8):
            raise broken
        try:
            header = json.loads(file.read(length))
        except (ValueError, RecursionError):
            raise broken from None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__", {}), dict):
        raise broken
    return header


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors (CPU) of a prompt's folder or exported file; raises PromptFileError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = path / WEIGHTS if path.is_dir() else path
    try:
        _header(file)
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise PromptFileError(
            said("The prompt file {0} is missing or damaged.", file), "Tune or import the prompt again.", repr(error)
        ) from None
    if not tensors or not all(bool(t.isfinite().all()) for t in tensors.values() if t.is_floating_point()):
        raise PromptFileError(
            said("The prompt file {0} holds no usable numbers.", file), "Tune or import the prompt again."
        )
    return tensors


def list_prompts(folders: Iterable[Path]) -> list[tuple[Path, PromptCard]]:
    """Every readable saved prompt, newest first; damaged ones are left out (`prompts show` says what is wrong)."""
    found: list[tuple[Path, PromptCard]] = []
    for folder in folders:
        if not folder.is_dir():
            continue
        for entry in sorted(folder.iterdir()):
            if entry.is_dir() and valid_id(entry.name) and (entry / CARD).is_file():
                try:
                    card = read_card(entry)
                except PromptFileError:
                    continue
                if card.id == entry.name:
                    found.append((entry, card))
    return sorted(found, key=lambda item: (item[1].created, item[1].id), reverse=True)


def find_prompt(prompt_id: str, folders: Iterable[Path]) -> Path:
    """Folder of the saved prompt; `prompt_id` with or without "prompt:", or an unambiguous beginning of it.

    Raises PromptFileError listing what is there.
    """
    wanted = prompt_id.removeprefix("prompt:")
    folders = list(folders)
    if valid_id(wanted):
        for folder in folders:
            if (folder / wanted / CARD).is_file():
                return folder / wanted
    known = list_prompts(folders)
    matching = [path for path, card in known if card.id.startswith(wanted)]
    if len(matching) == 1 and wanted:
        return matching[0]
    names = ", ".join(card.id for _, card in known) or "none"
    if matching and wanted:
        raise UserInputError(
            said("Several saved prompts begin with {0}.", f"{wanted!r}"), said("Write one of: {0}.", names)
        )
    raise PromptFileError(said("There is no saved prompt {0}.", f"{wanted!r}"), said("Saved prompts: {0}.", names))


def delete_prompt(path: Path) -> None:
    """Remove a prompt's folder; raises PromptFileError when `path` is none."""
    card = read_card(path)
    if not path.is_dir() or card.id != path.name:
        raise PromptFileError(said("{0} is not a saved prompt's folder.", path))
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise PromptFileError(
            said("The prompt {0} could not be deleted.", card.id), "Check permissions.", repr(error)
        ) from None


def export_prompt(path: Path, out: Path) -> Path:
    """Copy the prompt at folder `path` into the single file `out` (a folder: `<out>/<id>.safetensors`)."""
    card = read_card(path)
    read_tensors(path)
    if out.is_dir():
        out = out / f"{card.id}.safetensors"
    try:
        part = out.with_name(out.name + ".part")
        shutil.copyfile(path / WEIGHTS, part)
        part.replace(out)
    except OSError as error:
        raise PromptFileError(
            said("The prompt could not be written to {0}.", out), "Check the folder.", repr(error)
        ) from None
    return out


def import_exported(file: Path, folder: Path) -> Path:
    """Take a folder or file made by `export_prompt` into `folder`; the weights are checked against the id's hash."""
    card = read_card(file)
    tensors = read_tensors(file)
    if make_id(card.kind, card.category, tensors) != card.id:
        raise PromptFileError(said("The prompt file {0} does not hold what its card says.", file), "Export it again.")
    return save_prompt(folder, card, tensors)
