"""The stored reference vectors: complete, plain numbers, and described."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

FILES = (
    "dift_features",
    "hedlin_attention",
    "pdm_features",
    "sd4match_cpm",
    "sd4match_loss",
    "sd4match_match",
    "sd4match_pck",
    "sd4match_prompt",
    "tiny_sd_smoke",
)


@pytest.mark.parametrize("name", FILES)
def test_every_array_is_described_and_no_array_is_described_that_is_not_there(name: str, reference_dir: Path) -> None:
    text = (reference_dir / "README.md").read_text("utf-8")
    section = text.split(f"\n## {name}.npz\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split(" | ", 1)[0] for line in section.splitlines() if line.startswith("| `")]
    described = {word for row in rows for word in re.findall(r"`([^`]+)`", row)}
    with np.load(reference_dir / f"{name}.npz", allow_pickle=False) as data:
        assert {data[key].dtype.kind for key in data.files} <= set("fiubU")
        assert set(data.files) == described
