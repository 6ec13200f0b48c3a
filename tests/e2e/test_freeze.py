"""The script that makes desktop packages, on a small folder: freezing the program itself takes minutes and is the workflow's."""

from __future__ import annotations

import configparser
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest


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
    sys.modules.pop("check_wheel", None)


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


def test_without_its_tool_the_appimage_says_what_to_get(
    freeze: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze.shutil, "which", lambda _: None)
    with pytest.raises(freeze.check_wheel.WheelError, match="appimagetool is not there"):
        freeze.make_appimage(folder)


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
