"""`--engine` of the commands with sweeps: what is no way is refused before anything starts; workers give what one thread gives."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kinmark.engine.paths import resources_dir
from kinmark.projects.cli.app import run
from kinmark.projects.images import add_paths
from kinmark.projects.project import Project
from kinmark.projects.workflows.importing import ImportOptions, import_file


@pytest.mark.parametrize(
    ("words", "said"),
    [("dask", "no way to run the engine"), ("processes:0", "no number of processes"), ("ray:here:0", "no Ray cluster")],
)
def test_a_way_that_is_none(words: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Project.create(tmp_path / "p.kinmark").close()
    for command in (["propose"], ["find", "--name", "dog"]):
        assert run([*command, str(tmp_path / "p.kinmark"), "--engine", words]) != 0
        assert said in capsys.readouterr().err


def test_two_worker_processes_store_what_one_thread_stores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded model on four sample photos, through the real command twice."""
    samples = resources_dir() / "samples"
    data = json.loads((samples / "annotations.json").read_text(encoding="utf-8"))
    names = {i["id"]: i["file_name"] for i in data["images"]}
    [category] = [c for c in data["categories"] if c["name"] == "dog"]
    files = sorted({names[a["image_id"]] for a in data["annotations"] if a["category_id"] == category["id"]})[:4]
    first = next(
        a for a in data["annotations"] if names[a["image_id"]] == files[0] and a["category_id"] == category["id"]
    )
    labels = tmp_path / "labels.json"
    image = next(i for i in data["images"] if i["id"] == first["image_id"])
    labels.write_text(
        json.dumps({"images": [image], "annotations": [first], "categories": [category]}), encoding="utf-8"
    )
    stored = []
    for way in ("local", "processes:2"):
        folder = tmp_path / f"{way.partition(':')[0]}.kinmark"
        with Project.create(folder) as project:
            add_paths(project, [samples / name for name in files])
            import_file(project, labels, ImportOptions(images_root=samples))
        assert run(["propose", str(folder), "--engine", way, "--device", "cpu", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert ("2 processes" in told["device"]) is (way != "local")
        with Project.open(folder) as project:
            # Torch threads are divided among workers: the last digit may differ from one engine with all of them.
            stored.append(
                [
                    (
                        p.image_id,
                        [
                            (k.definition_id, k.visibility, k.x and round(k.x, 1), k.y and round(k.y, 1))
                            for k in p.keypoints
                        ],
                    )
                    for p in project.queries.proposals()
                ]
            )
    assert len(stored[0]) == 3
    assert stored[0] == stored[1]
