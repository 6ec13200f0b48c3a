"""SLEAP, NWB and JABS where the library that reads them is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kinmark.engine.domain.errors import KnownError
from kinmark.projects.formats.registry import get_format


def test_without_the_library_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sleap_io", None)  # as if it were not installed
    (tmp_path / "a.slp").write_bytes(b"x")
    for name in ("sleap", "nwb", "jabs"):
        with pytest.raises(KnownError, match="sleap-io") as caught:
            get_format(name).reader(tmp_path / "a.slp")
        assert "kinmark[sleap]" in caught.value.hint
