"""What runs where: for `kinmark doctor` and the window's copyable diagnostics."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from kinmark.engine import plugins
from kinmark.engine.api import EngineConfig, open_engine
from kinmark.engine.domain.errors import AppError
from kinmark.engine.installation import explain_torch, load_plugins, version_text
from kinmark.engine.paths import cache_dir, data_dir, log_dir, resources_dir, settings_dir
from kinmark.projects.qt_platform import install_hint, missing_libraries, window_problem

_PACKAGES = (
    "torch",
    "diffusers",
    "transformers",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "sqlalchemy",
    "PySide6-Essentials",
)
LOW_DISK_BYTES = 1 << 30


@dataclass
class Diagnosis:
    """Sections of name/value rows, and the problems found (each: what, and what to do)."""

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_text(self) -> str:
        """For the clipboard."""
        lines: list[str] = []
        for title, rows in self.sections.items():
            lines += [title, *(f"  {key}: {value}" for key, value in rows.items())]
        return "\n".join([*lines, *(f"PROBLEM: {problem}" for problem in self.problems)])


def _versions(report: Diagnosis) -> dict[str, str]:
    rows = {"python": platform.python_version(), "system": platform.platform(), "processors": str(os.cpu_count())}
    rows["kinmark"] = version_text()
    for package in _PACKAGES:
        try:
            rows[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            rows[package] = "missing"
            report.problems.append(f"{package} is not installed. Run: pip install {package}")
    return rows


def _folders(report: Diagnosis) -> dict[str, str]:
    rows = {"program": str(Path(__file__).resolve().parent.parent), "resources": str(resources_dir())}
    for name, folder in (
        ("cache", cache_dir()),
        ("data", data_dir()),
        ("settings", settings_dir()),
        ("logs", log_dir()),
    ):
        there = next((p for p in (folder, *folder.parents) if p.exists()), Path("/"))
        free = shutil.disk_usage(there).free
        rows[name] = f"{folder} ({free / 2**30:.1f} GB free)"
        if free < LOW_DISK_BYTES:
            report.problems.append(f"Only {free / 2**20:.0f} MB are free for {folder}. Make room.")
        if not os.access(there, os.W_OK):
            report.problems.append(f"{folder} cannot be written. Set KINMARK_HOME to a folder of yours.")
    return rows


def _torch(report: Diagnosis) -> dict[str, str]:
    try:
        return explain_torch()
    except ImportError as error:
        report.problems.append(f"torch cannot be loaded: {error}")
        return {"state": "cannot be loaded"}


def plugin_rows(report: Diagnosis) -> dict[str, str]:
    """Every entry of other packages; all are loaded here, so that a broken one is seen."""
    from kinmark.projects.formats.registry import FORMATS

    with contextlib.suppress(ImportError):  # without torch the section above says so
        load_plugins()
    len(FORMATS)
    broken = {(problem.group, problem.name): problem for problem in plugins.problems()}
    report.problems += [str(problem) for problem in broken.values()]
    rows = {}
    for group, name, package in plugins.installed():
        kind = group.rpartition(".")[2].removesuffix("s")
        rows[f"{kind} {name}"] = f"{package}{', left out' if (group, name) in broken else ''}"
    return rows or {"none": "-"}


def _engine(report: Diagnosis) -> dict[str, str]:
    engine = open_engine(EngineConfig())
    try:
        info = engine.warm_up()
        memory = f"{info.memory_used_bytes / 2**30:.1f} of {info.memory_total_bytes / 2**30:.1f} GB"
        return {
            "backbone": info.backbone,
            "device": info.device,
            "dtype": info.dtype,
            "memory": memory,
            "note": info.note or "-",
        }
    except AppError as error:
        report.problems.append(str(error))
        return {"state": "does not run"}
    finally:
        engine.close()


def _window(report: Diagnosis) -> dict[str, str]:
    if importlib.util.find_spec("PySide6") is None:
        report.problems.append("PySide6 is missing: the window cannot open, the commands can.")
        return {"PySide6": "missing"}
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    has_screen = sys.platform != "linux" or bool(screen)
    rows = {"screen": (screen or "yes") if has_screen else "none (commands work without one)"}
    problem = window_problem() if has_screen else None
    if problem is not None:
        report.problems.append(str(problem))
        rows["window"] = "does not open"
        rows["qt"] = " ".join(problem.details.split())[-400:]
    elif has_screen:
        rows["window"] = "opens"
    elif missing := missing_libraries():  # no problem yet: nobody can open a window here
        rows["missing for a window"] = ", ".join(row[0] for row in missing)
        rows["install"] = install_hint(missing)
    return rows


def diagnose() -> Diagnosis:
    """Look at versions, folders, the engine (loads the default backbone) and the window. Needs no screen."""
    report = Diagnosis()
    report.sections["Versions"] = _versions(report)
    report.sections["Folders"] = _folders(report)
    report.sections["Torch"] = _torch(report)
    report.sections["Engine"] = _engine(report)
    report.sections["Plug-ins"] = plugin_rows(report)
    report.sections["Window"] = _window(report)
    return report
