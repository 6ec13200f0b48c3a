"""The list of backbones on this machine: add, download, verify, try out, remove. Loads torch only for `self_test`.

Thread: any; one call at a time per folder.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

from engine.backbones.folder import (
    CHECKSUMS,
    check_layout,
    check_weights,
    file_digest,
    folder_revision,
    model_files,
    read_json,
)
from engine.backbones.registry import (
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
from engine.domain.errors import AppError, KnownError, ModelMissingError, UserInputError
from engine.domain.model_info import DownloadPlan, ModelRow, SelfTest, VerifyReport
from engine.domain.progress import CancelToken, Progress
from engine.domain.texts import said
from engine.models import download

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
        return tuple(self._row(spec) for spec in list_specs(self._models_dir))

    def row(self, model_id: str) -> ModelRow:
        """One backbone; ModelMissingError for an unknown name."""
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
            source="shipped" if spec.id == "embedded" else "download" if spec.repo_id else "added",
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
        """
        folder = path.expanduser().resolve()
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
        added = added_folders(self._models_dir)
        if model_id in added:
            self._save_added({k: v for k, v in added.items() if k != model_id})
            return False
        spec = built_in(model_id)
        if spec is None:
            raise ModelMissingError(said("There is no model '{0}'.", model_id), "See: kinmark models list")
        if not spec.repo_id:
            raise UserInputError("The shipped model cannot be removed.")
        found = [p for p in (self.folder / spec.id, download.staging_folder(self.folder, spec.id)) if p.is_dir()]
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
        path = self.folder / ADDED_FILE
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps(added, indent=1, sort_keys=True), encoding="utf-8")
            temporary.replace(path)
        except OSError as error:
            raise KnownError(
                said("The list of models {0} cannot be written.", path),
                "Check free space and permissions.",
                repr(error),
            ) from None

    # ---- download --------------------------------------------------------------------------------------------

    def plan(self, model_id: str, *, endpoint: str | None = None, revision: str = "") -> DownloadPlan:
        """What a download would fetch, with the licence to show; the first network access.

        Raises:
            UserInputError: nothing to download under that id. KnownError: network.
        """
        return download.plan_download(self._downloadable(model_id, revision), self.folder, endpoint=endpoint)

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
        download.run_download(plan, self.folder, spec, progress=progress, cancel=cancel)
        return self.row(plan.model_id)

    def _downloadable(self, model_id: str, revision: str) -> BackboneSpec:
        spec = built_in(model_id)
        if spec is None or not spec.repo_id:
            raise UserInputError(
                said("'{0}' is not a model that can be downloaded.", model_id),
                said("These can: {0}.", ", ".join(s.id for s in list_specs(self._models_dir) if s.repo_id)),
            )
        return replace(spec, revision=revision) if revision else spec

    # ---- checks ----------------------------------------------------------------------------------------------

    def verify(
        self, model_id: str, *, progress: Progress | None = None, cancel: CancelToken | None = None
    ) -> VerifyReport:
        """Check layout, weight files and recorded hashes of an installed backbone (reads every byte)."""
        spec = get_spec(model_id, self._models_dir)
        if not spec.folder:
            raise ModelMissingError(
                said("The model '{0}' is not installed.", model_id), said("kinmark models download {0}", model_id)
            )
        folder = Path(spec.folder)
        problems: list[str] = []
        for check in (check_layout, check_weights):
            try:
                check(folder)
            except AppError as error:
                problems.append(error.user_message)
        recorded = _recorded_hashes(folder)
        if progress is not None:
            progress.start(f"Verifying {model_id}", max(1, len(recorded)))
        for name, expected in recorded.items():
            if cancel is not None:
                cancel.check()
            problem = _compare(folder / name, expected)
            if problem:
                problems.append(problem)
            if progress is not None:
                progress.step(note=name)
        return VerifyReport(spec.id, str(folder), len(model_files(folder)), len(recorded), tuple(problems))

    def self_test(self, model_id: str, *, device: str = "auto", dtype: str = "auto") -> SelfTest:
        """Load the backbone and run one real image through it, twice; loads torch.

        Raises:
            ModelMissingError, ModelCorruptError, OutOfMemoryError: what a job would meet.
        """
        from engine.models.selftest import run_self_test

        return run_self_test(model_id, device=device, dtype=dtype, models_dir=self._models_dir)


def _recorded_hashes(folder: Path) -> dict[str, str]:
    """sha256 by relative path, from the download's record or a shipped `checksums.json`."""
    record, sums = folder / download.RECORD, folder / CHECKSUMS
    if record.is_file():
        files = read_json(record).get("files", {})
        return {str(name): str(entry.get("sha256", "")) for name, entry in files.items()}
    return {str(k): str(v) for k, v in read_json(sums).items()} if sums.is_file() else {}


def _compare(path: Path, expected: str) -> str:
    if not path.is_file():
        return f"The file {path} is missing."
    return "" if file_digest(path) == expected else f"The file {path} differs from its recorded checksum."
