"""One toy model for all tests of the public package."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import kinmark
from tests.support.toy_pipeline import make_toy_pipeline


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[kinmark.Model]:
    folder = tmp_path_factory.mktemp("model")
    with kinmark.Model(
        make_toy_pipeline(folder / "toy-sd"), device="cpu", dtype="fp32", threads=1, cache_dir=folder / "cache"
    ) as made:
        yield made
