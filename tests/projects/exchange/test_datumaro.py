"""Datumaro reads our COCO export as it was meant. It pins other versions than we do, so it lives in an environment of its own:

python -m venv dm && dm/bin/pip install datumaro
KINMARK_DATUMARO=dm/bin/python python -m pytest tests/projects/exchange/test_datumaro.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kinmark.projects.formats import coco
from tests.support.datasets import sample_dataset

PYTHON = os.environ.get("KINMARK_DATUMARO", "")
SCRIPT = """
import json, sys, logging
logging.disable(logging.WARNING)
import datumaro as dm
found = dm.Dataset.import_from(sys.argv[1], "coco_person_keypoints")
result = {}
for item in found:
    rows = result.setdefault(item.id, {})
    for a in item.annotations:
        kind = type(a).__name__
        if kind == "Points":
            rows["points"] = [float(v) for v in a.points]
            rows["visibility"] = [int(v.value) for v in a.visibility]
        elif kind == "Bbox":
            rows["box"] = [float(v) for v in a.points]
        elif kind.endswith("Mask"):
            rows["mask"] = int(a.image.sum())
print(json.dumps(result))
"""


@pytest.mark.skipif(not PYTHON, reason="KINMARK_DATUMARO names no Python with datumaro")
def test_datumaro_reads_our_coco_export(tmp_path: Path) -> None:
    dataset = sample_dataset(tmp_path / "photos")
    coco.write(dataset, tmp_path / "out")
    folder = tmp_path / "set"
    (folder / "annotations").mkdir(parents=True)
    shutil.copy(tmp_path / "out" / coco.FILE_NAME, folder / "annotations" / "person_keypoints_train.json")
    shutil.copytree(tmp_path / "photos", folder / "images" / "train")
    done = subprocess.run([PYTHON, "-c", SCRIPT, str(folder)], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(dataset.images)
    for image in dataset.images:
        row, [instance] = found[str(image.rel_path.with_suffix(""))], image.instances
        places = [(k.x or 0.0, k.y or 0.0) for k in instance.keypoints.values()]
        assert row["points"] == pytest.approx(np.reshape(places, -1).tolist(), abs=0.01)
        assert row["visibility"] == [int(k.visibility) for k in instance.keypoints.values()]
        assert row["box"] == pytest.approx(instance.box, abs=0.01)
        assert row.get("mask") == (instance.mask.area if instance.mask is not None else None)
