"""Colours with a meaning (Okabe-Ito, readable without colour vision) and the light and dark palettes.

A state is never told by colour alone: `kinmark.desktop.canvas.marks` gives each one its own shape and outline too.
"""

from __future__ import annotations

from PySide6.QtGui import QColor, QPalette

from kinmark.desktop.states import PointState

CANVAS_GREY = QColor("#26282b")
ACCENT = QColor("#2f6fed")
"""White text on it has a contrast of 4.5, a ring of it on either window colour 3 (tests/desktop/test_theme.py)."""

STATE_COLOURS: dict[PointState, QColor] = {
    PointState.HUMAN: QColor("#0072B2"),
    PointState.ACCEPTED: QColor("#009E73"),
    PointState.PENDING: QColor("#E69F00"),
    PointState.DOUBTFUL: QColor("#D55E00"),
    PointState.ABSENT: QColor("#7f8389"),
    PointState.EMPTY: QColor("#7f8389"),
}

IMAGE_STATE_COLOURS: dict[str, QColor] = {
    "unseen": QColor("#8a8f98"),
    "pending": QColor("#E69F00"),
    "doubt": QColor("#D55E00"),
    "partly": QColor("#009E73"),
    "done": QColor("#009E73"),
    "nothing": QColor("#56B4E9"),
    "work": QColor("#0072B2"),
    "error": QColor("#CC3311"),
}

INSTANCE_COLOURS = tuple(
    QColor(c) for c in ("#56B4E9", "#E69F00", "#009E73", "#CC79A7", "#F0E442", "#0072B2", "#D55E00", "#999999")
)
"""Masks and boxes of the n-th instance."""


def instance_colour(index: int) -> QColor:
    """Colour of the n-th instance of an image (repeats after eight)."""
    return INSTANCE_COLOURS[index % len(INSTANCE_COLOURS)]


def warning_text(palette: QPalette) -> QColor:
    """Colour for words that warn: vermillion itself is too pale to read on white and too dark on black."""
    dark = palette.color(QPalette.ColorRole.Base).lightness() < 128
    return QColor("#ff9d66" if dark else "#9c4300")


def _palette(window: str, base: str, alternate: str, text: str, button: str, mid: str, dim: str) -> QPalette:
    palette = QPalette()
    role = QPalette.ColorRole
    for key, value in (
        (role.Window, window),
        (role.Base, base),
        (role.AlternateBase, alternate),
        (role.WindowText, text),
        (role.Text, text),
        (role.ButtonText, text),
        (role.Button, button),
        (role.ToolTipBase, base),
        (role.ToolTipText, text),
        (role.PlaceholderText, dim),
        (role.Mid, mid),
        (role.Midlight, mid),
        (role.Dark, mid),
        (role.Light, base),
        (role.Shadow, "#000000"),
        (role.BrightText, "#ffffff"),
    ):
        palette.setColor(key, QColor(value))
    palette.setColor(role.Highlight, ACCENT)
    palette.setColor(role.HighlightedText, QColor("#ffffff"))
    palette.setColor(role.Link, QColor("#2460d6" if palette.color(role.Base).lightness() > 128 else "#86b4ff"))
    for key in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, key, QColor(dim))
    palette.setColor(QPalette.ColorGroup.Disabled, role.Highlight, QColor(mid))
    palette.setColor(QPalette.ColorGroup.Disabled, role.HighlightedText, QColor(text))
    return palette


def light_palette() -> QPalette:
    """The light palette."""
    return _palette("#f3f4f6", "#ffffff", "#f7f8fa", "#1d2025", "#ffffff", "#d5d8de", "#5d636e")


def dark_palette() -> QPalette:
    """The dark palette."""
    return _palette("#1e2023", "#25282c", "#2a2d32", "#e6e8eb", "#30343a", "#3c4149", "#a2a8b2")
