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
from kinmark.engine.domain.texts import Text, as_text, clause, said
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
        forms = translation.split("\t")
        assert len(forms) == (2 if "%n" in english else 1), f"one for one, one for more: {english}"
        for form in forms:
            assert sorted(FIELD.findall(english)) == sorted(FIELD.findall(form)), english


def test_every_sentence_is_translated_with_its_values_whatever_they_are(script: ModuleType, german: None) -> None:
    odd = ["/tmp/a b/ü.jpg", "<b>{7}</b>", "{0}", "4\\5", "sechs"]
    for english, translation in script.load("de").items():
        for number, form in enumerate(translation.split("\t"), start=1):
            shown = FIELD.sub(lambda field: odd[int(field[0][1:-1])], form.replace("%n", str(number)))
            assert in_language(said(english, *odd, n=number if "%n" in english else None)) == shown


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


def test_a_sentence_that_counts_has_two_forms_and_a_single_word_is_the_programs_only_where_it_says_so(
    german: None,
) -> None:
    assert in_language(said("%n more instances: one per image", n=1)) == "1 weitere Instanz: je Bild nur eine"
    assert in_language(said("%n more instances: one per image", n=7)) == "7 weitere Instanzen: je Bild nur eine"
    assert said("%n more instances: one per image", n=1) == "1 more instances: one per image"
    assert in_language(said("{0} x {1}", 3, as_text("masks"))) == "3 × Masken"
    assert in_language(said('its category is "{0}" (--category)', "masks")).startswith("die Kategorie ist „masks“")
    assert in_language("masks") == "masks", "somebody's category"


def test_a_clause_is_the_sentence_without_its_full_stop(german: None) -> None:
    whole = said("A mask has the impossible size {0} x {1}.", 3, 4)
    assert clause(whole) == "A mask has the impossible size 3 x 4"
    assert in_language(said("{0}, {1}", "x", clause(whole))) == "x, Eine Maske hat die unmögliche Größe 3 x 4"
    assert clause("Check the path.") == "Check the path"


def test_an_error_that_was_said_stays_so_inside_another_sentence(german: None) -> None:
    inner = ValueError(said("the outline is {0} pixels long; the limit is {1}", 9, 8))
    whole = said("the polygon cannot be drawn: {0}", inner)
    assert whole == "the polygon cannot be drawn: the outline is 9 pixels long; the limit is 8"
    assert in_language(whole) == "das Polygon lässt sich nicht zeichnen: der Umriss ist 9 Pixel lang; die Grenze ist 8"
    assert in_language(said("it is not valid XML ({0})", ValueError("no element"))).endswith("(no element)")


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
