"""Errors of the engine and the project in the window's language.

They are raised as English sentences, which the command line and the logs show as they are. The window knows their templates
(`resources/translations/errors/<language>.tsv`, kept complete by a test), finds the one that a sentence was made from, and
says it in its own language with the same names and numbers. What it does not know stays English.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from engine.domain.errors import AppError
from engine.paths import resources_dir

_FIELD = re.compile(r"\{(\d+)\}")
_language = "en"


def use_language(code: str) -> None:
    """Show errors in this language from now on ("de", "de_AT"; without a table of it they stay English)."""
    global _language
    _language = code.partition("_")[0]


def table_of(language: str) -> Path:
    """The file with the templates of a language."""
    return resources_dir() / "translations" / "errors" / f"{language}.tsv"


@lru_cache(maxsize=2)
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """(what a sentence looks like, its translation); those with the most words of their own first."""
    file = table_of(language)
    if not file.is_file():
        return ()
    lines = [line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines() if "\t" in line]
    lines.sort(key=lambda line: -len(_FIELD.sub("", line[0])))
    return tuple((_pattern(english), translation) for english, translation in lines)


def _pattern(english: str) -> re.Pattern[str]:
    pieces = _FIELD.split(english)
    fields = [re.escape(p) if i % 2 == 0 else f"(?P<f{p}>.*?)" for i, p in enumerate(pieces)]
    return re.compile("".join(fields), re.DOTALL)


def in_language(text: str) -> str:
    """A sentence of the engine or the project in the window's language; reasons inside it, too."""
    return _translated(text, _language) if text and _language != "en" else text


def _translated(text: str, language: str) -> str:
    for pattern, translation in _patterns(language):
        found = pattern.fullmatch(text)
        if found is not None:
            return _filled(translation, {k[1:]: _translated(v, language) for k, v in found.groupdict().items()})
    return text


def _filled(translation: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda field: values[field[1]], translation)


def message_of(error: AppError) -> str:
    """What happened."""
    return in_language(error.user_message)


def hint_of(error: AppError) -> str:
    """What to do about it ("" when there is nothing)."""
    return in_language(error.hint)


def text_of(error: AppError) -> str:
    """Both in one."""
    return f"{message_of(error)} {hint_of(error)}".strip()
