"""One open engine: loaded backbones, prompts, the feature cache and the memory ladder, held between requests.

Thread: created, used and closed by the engine thread.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from kinmark.engine.backbones.backbone import Backbone
from kinmark.engine.backbones.devices import choose_device, choose_dtype, dtype_name, memory_bytes
from kinmark.engine.backbones.loading import load_backbone
from kinmark.engine.backbones.memory import (
    DeviceLostError,
    MemoryLadder,
    device_lost,
    is_device_lost,
    is_out_of_memory,
)
from kinmark.engine.backbones.prompt import AUTO_PROMPT, EMPTY_PROMPT, SAVED_PREFIX, TEXT_PREFIX, Prompt
from kinmark.engine.domain.errors import (
    ModelCorruptError,
    ModelMissingError,
    OutOfMemoryError,
    UnreadableImageError,
    UserInputError,
)
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.features.cache import FeatureCache
from kinmark.engine.features.efficientnet import NaturalFeatures, open_natural
from kinmark.engine.features.extractor import FeatureExtractor
from kinmark.engine.features.views import ImageSource, ImageView, whole_view
from kinmark.engine.heads.store import HeadStore
from kinmark.engine.paths import cache_dir, data_dir
from kinmark.engine.requests import DEFAULT_BACKBONE, EngineConfig, EngineInfo, ImageInput

log = logging.getLogger(__name__)


class EngineSession:
    """State that is expensive to make: set once, ask many.

    Attributes:
        config: how the engine was opened.
        source: the image decoder shared by all extractors.
        cache: None when `config.cache_bytes` is 0.
        heads: what exemplars taught the keypoint heads.
        last: what the last request left ready (a reader's maps, a matcher), by kind; dropped with the models.
    """

    def __init__(self, config: EngineConfig | None = None) -> None:
        self.config = config or EngineConfig()
        if self.config.threads > 0:
            torch.set_num_threads(self.config.threads)
        self._device = choose_device(self.config.device)
        self._note = ""
        self.source = ImageSource()
        folder = self.config.cache_dir or cache_dir() / "features"
        self.cache = FeatureCache(folder, self.config.cache_bytes) if self.config.cache_bytes > 0 else None
        self._extractors: dict[str, FeatureExtractor] = {}
        self._current = ""
        self._held: Prompt | None = None
        self.heads = HeadStore(self.cache)
        self.last: dict[str, tuple[object, object]] = {}
        self._natural: NaturalFeatures | None = None
        self._natural_error = ""

    # ---- what runs -------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the next backbone will be loaded (the CPU after a lost device)."""
        return self._device

    def info(self) -> EngineInfo:
        """What really runs now; loads nothing."""
        loaded = self._extractors.get(self._current)
        if loaded is None:
            device, dtype = self._device, choose_dtype(self._device, self.config.dtype)
        else:
            device, dtype = loaded.backbone.device, loaded.backbone.dtype
        used, total = memory_bytes(device)
        return EngineInfo(
            device=_device_title(device),
            dtype=dtype_name(dtype),
            backbone=self._current,
            memory_used_bytes=used,
            memory_total_bytes=total,
            note=self._note or (loaded.backbone.note if loaded is not None else ""),
        )

    def backbone(self, id_or_path: str = DEFAULT_BACKBONE) -> Backbone:
        """The loaded backbone, loaded on the first call and kept; errors of `load_backbone`."""
        return self.extractor(id_or_path).backbone

    def extractor(self, id_or_path: str = DEFAULT_BACKBONE) -> FeatureExtractor:
        """The extractor of a backbone (one per backbone, with its memory ladder)."""
        key = str(id_or_path)
        if key not in self._extractors:
            if self._device.type != "cpu":
                # Two large models do not fit a small device; the CPU keeps them.
                self._drop_models()
            with self.guarded():
                loaded = load_backbone(key, self._device, self.config.dtype, models_dir=self.config.models_dir)
            if self.config.compile:
                loaded.compile_blocks()
            ladder = MemoryLadder(loaded, on_event=self._set_note)
            self._extractors[key] = FeatureExtractor(loaded, self.cache, self.source, ladder)
        self._current = key
        return self._extractors[key]

    def ladder(self, id_or_path: str = DEFAULT_BACKBONE) -> MemoryLadder:
        """The memory ladder of a backbone, for work that is not feature extraction."""
        return self.extractor(id_or_path).ladder

    def natural(self) -> NaturalFeatures | None:
        """The network that knows photographs, loaded on the first call; None (said once) where its weights cannot be read."""
        if self._natural is None and not self._natural_error:
            try:
                self._natural = open_natural("lite2", self._device)
            except (ModelMissingError, ModelCorruptError) as error:
                self._natural_error = said(
                    "{0} Individuals are told apart less well without it. {1}", error.user_message, error.hint
                )
                log.warning("%s", self._natural_error)
                self._set_note(self._natural_error)
        return self._natural

    def _set_note(self, text: str) -> None:
        self._note = text

    # ---- prompts ---------------------------------------------------------------------------------------------

    def prompt(self, prompt_id: str = EMPTY_PROMPT, backbone: Backbone | None = None, category: str = "") -> Prompt:
        """The prompt of that id for a backbone.

        Args:
            prompt_id: "auto" (the class prompt kept for `category`, else the card's template), "empty",
                "text:<text>" or "prompt:<id>".
            backbone: None = the current one.
            category: for "auto".

        Raises:
            UserInputError: no such kind of prompt. ModelMissingError: a saved prompt that is not there.
        """
        if self._held is not None and prompt_id == self._held.id:
            return self._held
        model = backbone or self.backbone(self._current or DEFAULT_BACKBONE)
        if prompt_id == AUTO_PROMPT:
            saved = self._saved_class_prompt(category, model)
            if saved is not None:
                return saved
            text = model.spec.text_for(category)
            prompt_id = TEXT_PREFIX + text if text else EMPTY_PROMPT
        if prompt_id == EMPTY_PROMPT:
            return Prompt(EMPTY_PROMPT, model.encode_text([""]), model.pooled_text(""))
        if prompt_id.startswith(TEXT_PREFIX):
            text = prompt_id.removeprefix(TEXT_PREFIX)
            return Prompt(prompt_id, model.encode_text([text]), model.pooled_text(text))
        if prompt_id.startswith(SAVED_PREFIX):
            return self._saved_prompt(prompt_id, model)
        raise UserInputError(
            said("'{0}' is no prompt.", prompt_id), "Use auto, empty, text:<words> or prompt:<id of a saved prompt>."
        )

    def hold_prompt(self, prompt: Prompt) -> None:
        """Make a prompt that is in no file (that of one pair) known under its id; the one held before is forgotten."""
        self._held = prompt

    @property
    def prompt_dirs(self) -> tuple[Path, ...]:
        """Where saved prompts are looked for: the project's folders first, then the person's own."""
        return (*self.config.prompt_dirs, data_dir() / "prompts")

    def _saved_class_prompt(self, category: str, model: Backbone) -> Prompt | None:
        from kinmark.engine.prompts.saved import kept_prompt

        return kept_prompt(category, model, self.prompt_dirs)

    def _saved_prompt(self, prompt_id: str, model: Backbone) -> Prompt:
        from kinmark.engine.prompts.files import find_prompt
        from kinmark.engine.prompts.saved import load_saved

        return load_saved(find_prompt(prompt_id, self.prompt_dirs), model)

    # ---- sweeps ----------------------------------------------------------------------------------------------

    def whole_view(self, image: ImageInput, backbone: str = DEFAULT_BACKBONE) -> ImageView:
        """The whole image at the input size that the backbone's card asks for; UnreadableImageError."""
        size = self.source.size_wh(image)
        return whole_view(image, size, self.backbone(backbone).spec.input_size_for(size))

    def prepare(
        self,
        images: Sequence[ImageInput],
        backbone: str = DEFAULT_BACKBONE,
        *,
        prompt: str = EMPTY_PROMPT,
        category: str = "",
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> int:
        """Fill the cache for whole images; unreadable ones are passed by. Returns how many were computed."""
        extractor = self.extractor(backbone)
        with self.guarded():
            chosen = self.prompt(prompt, extractor.backbone, category)
            before = extractor.computed
            if progress is not None:
                progress.start("Preparing images", len(images))
            size = max(1, extractor.ladder.batch)
            for start in range(0, len(images), size):
                chunk = images[start : start + size]
                views = [v for v in (self._readable_view(image, backbone) for image in chunk) if v is not None]
                for view_group in (views,) if self._all_decode(views) else tuple((v,) for v in views):
                    try:
                        extractor.extract(view_group, prompt=chosen, cancel=cancel, progress=progress)
                    except UnreadableImageError as error:
                        log.info("prepare passed by an image: %s", error)
                if progress is not None:
                    progress.step(len(chunk))
        return extractor.computed - before

    def _readable_view(self, image: ImageInput, backbone: str) -> ImageView | None:
        try:
            return self.whole_view(image, backbone)
        except UnreadableImageError as error:
            log.info("prepare passed by an image: %s", error)
            return None

    def _all_decode(self, views: Sequence[ImageView]) -> bool:
        """Whether every image of a batch decodes (one truncated file must not cost its neighbours)."""
        from kinmark.engine.features.views import needed_side

        try:
            for view in views:
                self.source.load(view.image, needed_side(view, self.source.size_wh(view.image)))
        except UnreadableImageError:
            return False
        return True

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Translate what a device raises, once; after a lost device the session goes on with the CPU.

        Raises:
            OutOfMemoryError, DeviceLostError: in place of the library's exceptions.
        """
        try:
            yield
        except DeviceLostError:
            self._after_lost_device()
            raise
        except (RuntimeError, MemoryError) as error:
            if is_device_lost(error):
                lost = device_lost(self._device, error)
                self._after_lost_device()
                raise lost from None
            if is_out_of_memory(error):
                raise OutOfMemoryError(
                    "There is not enough memory for this job.",
                    "Close other programs, choose a smaller backbone or the device 'cpu'.",
                    repr(error)[:2000],
                ) from None
            raise

    def _after_lost_device(self) -> None:
        self._extractors.clear()
        self.last.clear()
        self._natural = None
        self._device = torch.device("cpu")
        self._set_note("The graphics device was lost: running on the CPU.")

    def _drop_models(self) -> None:
        self._extractors.clear()
        self.last.clear()
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def close(self) -> None:
        """Give back models and decoded images; the session may be used again."""
        self._drop_models()
        self.source.clear()
        self.heads.clear()
        self._natural, self._natural_error = None, ""
        self._current, self._note = "", ""


def _device_title(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return "mps (Apple GPU)" if device.type == "mps" else "cpu"
