"""Bring the translations up to date: collect the window's texts, fill in `resources/translations/<language>.tsv`, compile.

    python packaging/translate.py            # writes kinmark_<language>.qm; lists what has no translation
    python packaging/translate.py --missing  # only lists it, as lines to append to the .tsv

One line per text in a .tsv: English, tab, translation; a text that counts ("%n photos") has one more column per plural
form of the language. Line breaks are written \\n. `en.tsv` holds the counting texts only: everything else is English already.

The texts are read from the syntax trees of desktop/ (`tr`, `translate`, `marked`) and from the action table,
because lupdate loses the context of some Python classes and cannot see tables.
"""

from __future__ import annotations

import argparse
import ast
import functools
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "resources" / "translations"


@dataclass(frozen=True, order=True)
class Text:
    """One text of the window; `context` is the class that says it."""

    context: str
    source: str

    @property
    def counts(self) -> bool:
        """Whether it has plural forms."""
        return "%n" in self.source or "%Ln" in self.source


def _constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _texts_of(node: ast.AST, context: str) -> Iterator[Text]:
    """Texts below `node`; `context` is the class around it, as Qt uses it at run time."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call):
            name = child.func.attr if isinstance(child.func, ast.Attribute) else getattr(child.func, "id", "")
            given = [_constant(argument) for argument in child.args]
            if name == "tr" and given and given[0]:
                yield Text(context, given[0])
            elif name in ("translate", "marked") and len(given) > 1 and given[0] and given[1]:
                yield Text(given[0], given[1])
        yield from _texts_of(child, child.name if isinstance(child, ast.ClassDef) else context)


def _table_texts() -> Iterator[Text]:
    sys.path.insert(0, str(ROOT))
    from kinmark.desktop.actions.catalogue import ACTIONS, CONTEXT
    from kinmark.desktop.actions.spec import MENUS
    from kinmark.desktop.session.templates import TEMPLATES

    for _, text in MENUS:
        yield Text(CONTEXT, text)
    for spec in ACTIONS:
        yield Text(CONTEXT, spec.text)
        if spec.help:
            yield Text(CONTEXT, spec.help)
    for template in TEMPLATES:
        yield Text("Templates", template.title)


@functools.cache
def collect() -> list[Text]:
    """All texts of the window, sorted, each once per context."""
    found = set(_table_texts())
    for path in sorted((ROOT / "desktop").rglob("*.py")):
        found.update(_texts_of(ast.parse(path.read_text(encoding="utf-8")), ""))
    return sorted(found)


def load(language: str) -> dict[str, tuple[str, ...]]:
    """English to its translation (one form, or one per plural form)."""
    words = {}
    for line in (FOLDER / f"{language}.tsv").read_text(encoding="utf-8").splitlines():
        source, *forms = (part.replace("\\n", "\n") for part in line.split("\t"))
        if forms:
            words[source] = tuple(forms)
    return words


def missing(language: str) -> list[str]:
    """Texts that `language` does not have yet."""
    words = load(language)
    wanted = [t.source for t in collect() if t.counts or language != "en"]
    return [source for source in dict.fromkeys(wanted) if source not in words]


def _write_ts(path: Path, language: str) -> None:
    words = load(language)
    root = ElementTree.Element("TS", version="2.1", language=language)
    contexts: dict[str, ElementTree.Element] = {}
    for text in collect():
        forms = words.get(text.source)
        if forms is None:
            continue
        if text.context not in contexts:
            contexts[text.context] = ElementTree.SubElement(root, "context")
            ElementTree.SubElement(contexts[text.context], "name").text = text.context
        attributes = {"numerus": "yes"} if text.counts else {}
        message = ElementTree.SubElement(contexts[text.context], "message", attributes)
        ElementTree.SubElement(message, "source").text = text.source
        translation = ElementTree.SubElement(message, "translation")
        if text.counts:
            for form in forms:
                ElementTree.SubElement(translation, "numerusform").text = form
        else:
            translation.text = forms[0]
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def compile_language(language: str, folder: Path = FOLDER) -> Path:
    """Write `kinmark_<language>.qm` into `folder`."""
    target = folder / f"kinmark_{language}.qm"
    tool = Path(sys.executable).parent / "pyside6-lrelease"
    with tempfile.TemporaryDirectory() as temporary:
        ts = Path(temporary) / f"kinmark_{language}.ts"
        _write_ts(ts, language)
        subprocess.run([str(tool), str(ts), "-qm", str(target)], check=True, capture_output=True)
    return target


def main(argv: list[str] | None = None) -> int:
    """All languages that have a .tsv; 1 when a text has no translation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missing", action="store_true", help="only list what has no translation")
    only_list = parser.parse_args(argv).missing
    complete = True
    for language in sorted(path.stem for path in FOLDER.glob("*.tsv")):
        lost = missing(language)
        complete = complete and not lost
        if not only_list:
            compile_language(language)
        print(f"{language}: {len(lost)} texts have no translation")
        for source in lost:
            print("\t".join((source.replace("\n", "\\n"), "")))
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
