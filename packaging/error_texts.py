"""The templates of all errors, hints, reports and "left out" sentences that the engine and the projects can hand to the window.

    python packaging/error_texts.py          # what errors/<language>.tsv lacks, as lines to fill in; and what is in it in vain

The texts stay English in the program (command line, logs); the window looks them up when it shows them
(`desktop/error_texts.py`). They are read from the syntax trees: constants, and the
templates of `said(...)`; an f-string would tell nobody what it was made from (a test refuses it).
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "resources" / "translations" / "errors"
ERRORS = {
    "AppError",
    "KnownError",
    "UserInputError",
    "BugError",
    "UnreadableImageError",
    "ModelMissingError",
    "ModelCorruptError",
    "OutOfMemoryError",
    "ProjectError",
    "ProjectLockedError",
    "ImportFileError",
}
HELPERS = {
    "bad": 1,
    "_unreadable": 1,
    "finite": 2,
    "whole": 2,
    "coordinate": 2,
    "_coordinate": 1,
    "Item": 1,
    "Node": 1,
    "handle": 0,
    "unique_names": 1,
    "_place_of": 0,
    "note": 0,
    "_set_note": 0,
}
"""Functions that make an error from pieces, and how many of their first arguments are no texts."""
REPORTS = {"add": 1, "count": 1, "ReportItem": 1}
"""Lines of a report: `report.add(kind, where, reason)` ...; their words may stand alone ("12 x masks")."""
LINES = "list[tuple[str, int, str]]"
"""What a function gives whose lines `lost` makes: what, how many, why."""
PIECES = {"message", "hint", "what", "why"}
"""Names that carry such a text on its way."""
UNKNOWN = "f-string: "
"""Before a sentence of which nobody can tell what it was made from."""
REPORTING = ("projects/formats/", "projects/workflows/")
"""What makes the reports of imports and exports; elsewhere `said` with a number, or with a name, is a step of the undo list."""
WORD = re.compile(r"[A-Za-z][a-z/-]*").fullmatch
"""A word; not the name of a field or a file."""
NOT_SHOWN = (
    "projects/cli",
    "engine/parallel",
    "projects/workflows/demo",
    "projects/workflows/simulate.py",
    "projects/workflows/annotator.py",
    "projects/pictures",
    "engine/evaluation",
)
"""Commands only: the window does not use them."""


Found = Iterator[tuple[str, bool]]
"""Texts, and whether a single word counts, too ("masks": words of the program, never of a person)."""


def templates(node: ast.AST, alone: bool = False) -> Found:
    """The texts that an expression can be."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "said":
        yield from templates(node.args[0], True)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value, alone
    elif isinstance(node, ast.JoinedStr) and any(" " in v.value for v in node.values if isinstance(v, ast.Constant)):
        yield UNKNOWN + ast.unparse(node), False
    elif isinstance(node, ast.IfExp):
        yield from templates(node.body, alone)
        yield from templates(node.orelse, alone)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from templates(value, alone)
    elif isinstance(node, ast.Tuple):
        for value in node.elts:
            yield from templates(value, alone)
    elif isinstance(node, ast.Subscript):  # cut to a length: nothing could be looked up
        yield from ((UNKNOWN + text, False) for text, _ in templates(node.value))


def of_call(node: ast.Call, reporting: bool) -> Found:
    """Of one call; `reporting`: in a file that makes reports."""
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    parts: list[ast.expr] = []
    if name in ERRORS:
        parts = [*node.args[:2], *(k.value for k in node.keywords if k.arg in ("user_message", "hint"))]
    elif name in ("HelperSpec", "BackboneSpec"):
        parts = [k.value for k in node.keywords if k.arg in ("good_for", "published", "notice")]
    elif name in HELPERS or (name == "error" and reporting):
        parts = [*node.args[HELPERS.get(name, 0) :], *(k.value for k in node.keywords)]
    elif name == "append" and ast.unparse(node.func).endswith("skipped.append"):
        parts = node.args
    elif name == "said" and all(k.arg == "n" and reporting for k in node.keywords):
        parts = [node]
    elif name == "report" and ast.unparse(node.func) in ("self.report", "ladder.report"):
        parts = node.args[:1]
    elif name == "ReportItem" or (name in REPORTS and ast.unparse(node.func).endswith(f"report.{name}")):
        parts = node.args[1:]
        if name == "count":
            yield from templates(node.args[1], True)
    elif name == "lost":
        yield from lines_of(node)
    elif name in ("start", "begin") and ast.unparse(node.args[-1] if node.args else node) == "0":
        parts = node.args[:-1]  # without a number of steps its name is all that the window can show
    elif name == "step":
        parts = [k.value for k in node.keywords if k.arg == "note"]
    for part in parts:
        yield from templates(part)


def lines_of(node: ast.AST) -> Found:
    """Of the (what, how many, why) below a node."""
    for line in ast.walk(node):
        if isinstance(line, ast.Tuple) and len(line.elts) == 3:
            yield from templates(line.elts[0], True)
            yield from templates(line.elts[2])


def texts_of(tree: ast.AST, reporting: bool) -> Found:
    """All of one file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from of_call(node, reporting)
        elif isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == LINES:
            yield from lines_of(node)
        elif isinstance(node, ast.Assign):
            names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            if names and all(name in PIECES or name.startswith("why_") for name in names):
                yield from templates(node.value)


def collect() -> dict[str, str]:
    """{template: a file that says it}; single words and templates without words of their own are left out."""
    found: dict[str, str] = {}
    for package in ("engine", "projects", "desktop"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(NOT_SHOWN):
                continue
            for text, alone in texts_of(ast.parse(path.read_text(encoding="utf-8")), name.startswith(REPORTING)):
                if any(c.isalpha() for c in text.replace("{", "")) and (" " in text.strip() or (alone and WORD(text))):
                    found.setdefault(text, name)
    return found


def load(language: str) -> dict[str, str]:
    """{English template: translation}."""
    lines = (FOLDER / f"{language}.tsv").read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if line and not line.startswith("#"))  # type: ignore[misc]


def main() -> int:
    """Print what is missing and what is not used any more; returns the exit code."""
    wanted, code = collect(), 0
    for file in sorted(FOLDER.glob("*.tsv")):
        words = load(file.stem)
        keys = [line.split("\t")[0] for line in file.read_text(encoding="utf-8").splitlines()]
        for text in sorted({key for key in keys if keys.count(key) > 1}):
            print(f"twice in {file.name}: {text}")
            code = 1
        for text in sorted(set(wanted) - set(words)):
            print(f"{text}\t")
            code = 1
        for text in sorted(set(words) - set(wanted)):
            print(f"not used any more in {file.name}: {text}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
