"""Somebody who does only what the status line says comes from the start page to the first export."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from tests.support.window import Driver

pytestmark = pytest.mark.e2e
MOST_ACTIONS = 25
NAMED = re.compile(r"(?<![\w+])((?:Ctrl\+|Shift\+|Alt\+)*(?:Enter|Backspace|[A-Z0-9]))(?![\w+])")
"""A key as the status line writes it."""
MODIFIERS = {
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Alt": Qt.KeyboardModifier.AltModifier,
}


def named_keys(text: str) -> list[str]:
    """The keys that a sentence names, in its order."""
    return NAMED.findall(text)


def press(driver: Driver, name: str) -> None:
    *held, key = name.split("+")
    modifiers = Qt.KeyboardModifier.NoModifier
    for word in held:
        modifiers |= MODIFIERS[word]
    driver.key(Qt.Key.Key_Return if key == "Enter" else getattr(Qt.Key, f"Key_{key}"), modifiers)


def test_the_keys_of_a_sentence() -> None:
    assert named_keys("Ctrl+P proposes dog on the other photos. D goes to the next photo.") == ["Ctrl+P", "D"]
    text = "Enter accepts back and goes to neck, Ctrl+Enter all 17. X rejects, drag corrects, Alt+2 takes peak 2."
    assert named_keys(text)[:3] == ["Enter", "Ctrl+Enter", "X"]
    assert named_keys("Maybe there is no dog here: O says so. Else Enter accepts it.") == ["O", "Enter"]


def test_from_the_start_page_to_the_first_export(
    make_driver: Callable[..., Driver], toy_dir: Path, tmp_path: Path
) -> None:
    driver = make_driver()
    window = driver.window
    window.program.settings.change(live_improve=False)
    line = window.job_bar.step
    assert "Choose one of the two jobs" in line.whole_text
    QTest.mouseClick(window.start_page.jobs[0], Qt.MouseButton.LeftButton)
    actions, said = 1, [line.whole_text]
    driver.until(lambda: window.workspace is not None, 120)
    space = driver.space
    space.session.write(lambda do: do.set_setting("backbone", str(toy_dir)))
    driver.photo_shown()
    while "export" not in window.commands.dialogs.open:
        driver.until(lambda: not window.program.engine.busy, 240)
        driver.wait(0.15)
        text = line.whole_text
        said.append(text)
        keys = named_keys(text)
        assert keys, f"the status line names no key: {text!r}"
        # With something accepted it is exported when that is named; else what does most in one go, else what comes first.
        liked = ("Ctrl+E", "Ctrl+Enter") if space.session.queries.count_decisions() else ("Ctrl+Enter",)
        press(driver, next((k for k in liked if k in keys), keys[0]))
        actions += 1
        assert actions < MOST_ACTIONS, said
    dialog = window.commands.dialogs.dialog("export")
    assert dialog.place.text(), "a folder is suggested"
    dialog.place.setText(str(tmp_path / "out"))  # not into the home of whoever runs this
    driver.until(lambda: dialog.state.text() == "", 60)
    driver.key(Qt.Key.Key_Return, widget=dialog)
    actions += 1
    driver.until(lambda: dialog.show_folder.isVisible(), 120)
    assert any((tmp_path / "out").iterdir())
    assert actions <= MOST_ACTIONS, (actions, said)
    assert any("Ctrl+P proposes" in text for text in said), "the proposals were part of the way"
    assert space.session.queries.count_decisions() > 0, "and so was deciding about them"
