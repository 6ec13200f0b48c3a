"""The example package of docs/reference/plugins.md installed as pip installs it, and packages that are broken in every way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from kinmark.engine import plugins
from kinmark.engine.remote import url_of
from kinmark.projects.project import Project
from tests.support.datasets import HORSE, sample_dataset

EXAMPLE = Path("docs") / "examples" / "kinmark-points"


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the example and its metadata."""
    source, target = tmp_path_factory.mktemp("source") / "kinmark-points", tmp_path_factory.mktemp("site")
    shutil.copytree(repository / EXAMPLE, source)
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-index",
        "--no-build-isolation",
        "--target",
        str(target),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def environment(site: Path, repository: Path, **more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "KINMARK_PLUGINS"}
    return {**kept, "PYTHONPATH": f"{site}{os.pathsep}{repository}", **more}


def kinmark(
    arguments: list[str], site: Path, repository: Path, cwd: Path, **more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kinmark.desktop.main", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment(site, repository, **more), capture_output=True, text=True)


def test_the_format_goes_out_and_in_by_the_command_line(installed: Path, repository: Path, tmp_path: Path) -> None:
    from kinmark.projects.formats import coco

    dataset = sample_dataset(tmp_path / "photos", count=3)
    coco.write(dataset, tmp_path / "coco")

    def run(*arguments: str) -> dict:
        done = kinmark([*arguments, "--json"], installed, repository, tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    run("new", "a.kinmark")
    run("import", "a.kinmark", "coco/annotations.json", "--format", "coco", "--images", "photos")
    written = run("export", "a.kinmark", "out", "--format", "points-csv")
    assert "mask" in json.dumps(written) and (tmp_path / "out" / "points.csv").is_file()
    run("new", "b.kinmark")
    run("import", "b.kinmark", "out/points.csv", "--format", "points-csv", "--images", "photos")
    run("export", "b.kinmark", "again", "--format", "points-csv")
    first, again = ((tmp_path / name / "points.csv").read_text() for name in ("out", "again"))
    assert first == again and len(first.splitlines()) > 3 * len(HORSE.names) - 3
    head, *rows = first.splitlines()
    (tmp_path / "bad.csv").write_text("\n".join([head, rows[0].rsplit(",", 3)[0] + ",12,oops,2", *rows[1:]]))
    arguments = ["import", "b.kinmark", "bad.csv", "--format", "points-csv", "--images", "photos"]
    refused = kinmark(arguments, installed, repository, tmp_path)
    assert refused.returncode == 3 and "bad.csv (line 2)" in refused.stderr


def test_descriptor_and_backbone_are_known_and_doctor_names_them(
    installed: Path, repository: Path, tmp_path: Path
) -> None:
    code = """
import json, numpy as np
from kinmark.engine.features.descriptors import get_descriptor
made = get_descriptor("gradients").compute(np.random.default_rng(0).integers(0, 255, (2, 40, 60, 3), dtype=np.uint8), (12, 8))
print(json.dumps([list(made.shape), float(made.norm(dim=1).min()), float(made.norm(dim=1).max())]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(installed, repository),
        capture_output=True,
        text=True,
    )
    shape, low, high = json.loads(done.stdout)
    assert shape == [2, 72, 8, 12] and low == pytest.approx(1, abs=1e-5) and high == pytest.approx(1, abs=1e-5)
    listed = kinmark(["models", "list", "--json"], installed, repository, tmp_path)
    assert any(row["id"] == "lab-sd" and not row["installed"] for row in json.loads(listed.stdout))
    code = "import json; from kinmark.projects.diagnostics import Diagnosis, plugin_rows; print(json.dumps(plugin_rows(Diagnosis())))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(installed, repository),
        capture_output=True,
        text=True,
    )
    rows = json.loads(done.stdout)
    assert rows == {
        "format points-csv": "kinmark-points 1.0",
        "descriptor gradients": "kinmark-points 1.0",
        "backbone lab-sd": "kinmark-points 1.0",
        "pipeline same-place": "kinmark-points 1.0",
    }
    off = kinmark(["models", "list", "--json"], installed, repository, tmp_path, KINMARK_PLUGINS="off")
    assert "lab-sd" not in off.stdout


def test_a_pipeline_proposes_and_a_photo_source_brings_the_photos(
    installed: Path, repository: Path, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    for number, size in enumerate([(100, 50), (200, 100), (60, 60)]):
        file = shelf / "day1" / f"p{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 90, 40)).save(file)
    rows = ["photo,width,height,instance,category,keypoint,x,y,visibility"]
    rows += ["p0.png,100,50,1,otter,nose,20,10,2", "p0.png,100,50,1,otter,tail,,,0"]
    rows += ["p1.png,200,100,1,otter,nose,60,30,2", "p1.png,200,100,1,otter,tail,100,100,1"]
    (tmp_path / "points.csv").write_text("\n".join(rows))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return kinmark([*arguments], installed, repository, tmp_path, SHELF_FOLDER=str(shelf))

    for arguments in (
        ["new", "a.kinmark"],
        ["add", "a.kinmark", "shelf://day1"],
        ["import", "a.kinmark", "points.csv", "--format", "points-csv"],
        ["propose", "a.kinmark", "--match", "same-place"],
    ):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout
    with Project.open(tmp_path / "a.kinmark", read_only=True) as project:
        [third] = [image for image in project.queries.images() if image.file_name == "p2.png"]
        assert url_of(third.path) == "shelf://day1/p2.png"
        waiting = {proposal.image_id: proposal for proposal in project.queries.proposals()}
        keypoints = waiting[third.id].keypoints
        assert [(k.x, k.y) for k in keypoints] == [pytest.approx((15, 15)), pytest.approx((30, 60))]
        assert keypoints[0].confidence < keypoints[1].confidence, "the noses lie apart"
    refused = run("propose", "a.kinmark", "--match", "some-place")
    assert refused.returncode == 2 and "same-place" in refused.stderr
    lost = kinmark(["add", "a.kinmark", "shelf://day1"], installed, repository, tmp_path)
    assert lost.returncode == 3 and "SHELF_FOLDER does not say where the shelf is" in lost.stderr


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package whose entries are wrong in every way, and one good one among them."""
    site = tmp_path / "site"
    info = site / "strange-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[kinmark.formats]\n"
        "raises = strange_raises:FORMAT\n"
        "gone = strange_gone:FORMAT\n"
        "nothing = strange:NOTHING\n"
        "wrong = strange:WRONG\n"
        "other = strange:GOOD\n"
        "coco = strange:COCO\n"
        "good = strange:GOOD\n"
    )
    (site / "strange_raises.py").write_text("raise RuntimeError('no luck today')\n")
    (site / "strange.py").write_text(
        "from kinmark.plugins import FormatSpec\n"
        "WRONG = 'a text'\n"
        "GOOD = FormatSpec('good', 'Good', 'strange', 'file', False, frozenset({'keypoints'}))\n"
        "COCO = FormatSpec('coco', 'Not ours', 'strange', 'file', False, frozenset())\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delenv("KINMARK_PLUGINS")
    plugins.forget()
    yield
    plugins.forget()
    for name in ("strange", "strange_raises"):
        sys.modules.pop(name, None)


def test_what_is_broken_is_named_and_left_out(broken: None, caplog: pytest.LogCaptureFixture) -> None:
    from kinmark.projects.formats import registry

    formats = registry.all_formats()
    assert formats["good"].title == "Good"
    assert formats["coco"].title == "COCO keypoints + instances"
    assert not {"raises", "gone", "nothing", "wrong", "other"} & set(formats)
    said = {problem.name: str(problem) for problem in plugins.problems()}
    assert said["raises"] == (
        "The format plug-in raises of the package strange 1.2 is left out: RuntimeError: no luck today"
    )
    assert (
        "strange_gone" in said["gone"] and "NOTHING" in said["nothing"] and "is no FormatSpec but str" in said["wrong"]
    )
    assert 'its object is called "good"' in said["other"] and "the name is taken" in said["coco"] and "good" not in said
    assert len([record for record in caplog.records if "left out" in record.message]) == 6
    len(registry.all_formats())
    assert len(plugins.problems()) == 6, "each is told once"


def test_the_switch_leaves_all_out(broken: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from kinmark.projects.formats import registry

    monkeypatch.setenv("KINMARK_PLUGINS", "off")
    assert "good" not in registry.all_formats() and not plugins.installed() and not plugins.problems()
