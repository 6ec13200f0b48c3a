"""Errors of the engine and the project in the window's language.

They are raised in English, which the command line and the logs show as it is. A sentence with something filled in is a
`Text`: it knows its template and its values. The window looks the template up
(`resources/translations/errors/<language>.tsv`, kept complete by a test) and fills the same values in. What is not in the table
stays English.
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
        return table.get(text, text)
    template = table.get(text.template, text.template)
    return filled(template, {name: _translated(value, table) for name, value in text.values.items()})


def message_of(error: AppError) -> str:
    """What happened."""
    return in_language(error.user_message)


def hint_of(error: AppError) -> str:
    """What to do about it ("" when there is nothing)."""
    return in_language(error.hint)


def text_of(error: AppError) -> str:
    """Both in one."""
    return f"{message_of(error)} {hint_of(error)}".strip()
