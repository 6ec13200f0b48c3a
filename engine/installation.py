"""What is installed here: version and commit of the program, and why torch runs where it runs."""

from __future__ import annotations

import json
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path

from kinmark.engine.paths import resources_dir

COMMIT_DIGITS = 12


def version_text() -> str:
    """ "0.1.0 (commit 0123456789ab)"; without the bracket where nothing says which commit it is."""
    try:
        version = metadata.version("kinmark")
    except metadata.PackageNotFoundError:
        version = "unknown version"
    commit = commit_text()
    return f"{version} (commit {commit})" if commit else version


def release_text() -> str:
    """As `version_text` of an installed package; of a checkout the version alone, because its commit changes under a running
    program."""
    return version_text() if (resources_dir() / "build.json").is_file() else version_text().partition(" (")[0]


def commit_text() -> str:
    """Of an installed package: as written when it was built, "+" for files changed since. Of a checkout: its HEAD now."""
    stamp = resources_dir() / "build.json"
    try:
        built = json.loads(stamp.read_text(encoding="utf-8"))
        return str(built["commit"])[:COMMIT_DIGITS] + ("+" if built["commit"] and built["changed"] else "")
    except FileNotFoundError:
        return _head_of_checkout(resources_dir().parent)[:COMMIT_DIGITS]
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _head_of_checkout(root: Path) -> str:
    """HEAD's commit from git's own files: the program starts no other programs, git neither."""
    try:
        git = root / ".git"
        if git.is_file():  # a linked working tree: "gitdir: PLACE"
            git = (root / git.read_text("utf-8").partition("gitdir:")[2].strip()).resolve()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head
        name = head.partition("ref:")[2].strip()
        common_file = git / "commondir"
        common = (git / common_file.read_text("utf-8").strip()).resolve() if common_file.is_file() else git
        for folder in (git, common):
            if (folder / name).is_file():
                return (folder / name).read_text("utf-8").strip()
        for line in (common / "packed-refs").read_text("utf-8").splitlines():
            if line.endswith(f" {name}"):
                return line.split(" ", 1)[0]
    except (OSError, UnicodeDecodeError):
        pass
    return ""


def explain_torch() -> dict[str, str]:
    """Which torch this is, which device "auto" takes, and why not a faster one. Imports torch, loads no model.

    Returns:
        Rows "build", "chosen" and "why"; "change" says how to get another build where one would run faster.
    """
    import torch

    build = f"{torch.__version__} ({_build_kind(torch)})"
    rows = {"build": build}
    if torch.cuda.is_available():
        rows["chosen"] = f"cuda: {torch.cuda.get_device_name(0)}"
        rows["why"] = f"{torch.cuda.device_count()} CUDA device(s) answer to this build"
        return rows
    if torch.backends.mps.is_available():
        rows["chosen"], rows["why"] = "mps: Apple GPU", "this build and this macOS can use it"
        return rows
    rows["chosen"] = f"cpu: {torch.get_num_threads()} threads"
    driver = _nvidia_driver()
    if driver and torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        rows["why"] = f"there is an NVIDIA driver ({driver}), but this torch was built for the CPU only"
        rows["change"] = "install the CUDA build of torch: https://pytorch.org/get-started/locally"
    elif torch.version.cuda is not None and driver:
        rows["why"] = f"this torch is for CUDA {torch.version.cuda}, but no device answers ({driver})"
        rows["change"] = "a newer driver, or a torch for an older CUDA: https://pytorch.org/get-started/locally"
    elif sys.platform == "darwin":
        rows["why"] = "no Apple GPU that torch can use (needs Apple silicon and macOS 14 or newer)"
    else:
        rows["why"] = "no NVIDIA driver was found"
    return rows


def load_plugins() -> None:
    """Ask for the engine's kinds of plug-ins once, so that `kinmark.engine.plugins.problems` names the broken ones. Imports torch."""
    from kinmark.engine.backbones.registry import list_specs
    from kinmark.engine.features.descriptors import descriptor_names
    from kinmark.engine.pipelines.registry import PIPELINES

    list_specs()
    descriptor_names()
    len(PIPELINES)


def _build_kind(torch_module: object) -> str:
    version = getattr(torch_module, "version", None)
    cuda, hip = getattr(version, "cuda", None), getattr(version, "hip", None)
    if cuda:
        return f"built for CUDA {cuda}"
    if hip:
        return f"built for ROCm {hip}"
    return "built for the CPU and Apple GPUs" if platform.system() == "Darwin" else "built for the CPU"


def _nvidia_driver() -> str:
    """A sign of NVIDIA's driver on this machine, or "" (looked up in files, nothing is started)."""
    for file in (Path("/proc/driver/nvidia/version"), Path("/sys/module/nvidia/version")):
        try:
            words = file.read_text("utf-8").split()
        except OSError:
            continue
        return next((word for word in words if word[:1].isdigit() and "." in word), "version unknown")
    return shutil.which("nvidia-smi") or ""
