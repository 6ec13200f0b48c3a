"""`kinmark models` through the real command table."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kinmark.projects.cli.app import run
from tests.support.hub_server import hub_server
from tests.support.toy_pipeline import make_toy_pipeline


@pytest.fixture(scope="module")
def pipeline_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_pipeline(tmp_path_factory.mktemp("models") / "toy-sd")


def _json(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> object:
    capsys.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_add_list_verify_test_remove(pipeline_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = _json(capsys, "models", "add", str(pipeline_dir), "--name", "toy")
    assert isinstance(row, dict) and row["installed"] and row["source"] == "added"
    rows = _json(capsys, "models", "list")
    assert isinstance(rows, list)
    assert {"embedded", "sd15", "sd21", "sd-turbo", "sdxl-turbo", "toy", "cleandift-sd21", "sam2.1-small"} <= {
        r["id"] for r in rows
    }
    report = _json(capsys, "models", "verify", "toy")
    assert isinstance(report, dict) and report["ok"]
    result = _json(capsys, "models", "test", "toy", "--device", "cpu", "--dtype", "fp32")
    assert isinstance(result, dict) and result["feature_shape"] == [32, 16, 16]
    removed = _json(capsys, "models", "remove", "toy")
    assert removed == {"id": "toy", "files_deleted": False}
    assert pipeline_dir.is_dir()
    assert run(["models", "list"]) == 0
    assert "toy" not in capsys.readouterr().out


def test_pickled_folder_is_a_known_error(
    pipeline_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(pipeline_dir, tmp_path / "pickled"))
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04")
    answer = _json(capsys, "models", "add", str(folder), code=3)
    assert isinstance(answer, dict) and "pickled" in answer["error"]["message"] and answer["error"]["hint"]


def test_download_asks_for_the_licence_and_installs(
    pipeline_dir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with hub_server(pipeline_dir) as (endpoint, state):
        assert run(["models", "download", "sd15", "--endpoint", endpoint]) == 3
        shown = capsys.readouterr().err
        assert "CreativeML" in shown and "--accept-licence" in shown
        assert not state.served
        row = _json(capsys, "models", "download", "sd15", "--endpoint", endpoint, "--accept-licence")
    assert isinstance(row, dict) and row["installed"] and row["bytes"] > 100_000
    assert run(["models", "verify", "sd15"]) == 0
    assert _json(capsys, "models", "remove", "sd15") == {"id": "sd15", "files_deleted": True}


def test_downloads_need_the_network_to_be_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    answer = _json(capsys, "models", "download", "sd21", "--accept-licence", code=3)
    assert isinstance(answer, dict) and "switched off" in answer["error"]["message"]


def test_unknown_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "verify", "nonsense"]) == 3
    assert "no backbone 'nonsense'" in capsys.readouterr().err


def test_interrupt_keeps_what_came_and_the_next_call_resumes(pipeline_dir: Path, tmp_path: Path) -> None:
    """A real process and a real Ctrl-C in the middle of the largest file."""
    unet = "unet/diffusion_pytorch_model.safetensors"
    environment = {**os.environ, "KINMARK_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    part = tmp_path / "home" / "data" / "models" / ".download-sd15" / (unet + ".part")
    with hub_server(pipeline_dir) as (endpoint, state):
        command = [
            sys.executable,
            "-m",
            "kinmark.desktop.main",
            "models",
            "download",
            "sd15",
            "--accept-licence",
            "--json",
        ]
        command += ["--endpoint", endpoint]
        state.slow.add(unet)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            deadline = time.monotonic() + 90
            while not (part.is_file() and part.stat().st_size > 30_000):
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            assert process.returncode == 130
        kept = part.stat().st_size
        state.slow.clear()
        state.served.clear()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["resumed_bytes"] > kept
        assert state.served[unet][0][0] == kept
