"""`--match` and `--method`: how positions are read, or a pipeline of its own (ours or a plug-in's), as one word."""

from __future__ import annotations

import typer

from kinmark.engine import plugins
from kinmark.engine.api import MATCH_METHODS, OPTIMISED, MatchSettings

PIPELINES = (OPTIMISED,)
"""Those that a person asks for by name."""
CHOICES = ("auto", *MATCH_METHODS, *PIPELINES)
HELP = f"auto or one of: {', '.join(CHOICES[1:])}, or the name of a plug-in's pipeline."
HELP_OF_PAIRS = f"auto or one of: {', '.join([*MATCH_METHODS, OPTIMISED])}."


def settings_of(word: str, option: str) -> MatchSettings:
    """What the word decides for a sweep; typer.BadParameter for any other."""
    added = [name for group, name, _ in plugins.installed() if group == plugins.PIPELINES]
    if word in (*PIPELINES, *added):
        return MatchSettings(pipeline=word)
    if word not in CHOICES:
        raise typer.BadParameter(f"{option} must be auto or one of: {', '.join([*CHOICES[1:], *added])}")
    return MatchSettings(method=None if word == "auto" else word)


def settings_of_pairs(word: str, option: str) -> MatchSettings:
    """What the word decides for pairs of photos, which no other pipeline answers; typer.BadParameter for any other."""
    if word not in ("auto", *MATCH_METHODS, OPTIMISED):
        raise typer.BadParameter(f"{option} must be {HELP_OF_PAIRS.removesuffix('.')}")
    return settings_of(word, option)
