"""What an action is, and how the tables of actions write one."""

from __future__ import annotations

from dataclasses import dataclass

CONTEXT = "Actions"


def _(text: str) -> str:
    """Mark for translation (QT_TRANSLATE_NOOP); returned as it is."""
    return text


@dataclass(frozen=True)
class ActionSpec:
    """One command of the window.

    Attributes:
        id: "group.verb"; text: menu text; keys: default key sequences (portable text).
        icon: name in resources/icons or ""; menu: menu id; scope: "window" or "canvas".
        help: one sentence for the tooltip and the shortcut list.
        checkable: it is a switch; hold: works as long as the key is down.
    """

    id: str
    text: str
    keys: tuple[str, ...] = ()
    icon: str = ""
    menu: str = ""
    scope: str = "window"
    help: str = ""
    checkable: bool = False
    hold: bool = False


def _a(
    id_: str, text: str, keys: str = "", icon: str = "", scope: str = "window", help_: str = "", **more: bool
) -> ActionSpec:
    menu = id_.split(".")[0]
    return ActionSpec(id_, text, tuple(k for k in keys.split(" | ") if k), icon, menu, scope, help_, **more)


MENUS: tuple[tuple[str, str], ...] = (
    ("project", _("Project")),
    ("edit", _("Edit")),
    ("view", _("View")),
    ("go", _("Go")),
    ("tool", _("Tool")),
    ("point", _("Keypoint")),
    ("review", _("Review")),
    ("engine", _("Propose")),
    ("page", _("Window")),
    ("help", _("Help")),
)
"""(id, title) of the menus that an action may be in, in their order."""
