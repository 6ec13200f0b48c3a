"""Text can be read on every ground that the theme gives it, in both themes (WCAG: 4.5 for text, 3 for rings)."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QPalette

from desktop.theme.apply import blend, is_dark, style_sheet
from desktop.theme.colours import ACCENT, dark_palette, light_palette, warning_text

ROLE = QPalette.ColorRole


def luminance(colour: QColor) -> float:
    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.getRgbF()[:3]]  # type: ignore[index]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(a: QColor, b: QColor) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=["light", "dark"])
def palette(request: pytest.FixtureRequest) -> QPalette:
    return light_palette() if request.param == "light" else dark_palette()


def test_contrast_itself() -> None:
    assert contrast(QColor("black"), QColor("white")) == pytest.approx(21)
    assert contrast(QColor("#777777"), QColor("white")) == pytest.approx(4.48, abs=0.01)


def test_text_can_be_read(palette: QPalette) -> None:
    grounds = [palette.color(role) for role in (ROLE.Window, ROLE.Base, ROLE.AlternateBase, ROLE.Button)]
    rows = [blend(ACCENT, palette.color(ROLE.Base), share) for share in (0.15, 0.3)]
    for ground in grounds + rows:
        for role in (ROLE.WindowText, ROLE.Text, ROLE.ButtonText):
            assert contrast(palette.color(role), ground) >= 4.5, (role, ground.name())
    for ground in [*grounds, rows[0]]:
        assert contrast(palette.color(ROLE.PlaceholderText), ground) >= 4.5, ground.name()
    assert contrast(warning_text(palette), palette.color(ROLE.Base)) >= 4.5
    assert contrast(palette.color(ROLE.HighlightedText), palette.color(ROLE.Highlight)) >= 4.5


def test_focus_rings_can_be_seen(palette: QPalette) -> None:
    for role in (ROLE.Window, ROLE.Base):
        assert contrast(palette.color(ROLE.Highlight), palette.color(role)) >= 3


def test_every_kind_of_field_and_button_shows_its_focus(palette: QPalette) -> None:
    sheet = style_sheet(palette, 1.0)
    for kind in (
        "QToolButton",
        "QPushButton",
        "QLineEdit",
        "QComboBox",
        "QSpinBox",
        "QPlainTextEdit",
        "QTabBar::tab",
        "QListView",
        "QTableView",
    ):
        assert f"{kind}:focus" in sheet, kind
    assert is_dark(palette) == ("arrow-down-dark" in sheet)
