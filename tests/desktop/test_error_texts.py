"""Errors of the engine and the project in the window's language: complete, filled in, and harmless where unknown."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from desktop import error_texts
from desktop.error_texts import hint_of, in_language, message_of, text_of, use_language
from desktop.messages import Messages
from engine.domain.errors import UnreadableImageError, UserInputError
from engine.imaging import load_image
from projects.project import Project

ROOT = Path(__file__).resolve().parent.parent.parent
FIELD = re.compile(r"\{\d+\}")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("error_texts_script", ROOT / "packaging" / "error_texts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def german() -> Iterator[None]:
    use_language("de_DE")
    yield
    use_language("en")


@pytest.mark.parametrize("language", sorted(p.stem for p in error_texts.table_of("de").parent.glob("*.tsv")))
def test_every_error_that_can_reach_the_window_has_a_translation(script: ModuleType, language: str) -> None:
    wanted, words = script.collect(), script.load(language)
    assert len(wanted) > 450, "the collector lost its eyes"
    assert "There is no file or folder {0}." in wanted and "the disk is full" in wanted
    how = f"python packaging/error_texts.py; then resources/translations/errors/{language}.tsv"
    assert set(wanted) - set(words) == set(), how
    assert set(words) - set(wanted) == set(), f"not said by anybody any more: {how}"
    for english, translation in words.items():
        assert sorted(FIELD.findall(english)) == sorted(FIELD.findall(translation)), english


def test_each_sentence_finds_its_own_translation(script: ModuleType, german: None) -> None:
    odd = ["/tmp/a b/ü.jpg", "<b>{7}</b>", "3", "4\\5", "sechs"]
    for english, translation in script.load("de").items():
        said, expected = english, translation
        for place in sorted({int(f[1:-1]) for f in FIELD.findall(english)}):
            said, expected = said.replace(f"{{{place}}}", odd[place]), expected.replace(f"{{{place}}}", odd[place])
        if english.count("{") < 2 or ": {" in english:  # two names side by side may be cut apart elsewhere
            shown = in_language(said)
            assert shown == expected or english.startswith(("{", "The weights")), english


def test_real_errors_are_said_in_german(german: None, tmp_path: Path, qapp: object) -> None:
    with pytest.raises(UserInputError) as full:
        (tmp_path / "full.kinmark").mkdir()
        (tmp_path / "full.kinmark" / "x").touch()
        Project.create(tmp_path / "full.kinmark")
    folder = tmp_path / "full.kinmark"
    assert message_of(full.value) == f"Der Ordner {folder} ist nicht leer."
    assert hint_of(full.value) == "Wählen Sie einen neuen Ordner für das Projekt."
    assert text_of(full.value) == f"{message_of(full.value)} {hint_of(full.value)}"
    assert str(full.value).startswith("The folder"), "the command line and the logs stay English"
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    messages, heard = Messages(), []
    messages.shown.connect(lambda *parts: heard.append(parts))
    with pytest.raises(UnreadableImageError) as unreadable:
        load_image(broken)
    messages.error(unreadable.value)
    assert heard[0][1] == f"Das Bild {broken} ist nicht lesbar: der Inhalt hat kein bekanntes Bildformat."


def test_what_is_unknown_stays_as_it_is(german: None) -> None:
    assert in_language("Nobody has ever said {0} this: .*") == "Nobody has ever said {0} this: .*"
    assert in_language("") == ""
    use_language("fr")
    assert in_language("Check the path.") == "Check the path."
