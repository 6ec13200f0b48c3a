"""The setup script's own logic: explanations of failures, reuse, and no dependence on where it is called from."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from types import ModuleType

import pytest


@pytest.fixture
def bootstrap(repository) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", repository / "packaging" / "bootstrap.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("output", "todo"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("NewConnectionError: Temporary failure in name resolution", "check the network"),
        ("PermissionError: Permission denied: '/x'", "may not be written"),
        ("ERROR: something else", "Run the same command again"),
    ],
)
def test_pip_failures_are_explained(bootstrap, output, todo):
    assert todo in bootstrap.explain_pip("x", output).todo


def test_full_disk_is_seen_before_installing(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(bootstrap.SetupError, match="GB are free"):
        bootstrap.check_disk()


def test_old_python_is_refused(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 1))
    with pytest.raises(bootstrap.SetupError, match="too old"):
        bootstrap.check_python()


def test_a_missing_venv_module_names_the_package(bootstrap, monkeypatch, tmp_path):
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / "with space" / ".venv")
    monkeypatch.setattr(bootstrap.sys, "executable", "/bin/false")
    with pytest.raises(bootstrap.SetupError) as caught:
        bootstrap.make_venv()
    assert "apt-get install python" in caught.value.todo and not (tmp_path / "with space" / ".venv").exists()


def test_the_stamp_depends_on_what_is_installed(bootstrap, monkeypatch, tmp_path):
    before = bootstrap.stamp_of(("test",))
    assert before == bootstrap.stamp_of(("test",)) != bootstrap.stamp_of(())
    other = tmp_path / "constraints.txt"
    other.write_text("numpy==1\n")
    monkeypatch.setattr(bootstrap, "CONSTRAINTS", other)
    assert bootstrap.stamp_of(("test",)) != before


def test_usage_is_shown_from_any_folder(repository, tmp_path):
    script = repository / "packaging" / "bootstrap.py"
    done = subprocess.run([sys.executable, script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "demo" in done.stdout


def test_the_cuda_build_is_taken_only_when_asked_or_present(bootstrap, monkeypatch):
    assert bootstrap.wants_cuda("cuda") and not bootstrap.wants_cuda("cpu")
    monkeypatch.setattr(bootstrap.shutil, "which", lambda _: None)
    assert not bootstrap.wants_cuda("auto")


def test_no_setuid_or_root_is_needed(repository):
    assert os.access(repository / "packaging" / "bootstrap.py", os.X_OK)
    text = (repository / "packaging" / "bootstrap.py").read_text()
    assert "sudo" not in text
