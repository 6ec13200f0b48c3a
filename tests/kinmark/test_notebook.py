"""The notebook of the docs: its cells run one after the other with the embedded model, and it lies here without outputs."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest

import kinmark


@pytest.fixture
def cells(repository: Path) -> list[dict[str, object]]:
    notebook = json.loads((repository / "docs" / "guide" / "notebook.ipynb").read_text("utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_runs(
    cells: list[dict[str, object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    scope: dict[str, object] = {}
    try:
        for number, cell in enumerate(cells):
            exec(compile("".join(cell["source"]), f"notebook.ipynb, code cell {number + 1}", "exec"), scope)  # type: ignore[arg-type]
    finally:
        for name in ("project", "truth"):
            if isinstance(scope.get(name), kinmark.Project):
                scope[name].close()  # type: ignore[attr-defined]
    said = capsys.readouterr().out
    right = re.search(r"4 photos: (\d+) of (\d+) keypoints are right", said)
    assert right and int(right[2]) > 20 and int(right[1]) > int(right[2]) / 2, said
    assert (
        "after undo: 1 photo labelled" in said and len(re.findall(r"^dog_\S+ (?:not )?here", said, re.MULTILINE)) == 4
    )
    assert re.search(r"^[2-5] instances in annotations\.json", said, re.MULTILINE), said


def test_it_lies_in_the_repository_without_outputs(cells: list[dict[str, object]]) -> None:
    assert len(cells) >= 6
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
