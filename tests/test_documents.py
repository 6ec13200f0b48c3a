"""Links of all documents resolve, the site lists every page, and what CONTRIBUTING names is there."""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from functools import cache
from pathlib import Path

import pytest
import yaml

from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")


def _documents() -> list[str]:
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"]
        names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    else:
        names = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.md") if ".venv" not in p.parts]
    return sorted(name for name in names if name and (ROOT / name).is_file())


def _prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"^(```|~~~).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def _anchors(path: Path) -> frozenset[str]:
    """Ids of a page's headings: as written in braces, else as Python-Markdown and GitHub both make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", _prose(path.read_text("utf-8")), flags=re.MULTILINE):
        named = re.search(r"\{#([\w-]+)\}\s*$", heading)
        plain = unicodedata.normalize("NFKD", re.sub(r"[`*]|\{#.*?\}", "", heading)).encode("ascii", "ignore").decode()
        found.add(named.group(1) if named else re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return frozenset(found)


@pytest.mark.parametrize("name", _documents())
def test_every_link_leads_somewhere(name: str) -> None:
    page, broken = ROOT / name, []
    for target in _LINK.findall(_prose(page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (page.parent / file).resolve() if file else page
        if not place.exists() or (anchor and place.suffix == ".md" and anchor not in _anchors(place)):
            broken.append(target)
    assert not broken


def test_the_notebook_links_to_addresses_only() -> None:
    """The site shows it in a folder of its own and rewrites nothing in it."""
    cells = json.loads((ROOT / "docs" / "guide" / "notebook.ipynb").read_text("utf-8"))["cells"]
    found = _LINK.findall("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown"))
    assert found and all(target.startswith("https://") for target in found), found


def _pages(entry: object) -> list[str]:
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    assert isinstance(parts, list) or not isinstance(parts, str)
    return [page for part in parts for page in _pages(part)]  # type: ignore[union-attr]


def test_the_site_lists_every_page_once() -> None:
    listed = _pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"])
    assert len(listed) == len(set(listed))
    pages = {
        p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*") if p.suffix in (".md", ".ipynb")
    }
    assert set(listed) == {page for page in pages if not page.startswith("examples/")}


def test_the_page_of_figures_is_what_the_results_say() -> None:
    assert report.PAGE.read_text("utf-8") == report.page(), "run: python -m benchmarks.report"


def test_decisions_are_numbered_without_gaps_and_listed() -> None:
    files = sorted(p.name for p in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in files] == list(range(1, len(files) + 1))
    table = (ROOT / "docs" / "adr" / "README.md").read_text("utf-8")
    for name in files:
        title = (ROOT / "docs" / "adr" / name).read_text("utf-8").splitlines()[0].split(". ", 1)[1]
        assert f"| [{int(name[:4])}]({name}) | {title} |" in table


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    paths = re.findall(r"`((?:desktop|engine|kinmark|projects|packaging|resources|tests|docs)/[\w./-]*)`", text)
    assert len(paths) > 25
    assert [path for path in paths if "NAME" not in path and not (ROOT / path).exists()] == []
    code = "".join(p.read_text("utf-8") for layer in ("engine", "projects") for p in (ROOT / layer).rglob("*.py"))
    for name in ("_SPECS", "_DESCRIPTORS", "MATCH_METHODS", "CommandRow", "BackboneSpec", "JsonOption"):
        assert name in text
        assert re.search(rf"\b{name}\b", code), name


def test_comments_cite_pages_that_a_reader_can_open() -> None:
    cited, unknown = 0, []
    for layer in ("engine", "projects", "desktop", "kinmark", "benchmarks", "tests"):
        for path in sorted((ROOT / layer).rglob("*.py")):
            text = path.read_text("utf-8")
            for page, anchor in re.findall(r"(?<![\w/])(?:docs/)?(methods/[\w-]+\.md)(?:#([\w-]+))?", text):
                cited += 1
                place = ROOT / "docs" / page
                if not place.is_file() or (anchor and anchor not in _anchors(place)):
                    unknown.append(f"{path.relative_to(ROOT)}: {page}#{anchor}")
            for page in re.findall(r"(?<![\w/])docs/[\w/-]+\.md", text):
                if not (ROOT / page).is_file():
                    unknown.append(f"{path.relative_to(ROOT)}: {page}")
            # Pages of a design that lay beside the repository once: what they said is in docs/methods now.
            for old in re.findall(r"\b(?:ALGORITHMS|FORMATS|DESIGN)(?: sections?)? \d[\d.]*", text):
                unknown.append(f"{path.relative_to(ROOT)}: {old}")
    assert cited > 60
    assert not unknown
