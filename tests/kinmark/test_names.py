"""The names of `import kinmark`: all there, and loaded when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import kinmark

LATE = """
import sys, kinmark.engine.domain.errors
loaded = {name for name in sys.modules if name.startswith("kinmark")}
assert not {"kinmark.project", "kinmark.model", "kinmark.projects"} & loaded, loaded
import kinmark
from kinmark import Project
assert Project.__module__ == "kinmark.project" and "torch" not in sys.modules
"""


@pytest.mark.parametrize("name", kinmark.__all__)
def test_it_is_there(name: str) -> None:
    assert getattr(kinmark, name) is not None and name in dir(kinmark)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = kinmark.nothing  # type: ignore[attr-defined]


def test_a_part_of_the_program_loads_that_part() -> None:
    done = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
