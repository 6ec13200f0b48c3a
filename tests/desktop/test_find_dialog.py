"""The find dialog: without a selection a kind of thing is searched by its word."""

from __future__ import annotations

from kinmark.desktop.dialogs.find_dialog import FindDialog
from tests.support.window import Driver


def test_without_a_selection_a_word_is_searched(proposed: Driver, monkeypatch) -> None:
    space = proposed.space
    space.labelling.select(None)
    dialog = FindDialog(proposed.window, space)
    assert dialog.name_label.text() == "Kind of thing" and "mixes kinds up" in dialog.problem.text()
    asked = []
    monkeypatch.setattr(space.jobs, "find_kind", lambda *a: asked.append(a))
    monkeypatch.setattr(space.jobs, "learn_device", lambda: None)
    dialog.start()
    assert asked == [] and "name" in dialog.problem.text()
    dialog.name.setText(" dog ")
    dialog.start()
    assert asked == [("dog", None)]
