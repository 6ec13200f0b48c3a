"""The saved prompts of some folders: what `kinmark prompts` and the window ask for. Light to import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kinmark.engine.backbones.folder import folder_revision
from kinmark.engine.backbones.registry import get_spec
from kinmark.engine.domain.errors import UserInputError
from kinmark.engine.domain.prompt_card import PromptCard, PromptFileError
from kinmark.engine.domain.texts import said
from kinmark.engine.prompts import files

PUBLISHED_SUFFIXES = (".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class SavedPrompt:
    """One saved prompt: its folder and its card."""

    folder: Path
    card: PromptCard

    @property
    def reference(self) -> str:
        """What `--prompt` and requests take."""
        return f"prompt:{self.card.id}"


class PromptLibrary:
    """Saved prompts in `folders`; new ones go to the first. Any thread (every call reads the disk).

    Attributes:
        folders: searched in this order.
        models_dir: of installed backbones (None = the platform's data folder).
    """

    def __init__(self, folders: Sequence[Path], models_dir: Path | None = None) -> None:
        if not folders:
            raise ValueError("a prompt library needs a folder")
        self.folders, self.models_dir = tuple(folders), models_dir

    def entries(self) -> list[SavedPrompt]:
        """Every readable prompt, newest first."""
        return [SavedPrompt(path, card) for path, card in files.list_prompts(self.folders)]

    def find(self, prompt_id: str) -> SavedPrompt:
        """By id, with or without "prompt:", or an unambiguous beginning; PromptFileError when it is not there."""
        path = files.find_prompt(prompt_id, self.folders)
        return SavedPrompt(path, files.read_card(path))

    def export(self, prompt_id: str, out: Path) -> Path:
        """Write one prompt to a single safetensors file (with its card inside); returns the file."""
        return files.export_prompt(self.find(prompt_id).folder, out)

    def delete(self, prompt_id: str) -> SavedPrompt:
        """Remove a prompt; returns what it was."""
        found = self.find(prompt_id)
        files.delete_prompt(found.folder)
        return found

    def decide(self, prompt_id: str, auto: bool | None) -> SavedPrompt:
        """Whether "auto" may take a prompt: yes, no, or None: by its measured gain, as for one that nobody judged."""
        found = self.find(prompt_id)
        settings = {k: v for k, v in found.card.settings.items() if k != "auto"}
        card = replace(found.card, settings=settings if auto is None else {**settings, "auto": auto})
        files.rewrite_card(found.folder, card)
        return replace(found, card=card)

    def undecided(self, backbone: str, category: str) -> SavedPrompt | None:
        """The newest prompt for `backbone` (id or folder) and category (or for all of them) that nobody decided about."""
        spec_id = get_spec(backbone, self.models_dir).id
        for saved in self.entries():
            card = saved.card
            if card.backbone == spec_id and card.category in ("", category) and card.settings.get("auto") is False:
                return saved
        return None

    def import_(self, path: Path, *, backbone: str = "", category: str = "", patches: str = "") -> list[SavedPrompt]:
        """Take in a file exported by Kinmark, a prompt's folder, or `caption.pt` / `ckpt.pt` of the published code.

        Args:
            backbone: what a published prompt is for (its file does not say so).
            category: name for a published file that holds one unnamed prompt.
            patches: what a published conditional prompt sees: "dino:<folder>", "dino-head:<folder>" or "clip-head:<folder>".

        Raises:
            PromptFileError: not a prompt, damaged, or refused. UserInputError: something is missing.
        """
        if not path.exists():
            raise PromptFileError(said("There is no file {0}.", path), "Check the path.")
        if path.suffix.lower() not in PUBLISHED_SUFFIXES:
            folder = files.import_exported(path, self.folders[0])
            return [SavedPrompt(folder, files.read_card(folder))]
        if not backbone:
            raise UserInputError(
                said("{0} does not say which backbone it was made for.", path),
                "Name it: --backbone sd21 (published prompts).",
            )
        from kinmark.engine.prompts.published import read_published

        spec = get_spec(backbone, self.models_dir)
        installed = Path(spec.folder) if spec.folder else None
        revision = folder_revision(installed) if installed is not None and installed.is_dir() else ""
        found = read_published(path, backbone=spec.id, revision=revision, patches=patches)
        if category and len(found) == 1 and found[0].card.kind in ("single", "class"):
            card = replace(found[0].card, kind="class", category=category)
            found = [replace(found[0], card=replace(card, id=files.make_id("class", category, found[0].tensors)))]
        saved = [files.save_prompt(self.folders[0], item.card, item.tensors) for item in found]
        return [SavedPrompt(folder, files.read_card(folder)) for folder in saved]
