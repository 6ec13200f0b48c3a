"""Alt keys: each menu and field has one, no two share one, in English and in German."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QLocale
from PySide6.QtWidgets import QApplication, QLabel, QMenu, QPushButton

from kinmark.desktop.app import install_translation
from kinmark.desktop.widgets.accelerators import with_accelerators, without_marker
from tests.support.window import Driver


def letters(texts: list[str]) -> list[str]:
    """The marked letter of each text that has one."""
    plain = [t.replace("&&", "") for t in texts]
    return [t[t.index("&") + 1].lower() for t in plain if "&" in t]


def test_words_give_their_first_letter_first() -> None:
    assert with_accelerators(["Project", "Edit", "Propose", "Propose all"]) == [
        "&Project",
        "&Edit",
        "P&ropose",
        "Propose &all",
    ]
    assert with_accelerators(["Confirm (Enter)", "C"]) == ["&Confirm (Enter)", "C"]
    assert with_accelerators(["Save"], taken={"s"}) == ["S&ave"]
    assert with_accelerators(["&Cancel", "Rock && roll"]) == ["&Cancel", "&Rock && roll"]


@given(st.lists(st.text(max_size=12), max_size=12))
def test_no_letter_twice_and_no_text_changed(texts: list[str]) -> None:
    marked = with_accelerators(texts)
    assert [without_marker(m) for m in marked] == [without_marker(t) for t in texts]
    given_letters = letters([m for m in marked if "&" in m.replace("&&", "")])
    assert len(given_letters) == len(set(given_letters))


@pytest.mark.parametrize("language", ["en", "de"])
def test_menus_and_dialogs_have_alt_keys(qapp: QApplication, make_driver: Callable[..., Driver], language: str) -> None:
    translators = install_translation(qapp, language)
    try:
        driver = make_driver()
        titles = [a.text() for a in driver.window.menuBar().actions()]
        assert len(set(letters(titles))) == len(titles) == 10, titles
        for action in driver.window.menuBar().actions():
            menu = action.menu()
            assert isinstance(menu, QMenu)
            menu.aboutToShow.emit()
            items = letters([a.text() for a in menu.actions()])
            assert len(items) == len(set(items)) >= min(len(items), 5)
        driver.window.commands.dialogs.new_project()
        dialog = driver.window.commands.dialogs.dialog("new")
        fields = [label.text() for label in dialog.findChildren(QLabel) if label.buddy() is not None]
        buttons = [button.text() for button in dialog.findChildren(QPushButton)]
        assert len(fields) >= 4 and len(set(letters(fields + buttons))) == len(fields + buttons), (fields, buttons)
    finally:
        for translator in translators:
            qapp.removeTranslator(translator)
        QLocale.setDefault(QLocale.system())
