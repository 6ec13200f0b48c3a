"""Palette, font size and the few style rules, following the system or a person's choice."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QPalette
from PySide6.QtWidgets import QApplication

from kinmark.desktop.theme.colours import dark_palette, light_palette, warning_text
from kinmark.desktop.theme.sheet import SHEET
from kinmark.engine.paths import resources_dir

BASE_FONT_PX = 13


def is_dark(palette: QPalette) -> bool:
    """Whether a palette is a dark one."""
    return palette.color(QPalette.ColorRole.Window).lightness() < 128


def wants_dark(app: QApplication, theme: str) -> bool:
    """Whether `theme` ("system", "light", "dark") comes out dark now."""
    if theme == "system":
        return app.styleHints().colorScheme() == Qt.ColorScheme.Dark
    return theme == "dark"


def apply_theme(app: QApplication, theme: str, font_scale: float) -> None:
    """Put palette, fonts and style rules on the whole program."""
    app.setStyle("Fusion")
    palette = dark_palette() if wants_dark(app, theme) else light_palette()
    app.setPalette(palette)
    font = QFont(app.font())
    font.setPixelSize(round(BASE_FONT_PX * font_scale))
    app.setFont(font)
    app.setStyleSheet(style_sheet(palette, font_scale))


CHOSEN = 0.2
"""Share of the accent in the ground of what is chosen: dim text must be readable on it, too."""


def blend(colour: QColor, ground: QColor, share: float) -> QColor:
    """`share` of `colour` over `ground`."""
    parts = zip(colour.getRgbF()[:3], ground.getRgbF()[:3], strict=True)  # type: ignore[index]
    return QColor.fromRgbF(*(a * share + b * (1 - share) for a, b in parts))


def style_sheet(palette: QPalette, font_scale: float) -> str:
    """The rules that a palette cannot say: spacing, hairlines, focus rings."""
    role = QPalette.ColorRole
    line = palette.color(role.Mid).name()
    base = palette.color(role.Base).name()
    window = palette.color(role.Window).name()
    text = palette.color(role.WindowText).name()
    dim = palette.color(role.PlaceholderText).name()
    accent = palette.color(role.Highlight).name()
    warning = warning_text(palette).name()
    alternate = palette.color(role.AlternateBase).name()
    hover = QColor(accent)
    wash = f"rgba({hover.red()},{hover.green()},{hover.blue()},0.15)"
    chosen = blend(hover, palette.color(role.Base), CHOSEN).name()
    grip = blend(palette.color(role.PlaceholderText), palette.color(role.Window), 0.55).name()
    small = round(11 * font_scale)
    icons = resources_dir() / "icons"
    tone = "dark" if is_dark(palette) else "light"
    # Style sheets cannot tint: these two come ready in both tones.
    arrow, up = ((icons / f"arrow-{way}-{tone}.svg").as_posix() for way in ("down", "up"))
    tick = (icons / "tick-white.svg").as_posix()
    return SHEET.substitute(
        base=base,
        text=text,
        line=line,
        accent=accent,
        window=window,
        wash=wash,
        arrow=arrow,
        small=small,
        chosen=chosen,
        dim=dim,
        warning=warning,
        title=round(22 * font_scale),
        heading=round(15 * font_scale),
        alternate=alternate,
        field=round(20 * font_scale),
        row=round(24 * font_scale),
        up=up,
        tick=tick,
        button=round(18 * font_scale),
        grip=grip,
    )
