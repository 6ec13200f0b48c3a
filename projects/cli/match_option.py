"""`--match` and `--method`: how positions are read, or a pipeline of its own (ours or a plug-in's), as one word."""

from __future__ import annotations

import typer

from kinmark.engine import plugins
from kinmark.engine.api import MATCH_METHODS, OPTIMISED, MatchSettings

PIPELINES = (OPTIMISED,)
"""Those that a person asks for by name."""
CHOICES = ("auto", *MATCH_METHODS, *PIPELINES)
OURS = f"auto or one of: {', '.join(CHOICES[1:])}"
HELP = f"{OURS}, or the name of a plug-in's pipeline."
HELP_OF_PAIRS = f"{OURS}."


def settings_of(word: str, option: str) -> MatchSettings:
    """What the word decides for a sweep; typer.BadParameter for any other."""
    added = [name for group, name, _ in plugins.installed() if group == plugins.PIPELINES]
    if word in (*PIPELINES, *added):
        return MatchSettings(pipeline=word)
    if word not in CHOICES:
        raise typer.BadParameter(f"{option} must be {', '.join([OURS, *added])}")
    return MatchSettings(method=None if word == "auto" else word)


def settings_of_pairs(word: str, option: str) -> MatchSettings:
    """What the word decides for pairs of photos, which no other pipeline answers; typer.BadParameter for any other."""
    if word not in CHOICES:
        raise typer.BadParameter(f"{option} must be {OURS}")
    return settings_of(word, option)
