"""Whether what the window shows of an import or export is German, by the table of the errors' translations."""

from __future__ import annotations

from collections.abc import Iterator

from kinmark.desktop import error_texts
from kinmark.engine.domain.texts import Text


def english_in(text: str, *, words: bool = False) -> Iterator[str]:
    """Templates and sentences of a text, and of the values in it, that have no German.

    Args:
        words: plain texts are the program's, too (a report's reason); else they may be a person's (a path).
    """
    table = error_texts._table("de")
    if isinstance(text, Text):
        bare = error_texts.filled(text.template, dict.fromkeys(text.values, ""))
        says_something = any(char.isalpha() for char in bare) and (" " in bare.strip() or bare.isalpha())  # no <tag>
        if says_something and text.template not in table and f"{text.template}." not in table:
            yield text.template
        for value in text.values.values():
            yield from english_in(value)
    elif words and text and text not in table:
        yield text
