"""Open the engine, the backbones, the saved prompts, a vector index: all light, torch comes with the first use."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kinmark.engine.requests.protocol import Engine, VectorIndexDoor
from kinmark.engine.requests.settings import EngineConfig

if TYPE_CHECKING:
    from kinmark.engine.models.manager import ModelManager
    from kinmark.engine.parallel.factory import EngineFactory
    from kinmark.engine.prompts.library import PromptLibrary


def open_vector_index(folder: Path, fingerprint: str, *, read_only: bool = False) -> VectorIndexDoor:
    """The vector index in `folder` for descriptors of that fingerprint (empty when there is none); loads no torch."""
    from kinmark.engine.retrieval.index import VectorIndex

    return VectorIndex(folder, fingerprint, read_only=read_only)


def open_engine(config: EngineConfig | None = None) -> Engine:
    """The local engine; returns at once, torch is imported when the first call needs it."""
    from kinmark.engine.local import LocalEngine

    return LocalEngine(config or EngineConfig())


def engine_factory(where: str, config: EngineConfig | None = None, *, workers: int = 0) -> EngineFactory:
    """How an engine is opened, from words: "local", "processes[:K]", "ray[:HOST:PORT]" or "ray://HOST:PORT"; loads no torch.

    UserInputError: other words. Its `open()` gives the engine (KnownError: Ray is asked for and not installed).
    """
    from kinmark.engine.parallel.factory import EngineFactory as Factory

    return Factory.parse(where, config, workers=workers)


def open_models(models_dir: Path | None = None) -> ModelManager:
    """The backbones on this machine (list, add, download, verify, self-test, remove); loads no torch."""
    from kinmark.engine.models.manager import ModelManager

    return ModelManager(models_dir)


def open_prompts(folders: tuple[Path, ...], models_dir: Path | None = None) -> PromptLibrary:
    """The saved prompts of these folders (list, find, export, import, delete); loads no torch by itself."""
    from kinmark.engine.prompts.library import PromptLibrary as Library

    return Library(folders, models_dir)
