"""Which matching settings a project is proposed with: chosen by the engine, kept with the project, chosen again in time."""

from __future__ import annotations

from typing import Any

from kinmark.engine.api import CHOSEN_FIELDS, Engine, MatchSettings, ProposeRequest, SettingsChoice
from kinmark.engine.domain.progress import CancelToken, Progress
from kinmark.projects.project import Project

CHOOSE_AGAIN_FROM = 4
"""Holding out one of two or three exemplars says too little: the settings of the first one are better until then."""
CHOICE_KEY = "match-settings:"


def settings_for(
    project: Project, engine: Engine, request: ProposeRequest, *, progress: Progress | None, cancel: CancelToken | None
) -> SettingsChoice:
    """The project's stored choice while it fits, else a new one (stored): methods/matching.md.

    A choice is made again when the number of exemplars has doubled (from four on) or backbone or prompt changed.
    """
    if request.settings.is_complete:
        return SettingsChoice(request.settings, exemplars=len(request.exemplars), reason="given")
    key = f"{CHOICE_KEY}{request.category}"
    stored = project.queries.setting(key)
    # A pipeline that was asked for is asked for once: what is stored is the ordinary sweep's.
    overridden = any(getattr(request.settings, name) is not None for name in (*CHOSEN_FIELDS, "pipeline"))
    if stored and not overridden and _still_fits(stored, request):
        return SettingsChoice(
            MatchSettings.from_json(stored["settings"]),
            tuple((str(a), float(b), float(c)) for a, b, c in stored["table"]),
            int(stored["exemplars"]),
            str(stored["reason"]),
        )
    choice = engine.choose_settings(request, progress=progress, cancel=cancel)
    if not overridden and not project.read_only:
        project.operations.set_setting(
            key,
            {
                "settings": choice.settings.to_json(),
                "table": [list(row) for row in choice.table],
                "exemplars": len(request.exemplars),
                "reason": choice.reason,
                "backbone": request.backbone,
                "prompt": request.prompt,
            },
        )
    return choice


def _still_fits(stored: dict[str, Any], request: ProposeRequest) -> bool:
    same = stored.get("backbone") == request.backbone and stored.get("prompt") == request.prompt
    same = (
        same and MatchSettings.from_json(stored["settings"]).pipeline is None
    )  # no first look that was stored by mistake
    return same and not choose_again(int(stored.get("exemplars", 0)), len(request.exemplars))


def choose_again(chosen_with: int, exemplars: int) -> bool:
    """Whether settings that were chosen with so many exemplars should be chosen again: with twice as many, and enough."""
    return exemplars >= max(CHOOSE_AGAIN_FROM, 2 * chosen_with)
