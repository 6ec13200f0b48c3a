"""The list of backbones on this machine: add, download, verify, try out, remove. Loads torch only for `self_test`.

Thread: any; one call at a time per folder.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from kinmark.engine.backbones import catalogue
from kinmark.engine.backbones.folder import (
    CHECKSUMS,
    check_layout,
    check_weights,
    file_digest,
    folder_revision,
    model_files,
    read_json,
)
from kinmark.engine.backbones.registry import (
    ADDED_FILE,
    BackboneSpec,
    added_folders,
    built_in,
    get_spec,
    is_installed,
    list_specs,
    models_folder,
    spec_of_folder,
)
from kinmark.engine.domain.errors import AppError, KnownError, ModelMissingError, UserInputError
from kinmark.engine.domain.model_info import DownloadPlan, ModelRow, SelfTest, VerifyReport
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said
from kinmark.engine.models import download
from kinmark.engine.models.overlay import assemble, overlay_layout, overlay_of, require_base
from kinmark.engine.models.recommend import Recommendation, recommend

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ModelManager:
    """Backbones of one user.

    Args:
        models_dir: None = the platform's data folder.
    """

    def __init__(self, models_dir: Path | None = None) -> None:
        self._models_dir = models_dir

    @property
    def folder(self) -> Path:
        """Where downloads lie."""
        return models_folder(self._models_dir)

    def list(self) -> tuple[ModelRow, ...]:
        """Every known backbone, installed or not."""
        helpers = (catalogue.row_of(spec, self._models_dir) for spec in catalogue.HELPERS)
        return (*(self._row(spec) for spec in list_specs(self._models_dir)), *helpers)

    def row(self, model_id: str) -> ModelRow:
        """One model; ModelMissingError for an unknown name."""
        known = catalogue.helper(model_id)
        if known is not None:
            return catalogue.row_of(known, self._models_dir)
        return self._row(get_spec(model_id, self._models_dir))

    def _row(self, spec: BackboneSpec) -> ModelRow:
        installed = is_installed(spec)
        problem, revision, size = "", "", 0
        if spec.folder or spec.title.endswith("(not readable)"):
            try:
                check_layout(Path(spec.folder or "missing"))
                files = model_files(Path(spec.folder))
                size = sum(p.stat().st_size for p in files)
                revision = self._revision(Path(spec.folder))
            except AppError as error:
                problem = error.user_message
        return ModelRow(
            id=spec.id,
            title=spec.title,
            source="shipped" if spec.base_id == "embedded" else "download" if spec.repo_id else "added",
            installed=installed,
            folder=spec.folder,
            revision=revision,
            licence=spec.licence,
            licence_url=spec.licence_url,
            notice=spec.notice,
            download_bytes=spec.size_bytes,
            disk_bytes=size,
            input_wh=spec.input_wh,
            opt_in=spec.opt_in,
            problem=problem,
            good_for=spec.good_for,
            published=spec.published,
        )

    @staticmethod
    def _revision(folder: Path) -> str:
        record = folder / download.RECORD
        return str(read_json(record).get("commit", "")) if record.is_file() else folder_revision(folder)

    # ---- add and remove --------------------------------------------------------------------------------------

    def add(self, path: Path, name: str = "") -> ModelRow:
        """Register a local diffusers folder under a name (its files stay where they are).

        Raises:
            ModelMissingError, ModelCorruptError: not a usable folder. UserInputError: the name is taken or impossible.

        With the name of a helper (`catalogue`) the folder is that helper from now on.
        """
        folder = path.expanduser().resolve()
        known = catalogue.helper(name)
        if known is not None:
            catalogue.use_folder(known, folder, self._models_dir)
            return self.row(name)
        check_layout(folder)
        check_weights(folder)
        chosen = name or folder.name
        if not _NAME.fullmatch(chosen):
            raise UserInputError(
                said("'{0}' cannot be the name of a model.", chosen),
                "Use --name with letters, digits, dots, '-' and '_'.",
            )
        added = added_folders(self._models_dir)
        if built_in(chosen) is not None or (chosen in added and added[chosen] != str(folder)):
            raise UserInputError(
                said("There is already a model named '{0}'.", chosen), "Choose another one with --name."
            )
        spec_of_folder(folder, chosen)
        self._save_added({**added, chosen: str(folder)})
        return self.row(chosen)

    def remove(self, model_id: str) -> bool:
        """Forget an added folder (files stay) or delete a download; returns whether files were deleted.

        Raises:
            UserInputError: the shipped model. ModelMissingError: not installed.
        """
        known = catalogue.helper(model_id)
        if known is not None:
            return self._remove_helper(known)
        added = added_folders(self._models_dir)
        if model_id in added:
            self._save_added({k: v for k, v in added.items() if k != model_id})
            return False
        spec = built_in(model_id)
        if spec is None:
            raise ModelMissingError(said("There is no model '{0}'.", model_id), "See: kinmark models list")
        if not spec.repo_id:
            raise UserInputError("The shipped model cannot be removed.")
        return self._delete(model_id, self.folder)

    def _remove_helper(self, known: catalogue.HelperSpec) -> bool:
        folder = catalogue.helpers_folder(self._models_dir)
        if catalogue.folder_of(known, self._models_dir).parent != folder:
            catalogue.use_folder(known, None, self._models_dir)
            return False
        return self._delete(known.id, folder)

    @staticmethod
    def _delete(model_id: str, where: Path) -> bool:
        found = [p for p in (where / model_id, download.staging_folder(where, model_id)) if p.is_dir()]
        if not found:
            raise ModelMissingError(said("The model '{0}' is not installed.", model_id), "See: kinmark models list")
        try:
            for folder in found:
                shutil.rmtree(folder)
        except OSError as error:
            raise KnownError(
                said("The model folder {0} cannot be deleted.", error.filename), "Check its permissions.", repr(error)
            ) from None
        return True

    def _save_added(self, added: dict[str, str]) -> None:
        catalogue.write_list(self.folder / ADDED_FILE, added)

    # ---- download --------------------------------------------------------------------------------------------

    def plan(self, model_id: str, *, endpoint: str | None = None, revision: str = "") -> DownloadPlan:
        """What a download would fetch, with the licence to show; the first network access.

        Raises:
            UserInputError: nothing to download under that id. KnownError: network.
        """
        spec = self._downloadable(model_id, revision)
        return download.plan_download(spec, self._place(spec), endpoint=endpoint, layout=_layout_of(spec))

    def download(
        self,
        plan: DownloadPlan,
        *,
        licence_accepted: bool,
        progress: Progress | None = None,
        cancel: CancelToken | None = None,
    ) -> ModelRow:
        """Fetch and check everything of the plan; resumes an interrupted try.

        Raises:
            UserInputError: the licence was not accepted. KnownError, ModelCorruptError, OperationCancelled.
        """
        if not licence_accepted:
            raise UserInputError(
                said(
                    "The licence of '{0}' ({1}) was not accepted, so nothing was downloaded.",
                    plan.model_id,
                    plan.licence,
                ),
                said("Read {0} and accept it.", plan.licence_url or "its text"),
            )
        spec = self._downloadable(plan.model_id, plan.commit)
        overlay = isinstance(spec, BackboneSpec) and overlay_of(spec)
        if overlay:
            base = get_spec(overlay.base, self._models_dir)
            require_base(spec.id, base)
        place = self._place(spec)
        folder = download.run_download(plan, place, spec, layout=_layout_of(spec), progress=progress, cancel=cancel)
        if overlay:
            assemble(Path(base.folder), folder, overlay.file)
        return self.row(plan.model_id)

    def _place(self, spec: BackboneSpec | catalogue.HelperSpec) -> Path:
        return self.folder if isinstance(spec, BackboneSpec) else catalogue.helpers_folder(self._models_dir)

    def convert(self, file: Path, model_id: str) -> ModelRow:
        """Make a helper of a published checkpoint (`.pth`), read by torch's restricted reader and kept as safetensors.

        Raises:
            UserInputError: no helper that is made from a file, or a file of another one. ModelCorruptError: damaged, refused.
        """
        from kinmark.engine.features.adapters import convert_checkpoint

        spec = catalogue.helper(model_id)
        if spec is None or spec.kind != catalogue.ADAPTER:
            names = ", ".join(s.id for s in catalogue.HELPERS if s.kind == catalogue.ADAPTER)
            raise UserInputError(said("'{0}' is not made from a file.", model_id), said("These are: {0}.", names))
        convert_checkpoint(file, spec, catalogue.helpers_folder(self._models_dir) / spec.id)
        return self.row(model_id)

    def recommend(self, task: str, *, device: str = "auto", commercial: bool = False) -> Recommendation:
        """Which model to take for "keypoints", "instances" or "masks"; asks torch for the device only where it could have one.

        Raises:
            UserInputError: no such task or device.
        """
        memory = 0.0
        if device == "auto" and metadata.version("torch").endswith("+cpu"):
            device = "cpu"  # without the seconds that loading torch takes
        elif device == "auto" or device.startswith("cuda"):
            from kinmark.engine.backbones.devices import choose_device, memory_bytes

            found = choose_device(device)
            device, memory = found.type, memory_bytes(found)[1] / 2**30
        return recommend(task, device, memory, self.list(), commercial=commercial)

    def _downloadable(self, model_id: str, revision: str) -> BackboneSpec | catalogue.HelperSpec:
        spec: BackboneSpec | catalogue.HelperSpec | None = built_in(model_id) or catalogue.helper(model_id)
        if isinstance(spec, catalogue.HelperSpec) and spec.address:
            raise UserInputError(
                said("'{0}' has no checksum to download it by.", model_id),
                said("Get {0}, then: kinmark models convert FILE --as {1}", spec.address, model_id),
            )
        if spec is None or not spec.repo_id:
            names = [s.id for s in list_specs(self._models_dir) if s.repo_id]
            names += [s.id for s in catalogue.HELPERS if s.repo_id]
            raise UserInputError(
                said("'{0}' is not a model that can be downloaded.", model_id),
                said("These can: {0}.", ", ".join(names)),
            )
        return replace(spec, revision=revision) if revision else spec

    # ---- checks ----------------------------------------------------------------------------------------------

    def verify(
        self, model_id: str, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> VerifyReport:
        """Check layout, weight files and recorded hashes of an installed backbone (reads every byte)."""
        known = catalogue.helper(model_id)
        checks: tuple[Callable[[Path], None], ...] = (check_layout, check_weights)
        if known is not None:
            folder, checks = catalogue.installed_folder(model_id, self._models_dir), (catalogue.check_folder,)
        else:
            spec = get_spec(model_id, self._models_dir)
            if not spec.folder:
                hint = said("kinmark models download {0}", model_id)
                raise ModelMissingError(said("The model '{0}' is not installed.", model_id), hint)
            folder = Path(spec.folder)
        problems: list[str] = []
        for check in checks:
            try:
                check(folder)
            except AppError as error:
                problems.append(error.user_message)
        recorded = _recorded_hashes(folder)
        if progress is not None:
            progress.start(said("Verifying {0}", model_id), max(1, len(recorded)))
        for name, expected in recorded.items():
            if cancel is not None:
                cancel.check()
            problem = _compare(folder / name, expected)
            if problem:
                problems.append(problem)
            if progress is not None:
                progress.step(note=name)
        count = len(model_files(folder)) if known is None else len([p for p in folder.iterdir() if p.is_file()])
        return VerifyReport(model_id, str(folder), count, len(recorded), tuple(problems))

    def self_test(self, model_id: str, *, device: str = "auto", dtype: str = "auto") -> SelfTest:
        """Load the backbone and run one real image through it, twice; loads torch.

        Raises:
            ModelMissingError, ModelCorruptError, OutOfMemoryError: what a job would meet.
        """
        from kinmark.engine.models.selftest import run_self_test

        return run_self_test(model_id, device=device, dtype=dtype, models_dir=self._models_dir)


def _layout_of(spec: BackboneSpec | catalogue.HelperSpec) -> download.Layout | None:
    """None: a whole diffusers folder."""
    if isinstance(spec, BackboneSpec):
        overlay = overlay_of(spec)
        return overlay_layout(overlay) if overlay else None
    return download.Layout(
        catalogue.needed_files,
        lambda plan: catalogue.check_plan(plan.repo_id, {file.name for file in plan.files}),
        catalogue.check_folder,
    )


def _recorded_hashes(folder: Path) -> dict[str, str]:
    """sha256 by relative path, from the download's record or a shipped `checksums.json`."""
    record, sums = folder / download.RECORD, folder / CHECKSUMS
    if record.is_file():
        files = read_json(record).get("files", {})
        return {str(name): str(entry.get("sha256", "")) for name, entry in files.items()}
    return {str(k): str(v) for k, v in read_json(sums).items()} if sums.is_file() else {}


def _compare(path: Path, expected: str) -> str:
    if not path.is_file():
        return said("The file {0} is missing.", path)
    return "" if file_digest(path) == expected else said("The file {0} differs from its recorded checksum.", path)
