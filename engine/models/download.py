"""Fetching a backbone, only when the person asked: fixed commit, needed files only, resumable, every byte checked.

Listing, addresses, credentials, mirror endpoint (`HF_ENDPOINT`) and offline switch (`HF_HUB_OFFLINE`) are huggingface_hub's.
Partial files are kept by us, because its own download function throws them away when it is interrupted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlparse

from kinmark.engine.backbones.catalogue import HelperSpec
from kinmark.engine.backbones.folder import check_layout, check_weights, file_digest
from kinmark.engine.backbones.registry import BackboneSpec
from kinmark.engine.domain.errors import KnownError, ModelCorruptError, OperationCancelled
from kinmark.engine.domain.model_info import DownloadPlan, PlannedFile
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.engine.domain.texts import said

log = logging.getLogger(__name__)

RECORD = "kinmark-download.json"
PARTIAL = ".part"
RETRIES = 5
RETRY_WAIT_S = 1.0
_SPARE_BYTES = 64 << 20
_SAFE_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_COMPONENTS = ("unet", "vae", "text_encoder", "text_encoder_2")
_MAX_LICENCE_BYTES = 1 << 20


def staging_folder(models: Path, model_id: str) -> Path:
    """Where an unfinished download grows."""
    return models / f".download-{model_id}"


Source = BackboneSpec | HelperSpec


@dataclass(frozen=True)
class Layout:
    """Which files of a repository are wanted, whether they are enough, and whether the finished folder is one."""

    needed: Callable[[set[str], str], set[str]]
    check_plan: Callable[[DownloadPlan], None]
    check_folder: Callable[[Path], None]


def plan_download(
    spec: Source, models: Path, *, endpoint: str | None = None, layout: Layout | None = None
) -> DownloadPlan:
    """Ask the hub for the list of files (the first network access) and the licence text.

    Raises:
        KnownError: no network, offline switch, unknown repository or revision, access not granted.
    """
    from huggingface_hub import HfApi

    api = HfApi(endpoint=endpoint)
    try:
        info = api.model_info(spec.repo_id, revision=spec.revision or None, files_metadata=True)
        siblings = [_planned(sibling) for sibling in info.siblings or []]
    except Exception as error:  # noqa: BLE001 - translated with the repository's name
        _translate(error, spec)
    commit = str(info.sha or spec.revision)
    names = {file.name for file in siblings}
    layout = layout or DIFFUSERS
    wanted = layout.needed(names, spec.variant)
    files = sorted((f for f in siblings if f.name in wanted), key=lambda f: f.size)
    plan = DownloadPlan(
        spec.id, spec.repo_id, commit, str(api.endpoint), tuple(files), spec.licence, spec.licence_url, spec.notice
    )
    layout.check_plan(plan)
    done = sum(_done_bytes(staging_folder(models, spec.id), file) for file in files)
    text = _licence_text(plan, spec, names)
    return DownloadPlan(**{**plan.__dict__, "licence_text": text, "done_bytes": done})


def _planned(sibling: Any) -> PlannedFile:
    lfs = sibling.lfs
    size = int(sibling.size or (lfs.size if lfs else 0) or 0)
    return PlannedFile(
        str(sibling.rfilename), size, str(lfs.sha256) if lfs else "", "" if lfs else str(sibling.blob_id or "")
    )


def needed_files(names: set[str], variant: str = "") -> set[str]:
    """Of all files of a repository those that Kinmark loads: safetensors only, half precision where it exists."""
    wanted = {n for n in names if n == "model_index.json" or re.fullmatch(r"LICENSE[^/]*|LICENCE[^/]*", n)}
    for part in _COMPONENTS:
        inside = {n for n in names if n.startswith(f"{part}/")}
        wanted |= {n for n in inside if n == f"{part}/config.json"}
        weights = {n for n in inside if n.endswith((".safetensors", ".safetensors.index.json")) and "non_ema" not in n}
        half = {n for n in weights if variant and f".{variant}." in n}
        # Without the wanted variant the plain files are taken; those of other variants have a second dot in their name.
        plain = {
            n for n in weights if re.fullmatch(r"[^.]+(-\d+-of-\d+)?\.safetensors(\.index\.json)?", n.split("/")[-1])
        }
        wanted |= half or plain
    wanted |= {n for n in names if re.fullmatch(r"tokenizer(_2)?/[^/]+\.(json|txt)", n)}
    wanted |= {n for n in names if n == "scheduler/scheduler_config.json"}
    return wanted


def _check_plan(plan: DownloadPlan) -> None:
    names = {file.name for file in plan.files}
    bad = [n for n in names if not _SAFE_NAME.fullmatch(n) or ".." in n.split("/")]
    weights = [p for p in ("unet", "vae", "text_encoder") if not any(_is_weight(n, p) for n in names)]
    if bad or weights or "model_index.json" not in names:
        missing = ", ".join(weights) or "model_index.json"
        raise KnownError(
            said(
                "The repository {0} has no safetensors weights that Kinmark can use ({1}).",
                plan.repo_id,
                bad[:1] or missing,
            ),
            "Choose another model or another mirror.",
        )


def _is_weight(name: str, part: str) -> bool:
    return name.startswith(f"{part}/") and name.endswith(".safetensors")


def _done_bytes(staging: Path, file: PlannedFile) -> int:
    whole, part = staging / file.name, staging / (file.name + PARTIAL)
    if whole.is_file():
        return file.size
    return min(part.stat().st_size, file.size) if part.is_file() else 0


def _check_diffusers(folder: Path) -> None:
    check_layout(folder)
    check_weights(folder)


DIFFUSERS = Layout(needed_files, _check_plan, _check_diffusers)


def _licence_text(plan: DownloadPlan, spec: Source, names: set[str]) -> str:
    licence = next((f for f in plan.files if f.name.upper().startswith(("LICENSE", "LICENCE"))), None)
    if licence is None or licence.size > _MAX_LICENCE_BYTES:
        return ""
    try:
        from huggingface_hub.utils import get_session

        url, headers = _address(plan, licence.name)
        response = get_session().get(url, headers=headers, follow_redirects=True, timeout=20)
        response.raise_for_status()
        return str(response.text)
    except Exception as error:  # noqa: BLE001
        _translate(error, spec)


def _address(plan: DownloadPlan, name: str) -> tuple[str, dict[str, str]]:
    """(final address, headers) of a file; credentials are not sent to another host."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    url = hf_hub_url(plan.repo_id, name, revision=plan.commit, endpoint=plan.endpoint)
    headers = build_hf_headers(library_name="kinmark")
    metadata = get_hf_file_metadata(url, headers=headers, endpoint=plan.endpoint)
    location = str(metadata.location or url)
    if urlparse(location).netloc != urlparse(url).netloc:
        headers.pop("authorization", None)
    return location, headers


def run_download(
    plan: DownloadPlan,
    models: Path,
    spec: Source,
    *,
    layout: Layout | None = None,
    progress: Progress | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    """Fetch every file of the plan, check it, and move the finished folder into place; returns the folder.

    A cancelled, cut or killed download goes on where it stopped when it is run again.

    Raises:
        KnownError: network, disk. ModelCorruptError: a file differs from its published hash. OperationCancelled.
    """
    staging, target = staging_folder(models, plan.model_id), models / plan.model_id
    _check_space(plan, models)
    if progress is not None:
        progress.start(said("Downloading {0}", plan.model_id), max(1, plan.total_bytes >> 20))
    counter = _Counter(progress, cancel)
    try:
        staging.mkdir(parents=True, exist_ok=True)
        for file in plan.files:
            _fetch(plan, file, staging, counter)
        (layout or DIFFUSERS).check_folder(staging)
        _write_record(plan, staging)
        if target.exists():
            shutil.rmtree(target)
        staging.replace(target)
    except (OperationCancelled, ModelCorruptError, KnownError):
        raise
    except Exception as error:  # noqa: BLE001
        _translate(error, spec)
    return target


class _Counter:
    """Turns received bytes into progress in MiB and looks at the cancel flag at every chunk."""

    def __init__(self, progress: Progress | None, cancel: CancelToken | None) -> None:
        self._progress, self._cancel, self._bytes, self._shown = progress, cancel, 0, 0

    def add(self, count: int, note: str = "") -> None:
        if self._cancel is not None:
            self._cancel.check()
        self._bytes += count
        whole = self._bytes >> 20
        if self._progress is not None and whole != self._shown:
            self._progress.step(whole - self._shown, note=note or None)
            self._shown = whole


def _fetch(plan: DownloadPlan, file: PlannedFile, staging: Path, counter: _Counter) -> None:
    whole, part = staging / file.name, staging / (file.name + PARTIAL)
    if whole.is_file() and _matches(whole, file):
        counter.add(file.size, file.name)
        return
    whole.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.is_file() else 0
    if have > file.size:
        part.unlink()
        have = 0
    counter.add(have, file.name)
    _transfer(plan, file, part, counter)
    if not _matches(part, file):
        part.unlink(missing_ok=True)
        raise ModelCorruptError(
            said(
                "The downloaded file {0} of {1} differs from its published checksum; it was deleted.",
                file.name,
                plan.repo_id,
            ),
            "Start the download again, or use another endpoint.",
        )
    part.replace(whole)


def _transfer(plan: DownloadPlan, file: PlannedFile, part: Path, counter: _Counter) -> None:
    """Append to the partial file until it is whole; short breaks are bridged, at most RETRIES without a new byte."""
    url, headers = _address(plan, file.name)
    # Offsets of a Range count bytes as stored, so no compression on the way.
    headers["accept-encoding"] = "identity"
    tries = 0
    while (have := part.stat().st_size if part.is_file() else 0) < file.size:
        try:
            _stream(url, headers, part, have, file, counter)
        except _transport_errors() as error:
            got = part.stat().st_size - have if part.is_file() else 0
            tries = 1 if got > 0 else tries + 1
            log.warning("%s broke off: %r", file.name, error)
            if tries > RETRIES:
                raise
            counter.add(0)
            time.sleep(RETRY_WAIT_S)
    if file.size == 0:
        part.touch()


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the hub library's HTTP client raises for a broken or slow connection (its module's name changes)."""
    from huggingface_hub.utils import get_session

    client = sys.modules[type(get_session()).__module__.split(".")[0]]
    return ConnectionError, client.TransportError


def _stream(url: str, headers: dict[str, str], part: Path, have: int, file: PlannedFile, counter: _Counter) -> None:
    from huggingface_hub.utils import get_session, hf_raise_for_status

    ranged = {**headers, "range": f"bytes={have}-"} if have else headers
    with get_session().stream("GET", url, headers=ranged, follow_redirects=True, timeout=30) as response:
        hf_raise_for_status(response)
        if have and response.status_code == 200:
            # The server ignores ranges: from the beginning, or the file would be made of two heads.
            counter.add(-have)
            part.unlink()
        with part.open("ab") as out:
            for chunk in response.iter_raw():
                out.write(chunk)
                counter.add(len(chunk), file.name)
                if out.tell() > file.size:
                    raise ModelCorruptError(
                        said("The file {0} is longer than announced.", file.name), "Use another endpoint."
                    )
            out.flush()
            os.fsync(out.fileno())
        if part.stat().st_size < file.size:
            raise ConnectionError("the server closed the connection early")


def _matches(path: Path, file: PlannedFile) -> bool:
    size = path.stat().st_size if path.is_file() else -1
    if size != file.size:
        return False
    if file.sha256:
        return file_digest(path) == file.sha256
    if file.git_sha1:
        return file_digest(path, "sha1", f"blob {size}\0".encode()) == file.git_sha1
    return True


def _check_space(plan: DownloadPlan, models: Path) -> None:
    try:
        models.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(models).free
    except OSError as error:
        raise KnownError(
            said("The model folder {0} cannot be written.", models), "Check its permissions.", repr(error)
        ) from None
    need = plan.total_bytes - plan.done_bytes + _SPARE_BYTES
    if free < need:
        raise KnownError(
            said(
                "There is not enough free space in {0}: {1} MB are needed, {2} MB are free.",
                models,
                need >> 20,
                free >> 20,
            ),
            "Make room, or move the folder with KINMARK_HOME.",
        )


def _write_record(plan: DownloadPlan, folder: Path) -> None:
    record = {
        "model": plan.model_id,
        "repository": plan.repo_id,
        "commit": plan.commit,
        "endpoint": plan.endpoint,
        "licence": plan.licence,
        "licence_url": plan.licence_url,
        "licence_text": plan.licence_text,
        "accepted_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "files": {f.name: {"size": f.size, "sha256": file_digest(folder / f.name)} for f in plan.files},
    }
    temporary = folder / (RECORD + ".tmp")
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(folder / RECORD)


def _translate(error: Exception, spec: Source) -> NoReturn:
    """Foreign errors of the network and the disk become one sentence with the repository's name."""
    from huggingface_hub import errors

    where = f"{spec.repo_id} (revision {spec.revision[:12] or 'newest'})"
    details = repr(error)[:2000]
    if isinstance(error, KnownError | OperationCancelled):
        raise error
    if isinstance(error, errors.OfflineModeIsEnabled):
        message, hint = "Downloads are switched off.", "Unset HF_HUB_OFFLINE to download, or add a local folder."
    elif isinstance(error, errors.GatedRepoError):
        message, hint = (
            said("Access to {0} must be granted first.", where),
            "Accept its terms on its web page and log in.",
        )
    elif isinstance(error, errors.RevisionNotFoundError | errors.RepositoryNotFoundError | errors.EntryNotFoundError):
        message, hint = said("{0} is not there.", where), "Check the endpoint (HF_ENDPOINT) or choose another model."
    elif isinstance(error, OSError) and error.errno is not None and error.errno in (28, 122):
        message, hint = "The disk is full.", "Make room and run the download again: it goes on where it stopped."
    elif isinstance(error, PermissionError):
        message, hint = said("A file could not be written: {0}.", error.filename), "Check the folder's permissions."
    else:
        message, hint = (
            said("The download of {0} was interrupted.", where),
            "Check the network and run it again: it goes on where it stopped.",
        )
    raise KnownError(message, hint, details) from None
