"""The script that makes desktop packages, on a small folder: freezing the program itself takes minutes and is the workflow's."""

from __future__ import annotations

import configparser
import importlib.util
import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def freeze(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(repository / "packaging"))
    spec = importlib.util.spec_from_file_location("freeze", repository / "packaging" / "freeze.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DIST", tmp_path / "dist")
    (tmp_path / "dist").mkdir()
    yield module
    for name in ("check_wheel", "installers"):
        sys.modules.pop(name, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "dist" / "frozen" / "kinmark"
    (made / "_internal").mkdir(parents=True)
    (made / "kinmark").write_text("#!/bin/sh\necho started\n")
    (made / "kinmark").chmod(0o755)
    (made / "_internal" / "data.bin").write_bytes(b"x" * 5000)
    return made


def test_the_standard_library_comes_along_without_its_tests(freeze: ModuleType) -> None:
    names = set(freeze.standard_library())
    assert {"sqlite3", "ctypes", "zipfile", "xml.etree.ElementTree", "logging.handlers", "unittest.mock"} <= names
    assert not [
        name for name in names if name.split(".")[0] in ("test", "tkinter", "idlelib") or ".test" in f".{name}."
    ]


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb makes .deb packages")
def test_the_deb_holds_program_command_desktop_file_icon_and_type(
    freeze: ModuleType, folder: Path, tmp_path: Path
) -> None:
    package = freeze.make_deb(folder)
    assert package.name.startswith(f"kinmark_{freeze.version()}_")
    listed = subprocess.run(["dpkg-deb", "-c", package], capture_output=True, text=True, check=True).stdout.splitlines()
    modes = {line.split()[5]: line.split()[0] for line in listed}
    assert modes["./"] == "drwxr-xr-x" and modes["./opt/kinmark/kinmark"] == "-rwxr-xr-x"
    assert any("./usr/bin/kinmark -> /opt/kinmark/kinmark" in line for line in listed)
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "x"], check=True)
    assert (tmp_path / "x/opt/kinmark/_internal/data.bin").stat().st_size == 5000
    entry = configparser.ConfigParser(interpolation=None)
    entry.read(tmp_path / "x/usr/share/applications/kinmark.desktop", encoding="utf-8")
    start = entry["Desktop Entry"]
    assert (
        start["Exec"].startswith("kinmark app")
        and (tmp_path / f"x/usr/share/icons/hicolor/scalable/apps/{start['Icon']}.svg").is_file()
    )
    assert start["MimeType"].rstrip(";") in (tmp_path / "x/usr/share/mime/packages/kinmark.xml").read_text("utf-8")
    control = subprocess.run(["dpkg-deb", "-f", package], capture_output=True, text=True, check=True).stdout
    assert f"Version: {freeze.version()}" in control and "libxcb-cursor0" in control
    # The folder itself is untouched: it was linked, not moved.
    assert (folder / "kinmark").read_text().startswith("#!/bin/sh")


def test_the_desktop_file_is_of_a_version_that_all_tools_know(repository: Path) -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment,method-assign]
    entry.read(repository / "packaging/linux/kinmark.desktop", encoding="utf-8")
    start = entry["Desktop Entry"]
    assert start["Version"] in ("1.0", "1.1"), "appimagetool refuses what its validator does not know"
    assert start["Categories"].split(";")[0] == "Graphics" and start["Exec"].endswith(" %f")
    if shutil.which("desktop-file-validate"):
        file = repository / "packaging/linux/kinmark.desktop"
        done = subprocess.run(["desktop-file-validate", file], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, "")


def test_without_its_tool_the_appimage_says_what_to_get(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze.shutil, "which", lambda _: None)
    with pytest.raises(freeze.check_wheel.WheelError, match="appimagetool is not there"):
        freeze.make_appimage(folder)
    runtime = start_program(tmp_path)
    with pytest.raises(freeze.check_wheel.WheelError, match="Install squashfs-tools"):
        freeze.make_appimage(folder, runtime)


def start_program(folder: Path, magic: bytes = b"AI\x02") -> Path:
    """The first bytes of an ELF file with the mark of AppImages of type 2, and something after."""
    file = folder / "runtime-test"
    file.write_bytes(b"\x7fELF\x02\x01\x01\x00" + magic + b"\x00" * 5 + b"starts it")
    return file


def test_another_file_is_not_taken_for_the_start_program(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze.shutil, "which", lambda name: f"/usr/bin/{name}")
    for magic in (b"AI\x01", b"\x00\x00\x00"):
        with pytest.raises(freeze.check_wheel.WheelError, match="is not the start program of an AppImage"):
            freeze.make_appimage(folder, start_program(tmp_path, magic))
    assert not list((tmp_path / "dist").glob("*.AppImage"))


@pytest.mark.skipif(shutil.which("mksquashfs") is None, reason="mksquashfs (squashfs-tools) packs the folder")
def test_with_its_start_program_mksquashfs_is_enough(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = shutil.which
    monkeypatch.setattr(freeze.shutil, "which", lambda name: None if name == "appimagetool" else find(name))
    runtime = start_program(tmp_path)
    made = freeze.make_appimage(folder, runtime)
    head = runtime.read_bytes()
    assert made.stat().st_mode & 0o111 == 0o111 and made.read_bytes().startswith(head)
    unpack = ["unsquashfs", "-q", "-n", "-o", str(len(head)), "-d", str(tmp_path / "x"), str(made)]
    subprocess.run(unpack, check=True, capture_output=True)
    assert subprocess.run([tmp_path / "x/AppRun"], capture_output=True, text=True, check=True).stdout == "started\n"
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "x/usr/lib/kinmark/_internal/data.bin").stat().st_size == 5000
    assert (tmp_path / "x/kinmark.desktop").is_file() and (tmp_path / "x/.DirIcon").resolve().name == "kinmark.svg"


@pytest.mark.skipif(sys.platform != "linux", reason="AppImages are for Linux")
def test_the_appimage_tool_gets_a_whole_appdir(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "appimagetool"
    tool.write_text(
        '#!/bin/sh\n[ -x "$2/AppRun" ] && [ -f "$2/kinmark.desktop" ] && [ -f "$2/kinmark.svg" ] && "$2/AppRun" > "$3"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setattr(freeze.shutil, "which", lambda _: str(tool))
    assert freeze.make_appimage(folder).read_text() == "started\n"


@pytest.mark.parametrize("suffix", ["ico", "icns"])
def test_the_icon_is_drawn_for_the_system(freeze: ModuleType, tmp_path: Path, suffix: str) -> None:
    with Image.open(freeze.installers.write_icon(Path(sys.executable), tmp_path / f"kinmark.{suffix}")) as picture:
        assert max(picture.size) >= 256
        pixels = np.asarray(picture.convert("RGBA"))
    assert pixels[..., 3].min() == 0 and pixels[..., 3].max() == 255, "its corners are clear, its middle is not"
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) > 3


@pytest.mark.skipif(sys.platform == "win32", reason="the bundle's start program is a shell script")
def test_the_bundle_starts_and_declares_projects_as_folders(freeze: ModuleType, folder: Path, tmp_path: Path) -> None:
    icon = tmp_path / "kinmark.icns"
    icon.write_bytes(b"icns")
    place = tmp_path / "with space"
    place.mkdir()
    bundle = freeze.installers.make_bundle(folder, icon, place / "Kinmark.app", "1.2.3")
    information = plistlib.loads((bundle / "Contents/Info.plist").read_bytes())
    program = bundle / "Contents/MacOS" / information["CFBundleExecutable"]
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "started\n"
    assert (bundle / "Contents/Resources" / information["CFBundleIconFile"]).is_file()
    assert information["CFBundleShortVersionString"] == "1.2.3"
    declared = information["UTExportedTypeDeclarations"][0]
    assert declared["UTTypeTagSpecification"]["public.filename-extension"] == ["kinmark"]
    assert declared["UTTypeConformsTo"] == ["com.apple.package"]
    assert information["CFBundleDocumentTypes"][0]["LSItemContentTypes"] == [declared["UTTypeIdentifier"]]


@pytest.mark.skipif(sys.platform == "win32", reason="the tool's stand-in is a shell script")
def test_the_set_up_program_gets_all_that_its_recipe_asks_for(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    asked = set(re.findall(r"\{#(\w+)\}", (repository / "packaging/windows/kinmark.iss").read_text("utf-8-sig")))
    tool = tmp_path / "iscc"
    tool.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > given; : > Kinmark-1.2.3-setup.exe\n')
    tool.chmod(0o755)
    monkeypatch.setattr(freeze.installers.shutil, "which", lambda _: str(tool))
    made = freeze.installers.make_setup(folder, tmp_path / "kinmark.ico", freeze.DIST, "1.2.3")
    assert made.is_file()
    given = (freeze.DIST / "given").read_text().splitlines()
    assert {part[2:].split("=")[0] for part in given if part.startswith("/D")} == asked
    assert f"/DFolder={folder}" in given and given[-1].endswith("kinmark.iss")


def test_without_their_tools_the_image_and_the_set_up_program_say_what_is_missing(
    freeze: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze.installers.shutil, "which", lambda _: None)
    monkeypatch.setenv("PROGRAMFILES(X86)", str(tmp_path))
    with pytest.raises(freeze.check_wheel.WheelError, match="made on macOS"):
        freeze.installers.make_dmg(tmp_path / "Kinmark.app", tmp_path / "x.dmg")
    with pytest.raises(freeze.check_wheel.WheelError, match="Inno Setup is not there"):
        freeze.installers.make_setup(folder, tmp_path / "kinmark.ico", freeze.DIST, "1.2.3")
