"""Text can be read on every ground that the theme gives it, in both themes (WCAG: 4.5 for text, 3 for rings)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from PySide6.QtGui import QColor, QImage, QPainter, QPalette
from PySide6.QtWidgets import QComboBox, QPushButton, QStyleOptionGraphicsItem

from kinmark.desktop.canvas.items import MaskItem
from kinmark.desktop.theme.apply import CHOSEN, blend, is_dark, style_sheet
from kinmark.desktop.theme.colours import ACCENT, dark_palette, instance_colour, light_palette, warning_text
from kinmark.desktop.widgets.fields import Choice
from tests.desktop.test_accessible import DIALOGS, PAGES
from tests.support.window import Driver

ROLE, GROUP = QPalette.ColorRole, QPalette.ColorGroup


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
    assert contrast(palette.color(ROLE.HighlightedText), palette.color(ROLE.Highlight)) >= 4.5


def test_text_of_every_state_can_be_read(palette: QPalette) -> None:
    """Dim words, warnings and links on grounds that are chosen, hovered or pressed; what is disabled or in the background."""
    window, base, accent = (palette.color(role) for role in (ROLE.Window, ROLE.Base, ROLE.Highlight))
    grounds = [window, base, palette.color(ROLE.AlternateBase), blend(accent, base, CHOSEN)]
    grounds += [blend(accent, ground, 0.15) for ground in (window, base)]
    words = [palette.color(ROLE.WindowText), palette.color(ROLE.PlaceholderText), warning_text(palette)]
    for ground in grounds:
        for word in words:
            assert contrast(word, ground) >= 4.5, (word.name(), ground.name())
    for ground in grounds[:3]:
        assert contrast(palette.color(ROLE.Link), ground) >= 4.5, ground.name()
    for group in (GROUP.Disabled, GROUP.Inactive):
        for role in (ROLE.WindowText, ROLE.Text, ROLE.ButtonText):
            for ground in grounds[:2]:
                assert contrast(palette.color(group, role), ground) >= 4.5, (group, role, ground.name())
        chosen = palette.color(group, ROLE.HighlightedText), palette.color(group, ROLE.Highlight)
        assert contrast(*chosen) >= 4.5, (group, chosen)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_buttons_of_every_state_can_be_read(driver: Driver, theme: str) -> None:
    """As they are painted: plain, the default one, and both switched off."""
    driver.space.program.settings.change(theme=theme)
    for default in (False, True):
        for enabled in (True, False):
            button = QPushButton("Accept HHH")
            button.setDefault(default)
            button.setObjectName("primary" if default else "")
            button.setEnabled(enabled)
            button.resize(button.sizeHint())
            got = _readable(button.grab(button.rect().adjusted(8, 5, -8, -5)).toImage())
            assert got >= 4.5, (default, enabled, got)
            button.deleteLater()


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


def _readable(image: QImage) -> float:
    """Contrast between the ground of a picture of text (its commonest colour) and what differs most from it."""
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    colours = Counter(image.pixel(x, y) for x in range(image.width()) for y in range(image.height()))
    ground = QColor(colours.most_common(1)[0][0])
    return max(contrast(QColor(pixel), ground) for pixel in colours)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_list_of_every_combo_box_can_be_read(proposed: Driver, theme: str) -> None:
    """Every entry of every open list, the current one above all, as it is painted."""
    window, space = proposed.window, proposed.space
    space.program.settings.change(theme=theme)
    for open_dialog in DIALOGS.values():
        open_dialog(window.commands.dialogs, space)
    for page in PAGES:
        window.show_page(page)
    seen = set()
    for box in [b for w in (window, *window.commands.dialogs.open.values()) for b in w.findChildren(QComboBox)]:
        if not box.count():
            continue
        box.showPopup()
        view = box.view()
        for row in range(min(box.count(), 4)):
            for current in {row, (row + 1) % box.count()}:
                index = view.model().index(current, 0)
                view.setCurrentIndex(index)
                rect = view.visualRect(view.model().index(row, 0)).intersected(view.viewport().rect())
                text = box.itemText(row)
                if rect.height() > 8 and any(c.isalnum() for c in text):
                    got = _readable(view.viewport().grab(rect.adjusted(3, 3, -3, -3)).toImage())
                    assert got >= 4.5, (box.accessibleName(), text, row == current, got)
                    seen.add(box.accessibleName())
        box.hidePopup()
    assert len(seen) >= 8, seen


def test_the_list_of_a_narrow_box_is_as_wide_as_its_texts(qapp: object) -> None:
    box = Choice()
    box.addItems(["a", "the name of a category that is long"])
    box.setFixedWidth(70)
    box.show()
    box.showPopup()
    assert box.view().width() >= box.fontMetrics().horizontalAdvance(box.itemText(1))
    box.hidePopup()


@pytest.mark.parametrize("ground", ["white", "#e8e4d8", "black"])
@pytest.mark.parametrize("number", range(8))
def test_masks_can_be_seen_on_pale_and_dark_photos(qapp: object, ground: str, number: int) -> None:
    mask = np.zeros((60, 60), dtype=bool)
    mask[20:40, 20:40] = True
    item = MaskItem()
    item.show_mask(mask, instance_colour(number), pending=False)
    image = QImage(60, 60, QImage.Format.Format_RGB32)
    image.fill(QColor(ground))
    painter = QPainter(image)
    item.paint(painter, QStyleOptionGraphicsItem())
    painter.end()
    across = [QColor(image.pixel(x, 30)) for x in range(14, 27)]
    assert max(contrast(c, QColor(ground)) for c in across) >= 3, "the outline stands out from the photo"
