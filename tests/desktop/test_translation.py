"""Every text of the window has a translation, compiled and with its placeholders; counts have plural forms."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from PySide6.QtCore import QCoreApplication, QLocale, QTranslator
from PySide6.QtWidgets import QApplication

from kinmark.desktop.app import install_translation
from kinmark.desktop.session.operation_names import NAMES, operation_text
from kinmark.engine.domain.texts import said
from kinmark.engine.paths import resources_dir

ROOT = Path(__file__).resolve().parent.parent.parent
HOW = "add a line to resources/translations/{}.tsv (English, tab, translation), then run: python packaging/translate.py"
LANGUAGES = sorted(path.stem for path in (resources_dir() / "translations").glob("*.tsv"))


@pytest.fixture(scope="module")
def translate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translate_script", ROOT / "packaging" / "translate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_has_a_translation(translate: ModuleType, language: str) -> None:
    assert translate.missing(language) == [], HOW.format(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_keep_their_placeholders(translate: ModuleType, language: str) -> None:
    field = re.compile(r"\{[^}]*\}|%L?n")
    for source, forms in translate.load(language).items():
        for form in forms:
            # A singular may say the one thing without its number or without "for example".
            wanted = set(field.findall(source))
            assert set(field.findall(form)) == wanted, (language, source, form)
            assert source.startswith("\n") == form.startswith("\n") and source.count("\n") == form.count("\n"), form


@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_file_has_every_text(qapp: QApplication, translate: ModuleType, language: str) -> None:
    compiled = QTranslator()
    assert compiled.load(QLocale(language), "kinmark", "_", str(resources_dir() / "translations"))
    words = translate.load(language)
    for text in translate.collect():
        if text.counts:
            for count, form in ((1, words[text.source][0]), (5, words[text.source][-1])):
                shown = compiled.translate(text.context, text.source, None, count)  # type: ignore[arg-type]
                assert shown == form, (HOW.format(language), text)
        elif language != "en":
            assert compiled.translate(text.context, text.source) == words[text.source][0], HOW.format(language)


@pytest.mark.parametrize(("language", "one", "many"), [("en", "1 photo", "3 photos"), ("de", "1 Foto", "3 Fotos")])
def test_counts_have_plural_forms(qapp: QApplication, language: str, one: str, many: str) -> None:
    translators = install_translation(qapp, language)
    try:
        assert QCoreApplication.translate("ImagePanel", "%Ln photos", None, 1) == one
        assert QCoreApplication.translate("ImagePanel", "%Ln photos", None, 3) == many
    finally:
        for translator in translators:
            qapp.removeTranslator(translator)
        QLocale.setDefault(QLocale.system())


def test_steps_of_the_undo_list_are_translated(qapp: QApplication) -> None:
    translators = install_translation(qapp, "de")
    try:
        assert operation_text(said("Remove %n keypoints", n=12)) == "12 Keypoints entfernen"
        assert operation_text(said("Tag {name}", name="3 {n} & <b>")) == "Schlagwort 3 {n} & <b> geben"
        assert operation_text("Paste") == "Einfügen"
        assert operation_text("Something nobody wrote yet") == "Something nobody wrote yet"
    finally:
        for translator in translators:
            qapp.removeTranslator(translator)
        QLocale.setDefault(QLocale.system())


def _step_names() -> dict[str, str]:
    """{what the store and the workflows call their undo steps: where}, from their source."""
    found: dict[str, str] = {}
    places = (
        ROOT / "projects",
        ROOT / "desktop" / "session",
        ROOT / "desktop" / "services",
        ROOT / "desktop" / "window",
        ROOT / "kinmark",
    )
    for path in (path for place in places for path in place.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            texts: list[ast.expr] = []
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "op.name":
                texts = [node.value]
            elif not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
                continue
            else:
                texts = [k.value for k in node.keywords if k.arg == "step_name"]
            function = node.func if isinstance(node, ast.Call) else None
            called = function.attr if isinstance(function, ast.Attribute) else ""
            if called == "operation" or (
                called == "group" and function is not None and "project" in ast.unparse(function)
            ):
                texts += node.args[:1] if isinstance(node, ast.Call) else []
            for part in (p for text in texts for p in ast.walk(text)):
                if isinstance(part, ast.JoinedStr):
                    found[ast.unparse(part)] = path.name
                elif isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value.strip():
                    found[part.value] = path.name
    return found


def test_every_undo_step_has_a_name_to_translate() -> None:
    steps = _step_names()
    assert len(steps) > 40 and "Add %n images" in steps and "Propose {name}" in NAMES
    unknown = {name: where for name, where in steps.items() if name not in NAMES}
    assert unknown == {}, "add it to NAMES in desktop/session/operation_names.py (with said(...), not as an f-string)"
