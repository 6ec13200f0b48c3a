"""Errors of the engine and the project in the window's language: complete, filled in, and harmless where unknown."""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from kinmark.desktop import error_texts
from kinmark.desktop.error_texts import hint_of, in_language, message_of, text_of, use_language
from kinmark.desktop.messages import Messages
from kinmark.engine.domain.errors import UnreadableImageError, UserInputError
from kinmark.engine.domain.texts import Text, said
from kinmark.engine.imaging import load_image
from kinmark.projects.project import Project

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


def test_every_sentence_is_translated_with_its_values_whatever_they_are(script: ModuleType, german: None) -> None:
    odd = ["/tmp/a b/ü.jpg", "<b>{7}</b>", "{0}", "4\\5", "sechs"]
    for english, translation in script.load("de").items():
        expected = FIELD.sub(lambda field: odd[int(field[0][1:-1])], translation)
        count = len(FIELD.findall(english))
        assert in_language(said(english, *odd[:count]) if count else english) == expected


def test_reasons_inside_a_sentence_are_translated_too(german: None) -> None:
    reason = said("{0} photos lie in {1}.", 3, "x")
    whole = said("A file could not be written: {0}.", "the disk is full")
    assert in_language(whole).startswith("Eine Datei konnte nicht geschrieben werden: ") and "disk" not in in_language(
        whole
    )
    assert in_language(said("{0}: {1}", "p.jpg", whole)).startswith("p.jpg: Eine Datei")
    assert in_language(reason) == reason, "nobody has translated it"
    assert copy.deepcopy(whole).template == whole.template
    assert Text.from_json(whole.to_json()) == whole == "A file could not be written: the disk is full."


def test_nothing_is_said_of_which_nobody_can_tell_what_it_was_made_from(script: ModuleType) -> None:
    assert [text for text in script.collect() if text.startswith(script.UNKNOWN)] == [], "use said(template, values)"


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
