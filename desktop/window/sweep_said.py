"""What the window says when a sweep has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication

if TYPE_CHECKING:
    from kinmark.desktop.messages import Messages
    from kinmark.projects.workflows.propose_all import SweepOutcome

SHOWN = 4
"""Pairs of categories that are named."""


def say_sweep(messages: Messages, outcome: SweepOutcome) -> None:
    """GUI thread. One message: what could not be read, else what was proposed, and what was not asked."""
    translate = QCoreApplication.translate
    apart = left_out(outcome)
    if outcome.failures:
        name, reason = outcome.failures[0]
        text = translate("Sweep", "%n photos could not be read, for example {name}.", "", len(outcome.failures))
        messages.warning(text.format(name=name), " ".join(filter(None, (reason, apart))))
    elif outcome.proposals == 0:
        messages.info(translate("Sweep", "Nothing new to propose."), apart)
    else:
        proposed = translate("Sweep", "%n instances proposed.", "", outcome.proposals)
        messages.info(
            proposed, " ".join(filter(None, (translate("Sweep", "N goes to the one that needs you most."), apart)))
        )


def left_out(outcome: SweepOutcome) -> str:
    """Which photos were not asked about a category, and what they look like; "" when all were asked."""
    translate = QCoreApplication.translate
    if not outcome.apart:
        return ""
    parts = [
        translate("Sweep", "%n look like {other}: not asked for {name}.", "", count).format(other=other, name=name)
        for name, other, count in outcome.apart[:SHOWN]
    ]
    if len(outcome.apart) > SHOWN:
        parts.append(translate("Sweep", "And so on."))
    if outcome.apart_pending:
        parts.append(translate("Sweep", "%n of them keep what was proposed before.", "", outcome.apart_pending))
    parts.append(translate("Sweep", "Ctrl+Alt+P asks the photos of the list all the same."))
    return " ".join(parts)
