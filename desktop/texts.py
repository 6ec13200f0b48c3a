"""Texts that are named in one place and translated in another."""

from __future__ import annotations


def marked(context: str, text: str) -> str:
    """Mark `text` for packaging/translate.py (Qt's own QT_TRANSLATE_NOOP says it returns an object); returned as it is.

    `context` is the class that will translate it.
    """
    return text
