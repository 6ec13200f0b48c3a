"""The house's order as figures: sizes of files and functions, number of parameters.

What is still over a limit stands in `tests/house/<folder>.txt`, one line each: the kind, the place, the number. Such a list
may only shrink: a new entry is refused, so is a larger number, and an entry that is no longer needed must be taken out.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import LONG

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("engine", "projects", "desktop", "kinmark", "benchmarks", "packaging")
FILE_LINES, FUNCTION_LINES, PARAMETERS, MEDIAN_LINES = 450, 60, 8, 130
INSIDE = ("engine", "projects", "desktop", "resources")
"""Folders whose packages are named `kinmark.FOLDER`."""
COMMANDS = "projects/cli/"
"""The parameters of a command are its options."""
WRITTEN_BY_TOOLS = ("projects/store/migrations/versions/",)

Entry = tuple[str, str]


def sources(folder: str) -> list[Path]:
    """The modules of a folder that people write."""
    found = sorted((ROOT / folder).rglob("*.py"))
    return [p for p in found if not p.relative_to(ROOT).as_posix().startswith(WRITTEN_BY_TOOLS)]


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """(qualified name, node) of every function and method."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        inner = f"{prefix}{node.name}." if isinstance(node, ast.ClassDef | ast.FunctionDef) else prefix
        yield from functions(node, inner)


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """How many a caller can give: `self` and `cls` do not count."""
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len([a for a in given if a.arg not in ("self", "cls")])


def over_limits(folder: str) -> dict[Entry, int]:
    """{(kind, place): number} of everything in a folder that is over its limit."""
    found: dict[Entry, int] = {}
    for path in sources(folder):
        place, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        lines = text.count("\n")
        if lines > FILE_LINES:
            found["lines", place] = lines
        for name, node in functions(ast.parse(text)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                found["function", f"{place}:{name}"] = length
            if parameters(node) > PARAMETERS and not place.startswith(COMMANDS):
                found["parameters", f"{place}:{name}"] = parameters(node)
    return found


def known(folder: str) -> dict[Entry, int]:
    """What was over its limit when the limits came: the list that may only shrink."""
    file = ROOT / "tests" / "house" / f"{folder}.txt"
    rows = [line.split() for line in file.read_text("utf-8").splitlines() if line.strip()] if file.exists() else []
    return {(kind, place): int(number) for kind, place, number in rows}


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_new_is_over_a_limit(folder: str) -> None:
    found, before = over_limits(folder), known(folder)
    grown = {entry: number for entry, number in found.items() if number > before.get(entry, 0)}
    assert not grown, "\n".join(f"{kind} {place}: {number}" for (kind, place), number in sorted(grown.items()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_became_small_leaves_the_list(folder: str) -> None:
    found, before = over_limits(folder), known(folder)
    stale = {e: n for e, n in before.items() if found.get(e, 0) < n}
    assert not stale, f"tests/house/{folder}.txt: take out or lower " + ", ".join(place for _, place in sorted(stale))


def test_files_are_short_in_general() -> None:
    lengths = [path.read_text("utf-8").count("\n") for folder in FOLDERS for path in sources(folder)]
    assert median(lengths) <= MEDIAN_LINES


def test_the_long_files_that_begin_first_are_there() -> None:
    assert [name for name in LONG if not (ROOT / "tests" / name).exists()] == []


def test_the_measures_see_what_they_should() -> None:
    tree = ast.parse("class A:\n    def f(self, a, *, b):\n        def g(): pass\n    async def h(cls): ...\n")
    assert {name: parameters(node) for name, node in functions(tree)} == {"A.f": 2, "A.f.g": 0, "A.h": 0}


def test_what_the_formatter_leaves_alone_says_why() -> None:
    by_hand = [
        path
        for folder in (*FOLDERS, "tests")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"#\s*fmt: (skip|off)\s*$", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert by_hand, "the pattern sees none: look at it again"
    assert not [path for path in by_hand if "# Set by hand" not in path.read_text("utf-8")]


def test_our_packages_are_imported_by_their_full_names() -> None:
    """`import kinmark.engine` works where the checkout is the working folder, and is then another module than `kinmark.engine`."""
    short = []
    for folder in (*FOLDERS, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                short += [f"{path.relative_to(ROOT)}:{node.lineno}" for n in names if n.split(".")[0] in INSIDE]
    assert not short


def test_the_tools_see_the_packages_as_they_are_installed(tmp_path: Path) -> None:
    for name in ("kinmark", "engine/domain", "projects", "desktop", "resources", "benchmarks", "packaging"):
        (tmp_path / name).mkdir(parents=True)
    shutil.copy(ROOT / "packaging" / "checks.py", tmp_path / "packaging")
    (tmp_path / "kinmark" / "gone.py").touch()
    spec = importlib.util.spec_from_file_location("checks_of_a_copy", tmp_path / "packaging" / "checks.py")
    assert spec is not None and spec.loader is not None
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    checks.link_packages()
    links = tmp_path / ".packages" / "kinmark"
    assert (links / "gone.py").is_file()
    (tmp_path / "kinmark" / "gone.py").unlink()
    (tmp_path / "engine" / "domain" / "new.py").touch()
    checks.link_packages()
    assert sorted(p.name for p in links.iterdir()) == ["desktop", "engine", "projects", "resources"]
    assert (links / "engine" / "domain" / "new.py").is_file()
