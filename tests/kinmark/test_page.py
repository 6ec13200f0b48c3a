"""The code blocks of docs/reference/python-api.md, run one after the other with the embedded model; every public name is on the page."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import kinmark


def test_the_code_of_the_page_runs(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (repository / "docs" / "reference" / "python-api.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 6
    (tmp_path / "photos").mkdir()
    for number in range(1, 5):
        shutil.copy(repository / "resources" / "samples" / "images" / f"dog_{number:02d}.jpg", tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    try:
        for number, block in enumerate(blocks):
            exec(compile(block, f"python-api.md, block {number + 1}", "exec"), scope)
    finally:
        if isinstance(scope.get("project"), kinmark.Project):
            scope["project"].close()  # type: ignore[attr-defined]
    said = capsys.readouterr().out
    assert "4 photos, ('nose', 'l_eye', 'r_eye', 'tail')" in said and "1 instances imported" in said
    assert said.count("dog_") >= 3 + 3 and "is not a Kinmark project" in said
    place = re.search(r"found at \[\s*([\d.]+)\s+([\d.]+)\]", said)
    assert place and float(place[1]) >= 0 and float(place[2]) >= 0


def test_every_public_verb_is_on_the_page(repository: Path) -> None:
    page = (repository / "docs" / "reference" / "python-api.md").read_text("utf-8")
    for kind in (kinmark.Project, kinmark.Model):
        for name in vars(kind):
            if not name.startswith("_") and name not in ("folder", "model"):
                assert re.search(rf"\b{name}\b", page), f"{kind.__name__}.{name} is not on docs/reference/python-api.md"
