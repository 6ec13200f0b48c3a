"""CHANGELOG.md goes by versions: the newest section is the version in pyproject.toml, and the order is the order of releases."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
HEADING = re.compile(r"^## (\d+)\.(\d+)\.(\d+)(?: \((unreleased|\d{4}-\d{2}-\d{2})\))$")


def headings() -> list[re.Match[str]]:
    lines = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    found = [HEADING.match(line) for line in lines]
    assert found and all(found), f"a section is 'VERSION (unreleased)' or 'VERSION (DATE)': {lines}"
    return [match for match in found if match]


def test_the_newest_section_is_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert ".".join(headings()[0].groups()[:3]) == version


def test_versions_fall_and_only_the_newest_may_be_unreleased() -> None:
    numbers = [tuple(int(n) for n in match.groups()[:3]) for match in headings()]
    assert numbers == sorted(set(numbers), reverse=True)
    assert all(match.group(4) != "unreleased" for match in headings()[1:])


def test_every_section_says_something() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"^- \S", part, re.MULTILINE), part.splitlines()[0]
