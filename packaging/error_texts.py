"""The templates of all errors, hints and "left out" sentences that the engine and the projects can hand to the window.

    python packaging/error_texts.py          # what errors/<language>.tsv lacks, as lines to fill in; and what is in it in vain

The texts stay English in the program (command line, logs); the window looks them up when it shows them
(`desktop/error_texts.py`). They are read from the syntax trees: constants, and the
templates of `said(...)`; an f-string would tell nobody what it was made from (a test refuses it).
"""

from __future__ import annotations

import ast
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
HELPERS = {"bad": 1, "_unreadable": 1}
"""Functions that make an error from pieces, and how many of their first arguments are no texts."""
PIECES = {"message", "hint", "what", "why"}
"""Names that carry such a text on its way."""
UNKNOWN = "f-string: "
"""Before a sentence of which nobody can tell what it was made from."""
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


def templates(node: ast.AST) -> Iterator[str]:
    """The texts that an expression can be."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "said":
        yield from templates(node.args[0])
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr) and any(" " in v.value for v in node.values if isinstance(v, ast.Constant)):
        yield UNKNOWN + ast.unparse(node)
    elif isinstance(node, ast.IfExp):
        yield from templates(node.body)
        yield from templates(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from templates(value)
    elif isinstance(node, ast.Tuple):
        for value in node.elts:
            yield from templates(value)


def texts_of(tree: ast.AST) -> Iterator[str]:
    """All of one file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ERRORS:
                parts = [*node.args[:2], *(k.value for k in node.keywords if k.arg in ("user_message", "hint"))]
            elif name == "HelperSpec":
                parts = [k.value for k in node.keywords if k.arg in ("good_for", "published", "notice")]
            elif name in HELPERS:
                parts = [*node.args[HELPERS[name] :], *(k.value for k in node.keywords)]
            elif name == "append" and ast.unparse(node.func).endswith("skipped.append"):
                parts = node.args
            else:
                continue
            for part in parts:
                yield from templates(part)
        elif isinstance(node, ast.Assign):
            names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
            if names and names <= PIECES:
                yield from templates(node.value)


def collect() -> dict[str, str]:
    """{template: a file that says it}; single words and templates without words of their own are left out."""
    found: dict[str, str] = {}
    for package in ("engine", "projects", "desktop"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name.startswith(NOT_SHOWN):
                continue
            for text in texts_of(ast.parse(path.read_text(encoding="utf-8"))):
                if " " in text.strip() and any(c.isalpha() for c in text.replace("{", "")):
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
        for text in sorted(set(wanted) - set(words)):
            print(f"{text}\t")
            code = 1
        for text in sorted(set(words) - set(wanted)):
            print(f"not used any more in {file.name}: {text}")
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
