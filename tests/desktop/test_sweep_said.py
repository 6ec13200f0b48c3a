"""What the window says at the end of a sweep: everything that was done, and everything that was not."""

from __future__ import annotations

import pytest

from kinmark.desktop.window.sweep_said import left_out, say_sweep
from kinmark.projects.workflows.propose import CategoryOutcome
from kinmark.projects.workflows.propose_all import SweepOutcome, sweep_outcome


class Said:
    """Takes messages as the message bar does."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str, str]] = []

    def info(self, text: str, hint: str = "") -> None:
        self.shown.append(("info", text, hint))

    def warning(self, text: str, hint: str = "") -> None:
        self.shown.append(("warning", text, hint))


@pytest.mark.usefixtures("qapp")
@pytest.mark.parametrize(
    ("outcome", "kind", "words"),
    [
        (SweepOutcome(3, (), 0), "info", ("3", "proposed", "N goes to")),
        (SweepOutcome(0, (), 0), "info", ("Nothing new",)),
        (
            SweepOutcome(3, (("a.jpg", "It is damaged."),), 0, (("dog", "car", 2),)),
            "warning",
            ("a.jpg", "damaged", "car"),
        ),
        (SweepOutcome(0, (), 0, (("dog", "car", 17),), 4), "info", ("17", "car", "dog", "4", "Ctrl+Alt+P")),
    ],
)
def test_one_message_says_it_all(outcome: SweepOutcome, kind: str, words: tuple[str, ...]) -> None:
    said = Said()
    say_sweep(said, outcome)  # type: ignore[arg-type]
    [(how, text, hint)] = said.shown
    assert how == kind and all(word in f"{text} {hint}" for word in words)


def test_many_pairs_are_not_all_named() -> None:
    many = tuple((f"kind{i}", "car", 9 - i) for i in range(6))
    text = left_out(SweepOutcome(1, (), 0, many))
    assert "kind3" in text and "kind4" not in text and "And so on" in text


def test_the_outcomes_of_all_categories_come_together(tmp_path) -> None:
    from kinmark.projects.project import Project

    outcomes = (
        CategoryOutcome("dog", apart={"car": 2, "bird": 5}, apart_pending=1),
        CategoryOutcome("car", apart={"dog": 3}),
    )
    with Project.create(tmp_path / "t.kinmark") as project:
        found = sweep_outcome(project, outcomes)
    assert found.apart == (("dog", "bird", 5), ("car", "dog", 3), ("dog", "car", 2)) and found.apart_pending == 1
