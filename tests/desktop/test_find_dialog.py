"""The find dialog: without a selection a kind of thing is searched by its word."""

from __future__ import annotations

from types import SimpleNamespace

from desktop.dialogs.find_dialog import FindDialog
from desktop.session.find_job import FindSummary, FindSweep
from engine.domain.progress import CancelToken, Progress
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


def test_the_sweep_asks_for_the_word_and_not_for_an_identity(monkeypatch) -> None:
    from projects.workflows import find as module

    seen = []

    def find(project, engine, options, **_):
        seen.append(options)
        return SimpleNamespace(searched=len(options.image_ids), found=1, failures=[])

    monkeypatch.setattr(module, "find", find)
    context = SimpleNamespace(project=None, engine=None, progress=Progress(), cancel=CancelToken())
    sweep = FindSweep("", [1, 2, 3, 4, 5], "embedded", "dog")
    while not isinstance(result := sweep(context), FindSummary):
        pass
    assert [(o.name, o.identity, o.references) for o in seen] == [("dog", "", ())] * 2
    assert (result.kind, result.searched, result.found) == ("dog", 5, 2)
