"""Backbones as a person sees them: rows of the model list, a download before it starts, the outcome of checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRow:
    """One backbone of the list.

    Attributes:
        id, title: name for `--backbone` and what it is.
        source: "shipped", "download", "added" or "convert" (a file brought by hand).
        installed: whether its files lie on this machine; `problem` says what is wrong with them ("" = nothing seen).
        folder, revision: where they lie and which version they are.
        licence, licence_url, notice: to be shown before a download.
        download_bytes: size of a download; disk_bytes: what the installed files take.
        input_wh: network input in pixels.
        opt_in: needs a separate look at the licence.
        kind: "backbone", "part" (descriptor), "adapter" (changes a part) or "segmenter"; good_for: one sentence.
        published: its publisher's own figures, none of them measured here; gated: access must be granted first.
    """

    id: str
    title: str
    source: str
    installed: bool
    folder: str = ""
    revision: str = ""
    licence: str = ""
    licence_url: str = ""
    notice: str = ""
    download_bytes: int = 0
    disk_bytes: int = 0
    input_wh: tuple[int, int] = (0, 0)
    opt_in: bool = False
    problem: str = ""
    kind: str = "backbone"
    good_for: str = ""
    published: str = ""
    gated: bool = False


@dataclass(frozen=True)
class PlannedFile:
    """One file of a download: path in the repository, size, and the hash that it must have."""

    name: str
    size: int
    sha256: str = ""
    git_sha1: str = ""


@dataclass(frozen=True)
class DownloadPlan:
    """What a download will fetch; nothing has been fetched yet but the list and the licence text.

    Attributes:
        model_id, repo_id, commit, endpoint: what from where; the commit is fixed from here on.
        files: in the order of the download (small ones first); done_bytes lie there from an interrupted try.
        licence, licence_url, notice, licence_text: to be shown; the text is "" when neither the
            repository nor Kinmark holds it, and then the address is what is shown.
    """

    model_id: str
    repo_id: str
    commit: str
    endpoint: str
    files: tuple[PlannedFile, ...]
    licence: str = ""
    licence_url: str = ""
    notice: str = ""
    licence_text: str = ""
    done_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """Sum over all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class VerifyReport:
    """Outcome of checking an installed backbone's files; `compared` of them against recorded hashes."""

    model_id: str
    folder: str
    files: int
    compared: int
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing wrong was found."""
        return not self.problems


@dataclass(frozen=True)
class SelfTest:
    """Outcome of one real forward pass: shape of the feature map `(C, h, w)`, seconds to load and per image."""

    model_id: str
    device: str
    dtype: str
    feature_shape: tuple[int, ...]
    load_seconds: float
    image_seconds: float
    repeatable: bool
