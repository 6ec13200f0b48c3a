"""Errors of the engine and the project in the window's language.

They are raised in English, which the command line and the logs show as it is. A sentence with something filled in is a
`Text`: it knows its template and its values. The window looks the template up
(`resources/translations/errors/<language>.tsv`, kept complete by a test) and fills the same values in. What is not in the table
stays English. A template that counts (`%n`) has two translations there, for one and for more.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from kinmark.engine.domain.errors import AppError
from kinmark.engine.domain.texts import Text, filled
from kinmark.engine.paths import resources_dir

_language = "en"


def use_language(code: str) -> None:
    """Show errors in this language from now on ("de", "de_AT"; without a table of it they stay English)."""
    global _language
    _language = code.partition("_")[0]


def table_of(language: str) -> Path:
    """The file with the templates of a language."""
    return resources_dir() / "translations" / "errors" / f"{language}.tsv"


@lru_cache(maxsize=2)
def _table(language: str) -> dict[str, str]:
    """{English template: its translation}."""
    file = table_of(language)
    if not file.is_file():
        return {}
    lines = file.read_text(encoding="utf-8").splitlines()
    return {english: other for english, tab, other in (line.partition("\t") for line in lines) if tab}


def in_language(text: str) -> str:
    """A sentence of the engine or the project in the window's language; reasons inside it, too."""
    return _translated(text, _table(_language)) if text and _language != "en" else text


def _translated(text: str, table: dict[str, str]) -> str:
    if not isinstance(text, Text):
        return _looked_up(text, None, table) if " " in text else text  # a single word may be a person's
    template = _looked_up(text.template, text.number, table)
    return filled(template, {name: _translated(value, table) for name, value in text.values.items()})


def _looked_up(template: str, number: int | None, table: dict[str, str]) -> str:
    """The translation of a template; of a clause, that of its sentence without the full stop (`texts.clause`)."""
    found = table.get(template) or table.get(f"{template}.", "").removesuffix(".") or template
    if number is None:
        return found
    one, _, more = found.partition("\t")
    return (more if more and number != 1 else one).replace("%n", str(number))


def message_of(error: AppError) -> str:
    """What happened."""
    return in_language(error.user_message)


def hint_of(error: AppError) -> str:
    """What to do about it ("" when there is nothing)."""
    return in_language(error.hint)


def text_of(error: AppError) -> str:
    """Both in one."""
    return f"{message_of(error)} {hint_of(error)}".strip()
