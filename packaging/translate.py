"""Bring the translations up to date: collect the texts, fill in `resources/translations/<language>.tsv`, compile.

    python packaging/translate.py

One line per text in the .tsv: English, tab, translation. What has no line stays English.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "resources" / "translations"


def tool(name: str) -> str:
    """A PySide6 tool beside this Python."""
    return str(Path(sys.executable).parent / name)


def load(path: Path) -> dict[str, str]:
    """English to translation."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in lines if "\t" in line)


def catalogue_texts() -> list[str]:
    """Texts of the action table (lupdate reads only tr calls)."""
    sys.path.insert(0, str(ROOT))
    from desktop.actions.catalogue import ACTIONS, MENUS

    texts = [text for _, text in MENUS]
    for spec in ACTIONS:
        texts += [spec.text, spec.help]
    return list(dict.fromkeys(t for t in texts if t))


def translate(language: str) -> tuple[int, int]:
    """Collect, fill in and compile one language; (translated, all)."""
    ts = FOLDER / f"kinmark_{language}.ts"
    ts.unlink(missing_ok=True)
    sources = [str(p) for p in sorted((ROOT / "desktop").rglob("*.py"))]
    subprocess.run([tool("pyside6-lupdate"), *sources, "-ts", str(ts)], check=True, capture_output=True)
    words = load(FOLDER / f"{language}.tsv")
    tree = ElementTree.parse(ts)  # noqa: S314 - our own file, made a moment ago
    root = tree.getroot()
    root.set("language", language)
    actions = ElementTree.SubElement(root, "context")
    ElementTree.SubElement(actions, "name").text = "Actions"
    for text in catalogue_texts():
        message = ElementTree.SubElement(actions, "message")
        ElementTree.SubElement(message, "source").text = text
        ElementTree.SubElement(message, "translation", {"type": "unfinished"})
    done = total = 0
    for message in root.iter("message"):
        for location in message.findall("location"):
            message.remove(location)
        total += 1
        translation, source = message.find("translation"), message.findtext("source") or ""
        if translation is not None and source in words:
            translation.text = words[source]
            translation.attrib.pop("type", None)
            done += 1
    tree.write(ts, encoding="utf-8", xml_declaration=True)
    subprocess.run(
        [tool("pyside6-lrelease"), str(ts), "-qm", str(ts.with_suffix(".qm"))], check=True, capture_output=True
    )
    ts.unlink()  # made anew each time; the .tsv is what people edit
    return done, total


def main() -> int:
    """All languages that have a .tsv."""
    for path in sorted(FOLDER.glob("*.tsv")):
        done, total = translate(path.stem)
        print(f"{path.stem}: {done} of {total} texts translated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
