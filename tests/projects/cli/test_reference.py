"""No command and no option is undocumented."""

from __future__ import annotations

from kinmark.projects.cli.reference import reference


def test_the_page_is_what_the_commands_say(repository):
    page = (repository / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert page == reference(), "run: python -m kinmark.projects.cli.reference > docs/reference/commands.md"


def test_every_option_explains_itself():
    empty = [line for line in reference().splitlines() if line.startswith("| `") and line.rstrip("| ").endswith("`")]
    assert not empty, empty
