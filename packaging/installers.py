"""What macOS and Windows install, made of a frozen folder: an application bundle in a disk image, and a set-up program.

Both need the system they are for (hdiutil, Inno Setup's iscc); the bundle itself is plain files and is made anywhere.
Nothing is signed: whoever publishes them signs them with an identity of their own.
"""

from __future__ import annotations

import os
import plistlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import check_wheel

ROOT = check_wheel.ROOT
ICON = ROOT / "packaging" / "linux" / "kinmark.svg"
BUNDLE_ID = "org.kinmark.Kinmark"
RENDER = """
import io, sys
from pathlib import Path
from PIL import Image
from PySide6.QtCore import QBuffer, QByteArray, QIODevice
from PySide6.QtGui import QGuiApplication, QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

app = QGuiApplication([])
picture = QImage(1024, 1024, QImage.Format.Format_ARGB32)
picture.fill(0)
painter = QPainter(picture)
QSvgRenderer(sys.argv[1]).render(painter)
painter.end()
data = QByteArray()
buffer = QBuffer(data)
buffer.open(QIODevice.OpenModeFlag.WriteOnly)
picture.save(buffer, "PNG")
sizes = [(n, n) for n in (16, 32, 48, 64, 128, 256)]
Image.open(io.BytesIO(bytes(data))).save(sys.argv[2], **({"sizes": sizes} if sys.argv[2].endswith(".ico") else {}))
"""


def write_icon(python: Path, out: Path) -> Path:
    """The icon as .ico or .icns, drawn by `python`, an interpreter with PySide6 and Pillow."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    check_wheel.run([python, "-c", RENDER, ICON, out], cwd=ROOT, environment=environment)
    return out


def make_bundle(folder: Path, icon: Path, out: Path, version: str) -> Path:
    """`out`, an application bundle (.app) of the frozen folder; projects are declared as folders that look like one file."""
    shutil.rmtree(out, ignore_errors=True)
    contents = out / "Contents"
    shutil.copytree(folder, contents / "Resources" / "kinmark", symlinks=True, copy_function=os.link)
    shutil.copyfile(icon, contents / "Resources" / "kinmark.icns")
    start = contents / "MacOS" / "Kinmark"
    start.parent.mkdir()
    start.write_text('#!/bin/sh\nexec "$(dirname "$0")/../Resources/kinmark/kinmark" "$@"\n', encoding="utf-8")
    start.chmod(0o755)
    project_type = f"{BUNDLE_ID}.project"
    information = {
        "CFBundleName": "Kinmark",
        "CFBundleDisplayName": "Kinmark",
        "CFBundleIdentifier": BUNDLE_ID,
        "CFBundleExecutable": "Kinmark",
        "CFBundleIconFile": "kinmark.icns",
        "CFBundlePackageType": "APPL",
        "CFBundleShortVersionString": version,
        "CFBundleVersion": version,
        "LSApplicationCategoryType": "public.app-category.graphics-design",
        "LSMinimumSystemVersion": "13.0",
        "NSHighResolutionCapable": True,
        "CFBundleDocumentTypes": [
            {
                "CFBundleTypeName": "Kinmark project",
                "CFBundleTypeRole": "Editor",
                "LSHandlerRank": "Owner",
                "LSTypeIsPackage": True,
                "LSItemContentTypes": [project_type],
            }
        ],
        "UTExportedTypeDeclarations": [
            {
                "UTTypeIdentifier": project_type,
                "UTTypeDescription": "Kinmark project",
                "UTTypeConformsTo": ["com.apple.package"],
                "UTTypeTagSpecification": {"public.filename-extension": ["kinmark"]},
            }
        ],
    }
    (contents / "Info.plist").write_bytes(plistlib.dumps(information))
    return out


def make_dmg(bundle: Path, out: Path) -> Path:
    """A compressed disk image with the bundle and a link to the folder of applications; needs macOS."""
    if shutil.which("hdiutil") is None:
        raise check_wheel.WheelError("hdiutil is not there: disk images are made on macOS.")
    with tempfile.TemporaryDirectory(prefix="kinmark-dmg-", dir=out.parent) as name:
        tree = Path(name)
        shutil.move(bundle, tree / bundle.name)
        (tree / "Applications").symlink_to("/Applications")
        check_wheel.run(
            ["hdiutil", "create", "-volname", "Kinmark", "-srcfolder", tree, "-format", "UDZO", "-ov", out],
            cwd=out.parent,
        )
    return out


@contextmanager
def attached(image: Path) -> Iterator[Path]:
    """The start program inside the disk image, while it is attached."""
    with tempfile.TemporaryDirectory(prefix="kinmark-image-") as name:
        place = Path(name) / "volume"
        command: list[str | Path] = ["hdiutil", "attach", "-readonly", "-nobrowse", "-mountpoint", place, image]
        check_wheel.run(command, cwd=image.parent)
        try:
            yield place / "Kinmark.app" / "Contents" / "MacOS" / "Kinmark"
        finally:
            check_wheel.run(["hdiutil", "detach", "-force", place], cwd=image.parent)


def make_setup(folder: Path, icon: Path, out: Path, version: str) -> Path:
    """The set-up program for Windows in the folder `out`; needs Inno Setup 6.3 (iscc on the PATH or where it installs itself)."""
    usual = Path(os.environ.get("PROGRAMFILES(X86)", "C:/Program Files (x86)")) / "Inno Setup 6" / "ISCC.exe"
    compiler = shutil.which("iscc") or (str(usual) if usual.is_file() else None)
    if compiler is None:
        raise check_wheel.WheelError("Inno Setup is not there. Get it from https://jrsoftware.org/isdl.php.")
    values = {"Version": version, "Folder": folder, "Output": out, "Icon": icon, "License": ROOT / "LICENSE"}
    given = [f"/D{key}={value}" for key, value in values.items()]
    check_wheel.run([compiler, "/Qp", *given, ROOT / "packaging" / "windows" / "kinmark.iss"], cwd=out)
    return out / f"Kinmark-{version}-setup.exe"


@contextmanager
def installed(setup: Path) -> Iterator[Path]:
    """The start program as the set-up program installs it for this account, without a question; removed again afterwards."""
    with tempfile.TemporaryDirectory(prefix="kinmark set up ", ignore_cleanup_errors=True) as name:
        place = Path(name) / "Kinmark"
        check_wheel.run([setup, "/VERYSILENT", "/SUPPRESSMSGBOXES", "/CURRENTUSER", f"/DIR={place}"], cwd=setup.parent)
        try:
            yield place / "kinmark.exe"
        finally:
            check_wheel.run([place / "unins000.exe", "/VERYSILENT", "/SUPPRESSMSGBOXES"], cwd=setup.parent)
