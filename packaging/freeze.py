#!/usr/bin/env python3
"""Make a folder that runs without an installed Python, start what came out, and pack it.

    python packaging/freeze.py                 # dist/frozen/kinmark: the program, its interpreter, everything it needs
    python packaging/freeze.py --deb           # and dist/kinmark_VERSION_ARCH.deb (needs dpkg-deb)
    python packaging/freeze.py --appimage      # and dist/Kinmark-VERSION-ARCH.AppImage (needs appimagetool, or the next line)
    python packaging/freeze.py --appimage --runtime runtime-x86_64     # the same with mksquashfs and AppImage's own start program
    python packaging/freeze.py --dmg           # on macOS: and dist/Kinmark-VERSION-ARCH.dmg with Kinmark.app
    python packaging/freeze.py --setup         # on Windows: and dist/Kinmark-VERSION-setup.exe (needs Inno Setup)

PyInstaller brings the interpreter, the standard library and the start program; the installed packages lie beside them as they
are. Nothing is analysed or picked out, because transformers and diffusers find their modules by looking at their own files.
PyInstaller (GPL with an exception for what it makes) is installed into the build's own environment only and is no dependency.
The try-out runs `--version`, `selfcheck` (on Linux under Xvfb where there is no screen but `xvfb-run`), `doctor`, `models list` and
the window. An AppImage is tried twice: unpacked by itself into a temporary folder, and mounted where the machine has FUSE.
"""

from __future__ import annotations

import argparse
import json
import os
import pkgutil
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import check_wheel
import installers

from kinmark.projects.qt_platform import LIBRARIES

ROOT = check_wheel.ROOT
DIST = ROOT / "dist"
QT_DEBIAN = tuple(dict.fromkeys(debian for _, debian, _, _ in LIBRARIES))
PYINSTALLER = "pyinstaller==6.22.3"
APPIMAGE_MAGIC = b"AI\x02"
LEFT_OUT = (
    "pip",
    "setuptools",
    "_distutils_hack",
    "pkg_resources",
    "PyInstaller",
    "_pyinstaller_hooks_contrib",
    "altgraph",
)
USELESS = (
    "torch/include",
    "torch/test",
    "torch/share",
    "torch/_inductor/codegen/cuda",
    "pandas/tests",
    "sklearn/tests",
)
STDLIB_LEFT_OUT = {
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "turtle",
    "lib2to3",
    "ensurepip",
    "venv",
    "antigravity",
    "this",
    "pydoc_data",
}
ENTRY = '''
"""Start program of the frozen folder: the packages lie beside the interpreter, in "site"."""
import multiprocessing
import os
import sys

sys.path.insert(0, os.path.join(sys._MEIPASS, "site"))
multiprocessing.freeze_support()  # a worker process is this program, started again
from kinmark.desktop.main import main

sys.exit(main())
'''


def say(text: str) -> None:
    """One line of progress."""
    print(f"[freeze] {text}", flush=True)


def version() -> str:
    """Of pyproject.toml."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"])


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def make_environment(folder: Path, torch: str) -> Path:
    """An environment with the wheel, its pinned dependencies and PyInstaller; returns its interpreter. Reused when there."""
    python = python_of(folder)
    if not python.exists():
        check_wheel.run([sys.executable, "-m", "venv", folder], cwd=ROOT)
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    check_wheel.install_torch(pip, torch, ROOT)
    wheel = check_wheel.build(DIST)
    check_wheel.run([*pip, "-c", check_wheel.CONSTRAINTS, wheel], cwd=ROOT)
    check_wheel.run([*pip, "--force-reinstall", "--no-deps", wheel], cwd=ROOT)
    check_wheel.run([*pip, PYINSTALLER], cwd=ROOT)
    return python


def standard_library() -> list[str]:
    """Names of all modules of the standard library but its tests and toys."""
    names = set(sys.stdlib_module_names) - STDLIB_LEFT_OUT
    root = Path(sysconfig.get_path("stdlib"))
    for package in sorted(names):
        if (root / package / "__init__.py").is_file():
            found = pkgutil.walk_packages([str(root / package)], f"{package}.", onerror=lambda _: None)
            names |= {module.name for module in found if not {"test", "tests"} & set(module.name.split("."))}
    return sorted(names)


def freeze(python: Path) -> Path:
    """Run PyInstaller and put the packages beside; returns the folder with the start program."""
    target = DIST / "frozen" / "kinmark"
    shutil.rmtree(target, ignore_errors=True)
    site = Path(
        check_wheel.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'), end='')"], cwd=ROOT
        ).strip()
    )
    with tempfile.TemporaryDirectory(prefix="kinmark-freeze-") as name:
        work = Path(name)
        (work / "start.py").write_text(ENTRY, encoding="utf-8")
        hidden = [part for module in standard_library() for part in ("--hidden-import", module)]
        packages = sorted({path.name.split(".")[0] for path in site.iterdir() if not path.name.endswith(".dist-info")})
        excluded = [part for package in packages for part in ("--exclude-module", package)]
        icon: list[str | Path] = [] if sys.platform == "linux" else ["--icon", "NONE"]
        if sys.platform == "win32":  # started from a menu, the program hides the console that Windows opens for it
            icon = ["--icon", installers.write_icon(python, work / "kinmark.ico"), "--hide-console", "hide-early"]
        check_wheel.run(
            [
                python,
                "-m",
                "PyInstaller",
                "--noconfirm",
                "--log-level",
                "WARN",
                "--onedir",
                "--name",
                "kinmark",
                "--distpath",
                target.parent,
                "--workpath",
                work / "work",
                "--specpath",
                work,
                *icon,
                *hidden,
                *excluded,
                work / "start.py",
            ],
            cwd=work,
        )
    _copy_packages(site, target / "_internal" / "site")
    return target


def _copy_packages(site: Path, target: Path) -> None:
    """Everything installed but the build's own tools, compiled files and what is only for building or testing."""

    def ignore(folder: str, names: list[str]) -> set[str]:
        below = Path(folder).relative_to(site).as_posix()
        skipped = {n for n in names if n == "__pycache__" or n.endswith((".pyc", ".a", ".lib"))}
        if below == ".":
            skipped |= {n for n in names if n.split("-")[0].split(".")[0] in LEFT_OUT}
        return skipped | {n for n in names if f"{below}/{n}" in USELESS}

    shutil.copytree(site, target, ignore=ignore, symlinks=True, dirs_exist_ok=True)


def program_of(folder: Path) -> Path:
    """The start program of a frozen folder."""
    return folder / ("kinmark.exe" if os.name == "nt" else "kinmark")


def try_out(program: Path, *options: str) -> None:
    """Start the program, with `options` first, where nothing of the checkout or of Python is in sight."""
    with tempfile.TemporaryDirectory(prefix="kinmark try ") as name:
        environment = {"PATH": os.environ.get("PATH", ""), "KINMARK_HOME": name, "HOME": name, "HF_HUB_OFFLINE": "1"}
        for key in ("SYSTEMROOT", "TEMP", "TMP", "DISPLAY", "QT_QPA_PLATFORM", "XAUTHORITY"):
            if key in os.environ:
                environment[key] = os.environ[key]
        screen: list[str | Path] = []
        if sys.platform == "linux" and not os.environ.get("DISPLAY") and shutil.which("xvfb-run"):
            screen = ["xvfb-run", "-a"]  # in the ordinary temporary folder: it does not quote its own path
        started = time.monotonic()
        told = check_wheel.run([program, *options, "--version"], cwd=Path(name), environment=environment).strip()
        say(f"{told}; start of the program: {time.monotonic() - started:.1f} s")
        own = [] if os.name == "nt" else ["env", f"TMPDIR={name}"]  # an AppImage unpacks itself there
        command = [*screen, *own, program, *options, "selfcheck", "--json"]
        result = json.loads(check_wheel.run(command, cwd=Path(name), environment=environment))
        say(f"selfcheck {'under Xvfb' if screen else 'without Xvfb'}:")
        for step in result["steps"]:
            say(f"  {step['name']:<10} {step['seconds']:6.1f} s  {step['detail']}")
        for words in (["doctor", "--json"], ["models", "list", "--json"]):
            json.loads(check_wheel.run([*own, program, *options, *words], cwd=Path(name), environment=environment))
        if (
            "--appimage-extract-and-run" not in options
        ):  # there a process stands before the program and is told in its place
            say(f"kinmark app: {check_wheel.try_app(Path(program), Path(name), environment, *options)}")


def make_deb(folder: Path) -> Path:
    """A Debian package of the folder: program in /opt, command, desktop file, icon and file type in /usr."""
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    out = DIST / f"kinmark_{version()}_{architecture}.deb"
    with tempfile.TemporaryDirectory(prefix="kinmark-deb-", dir=DIST) as name:
        tree = Path(name)
        tree.chmod(0o755)  # it becomes "/" of the package
        _link_tree(folder, tree / "opt" / "kinmark")
        (tree / "usr" / "bin").mkdir(parents=True)
        (tree / "usr" / "bin" / "kinmark").symlink_to("/opt/kinmark/kinmark")
        for source, place in (
            ("kinmark.desktop", "applications/kinmark.desktop"),
            ("kinmark.svg", "icons/hicolor/scalable/apps/kinmark.svg"),
            ("kinmark-mime.xml", "mime/packages/kinmark.xml"),
        ):
            target = tree / "usr" / "share" / place
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / "packaging" / "linux" / source, target)
        copyright_file = tree / "usr" / "share" / "doc" / "kinmark" / "copyright"
        copyright_file.parent.mkdir(parents=True)
        shutil.copyfile(ROOT / "LICENSE", copyright_file)
        (tree / "DEBIAN").mkdir()
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 10
        (tree / "DEBIAN" / "control").write_text(
            f"Package: kinmark\nVersion: {version()}\nArchitecture: {architecture}\nInstalled-Size: {size}\n"
            "Maintainer: The Kinmark authors <kinmark@example.org>\nSection: graphics\nPriority: optional\n"
            f"Depends: libc6, {', '.join(QT_DEBIAN)}\n"
            "Description: annotation assistant: mark once, find its kin everywhere\n"
            " Label the keypoints of one photo, and they are proposed on the others; mark one individual, and it is found\n"
            " again and cut out. Works offline with the model that is included.\n",
            encoding="utf-8",
        )
        check_wheel.run(["dpkg-deb", "--build", "--root-owner-group", "-Zxz", "-z1", tree, out], cwd=DIST)
    return out


def _link_tree(source: Path, target: Path) -> None:
    """Copy a tree by hard links: two gigabytes need not be there twice."""
    shutil.copytree(source, target, symlinks=True, copy_function=os.link)


def appimage_parts(runtime: Path | None) -> Path | None:
    """Path of appimagetool, None: pack with mksquashfs and `runtime`. WheelError says what to get when neither is possible."""
    if runtime is not None:
        head = runtime.read_bytes()[:11]
        if head[:4] != b"\x7fELF" or head[8:11] != APPIMAGE_MAGIC:
            raise check_wheel.WheelError(
                f"{runtime} is not the start program of an AppImage (type 2). Take runtime-{platform.machine()} from "
                "https://github.com/AppImage/type2-runtime/releases."
            )
    tool = shutil.which("appimagetool")
    if tool is not None:
        return Path(tool)
    if runtime is None:
        raise check_wheel.WheelError(
            "appimagetool is not there. Get it from https://github.com/AppImage/appimagetool/releases and put it on the PATH, or "
            f"name AppImage's start program with --runtime (runtime-{platform.machine()} from "
            "https://github.com/AppImage/type2-runtime/releases), which needs mksquashfs (squashfs-tools) only."
        )
    if shutil.which("mksquashfs") is None:
        raise check_wheel.WheelError("mksquashfs is not there. Install squashfs-tools.")
    return None


def make_appimage(folder: Path, runtime: Path | None = None) -> Path:
    """One executable file of the folder: AppImage's start program (`runtime`, or what appimagetool brings) and a packed folder."""
    tool = appimage_parts(runtime)
    out = DIST / f"Kinmark-{version()}-{platform.machine()}.AppImage"
    with tempfile.TemporaryDirectory(prefix="kinmark-appdir-", dir=DIST) as name:
        tree = Path(name) / "Kinmark.AppDir"
        _link_tree(folder, tree / "usr" / "lib" / "kinmark")
        for file in ("kinmark.desktop", "kinmark.svg"):
            shutil.copyfile(ROOT / "packaging" / "linux" / file, tree / file)
        (tree / ".DirIcon").symlink_to("kinmark.svg")
        start = tree / "AppRun"
        start.write_text(
            '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/usr/lib/kinmark/kinmark" "$@"\n', encoding="utf-8"
        )
        start.chmod(0o755)
        tree.chmod(0o755)  # it becomes "/" of what is mounted
        if tool is not None:
            own = [] if runtime is None else ["--runtime-file", runtime]
            environment = {**os.environ, "ARCH": platform.machine()}
            check_wheel.run([tool, "--no-appstream", *own, tree, out], cwd=DIST, environment=environment)
        else:
            assert runtime is not None
            packed = Path(name) / "packed"
            check_wheel.run(
                ["mksquashfs", tree, packed, "-root-owned", "-noappend", "-comp", "zstd", "-no-progress"], cwd=DIST
            )
            with out.open("wb") as file:
                for part in (runtime, packed):
                    with part.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
            out.chmod(0o755)
    return out


def try_appimage(file: Path) -> None:
    """Start the AppImage unpacked, which works everywhere, and mounted, which needs FUSE."""
    say("the AppImage, unpacked by itself:")
    try_out(file, "--appimage-extract-and-run")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        say("not tried mounted: this machine has no FUSE for this account")
        return
    say("the AppImage, mounted:")
    try_out(file)


def make_packages(options: argparse.Namespace, folder: Path, python: Path) -> None:
    """The packages that were asked for, each started as a person gets it."""
    if options.deb:
        tell_size(make_deb(folder))
    if options.appimage:
        file = make_appimage(folder, options.runtime)
        tell_size(file)
        try_appimage(file)
    if options.dmg:
        icon = installers.write_icon(python, DIST / "kinmark.icns")
        bundle = installers.make_bundle(folder, icon, DIST / "Kinmark.app", version())
        file = installers.make_dmg(bundle, DIST / f"Kinmark-{version()}-{platform.machine()}.dmg")
        tell_size(file)
        with installers.attached(file) as program:
            try_out(program)
    if options.setup:
        icon = installers.write_icon(python, DIST / "kinmark.ico")
        file = installers.make_setup(folder, icon, DIST, version())
        tell_size(file)
        with installers.installed(file) as program:
            try_out(program)


def tell_size(file: Path) -> None:
    """One line about a package that was made."""
    say(f"{file.relative_to(ROOT)}: {file.stat().st_size >> 20} MB")


def main() -> int:
    """Parse the command line and run the steps."""
    parser = argparse.ArgumentParser(description="Freeze Kinmark into a folder, start it, pack it.")
    parser.add_argument("--torch", choices=("cpu", "cuda"), default="cpu", help="which torch build goes in")
    parser.add_argument(
        "--environment", type=Path, default=DIST / "freeze-env", help="where the build's environment is"
    )
    parser.add_argument("--reuse", action="store_true", help="take the folder that is there, do not freeze again")
    parser.add_argument("--deb", action="store_true", help="make a Debian package")
    parser.add_argument("--dmg", action="store_true", help="make Kinmark.app and a disk image of it (on macOS)")
    parser.add_argument("--setup", action="store_true", help="make a set-up program (on Windows; needs Inno Setup)")
    parser.add_argument("--appimage", action="store_true", help="make an AppImage (needs appimagetool or --runtime)")
    parser.add_argument("--runtime", type=Path, help="the start program of the AppImage; with it, mksquashfs is enough")
    options = parser.parse_args()
    if options.runtime is not None:
        options.runtime = options.runtime.absolute()
    DIST.mkdir(exist_ok=True)
    try:
        if options.appimage:
            appimage_parts(options.runtime)  # what is missing is said now, not after the minutes that freezing takes
        started = time.monotonic()
        folder = DIST / "frozen" / "kinmark"
        if not options.reuse:
            folder = freeze(make_environment(options.environment.absolute(), options.torch))
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
        say(f"{folder.relative_to(ROOT)}: {size >> 20} MB, after {time.monotonic() - started:.0f} s")
        try_out(program_of(folder))
        make_packages(options, folder, python_of(options.environment.absolute()))
    except (check_wheel.WheelError, subprocess.SubprocessError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
