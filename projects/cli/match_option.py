"""`--match` and `--method`: how positions are read, or a pipeline of its own, as one word."""

from __future__ import annotations

import typer

from kinmark.engine.api import MATCH_METHODS, OPTIMISED, MatchSettings

CHOICES = ("auto", *MATCH_METHODS, OPTIMISED)
HELP = f"auto or one of: {', '.join(CHOICES[1:])}."


def settings_of(word: str, option: str) -> MatchSettings:
    """What the word decides; typer.BadParameter for any other."""
    if word not in CHOICES:
        raise typer.BadParameter(f"{option} must be {HELP.removesuffix('.')}")
    if word == OPTIMISED:
        return MatchSettings(pipeline=OPTIMISED)
    return MatchSettings(method=None if word == "auto" else word)
